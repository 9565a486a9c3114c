"""What a member notes of a conversation, where WeCom tells nobody: the customer waits, a complaint is open."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from scrm.errors import Invalid
from scrm.events import Event, event, publish
from web.texts import _

NOTED, ANSWERED, OPENED, CLOSED = "talk.noted", "talk.answered", "case.opened", "case.closed"
MARKS = frozenset({NOTED, ANSWERED, OPENED, CLOSED})
# Of a member's own mark: one is open at a time, whoever closes it.
_KEY = "mark"


@dataclass(frozen=True, slots=True)
class Marks:
    """Since when the customer waits for an answer, and since when a complaint is open; None: neither."""

    waits_since: datetime | None = None
    complains_since: datetime | None = None


def read(conn: Connection, person_id: int) -> Marks:
    """The last word of each kind counts."""
    query = (
        select(event.c.name, event.c.occurred_at)
        .where(event.c.person_id == person_id, event.c.name.in_(sorted(MARKS)))
        .order_by(event.c.occurred_at.desc(), event.c.id.desc())
        .limit(50)
    )
    last: dict[bool, tuple[str, datetime]] = {}
    for row in conn.execute(query):
        last.setdefault(row.name.startswith("case."), (row.name, row.occurred_at))
    talk, case = last.get(False, ("", None)), last.get(True, ("", None))
    return Marks(talk[1] if talk[0] == NOTED else None, case[1] if case[0] == OPENED else None)


def note(conn: Connection, person_id: int, userid: str, external_userid: str, name: str, *, now: datetime) -> Marks:
    """Note it once: what is so already is not told again. Raises Invalid for anything but the four marks."""
    if name not in MARKS:
        raise Invalid(_("没有“{name}”这个标记", name=name[:20]))
    marks = read(conn, person_id)
    is_so = {
        NOTED: marks.waits_since is not None,
        ANSWERED: marks.waits_since is None,
        OPENED: marks.complains_since is not None,
        CLOSED: marks.complains_since is None,
    }
    if is_so[name]:
        return marks
    publish(conn, [Event(name, now, person_id, external_userid, userid, key=_KEY, facts={"by": userid})], now=now)
    return read(conn, person_id)
