"""The ticks: APScheduler calls a handful of functions every so often, in memory; what is due is in the database."""

from collections.abc import Awaitable, Callable

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

log = structlog.get_logger()

Tick = Callable[[], Awaitable[object]]


class Schedule:
    """Interval ticks in this process; a tick that still runs is not started again, a missed one is made up once."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}, timezone="UTC"
        )

    def every(self, seconds: float, tick: Tick, name: str) -> None:
        async def run() -> None:
            try:
                await tick()
            except Exception as error:
                log.exception("tick.failed", tick=name, error=f"{type(error).__name__}: {error}"[:300])

        self._scheduler.add_job(run, "interval", seconds=seconds, id=name)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
