"""What a channel's page says of adds, net adds, money and cost equals a count by hand, in whatever order it was told."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine

from scrm.commerce.models import orders
from scrm.contact_ways import ledger
from scrm.events import Event, publish
from scrm.profiles.models import person, person_stat
from scrm.reports import adds, boards, costs
from scrm.reports.period import read_asked
from scrm.reports.whose import Whose
from tests.fakes.clock import FakeClock

ZONE = ZoneInfo("Asia/Shanghai")
NOW = FakeClock().now()
TODAY = NOW.astimezone(ZONE).date()
PERSONS, STATES = (1, 2, 3), ("", "a", "b")
HOURS = st.integers(1, 24 * 36)

# (customer, member, channel, hours ago, whether it is an add); at one moment one thing happens to a customer.
HAPPENED = st.lists(
    st.tuples(
        st.sampled_from(PERSONS), st.sampled_from(("lina", "wuhao")), st.sampled_from(STATES), HOURS, st.booleans()
    ),
    max_size=16,
    unique_by=lambda one: (one[0], one[3]),
)
# (customer, hours ago, paid, refunded)
BOUGHT = st.lists(st.tuples(st.sampled_from(PERSONS), HOURS, st.integers(1, 900), st.integers(0, 1_000)), max_size=6)
# (channel, how many days ago it began, how many days it lasted, fen)
SPENT = st.lists(
    st.tuples(st.sampled_from(STATES[1:]), st.integers(0, 40), st.integers(1, 40), st.integers(1, 99_999)), max_size=3
)
Happened = list[tuple[int, str, str, int, bool]]


@pytest.fixture
def tables(sqlite_url: str) -> Iterator[Connection]:
    engine = create_engine(sqlite_url)
    with engine.connect() as conn, conn.begin() as transaction:
        yield conn
        transaction.rollback()
    engine.dispose()


@given(HAPPENED, BOUGHT, SPENT, st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_channels_figures_equal_a_recount(
    tables: Connection,
    happened: Happened,
    bought: list[tuple[int, int, int, int]],
    spent: list[tuple[str, int, int, int]],
    random: Any,
) -> None:
    asked = read_asked({"days": "30"}, NOW, ZONE)
    with tables.begin_nested() as point:
        _buy(tables, bought)
        for state, began, days, fen in spent:
            first = TODAY - timedelta(days=began)
            costs.add(tables, state, costs.Spent(first, first + timedelta(days=days - 1), fen), by="", now=NOW)
        for each in random.sample(happened, len(happened)):
            _tell(tables, *each)

        def look() -> dict[str, dict[str, float | None]]:
            found = {state: boards.load_channel(tables, state, asked, Whose(), NOW) for state in STATES}
            return {state: {each.measure.key: each.value for each in figures} for state, figures in found.items()}

        live = look()
        # The same from the rows that are kept beside the ledger.
        while adds.follow(tables, NOW + timedelta(hours=1)):
            pass
        kept = look()
        point.rollback()
    for state in STATES:
        counted = recount(state, happened, bought, spent, asked.period.since)
        assert {name: live[state][name] for name in counted} == pytest.approx(counted), state
        assert kept[state] == pytest.approx(live[state]), state


def _tell(conn: Connection, who: int, member: str, state: str, ago: int, is_add: bool) -> None:
    name, facts = (ledger.ADDED, {"state": state}) if is_add else (ledger.LOST[ago % 2], {})
    told = Event(name, NOW - timedelta(hours=ago), who, f"wm{who}", member, facts=facts)
    for each in publish(conn, [told], now=NOW):
        ledger.follow(conn, each)


def _buy(conn: Connection, bought: list[tuple[int, int, int, int]]) -> None:
    for who in PERSONS:
        times = [NOW - timedelta(hours=ago) for buyer, ago, _, _ in bought if buyer == who]
        conn.execute(person.insert().values(id=who, created_at=NOW))
        stat = {"paid_orders": len(times), "first_paid_at": min(times, default=None)}
        conn.execute(person_stat.insert().values(person_id=who, **stat))
    for number, (who, ago, paid, refunded) in enumerate(bought):
        at = NOW - timedelta(hours=ago)
        conn.execute(
            orders.insert().values(
                channel="taobao", order_no=str(number), person_id=who, status="paid", payment_status="paid",
                paid_fen=paid, refunded_fen=refunded, ordered_at=at, paid_at=at, first_seen_at=at, last_seen_at=at,
            )
        )  # fmt: skip


def recount(
    state: str,
    happened: Happened,
    bought: list[tuple[int, int, int, int]],
    spent: list[tuple[str, int, int, int]],
    since: datetime,
) -> dict[str, float | None]:
    """By hand, in plain words: who came here in these days, who of them left, what they paid, what it cost."""
    hours = (NOW - since) / timedelta(hours=1)
    added = [each for each in happened if each[4] and each[3] <= hours]
    ours = [each for each in added if each[2] == state]
    gone = 0
    for who, member, _, ago, _ in ours:
        later = [each for each in happened if each[:2] == (who, member) and each[3] < ago]
        gone += bool(later) and not max(later, key=lambda each: each[3])[4]
    net = 0
    for who in PERSONS:
        first = max((each for each in added if each[0] == who), key=lambda each: each[3], default=None)
        if first is not None and first[2] == state:
            net += sum(max(paid - back, 0) for buyer, ago, paid, back in bought if buyer == who and ago <= first[3])
    mine = [(began, days, fen) for where, began, days, fen in spent if where == state]
    parts = [
        round(Fraction(fen, days) * len({began - day for day in range(days)} & {*range(30)}))
        for began, days, fen in mine
    ]
    cost = sum(parts)
    reached = any({began - day for day in range(days)} & {*range(30)} for began, days, _ in mine)
    return {
        "added": len(ours),
        "stayed": len(ours) - gone,
        "brought": net,
        "cost": cost if reached else None,
        "roi": net / cost if cost else None,
    }
