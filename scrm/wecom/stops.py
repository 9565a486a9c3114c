"""What an administrator must mend first: an app, or one endpoint of it, that nothing calls by itself meanwhile (4.4, H).

Background work is refused here without asking WeCom, which bans those who repeat a wrong secret. What a person does
(a page, the command line, the doctor) is asked all the same: whoever has mended it sees that it works.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from scrm.clock import Clock, monotonic
from scrm.wecom.errors import RetryClass, WeComError

# Secret, corp, the app itself and the address we come from: every call fails alike.
_OF_THE_APP = frozenset({40001, 40013, 40091, 48006, 48010, 50003, 50006, 60020, 60031, 301042})
# About the member, department or quota that one call names; others may well go through.
_OF_ONE_CALL = frozenset({40057, 50001, 50002, 60011, 60021, 60030, 84074, 610023})
# Said by gettoken; whoever gets a token there is over it.
WHOLE_APP = ""
_FRESH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Stop:
    """`scope` is an endpoint's path, or empty for the whole app; `path` is the call that was refused first.

    Where another app's token is used for a family of endpoints, the family ("kf/") is that app's scope.
    """

    scope: str
    errcode: int
    errmsg: str
    path: str
    since: datetime


class StopStore(Protocol):
    """Where stops are shared; `app` is private, it holds the secret they belong to."""

    async def look(self, app: str) -> dict[str, Stop]:
        """By scope."""
        ...

    async def keep(self, app: str, stop: Stop) -> None:
        """One that is known already stays as it is."""
        ...

    async def lift(self, app: str, scope: str) -> None: ...


class MemoryStops:
    """For one process, and for tests."""

    def __init__(self) -> None:
        self._stops: dict[str, dict[str, Stop]] = {}

    async def look(self, app: str) -> dict[str, Stop]:
        return dict(self._stops.get(app, {}))

    async def keep(self, app: str, stop: Stop) -> None:
        self._stops.setdefault(app, {}).setdefault(stop.scope, stop)

    async def lift(self, app: str, scope: str) -> None:
        self._stops.get(app, {}).pop(scope, None)


def scope_of(error: WeComError, whole: str = WHOLE_APP) -> str | None:
    """What has to stop after this error: an endpoint, everything (`whole`), or nothing but the call itself (None)."""
    if error.retry_class is not RetryClass.CONFIGURATION or error.errcode in _OF_ONE_CALL:
        return None
    return whole if error.errcode in _OF_THE_APP else error.path


def stops_work(error: Exception) -> bool:
    """Whether work that ended so waits until somebody has acted, and goes on then."""
    return isinstance(error, WeComError) and scope_of(error) is not None


class Stops:
    """The stops of one app, as this process knows them."""

    def __init__(self, app: str, store: StopStore, clock: Clock) -> None:
        self._app, self._store, self._clock = app, store, clock
        self._known: dict[str, Stop] = {}
        self._known_at = float("-inf")

    async def refuse(self, path: str, whole: str = WHOLE_APP) -> None:
        """Raises the error that stopped this endpoint, if one did; what is known of it is never out of date.

        `whole` is the scope of the app that would be called: another app's family of endpoints, as `kf/`.
        """
        if monotonic() - self._known_at > _FRESH_SECONDS or self._of(path, whole):
            await self.look()
        if stop := self._of(path, whole):
            raise WeComError(stop.errcode, stop.errmsg, path=stop.path)

    async def look(self) -> dict[str, Stop]:
        self._known, self._known_at = await self._store.look(self._app), monotonic()
        return self._known

    async def note(self, error: WeComError, whole: str = WHOLE_APP) -> None:
        """Stop what this error says must stop."""
        scope = scope_of(error, whole)
        if scope is None or scope in self._known:
            return
        stop = Stop(scope, error.errcode, error.errmsg[:300], error.path, self._clock.now())
        await self._store.keep(self._app, stop)
        self._known = {**self._known, scope: stop}

    async def lift(self, scope: str) -> None:
        await self._store.lift(self._app, scope)
        self._known = {known: stop for known, stop in self._known.items() if known != scope}

    def _of(self, path: str, whole: str) -> Stop | None:
        return self._known.get(whole) or self._known.get(path)
