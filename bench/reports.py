"""The boards of the reports: a month and a year with the year before, at 100,000 adds and 300,000 orders a year."""

import asyncio
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import uvloop
from sqlalchemy import Connection

from bench.figures import Figure, median, say, tell
from bench.stores import both
from scrm.db import Database
from scrm.db.migrate import migrate
from scrm.db.tables import to_millis
from scrm.reports import adds, board_repurchase, boards, buyers
from scrm.reports.period import read_asked
from scrm.reports.whose import Whose

PERSONS = 300_000
ROUNDS = 5
NOW = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
GOAL_SECONDS = 0.3
_DAY = "CAST(86400000 AS BIGINT)"
# Two years: {spread} turns a number into a moment of them, evenly and out of order.
_SPREAD = "({now} - 730 * {day} + (CAST(n AS BIGINT) * 7919009 %% (730 * {day})))"

# {n} numbers the persons from 1 on; persons up to 200,000 came as contacts, every third of all has bought.
_FILL = (
    "INSERT INTO person (id, name, created_at) SELECT n, 'p' || n, {now} FROM numbers",
    "INSERT INTO playbook (key, title, version, changed_at) VALUES ('hello', 'hello', 1, 0)",
    "INSERT INTO way_add (event_id, state, userid, external_userid, person_id, added_at, lost_at)"
    " SELECT n, 'way-' || (n % 40), 'm' || (n % 50), 'wm' || n, n, {spread},"
    " CASE WHEN n % 5 = 0 THEN {spread} + {day} * (n % 60) END FROM numbers WHERE n <= 200000",
    "INSERT INTO event (id, name, person_id, external_userid, userid, facts, occurred_at, received_at)"
    " SELECT n, 'contact.added', n, 'wm' || n, 'm' || (n % 50), '{{}}', {spread}, {now} - {day} FROM numbers WHERE n <= 200000",
    "INSERT INTO event (name, person_id, external_userid, userid, facts, occurred_at, received_at)"
    " SELECT 'contact.lost_by_customer', n, 'wm' || n, 'm' || (n % 50), '{{}}', {spread} + {day} * (n % 60), {now} - {day}"
    " FROM numbers WHERE n <= 200000 AND n % 5 = 0",
    "INSERT INTO event (name, person_id, facts, occurred_at, received_at)"
    " SELECT 'kf.message', n, '{{}}', {spread} + {day} * (n % 9), {now} - {day} FROM numbers WHERE n <= 200000 AND n % 3 = 1",
    *(
        "INSERT INTO event (name, person_id, facts, occurred_at, received_at)"
        f" SELECT 'mass_message.sent', n, '{{{{}}}}', {{spread}} + {{day}} * {lag}, {{now}} - {{day}} FROM numbers WHERE n <= 200000"
        for lag in (1, 8, 15, 30, 60, 90)
    ),
    "INSERT INTO enrolment (playbook_key, version, run_key, person_id, anchor_at, state, enrolled_at)"
    " SELECT 'hello', 1, 'person:' || n, n, {spread}, 'done', {spread} + 5000 FROM numbers WHERE n <= 160000",
    *(
        "INSERT INTO orders (channel, order_no, person_id, status, payment_status, paid_fen, refunded_fen, ordered_at,"
        " paid_at, first_seen_at, last_seen_at)"
        f" SELECT CASE WHEN n % 2 = 0 THEN 'youzan' ELSE 'taobao' END, 'A{lag}-' || n, n, 'completed', 'paid',"
        f" 1000 + n % 9000, CASE WHEN n % 10 = 0 THEN 500 ELSE 0 END, {{spread}} + {{day}} * {lag},"
        f" {{spread}} + {{day}} * {lag}, {{now}}, {{now}} FROM numbers WHERE n % 3 = {lag % 3} OR n % 6 = {lag % 2}"
        for lag in (0, 5, 33, 120)
    ),
    # Nothing is paid ahead.
    "DELETE FROM orders WHERE paid_at >= {now}",
    "INSERT INTO person_stat (person_id, orders, paid_orders, paid_fen, kept_orders, kept_fen, first_paid_at,"
    " last_paid_at, last_order_at) SELECT person_id, count(*), count(*), sum(paid_fen), count(*),"
    " sum(paid_fen - refunded_fen), min(paid_at), max(paid_at), max(paid_at) FROM orders GROUP BY person_id",
)


def main() -> list[Figure]:
    return [figure for store in both("reports") for figure in measure(store.title, store.url)]


def measure(store: str, url: str) -> list[Figure]:
    migrate(url)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(store, url))


async def _measure(store: str, url: str) -> list[Figure]:
    db = Database(url)
    say(f"reports: {PERSONS:,} persons, {store}")
    await db.write(fill)
    figures = []
    for name, load in (("overview", boards.load_overview), ("channels", boards.load_channels)):
        for days in (30, 365):
            first = datetime.fromtimestamp(NOW.timestamp() - (days - 1) * 86400, ZONE).date()
            asked = read_asked({"from": str(first), "to": str(NOW.astimezone(ZONE).date())}, NOW, ZONE)
            took = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                await db.read(load, asked, Whose(), NOW, ZONE)
                took.append(time.perf_counter() - began)
            title = f"{name} of {days} days with those before, {store}"
            figures.append(tell(Figure(title, median(took[1:]), "s", goal=GOAL_SECONDS, at_most=True)))
    for months in (12, 24):
        starts, took = board_repurchase.months_of(NOW, ZONE, months), []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await db.read(board_repurchase.count, Whose(), NOW, ZONE, starts)
            took.append(time.perf_counter() - began)
        title = f"cohorts of {months} months, {store}"
        figures.append(tell(Figure(title, median(took[1:]), "s", goal=GOAL_SECONDS, at_most=True)))
    await db.close()
    return figures


def fill(conn: Connection, persons: int = PERSONS) -> None:
    numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {persons}) "
    if conn.dialect.name == "postgresql":
        numbers = f"WITH numbers(n) AS (SELECT generate_series(1, CAST({persons} AS BIGINT))) "
    for each in _FILL:
        spread = _SPREAD.format(now=to_millis(NOW), day=_DAY).replace("%%", "%")
        statement = each.format(now=to_millis(NOW), day=_DAY, spread=spread)
        into, select, rest = statement.partition(" SELECT ")
        is_numbered = select and "FROM numbers" in statement
        conn.exec_driver_sql(f"{into} {numbers}SELECT {rest}" if is_numbered else statement)
        if conn.dialect.name == "postgresql" and "INTO event (id," in statement:
            conn.exec_driver_sql("SELECT setval(pg_get_serial_sequence('event', 'id'), (SELECT max(id) FROM event))")
    conn.exec_driver_sql("ANALYZE")
    while adds.follow(conn, NOW):
        pass
    while buyers.follow(conn, NOW, ZONE):
        pass
    conn.exec_driver_sql("ANALYZE")
