"""All SQL that reads the log: who, what, which thing, when; the newest first, by key."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, and_, func, literal_column, or_, select, true

from scrm.access.models import local_account
from scrm.audit import audit_entry
from scrm.profiles.models import member

PAGE = 50
# So many people may be meant by a part of a name.
MOST_ACTORS = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; what is empty does not narrow."""

    who: str = ""
    module: str = ""
    act: str = ""
    key: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None


def list_entries(
    conn: Connection, wanted: Wanted, *, before: int | None = None, limit: int = PAGE
) -> Sequence[Row[Any]]:
    """At most `limit` rows older than `before`."""
    query = select(audit_entry).order_by(audit_entry.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(audit_entry.c.id < before)
    return conn.execute(_within(conn, query.where(*_narrowed(conn, wanted)), wanted)).all()


def _narrowed(conn: Connection, wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    """The first one finds the rows by its index, the others are compared: SQLite knows not which of two has fewer."""
    columns, found = audit_entry.c, False
    if wanted.key:
        yield columns.key == wanted.key
        found = True
    if wanted.who:
        yield _other(conn, columns.actor, found).in_(find_actors(conn, wanted.who))
        found = True
    if wanted.outcome:
        # Said in letters, so that the index of what was not done is seen to hold them all.
        not_done = literal_column("audit_entry.outcome <> 'done'") if wanted.outcome != "done" else true()
        yield and_(_other(conn, columns.outcome, found or wanted.outcome == "done") == wanted.outcome, not_done)
        found = found or wanted.outcome != "done"
    rest = [(columns.act, wanted.act), (columns.module, wanted.module)]
    # Nearly all that is done is an edit.
    for column, value in reversed(rest) if wanted.act == "edit" else rest:
        if value:
            yield _other(conn, column, found) == value
            found = True


def _other(conn: Connection, column: Column[str], found: bool) -> ColumnElement[str]:
    """A column whose index SQLite leaves alone (its unary plus) where rows are found by another one."""
    if not found or conn.dialect.name != "sqlite":
        return column
    return literal_column(f"+audit_entry.{column.name}", column.type)


def _within(conn: Connection, query: Select[Any], wanted: Wanted) -> Select[Any]:
    """Rows are added in the order of time, so a period is a span of ids and needs no second index."""
    if wanted.since is not None:
        query = query.where(audit_entry.c.at >= wanted.since)
        first = select(audit_entry.c.id).where(audit_entry.c.at >= wanted.since).order_by(audit_entry.c.at).limit(1)
        if (start := conn.scalar(first)) is not None:
            query = query.where(audit_entry.c.id >= start - _SLACK)
    if wanted.until is not None:
        query = query.where(audit_entry.c.at < wanted.until)
        last = (
            select(audit_entry.c.id).where(audit_entry.c.at < wanted.until).order_by(audit_entry.c.at.desc()).limit(1)
        )
        if (end := conn.scalar(last)) is not None:
            query = query.where(audit_entry.c.id <= end + _SLACK)
    return query


# Two transactions may take their ids in one order and their times in the other.
_SLACK = 1_000


def find_actors(conn: Connection, text: str) -> Collection[str]:
    """Everybody who may be meant: an actor as it stands in the log, or a part of a member's or account's name."""
    part = text.lower()
    named = or_(
        member.c.folded == part,
        func.lower(member.c.name).contains(part, autoescape=True),
    )
    members = conn.scalars(select(member.c.userid).where(named).order_by(member.c.folded).limit(MOST_ACTORS))
    local = select(local_account.c.userid).where(func.lower(local_account.c.name).contains(part, autoescape=True))
    return {text, f"api:{text}", f"local:{part}", *members, *conn.scalars(local.limit(MOST_ACTORS))}
