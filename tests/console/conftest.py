"""Somebody who is signed in and opens the console's pages."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Connection

from scrm import sessions
from scrm.http import COOKIE
from scrm.profiles import store as profiles
from tests.world import World


class Page(HTMLParser):
    """A page as a reader sees it: its text, its links, its forms, its tags."""

    def __init__(self, status: int, html: str) -> None:
        super().__init__()
        self.status, self.html = status, html
        self.words: list[str] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        self._hidden += tag in ("script", "style", "title")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style", "title")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def __contains__(self, words: str) -> bool:
        return words in self.text


@dataclass
class Visitor:
    """A member with a session; `csrf` is what the pages carry."""

    world: World
    token: str
    csrf: str

    @property
    def cookie(self) -> dict[str, str]:
        return {"Cookie": f"{COOKIE}={self.token}"}

    async def get(self, path: str, **more: Any) -> Page:
        response = await self.world.client.get(path, headers=self.cookie, allow_redirects=False, **more)
        return Page(response.status, await response.text(errors="replace"))

    async def post(self, path: str, csrf: str | None = None) -> aiohttp.ClientResponse:
        data = {"csrf": self.csrf if csrf is None else csrf}
        return await self.world.client.post(path, data=data, headers=self.cookie, allow_redirects=False)

    async def send(self, path: str, **fields: str) -> aiohttp.ClientResponse:
        """Post a form with these fields."""
        data = {"csrf": self.csrf, **fields}
        return await self.world.client.post(path, data=data, headers=self.cookie, allow_redirects=False)

    async def delete(self, path: str) -> aiohttp.ClientResponse:
        headers = {**self.cookie, "X-CSRF": self.csrf, "HX-Request": "true"}
        return await self.world.client.delete(path, headers=headers)


SignIn = Callable[..., Awaitable[Visitor]]


@pytest.fixture
def sign_in(world: World) -> SignIn:
    async def sign_in(userid: str, name: str, role: str) -> Visitor:
        now = world.clock.now()

        def enter(conn: Connection) -> tuple[str, str]:
            profiles.save_member(conn, userid, name=name, now=now)
            profiles.set_role(conn, userid, role)
            token = sessions.open_session(conn, userid, now=now, lives=timedelta(days=60))
            member = sessions.find_session(conn, token, now=now)
            assert member is not None
            return token, member.csrf

        return Visitor(world, *await world.services.db.write(enter))

    return sign_in


@pytest.fixture
async def manager(sign_in: SignIn) -> Visitor:
    return await sign_in("chenlan", "陈岚", "manager")
