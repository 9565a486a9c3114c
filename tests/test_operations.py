"""What operators and their tools ask for."""

import asyncio
import sqlite3
from datetime import timedelta

import pytest
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from scrm.api.store import make_key
from scrm.app import build_app, open_services
from scrm.db.away import why_away
from scrm.log import configure_logs
from scrm.work import queue
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.world import World, make_settings


async def test_a_healthy_house_is_ready(world: World) -> None:
    assert await (await world.client.get("/healthz")).json() == {"status": "ok"}
    response = await world.client.get("/readyz")
    told = await response.json()
    assert response.status == 200
    assert {name: one["ok"] for name, one in told["checks"].items()} == {
        "database": True,
        "migrations": True,
        "queue": True,
    }


async def test_work_that_nobody_does_makes_it_unready(world: World) -> None:
    item = queue.Item(lane="event", kind="nobody", due_at=world.clock.now() - timedelta(minutes=10))
    await world.services.db.write(queue.add, item, now=world.clock.now())
    response = await world.client.get("/readyz")
    told = await response.json()
    assert response.status == 503
    assert told["checks"]["queue"]["oldest_seconds"] == 600
    metrics = await (await world.client.get("/metrics")).text()
    assert "scrm_queue_age_seconds 600.0" in metrics
    assert 'scrm_queue_items{lane="event",state="waiting"} 1.0' in metrics


async def test_a_database_of_another_version_makes_it_unready(world: World) -> None:
    def age(conn: Connection) -> None:
        conn.execute(text("UPDATE alembic_version SET version_num = '0000'"))

    await world.services.db.write(age)
    response = await world.client.get("/readyz")
    assert response.status == 503
    assert (await response.json())["checks"]["migrations"]["mend"] == "scrm migrate"


async def test_a_page_that_does_not_exist_says_so_calmly(world: World) -> None:
    response = await world.client.get("/console/nothing/here")
    assert response.status == 404
    assert "没有这个页面" in await response.text()


async def test_a_full_disk_is_told_without_a_trace_and_nothing_is_acknowledged(
    sqlite_url: str, wecom: FakeWeCom, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(as_json=True)
    order = {"channel": "taobao", "status": "paid", "buyer_ref": {}, "lines": [{"title": "霜" * 200, "quantity": 1}]}
    orders = [{**order, "order_no": f"A{number}"} for number in range(300)]
    async with open_services(make_settings(sqlite_url, wecom.url), clock) as services:  # type: ignore[attr-defined]
        key = await services.db.write(make_key, "erp", "manager", now=clock.now())
        async with TestClient(TestServer(build_app(services, with_worker=False))) as client:
            world = World(services, clock, wecom, client)
            # May not grow by a page: what a full disk answers.
            await services.db.write(lambda conn: conn.exec_driver_sql("PRAGMA max_page_count=1").scalar())
            told = await world.tell(f"<xml><Event>strange</Event><Text>{'多' * 90_000}</Text></xml>")
            assert told.status == 503
            refused = await client.post("/api/v1/orders", json=orders, headers={"Authorization": f"Bearer {key}"})
            assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
            assert (await refused.json())["detail"] == "数据库暂时用不了，请稍后再试"
            await services.db.write(lambda conn: conn.exec_driver_sql("PRAGMA max_page_count=1000000").scalar())
            again = await client.post("/api/v1/orders", json=orders, headers={"Authorization": f"Bearer {key}"})
            assert again.status == 200
    lines = capsys.readouterr().err
    assert "磁盘满了" in lines
    assert "Traceback" not in lines


async def test_without_its_database_every_page_says_so_and_the_figures_go_on(
    wecom: FakeWeCom, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(as_json=True)
    nobody_there = "postgresql://scrm:wordofthedatabase@127.0.0.1:1/none"
    settings = make_settings(nobody_there, wecom.url)  # type: ignore[attr-defined]
    async with (
        open_services(settings, clock) as services,
        TestClient(TestServer(build_app(services, with_worker=False))) as client,
    ):
        assert (await client.get("/readyz")).status == 503
        assert "scrm_database_up 0.0" in await (await client.get("/metrics")).text()
        asked = await client.get("/api/v1/members", headers={"Authorization": "Bearer any"})
        assert (asked.status, (await asked.json())["error"]["code"]) == (503, "unavailable")
        page = await client.get("/console/", headers={"Cookie": "scrm_session=any"})
        assert (page.status, "数据库暂时用不了" in await page.text()) == (503, True)
    lines = capsys.readouterr().err
    assert "数据库连不上" in lines
    assert "Traceback" not in lines
    assert "wordofthedatabase" not in lines


async def test_what_is_no_http_is_refused_in_one_line_without_its_bytes(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(as_json=True)
    capsys.readouterr()
    for garbage in (b"GET / HTTP/1.1\r\nX-Mine: secret\x00word\r\n\r\n", b"\x16\x03\x01 secret\r\n\r\n"):
        reader, writer = await asyncio.open_connection(world.client.host, world.client.port)
        writer.write(garbage)
        assert (await reader.read()).startswith(b"HTTP/1.0 400")
        writer.close()
    said = capsys.readouterr().err
    assert "no HTTP that we understand" in said
    assert len(said.splitlines()) <= 2
    assert not any(word in said for word in ("Traceback", "secret", "exception"))


class Refusal(Exception):
    """What asyncpg raises, as far as it matters: a code of PostgreSQL's."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OperationalError("", {}, sqlite3.OperationalError("database is locked")), "数据库文件被别的程序占着"),
        (OperationalError("", {}, sqlite3.OperationalError("disk I/O error")), "读写磁盘出错"),
        (OperationalError("", {}, sqlite3.OperationalError("no such column: a")), ""),
        (IntegrityError("", {}, sqlite3.IntegrityError("UNIQUE constraint failed")), ""),
        (DBAPIError("", {}, Refusal("57P01"), connection_invalidated=True), "数据库正在停止或启动"),
        (DBAPIError("", {}, Refusal("53300")), "数据库服务器的连接或内存用完了"),
        (DBAPIError("", {}, Refusal("42703")), ""),
        (DBAPIError("", {}, Refusal(""), connection_invalidated=True), "数据库连不上"),
        (KeyError("a"), ""),
    ],
)
def test_a_bug_is_no_absence_of_the_database(error: Exception, cause: str) -> None:
    assert why_away(error) == cause
