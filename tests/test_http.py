"""What every page shares: the session in the cookie, proof against forged writes, errors that a reader can use."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import Connection

from scrm import http, sessions
from scrm.app import open_services
from scrm.errors import Conflict, Forbidden
from scrm.profiles import store as profiles
from scrm.profiles.models import member
from scrm.services import SERVICES, Services
from tests.fakes.clock import FakeClock
from tests.world import make_settings
from web import render as rendering

LIVES = timedelta(hours=12)

Client = TestClient[Any, Any]


async def _whoami(request: web.Request) -> web.Response:
    found = http.signed_in(request)
    return web.json_response({"userid": found.userid, "name": found.name, "role": found.role})


async def _enter(request: web.Request) -> web.Response:
    response = web.Response()
    await http.sign_in(request, response, "lina")
    return response


async def _leave(request: web.Request) -> web.Response:
    response = web.Response()
    await http.sign_out(request, response)
    return response


async def _write(request: web.Request) -> web.Response:
    return web.Response(text="written")


async def _refuse(request: web.Request) -> web.Response:
    raise Forbidden("这位客户不在你的跟进列表里")


async def _conflict(request: web.Request) -> web.Response:
    raise Conflict("正在发送", released_at="10:00")


async def _break(request: web.Request) -> web.Response:
    raise RuntimeError("the secret of 13800138000")


async def _go(request: web.Request) -> web.Response:
    raise web.HTTPFound("/elsewhere")


@pytest.fixture
async def services(sqlite_url: str, clock: FakeClock) -> AsyncIterator[Services]:
    """Without playbooks and without a WeCom: nothing here needs them. test_sessions.py asks both databases."""
    async with open_services(make_settings(sqlite_url, "http://127.0.0.1:9"), clock) as services:
        yield services


@pytest.fixture
async def client(services: Services) -> AsyncIterator[Client]:
    app = web.Application(middlewares=http.MIDDLEWARES, client_max_size=1024)
    app[SERVICES] = services
    rendering.setup(app, zone=services.settings.shop.zone, shop_name=services.settings.shop.name)
    app.add_routes(
        [
            web.get("/sidebar/me", _whoami),
            web.get("/enter", _enter),
            web.post("/sidebar/leave", _leave),
            web.post("/sidebar/write", _write),
            web.delete("/sidebar/write", _write),
            web.post("/api/write", _write),
            web.get("/sidebar/refused", _refuse),
            web.get("/api/conflict", _conflict),
            web.get("/sidebar/broken", _break),
            web.get("/sidebar/go", _go),
        ]
    )
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
async def lina(services: Services) -> None:
    await services.db.write(profiles.save_member, "lina", name="李娜", alias="", avatar="", now=services.clock.now())


@pytest.fixture
async def token(services: Services, lina: None) -> str:
    return await services.db.write(sessions.open_session, "lina", now=services.clock.now(), lives=LIVES)


def cookie(token: str) -> dict[str, str]:
    return {"Cookie": f"{http.COOKIE}={token}"}


async def proof(services: Services, token: str) -> str:
    found = await services.db.read(sessions.find_session, token, now=services.clock.now())
    assert found is not None
    return found.csrf


# Who is signed in ----------------------------------------------------------------------------------------------------


async def test_the_cookie_tells_who_is_there(client: Client, token: str) -> None:
    told = await (await client.get("/sidebar/me", headers=cookie(token))).json()
    assert told == {"userid": "lina", "name": "李娜", "role": "member"}


async def test_nobody_is_there_without_a_cookie_or_with_an_invented_one(client: Client, token: str) -> None:
    for headers in ({}, cookie("invented"), cookie(token + "x")):
        response = await client.get("/sidebar/me", headers=headers)
        assert response.status == 401
        assert "登录已过期" in await response.text()


async def test_a_session_ends_by_itself(client: Client, clock: FakeClock, token: str) -> None:
    clock.advance(hours=11, minutes=59)
    assert (await client.get("/sidebar/me", headers=cookie(token))).status == 200
    clock.advance(minutes=2)
    assert (await client.get("/sidebar/me", headers=cookie(token))).status == 401


async def test_a_member_who_was_stopped_is_out_at_once(client: Client, services: Services, token: str) -> None:
    def stop(conn: Connection) -> None:
        conn.execute(member.update().values(is_active=False))

    await services.db.write(stop)
    assert (await client.get("/sidebar/me", headers=cookie(token))).status == 401


async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(client: Client, lina: None) -> None:
    response = await client.get("/enter")
    morsel = response.cookies[http.COOKIE]
    assert (morsel["httponly"], morsel["samesite"], morsel["secure"], morsel["path"]) == (True, "Lax", True, "/")
    assert len(morsel.value) >= 43  # 256 bits
    told = await (await client.get("/sidebar/me", headers=cookie(morsel.value))).json()
    assert told["userid"] == "lina"


async def test_who_leaves_is_out_also_with_a_copy_of_the_cookie(client: Client, services: Services, token: str) -> None:
    headers = cookie(token) | {"X-CSRF": await proof(services, token)}
    assert (await client.post("/sidebar/leave", headers=headers)).status == 200
    assert (await client.get("/sidebar/me", headers=cookie(token))).status == 401


# Forged writes -------------------------------------------------------------------------------------------------------


async def test_a_write_needs_the_proof_of_its_own_session(client: Client, services: Services, token: str) -> None:
    other = await services.db.write(sessions.open_session, "lina", now=services.clock.now(), lives=LIVES)
    for given in (None, "", "wrong", "错", await proof(services, other)):
        headers = cookie(token) | ({} if given is None else {"X-CSRF": given})
        response = await client.post("/sidebar/write", headers=headers)
        assert response.status == 403, given
        assert "页面已过期，请刷新后再试" in await response.text()
    assert (await client.delete("/sidebar/write", headers=cookie(token))).status == 403


async def test_the_proof_comes_in_a_header_or_as_a_field(client: Client, services: Services, token: str) -> None:
    csrf = await proof(services, token)
    assert (await client.post("/sidebar/write", headers=cookie(token) | {"X-CSRF": csrf})).status == 200
    assert (await client.post("/sidebar/write", headers=cookie(token), data={"csrf": csrf})).status == 200
    assert (await client.delete("/sidebar/write", headers=cookie(token) | {"X-CSRF": csrf})).status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://crm.example.test.evil.example"])
async def test_another_site_cannot_write_even_with_the_proof(
    client: Client, services: Services, token: str, origin: str
) -> None:
    headers = cookie(token) | {"X-CSRF": await proof(services, token), "Origin": origin}
    response = await client.post("/sidebar/write", headers=headers)
    assert response.status == 403
    assert "请求来自其他网站" in await response.text()


async def test_our_own_pages_write_through_a_proxy_too(client: Client, services: Services, token: str) -> None:
    headers = cookie(token) | {"X-CSRF": await proof(services, token), "Origin": "https://crm.example.test"}
    assert (await client.post("/sidebar/write", headers=headers)).status == 200


async def test_a_write_without_a_session_is_refused(client: Client) -> None:
    assert (await client.post("/sidebar/write")).status == 401


async def test_programs_do_not_need_the_proof(client: Client) -> None:
    assert (await client.post("/api/write")).status == 200


# Errors --------------------------------------------------------------------------------------------------------------


async def test_an_error_is_a_page_for_a_browser(client: Client) -> None:
    response = await client.get("/sidebar/refused")
    text = await response.text()
    assert (response.status, response.content_type) == (403, "text/html")
    assert text.startswith("<!doctype html>")
    assert "这位客户不在你的跟进列表里" in text
    assert response.headers["Cache-Control"] == "no-store"


async def test_an_error_is_a_piece_of_a_page_for_htmx(client: Client) -> None:
    response = await client.get("/sidebar/refused", headers={"HX-Request": "true"})
    text = await response.text()
    assert response.status == 403
    assert "这位客户不在你的跟进列表里" in text
    assert "<html" not in text


async def test_an_error_is_json_for_a_program(client: Client) -> None:
    response = await client.get("/api/conflict")
    assert response.status == 409
    told = await response.json()
    assert (told["error"], told["released_at"]) == ({"code": "conflict", "message": "正在发送"}, "10:00")
    assert {key: told[key] for key in ("type", "title", "status", "detail")} == {
        "type": "urn:scrm:error:conflict",
        "title": "Conflict",
        "status": 409,
        "detail": "正在发送",
    }
    response = await client.get("/sidebar/refused", headers={"Accept": "application/json"})
    assert (await response.json())["error"] == {"code": "forbidden", "message": "这位客户不在你的跟进列表里"}


async def test_a_bug_shows_a_number_and_nothing_of_itself(client: Client) -> None:
    with structlog.testing.capture_logs() as lines:
        response = await client.get("/sidebar/broken")
    text = await response.text()
    assert response.status == 500
    found = re.search(r"反馈时请提供编号 ([0-9a-f]{8})", text)
    assert found is not None
    assert not re.search("RuntimeError|Traceback|13800138000", text)
    assert [line["number"] for line in lines] == [found.group(1)]


async def test_wrong_addresses_methods_and_sizes_are_told_calmly(
    client: Client, services: Services, token: str
) -> None:
    response = await client.get("/sidebar/nothing-here")
    assert (response.status, "没有这个页面" in await response.text()) == (404, True)
    response = await client.get("/sidebar/write")
    assert (response.status, "不支持这样访问" in await response.text()) == (405, True)
    response = await client.post("/sidebar/write", headers=cookie(token), data={"csrf": "x" * 4096})
    assert (response.status, "提交的内容太大了" in await response.text()) == (413, True)


async def test_a_redirect_is_no_error(client: Client) -> None:
    response = await client.get("/sidebar/go", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (302, "/elsewhere")
