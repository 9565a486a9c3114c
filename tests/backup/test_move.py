"""From SQLite to PostgreSQL: every row arrives as it was, ids go on counting, and a failure leaves nothing behind."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, update

from scrm.commerce import hours
from scrm.commerce.models import orders
from scrm.db import Database
from scrm.db.every_table import metadata
from scrm.db.moving import move
from scrm.db.serving import serve_alone
from scrm.errors import Conflict, Invalid, ScrmError
from scrm.profiles.models import person
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.sop.shop import open_shop, playbook_of, step

PLAYBOOK = playbook_of(step("ask", "T0+1h"), step("mark", "T0", "X", act=({"set": {"stage": "潜客"}},)))


def _all(conn: Connection) -> dict[str, list[Any]]:
    tables = metadata.sorted_tables
    return {
        table.name: [tuple(row) for row in conn.execute(select(table).order_by(*table.primary_key.columns))]
        for table in tables
    }


async def _rows(url: str) -> dict[str, list[Any]]:
    db = Database(url)
    rows = await db.read(_all)
    await db.close()
    return {name: found for name, found in rows.items() if found}


@pytest.fixture
async def lived_in(sqlite_url: str, clock: FakeClock, wecom: FakeWeCom) -> str:
    """A shop with customers, runs, tasks, sends and events, some of whose ids are gone."""
    async with open_shop(sqlite_url, clock, wecom) as shop:
        await shop.run(PLAYBOOK)
        for name in ("小满", "阿芳 🌸", "老陈\n第二行"):
            await shop.add(name)
        await shop.pass_time(hours=1)
        await shop.services.db.write(_buy, clock.now())
    return sqlite_url


def _buy(conn: Connection, now: datetime) -> None:
    """Triggers keep what was bought in each hour and who bought."""
    person_id = conn.scalar(select(func.min(person.c.id)))
    told = {"channel": "pos", "order_no": "1", "status": "completed", "payment_status": "paid", "paid_fen": 900}
    times = dict.fromkeys(("ordered_at", "paid_at", "first_seen_at", "last_seen_at"), now)
    conn.execute(insert(orders).values(person_id=person_id, **told, **times))


async def test_every_row_arrives_and_the_shop_goes_on(
    lived_in: str, empty_postgresql_url: str, clock: FakeClock, wecom: FakeWeCom
) -> None:
    before = await _rows(lived_in)
    told: list[str] = []
    moved = await asyncio.to_thread(move, lived_in, empty_postgresql_url, told.append)
    after = await _rows(empty_postgresql_url)
    assert after == before
    assert {name: count for name, count in moved.items() if count} == {name: len(rows) for name, rows in before.items()}
    assert "person：3 行" in told
    async with open_shop(empty_postgresql_url, clock, wecom) as shop:
        await shop.run(PLAYBOOK)
        shop._met = 3
        who = await shop.add("新来的")
        assert who.person_id > max(row[0] for row in before["person"])
        await shop.pass_time(hours=1)
        assert len(await shop.tasks()) == 4
        await shop.services.db.write(lambda conn: conn.execute(update(orders).values(paid_fen=500)))
        assert await shop.services.db.read(hours.differing) == 0


async def test_what_is_not_empty_is_left_alone(lived_in: str, postgresql_url: str, clock: FakeClock) -> None:
    db = Database(postgresql_url)
    await db.write(lambda conn: conn.execute(insert(person).values(name="先来的", created_at=clock.now())))
    with pytest.raises(Conflict, match="已经有客户"):
        await asyncio.to_thread(move, lived_in, postgresql_url)
    assert await db.read(lambda conn: conn.execute(select(person.c.name)).scalars().all()) == ["先来的"]
    await db.close()


async def test_a_failure_in_the_middle_leaves_nothing(lived_in: str, empty_postgresql_url: str) -> None:
    db = Database(lived_in)
    # SQLite keeps what PostgreSQL refuses.
    await db.write(lambda conn: conn.exec_driver_sql("UPDATE task SET text = 'a' || char(0) || 'b'"))
    await db.close()
    with pytest.raises(ScrmError, match="没有搬成"):
        await asyncio.to_thread(move, lived_in, empty_postgresql_url)
    after = await _rows(empty_postgresql_url)
    assert "person" not in after


def test_only_sqlite_to_postgresql_and_only_when_nobody_serves(sqlite_url: str) -> None:
    with pytest.raises(Invalid, match="只把 SQLite 搬到 PostgreSQL"):
        move("postgresql://crm@db/crm", "postgresql://crm@db/other")
    for target in (sqlite_url, "db.internal"):
        with pytest.raises(Invalid, match="--to 要写 PostgreSQL 的地址"):
            move(sqlite_url, target)
    with pytest.raises(ScrmError, match="没有搬成") as refused:
        move(sqlite_url, "postgresql://crm:hidden@127.0.0.1:1/crm")
    assert "hidden" not in refused.value.text
    with serve_alone(sqlite_url), pytest.raises(ScrmError, match="served by another process"), serve_alone(sqlite_url):
        pass
