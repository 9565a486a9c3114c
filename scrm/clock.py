"""The only place that asks what time it is, and the only one that waits."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

# What lies outside was not meant, and near the year 1 or 9999 cannot even be told in another zone.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)


def is_plausible(moment: datetime) -> bool:
    """Whether somebody can mean it: from 2000 to 2099; `moment` is aware."""
    return EARLIEST <= moment < LATEST


class Clock(Protocol):
    """Time as the product sees it; tests and the sandbox move it."""

    def now(self) -> datetime:
        """The present moment, aware UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait until `seconds` of this clock's time have passed."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SandboxClock:
    """Runs with the machine's time plus an offset that the demo's clock control moves forward."""

    def __init__(self) -> None:
        self.offset = timedelta()
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def advance(self, by: timedelta) -> None:
        """Jump forward and wake everybody who sleeps; `by` must not be negative."""
        if by < timedelta():
            raise ValueError("the sandbox clock only moves forward")
        self.offset += by
        self._moved.set()
        self._moved = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        until = self.now() + timedelta(seconds=seconds)
        while (left := (until - self.now()).total_seconds()) > 0:
            try:
                await asyncio.wait_for(self._moved.wait(), timeout=left)
            except TimeoutError:
                continue


def monotonic() -> float:
    """Seconds that never go back, for durations and deadlines inside one process."""
    return time.monotonic()
