"""Access tokens and tickets: fetched once for all who wait, in whichever process, and kept until shortly before they end."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from scrm.clock import Clock
from scrm.wecom.errors import RetryClass, WeComError

# A wrong secret asked for in a loop gets the whole IP banned for an hour (doc 90313).
PAUSE = timedelta(seconds=60)
# Longer than a call may take; whoever died while refreshing is replaced after it.
LEASE = timedelta(seconds=8)
# WeCom's tokens and tickets live 7200 s: what claims to live longer was written before the clock went back.
_LONGEST = timedelta(hours=24)
_LOOK_AGAIN_SECONDS = 0.1

Fetch = Callable[[], Awaitable[tuple[str, int]]]  # -> value, seconds it lives


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of one token: `version` grows with each change; empty values and None where there is nothing."""

    version: int = 0
    value: str = ""
    until: datetime | None = None
    refused: int = 0  # the errcode WeCom refused us with
    refused_until: datetime | None = None


class TokenStore(Protocol):
    """Where tokens are shared; `name` is private, it holds the secret they belong to."""

    async def look(self, name: str) -> Kept: ...

    async def claim(self, name: str, version: int, *, now: datetime, until: datetime) -> bool:
        """True for one caller: the version is still this one and nobody else is refreshing.

        A claim that ends before `now`, or long after `until` (the clock went back), is nobody's any more.
        """
        ...

    async def keep(self, name: str, kept: Kept) -> None:
        """Replace what is known, one version on, and end the claim."""
        ...

    async def release(self, name: str) -> None:
        """End the claim; nothing has changed."""
        ...


class MemoryTokens:
    """For one process, and for tests."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}
        self._claims: dict[str, datetime] = {}

    async def look(self, name: str) -> Kept:
        return self._kept.get(name, Kept())

    async def claim(self, name: str, version: int, *, now: datetime, until: datetime) -> bool:
        held_until = self._claims.get(name)
        if (held_until and now < held_until <= until + LEASE) or (await self.look(name)).version != version:
            return False
        self._claims[name] = until
        return True

    async def keep(self, name: str, kept: Kept) -> None:
        version = (await self.look(name)).version + 1
        self._kept[name] = Kept(version, kept.value, kept.until, kept.refused, kept.refused_until)
        self._claims.pop(name, None)

    async def release(self, name: str) -> None:
        self._claims.pop(name, None)


class TokenKeeper:
    """One token or ticket; refreshes at nine tenths of its life, never twice at a time, and not in a loop."""

    def __init__(self, name: str, store: TokenStore, clock: Clock, fetch: Fetch) -> None:
        self._name, self._store, self._clock, self._fetch = name, store, clock, fetch
        self._kept = Kept()
        self._lock = asyncio.Lock()

    async def get(self) -> str:
        """The living value; raises WeCom's refusal while it is fresh, without asking again."""
        if self._is_alive(self._kept):
            return self._kept.value
        return await self.refresh(self._kept.value)

    async def refresh(self, stale: str) -> str:
        """A value other than `stale`: whoever comes second, here or in another process, finds it refreshed already."""
        async with self._lock:
            while True:
                self._kept = await self._store.look(self._name)
                self._raise_if_refused()
                if self._kept.value != stale and self._is_alive(self._kept):
                    return self._kept.value
                now = self._clock.now()
                if await self._store.claim(self._name, self._kept.version, now=now, until=now + LEASE):
                    return await self._renew()
                await self._clock.sleep(_LOOK_AGAIN_SECONDS)

    async def refuse(self, error: WeComError) -> None:
        """WeCom took neither the token nor the secret behind it: nobody calls for a while, then a new one is fetched."""
        await self._keep(Kept(refused=error.errcode, refused_until=self._clock.now() + PAUSE))

    async def _renew(self) -> str:
        try:
            value, seconds = await self._fetch()
        except WeComError as error:
            if error.retry_class is RetryClass.CONFIGURATION:
                await self.refuse(error)
            else:
                await self._store.release(self._name)
            raise
        except BaseException:
            await self._store.release(self._name)
            raise
        await self._keep(Kept(value=value, until=self._clock.now() + timedelta(seconds=seconds * 0.9)))
        return value

    async def _keep(self, kept: Kept) -> None:
        await self._store.keep(self._name, kept)
        self._kept = kept

    def _is_alive(self, kept: Kept) -> bool:
        now = self._clock.now()
        return bool(kept.value) and kept.until is not None and now < kept.until <= now + _LONGEST

    def _raise_if_refused(self) -> None:
        kept, now = self._kept, self._clock.now()
        if kept.refused_until is not None and now < kept.refused_until <= now + 2 * PAUSE:
            raise WeComError(kept.refused, "not asked again yet")
