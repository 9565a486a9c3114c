"""Access tokens and tickets: fetched once for all who wait, kept until shortly before they end."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from scrm.clock import Clock
from scrm.wecom.errors import RetryClass, WeComError

# A wrong secret asked for in a loop gets the whole IP banned for an hour (doc 90313).
_PAUSE_AFTER_REFUSAL = timedelta(seconds=60)

Fetch = Callable[[], Awaitable[tuple[str, int]]]  # -> value, seconds it lives


class TokenKeeper:
    """One token or ticket; refreshes at nine tenths of its life, never twice at a time, and not in a loop."""

    def __init__(self, clock: Clock, fetch: Fetch) -> None:
        self._clock, self._fetch = clock, fetch
        self._value = ""
        self._until: datetime | None = None
        self._lock = asyncio.Lock()
        self._refused: tuple[datetime, WeComError] | None = None

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
            value, seconds = await self._fetch_unless_refused()
            self._value, self._until = value, self._clock.now() + timedelta(seconds=seconds * 0.9)
            return value

    async def _fetch_unless_refused(self) -> tuple[str, int]:
        if self._refused is not None and self._clock.now() < self._refused[0]:
            raise self._refused[1]
        try:
            fetched = await self._fetch()
        except WeComError as error:
            if error.retry_class is RetryClass.CONFIGURATION:
                self._refused = (self._clock.now() + _PAUSE_AFTER_REFUSAL, error)
            raise
        self._refused = None
        return fetched
