"""Runs durable work: one loop per lane, which wakes on commit, on the clock, and every few seconds anyway."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from scrm.clock import Clock, monotonic
from scrm.db import Database
from scrm.wecom.pacing import in_background, in_bulk
from scrm.work import queue
from scrm.work.metrics import WORK_SECONDS, WORK_TOTAL
from scrm.work.retry import is_held, next_try

log = structlog.get_logger()

Died = Callable[[Connection, queue.Claimed, datetime], None]
Execute = Callable[[Any, queue.Claimed], Awaitable[None]]

# How many items of a lane run at a time. `welcome` waits for no other lane. What events write is written together:
# with 24 at a time a transaction had two of them in it, with 64 five, and an event took less than half of the processor.
LANES = {"welcome": 200, "event": 24, "step": 8, "send": 8, "sync": 8, "hook": 6, "outward": 12, "bulk": 2}
URGENT = "welcome"
# Their calls of WeCom wait behind all others and leave them a part of every rate window.
PATIENT = frozenset({"sync", "bulk"})
POLL_SECONDS = 5.0
SWEEP_SECONDS = 2.0
_STOP_SECONDS = 10.0


class Worker:
    """`executors` maps a kind to the function that does it; `context` is its first argument (the Services)."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock
        self._executors: Mapping[str, Execute] = {}
        self._context: Any = None
        self._died: Died | None = None
        self._wake = {lane: asyncio.Event() for lane in LANES}
        self._loops: list[asyncio.Task[None]] = []
        self._running: dict[str, set[asyncio.Task[None]]] = {lane: set() for lane in LANES}
        self._held: set[int] = set()
        self._trouble = ""
        self._stopping = False

    def wake(self, lanes: set[str]) -> None:
        """Something new may be due in these lanes."""
        for lane in lanes & self._wake.keys():
            self._wake[lane].set()

    def prepare(self, context: Any, executors: Mapping[str, Execute], died: Died | None = None) -> None:
        """`died` tells what waits for an item that nothing will bring back by itself."""
        self._context, self._executors, self._died = context, executors, died
        self._db.on_commit(self.wake)

    async def start(self) -> None:
        """Take up what a former process left behind, then run every lane until `stop`."""
        if self._db.is_sqlite:
            await self._db.write(queue.release_all)
        self._loops = [asyncio.create_task(self._lane(lane), name=f"lane-{lane}") for lane in LANES]
        self._loops.append(asyncio.create_task(self._sweep(), name="work-sweep"))
        if not self._db.is_sqlite:
            self._loops.append(asyncio.create_task(self._listen(), name="work-listen"))

    async def stop(self) -> None:
        """Claim nothing more and let what runs finish; what does not in ten seconds stays leased and comes back."""
        self._stopping = True
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        running = [task for tasks in self._running.values() for task in tasks]
        if running:
            await asyncio.wait(running, timeout=_STOP_SECONDS)

    async def drain(self) -> int:
        """Run what is due now until nothing is left, in this task (for tests and rehearsals); returns how many."""
        done = 0
        while True:
            claimed = await self._db.write(_claim_of_each_lane, now=self._clock.now(), limit=50)
            if not claimed:
                return done
            await asyncio.gather(*(self._run(item) for item in claimed))
            done += len(claimed)

    async def give_way(self) -> None:
        """Wait while welcomes run, a tenth of a second at most: for long work between two of its transactions."""
        for _ in range(5):
            if not self._running[URGENT]:
                return
            await self._clock.sleep(0.02)

    async def _lane(self, lane: str) -> None:
        wake, running, most = self._wake[lane], self._running[lane], LANES[lane]
        while not self._stopping:
            wake.clear()
            if lane != URGENT and len(self._running[URGENT]) > LANES[URGENT] * 3 // 4:
                # A storm of adds: their codes live twenty seconds, everything else can wait for them.
                await self._clock.sleep(0.2)
                continue
            try:
                free = most - len(running)
                # Some at a time: a claim for each item that ends would be a commit for each.
                items = await self._claim(lane, min(free, 100)) if free > most // 16 else []
            except Exception as error:
                self._note_trouble(_text(error))
                await self._clock.sleep(1.0)
                continue
            for item in items:
                with in_bulk() if lane in PATIENT else nullcontext():
                    task = asyncio.create_task(self._run(item))
                running.add(task)
                task.add_done_callback(running.discard)
                task.add_done_callback(lambda _: wake.set())
            if not items:
                await self._rest(wake)

    def _note_trouble(self, text: str) -> None:
        """A database that is away is away for every lane, each second: once is enough to be told."""
        if text and not self._trouble:
            log.error("work.claim_failed", error=text)
        elif self._trouble and not text:
            log.info("work.claims_again")
        self._trouble = text

    async def _claim(self, lane: str, limit: int) -> list[queue.Claimed]:
        now = self._clock.now()
        is_due = await self._db.read(queue.has_due, lane, now=now)
        items = await self._db.write(queue.claim, lane, now=now, limit=limit) if is_due else []
        self._note_trouble("")
        return items

    async def _rest(self, wake: asyncio.Event) -> None:
        """Until somebody wakes the lane, or the clock has gone on by the polling floor."""
        waits = [asyncio.create_task(wake.wait()), asyncio.create_task(self._clock.sleep(POLL_SECONDS))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _run(self, item: queue.Claimed) -> None:
        started = monotonic()
        structlog.contextvars.bind_contextvars(correlation=item.correlation)
        outcome = "done"
        self._held.add(item.id)
        try:
            execute = self._executors.get(item.kind)
            if execute is None:
                raise LookupError(f"nobody does work of kind {item.kind!r}")
            with in_background():
                await execute(self._context, item)
            await self._db.together(_finish_many, item.id)
        except Exception as error:
            outcome = await self._fail(item, error)
        finally:
            self._held.discard(item.id)
            WORK_TOTAL.labels(item.kind, outcome).inc()
            WORK_SECONDS.labels(item.kind).observe(monotonic() - started)

    async def _fail(self, item: queue.Claimed, error: Exception) -> str:
        due_at = next_try(error, item.attempts, self._clock.now(), item.give_up_at, jitter=random.random())  # noqa: S311 - no secret
        text = _text(error)
        try:
            if due_at is None:
                await self._bury(item, text, is_held(error, item.give_up_at))
                log.error("work.dead", kind=item.kind, item=item.id, attempts=item.attempts, error=text)
                return "dead"
            await self._db.write(queue.repeat, item.id, due_at=due_at, error=text)
            log.warning("work.repeat", kind=item.kind, item=item.id, attempts=item.attempts, error=text)
        except Exception as trouble:
            # The lease ends by itself and the item comes back.
            log.error("work.unrecorded", kind=item.kind, item=item.id, error=_text(trouble))
        return "repeat"

    async def _bury(self, item: queue.Claimed, text: str, is_held_up: bool) -> None:
        if self._died is not None and not is_held_up:
            try:
                await self._db.write(_bury_and_tell, item, text, self._died, self._clock.now())
                return
            except Exception as trouble:
                log.error("work.untold", kind=item.kind, item=item.id, error=_text(trouble))
        await self._db.write(queue.bury, item.id, error=text, held=is_held_up)

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            try:
                now = self._clock.now()
                if not self._held and not await self._db.read(queue.has_expired, now=now):
                    continue
                # What runs here stays ours, however long it takes and however the clock jumps.
                if await self._db.write(queue.release_expired, now=now, held=list(self._held)):
                    self.wake(set(LANES))
            except Exception as error:
                log.error("work.sweep_failed", error=_text(error))

    async def _listen(self) -> None:
        """PostgreSQL: other processes' commits wake our lanes too."""
        while True:
            try:
                async with self._db.listener() as conn:
                    raw = (await conn.get_raw_connection()).driver_connection
                    await raw.add_listener("scrm", lambda *message: self.wake(set(message[3].split())))  # type: ignore[union-attr]
                    while True:
                        await self._clock.sleep(30.0)
                        await raw.execute("SELECT 1")  # type: ignore[union-attr]
            except Exception as error:
                log.warning("work.listen_lost", error=_text(error))
                await self._clock.sleep(1.0)


def _claim_of_each_lane(conn: Connection, *, now: datetime, limit: int) -> list[queue.Claimed]:
    due = queue.lanes_due(conn, now=now)
    return [item for lane in LANES if lane in due for item in queue.claim(conn, lane, now=now, limit=limit)]


def _finish_many(conn: Connection, ids: list[int]) -> list[None]:
    queue.finish(conn, ids)
    return [None] * len(ids)


def _bury_and_tell(conn: Connection, item: queue.Claimed, text: str, died: Died, now: datetime) -> None:
    queue.bury(conn, item.id, error=text)
    died(conn, item, now)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
