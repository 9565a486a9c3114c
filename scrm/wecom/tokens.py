"""Access tokens and tickets: fetched once for all who wait, kept until shortly before they end."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from scrm.clock import Clock

Fetch = Callable[[], Awaitable[tuple[str, int]]]  # -> value, seconds it lives


class TokenKeeper:
    """One token or ticket; refreshes at nine tenths of its life, and never twice at a time."""

    def __init__(self, clock: Clock, fetch: Fetch) -> None:
        self._clock, self._fetch = clock, fetch
        self._value = ""
        self._until: datetime | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> str:
        if self._until is not None and self._clock.now() < self._until:
            return self._value
        return await self.refresh(self._value)

    async def refresh(self, stale: str) -> str:
        """A value other than `stale`: whoever comes second finds it refreshed already."""
        async with self._lock:
            fresh_enough = self._until is not None and self._clock.now() < self._until
            if self._value and self._value != stale and fresh_enough:
                return self._value
            value, seconds = await self._fetch()
            self._value, self._until = value, self._clock.now() + timedelta(seconds=seconds * 0.9)
            return value
