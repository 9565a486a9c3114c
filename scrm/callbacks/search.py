"""All SQL of the flight recorder: which callbacks came, what became of one, and what it set off."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, literal_column, select

from scrm.callbacks.models import FORGOTTEN, inbox_event, inbox_failure
from scrm.events import event
from scrm.profiles.models import external_contact, member
from scrm.sop.models import enrolment, playbook, send
from scrm.work.models import work_item

# How many rows one page looks through where no index knows the answer.
WINDOW = 20_000
STATES = ("new", "done", "unused", "unknown", "unreadable", "failed")

_ODD: ColumnElement[bool] = literal_column("inbox_event.state IN ('unknown', 'unreadable', 'failed')")
# Ids are given at the commit: a callback may have been received some minutes before its neighbours.
_SLACK = timedelta(minutes=10)
# What a callback set off is told soon after it, also when it was tried for some days.
_AFTERMATH = timedelta(days=7)
_LISTED = [column for column in inbox_event.c if column.name != "body"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What narrows the list; `kind` is "event" or "event:change_type", `state` one of STATES or "odd"."""

    kind: str = ""
    contact: str = ""
    member: str = ""
    state: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Wanted":
        times = {name: datetime.fromisoformat(kept[name]) if kept[name] else None for name in ("since", "until")}
        return cls(**{**kept, **times})


@dataclass(frozen=True, slots=True)
class Found:
    """Some callbacks without their bodies; `before` goes on, `is_cut` when the search stopped early."""

    rows: list[Row[Any]]
    before: int | None = None
    is_cut: bool = False


def list_callbacks(conn: Connection, wanted: Wanted, *, before: int | None = None, limit: int = 50) -> Found:
    """The newest first. One condition is served by its index, the others by a look at a window behind it."""
    served, rest = _conditions(wanted)
    query = select(*_LISTED).where(*served, *_span(conn, wanted)).order_by(inbox_event.c.id.desc())
    if before is not None:
        query = query.where(inbox_event.c.id < before)
    if not rest:
        rows = list(conn.execute(query.limit(limit + 1)))
        return Found(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)
    return _in_window(conn, query, rest, limit)


def _in_window(conn: Connection, query: Select[Any], rest: list[ColumnElement[bool]], limit: int) -> Found:
    window = query.with_only_columns(inbox_event.c.id).limit(WINDOW).subquery("seen")
    among_seen = select(*_LISTED).join(window, window.c.id == inbox_event.c.id).where(*rest)
    rows = list(conn.execute(among_seen.order_by(inbox_event.c.id.desc()).limit(limit + 1)))
    if len(rows) > limit:
        return Found(rows[:limit], rows[limit - 1].id)
    looked_at, oldest = conn.execute(select(func.count(), func.min(window.c.id))).one()
    return Found(rows, oldest, is_cut=True) if looked_at == WINDOW else Found(rows)


def _conditions(wanted: Wanted) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """What the narrowest index serves, and what is left to look at row by row."""
    told, parts = inbox_event.c, list[list[ColumnElement[bool]]]()
    # The empty text is said once more, so that both databases find the partial indexes.
    if wanted.contact:
        parts.append([told.external_userid == wanted.contact, literal_column("inbox_event.external_userid <> ''")])
    if wanted.member:
        parts.append([told.userid == wanted.member, literal_column("inbox_event.userid <> ''")])
    if wanted.state == "odd":
        parts.append([_ODD])
    if wanted.kind:
        name, _, change_type = wanted.kind.partition(":")
        parts.append([told.name == name, told.change_type == change_type, literal_column("inbox_event.name <> ''")])
    if wanted.state in ("unknown", "unreadable", "failed"):
        parts.append([_ODD, told.state == wanted.state])
    elif wanted.state in STATES:
        parts.append([told.state == wanted.state])
        if len(parts) == 1:
            return [], parts[0]
    return (parts[0] if parts else []), [each for part in parts[1:] for each in part]


def _span(conn: Connection, wanted: Wanted) -> list[ColumnElement[bool]]:
    """A span of time as a span of ids, with the exact times beside it."""
    told, found = inbox_event.c, list[ColumnElement[bool]]()
    if wanted.since is not None:
        first = select(told.id).where(told.received_at >= wanted.since - _SLACK).order_by(told.received_at).limit(1)
        first_id = conn.execute(first).scalar()
        found += [told.id >= first_id - WINDOW if first_id is not None else literal_column("1 = 0")]
        found.append(told.received_at >= wanted.since)
    if wanted.until is not None:
        past = select(told.id).where(told.received_at >= wanted.until + _SLACK).order_by(told.received_at).limit(1)
        past_id = conn.execute(past).scalar()
        found += [told.id < past_id + WINDOW] if past_id is not None else []
        found.append(told.received_at < wanted.until)
    return found


# For a replay ---------------------------------------------------------------------------------------------------------


def replayable(conn: Connection, wanted: Wanted) -> list[ColumnElement[bool]]:
    """All that is wanted, was looked at before, and still has its body."""
    served, rest = _conditions(wanted)
    return [*served, *rest, *_span(conn, wanted), inbox_event.c.state != "new", _has_body()]


def _has_body() -> ColumnElement[bool]:
    return inbox_event.c.body.not_in([FORGOTTEN, b""])


def count_replayable(conn: Connection, wanted: Wanted, most: int) -> int:
    """Counted no further than one above `most`."""
    some = select(inbox_event.c.id).where(*replayable(conn, wanted)).limit(most + 1).subquery()
    return int(conn.execute(select(func.count()).select_from(some)).scalar_one())


def newest_id(conn: Connection) -> int:
    return int(conn.execute(select(func.max(inbox_event.c.id))).scalar() or 0)


def list_replayable(conn: Connection, wanted: Wanted, *, after: int, up_to: int, limit: int) -> list[int]:
    """The next ids in the order in which they came."""
    query = select(inbox_event.c.id).where(
        *replayable(conn, wanted), inbox_event.c.id > after, inbox_event.c.id <= up_to
    )
    return list(conn.scalars(query.order_by(inbox_event.c.id).limit(limit)))


# One callback ---------------------------------------------------------------------------------------------------------


def find_callback(conn: Connection, inbox_id: int) -> Row[Any] | None:
    return conn.execute(select(inbox_event).where(inbox_event.c.id == inbox_id)).one_or_none()


def list_failures(conn: Connection, inbox_id: int, limit: int = 20) -> list[Row[Any]]:
    """The newest first."""
    query = select(inbox_failure).where(inbox_failure.c.inbox_id == inbox_id).order_by(inbox_failure.c.id.desc())
    return list(conn.execute(query.limit(limit)))


def list_work(conn: Connection, correlation: str) -> list[Row[Any]]:
    """What it left in the queue: finished work leaves no row, so the table is short; the newest 20,000 are looked at."""
    if not correlation:
        return []
    newest = select(work_item.c.id).order_by(work_item.c.id.desc()).limit(WINDOW).subquery("newest")
    query = select(work_item).join(newest, newest.c.id == work_item.c.id).where(work_item.c.correlation == correlation)
    return list(conn.execute(query.order_by(work_item.c.id)))


def list_told(conn: Connection, row: Row[Any]) -> list[Row[Any]]:
    """Events that came of it; found by the person of its contact, whose events an index keeps by their time."""
    if not row.external_userid or not row.correlation:
        return []
    person = select(external_contact.c.person_id).where(external_contact.c.external_userid == row.external_userid)
    query = select(event).where(
        event.c.person_id.in_(person),
        event.c.occurred_at >= row.received_at - _AFTERMATH,
        event.c.occurred_at <= row.received_at + _AFTERMATH,
        event.c.correlation == row.correlation,
    )
    return list(conn.execute(query.order_by(event.c.id).limit(50)))


def list_sends(conn: Connection, row: Row[Any]) -> list[Row[Any]]:
    """What went out because of it, or should have; by the contact, whose sends an index keeps by their time."""
    if not row.external_userid or not row.correlation:
        return []
    query = select(send).where(
        send.c.external_userid == row.external_userid,
        send.c.decided_at >= row.received_at - _AFTERMATH,
        send.c.correlation == row.correlation,
    )
    return list(conn.execute(query.order_by(send.c.decided_at, send.c.id).limit(50)))


def list_runs(conn: Connection, row: Row[Any]) -> list[Row[Any]]:
    """Which playbooks it began, with their titles."""
    if not row.external_userid or not row.correlation:
        return []
    person = select(external_contact.c.person_id).where(external_contact.c.external_userid == row.external_userid)
    query = (
        select(enrolment, playbook.c.title)
        .join(playbook, playbook.c.key == enrolment.c.playbook_key)
        .where(enrolment.c.person_id.in_(person), enrolment.c.correlation == row.correlation)
    )
    return list(conn.execute(query.order_by(enrolment.c.id).limit(50)))


def names_of(conn: Connection, rows: list[Row[Any]]) -> tuple[dict[str, tuple[str, int]], dict[str, str]]:
    """Of the contacts (name, person) and of the members that these callbacks speak of."""
    contacts = {row.external_userid for row in rows} - {""}
    userids = {row.userid for row in rows} - {""}
    found = conn.execute(
        select(external_contact.c.external_userid, external_contact.c.name, external_contact.c.person_id).where(
            external_contact.c.external_userid.in_(contacts)
        )
    )
    members = conn.execute(select(member.c.userid, member.c.name).where(member.c.userid.in_(userids)))
    return {row.external_userid: (row.name, row.person_id) for row in found}, {row.userid: row.name for row in members}
