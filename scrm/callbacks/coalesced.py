"""Storms of events about one subject become one fetch: thousands of edits in a row say nothing but "look again"."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from scrm.callbacks.metrics import FETCHES
from scrm.callbacks.router import Callback
from scrm.work import queue

# Events of one span of time share a fetch, which begins after the span has ended: an event can never be taken for
# answered by a fetch that began before it.
SPAN = timedelta(seconds=2)
# Many events in a short time, and again about the same subject: its fetches come further apart.
STORM_SPAN = timedelta(seconds=30)
_STORM = 50  # events of one storm span
# WeCom writes some of what an event tells only after it has told (doc 92130).
_SETTLES_IN = timedelta(seconds=1)
_EPOCH = datetime.fromtimestamp(0, UTC)


async def fetch_soon(callback: Callback, kind: str, subject: str, payload: dict[str, Any]) -> None:
    """One item of `kind` for all events about `subject` of the same span, group-committed.

    `payload` gets `after` (ISO): a fetch begun then or later has seen them all.
    """
    now = callback.services.clock.now()
    recent: _Recent = callback.services.memory.setdefault(_Recent, _Recent())
    span = STORM_SPAN if recent.is_stormy(subject, now) else SPAN
    after = now - (now - _EPOCH) % span + span + _SETTLES_IN
    item = queue.Item(
        lane="sync",
        kind=kind,
        payload={**payload, "after": after.isoformat()},
        due_at=after,
        order_key=subject,
        dedupe_key=f"{kind}:{subject}:{int(after.timestamp())}",
        correlation=callback.correlation,
    )
    is_first = await callback.services.db.together(_want_many, (item, now))
    if not is_first:
        FETCHES.labels(kind, "coalesced").inc()


class _Recent:
    """Subjects of the present and the last storm span; they decide about haste alone, so each process has its own."""

    def __init__(self) -> None:
        self._number = self._count = 0
        self._seen: set[str] = set()
        self._before: set[str] = set()

    def is_stormy(self, subject: str, now: datetime) -> bool:
        """Note an event about the subject; whether it is one of many, and not the first about it."""
        number = (now - _EPOCH) // STORM_SPAN
        if number != self._number:
            self._before = self._seen if number == self._number + 1 else set()
            self._number, self._count, self._seen = number, self._count // 2, set()
        was_seen = subject in self._seen or subject in self._before
        self._seen.add(subject)
        self._count += 1
        return was_seen and self._count > _STORM


def _want_many(conn: Connection, wanted: list[tuple[queue.Item, datetime]]) -> list[bool]:
    firsts: dict[str | None, queue.Item] = {}
    for item, _ in wanted:
        firsts.setdefault(item.dedupe_key, item)
    added = {key: queue.add(conn, item, now=wanted[-1][1]) for key, item in firsts.items()}
    return [added.pop(item.dedupe_key, False) for item, _ in wanted]
