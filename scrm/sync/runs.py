"""Runs sources one after another, each under a lease: what is cut off goes on, what another process does is waited for."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, select

from scrm.services import Services
from scrm.sync import store
from scrm.sync.sources import Source, choose
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work import queue
from scrm.work.models import DEAD, work_item
from scrm.work.progress import Progress

log = structlog.get_logger()

KIND = "sync.run"
LANE = "sync"
SAVE_SECONDS = 2.0
_HOST = hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:12]
LOOK_SECONDS = 2.0

# What is over for this time, but not for another: the run can be gone on with.
_PASSING = (
    RetryClass.TRANSIENT,
    RetryClass.TOKEN,
    RetryClass.WINDOW,
    RetryClass.CONFLICT,
    RetryClass.LATER,
    RetryClass.CONFIGURATION,
    RetryClass.RESTART,
)

# Told with the source and where it stands; `is_over` at its end.
Watch = Callable[[Source, Progress, bool], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a source ended: its counts, and the error that stopped it."""

    source: Source
    progress: Progress
    error: Exception | None = None


def _nobody(source: Source, progress: Progress, is_over: bool) -> None:
    """Nobody watches durable work; its row tells where it stands."""


def ask(conn: Connection, keys: Sequence[str] = (), *, full: bool = False, now: datetime) -> bool:
    """Leave a sync of these sources (all of them when there are none) as durable work; False when one is waiting."""
    item = queue.Item(
        lane=LANE,
        kind=KIND,
        payload={"sources": list(keys), "full": full},
        dedupe_key=KIND if not keys else f"{KIND}:{','.join(sorted(keys))}",
    )
    return queue.add(conn, item, now=now)


def is_waiting(conn: Connection) -> bool:
    """Whether a sync of everything was asked for and has not been begun."""
    asked = select(work_item.c.id).where(work_item.c.dedupe_key == KIND, work_item.c.state < DEAD)
    return conn.execute(asked).first() is not None


async def run_asked(services: Services, item: queue.Claimed) -> None:
    """Work of kind sync.run, payload {"sources", "full"}: repeated until every source is done.

    Sources that were done since it was asked for are not done again.
    """
    sources = choose(item.payload.get("sources", ()))
    outcomes = await run_sources(
        services, sources, full=bool(item.payload.get("full")), asked_at=item.created_at, once=True
    )
    for outcome in outcomes:
        if isinstance(outcome.error, WeComError) and outcome.error.retry_class in _PASSING:
            raise outcome.error
    for outcome in outcomes:
        if outcome.error is not None and not isinstance(outcome.error, WeComError):
            raise outcome.error


async def run_sources(
    services: Services,
    sources: Sequence[Source],
    *,
    full: bool,
    asked_at: datetime,
    once: bool = False,
    watch: Watch = _nobody,
) -> list[Outcome]:
    """Each of them in turn; a source that fails does not stop the next. `once` leaves out what is done already."""
    outcomes = []
    for source in sources:
        if once and await services.db.read(store.is_done_since, source.key, asked_at):
            continue
        outcomes.append(await _run(services, source, full, asked_at, watch))
    return outcomes


async def _run(services: Services, source: Source, full: bool, asked_at: datetime, watch: Watch) -> Outcome:
    holder = f"{_HOST}:{os.getpid()}:{secrets.token_hex(6)}"
    while (taken := await _take(services, source, full, asked_at, holder)) is None:
        await _look_on(services, source, watch)
        if await services.db.read(store.is_done_since, source.key, asked_at):
            return await _read_outcome(services, source, watch)
    progress = await services.db.read(store.counts_of, taken.id) if taken.is_resumed else Progress()
    log.info("sync.begun", source=source.key, resumed=taken.is_resumed)
    error = await _work(services, source, taken, progress, full, watch)
    watch(source, progress, True)
    log.info("sync.over", source=source.key, done=progress.done, added=progress.added, error=str(error or ""))
    return Outcome(source, progress, error)


async def _take(services: Services, source: Source, full: bool, asked_at: datetime, holder: str) -> store.Taken | None:
    return await services.db.write(
        store.take_run,
        source.key,
        full=full,
        asked_at=asked_at,
        holder=holder,
        is_gone=_is_gone,
        now=services.clock.now(),
    )


def _is_gone(holder: str) -> bool:
    """A process of this machine that was killed need not be waited for."""
    host, _, rest = holder.partition(":")
    pid = rest.partition(":")[0]
    if host != _HOST or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


async def _work(
    services: Services, source: Source, taken: store.Taken, progress: Progress, full: bool, watch: Watch
) -> Exception | None:
    """Run it, and leave its row as done, failed, or to be gone on with."""
    try:
        async with _telling(services, source, taken, progress, watch):
            await _read(services, source, progress, full and not taken.is_resumed)
    except asyncio.CancelledError:
        # Whoever stops us may be in a hurry: the lease ends by itself when this does not get through.
        await asyncio.shield(_leave(services, taken, progress, "已中断，再次同步时从中断处继续"))
        raise
    except WeComError as error:
        if error.retry_class in _PASSING:
            await _leave(services, taken, progress, error.text)
        else:
            await _finish(services, taken, progress, store.FAILED, error.text)
        return error
    except Exception as error:
        await _leave(services, taken, progress, f"{type(error).__name__}: {error}")
        return error
    await _finish(services, taken, progress, store.DONE, "")
    return None


async def _read(services: Services, source: Source, progress: Progress, full: bool) -> None:
    """A list whose cursor WeCom forgot half way (50100) is begun again, once: every source may run twice."""
    try:
        await source.run(services, progress, full)
    except WeComError as error:
        if error.retry_class is not RetryClass.RESTART:
            raise
        progress.done = 0
        progress.note("企业微信的翻页位置失效，已从头再读一遍")
        await source.run(services, progress, full)


async def _leave(services: Services, taken: store.Taken, progress: Progress, error: str) -> None:
    await services.db.write(store.leave_run, taken.id, progress, error=error, now=services.clock.now())


async def _finish(services: Services, taken: store.Taken, progress: Progress, state: str, error: str) -> None:
    await services.db.write(store.finish_run, taken.id, state, error=error, progress=progress, now=services.clock.now())


@asynccontextmanager
async def _telling(
    services: Services, source: Source, taken: store.Taken, progress: Progress, watch: Watch
) -> AsyncIterator[None]:
    """Renews the lease and tells where the run stands, every two seconds."""

    async def tell() -> None:
        while True:
            watch(source, progress, False)
            await services.clock.sleep(SAVE_SECONDS)
            try:
                await services.db.write(store.save_progress, taken.id, progress, now=services.clock.now())
            except Exception as error:
                log.warning("sync.unsaved", source=source.key, error=f"{type(error).__name__}: {error}"[:200])

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _look_on(services: Services, source: Source, watch: Watch) -> None:
    """Another process works on it: tell what its row tells, until its turn is over."""
    row = (await services.db.read(store.last_runs)).get(source.key)
    if row is not None:
        watch(source, _progress_of(row), False)
    await services.clock.sleep(LOOK_SECONDS)


async def _read_outcome(services: Services, source: Source, watch: Watch) -> Outcome:
    row = (await services.db.read(store.last_runs))[source.key]
    progress = _progress_of(row)
    watch(source, progress, True)
    return Outcome(source, progress)


def _progress_of(row: Any) -> Progress:
    return Progress(row.total, row.done, row.added, row.changed, row.ended, list(row.notes))
