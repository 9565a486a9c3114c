"""Kept callbacks to applied state: our worker, and the same handlers with one event and one transaction at a time.

Adds without a code, deletions, messages and unknown events; what WeCom has to be asked for is left out, because its
limits set the pace there.
"""

import asyncio
import itertools
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import structlog
import uvloop
from sqlalchemy import Connection, func, select

from bench.figures import Figure, median, say, tell
from scrm.app import open_services
from scrm.callbacks import inbox, run
from scrm.callbacks.models import inbox_event
from scrm.db import Database
from scrm.db.database import Priority
from scrm.db.migrate import migrate
from scrm.services import Services
from scrm.settings import load_settings
from scrm.work import queue
from scrm.work.worker import Worker
from tests import postgresql_server
from tests.fakes import wecom as fake
from tests.server_process import environment

ROUNDS = 3
EVENTS = 1000
NOBODY = "http://127.0.0.1:9"  # no WeCom is asked


class Paced(NamedTuple):
    """Events per second, and milliseconds of processor time for each."""

    rate: float
    busy_ms: float


Row = TypeVar("Row")
T = TypeVar("T")


class OneByOne(Database):
    """A transaction for each row: what a handler does without a group committer."""

    def together(
        self, many: Callable[[Connection, list[Row]], list[T]], row: Row, priority: Priority = Priority.WORK
    ) -> "asyncio.Future[T]":
        async def alone() -> T:
            return (await self.write_as(priority, many, [row]))[0]

        return asyncio.ensure_future(alone())


def main() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="scrm-bench-") as folder:
        figures = measure("SQLite FULL", lambda name: f"sqlite:///{Path(folder) / name}.db")
        if postgresql_server.find_binaries() is None:
            say(f"events: PostgreSQL left out. {postgresql_server.HOW_TO_GET_IT}")
        else:
            with postgresql_server.running(postgresql_server.DURABLE) as server:
                server.execute("CREATE DATABASE ours", "CREATE DATABASE peer")
                figures += measure("PostgreSQL", server.url)
    return figures


def measure(store: str, url_of: Callable[[str], str]) -> list[Figure]:
    """The rate, and the processor time of this process for each event: the steadier of the two."""
    ours, peer = url_of("ours"), url_of("peer")
    migrate(ours)
    migrate(peer)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        mine, theirs = runner.run(take_turns(store, ours, peer))
    peer = "the same handlers, one event and one transaction at a time"
    figures = []
    for place, (title, unit) in enumerate((("events to applied state", "1/s"), ("processor time for each", "ms"))):
        ours_, theirs_ = [each[place] for each in mine], [each[place] for each in theirs]
        ratio = median([a / b for a, b in zip(ours_, theirs_, strict=True)])
        figures.append(
            Figure(f"{title}, {store}", median(ours_), unit, peer=peer, peer_value=median(theirs_), ratio=ratio)
        )
    return [tell(figure) for figure in figures]


async def take_turns(store: str, ours: str, peer: str) -> tuple[list[Paced], list[Paced]]:
    """What each round took; the first round warms up and does not count."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    mine, theirs = [], []
    numbers = itertools.count()
    async with opened(ours, Database) as us, opened(peer, OneByOne) as them:
        for number in range(ROUNDS + 1):
            bodies = [event(next(numbers)) for _ in range(EVENTS)]
            paced = await timed(us, bodies, all_lanes)
            other = await timed(them, bodies[: EVENTS // 5], in_a_row)
            if number:
                mine.append(paced)
                theirs.append(other)
                say(f"events: {store}, round {number}: ours {paced.rate:.0f}/s, one by one {other.rate:.0f}/s")
    return mine, theirs


@asynccontextmanager
async def opened(url: str, kind: type[Database]) -> AsyncIterator[Services]:
    settings = load_settings(environ=environment(url, NOBODY))
    async with open_services(settings) as services:
        mine = replace(services, db=kind(url))
        try:
            yield mine
        finally:
            await mine.db.close()


async def timed(services: Services, bodies: list[bytes], work: Callable[[Services], Awaitable[float]]) -> Paced:
    """From the first claim until every one of them has its outcome."""
    now = services.clock.now()
    await asyncio.gather(*(inbox.accept(services.db, body, now) for body in bodies))
    busy = time.process_time()
    seconds = await work(services)
    busy = time.process_time() - busy
    assert await services.db.read(count_new) == 0
    return Paced(len(bodies) / seconds, busy * 1000 / len(bodies))


async def all_lanes(services: Services) -> float:
    """The worker as it runs in `scrm serve`; other kinds of work end at once."""
    began = time.perf_counter()
    worker = Worker(services.db, services.clock)
    worker.prepare(services, EXECUTORS)
    await worker.start()
    while await services.db.read(count_new):  # noqa: ASYNC110 - the worker tells nobody when it is done
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - began
    await worker.stop()
    return seconds


async def in_a_row(services: Services) -> float:
    began = time.perf_counter()
    while items := await services.db.write(queue.claim, "event", now=services.clock.now(), limit=1):
        await EXECUTORS[items[0].kind](services, items[0])
        await services.db.write(queue.finish, [items[0].id])
    return time.perf_counter() - began


async def leave(services: Services, item: queue.Claimed) -> None:
    """Work that an event leaves to other lanes."""


EXECUTORS: dict[str, Any] = dict.fromkeys(("contact.refresh", "member.refresh", "sop.event", "sop.mark_tag"), leave)
EXECUTORS[inbox.KIND] = run.run_callback


def count_new(conn: Connection) -> int:
    """Callbacks without an outcome."""
    return int(conn.execute(select(func.count()).where(inbox_event.c.state == "new")).scalar_one())


def event(number: int) -> bytes:
    """A shop's mixture: adds, deletions, messages to the app, and something new."""
    chance = random.Random(number).random()
    pair = {"UserID": f"u_{number % 50}", "ExternalUserID": f"wmBench{number // 2:0>25}"}
    at = 1_772_416_800 + number
    if chance < 0.4:
        xml = fake.event_xml("add_external_contact", created_at=at, **pair, State="live-1111")
    elif chance < 0.8:
        xml = fake.event_xml("del_follow_user", created_at=at, **pair)
    else:
        name = "click" if chance < 0.95 else "change_the_moon"
        xml = fake.event_xml("", event=name, created_at=at, EventKey=str(number))
    return xml.encode()
