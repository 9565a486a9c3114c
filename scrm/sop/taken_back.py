"""Runs that should never have begun: ended, what they prepared is withdrawn, and their key is free again."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, or_, select, update

from scrm.sop import store
from scrm.sop.members import task_store
from scrm.sop.models import enrolment, step_run, task
from scrm.sop.schema import Channel

_LIVING = ("active", "paused", "queued")
# What speaks by itself; a task speaks when its member sends it.
_SPEAKING = [channel.value for channel in Channel if channel.speaks and channel is not Channel.TASK]


def take_back(conn: Connection, rows: Collection[Row[Any]], reason: str, *, now: datetime) -> None:
    """End these runs, whatever their state."""
    ids = [row.id for row in rows]
    if not ids:
        return
    task_store.withdraw_tasks(conn, ids, reason, now=now)
    for row in rows:
        ended = {"state": "exited", "ended_reason": reason, "ended_at": now, "due_at": None, "look_at": None}
        key = f"{row.run_key[:170]}{store.TAKEN_BACK}{row.id}"
        conn.execute(update(enrolment).where(enrolment.c.id == row.id).values(run_key=key, **ended))


def take_back_of_events(
    conn: Connection, person_id: int, event_ids: Collection[int], reason: str, *, now: datetime
) -> int:
    """The person's runs that these events began; returns how many were under way."""
    mine = conn.execute(select(enrolment).where(enrolment.c.person_id == person_id))
    rows = [row for row in mine if row.event_id in event_ids]
    take_back(conn, rows, reason, now=now)
    return sum(row.state in _LIVING for row in rows)


def has_spoken(conn: Connection, enrolment_id: int) -> bool:
    """Whether something of the run reached the customer, or may have."""
    sent = select(task.c.id).where(
        task.c.enrolment_id == enrolment_id, or_(task.c.state == "sent", task.c.released_at.is_not(None))
    )
    told = select(step_run.c.id).where(
        step_run.c.enrolment_id == enrolment_id,
        step_run.c.channel.in_(_SPEAKING),
        step_run.c.state.in_(("done", "intent", "unknown")),
    )
    return any(conn.execute(query.limit(1)).first() is not None for query in (sent, told))
