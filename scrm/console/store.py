"""All SQL of the console's lists; none reads more than a window of rows, however large a table has grown."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Subquery,
    Table,
    and_,
    func,
    literal_column,
    or_,
    select,
)

from scrm.access.scope import EVERYONE, Scope, reaches_contact, reaches_member
from scrm.callbacks.models import inbox_event
from scrm.customer_lists.people import Customer as Customer
from scrm.customer_lists.people import list_follows as list_follows
from scrm.customer_lists.people import list_these as list_these
from scrm.customer_lists.store import find_people
from scrm.profiles.models import external_contact, member
from scrm.sop.models import enrolment, playbook, playbook_version, send, step_run, task
from scrm.work.models import work_item

T = TypeVar("T")

# How many rows a search looks through before it asks whether to go on.
WINDOW = 20_000
PAGE = 50
MOST = 99


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows and the key to go on from; `is_cut` when the search stopped before the end of the table."""

    rows: Sequence[T]
    before: int | None = None
    is_cut: bool = False


def _window(table: Table, before: int | None) -> Subquery:
    """The ids of the newest rows, or of those older than `before`."""
    query: Select[Any] = select(table.c.id).order_by(table.c.id.desc()).limit(WINDOW)
    return (query if before is None else query.where(table.c.id < before)).subquery("seen")


def _page(conn: Connection, query: Select[Any], column: ColumnElement[int], window: Subquery, limit: int) -> Page[Any]:
    """`query` over a window, the newest first, with one row more asked for than shown."""
    rows = conn.execute(query.order_by(column.desc()).limit(limit + 1)).all()
    if len(rows) > limit:
        return Page(rows[:limit], int(rows[limit - 1].id))
    looked_at, oldest = conn.execute(select(func.count(), func.min(window.c.id))).one()
    return Page(rows, oldest, is_cut=True) if looked_at == WINDOW else Page(rows)


# What the frame shows ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Needs:
    """What waits for a hand; counted up to a hundred."""

    callbacks: int
    work: int


def count_needs(conn: Connection) -> Needs:
    return Needs(_count_some(conn, inbox_event.c.id, _ODD), _count_some(conn, work_item.c.id, _DEAD))


# States are literals so that PostgreSQL finds the partial indexes.
_ODD: ColumnElement[bool] = literal_column("inbox_event.state IN ('unknown', 'unreadable', 'failed')")
_DEAD: ColumnElement[bool] = literal_column("work_item.state = 2")


def last_callback_at(conn: Connection) -> datetime | None:
    """When WeCom told us something last."""
    newest = select(inbox_event.c.received_at).order_by(inbox_event.c.id.desc()).limit(1)
    return conn.execute(newest).scalar_one_or_none()


# The first part is the index's own condition, word for word.
_TROUBLE = "send.outcome IN ('failed', 'too_late', 'unknown')"
_MISSED_WELCOME: ColumnElement[bool] = literal_column(f"{_TROUBLE} AND send.kind = 'welcome'")
_UNKNOWN: ColumnElement[bool] = literal_column(f"{_TROUBLE} AND send.outcome = 'unknown'")
_INTENT: ColumnElement[bool] = literal_column("send.outcome = 'intent'")


def count_missed_welcomes(conn: Connection, since: datetime) -> int:
    """Up to one more than MOST, as the others."""
    return _count_some(conn, send.c.id, and_(_MISSED_WELCOME, send.c.decided_at >= since))


def count_unknown_sends(conn: Connection, since: datetime) -> int:
    """Those of which nobody knows whether they went out."""
    return _count_some(conn, send.c.id, and_(_UNKNOWN, send.c.decided_at >= since))


def count_stuck_sends(conn: Connection, before: datetime) -> int:
    """Those that were decided before then and still have no outcome."""
    return _count_some(conn, send.c.id, and_(_INTENT, send.c.decided_at < before))


def _count_some(conn: Connection, column: ColumnElement[Any], which: ColumnElement[bool]) -> int:
    some = select(column).where(which).limit(MOST + 1).subquery()
    return int(conn.execute(select(func.count()).select_from(some)).scalar_one())


# Customers -----------------------------------------------------------------------------------------------------------


def list_customers(
    conn: Connection, *, text: str, phone_lookup: str | None, limit: int = PAGE, scope: Scope = EVERYONE
) -> list[Customer]:
    """The newest persons within the scope whom the words mean; without words the newest of all."""
    return list_these(conn, find_people(conn, text, phone_lookup or "", scope, limit=limit))


def list_contacts(conn: Connection, person_id: int) -> list[Row[Any]]:
    return list(
        conn.execute(
            select(external_contact)
            .where(external_contact.c.person_id == person_id)
            .order_by(external_contact.c.created_at)
        )
    )


# Playbooks -----------------------------------------------------------------------------------------------------------


def list_playbooks(conn: Connection) -> list[Row[Any]]:
    """Those that run first; archived ones are out of sight."""
    query = select(playbook).where(playbook.c.state != "archived")
    return list(conn.execute(query.order_by(playbook.c.state != "published", playbook.c.key)))


def find_playbook(conn: Connection, key: str) -> Row[Any] | None:
    """The playbook with the text and the time of its current version."""
    query: Select[Any] = (
        select(playbook, playbook_version.c.source, playbook_version.c.published_at)
        .join(
            playbook_version,
            (playbook_version.c.playbook_key == playbook.c.key) & (playbook_version.c.version == playbook.c.version),
        )
        .where(playbook.c.key == key)
    )
    return conn.execute(query).one_or_none()


@dataclass(frozen=True, slots=True)
class Run:
    """A person's way through a playbook, with what each step did."""

    row: Row[Any]
    title: str
    steps: Sequence[Row[Any]]


def list_runs(conn: Connection, person_id: int, limit: int = 20) -> list[Run]:
    """The newest first."""
    rows = conn.execute(
        select(enrolment, playbook.c.title)
        .join(playbook, playbook.c.key == enrolment.c.playbook_key)
        .where(enrolment.c.person_id == person_id)
        .order_by(enrolment.c.id.desc())
        .limit(limit)
    ).all()
    steps: dict[int, list[Row[Any]]] = {}
    of_runs = step_run.c.enrolment_id.in_([row.id for row in rows])
    for step in conn.execute(
        select(step_run, task.c.state.label("task_state"), task.c.reason.label("task_reason"))
        .outerjoin(task, task.c.step_run_id == step_run.c.id)
        .where(of_runs)
        .order_by(step_run.c.id)
    ):
        steps.setdefault(step.enrolment_id, []).append(step)
    return [Run(row, row.title, steps.get(row.id, ())) for row in rows]


# Sends ---------------------------------------------------------------------------------------------------------------


def list_sends(
    conn: Connection,
    *,
    kind: str = "",
    outcome: str = "",
    before: int | None = None,
    limit: int = PAGE,
    scope: Scope = EVERYONE,
) -> Page[Row[Any]]:
    """The ledger within the scope, the newest first, narrowed by what is given; what names nobody is its member's."""
    window = _window(send, before)
    theirs = or_(
        reaches_contact(scope, send.c.external_userid),
        and_(send.c.external_userid == "", reaches_member(scope, send.c.userid)),
    )
    query = _named(select(send)).join(window, window.c.id == send.c.id).where(theirs)
    if kind:
        query = query.where(send.c.kind == kind)
    if outcome:
        query = query.where(send.c.outcome == outcome)
    return _page(conn, query, send.c.id, window, limit)


def list_sends_to(conn: Connection, external_userids: Collection[str], limit: int = 20) -> list[Row[Any]]:
    return list(
        conn.execute(
            _named(select(send))
            .where(send.c.external_userid.in_(external_userids))
            .order_by(send.c.decided_at.desc(), send.c.id.desc())
            .limit(limit)
        )
    )


def _named(query: Select[Any]) -> Select[Any]:
    """With the names of the contact, the member and the playbook."""
    return (
        query.add_columns(
            external_contact.c.name.label("contact_name"),
            external_contact.c.person_id.label("contact_person_id"),
            member.c.name.label("member_name"),
            playbook.c.title.label("playbook_title"),
        )
        .outerjoin(external_contact, external_contact.c.external_userid == send.c.external_userid)
        .outerjoin(member, member.c.userid == send.c.userid)
        .outerjoin(playbook, playbook.c.key == send.c.playbook_key)
    )
