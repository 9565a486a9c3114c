"""Durable work: in order, once, repeated by class, never lost."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from scrm.db import Database
from scrm.errors import Conflict
from scrm.wecom.errors import WeComError
from scrm.work import queue
from scrm.work import worker as worker_module
from scrm.work.models import work_item
from scrm.work.retry import next_try
from scrm.work.worker import LANES, Worker
from tests.fakes.clock import FakeClock
from tests.waiting import eventually


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


class Doer:
    """Executes by noting; `errors` are raised in turn."""

    def __init__(self, *errors: Exception) -> None:
        self.done: list[Any] = []
        self.errors = list(errors)

    async def __call__(self, context: Any, item: queue.Claimed) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.done.append(item.payload.get("n"))


def worker_of(db: Database, clock: FakeClock, doer: Any) -> Worker:
    worker = Worker(db, clock)
    worker.prepare(None, {"note": doer})
    return worker


async def add(db: Database, clock: FakeClock, **fields: Any) -> bool:
    item = queue.Item(lane=fields.pop("lane", "event"), kind="note", **fields)
    return await db.write(queue.add, item, now=clock.now())


async def rows(db: Database) -> list[Any]:
    return await db.read(lambda conn: list(conn.execute(work_item.select())))


async def test_items_of_one_key_run_in_their_order_and_one_at_a_time(db: Database, clock: FakeClock) -> None:
    for n in range(3):
        await add(db, clock, payload={"n": n}, order_key="contact:1")
    await add(db, clock, payload={"n": "other"}, order_key="contact:2")
    first = await db.write(queue.claim, "event", now=clock.now())
    assert [item.payload["n"] for item in first] == [0, "other"]
    assert await db.write(queue.claim, "event", now=clock.now()) == []
    await db.write(queue.finish, [item.id for item in first])
    second = await db.write(queue.claim, "event", now=clock.now())
    assert [item.payload["n"] for item in second] == [1]


async def test_two_claimers_never_get_the_same_item(db: Database, clock: FakeClock) -> None:
    for n in range(40):
        await add(db, clock, payload={"n": n})
    claims = await asyncio.gather(*(db.write(queue.claim, "event", now=clock.now(), limit=10) for _ in range(8)))
    ids = [item.id for claim in claims for item in claim]
    assert len(ids) == len(set(ids)) == 40


async def test_an_open_item_keeps_its_twin_out_and_a_finished_one_does_not(db: Database, clock: FakeClock) -> None:
    assert await add(db, clock, dedupe_key="refresh:1")
    assert not await add(db, clock, dedupe_key="refresh:1")
    await worker_of(db, clock, Doer()).drain()
    assert await add(db, clock, dedupe_key="refresh:1")


async def test_what_is_not_due_waits_for_its_time(db: Database, clock: FakeClock) -> None:
    doer = Doer()
    await add(db, clock, payload={"n": 1}, due_at=clock.now() + timedelta(hours=1))
    assert await worker_of(db, clock, doer).drain() == 0
    clock.advance(hours=1)
    assert await worker_of(db, clock, doer).drain() == 1
    assert doer.done == [1]


async def test_a_dead_workers_items_come_back_when_their_lease_is_over(db: Database, clock: FakeClock) -> None:
    await add(db, clock)
    assert len(await db.write(queue.claim, "event", now=clock.now())) == 1
    assert await db.write(queue.release_expired, now=clock.now()) == 0
    clock.advance(minutes=2)
    assert await db.write(queue.release_expired, now=clock.now()) == 1
    (again,) = await db.write(queue.claim, "event", now=clock.now())
    assert again.attempts == 2


async def test_what_a_living_worker_holds_stays_with_it_however_the_clock_jumps(db: Database, clock: FakeClock) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def slow(context: Any, item: queue.Claimed) -> None:
        assert not started.is_set(), "it was begun twice"
        started.set()
        await release.wait()

    worker = worker_of(db, clock, slow)
    await worker.start()
    await add(db, clock)
    await started.wait()
    clock.advance(days=3)
    await eventually(lambda: leases_after(db, clock))
    release.set()
    await eventually(lambda: is_empty(db))
    await worker.stop()


async def leases_after(db: Database, clock: FakeClock) -> bool:
    return all(row.state == 1 and row.lease_until > clock.now() for row in await rows(db))


async def is_empty(db: Database) -> bool:
    return not await rows(db)


async def test_a_busy_wecom_is_asked_again_and_a_wrong_parameter_is_not(db: Database, clock: FakeClock) -> None:
    doer = Doer(WeComError(-1), WeComError(45009), WeComError(40058))
    worker = worker_of(db, clock, doer)
    await add(db, clock)
    for wait in (0, 2, 70):
        clock.advance(seconds=wait)
        await worker.drain()
    (item,) = await rows(db)
    assert (item.state, item.attempts) == (2, 3)
    assert "40058" in item.last_error
    assert await db.write(queue.revive, item.id, now=clock.now())
    await worker.drain()
    assert await rows(db) == []


def test_each_class_of_error_has_its_patience() -> None:
    now = FakeClock().now()

    def seconds(error: Exception, attempts: int = 1) -> float | None:
        due_at = next_try(error, attempts, now, None)
        return None if due_at is None else (due_at - now).total_seconds()

    assert seconds(WeComError(-1)) == 1
    assert seconds(WeComError(45033), 3) == 4
    assert seconds(WeComError(45009)) == 60
    assert seconds(WeComError(45035)) == 1
    assert seconds(WeComError(60020)) is None
    assert seconds(WeComError(84061)) is None
    assert seconds(WeComError(40058)) is None
    assert seconds(WeComError(40007)) == 1
    assert seconds(WeComError(40007), 2) is None
    assert seconds(Conflict("x")) is None
    assert seconds(KeyError("x")) == 1
    assert next_try(WeComError(45009), 1, now, now + timedelta(seconds=30)) is None


async def test_a_running_worker_wakes_on_commit_and_finishes_what_it_began(db: Database, clock: FakeClock) -> None:
    doer = Doer()
    worker = worker_of(db, clock, doer)
    await worker.start()
    for n in range(20):
        await add(db, clock, payload={"n": n})
    await eventually(lambda: len(doer.done) == 20)
    await worker.stop()
    assert await rows(db) == []


async def test_a_database_that_is_away_is_told_once_and_the_work_goes_on_when_it_is_back(
    db: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    doer, asked = Doer(), 0

    def refuse(*arguments: Any, **more: Any) -> bool:
        nonlocal asked
        asked += 1
        raise ConnectionRefusedError("nobody listens")

    def a_second_later() -> tuple[int, list[Any]]:
        clock.advance(seconds=1)
        return asked, doer.done

    await add(db, clock, payload={"n": 1})
    worker = worker_of(db, clock, doer)
    log = CapturingLogger()
    monkeypatch.setattr(worker_module, "log", log)
    with monkeypatch.context() as away:
        away.setattr(queue, "has_due", refuse)
        await worker.start()
        await eventually(lambda: a_second_later()[0] >= 3 * len(LANES))
    await eventually(lambda: a_second_later()[1] == [1])
    await worker.stop()
    told = [call.args[0] for call in log.calls if call.args[0].startswith("work.claim")]
    assert told == ["work.claim_failed", "work.claims_again"]


async def test_the_welcome_lane_waits_for_no_other_lane(db: Database, clock: FakeClock) -> None:
    doer, release = Doer(), asyncio.Event()

    async def slow_unless_welcome(context: Any, item: queue.Claimed) -> None:
        if item.lane != "welcome":
            await release.wait()
        await doer(context, item)

    worker = worker_of(db, clock, slow_unless_welcome)
    await worker.start()
    for n in range(60):
        await add(db, clock, payload={"n": n})
    await add(db, clock, lane="welcome", payload={"n": "welcome"})
    await eventually(lambda: doer.done == ["welcome"])
    release.set()
    await eventually(lambda: len(doer.done) == 61)
    await worker.stop()


async def test_work_nobody_knows_is_kept(db: Database, clock: FakeClock) -> None:
    worker = Worker(db, clock)
    worker.prepare(None, {})
    await add(db, clock)
    await worker.drain()
    (item,) = await rows(db)
    assert "nobody does work of kind" in item.last_error
