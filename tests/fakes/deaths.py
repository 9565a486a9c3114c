"""A process that ends at the worst moment: before it says what is decided, or before it keeps what was answered."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scrm import given_up
from scrm.services import Services
from scrm.wecom.calls import Calls
from scrm.work import queue

PassTime = Callable[..., Awaitable[None]]


class Killed(BaseException):
    """Nobody catches it."""


@contextmanager
def killed_before(patch: pytest.MonkeyPatch, path: str) -> Iterator[None]:
    """Within, the process ends just before its first call of `path`, and it must come to that call."""
    with _killed_at(patch, path, is_said=False):
        yield


@contextmanager
def killed_after(patch: pytest.MonkeyPatch, path: str) -> Iterator[None]:
    """Within, the process ends when WeCom has done its first call of `path` and nothing of the answer is kept."""
    with _killed_at(patch, path, is_said=True):
        yield


@contextmanager
def _killed_at(patch: pytest.MonkeyPatch, path: str, *, is_said: bool) -> Iterator[None]:
    exchange = Calls._exchange
    met: list[str] = []

    async def die(self: Calls, request: Any, token: str) -> Any:
        if request.path != path or met:
            return await exchange(self, request, token)
        met.append(path)
        if is_said:
            await exchange(self, request, token)
        raise Killed

    with patch.context() as inner:
        inner.setattr(Calls, "_exchange", die)
        try:
            yield
        except Killed:
            return
    pytest.fail(f"nothing was about to call {path}")


async def stop_by_bug(patch: pytest.MonkeyPatch, path: str, pass_time: PassTime) -> None:
    """Whatever calls `path` fails by an error of ours, as often as it is tried; then the error is mended."""
    exchange = Calls._exchange

    async def err(self: Calls, request: Any, token: str) -> Any:
        if request.path == path:
            raise KeyError("a bug")
        return await exchange(self, request, token)

    with patch.context() as inner:
        inner.setattr(Calls, "_exchange", err)
        for seconds in (0, 2, 6, 31, 301):
            await pass_time(seconds=seconds)


async def retry_dead(services: Services) -> None:
    """As the button of 任务队列 does, for all that died."""
    for row in await services.db.read(queue.list_dead):
        assert await services.db.write(given_up.revive, row.id, now=services.clock.now())


async def discard_dead(services: Services) -> None:
    """As the other button does."""
    for row in await services.db.read(queue.list_dead):
        assert await services.db.write(given_up.discard, row.id, now=services.clock.now())


async def revive(services: Services) -> None:
    """Another process takes up what the dead one held."""
    await services.db.write(queue.release_all)
