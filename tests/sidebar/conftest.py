"""A member beside a chat: signed in, with the proof that a page of ours carries."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Connection

from scrm import sessions
from scrm.http import COOKIE
from scrm.profiles import store as profiles
from tests.world import World


@dataclass(frozen=True, slots=True)
class Member:
    """What one member's web view sends; the client's own cookies would not travel without TLS."""

    world: World
    userid: str
    token: str
    csrf: str

    async def get(self, path: str, *, htmx: bool = False, **more: Any) -> aiohttp.ClientResponse:
        headers = {**self._cookie, **({"HX-Request": "true"} if htmx else {}), **more.pop("headers", {})}
        return await self.world.client.get(path, headers=headers, allow_redirects=False, **more)

    async def page(self, path: str, *, htmx: bool = False) -> str:
        """The HTML of a page that must be there."""
        response = await self.get(path, htmx=htmx)
        assert response.status == 200, await response.text()
        return await response.text()

    async def tap(self, path: str, *, method: str = "POST", **fields: Any) -> aiohttp.ClientResponse:
        """What the page's own scripts post."""
        headers = {**self._cookie, "X-CSRF": self.csrf, "Accept": "application/json"}
        return await self.world.client.request(method, path, json=fields, headers=headers)

    async def press(self, path: str, *, method: str = "POST", **fields: str) -> str:
        """What htmx posts; the piece of the page that comes back."""
        headers = {**self._cookie, "X-CSRF": self.csrf, "HX-Request": "true"}
        response = await self.world.client.request(method, path, data=fields, headers=headers)
        assert response.status == 200, await response.text()
        return await response.text()

    @property
    def _cookie(self) -> dict[str, str]:
        return {"Cookie": f"{COOKIE}={self.token}"}


async def sign_in(world: World, userid: str, name: str) -> Member:
    now = world.clock.now()

    def enter(conn: Connection) -> tuple[str, str]:
        profiles.save_member(conn, userid, name=name, now=now)
        token = sessions.open_session(conn, userid, now=now, lives=timedelta(days=30))
        found = sessions.find_session(conn, token, now=now)
        assert found
        return token, found.csrf

    return Member(world, userid, *await world.services.db.write(enter))


@pytest.fixture
async def lina(world: World) -> Member:
    return await sign_in(world, "lina", "李娜")


@pytest.fixture
async def wanghao(world: World) -> Member:
    return await sign_in(world, "wanghao", "王皓")


def words(html: str) -> str:
    """What a reader sees, with single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())
