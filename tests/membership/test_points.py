"""Points and levels as orders, programs, managers and time move them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select

from scrm.commerce.canonical import read_order
from scrm.commerce.models import orders
from scrm.commerce.store import save_orders
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.errors import Conflict, ScrmError
from scrm.events import event
from scrm.membership import points, store
from scrm.membership.rules import Level, Rules, Standing, decide_level
from scrm.profiles.models import identity, person

NOW = datetime(2026, 6, 18, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SILVER, GOLD = Level("silver", "银卡", 100, 100), Level("gold", "金卡", 1000, 800, points_rate=2000)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


def begin(conn: Connection, **rules: Any) -> int:
    """The rules, two levels, and a person."""
    store.save_rules(conn, Rules(since=NOW - DAY, **rules), by="chenlan", now=NOW)
    for level in (SILVER, GOLD):
        store.save_level(conn, level)
    person_id = int(
        conn.execute(person.insert().values(name="小满", created_at=NOW).returning(person.c.id)).scalar_one()
    )
    conn.execute(
        identity.insert().values(person_id=person_id, kind="wx_unionid", value="oU", source="test", created_at=NOW)
    )
    return person_id


def take(conn: Connection, now: datetime = NOW, **fields: Any) -> None:
    """An order as it stands, and what it means for points."""
    order = {
        "channel": "youzan",
        "order_no": "E1",
        "paid_at": NOW.isoformat(),
        "buyer_ref": {"wx_unionid": "oU"},
        "paid_fen": 20000,
        **fields,
    }
    save_orders(conn, [read_order(order)], now=now, vault=Vault("a secret that is long enough for tests"), route="api")
    order_id = conn.execute(select(orders.c.id).where(orders.c.order_no == order["order_no"])).scalar_one()
    points.settle_order(conn, order_id, now=now)
    points.settle_order(conn, order_id, now=now)


async def balance(db: Database, person_id: int) -> tuple[int, int, int, str]:
    row = await db.read(store.find_account, person_id)
    assert row is not None
    counted = await db.read(store.recount, person_id)
    assert counted == {"available": row.available, "frozen": row.frozen, "growth": row.growth}
    return row.available, row.frozen, row.growth, row.level_key


async def told(db: Database, name: str) -> list[dict[str, Any]]:
    query = select(event.c.facts).where(event.c.name == name).order_by(event.c.id)
    return await db.read(lambda conn: list(conn.execute(query).scalars()))


async def test_an_order_freezes_frees_and_takes_back(db: Database) -> None:
    person_id = await db.write(begin)
    await db.write(take, status="paid")
    assert await balance(db, person_id) == (0, 200, 0, "")
    await db.write(take, status="shipped", refunds=[{"refund_no": "R1", "status": "refunded", "amount_fen": 5000}])
    assert await balance(db, person_id) == (0, 150, 0, "")
    await db.write(take, status="completed")
    assert await balance(db, person_id) == (150, 0, 150, "silver")
    give = {"business_key": "gift-1", "by": "mall", "now": NOW}
    moved = await db.write(points.move, person_id, -120, "exchange", **give)
    assert moved.available_after == 30
    again = await db.write(points.move, person_id, -120, "exchange", **give)
    assert again.id == moved.id
    with pytest.raises(Conflict, match="已经用于另一笔"):
        await db.write(points.move, person_id, -20, "exchange", **give)
    with pytest.raises(Conflict, match="可用积分只有 30"):
        await db.write(points.move, person_id, -31, "exchange", **{**give, "business_key": "gift-2"})
    await db.write(take, status="closed", refunds=[{"refund_no": "R2", "status": "refunded", "amount_fen": 15000}])
    assert await balance(db, person_id) == (-120, 0, 0, "")
    assert [one["direction"] for one in await told(db, "level.changed")] == ["up", "down"]
    reasons = [one["reason"] for one in await told(db, "points.changed")]
    assert reasons == ["purchase", "refund", "thaw", "exchange", "refund"]


async def test_points_end_are_spoken_of_before_and_a_level_is_kept_or_lost(db: Database) -> None:
    person_id = await db.write(begin, points_live_days=60, points_told_days=10, period_days=100)
    await db.write(take, status="completed")
    at = NOW + 50 * DAY
    assert [await db.write(points.tell_ending, moment) for moment in (at - DAY, at, at + DAY)] == [0, 1, 0]
    (ending,) = await told(db, "points.expiring")
    assert ending["points"] == 200
    assert [await db.write(points.expire_due, NOW + 60 * DAY) for _ in range(2)] == [1, 0]
    assert await balance(db, person_id) == (0, 0, 200, "silver")
    assert [await db.write(points.decide_due, NOW + days * DAY) for days in (99, 101, 101)] == [0, 1, 0]
    assert (await balance(db, person_id))[3] == ""


async def test_a_late_refund_takes_no_growth_of_another_period(db: Database) -> None:
    person_id = await db.write(begin, period_days=100)
    second, returned = NOW + 50 * DAY, NOW + 101 * DAY
    await db.write(take, status="completed")
    await db.write(take, second, order_no="E2", status="completed", paid_fen=12000, paid_at=second.isoformat())
    assert await db.write(points.decide_due, NOW + 100 * DAY) == 1
    await db.write(
        take, returned, status="closed", refunds=[{"refund_no": "R", "status": "refunded", "amount_fen": 20000}]
    )
    assert await balance(db, person_id) == (120, 0, 120, "silver")
    back = [{"refund_no": "R", "status": "refunded", "amount_fen": 3000}]
    await db.write(take, returned + DAY, order_no="E2", status="completed", paid_fen=12000, refunds=back)
    assert (await balance(db, person_id))[3] == ""


async def test_orders_paid_before_the_rules_bring_nothing(db: Database) -> None:
    person_id = await db.write(begin)
    await db.write(take, status="completed", paid_at=(NOW - 2 * DAY).isoformat())
    assert await db.read(store.find_account, person_id) is None or await balance(db, person_id) == (0, 0, 0, "")


async def test_at_once_from_everywhere_nobody_spends_twice(db: Database) -> None:
    person_id = await db.write(begin)
    await db.write(points.move, person_id, 10, "campaign", business_key="start", by="mall", now=NOW)
    spends = (
        db.write(points.move, person_id, -3, "exchange", business_key=f"spend-{number % 16}", by="mall", now=NOW)
        for number in range(32)
    )
    results = await asyncio.gather(*spends, return_exceptions=True)
    assert all(not isinstance(one, Exception) or isinstance(one, ScrmError) for one in results)
    assert (await balance(db, person_id))[0] == 1


async def test_a_big_adjustment_waits_for_somebody_else(db: Database) -> None:
    person_id = await db.write(begin)
    lot = {"by": "chenlan", "may_approve": False, "now": NOW}
    assert await db.write(points.adjust, person_id, 1000, "补偿", form_key="a", **lot) == "done"
    assert await db.write(points.adjust, person_id, 1001, "补偿", form_key="b", **lot) == "waiting"
    (waiting, *_) = await db.read(store.list_requests)
    with pytest.raises(Conflict, match="不能批准自己"):
        await db.write(points.decide_request, waiting.id, approve=True, by="chenlan", now=NOW)
    await db.write(points.decide_request, waiting.id, approve=True, by="admin", now=NOW)
    with pytest.raises(Conflict, match="已经处理过"):
        await db.write(points.decide_request, waiting.id, approve=True, by="admin", now=NOW)
    assert (await balance(db, person_id))[0] == 2001


@pytest.mark.parametrize(
    ("have", "growth", "days", "fell", "becomes"),
    [
        ("", 99, 0, False, ""),
        ("", 5000, 0, False, "gold"),
        ("gold", 0, 99, False, "gold"),
        ("gold", 800, 100, False, "gold"),
        ("gold", 799, 100, False, "silver"),
        ("gold", 0, 100, False, ""),
        ("gold", 300, 1, True, "silver"),
        ("gold", 0, 1, True, "silver"),
        ("deleted", 300, 1, False, "silver"),
    ],
)
def test_levels_rise_at_once_and_fall_at_the_end_of_a_period(
    have: str, growth: int, days: int, fell: bool, becomes: str
) -> None:
    standing = Standing(have, "silver" if have == "gold" else "", NOW, NOW + 100 * DAY)
    after = decide_level(NOW + days * DAY, standing, growth, [SILVER, GOLD], Rules(period_days=100), fell=fell)
    assert after.key == becomes
