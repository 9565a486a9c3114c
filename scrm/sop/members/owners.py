"""Which member speaks to a person: whoever looks after him, else who talked last, else who was added first."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Row, Select, and_, bindparam, func, select, update

from scrm.errors import Invalid, NotFound
from scrm.events import Event
from scrm.profiles.models import external_contact, follow_user, member, person
from scrm.sop.models import enrolment, send, task
from scrm.sop.schema import Playbook


@dataclass(frozen=True, slots=True)
class Owner:
    """The pair a run belongs to; empty when only our own data is changed."""

    userid: str = ""
    external_userid: str = ""


def choose(conn: Connection, event: Event, playbook: Playbook) -> Owner | None:
    """Who speaks for us in a run that this event begins; never a member who is no longer a contact.

    What is told of one friendship (contact.added) is followed up in that friendship while it lives. Else: 负责人, the
    last one who wrote, the earliest added. Without anybody only a playbook that needs no member can run: None.
    """
    assert event.person_id is not None  # noqa: S101 - the callers have checked
    if event.userid and event.external_userid:
        own = _relations(event.external_userid).where(func.lower(follow_user.c.userid) == event.userid.lower())
        if (row := conn.execute(own.limit(1)).first()) is not None:
            return Owner(row.userid, row.external_userid)
    owner = owner_of(conn, event.person_id)
    if owner is None and not any(step.needs_member for step in playbook.steps):
        return Owner()
    return owner


def owner_of(conn: Connection, person_id: int) -> Owner | None:
    """The member who speaks to a person when nothing else says who; None without a living friendship."""
    row = conn.execute(_owner_query(), {"of_person": person_id}).first()
    return Owner(row.userid, row.external_userid) if row is not None else None


@cache
def _owner_query() -> Any:
    """Built once: every entry into a playbook asks it."""
    mine: BindParameter[int] = bindparam("of_person")
    f, spoke = follow_user.c, _last_talks(task.c.person_id == mine)
    return (
        select(f.userid, f.external_userid)
        .join(person, person.c.id == f.person_id)
        .outerjoin(spoke, and_(spoke.c.userid == f.userid, spoke.c.external_userid == f.external_userid))
        .where(f.person_id == mine, f.ended_by == "")
        .order_by(
            (func.lower(f.userid) == func.lower(person.c.owner_userid)).desc(),
            # Who never wrote comes last; the two databases would order what is missing differently.
            spoke.c.at.is_(None),
            spoke.c.at.desc(),
            f.is_half,
            f.followed_at,
            f.userid,
        )
        .limit(1)
    )


@dataclass(frozen=True, slots=True)
class Follower:
    """A member who follows a person: since when, when they last wrote, whether they are in charge."""

    userid: str
    name: str
    avatar: str
    followed_at: datetime
    talked_at: datetime | None
    ended_by: str
    is_owner: bool


def list_followers(conn: Connection, person_id: int) -> list[Follower]:
    """Everybody who has not deleted the contact: who is in charge first, then who talked last."""
    f, wrote = follow_user.c, _last_chats(person_id)
    rows = conn.execute(
        select(f.userid, f.followed_at, f.ended_by, member.c.name, member.c.avatar, wrote.c.at)
        .outerjoin(member, member.c.folded == func.lower(f.userid))
        .outerjoin(wrote, and_(wrote.c.userid == f.userid, wrote.c.external_userid == f.external_userid))
        .where(f.person_id == person_id, f.ended_by != "member")
        .order_by(wrote.c.at.is_(None), wrote.c.at.desc(), f.followed_at, f.userid)
    ).all()
    owner = owner_of(conn, person_id)
    found: dict[str, Follower] = {}
    for row in rows:
        is_owner = owner is not None and owner.userid == row.userid
        name, avatar = row.name or row.userid, row.avatar or ""
        one = Follower(row.userid, name, avatar, row.followed_at, row.at, row.ended_by, is_owner)
        found.setdefault(row.userid, one)
    return sorted(found.values(), key=lambda one: not one.is_owner)


def _last_chats(person_id: int) -> Any:
    """(userid, external_userid, at): when each member last sent something in the chat, as the ledger knows."""
    contacts = select(external_contact.c.external_userid).where(external_contact.c.person_id == person_id)
    return (
        select(send.c.userid, send.c.external_userid, func.max(send.c.sent_at).label("at"))
        .where(send.c.external_userid.in_(contacts), send.c.kind.in_(("chat", "welcome")), send.c.outcome == "sent")
        .group_by(send.c.userid, send.c.external_userid)
        .subquery()
    )


def successors(conn: Connection, rows: Collection[Row[Any]]) -> dict[int, Owner]:
    """By enrolment, for runs whose member lost the contact: another member who spoke with the person before.

    Nobody is chased by a colleague he never heard of: without one, the run is not in the answer.
    """
    if not rows:
        return {}
    f, spoke = follow_user.c, _last_talks(task.c.person_id.in_(sorted({row.person_id for row in rows})))
    found = conn.execute(
        select(f.person_id, f.userid, f.external_userid)
        .join(spoke, and_(spoke.c.userid == f.userid, spoke.c.external_userid == f.external_userid))
        .where(f.person_id.in_(sorted({row.person_id for row in rows})), f.ended_by == "")
        .order_by(spoke.c.at.desc(), f.userid)
    )
    best: dict[int, Owner] = {}
    for one in found:
        best.setdefault(one.person_id, Owner(one.userid, one.external_userid))
    return {row.id: best[row.person_id] for row in rows if row.person_id in best}


def pass_on(conn: Connection, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Runs whose member lost the contact go on with such a successor; returns those that have none, and must end."""
    heirs = successors(conn, rows)
    for enrolment_id, heir in heirs.items():
        values = {"userid": heir.userid, "external_userid": heir.external_userid}
        conn.execute(update(enrolment).where(enrolment.c.id == enrolment_id).values(**values))
    return [row for row in rows if row.id not in heirs]


def set_owner(conn: Connection, person_id: int, userid: str) -> None:
    """Make a member 负责人 of a person; empty leaves it to who talks. Raises NotFound, or Invalid for a stranger."""
    if conn.execute(select(person.c.id).where(person.c.id == person_id)).first() is None:
        raise NotFound("没有这位客户，可能已被删除或合并")
    knows = select(follow_user.c.userid).where(
        follow_user.c.person_id == person_id,
        follow_user.c.ended_by == "",
        func.lower(follow_user.c.userid) == userid.lower(),
    )
    spelled = conn.scalar(knows.limit(1)) if userid else ""
    if spelled is None:
        raise Invalid("负责人必须是客户现在的好友")
    conn.execute(update(person).where(person.c.id == person_id).values(owner_userid=spelled))


def _relations(external_userid: str) -> Select[Any]:
    """Those of a contact that neither side has ended."""
    return select(follow_user.c.userid, follow_user.c.external_userid).where(
        follow_user.c.external_userid == external_userid, follow_user.c.ended_by == ""
    )


def _last_talks(whose: ColumnElement[bool]) -> Any:
    """(userid, external_userid, at): when each member last sent something from a task."""
    return (
        select(task.c.userid, task.c.external_userid, func.max(task.c.ended_at).label("at"))
        .where(whose, task.c.state == "sent", task.c.kind != "promise")
        .group_by(task.c.userid, task.c.external_userid)
        .subquery()
    )
