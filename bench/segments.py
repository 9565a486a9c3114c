"""Four conditions counted over a million persons: as compiled from a tree, and as somebody would write the SQL by hand.

Then RFM of all of them. Every number is found once more by DuckDB, which shares neither our SQL nor our databases.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, NamedTuple

import uvloop
from sqlalchemy import Connection, text

from bench import segments_oracle as oracle
from bench.figures import Figure, median, say, tell
from bench.stores import both
from scrm.db import Database
from scrm.db.migrate import migrate
from scrm.db.tables import to_millis
from scrm.segments import audience, conditions, rfm_refresh, rfm_store
from scrm.settings import Rfm, Shop

PERSONS = 1_000_000
ROUNDS = 5
NOW = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
_DAY = 86_400_000
GOAL_SECONDS = 0.3
# What the statements below leave open.
_NAMES = {"now": to_millis(NOW), "day": _DAY, "false": "false"}


class Question(NamedTuple):
    """A tree of four conditions and the same as SQL by hand; `:now` is in milliseconds."""

    title: str
    tree: Mapping[str, Any]
    by_hand: str


def _field(key: str, op: str, value: Any) -> Mapping[str, Any]:
    return {"field": f"person.{key}", "op": op, "value": value}


_TAGGED = """person_id IN (SELECT f.person_id FROM follow_user_tag t JOIN follow_user f ON f.userid = t.userid
    AND f.external_userid = t.external_userid WHERE t.tag_id = '{tag}' AND f.ended_by = '')"""
_HAPPENED = """person_id IN (SELECT person_id FROM event WHERE name = '{name}' AND occurred_at >= :now - {days}
    * CAST(86400000 AS BIGINT) AND person_id IS NOT NULL)"""
QUESTIONS = (
    Question(
        "tag, orders, spend, recency",
        {
            "all": [
                {"tag": "VIP"},
                _field("paid_orders", "gte", 2),
                _field("paid", "gte", 200),
                _field("last_paid_days", "lte", 90),
            ]
        },
        f"""SELECT count(*) FROM person_stat WHERE paid_orders >= 2 AND paid_fen >= 20000
        AND (:now - last_paid_at) / 86400000 <= 90 AND {_TAGGED.format(tag="t1")}""",
    ),
    Question(
        "event, no event, no tag, orders",
        {
            "all": [
                {"event": "order.delivered", "within": "30d"},
                {"not": {"event": "refund.opened", "within": "30d"}},
                {"not": {"tag": "VIP"}},
                _field("open_refunds", "eq", 0),
            ]
        },
        f"""SELECT count(*) FROM (SELECT p.id AS person_id, s.open_refunds FROM person p LEFT JOIN person_stat s
        ON s.person_id = p.id) AS who WHERE coalesce(open_refunds, 0) = 0
        AND {_HAPPENED.format(name="order.delivered", days=30)} AND NOT {_HAPPENED.format(name="refund.opened", days=30)}
        AND NOT {_TAGGED.format(tag="t1")}""",
    ),
    Question(
        "four of orders, nobody left out by a tag",
        {
            "all": [
                _field("paid_orders", "gte", 1),
                _field("paid", "gte", 50),
                _field("last_paid_days", "gte", 60),
                _field("open_refunds", "eq", 0),
            ]
        },
        """SELECT count(*) FROM person_stat WHERE paid_orders >= 1 AND paid_fen >= 5000 AND open_refunds = 0
        AND (:now - last_paid_at) / 86400000 >= 60""",
    ),
    Question(
        "class, life cycle, no tag, recency",
        {
            "all": [
                {"field": "rfm.class", "op": "in", "value": ["重要价值客户", "重要发展客户", "重要保持客户"]},
                {"field": "life.stage", "op": "ne", "value": "流失"},
                {"not": {"tag": "VIP"}},
                _field("last_paid_days", "lte", 180),
            ]
        },
        f"""SELECT count(*) FROM person_stat WHERE (:now - last_paid_at) / 86400000 <= 180
        AND NOT {_TAGGED.format(tag="t1")}
        AND person_id IN (SELECT person_id FROM person_value WHERE rfm IN ('111', '101', '011'))
        AND person_id NOT IN (SELECT person_id FROM person_value WHERE life = 'lost')""",
    ),
)

# {n} numbers the persons from 1 on.
_FILL = (
    "INSERT INTO person (id, name, created_at) SELECT n, 'p' || n, {now} FROM numbers",
    "INSERT INTO follow_user (userid, external_userid, person_id, followed_at)"
    " SELECT 'm' || (n % 50), 'wm' || n, n, {now} - (n % 700) * {day} FROM numbers",
    "INSERT INTO person_stat (person_id, orders, paid_orders, paid_fen, open_refunds, first_paid_at, last_paid_at)"
    " SELECT n, n % 7, n % 6, (n % 1000) * 100, CASE WHEN n % 50 = 0 THEN 1 ELSE 0 END,"
    " {now} - (n % 400 + 200) * {day}, {now} - (n % 400) * {day} FROM numbers WHERE n % 5 < 3",
    "INSERT INTO corp_tag (tag_id, tag_name) VALUES ('t1', 'VIP'), ('t2', '油皮')",
    "INSERT INTO follow_user_tag (userid, external_userid, tag_id, tag_name)"
    " SELECT 'm' || (n % 50), 'wm' || n, 't1', 'VIP' FROM numbers WHERE n % 10 = 1",
    "INSERT INTO follow_user_tag (userid, external_userid, tag_id, tag_name)"
    " SELECT 'm' || (n % 50), 'wm' || n, 't2', '油皮' FROM numbers WHERE n % 3 = 0",
    "INSERT INTO event (name, person_id, facts, occurred_at, received_at)"
    " SELECT CASE WHEN n % 10 = 0 THEN 'refund.opened' WHEN n % 2 = 0 THEN 'order.delivered' ELSE 'order.paid' END,"
    " n, '{{}}', {now} - (n % 180) * {day}, {now} FROM numbers WHERE n % 2 = 0 OR n % 5 = 1",
    "INSERT INTO person_value (person_id, rfm, life, r, changed_at) SELECT n, CASE n % 4 WHEN 0 THEN '111' WHEN 1 THEN"
    " '000' WHEN 2 THEN '101' ELSE '010' END, CASE n % 7 WHEN 0 THEN 'lost' ELSE 'active' END, 1, {now} FROM numbers"
    " WHERE n % 5 < 3",
)
# Five orders of each buyer over 700 days, one in eleven given back; their sums as an import leaves them.
_ORDERS = (
    "DELETE FROM person_value",
    "DELETE FROM person_stat",
    "INSERT INTO orders (channel, order_no, person_id, status, payment_status, paid_fen, refunded_fen, is_test, ordered_at,"
    " paid_at, first_seen_at, last_seen_at) SELECT 't', n || '-' || k, n, 'paid', 'paid', (n * 7 + k * 13) % 900 * 100"
    " + 100, CASE WHEN (n + k) % 11 = 0 THEN (n * 7 + k * 13) % 900 * 100 + 100 ELSE 0 END, {false},"
    " {now} - ((n * 31 + k * 83) % 700) * {day} - 1000, {now} - ((n * 31 + k * 83) % 700) * {day} - 1000, {now}, {now}"
    " FROM numbers, (SELECT 1 AS k UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5) AS five"
    " WHERE n % 5 < 3",
    "INSERT INTO person_stat (person_id, orders, paid_orders, paid_fen, refunded_fen, first_paid_at, last_paid_at,"
    " last_order_at, kept_orders, kept_fen, last_kept_at) SELECT person_id, count(*), count(*), sum(paid_fen),"
    " sum(refunded_fen), min(paid_at), max(paid_at), max(paid_at), sum(CASE WHEN paid_fen > refunded_fen THEN 1 ELSE 0 END),"
    " sum(paid_fen - refunded_fen), max(CASE WHEN paid_fen > refunded_fen THEN paid_at END) FROM orders GROUP BY person_id",
)


def main(*, small: bool = False) -> list[Figure]:
    global PERSONS
    PERSONS = 50_000 if small else PERSONS
    return [figure for store in both("segments") for figure in measure(store.title, store.url)]


def measure(store: str, url: str) -> list[Figure]:
    migrate(url)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(store, url))


async def _measure(store: str, url: str) -> list[Figure]:
    assert all(not conditions.check_condition(question.tree) for question in QUESTIONS)
    db = Database(url)
    say(f"segments: {PERSONS:,} persons, {store}")
    await db.write(fill)
    figures = []
    for question in QUESTIONS:
        ours, hand = await _timed(db, question)
        figures.append(
            tell(
                Figure(
                    f"count of 4 conditions, {PERSONS:,} persons ({question.title}), {store}",
                    median(ours),
                    "s",
                    goal=GOAL_SECONDS,
                    at_most=True,
                )
            )
        )
        peer = Figure(
            f"the same, against SQL by hand, {store}",
            median(ours),
            "s",
            peer="SQL by hand",
            peer_value=median(hand),
            ratio=median([a / b for a, b in zip(ours, hand, strict=True)]),
            goal=1.5,
            at_most=True,
        )
        figures.append(tell(peer))
    figures += await _measure_rfm(db, store)
    await db.close()
    return figures


async def _measure_rfm(db: Database, store: str) -> list[Figure]:
    """The first computation writes everybody, the next one only reads and compares."""
    await db.write(fill_orders)
    settings = SimpleNamespace(rfm=Rfm(), shop=Shop(name="bench"))
    services: Any = SimpleNamespace(db=db, clock=SimpleNamespace(now=lambda: NOW), settings=settings)
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        await rfm_refresh.refresh(services)
        seconds.append(time.perf_counter() - began)
    cells = await db.read(rfm_store.list_cells)
    ours: Counter[str] = Counter()
    for cell in cells:
        ours[cell["rfm"]] += cell["persons"]
    theirs = oracle.classes(PERSONS, [each.format(**_NAMES) for each in _ORDERS if "INTO orders" in each], NOW)
    if dict(ours) != theirs:
        raise AssertionError(f"RFM: {dict(ours)} by us, {theirs} by DuckDB")
    say(f"segments: RFM of {sum(ours.values()):,} buyers, the same by DuckDB")
    buyers = f"{PERSONS * 3 // 5:,} buyers, {PERSONS * 3:,} orders"
    return [
        tell(Figure(f"RFM of {buyers}, everybody new, {store}", seconds[0], "s")),
        tell(Figure(f"RFM of {buyers}, as every night, {store}", seconds[1], "s", goal=5.0, at_most=True)),
    ]


async def _timed(db: Database, question: Question) -> tuple[list[float], list[float]]:
    """Seconds of each round, ours and by hand; the first round warms up and does not count."""
    ours, hand = [], []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        mine = await db.read(audience.count, question.tree, NOW)
        between = time.perf_counter()
        theirs = await db.read(_by_hand, question.by_hand)
        ours.append(between - began)
        hand.append(time.perf_counter() - between)
        if mine != theirs:
            raise AssertionError(f"{question.title}: {mine} by the tree, {theirs} by hand")
    elsewhere = oracle.count(PERSONS, [each.format(**_NAMES) for each in _FILL], question.by_hand, NOW)
    if mine != elsewhere:
        raise AssertionError(f"{question.title}: {mine} by us, {elsewhere} by DuckDB")
    return ours[1:], hand[1:]


def _by_hand(conn: Connection, statement: str) -> int:
    return int(conn.execute(text(statement), {"now": to_millis(NOW)}).scalar_one())


def fill(conn: Connection, persons: int | None = None) -> None:
    """A million persons: six in ten have ordered, one in ten wears the tag, 600,000 events of half a year."""
    _run(conn, _FILL, persons or PERSONS)


def fill_orders(conn: Connection) -> None:
    """Three million orders, and what they add up to."""
    _run(conn, _ORDERS, PERSONS)


def _run(conn: Connection, statements: Sequence[str], persons: int) -> None:
    numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {persons}) "
    if conn.dialect.name == "postgresql":
        numbers = f"WITH numbers(n) AS (SELECT generate_series(1, CAST({persons} AS BIGINT))) "
    for each in statements:
        statement = each.format(**_NAMES)
        into, select, rest = statement.partition(" SELECT ")
        filled = f"{into} {numbers}SELECT {rest}" if select and "numbers" in rest else statement
        conn.exec_driver_sql(filled)
    conn.exec_driver_sql("ANALYZE")


def explain(conn: Connection, question: Question) -> str:
    """The plan of our query, for those who look at it."""
    found = audience.audience_of(conn, question.tree, NOW)
    statement = found.ids().compile(conn, compile_kwargs={"literal_binds": True})
    how = "EXPLAIN (ANALYZE, BUFFERS)" if conn.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    return "\n".join(str(tuple(row)) for row in conn.exec_driver_sql(f"{how} {statement}"))
