"""How many calls of one endpoint may be under way: shrinks when WeCom says 45033, grows back when it does not."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Pace:
    """A gate for one endpoint; additive increase, multiplicative decrease between 1 and `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = float(most)
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def has_room(self) -> bool:
        return self._under_way < int(self._allowed) and not self._waiting

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for room, and give it back at the end."""
        if self.has_room:
            self._under_way += 1
        else:
            await self._wait()
        try:
            yield
        finally:
            self._under_way -= 1
            self._wake()

    def slower(self) -> None:
        self._allowed = max(1.0, self._allowed / 2)

    def faster(self) -> None:
        if self._allowed < self._most:
            self._allowed = min(float(self._most), self._allowed + 1 / self._allowed)
            self._wake()

    async def _wait(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._under_way -= 1
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting and self._under_way < int(self._allowed):
            turn = self._waiting.popleft()
            if not turn.done():
                self._under_way += 1
                turn.set_result(None)
