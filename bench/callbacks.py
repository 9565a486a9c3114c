"""Durable callbacks: ours, the Flask peer, and ours without a store, in turns, under the same load.

A round counts only when the store then holds at least as many rows as were answered 200.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from bench import processor_time
from bench.figures import Figure, median, say, tell
from bench.load_generator import Load, run
from bench.messages import write_requests
from scrm.db.migrate import migrate
from tests import postgresql_server
from tests.fakes import wecom as fake
from tests.server_process import ROOT, ServerProcess, environment, start, start_serve

ROUNDS = 5
SECONDS = 2.0
CONNECTIONS = 64
MOST_PER_ROUND = 25_000
NOBODY = "http://127.0.0.1:9"  # no WeCom is called without a worker


@dataclass
class Contender:
    """A running server and what its rounds brought."""

    name: str
    server: ServerProcess
    count_rows: Callable[[], int] | None
    used: int = 0
    answered: int = 0
    loads: list[Load] = field(default_factory=list)
    processor_us: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return median([load.per_second for load in self.loads])

    @property
    def p50_ms(self) -> float:
        return median([load.p50_ms for load in self.loads])

    @property
    def p99_ms(self) -> float:
        return median([load.p99_ms for load in self.loads])

    def round(self, requests: Path, seconds: float) -> None:
        """Load it once and hold it to its word; raises AssertionError when an answered callback is not kept."""
        before = processor_time.of_tree(self.server.process.pid)
        load = run(
            self.server.port,
            requests,
            skip=self.used,
            count=MOST_PER_ROUND,
            connections=CONNECTIONS,
            seconds=seconds,
        )
        spent = processor_time.of_tree(self.server.process.pid) - before
        self.used += load.sent
        self.answered += load.answered
        assert load.statuses == {"200": load.sent}, f"{self.name}: answers {load.statuses} of {load.sent} sent"
        if self.count_rows is not None:
            kept = self.count_rows()
            assert kept >= self.answered, f"{self.name}: {self.answered} answered, only {kept} kept"
        self.loads.append(load)
        self.processor_us.append(spent / max(load.answered, 1) * 1e6)

    def ratio_to(self, other: "Contender") -> float:
        """The median of the ratios inside each round: what else the machine does hits both."""
        return median([a.per_second / b.per_second for a, b in zip(self.loads, other.loads, strict=True)])


def main() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="scrm-bench-") as folder:
        requests = Path(folder) / "requests"
        say("callbacks: encrypting the messages")
        write_requests(requests, 0, MOST_PER_ROUND * (ROUNDS + 1))
        figures = on_sqlite(Path(folder), requests)
        if postgresql_server.find_binaries() is None:
            say(f"callbacks: PostgreSQL left out. {postgresql_server.HOW_TO_GET_IT}")
        else:
            with postgresql_server.running(postgresql_server.DURABLE) as server:
                figures += on_postgresql(Path(folder), requests, server)
    return figures


def on_sqlite(folder: Path, requests: Path) -> list[Figure]:
    ours, peers, worked = (f"sqlite:///{folder / name}.db" for name in ("ours", "peer", "worked"))
    for url in (ours, worked):
        migrate(url)
    with ExitStack() as stack:
        mine = stack.enter_context(running_ours(ours, folder))
        peer = stack.enter_context(running_peer(peers, folder))
        bare = stack.enter_context(running_without_store(ours, folder))
        take_turns([mine, peer, bare], requests)
    figures = told("SQLite FULL", mine, peer)
    figures.append(
        tell(
            Figure(
                "callbacks, SQLite FULL, beside itself without a store",
                mine.per_second,
                "1/s",
                peer="scrm serve, store off",
                peer_value=bare.per_second,
                ratio=mine.ratio_to(bare),
                goal=0.7,
            )
        )
    )
    with running_ours(worked, folder, with_worker=True) as busy:
        take_turns([busy], requests)
    figures.append(tell(Figure("callbacks, SQLite FULL, worker in the same process", busy.per_second, "1/s")))
    figures.append(tell(Figure("callbacks, SQLite FULL, worker in the same process, p99", busy.p99_ms, "ms")))
    return figures


def on_postgresql(folder: Path, requests: Path, server: postgresql_server.Server) -> list[Figure]:
    server.execute("CREATE DATABASE ours", "CREATE DATABASE peer")
    migrate(server.url("ours"))
    with ExitStack() as stack:
        mine = stack.enter_context(running_ours(server.url("ours"), folder))
        peer = stack.enter_context(running_peer(server.url("peer"), folder))
        take_turns([mine, peer], requests)
    return told("PostgreSQL", mine, peer)


def take_turns(contenders: list[Contender], requests: Path) -> None:
    """Interleaved rounds, after a short one that only warms up."""
    for contender in contenders:
        contender.round(requests, 0.7)
        contender.loads.clear()
        contender.processor_us.clear()
    for number in range(ROUNDS):
        for contender in contenders:
            contender.round(requests, SECONDS)
        rates = ", ".join(f"{one.name} {one.loads[-1].per_second:.0f}/s" for one in contenders)
        say(f"callbacks: round {number + 1}: {rates}")


def told(store: str, mine: Contender, peer: Contender) -> list[Figure]:
    against = "Flask + wechatpy + SQLAlchemy ORM, gunicorn 2 workers"
    rate = Figure(
        f"durable callbacks, {store}, {CONNECTIONS} connections",
        mine.per_second,
        "1/s",
        peer=against,
        peer_value=peer.per_second,
        ratio=mine.ratio_to(peer),
        goal=8,
    )
    processor = Figure(
        f"durable callbacks, {store}, processor time",
        median(mine.processor_us),
        "us",
        peer=against,
        peer_value=median(peer.processor_us),
        ratio=median(mine.processor_us) / median(peer.processor_us),
        at_most=True,
    )
    p50 = Figure(f"durable callbacks, {store}, p50", mine.p50_ms, "ms", against, peer.p50_ms)
    p99 = Figure(f"durable callbacks, {store}, p99", mine.p99_ms, "ms", against, peer.p99_ms, goal=50, at_most=True)
    return [tell(figure) for figure in (rate, processor, p50, p99)]


@contextmanager
def running_ours(url: str, folder: Path, *, with_worker: bool = False) -> Iterator[Contender]:
    arguments = () if with_worker else ("--no-worker",)
    server = start_serve(environment(url, NOBODY), folder / "ours.log", *arguments)
    try:
        yield Contender("ours", server, lambda: count(url, "inbox_event"))
    finally:
        server.stop()


@contextmanager
def running_without_store(url: str, folder: Path) -> Iterator[Contender]:
    environ = environment(url, NOBODY, SCRM_SERVER__PORT="0")
    server = start(["-m", "bench.without_store"], environ, folder / "bare.log")
    try:
        yield Contender("without a store", server, None)
    finally:
        server.stop()


@contextmanager
def running_peer(url: str, folder: Path) -> Iterator[Contender]:
    environ = {
        **os.environ,
        "DATABASE_URL": url.replace("postgresql://", "postgresql+psycopg2://"),
        "WECOM_TOKEN": fake.TOKEN,
        "WECOM_AES_KEY": fake.AES_KEY,
        "WECOM_CORP_ID": fake.CORP_ID,
    }
    subprocess.run([sys.executable, "-m", "bench.peers.flask_app"], env=environ, cwd=ROOT, check=True)
    command = ["-m", "gunicorn", "--workers", "2", "--bind", "127.0.0.1:0", "bench.peers.flask_app:app"]
    server = start(command, environ, folder / "peer.log")
    try:
        yield Contender("Flask", server, lambda: count(url, "callback_event"))
    finally:
        server.stop()


def count(url: str, table: str) -> int:
    """Rows in the store, seen from outside the server."""
    driver = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg2"}[make_url(url).get_backend_name()]
    engine = create_engine(make_url(url).set(drivername=driver))
    with engine.connect() as conn:
        rows = int(conn.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
    engine.dispose()
    return rows
