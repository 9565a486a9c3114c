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
    exists,
    func,
    literal_column,
    or_,
    select,
)

from scrm.access.scope import EVERYONE, Scope, may_reach, reaches, reaches_contact, reaches_member
from scrm.callbacks.models import inbox_event
from scrm.commerce.models import orders
from scrm.contact_ways.models import contact_way
from scrm.privacy.models import erasure
from scrm.profiles.models import external_contact, follow_user, identity, member, person, person_stat
from scrm.profiles.search import find_named
from scrm.sop.models import enrolment, playbook, playbook_version, send, step_run, task
from scrm.work.models import work_item

T = TypeVar("T")

# How many rows a search looks through before it asks whether to go on.
WINDOW = 20_000
# How many of one name it takes at a time.
NAMED = 500
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


def _count_some(conn: Connection, column: ColumnElement[Any], which: ColumnElement[bool]) -> int:
    some = select(column).where(which).limit(MOST + 1).subquery()
    return int(conn.execute(select(func.count()).select_from(some)).scalar_one())


# Customers -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Customer:
    """A person with what a list shows; `contact` is the first external contact, `follows` the relations."""

    person: Row[Any]
    contact: Row[Any] | None
    follows: Sequence[Row[Any]]

    @property
    def name(self) -> str:
        return str((self.contact.name if self.contact is not None else "") or self.person.name or "未知昵称")

    @property
    def remark(self) -> str:
        return next((str(follow.remark) for follow in self.follows if follow.remark), "")

    @property
    def added_at(self) -> datetime | None:
        return max((follow.followed_at for follow in self.follows), default=None)


def list_customers(
    conn: Connection,
    *,
    text: str,
    phone_lookup: str | None,
    before: int | None,
    limit: int = PAGE,
    scope: Scope = EVERYONE,
) -> Page[Customer]:
    """Persons within the scope, the newest first; `text` is a name, remark, external_userid or order number.

    Ids and numbers are found exactly; names by any piece of them, below `before`.
    """
    found = [each for each in _find_exactly(conn, text, phone_lookup) if may_reach(conn, scope, each)] if text else []
    if found:
        return Page(list_these(conn, sorted(found, reverse=True)))
    query = select(person.c.id).where(~exists().where(erasure.c.person_id == person.c.id), reaches(scope, person.c.id))
    page = _called(conn, query, text, before, limit) if text else _newest(conn, query, before, limit)
    return Page(list_these(conn, [row.id for row in page.rows]), page.before, page.is_cut)


def _newest(conn: Connection, query: Select[Any], before: int | None, limit: int) -> Page[Any]:
    window = _window(person, before)
    return _page(conn, query.join(window, window.c.id == person.c.id), person.c.id, window, limit)


def _called(conn: Connection, query: Select[Any], text: str, before: int | None, limit: int) -> Page[Any]:
    """Of those who are called so, those that the query lets through."""
    named = find_named(conn, text, below=before, limit=NAMED)
    rows = conn.execute(query.where(person.c.id.in_(named)).order_by(person.c.id.desc()).limit(limit + 1)).all()
    if len(rows) > limit:
        return Page(rows[:limit], int(rows[limit - 1].id))
    return Page(rows, named[-1], is_cut=True) if len(named) == NAMED else Page(rows)


def _find_exactly(conn: Connection, text: str, phone_lookup: str | None) -> set[int]:
    queries: list[Select[Any]] = [
        select(external_contact.c.person_id).where(external_contact.c.external_userid == text),
        select(orders.c.person_id).where(orders.c.order_no == text, orders.c.person_id.is_not(None)).limit(20),
    ]
    if phone_lookup:
        queries.append(
            select(identity.c.person_id).where(
                identity.c.kind == "mobile_e164", identity.c.scope == "", identity.c.value == phone_lookup
            )
        )
    return {person_id for query in queries for person_id in conn.scalars(query)}


def list_these(conn: Connection, ids: Sequence[int]) -> list[Customer]:
    """In the order of the ids; three statements."""
    if not ids:
        return []
    stats = [column for column in person_stat.c if column.name != "person_id"]
    persons = {
        row.id: row
        for row in conn.execute(
            select(person, *stats)
            .outerjoin(person_stat, person_stat.c.person_id == person.c.id)
            .where(person.c.id.in_(ids))
        )
    }
    contacts: dict[int, Row[Any]] = {}
    of_persons = external_contact.c.person_id.in_(ids)
    for contact in conn.execute(select(external_contact).where(of_persons).order_by(external_contact.c.created_at)):
        contacts.setdefault(contact.person_id, contact)
    follows: dict[int, list[Row[Any]]] = {}
    for follow in list_follows(conn, ids):
        follows.setdefault(follow.person_id, []).append(follow)
    return [Customer(persons[i], contacts.get(i), follows.get(i, ())) for i in ids if i in persons]


def list_follows(conn: Connection, person_ids: Collection[int]) -> list[Row[Any]]:
    """Relations with the member's and the channel's name, living ones first."""
    return list(
        conn.execute(
            select(
                follow_user,
                member.c.name.label("member_name"),
                contact_way.c.title.label("channel_title"),
                contact_way.c.kind.label("channel_kind"),
            )
            .outerjoin(member, member.c.userid == follow_user.c.userid)
            .outerjoin(contact_way, contact_way.c.state == follow_user.c.state)
            .where(follow_user.c.person_id.in_(person_ids))
            .order_by(follow_user.c.ended_by != "", follow_user.c.followed_at)
        )
    )


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
