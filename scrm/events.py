"""Domain events: one row is the timeline line, the audit entry and the trigger, all at once."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, Index, String, Table, bindparam, delete, select, text, update

from scrm.db import BigId, Json, UtcDateTime, insert_for, metadata
from scrm.db.bulk import among, insert_rows
from scrm.work import queue

event = Table(
    "event",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("name", String(48), nullable=False),
    Column("person_id", BigId),
    Column("external_userid", String(64), nullable=False, server_default=text("''")),
    Column("userid", String(64), nullable=False, server_default=text("''")),
    # The business key that playbooks key their runs on: order id, coupon id ...
    Column("key", String(160), nullable=False, server_default=text("''")),
    Column("facts", Json, nullable=False),
    Column("occurred_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    # The same thing told twice is one event.
    Column("once", String(200), unique=True),
    Column("correlation", String(40), nullable=False, server_default=text("''")),
    Index("ix_event_person_id", "person_id", "occurred_at"),
    Index("ix_event_name", "name", "occurred_at", "person_id"),
    # Who entered and left a segment, the newest first.
    Index(
        "ix_event_segment",
        "key",
        "id",
        sqlite_where=text("name IN ('segment.entered', 'segment.left')"),
        postgresql_where=text("name IN ('segment.entered', 'segment.left')"),
    ),
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a person; `facts` holds what the name needs (see docs/glossary.md)."""

    name: str
    occurred_at: datetime
    person_id: int | None = None
    external_userid: str = ""
    userid: str = ""
    key: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    once: str | None = None
    id: int = 0


def publish(conn: Connection, events: Iterable[Event], *, now: datetime, correlation: str = "") -> list[Event]:
    """Keep events with the state they speak of; those nobody has told yet also become work for the playbooks.

    Returns the new ones, with their ids.
    """
    new = keep(conn, events, now=now, correlation=correlation)
    items = [
        queue.Item(
            lane="event",
            kind="sop.event",
            payload={"event_id": told.id},
            # What is told of one order, one case or one live show is heard in the order it was told.
            order_key=f"told:{told.key}"[:120] if told.key else None,
            correlation=correlation,
        )
        for told in new
        if told.person_id is not None
    ]
    queue.add_many(conn, items, now=now)
    return new


def keep(conn: Connection, events: Iterable[Event], *, now: datetime, correlation: str = "") -> list[Event]:
    """Keep events whose consequences the caller draws himself; returns those that are new, with their ids."""
    return _keep_new(conn, list(events), now, correlation)


def _keep_new(conn: Connection, events: list[Event], now: datetime, correlation: str) -> list[Event]:
    if len(events) > 1 and all(told.once for told in events):
        return _keep_new_together(conn, events, now, correlation)
    new = []
    for told in events:
        kept = conn.execute(_keep(conn.dialect.name), _values(told, now, correlation)).first()
        if kept is not None:
            new.append(replace(told, id=kept.id))
    return new


def _keep_new_together(conn: Connection, events: list[Event], now: datetime, correlation: str) -> list[Event]:
    by_once: dict[str | None, Event] = {}
    for told in events:
        by_once.setdefault(told.once, told)
    rows = [_values(told, now, correlation) for told in by_once.values()]
    kept = {row.once: row.id for row in conn.execute(_keep(conn.dialect.name), rows)}
    return [replace(told, id=kept[told.once]) for told in by_once.values() if told.once in kept]


@cache
def _keep(dialect: str) -> Any:
    return insert_for(dialect, event).on_conflict_do_nothing().returning(event.c.id, event.c.once)


def record(conn: Connection, events: Iterable[Event], *, now: datetime, correlation: str = "") -> None:
    """Keep many events for the timeline and the conditions only, in one statement: no playbook starts by them."""
    rows = [_values(told, now, correlation) for told in events]
    insert_rows(conn, event, rows, skip_known=True)


def retell(conn: Connection, once: str, name: str, facts: dict[str, Any]) -> None:
    """What an event tells was changed or taken back by whoever wrote it; playbooks are not told again."""
    conn.execute(update(event).where(event.c.once == once).values(name=name, facts=facts))


def forget(conn: Connection, once: str) -> None:
    """Take back what was told: it did not happen. What playbooks have not heard of yet, they never will."""
    conn.execute(delete(event).where(event.c.once == once))


def get_event(conn: Connection, event_id: int) -> Event | None:
    row = conn.execute(_BY_ID, {"of_id": event_id}).one_or_none()
    return None if row is None else event_of(row)


_BY_ID = select(event).where(event.c.id == bindparam("of_id"))


def list_facts(conn: Connection, event_ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """What each of these events says, by id."""
    query = select(event.c.id, event.c.facts).where(among(conn, event.c.id, event_ids))
    return {row.id: row.facts for row in conn.execute(query)}


def list_events(conn: Connection, person_id: int, *, before: int | None = None, limit: int = 50) -> list[Event]:
    """The newest first; `before` is the id of the last one already seen."""
    query = select(event).where(event.c.person_id == person_id)
    if before is not None:
        query = query.where(event.c.id < before)
    rows = conn.execute(query.order_by(event.c.occurred_at.desc(), event.c.id.desc()).limit(limit))
    return [event_of(row) for row in rows]


def _values(told: Event, now: datetime, correlation: str) -> dict[str, Any]:
    return {
        "name": told.name,
        "person_id": told.person_id,
        "external_userid": told.external_userid,
        "userid": told.userid,
        "key": told.key,
        "facts": told.facts,
        "occurred_at": told.occurred_at,
        "received_at": now,
        "once": told.once,
        "correlation": correlation,
    }


def event_of(row: Any) -> Event:
    """A row of the table as the event it keeps."""
    return Event(
        name=row.name,
        occurred_at=row.occurred_at,
        person_id=row.person_id,
        external_userid=row.external_userid,
        userid=row.userid,
        key=row.key,
        facts=row.facts,
        once=row.once,
        id=row.id,
    )
