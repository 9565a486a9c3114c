"""Groups, their people and their history, as pages show them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, func, literal_column, or_, select, update

from scrm.db.bulk import among
from scrm.group_chats.models import group_chat, group_chat_change, group_chat_member, group_chat_tag
from scrm.group_chats.store import CUSTOMER, IS_LIVING, PAGE
from scrm.profiles.models import external_contact, identity, member


@dataclass(frozen=True, slots=True)
class Found:
    """A page of rows and the key to go on from; `is_cut` is for the pages' common part."""

    rows: Sequence[Any]
    before: int | None = None
    is_cut: bool = False


def list_groups(
    conn: Connection,
    *,
    text: str = "",
    tag: str = "",
    owner: str = "",
    is_dismissed: bool | None = None,
    before: int | None = None,
    limit: int = PAGE,
) -> Found:
    """The newest first, with the owner's name; `text` is part of a name or of the owner's name, or a whole chat_id."""
    query = (
        select(group_chat, member.c.name.label("owner_name"))
        .outerjoin(member, member.c.folded == func.lower(group_chat.c.owner))
        .order_by(group_chat.c.id.desc())
    )
    if text:
        query = query.where(
            or_(
                group_chat.c.name.contains(text, autoescape=True),
                member.c.name.contains(text, autoescape=True),
                group_chat.c.chat_id == text,
            )
        )
    if owner:
        query = query.where(func.lower(group_chat.c.owner) == owner.lower())
    if tag:
        tagged = select(group_chat_tag.c.chat_id).where(group_chat_tag.c.name == tag)
        query = query.where(group_chat.c.chat_id.in_(tagged))
    if is_dismissed is not None:
        query = query.where(group_chat.c.dismissed_at.is_not(None) if is_dismissed else IS_LIVING)
    if before is not None:
        query = query.where(group_chat.c.id < before)
    rows = conn.execute(query.limit(limit + 1)).all()
    return Found(rows[:limit], int(rows[limit - 1].id) if len(rows) > limit else None)


def get_group(conn: Connection, chat_id: str) -> Row[Any] | None:
    """The group with its owner's name."""
    return conn.execute(
        select(group_chat, member.c.name.label("owner_name"))
        .outerjoin(member, member.c.folded == func.lower(group_chat.c.owner))
        .where(group_chat.c.chat_id == chat_id)
    ).one_or_none()


def count_changes(
    conn: Connection, chat_ids: Collection[str], since: datetime, until: datetime
) -> dict[str, tuple[int, int]]:
    """(joined, left) of customers per group within [since, until)."""
    change = group_chat_change
    rows = conn.execute(
        select(change.c.chat_id, change.c.kind, func.count().label("times"))
        .where(among(conn, change.c.chat_id, chat_ids), change.c.type == CUSTOMER)
        .where(change.c.at >= since, change.c.at < until)
        .group_by(change.c.chat_id, change.c.kind)
    )
    found: dict[str, tuple[int, int]] = {}
    for row in rows:
        joined, left = found.get(row.chat_id, (0, 0))
        found[row.chat_id] = (joined + row.times, left) if row.kind == "joined" else (joined, left + row.times)
    return found


def customers_within(conn: Connection, chat_id: str) -> list[Row[Any]]:
    """Members of a group with `person_id`, the contact's name and avatar when we know them, and the member's name."""
    row = group_chat_member
    known = external_contact
    by_unionid = (
        select(identity.c.person_id)
        .where(identity.c.kind == "wx_unionid", identity.c.scope == "", identity.c.value == row.c.unionid)
        .where(row.c.unionid != "")
        .scalar_subquery()
    )
    inviting = member.alias("inviting")
    query = (
        select(
            row,
            func.coalesce(known.c.person_id, by_unionid).label("person_id"),
            known.c.name.label("contact_name"),
            known.c.avatar,
            member.c.name.label("member_name"),
            inviting.c.name.label("invitor_name"),
        )
        .outerjoin(known, known.c.external_userid == row.c.userid)
        .outerjoin(member, and_(row.c.type != CUSTOMER, member.c.folded == func.lower(row.c.userid)))
        .outerjoin(inviting, and_(row.c.invitor != "", inviting.c.folded == func.lower(row.c.invitor)))
        .where(row.c.chat_id == chat_id)
        .order_by(row.c.type, row.c.joined_at.desc(), row.c.userid)
    )
    return list(conn.execute(query))


def list_changes(conn: Connection, chat_id: str, *, limit: int = 30) -> list[Row[Any]]:
    """The newest joins and leaves of a group, with the person behind each when known."""
    change = group_chat_change
    return list(
        conn.execute(
            select(
                change,
                external_contact.c.person_id,
                external_contact.c.name.label("contact_name"),
                member.c.name.label("member_name"),
            )
            .outerjoin(external_contact, external_contact.c.external_userid == change.c.userid)
            .outerjoin(member, and_(change.c.type != CUSTOMER, member.c.folded == func.lower(change.c.userid)))
            .where(change.c.chat_id == chat_id)
            .order_by(change.c.at.desc(), change.c.id.desc())
            .limit(limit)
        )
    )


def list_missed(conn: Connection, *, since: datetime, limit: int = 50) -> list[Row[Any]]:
    """Joins and leaves that no event told us of, the newest first; `at` is when, `noticed_at` when we found it."""
    change = group_chat_change
    return list(
        conn.execute(
            select(change, group_chat.c.name.label("group_name"))
            .join(group_chat, group_chat.c.chat_id == change.c.chat_id)
            .where(change.c.is_told.is_(False), change.c.at >= since)
            .order_by(change.c.at.desc(), change.c.id.desc())
            .limit(limit)
        )
    )


def take_missed(conn: Connection, *, before: datetime, limit: int = 1000) -> list[Row[Any]]:
    """Customers' joins and leaves that happened before then and that no event ever told; each is given once.

    With the group's name and owner, and the person when known.
    """
    change = group_chat_change
    rows = list(
        conn.execute(
            select(change, group_chat.c.name.label("group_name"), group_chat.c.owner, external_contact.c.person_id)
            .join(group_chat, group_chat.c.chat_id == change.c.chat_id)
            .outerjoin(external_contact, external_contact.c.external_userid == change.c.userid)
            .where(literal_column("NOT group_chat_change.is_told"), change.c.is_reported.is_(False))
            .where(change.c.type == CUSTOMER, change.c.at < before)
            .order_by(change.c.at)
            .limit(limit)
        )
    )
    if rows:
        ids = [row.id for row in rows]
        conn.execute(update(change).where(among(conn, change.c.id, ids)).values(is_reported=True))
    return rows
