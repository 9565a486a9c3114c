"""From an event and its change type to the one function that handles it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from scrm.services import Services
from scrm.wecom.events import Event


@dataclass(frozen=True, slots=True)
class Callback:
    """A kept callback on its way to a handler."""

    event: Event
    services: Services
    received_at: datetime
    digest: bytes
    correlation: str


Handler = Callable[[Callback], Awaitable[None]]
Key = tuple[str, str]


class Router:
    """Handlers by (event, change_type); `unused` are those we know and need not act on, with the reason (Chinese)."""

    def __init__(self, *routers: "Router", unused: Mapping[Key, str] | None = None) -> None:
        self._handlers: dict[Key, Handler] = {}
        self._unused = unused or {}
        for router in routers:
            if double := self._handlers.keys() & router._handlers.keys():
                raise ValueError(f"two handlers for {sorted(double)}")
            self._handlers |= router._handlers

    def on(self, name: str, change_type: str = "") -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self._handlers[name, change_type] = handler
            return handler

        return register

    def find(self, event: Event) -> Handler | None:
        return self._handlers.get((event.name, event.change_type))

    def is_unused(self, event: Event) -> bool:
        """Known, and nothing to do."""
        return self.find(event) is None and self.why_unused(event.name, event.change_type) is not None

    def why_unused(self, name: str, change_type: str) -> str | None:
        """The reason, by the event's full key or by its name alone; None for an event that we do not know."""
        return self._unused.get((name, change_type)) or self._unused.get((name, "*"))

    def keys(self) -> list[Key]:
        return sorted(self._handlers)
