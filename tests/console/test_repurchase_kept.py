"""The rows kept for the cohorts say what the orders say, whatever happens to the orders and whenever the tick comes."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, delete, func, select

from scrm import joining
from scrm.access.scope import Scope
from scrm.commerce import running_totals, store
from scrm.commerce.canonical import read_order
from scrm.commerce.models import orders
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.profiles.merge import Act
from scrm.profiles.models import external_contact, follow_user
from scrm.reports import board_repurchase, buyers
from scrm.reports.board_repurchase import Cohort
from scrm.reports.models import report_buyer, report_buyer_day, report_buyer_news
from scrm.reports.recount import recount_reports
from scrm.reports.whose import Whose
from tests.commerce.conftest import add_person

VAULT = Vault("a secret that is long enough for tests")
EVERYBODY = Whose()
SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")


def counted(conn: Connection, now: datetime, zone: ZoneInfo, months: list[date], only: int | None) -> list[Cohort]:
    """The definitions in plain words, from every order, of everybody or of one person."""
    bought: dict[int, list[tuple[datetime, int]]] = {}
    for row in conn.execute(select(orders).where(orders.c.paid_at < now).order_by(orders.c.paid_at)).all():
        if only not in (None, row.person_id):
            continue
        if row.person_id and row.paid_fen > 0 and not row.is_test and row.payment_status != "partially_paid":
            one = (row.paid_at.astimezone(zone), max(0, row.paid_fen - row.refunded_fen))
            bought.setdefault(row.person_id, []).append(one)
    cohorts = [Cohort(month, months_over=min(12, len(months) - 2 - n)) for n, month in enumerate(months[:-1])]
    today = now.astimezone(zone).date()
    for cohort in cohorts:
        theirs = [each for each in bought.values() if each[0][0].date().replace(day=1) == cohort.month]
        for paid in theirs:
            first = paid[0][0].date()
            days = [(at.date() - first).days for at, _ in paid]
            cohort.buyers += 1
            cohort.again += max(days) > 0
            cohort.net_fen += sum(fen for _, fen in paid)
            for most in board_repurchase.DAYS:
                back, is_ripe = any(0 < day <= most for day in days), first + timedelta(days=most) <= today
                within = sum(fen for day, (_, fen) in zip(days, paid, strict=True) if day <= most)
                for into, more in (
                    (cohort.returned, back),
                    (cohort.ripe, is_ripe),
                    (cohort.ripe_returned, back and is_ripe),
                    (cohort.ripe_fen, within * is_ripe),
                ):
                    if more:
                        into[most] = into.get(most, 0) + more
            for month in {(at.year - first.year) * 12 + at.month - first.month for at, _ in paid} & set(range(1, 13)):
                cohort.active[month] = cohort.active.get(month, 0) + 1
    return cohorts


def assert_agrees(
    conn: Connection, now: datetime, zone: ZoneInfo, whose: Whose = EVERYBODY, only: int | None = None
) -> list[Cohort]:
    months = board_repurchase.months_of(now, zone, 24)
    found = board_repurchase.count(conn, whose, now, zone, months)
    for cohort in found:
        for name in ("returned", "ripe", "ripe_returned", "ripe_fen", "active"):
            setattr(cohort, name, {key: value for key, value in getattr(cohort, name).items() if value})
    assert found == counted(conn, now, zone, months, only)
    return found


def buy(
    conn: Connection, number: str, who: str, paid_at: datetime, now: datetime, fen: int = 1_000, **told: Any
) -> None:
    words = {"channel": "pos", "order_no": number, "status": "paid", "paid_fen": fen, **told}
    times = {"paid_at": paid_at.isoformat(), "platform_updated_at": now.isoformat()}
    order = read_order({**words, **times, "buyer_ref": {"wx_unionid": who}})
    store.save_orders(conn, [order], now=now, vault=VAULT, route="api")


async def test_cohorts_equal_their_orders_before_and_after_the_tick(database_url: str) -> None:
    db, now = Database(database_url), datetime(2026, 3, 10, 4, tzinfo=UTC)

    async def step(act: Callable[[Connection], Any], zone: ZoneInfo = SHANGHAI) -> list[Cohort]:
        """The same before the tick has seen it, after it, and by the recount."""
        await db.write(act)
        before = await db.read(assert_agrees, now, zone)
        for _ in range(3):
            await db.write(buyers.follow, now, zone)
        assert await db.read(assert_agrees, now, zone) == before
        assert (await recount_reports(db, now, zone, fix=False)).is_right
        return before

    def at(month: int, day: int, hour: int = 9, year: int = 2025) -> datetime:
        return datetime(year, month, day, hour, 30, tzinfo=SHANGHAI)

    def fill(conn: Connection) -> None:
        for who in ("甲", "乙", "丙"):
            add_person(conn, who, wx_unionid=who)
        buy(conn, "1", "甲", at(3, 8), now)
        buy(conn, "2", "甲", at(3, 8, 23), now)
        buy(conn, "3", "甲", at(4, 7, 0), now)
        buy(conn, "4", "乙", at(1, 31, 0), now)
        buy(conn, "5", "乙", at(1, 1, 0, 2026), now)
        # Between midnight in Shanghai and in Berlin, on the night of the summer's clock.
        buy(conn, "6", "丙", datetime(2025, 3, 30, 22, 30, tzinfo=UTC), now)
        buy(conn, "7", "丙", datetime(2025, 10, 26, 0, 30, tzinfo=UTC), now)

    try:
        assert sum(each.buyers for each in await step(fill)) == 3
        # Who reaches only their own customers sees only those, before the tick and after it.
        await db.write(of_lina)
        first = await db.read(owner_of, "1")
        back = orders.update().where(orders.c.order_no == "3").values(refunded_fen=1)
        for act in (lambda conn: conn.execute(back), lambda conn: buyers.follow(conn, now, SHANGHAI)):
            await db.write(act)
            own = await db.read(assert_agrees, now, SHANGHAI, Whose(Scope("lina")), first)
            assert sum(each.buyers for each in own) == 1
        # An order of before all others, and one of before the time looked at.
        await step(lambda conn: buy(conn, "8", "甲", at(12, 1, 9, 2024), now))
        await step(lambda conn: buy(conn, "9", "乙", at(5, 1, 9, 2020), now))
        await step(lambda conn: buy(conn, "10", "丙", at(3, 31), now, fen=0))
        # Money back; a test; a sale that never was.
        await step(lambda conn: conn.execute(orders.update().where(orders.c.order_no == "3").values(refunded_fen=400)))
        await step(never_sold)

        def join(conn: Connection) -> None:
            act = Act("zhangmin", "manual")
            merges.append(joining.join(conn, owner_of(conn, "1"), owner_of(conn, "4"), act, now=now))

        merges: list[int] = []
        assert sum(each.buyers for each in await step(join)) == 2
        assert (
            sum(each.buyers for each in await step(lambda conn: joining.part(conn, merges[0], by="zhangmin", now=now)))
            == 3
        )
        # A purchase dated ahead counts from that moment on, though nobody touches it.
        await step(lambda conn: buy(conn, "11", "乙", now + timedelta(days=40), now))
        assert await db.read(lambda conn: conn.scalar(select(func.count()).select_from(report_buyer_news))) == 1
        now += timedelta(days=41)
        await step(lambda conn: None)
        assert await db.read(lambda conn: conn.scalar(select(func.count()).select_from(report_buyer_news))) == 0
        # The shop moves to another zone; one that moves its clock.
        shanghai = await db.read(assert_agrees, now, SHANGHAI)
        assert await step(lambda conn: None, BERLIN) != shanghai

        def spoil(conn: Connection) -> None:
            conn.execute(report_buyer.update().values(net_fen=7))
            conn.execute(report_buyer_day.update().values(again=9))

        await db.write(spoil)
        assert not (await recount_reports(db, now, BERLIN, fix=True)).is_right
        assert (await recount_reports(db, now, BERLIN, fix=False)).is_right
        await step(lambda conn: None, BERLIN)
    finally:
        await db.close()


def owner_of(conn: Connection, number: str) -> int:
    return conn.scalar(select(orders.c.person_id).where(orders.c.order_no == number)) or 0


def of_lina(conn: Connection) -> None:
    person_id, moment = owner_of(conn, "1"), datetime(2025, 1, 1, tzinfo=UTC)
    contact = {"external_userid": "wm1", "person_id": person_id}
    conn.execute(external_contact.insert().values(**contact, created_at=moment))
    conn.execute(follow_user.insert().values(userid="lina", **contact, followed_at=moment))


def never_sold(conn: Connection) -> None:
    conn.execute(delete(orders).where(orders.c.order_no == "9"))
    for person_id in conn.scalars(select(report_buyer.c.person_id)).all():
        running_totals.recount(conn, person_id)


@pytest.mark.parametrize("zone", [SHANGHAI, BERLIN, ZoneInfo("America/St_Johns")], ids=str)
def test_a_clock_that_is_moved_is_known_to_the_second(zone: ZoneInfo) -> None:
    starts = buyers._shifts(2024, 2026, zone)
    for moment in range(1_704_067_200, 1_798_000_000, 7_777):
        shift = next(shift for start, shift in reversed(starts) if start <= moment * 1000)
        assert timedelta(milliseconds=shift) == datetime.fromtimestamp(moment, zone).utcoffset()
    assert time() == datetime.fromtimestamp(buyers._months(2024, 2026, zone)[5][0] / 1000, zone).time()
