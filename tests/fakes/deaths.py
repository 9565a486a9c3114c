"""A process that ends at the worst moment: before it says what is decided, or before it keeps what was answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scrm.services import Services
from scrm.wecom.calls import Calls
from scrm.work import queue


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


async def revive(services: Services) -> None:
    """Another process takes up what the dead one held."""
    await services.db.write(queue.release_all)
