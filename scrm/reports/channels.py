"""Which channel codes bring customers, counted from the newest adds."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, case, func, select

from scrm.db.json_text import json_text
from scrm.events import event
from scrm.reports.today import span_of

MOST_ADDS = 50_000


@dataclass(frozen=True, slots=True)
class Adds:
    """Customers who came through one channel code."""

    today: int = 0
    week: int = 0
    month: int = 0


def count_adds(conn: Connection, now: datetime, zone: ZoneInfo) -> dict[str, Adds]:
    """By state ('' for those without a code): today, in 7 days and in 30 days, today included."""
    start = span_of(now, zone).start
    week, month = start - timedelta(days=6), start - timedelta(days=29)
    newest = (
        select(func.coalesce(json_text(event.c.facts, "state"), "").label("state"), event.c.occurred_at)
        .where(event.c.name == "contact.added", event.c.occurred_at >= month)
        .order_by(event.c.occurred_at.desc())
        .limit(MOST_ADDS)
        .subquery()
    )

    in_day = func.sum(case((newest.c.occurred_at >= start, 1), else_=0))
    in_week = func.sum(case((newest.c.occurred_at >= week, 1), else_=0))
    rows = conn.execute(select(newest.c.state, in_day, in_week, func.count()).group_by(newest.c.state))
    return {row[0]: Adds(int(row[1]), int(row[2]), int(row[3])) for row in rows}
