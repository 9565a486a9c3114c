"""A process that ends at the worst moment: what it was about to say is decided and was never said."""

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
    exchange = Calls._exchange
    met: list[str] = []

    async def die(self: Calls, request: Any, token: str) -> Any:
        if request.path == path and not met:
            met.append(path)
            raise Killed
        return await exchange(self, request, token)

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
