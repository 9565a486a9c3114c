"""A person's timeline as the console shows it: whole, or narrowed to one kind, page by page."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from scrm.commerce.words import channel
from scrm.profiles import timeline
from scrm.profiles.models import member

PAGE = 30


@dataclass(frozen=True, slots=True)
class Happening:
    """One line with its moment."""

    at: datetime
    line: timeline.Line


@dataclass(frozen=True, slots=True)
class View:
    """`kinds` are (key, title) to choose from, `next` where the following page begins, None at the end."""

    rows: list[Happening]
    next: str | None
    kind: str
    kinds: list[tuple[str, str]]
    is_first: bool


def load(conn: Connection, person_id: int, *, kind: str = "", before: str = "") -> View:
    """An unknown kind is all of them, and a `before` that is none begins at the newest."""
    kind = kind if kind in timeline.KINDS else ""
    try:
        feed = timeline.list_feed(conn, person_id, kinds=[kind] if kind else [], before=before, limit=PAGE)
    except ValueError:
        before = ""
        feed = timeline.list_feed(conn, person_id, kinds=[kind] if kind else [], limit=PAGE)
    userids = {row.userid.lower() for row in feed.rows if row.userid}
    names = {}
    if userids:
        found = conn.execute(select(member.c.folded, member.c.name).where(member.c.folded.in_(sorted(userids))))
        names = {row.folded: row.name for row in found}
    own = timeline.find_event_types(conn, {row.name for row in feed.rows})
    rows = [
        Happening(
            row.occurred_at,
            timeline.tell(
                row.name,
                row.facts or {},
                names.get(row.userid.lower()) or row.userid,
                channel=channel,
                own=own.get(row.name),
            ),
        )
        for row in feed.rows
    ]
    titles = [(key, title) for key, (title, _) in timeline.KINDS.items()]
    return View(rows, feed.next, kind, titles, not before)
