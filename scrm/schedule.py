"""The ticks: APScheduler calls a handful of functions every so often, in memory; what is due is in the database."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from scrm.db.away import why_away
from scrm.wecom.pacing import in_background

log = structlog.get_logger()

_STOP_SECONDS = 10.0

Tick = Callable[[], Awaitable[object]]


class Schedule:
    """Interval ticks in this process; a tick that still runs is not started again, a missed one is made up once."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()
        self._scheduler = AsyncIOScheduler(
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}, timezone="UTC"
        )

    def every(self, seconds: float, tick: Tick, name: str) -> None:
        async def run() -> None:
            # A task of our own: APScheduler cancels what it runs when it stops.
            with in_background():
                running = asyncio.ensure_future(tick())
            self._running.add(running)
            running.add_done_callback(self._running.discard)
            try:
                await asyncio.wait([running])
                running.result()
            except asyncio.CancelledError:
                return
            except Exception as error:
                if cause := why_away(error):
                    log.error("tick.failed", tick=name, error=cause)
                    return
                log.exception("tick.failed", tick=name, error=f"{type(error).__name__}: {error}"[:300])

        self._scheduler.add_job(run, "interval", seconds=seconds, id=name)

    def start(self) -> None:
        self._scheduler.start()

    async def stop(self) -> None:
        """Begin nothing more; what runs has ten seconds to finish."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_STOP_SECONDS)
            for tick in late:
                tick.cancel()
