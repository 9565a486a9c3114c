"""The ledger equals a recount of what happened, in whatever order it was told."""

from collections import Counter
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, delete

from scrm.contact_ways import ledger
from scrm.contact_ways.models import way_add
from scrm.db import Database
from scrm.events import Event, event, publish
from scrm.profiles.models import person, person_stat
from tests.fakes.clock import FakeClock

ZONE = ZoneInfo("Asia/Shanghai")
NOW = FakeClock().now()

# (customer, member, state, hours ago, whether it is an add), each moment of a relation once
HAPPENED = st.lists(
    st.tuples(
        st.integers(1, 3), st.sampled_from(("lina", "wuhao")), st.sampled_from(("", "a", "b")),
        st.integers(0, 24 * 40), st.booleans(),
    ),
    max_size=24,
    unique_by=lambda one: (one[0], one[1], one[3]),
)  # fmt: skip


@given(HAPPENED, st.randoms(use_true_random=False), st.dictionaries(st.integers(1, 3), st.integers(0, 24 * 40)))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_figures_equal_a_recount(
    tables: Connection, happened: list[tuple[int, str, str, int, bool]], random: object, paid: dict[int, int]
) -> None:
    told = [
        Event(
            name=ledger.ADDED if is_add else ledger.LOST[ago % 2],
            occurred_at=NOW - timedelta(hours=ago),
            person_id=who,
            external_userid=f"wm{who}",
            userid=member,
            facts={"state": state} if is_add else {},
        )
        for who, member, state, ago, is_add in happened
    ]
    with tables.begin_nested() as point:
        for who in (1, 2, 3):
            tables.execute(person.insert().values(id=who, created_at=NOW))
        for who, ago in paid.items():
            tables.execute(person_stat.insert().values(person_id=who, first_paid_at=NOW - timedelta(hours=ago)))
        random.shuffle(told)  # type: ignore[attr-defined]
        for one in told:
            ledger.follow(tables, publish(tables, [one], now=NOW)[0])
        counted = ledger.figures(tables, NOW, ZONE)
        again = {key: [*tables.execute(way_add.select().order_by(way_add.c.event_id))] for key in ("before", "after")}
        tables.execute(delete(way_add))
        last = 0
        while last := ledger.rebuild(tables, last, limit=3):
            pass
        again["after"] = [*tables.execute(way_add.select().order_by(way_add.c.event_id))]
        by_day = {state: ledger.days(tables, state, NOW, ZONE) for state in ("a", "b")}
        point.rollback()
    assert again["before"] == again["after"]
    assert counted == recount(happened, paid)
    for state in ("a", "b"):
        assert sum(day.adds for day in by_day[state]) == counted.get(state, ledger.Figures()).adds


def recount(happened: list[tuple[int, str, str, int, bool]], paid: dict[int, int]) -> dict[str, ledger.Figures]:
    """By hand: who is there, one relation after the other, hour by hour."""
    since = ledger.day_start(NOW, ZONE, 29)
    adds: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    today: Counter[str] = Counter()
    week: Counter[str] = Counter()
    people: dict[str, set[int]] = {}
    buyers: dict[str, set[int]] = {}
    for who in (1, 2, 3):
        for member in ("lina", "wuhao"):
            story = sorted((-ago, state, is_add) for w, m, state, ago, is_add in happened if (w, m) == (who, member))
            for number, (ago, state, is_add) in enumerate(story):
                at = NOW + timedelta(hours=ago)
                if not is_add or at < since:
                    continue
                adds[state] += 1
                people.setdefault(state, set()).add(who)
                rest = story[number + 1 :]
                lost[state] += bool(rest and not rest[0][2])
                today[state] += at >= ledger.day_start(NOW, ZONE)
                week[state] += at >= ledger.day_start(NOW, ZONE, 6)
                if who in paid and -paid[who] >= ago:
                    buyers.setdefault(state, set()).add(who)
    return {
        state: ledger.Figures(
            adds[state], len(people[state]), lost[state], len(buyers.get(state, ())), today[state], week[state]
        )
        for state in adds
    }


@pytest.fixture
def tables(sqlite_url: str) -> "object":
    engine = create_engine(sqlite_url)
    with engine.connect() as conn, conn.begin() as transaction:
        yield conn
        transaction.rollback()
    engine.dispose()


async def test_figures_run_on_both_databases(database_url: str) -> None:
    db = Database(database_url)
    try:

        def write(conn: Connection) -> ledger.Figures:
            conn.execute(person.insert().values(id=1, created_at=NOW))
            conn.execute(person_stat.insert().values(person_id=1, first_paid_at=NOW))
            for name, ago in ((ledger.ADDED, 3), (ledger.LOST[0], 2), (ledger.ADDED, 1)):
                one = Event(name, NOW - timedelta(hours=ago), 1, "wm1", "lina", facts={"state": "a"})
                for kept in publish(conn, [one], now=NOW):
                    ledger.follow(conn, kept)
            assert conn.execute(event.select()).all()
            assert sum(day.adds for day in ledger.days(conn, "a", NOW, ZONE)) == 2
            assert ledger.count_by_member(conn, "a", ledger.day_start(NOW, ZONE)) == {"lina": 2}
            return ledger.figures(conn, NOW, ZONE)["a"]

        found = await db.write(write)
        assert (found.adds, found.people, found.lost, found.net, found.buyers) == (2, 1, 1, 1, 1)
    finally:
        await db.close()
