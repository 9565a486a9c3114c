"""How many calls of one endpoint may be under way: shrinks when WeCom says 45033, grows back when it does not."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

from scrm.clock import monotonic

_is_bulk: ContextVar[bool] = ContextVar("wecom_is_bulk", default=False)
_is_in_background: ContextVar[bool] = ContextVar("wecom_is_in_background", default=False)
_deadline: ContextVar[float | None] = ContextVar("wecom_deadline", default=None)

# How long a call may wait for its turn when nobody set a deadline; bulk work has time.
PATIENCE_SECONDS = 20.0
BULK_PATIENCE_SECONDS = 120.0

# What an answered call adds to how many may be under way: one in twenty tries whether WeCom takes more, and is refused.
GROWTH = 0.05


@contextmanager
def in_bulk() -> Iterator[None]:
    """Calls made inside wait behind all others and leave them a part of every rate window (sync, import)."""
    token = _is_bulk.set(True)
    try:
        yield
    finally:
        _is_bulk.reset(token)


@contextmanager
def in_background() -> Iterator[None]:
    """Calls made inside are made by no person: they stop where an administrator must act first (scrm.wecom.stops)."""
    token = _is_in_background.set(True)
    try:
        yield
    finally:
        _is_in_background.reset(token)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Calls made inside end in time: waiting for a turn and the answer together, else WindowFull or WeComUnreachable."""
    mine, outer = monotonic() + seconds, _deadline.get()
    token = _deadline.set(mine if outer is None else min(mine, outer))
    try:
        yield
    finally:
        _deadline.reset(token)


def is_bulk() -> bool:
    return _is_bulk.get()


def is_in_background() -> bool:
    return _is_in_background.get()


def seconds_left() -> float | None:
    """Until the deadline of `within`; None without one."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - monotonic()


def patience() -> float:
    """Seconds that a call may wait for its turn."""
    left = seconds_left()
    if left is not None:
        return max(0.0, left)
    return BULK_PATIENCE_SECONDS if is_bulk() else PATIENCE_SECONDS


class Pace:
    """A gate for one endpoint; additive increase, multiplicative decrease between 1 and `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = float(most)
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._waiting_in_bulk: deque[asyncio.Future[None]] = deque()

    @property
    def has_room(self) -> bool:
        return self._under_way < int(self._allowed) and not self._waiting

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for room, bulk work behind everybody else, and give it back at the end.

        Raises TimeoutError when the deadline of `within` comes first.
        """
        if self.has_room and not (is_bulk() and self._waiting_in_bulk):
            self._under_way += 1
        else:
            await self._wait(self._waiting_in_bulk if is_bulk() else self._waiting)
        try:
            yield
        finally:
            self._under_way -= 1
            self._wake()

    def slower(self) -> None:
        self._allowed = max(1.0, self._allowed / 2)

    def faster(self) -> None:
        if self._allowed < self._most:
            self._allowed = min(float(self._most), self._allowed + GROWTH)
            self._wake()

    async def _wait(self, queue: deque[asyncio.Future[None]]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(seconds_left()):
                await turn
        except (asyncio.CancelledError, TimeoutError):
            if turn.done() and not turn.cancelled():
                self._under_way -= 1
                self._wake()
            raise

    def _wake(self) -> None:
        while self._under_way < int(self._allowed) and (self._waiting or self._waiting_in_bulk):
            turn = (self._waiting or self._waiting_in_bulk).popleft()
            if not turn.done():
                self._under_way += 1
                turn.set_result(None)
