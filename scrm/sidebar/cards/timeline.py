"""What happened between the shop and this person, the newest first."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from scrm.profiles.timeline import Line, find_event_types
from scrm.sidebar import store, words
from scrm.sidebar.cards.visit import Visit

PAGE = 20
# As long as it helps to write to somebody who has just read something.
JUST_NOW = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Happening:
    """One line with its moment."""

    at: datetime
    line: Line


@dataclass(frozen=True, slots=True)
class Timeline:
    """`before` is where the next page goes on, as text for an address; None at the end."""

    rows: list[Happening]
    before: str | None


def load(conn: Connection, visit: Visit, before: tuple[datetime, int] | None = None) -> Timeline:
    rows = store.list_timeline(conn, visit.person_id, visit.external_userid, before=before, limit=PAGE + 1)
    shown = rows[:PAGE]
    last = f"{int(shown[-1].at.timestamp() * 1000)}.{shown[-1].rank}" if len(rows) > PAGE else None
    own = find_event_types(conn, {row.name for row in shown})
    return Timeline([Happening(row.at, _line(row, own.get(row.name), visit.now)) for row in shown], last)


def _line(row: Row[Any], own: Row[Any] | None, now: datetime) -> Line:
    if row.name == "welcome":
        text = row.facts.get("text") if isinstance(row.facts, dict) else ""
        return words.tell_welcome(row.outcome, str(text or ""), row.reason)
    line = words.tell(row.name, row.facts or {}, row.member_name or row.userid, own)
    if row.name == "message.radar_opened" and now - row.at < JUST_NOW:
        return line._replace(title=f"刚刚{line.title}")
    return line
