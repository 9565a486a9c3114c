"""What a manager can choose an audience by, with how many customers each stands for."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, literal, select

from scrm.contact_ways.models import contact_way
from scrm.group_chats.models import group_chat
from scrm.profiles.members import customers_of_members
from scrm.profiles.models import corp_tag, follow_user, follow_user_tag, member
from scrm.segments import store as segments

SHOWN = 300


@dataclass(frozen=True, slots=True)
class Choice:
    """One box to tick; `hint` says more in small letters."""

    key: str
    text: str
    customers: int = 0
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """All boxes of the form."""

    members: list[Choice]
    tags: list[Choice]
    channels: list[Choice]
    groups: list[Choice]
    segments: list[Choice]


def list_choices(conn: Connection) -> Choices:
    """Members who follow somebody, tags that somebody has, channels that brought somebody, groups that live."""
    return Choices(_members(conn), _tags(conn), _channels(conn), _groups(conn), _segments(conn))


def _members(conn: Connection) -> list[Choice]:
    has = customers_of_members().where(follow_user.c.is_half.is_(False)).subquery()
    rows = conn.execute(
        select(has.c.userid, member.c.name, has.c.customers)
        .outerjoin(member, member.c.folded == func.lower(has.c.userid))
        .order_by(has.c.customers.desc(), has.c.userid)
        .limit(SHOWN)
    )
    return [Choice(row.userid, row.name or row.userid, row.customers) for row in rows]


def _tags(conn: Connection) -> list[Choice]:
    count = func.count(follow_user_tag.c.external_userid.distinct()).label("customers")
    rows = conn.execute(
        select(corp_tag.c.tag_id, corp_tag.c.tag_name, corp_tag.c.group_name, count)
        .join(follow_user_tag, follow_user_tag.c.tag_id == corp_tag.c.tag_id)
        .where(corp_tag.c.is_deleted.is_(False))
        .group_by(corp_tag.c.tag_id, corp_tag.c.tag_name, corp_tag.c.group_name)
        .order_by(corp_tag.c.group_name, corp_tag.c.tag_name)
        .limit(SHOWN)
    )
    return [Choice(row.tag_id, row.tag_name, row.customers, row.group_name) for row in rows]


def _channels(conn: Connection) -> list[Choice]:
    f, way = follow_user.c, contact_way.c
    # Each along its own piece of ix_follow_user_state, which must be told that there is a state.
    has_state = f.state != literal("", literal_execute=True)
    came = select(func.count()).where(f.state == way.state, has_state, f.ended_by == "").scalar_subquery()
    customers = came.label("customers")
    rows = conn.execute(
        select(way.state, way.title, way.kind, customers)
        .where(way.inviter_id.is_(None))
        .order_by(customers.desc(), way.state)
        .limit(SHOWN)
    )
    return [Choice(row.state, row.title, row.customers, row.kind) for row in rows if row.customers]


def _segments(conn: Connection) -> list[Choice]:
    rows = segments.list_segments(conn)[:SHOWN]
    return [Choice(row.key, row.title, row.members, "exclusion" if row.is_exclusion else "") for row in rows]


def _groups(conn: Connection) -> list[Choice]:
    rows = conn.execute(
        select(group_chat.c.chat_id, group_chat.c.name, group_chat.c.owner, group_chat.c.customers)
        .where(group_chat.c.dismissed_at.is_(None), group_chat.c.owner != "")
        .order_by(group_chat.c.customers.desc(), group_chat.c.id)
        .limit(SHOWN)
    )
    return [Choice(f"{row.chat_id}|{row.owner}", row.name or "未命名的群", row.customers, row.owner) for row in rows]
