"""A clock that stands still until a test moves it."""

import asyncio
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Sleepers wake when the clock has been moved far enough."""

    def __init__(self, now: datetime = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)) -> None:  # a Monday, 10:00 in Shanghai
        self._now = now
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        return self._now

    def advance(self, **by: float) -> None:
        self._now += timedelta(**by)
        self._moved.set()
        self._moved = asyncio.Event()

    def move_to(self, moment: datetime) -> None:
        self.advance(seconds=(moment - self._now).total_seconds())

    async def sleep(self, seconds: float) -> None:
        until = self._now + timedelta(seconds=seconds)
        while self._now < until:
            await self._moved.wait()
