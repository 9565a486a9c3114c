"""Who may see and do what in the sidebar: every route of the application's table, tried by the wrong people."""

import re
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from scrm.http import COOKIE
from scrm.sidebar.link import sidebar_link
from scrm.sidebar.pages import routes
from scrm.sop.models import task
from tests.sidebar.conftest import Member
from tests.world import XIAOMAN, World

# What stands in an address when nothing better is known; a number is that of a task, a coupon, a note of 小满's.
FILLED = {
    "external_userid": XIAOMAN,
    "chat_id": "wrOfSomebodyElse",
    "entity": "person",
    "key": "birthday",
}
# What a route may want to hear before it asks whose customer it is.
SAID = {"flag": "promo", "on": "1", "promo": "1", "text": "好", "reason": "客户不需要"}
WRITES = ("POST", "PUT", "PATCH", "DELETE")
_INLINE = re.compile(
    r"<script(?![-\w])(?![^>]*\bsrc=)|<style|<[^>]+\s(?:style|on(?:click|load|error|submit|change|input|focus|blur|key\w+))="
)
# It is entered by a signed proof instead of a session.
BY_PROOF = {"/sidebar/enter"}


def table() -> Iterator[tuple[str, str]]:
    """(method, path with its placeholders) of every route."""
    for route in routes:
        assert isinstance(route, web.RouteDef)
        yield route.method, route.path


def filled(path: str) -> str:
    return _PLACE.sub(_fill, path)


_PLACE = re.compile(r"\{(\w+)(?::((?:[^{}]|\{[^{}]*\})*))?\}")


def _fill(found: re.Match[str]) -> str:
    """The first of the words that may stand there, what we know by its name, or a number."""
    words = re.fullmatch(r"\w+(?:\|\w+)+", found[2] or "")
    return found[2].split("|")[0] if words else FILLED.get(found[1], "1")


Body = dict[str, dict[str, str]]
WITH_A_CUSTOMER = sorted(pair for pair in table() if "{external_userid}" in pair[1])
WITH_A_THING = sorted(pair for pair in table() if "{" in pair[1] and "{external_userid}" not in pair[1])
ALL = sorted(pair for pair in table() if pair[1] not in BY_PROOF)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Rights do not depend on the database."""
    return sqlite_url


@pytest.fixture
async def busy(world: World) -> World:
    """小满 is Lina's customer, with a task and a coupon; she has never talked with 王皓."""
    await world.add()
    await world.pass_time(days=3)
    await world.pass_time(hours=1, minutes=30)
    return world


async def ask(member: Member, method: str, path: str, **more: Any) -> aiohttp.ClientResponse:
    headers = {"Cookie": f"{COOKIE}={member.token}", "X-CSRF": member.csrf, **more.pop("headers", {})}
    return await member.world.client.request(method, filled(path), headers=headers, allow_redirects=False, **more)


async def test_another_members_customer_is_a_closed_door_on_every_route(
    busy: World, lina: Member, wanghao: Member
) -> None:
    before = await busy.rows(task)
    opened: list[str] = []
    for method, path in WITH_A_CUSTOMER:
        # Some routes take forms, some JSON: who gets neither may refuse it before asking whose customer it is.
        bodies: tuple[Body, ...] = ({"data": SAID}, {"json": SAID}) if method in WRITES else ({},)
        answers = [await ask(wanghao, method, path, **body) for body in bodies]
        told = [(answer.status, await answer.text()) for answer in answers]
        closed = [status == 403 and "不在你的跟进列表里" in text for status, text in told]
        if not any(closed) or any(status not in (403, 422) or "小满" in text for status, text in told):
            opened.append(f"{method} {path}: {[status for status, _ in told]}")
    assert opened == [], "\n".join(opened)
    assert await busy.rows(task) == before


async def test_another_members_task_or_group_is_nobodys(busy: World, lina: Member, wanghao: Member) -> None:
    before = await busy.rows(task)
    opened: list[str] = []
    for method, path in WITH_A_THING:
        for more in ({"data": SAID}, {"json": SAID}) if method in WRITES else ({},):
            response = await ask(wanghao, method, path, **more)
            text = await response.text()
            # Of a group that WeCom has not told us of the page says just that.
            is_unknown_group = "/groups/" in path and 'class="notice"' in text
            # 409: the pool is everybody's, and off.
            if (response.status not in (403, 404, 409, 422) and not is_unknown_group) or "小满" in text:
                opened.append(f"{method} {path}: {response.status}")
    assert opened == [], "\n".join(opened)
    assert await busy.rows(task) == before


async def test_nobody_gets_in_without_a_session(busy: World) -> None:
    let_in: list[str] = []
    for method, path in ALL:
        response = await busy.client.request(method, filled(path), allow_redirects=False)
        is_sent_to_login = response.status == 302 and response.headers["Location"].startswith(("/login", "/sidebar/"))
        if not (response.status == 401 or (is_sent_to_login and method == "GET")):
            let_in.append(f"{method} {path}: {response.status}")
    assert let_in == [], "\n".join(let_in)


async def test_no_write_passes_without_the_pages_proof_or_from_another_site(busy: World, lina: Member) -> None:
    before = await busy.rows(task)
    passed: list[str] = []
    for method, path in ALL:
        if method not in WRITES:
            continue
        for headers in ({"X-CSRF": ""}, {"X-CSRF": "0" * 43}, {"Origin": "https://evil.example"}):
            response = await ask(lina, method, path, data={"mark": "case.opened"}, headers=headers)
            if response.status != 403:
                passed.append(f"{method} {path} {headers}: {response.status}")
    assert passed == [], "\n".join(passed)
    assert await busy.rows(task) == before


async def test_a_page_of_a_session_that_is_over_is_told_apart_from_a_closed_door(busy: World, lina: Member) -> None:
    path = f"/sidebar/contacts/{XIAOMAN}/marks"
    response = await ask(lina, "POST", path, headers={"X-CSRF": "old", "Accept": "application/json"})
    assert (response.status, (await response.json())["error"]["code"]) == (403, "stale_page")


async def test_every_answer_is_kept_by_nobody_and_runs_nothing_that_is_not_ours(busy: World, lina: Member) -> None:
    wrong: list[str] = []
    for method, path in ALL:
        if method != "GET":
            continue
        for htmx in ({}, {"HX-Request": "true"}):
            response = await ask(lina, method, path, headers=htmx)
            wrong += [f"{path} {response.status}: {each}" for each in _faults(response, await response.text())]
    assert wrong == [], "\n".join(wrong)


def _faults(response: aiohttp.ClientResponse, text: str) -> Iterator[str]:
    if "no-store" not in response.headers.get("Cache-Control", "") and response.status not in (302, 303):
        yield "is kept"
    if not response.content_type.startswith("text/html") or not text:
        return
    policy = response.headers.get("Content-Security-Policy", "")
    if "script-src 'self'" not in policy or "unsafe-" in policy:
        yield f"policy {policy}"
    if response.headers.get("X-Content-Type-Options") != "nosniff":
        yield "is sniffed"
    if response.headers.get("Referrer-Policy") != "same-origin":
        yield "tells where it came from"
    if _INLINE.search(text):
        yield "script or style within the page"


async def test_the_sessions_cookie_travels_safely_and_scripts_cannot_read_it(busy: World) -> None:
    until = busy.clock.now().replace(year=busy.clock.now().year + 1)
    path = sidebar_link(busy.services.vault, "lina", XIAOMAN, until)
    cookie = (await busy.client.get(path, allow_redirects=False)).cookies[COOKIE]
    assert (cookie["httponly"], cookie["secure"], cookie["samesite"]) == (True, True, "Lax")


async def test_assets_are_kept_for_ever_by_their_content(busy: World, lina: Member) -> None:
    page = await lina.page("/sidebar/")
    assets = re.findall(r'(?:src|href)="(/static/dist/[^"]+)"', page)
    assert {re.sub(r"-[A-Z0-9]{8}\.", ".", path.rpartition("/")[2]) for path in assets} >= {
        "sidebar.js",
        "old-client.js",
        "sidebar.css",
        "dark.css",
        "plain.css",
    }
    for path in assets:
        response = await busy.client.get(path)
        assert response.status == 200
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
