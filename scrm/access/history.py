"""All SQL that reads the log: who, what, which thing, when; the newest first, by key."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select

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
    if wanted.who:
        query = query.where(audit_entry.c.actor.in_(find_actors(conn, wanted.who)))
    for column, value in (
        (audit_entry.c.module, wanted.module),
        (audit_entry.c.act, wanted.act),
        (audit_entry.c.key, wanted.key),
        (audit_entry.c.outcome, wanted.outcome),
    ):
        if value:
            query = query.where(column == value)
    return conn.execute(_within(conn, query, wanted)).all()


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
