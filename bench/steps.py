"""Steps that come due: how many are decided and recorded in a second, and what it costs to find them among many.

Peers: APScheduler with a stored job for each step, Procrastinate jobs on PostgreSQL. `SCRM_BENCH_WAITING` says among
how many waiting runs due ones are looked for (1,000,000 unless set; 10,000,000 take some minutes to make).
"""

import asyncio
import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy import Connection, create_engine, func, select, text

from bench.figures import Figure, median, say, tell
from scrm.app import open_services
from scrm.db import Database
from scrm.db.bulk import insert_rows
from scrm.db.migrate import migrate
from scrm.profiles.models import external_contact, follow_user, member, person
from scrm.settings import Settings, load_settings
from scrm.sop import store
from scrm.sop.life import published as publishing
from scrm.sop.models import enrolment
from scrm.sop.shelf import playbooks_of
from scrm.sop.text.parse import parse_playbook
from scrm.sop.tick import tick
from tests import postgresql_server
from tests.fakes import wecom as fake

DUE = 20_000
PEER_DUE = 1_000
FEW = 10_000
ROUNDS = 9
NOBODY = "http://127.0.0.1:9"  # no WeCom is asked
# Past everybody's quiet hours: a Monday, 14:00 in Shanghai.
NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)

PLAYBOOK = """
playbook: bench
title: 跟进
trigger: {event: contact.added}
run_key: person
reentry: never
exit_if: {any: [{event: order.paid}, {flag: optout.promo}]}
goal: none
holdout: 0%
steps:
  - id: ask
    at: T0+1h
    channel: T
    late: defer
    ttl: 24h
    if: {field: person.paid_orders, op: eq, value: 0}
    content: {text: "{{ nickname }}，我是{{ staff }}，上次看的还合适吗？"}
  - {id: later, at: D+30, channel: T, late: defer, ttl: 24h, content: {text: 好久不见}}
"""


def main() -> list[Figure]:
    waiting = int(os.environ.get("SCRM_BENCH_WAITING", "1000000"))
    with tempfile.TemporaryDirectory(prefix="scrm-bench-") as folder:
        figures = measure("SQLite FULL", lambda name: f"sqlite:///{Path(folder) / name}.db", 1, 3_000, waiting)
        figures.append(apscheduler_peer(figures[0], f"sqlite:///{Path(folder) / 'jobs.db'}"))
    if postgresql_server.find_binaries() is None:
        say(f"steps: PostgreSQL left out. {postgresql_server.HOW_TO_GET_IT}")
        return figures
    with postgresql_server.running(postgresql_server.DURABLE) as server:
        server.execute("CREATE DATABASE release", "CREATE DATABASE claim", "CREATE DATABASE peer")
        ours = measure("PostgreSQL, two workers", server.url, 2, 5_000, waiting)
        figures += ours
        figures.append(procrastinate_peer(ours[0], server.url("peer")))
    return figures


def measure(name: str, url_of: Callable[[str], str], workers: int, goal: float, waiting: int) -> list[Figure]:
    url = url_of("release")
    migrate(url)
    asyncio.run(seed(url, DUE))
    rate, microseconds, kilobytes = released(url, workers)
    return [
        tell(Figure(f"due steps decided and recorded, {name}", rate, "1/s", goal=goal)),
        tell(Figure(f"processor time of the workers for each step, {name}", microseconds, "us")),
        tell(
            Figure(f"memory that the second half of them took, {name}", kilobytes / 1024, "MiB", goal=32, at_most=True)
        ),
        claims(name, url_of("claim"), waiting),
    ]


def settings_of(url: str) -> Settings:
    return load_settings(
        environ={},
        database={"url": url},
        wecom={
            "corp_id": fake.CORP_ID,
            "agent_id": fake.AGENT_ID,
            "secret": fake.SECRET,
            "token": fake.TOKEN,
            "encoding_aes_key": fake.AES_KEY,
            "api_base": NOBODY,
        },
        security={"secret_key": "bench-secret-bench-secret-bench-secret"},
    )


class Afternoon:
    """A clock that stands at two in the afternoon, and sleeps in earnest."""

    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def seed(url: str, due: int) -> None:
    """Customers who were added an hour ago, each by one of twenty members."""
    db = Database(url)
    try:
        await db.write(furnish)
        for start in range(0, due, 5_000):
            await db.write(add_due, range(start + 1, min(start + 5_000, due) + 1))
        await db.write(lambda conn: conn.execute(text("ANALYZE")) and None)
    finally:
        await db.close()


def furnish(conn: Connection) -> None:
    publishing.publish(conn, parse_playbook(PLAYBOOK, file_name="bench.yaml"), now=NOW)
    insert_rows(conn, member, [{"userid": f"m{n}", "folded": f"m{n}", "name": f"员工{n}"} for n in range(20)])


def add_due(conn: Connection, numbers: range) -> None:
    added = NOW - timedelta(hours=1)
    insert_rows(conn, person, [{"id": n, "name": f"客户{n}", "created_at": added} for n in numbers])
    insert_rows(
        conn,
        external_contact,
        [{"external_userid": f"wm{n}", "person_id": n, "name": f"客户{n}", "created_at": added} for n in numbers],
    )
    insert_rows(
        conn,
        follow_user,
        [{"userid": f"m{n % 20}", "external_userid": f"wm{n}", "person_id": n, "followed_at": added} for n in numbers],
    )
    insert_rows(
        conn,
        enrolment,
        [
            {
                "playbook_key": "bench",
                "version": 1,
                "run_key": f"person:{n}",
                "person_id": n,
                "userid": f"m{n % 20}",
                "external_userid": f"wm{n}",
                "event_id": 1,
                "anchor_at": added,
                "due_at": NOW,
                "enrolled_at": added,
            }
            for n in numbers
        ],
    )


def released(url: str, workers: int) -> tuple[float, float, float]:
    """(steps a second, processor microseconds for each, kilobytes that grew in the second half), with so many processes."""
    command = [sys.executable, "-m", "bench.steps", url]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(workers)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    begun = time.perf_counter()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate()[0].split() for process in started]
    seconds = time.perf_counter() - begun
    done, spent, grown = (list(map(float, each)) for each in zip(*told, strict=True))
    assert sum(done) == DUE, done
    return DUE / seconds, sum(spent) / DUE * 1_000_000, max(grown)


async def release(url: str) -> None:
    """One worker: ready, wait for the word, then tick until nothing is due; says what it did and what that took."""
    async with open_services(settings_of(url), clock=Afternoon()) as services:
        await services.db.read(playbooks_of(services).load)
        await services.db.read(store.has_due, NOW)
        # As the server does when it has started (scrm.listening).
        gc.collect()
        gc.freeze()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        sizes: list[float] = []
        watching = asyncio.create_task(watch(sizes))
        done, begun = 0, time.process_time()
        while await services.db.read(store.has_due, NOW):
            done += await tick(services)
        watching.cancel()
        print(done, time.process_time() - begun, memory() - sizes[len(sizes) // 2], flush=True)


async def watch(sizes: list[float]) -> None:
    """How large the process is, twenty times a second."""
    while True:
        sizes.append(memory())
        await asyncio.sleep(0.05)


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def claims(name: str, url: str, waiting: int) -> Figure:
    """Finding a hundred due runs among few and among many that wait for later."""
    migrate(url)
    few = asyncio.run(claim_among(url, FEW))
    many = asyncio.run(claim_among(url, waiting))
    return tell(
        Figure(
            f"claim of 100 among {waiting:,} waiting, {name}",
            many * 1000,
            "ms",
            peer=f"among {FEW:,}",
            peer_value=few * 1000,
            ratio=many / few,
            goal=2,
            at_most=True,
        )
    )


async def claim_among(url: str, waiting: int) -> float:
    db = Database(url)
    try:
        known = await db.read(lambda conn: conn.scalar(select(func.count()).select_from(enrolment)) or 0)
        if not known:
            await db.write(furnish)
            await db.write(add_due, range(1, 101))
        await db.write(wait_more, known or 100, waiting)
        await db.write(lambda conn: conn.execute(text("ANALYZE")) and None)
        return median([await claim_once(db) for _ in range(ROUNDS)])
    finally:
        await db.close()


def wait_more(conn: Connection, known: int, waiting: int) -> None:
    """Runs whose step comes within the next year."""
    numbers = (
        "SELECT generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n"
        if conn.dialect.name == "postgresql"
        else "WITH RECURSIVE count(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM count WHERE n < :last) SELECT n FROM count"
    )
    later = int((NOW + timedelta(hours=1)).timestamp() * 1000)
    conn.execute(
        text(
            "INSERT INTO enrolment (playbook_key, version, run_key, person_id, userid, external_userid, event_id,"
            " anchor_at, due_at, enrolled_at, state)"
            " SELECT 'bench', 1, 'waiting:' || n, 1 + n % 100, 'm1', 'wm1', 1, CAST(:at AS bigint),"
            " CAST(:later AS bigint) + n % 1000000 * 31536, CAST(:at AS bigint),"
            f" 'active' FROM ({numbers}) AS numbers"
        ),
        {"first": known, "last": waiting, "later": later, "at": int(NOW.timestamp() * 1000)},
    )


async def claim_once(db: Database) -> float:
    def claim(conn: Connection) -> float:
        begun = time.perf_counter()
        rows = store.claim_due(conn, NOW, 100)
        seconds = time.perf_counter() - begun
        assert len(rows) == 100, len(rows)
        return seconds

    return await db.write(claim)


# Peers ----------------------------------------------------------------------------------------------------------------


def apscheduler_peer(ours: Figure, url: str) -> Figure:
    """The same number of stored jobs that each write one row when they are due."""
    rate = asyncio.run(apscheduler_rate(url))
    return tell(
        Figure(
            f"{ours.figure}, beside APScheduler",
            ours.value,
            "1/s",
            peer="APScheduler, a job in its SQLAlchemy store for each step",
            peer_value=rate,
            ratio=ours.value / rate,
            goal=3,
        )
    )


async def apscheduler_rate(url: str) -> float:
    engine = create_engine(url)
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE done (step TEXT)"))
    scheduler = AsyncIOScheduler()
    scheduler.add_jobstore("sqlalchemy", url=url)
    Peer.url = url
    scheduler.start(paused=True)
    due = datetime.now(UTC) - timedelta(seconds=1)
    for number in range(PEER_DUE):
        scheduler.add_job(write_row, "date", run_date=due, args=[number], misfire_grace_time=3600)
    begun = time.perf_counter()
    scheduler.resume()
    while rows_in(engine, "done") < PEER_DUE:  # noqa: ASYNC110 - jobs of others tell nobody
        await asyncio.sleep(0.05)
    seconds = time.perf_counter() - begun
    scheduler.shutdown(wait=False)
    return PEER_DUE / seconds


class Peer:
    """Where a peer's jobs write."""

    url = ""
    engine: Any = None


async def write_row(number: int) -> None:
    Peer.engine = Peer.engine or create_engine(Peer.url)
    with Peer.engine.begin() as conn:
        conn.execute(text("INSERT INTO done (step) VALUES (:step)"), {"step": str(number)})


def rows_in(engine: Any, table: str) -> int:
    with engine.connect() as conn:
        return int(conn.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def procrastinate_peer(ours: Figure, url: str) -> Figure:
    rate = asyncio.run(procrastinate_rate(url))
    return tell(
        Figure(
            f"{ours.figure}, beside Procrastinate",
            ours.value,
            "1/s",
            peer="Procrastinate, a job for each step, two workers' concurrency",
            peer_value=rate,
            ratio=ours.value / rate,
            goal=3,
        )
    )


async def procrastinate_rate(url: str) -> float:
    import procrastinate

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE done (step TEXT)"))

    @app.task(name="step")
    async def step(number: int) -> None:
        await asyncio.to_thread(_insert, number)

    def _insert(number: int) -> None:
        with engine.begin() as conn:
            conn.execute(text("INSERT INTO done (step) VALUES (:step)"), {"step": str(number)})

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await app.configure_task("step").batch_defer_async(*({"number": n} for n in range(PEER_DUE)))
        begun = time.perf_counter()
        await app.run_worker_async(wait=False, concurrency=16, install_signal_handlers=False)
        seconds = time.perf_counter() - begun
    assert rows_in(engine, "done") == PEER_DUE
    return PEER_DUE / seconds


if __name__ == "__main__":
    uvloop.run(release(sys.argv[1]))
