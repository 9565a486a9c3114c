"""Transfers and those who may be part of one, as pages show them."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, case, func, or_, select

from scrm.group_chats.models import group_chat
from scrm.profiles.members import customers_of_members
from scrm.profiles.models import external_contact, follow_user, member
from scrm.transfers.models import transfer, transfer_customer, transfer_group, unassigned_contact
from scrm.transfers.store import GIVER, OPEN, followed_by, unassigned_of


def list_transfers(conn: Connection, *, before: int | None = None, limit: int = 50) -> list[Row[Any]]:
    """The newest first, with how many customers and groups each has, are done, and have failed."""
    query = select(transfer).order_by(transfer.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(transfer.c.id < before)
    return list(conn.execute(query))


def count_states(conn: Connection, transfer_ids: Collection[int]) -> dict[int, dict[str, int]]:
    """Customers by state, for each transfer."""
    return _count(conn, transfer_customer, transfer_ids)


def count_group_states(conn: Connection, transfer_ids: Collection[int]) -> dict[int, dict[str, int]]:
    return _count(conn, transfer_group, transfer_ids)


def _count(conn: Connection, table: Any, transfer_ids: Collection[int]) -> dict[int, dict[str, int]]:
    counts: dict[int, dict[str, int]] = {}
    rows = conn.execute(
        select(table.c.transfer_id, table.c.state, func.count().label("how_many"))
        .where(table.c.transfer_id.in_(list(transfer_ids)))
        .group_by(table.c.transfer_id, table.c.state)
    )
    for row in rows:
        counts.setdefault(row.transfer_id, {})[row.state] = row.how_many
    return counts


# What needs a person's eye comes first.
_URGENCY = case(
    {"refused": 0, "limit": 0, "failed": 0, "asking": 1, "pending": 1, "waiting": 2},
    value=transfer_customer.c.state,
    else_=3,
)


def list_rows(conn: Connection, transfer_id: int, *, state: str = "", limit: int = 200) -> list[Row[Any]]:
    """A transfer's customers with their names, those that failed first."""
    query = (
        select(transfer_customer, external_contact.c.name, follow_user.c.remark)
        .outerjoin(external_contact, external_contact.c.external_userid == transfer_customer.c.external_userid)
        .outerjoin(
            follow_user,
            and_(follow_user.c.external_userid == transfer_customer.c.external_userid, follow_user.c.userid == GIVER),
        )
        .where(transfer_customer.c.transfer_id == transfer_id)
        .order_by(_URGENCY, transfer_customer.c.id)
        .limit(limit)
    )
    return list(conn.execute(query.where(transfer_customer.c.state == state) if state else query))


def list_group_rows(conn: Connection, transfer_id: int, *, limit: int = 300) -> list[Row[Any]]:
    return list(
        conn.execute(
            select(transfer_group)
            .where(transfer_group.c.transfer_id == transfer_id)
            .order_by(transfer_group.c.state.desc(), transfer_group.c.id)
            .limit(limit)
        )
    )


def list_givers(conn: Connection) -> list[Row[Any]]:
    """Members with customers to hand over on the job: userid, name, customers; those with most first."""
    has = customers_of_members().subquery()
    query: Select[Any] = (
        select(has.c.userid, member.c.name, has.c.customers)
        .outerjoin(member, member.c.userid == has.c.userid)
        .where(or_(member.c.is_active.is_(True), member.c.userid.is_(None)))
        .order_by(has.c.customers.desc(), has.c.userid)
        .limit(500)
    )
    return list(conn.execute(query))


def list_leavers(conn: Connection) -> list[Row[Any]]:
    """Members who left with customers nobody has: userid, name, customers, left_at."""
    query: Select[Any] = (
        select(
            unassigned_contact.c.handover_userid.label("userid"),
            member.c.name,
            func.count().label("customers"),
            func.max(unassigned_contact.c.dimission_at).label("left_at"),
        )
        .outerjoin(member, member.c.folded == func.lower(unassigned_contact.c.handover_userid))
        .group_by(unassigned_contact.c.handover_userid, member.c.name)
        .order_by(func.count().desc())
        .limit(500)
    )
    return list(conn.execute(query))


def list_takers(conn: Connection) -> list[Row[Any]]:
    """Members who may take over: active ones, by name."""
    return list(
        conn.execute(
            select(member.c.userid, member.c.name)
            .where(member.c.is_active.is_(True))
            .order_by(member.c.name)
            .limit(1000)
        )
    )


def list_candidates(conn: Connection, userid: str, resigned: bool, *, limit: int = 200) -> list[Row[Any]]:
    """The customers to choose from, the newest first, with the name, and whether one is on the way already."""
    chosen = (unassigned_of(userid) if resigned else followed_by(userid)).subquery()
    on_the_way = (
        select(transfer_customer.c.id)
        .where(
            transfer_customer.c.external_userid == chosen.c.external_userid,
            func.lower(GIVER) == userid.lower(),
            transfer_customer.c.state.in_(OPEN),
        )
        .exists()
    )
    query: Select[Any] = (
        select(
            chosen.c.external_userid,
            chosen.c.at,
            external_contact.c.name,
            external_contact.c.avatar,
            follow_user.c.remark,
            on_the_way.label("is_on_the_way"),
        )
        .outerjoin(external_contact, external_contact.c.external_userid == chosen.c.external_userid)
        .outerjoin(
            follow_user, and_(follow_user.c.external_userid == chosen.c.external_userid, follow_user.c.userid == userid)
        )
        .order_by(chosen.c.at.desc(), chosen.c.external_userid)
        .limit(limit)
    )
    return list(conn.execute(query))


def count_candidates(conn: Connection, userid: str, resigned: bool) -> int:
    chosen = (unassigned_of(userid) if resigned else followed_by(userid)).subquery()
    return int(conn.execute(select(func.count()).select_from(chosen)).scalar_one())


def list_chats(conn: Connection, owner: str, *, limit: int) -> list[Row[Any]]:
    """The living groups of an owner, the largest first: chat_id, name, members, and whether one is on the way."""
    on_the_way = (
        select(transfer_group.c.id)
        .where(transfer_group.c.chat_id == group_chat.c.chat_id, transfer_group.c.state.in_(("pending", "asking")))
        .exists()
    )
    query: Select[Any] = (
        select(group_chat.c.chat_id, group_chat.c.name, group_chat.c.members)
        .where(group_chat.c.owner == owner, group_chat.c.dismissed_at.is_(None), ~on_the_way)
        .order_by(group_chat.c.members.desc(), group_chat.c.chat_id)
        .limit(limit)
    )
    return list(conn.execute(query))
