"""How often an endpoint may be called: WeCom's documented windows, kept across processes and never exceeded (doc 90312).

A call is counted in a slot of two seconds. It may reach WeCom as late as its time-out allows, and another may arrive
at once, so a window of ours is longer than WeCom's by a slot and a time-out.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, Protocol

from scrm.clock import Clock
from scrm.wecom.errors import WindowFull

SLOT_SECONDS = 2
MARGIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many calls in any span of so many seconds."""

    most: int
    seconds: int

    def share(self, part: float) -> "Limit":
        return replace(self, most=max(1, int(self.most * part)))


MINUTE, HOUR, DAY = 60, 3600, 86400

# One corp and one endpoint. The limits of one IP are twice and four times as high: one corp never meets them.
BASE = (Limit(10_000, MINUTE), Limit(150_000, HOUR))

# A process may make one call in a hundred without asking the others, so that everyday traffic needs no shared count;
# the shared count leaves a tenth for that: enough for ten processes.
POCKET = tuple(limit.share(0.01) for limit in BASE)
SHARED = tuple(limit.share(0.9) for limit in BASE)

# What runs in bulk leaves the rest of a window to customers who add somebody just now.
BULK_SHARE = 0.8

# Endpoints with limits of their own; each call is counted for all.
SPECIAL: dict[str, tuple[Limit, ...]] = {
    "get_jsapi_ticket": (Limit(100, HOUR),),
    "ticket/get": (Limit(100, HOUR),),
    "media/uploadimg": (Limit(1000, DAY), Limit(3000, 30 * DAY)),
    "externalcontact/add_moment_task": (Limit(10, MINUTE), Limit(100_000, 30 * DAY)),
    "appchat/create": (Limit(1000, DAY),),
    "appchat/update": (Limit(1000, HOUR),),
}


def _receivers(body: dict[str, Any]) -> list[str]:
    return [userid.lower() for userid in str(body.get("touser") or "").split("|") if userid and userid != "@all"]


def _group_message(body: dict[str, Any]) -> list[str]:
    return [str(body["msgid"])] if body.get("msgid") else []


# Limits that hold for each of the things a body names. WeCom drops what a member gets beyond them without a word.
KEYED: dict[str, tuple[Callable[[dict[str, Any]], list[str]], tuple[Limit, ...]]] = {
    "message/send": (_receivers, (Limit(30, MINUTE), Limit(1000, HOUR))),
    "externalcontact/remind_groupmsg_send": (_group_message, (Limit(3, DAY),)),
}

# App messages of a natural day: so many person-times for each account of the corp (doc 90312).
PER_ACCOUNT_AND_DAY = 200
_CHINA = timezone(timedelta(hours=8))
# What "@all", a department or a tag stands for is not known here: nobody counts it as less than everybody.
_EVERYBODY = ("toparty", "totag")

# How long WeCom shuts an endpoint that answered 45009; it does not say which window was full.
_CLOSED_SECONDS = (MINUTE, HOUR, DAY)


def _own_limits(path: str, body: dict[str, Any]) -> Iterator[tuple[list[str], tuple[Limit, ...]]]:
    if path in SPECIAL:
        yield [f"{path}:all"], SPECIAL[path]
    if path in KEYED:
        keys_of, limits = KEYED[path]
        if keys := [f"{path}:{key}" for key in dict.fromkeys(keys_of(body))]:
            yield keys, limits


def _person_times(body: dict[str, Any], account_cap: int) -> int:
    reaches_all = body.get("touser") == "@all" or any(body.get(name) for name in _EVERYBODY)
    return account_cap if reaches_all else len(set(_receivers(body)))


@dataclass(frozen=True, slots=True)
class Grant:
    """How many calls may be made in the slot that began at `slot`; with none, how many seconds to wait."""

    count: int
    slot: int
    retry_after: float = 0.0


class Ledger(Protocol):
    """Counts calls by key for everybody who shares a limit."""

    async def take(
        self, keys: Sequence[str], limits: Sequence[Limit], count: int, *, now: datetime, whole: bool = False
    ) -> Grant:
        """Count up to `count` calls for each of the keys, as many as all of them have room for; `whole` all or none."""
        ...


def slot_of(now: datetime) -> int:
    """Seconds since 1970 at which the slot of this moment began."""
    return int(now.timestamp()) // SLOT_SECONDS * SLOT_SECONDS


def counts_from(limit: Limit, now: datetime) -> float:
    """Slots that began after this moment (seconds since 1970) still count."""
    return now.timestamp() - limit.seconds - SLOT_SECONDS - MARGIN_SECONDS


def seconds_until_room(limit: Limit, oldest_slot: int, now: datetime) -> float:
    """Until the oldest slot that counts does so no more."""
    return max(0.05, oldest_slot - counts_from(limit, now))


def part_of(left: int, count: int, *, whole: bool) -> int:
    """Nobody takes more than half of what is left, as what others do not use in time is lost to all; or all or none."""
    if whole:
        return count if count <= left else 0
    return min(count, left, max(1, left // 2))


class MemoryLedger:
    """For one process, and for tests."""

    def __init__(self) -> None:
        self._taken: dict[str, dict[int, int]] = defaultdict(dict)

    async def take(
        self, keys: Sequence[str], limits: Sequence[Limit], count: int, *, now: datetime, whole: bool = False
    ) -> Grant:
        slot, room, wait = slot_of(now), count, 0.0
        for key in keys:
            taken = self._forget(key, limits, now)
            for limit in limits:
                counted = [at for at in taken if at > counts_from(limit, now)]
                left = limit.most - sum(taken[at] for at in counted)
                room = min(room, part_of(left, room, whole=whole))
                if left <= 0 and counted:
                    wait = max(wait, seconds_until_room(limit, min(counted), now))
        if room <= 0:
            return Grant(0, slot, wait)
        for key in keys:
            self._taken[key][slot] = self._taken[key].get(slot, 0) + room
        return Grant(room, slot)

    def _forget(self, key: str, limits: Sequence[Limit], now: datetime) -> dict[int, int]:
        taken = self._taken[key]
        oldest = min(counts_from(limit, now) for limit in limits)
        while taken and (first := next(iter(taken))) <= oldest:
            del taken[first]
        return taken


class Windows:
    """The gate in front of every call of one corp and app."""

    def __init__(self, ledger: Ledger, clock: Clock, corp: str, account_cap: int = 200) -> None:
        self._ledger, self._clock, self._corp, self._account_cap = ledger, clock, corp, account_cap
        self._pockets: dict[str, _Pocket] = defaultdict(_Pocket)
        self._gates: dict[tuple[str, bool], _Gate] = {}
        self._closed: dict[str, tuple[datetime, int]] = {}

    def is_closed(self, path: str) -> bool:
        return self._closed_for(path) > 0

    async def enter(self, path: str, body: dict[str, Any], *, is_bulk: bool, patience: float) -> None:
        """Count a call that is made at once; waits up to `patience` seconds for room, else raises WindowFull."""
        gate = self._gates.get((path, is_bulk))
        if gate is None:
            gate = self._gates[path, is_bulk] = _Gate()
        until = self._clock.now() + timedelta(seconds=patience)
        if gate.lock.locked() or not self._pass_at_once(gate, path, is_bulk):
            gate.waiting += 1
            try:
                async with gate.lock:  # first come, first served; only the first one asks, for all of them
                    await self._wait_for(partial(self._pass, gate, path, is_bulk), path, until)
            finally:
                gate.waiting -= 1
        for keys, limits in _own_limits(path, body):
            await self._wait_for(partial(self._take, keys, limits), path, until)
        if path == "message/send":
            await self._take_from_the_day(path, body)

    async def _take_from_the_day(self, path: str, body: dict[str, Any]) -> None:
        """WeCom drops what is beyond the day's person-times without a word: it waits for the next day instead."""
        now = self._clock.now()
        today = now.astimezone(_CHINA)
        count = _person_times(body, self._account_cap)
        limit = Limit(self._account_cap * PER_ACCOUNT_AND_DAY, DAY)
        key = self._key(f"{path}:{body.get('agentid', '')}:{today.date().isoformat()}")
        if count and not (await self._ledger.take([key], (limit,), count, now=now, whole=True)).count:
            midnight = today.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            raise WindowFull(path, (midnight - today).total_seconds() + 1)

    def close(self, path: str) -> float:
        """WeCom said 45009: nothing more until its window is over. Returns the seconds of rest."""
        now = self._clock.now()
        until, level = self._closed.get(path, (now, -1))
        if level < 0 or now >= until:
            # Full again right after it was opened: then it was a longer window.
            level = min(level + 1, len(_CLOSED_SECONDS) - 1)
            until = now + timedelta(seconds=_CLOSED_SECONDS[level])
            self._closed[path] = until, level
        return (until - now).total_seconds()

    def opened(self, path: str) -> None:
        """A call went through."""
        if self._closed and not self.is_closed(path):
            self._closed.pop(path, None)

    async def _wait_for(self, attempt: Callable[[], Awaitable[float]], path: str, until: datetime) -> None:
        while wait := await attempt():
            if self._clock.now() + timedelta(seconds=wait) > until:
                raise WindowFull(path, wait)
            await self._clock.sleep(wait)

    def _closed_for(self, path: str) -> float:
        known = self._closed.get(path)
        return 0.0 if known is None else max(0.0, (known[0] - self._clock.now()).total_seconds())

    def _pass_at_once(self, gate: "_Gate", path: str, is_bulk: bool) -> bool:
        """With what this process has in its pocket, or was granted for this slot."""
        if self._closed_for(path):
            return False
        now = self._clock.now()
        return gate.spend(now) or (not is_bulk and self._pockets[path].spend(now))

    async def _pass(self, gate: "_Gate", path: str, is_bulk: bool) -> float:
        """0 when the call may be made, else the seconds to wait."""
        if closed := self._closed_for(path):
            return closed
        if self._pass_at_once(gate, path, is_bulk):
            return 0.0
        now = self._clock.now()
        if full := gate.seconds_full(now):
            return full
        limits = [limit.share(BULK_SHARE) for limit in SHARED] if is_bulk else SHARED
        grant = await self._ledger.take([self._key(path)], limits, gate.want(now), now=now)
        if gate.receive(grant, now, self._clock.now()):
            return 0.0
        return grant.retry_after or 0.01  # the slot was over before the answer came: ask again

    async def _take(self, keys: list[str], limits: tuple[Limit, ...]) -> float:
        grant = await self._ledger.take([self._key(key) for key in keys], limits, 1, now=self._clock.now())
        return 0.0 if grant.count else grant.retry_after

    def _key(self, text: str) -> str:
        return f"{self._corp}:{text}"[:200]


class _Pocket:
    """The calls of one endpoint that a process makes without asking the others."""

    def __init__(self) -> None:
        self._made: tuple[deque[float], ...] = tuple(deque() for _ in POCKET)

    def spend(self, now: datetime) -> bool:
        for limit, made in zip(POCKET, self._made, strict=True):
            start = counts_from(limit, now)
            while made and made[0] <= start:
                made.popleft()
            if len(made) >= limit.most:
                return False
        for made in self._made:
            made.append(now.timestamp())
        return True


class _Gate:
    """What was granted to this process for the slot of now, and how much to ask for next."""

    _FEWEST, _AHEAD, _MOST = 4, 64, 512

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0
        self._slot, self._left, self._asked = 0, 0, 0
        self._full = (0.0, 0.0)

    def spend(self, now: datetime) -> bool:
        if self._left <= 0 or self._slot != slot_of(now):
            return False
        self._left -= 1
        return True

    def want(self, now: datetime) -> int:
        """For all who wait; ahead of those who come, twice as many each time in a slot, as what is left over is lost."""
        used = self._asked * 2 if self._slot == slot_of(now) else (self._asked - self._left) // 2
        self._asked = min(self._AHEAD, max(self._FEWEST, used))
        return min(self._MOST, max(self._asked, self.waiting))

    def receive(self, grant: Grant, asked_at: datetime, now: datetime) -> bool:
        """Keep the grant and spend one of it; False when there is none, or its slot is over."""
        self._slot, self._left = grant.slot, grant.count
        self._full = (asked_at.timestamp(), 0.0 if grant.count else grant.retry_after)
        return self.spend(now)

    def seconds_full(self, now: datetime) -> float:
        """What we were told last, without asking again; nothing after the clock went back."""
        since, seconds = self._full
        passed = now.timestamp() - since
        return seconds - passed if 0 <= passed < seconds else 0.0
