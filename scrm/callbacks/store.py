"""What the console asks about kept callbacks; none of it reads more than a window of rows."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, func, literal_column, select

from scrm.callbacks.models import inbox_event

# How far back the summary of events looks.
WINDOW = 20_000

ODD = ("unknown", "unreadable", "failed")


def list_odd(conn: Connection, state: str = "", *, limit: int = 50) -> list[Row[Any]]:
    """Callbacks nobody could use, the newest first; `state` narrows them to unknown, unreadable or failed."""
    # Literals, so that PostgreSQL finds the partial index.
    odd: ColumnElement[bool] = literal_column("inbox_event.state IN ('unknown', 'unreadable', 'failed')")
    query = select(inbox_event).where(odd).order_by(inbox_event.c.id.desc()).limit(limit)
    return list(conn.execute(query.where(inbox_event.c.state == state) if state else query))


class Tally(NamedTuple):
    """How often an event came among the latest callbacks, and when last."""

    name: str
    change_type: str
    state: str
    times: int
    last_at: datetime


def tally(conn: Connection) -> list[Tally]:
    """The latest 20,000 callbacks by event and outcome, the most frequent first."""
    told = inbox_event.c
    latest = (
        select(told.name, told.change_type, told.state, told.received_at)
        .order_by(told.id.desc())
        .limit(WINDOW)
        .subquery("latest")
    )
    by = (latest.c.name, latest.c.change_type, latest.c.state)
    times = func.count()
    rows = conn.execute(
        select(*by, times, func.max(latest.c.received_at))
        .where(latest.c.state.in_(["done", "unused"]))
        .group_by(*by)
        .order_by(times.desc(), *by)
    )
    return [Tally(*row) for row in rows]
