"""People who are in several groups at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, case, func, or_, select

from scrm.db.bulk import among
from scrm.group_chats.models import group_chat, group_chat_member, group_chat_tag
from scrm.group_chats.store import CUSTOMER, IS_LIVING, PAGE, persons_of
from scrm.profiles.models import member


@dataclass(frozen=True, slots=True)
class InSeveral:
    """A customer who is in more than one living group."""

    userid: str
    name: str
    person_id: int | None
    groups: Sequence[Row[Any]]


def list_duplicates(
    conn: Connection, *, tag: str = "", after: tuple[int, str] | None = None, limit: int = PAGE
) -> tuple[list[InSeveral], tuple[int, str] | None]:
    """Those in the most groups first, and the key to go on from; `tag` looks only at the groups that carry it."""
    times = func.count().label("times")
    row = group_chat_member
    query = _living_members(tag).with_only_columns(row.c.userid, times).group_by(row.c.userid).having(times > 1)
    if after is not None:
        many, userid = after
        query = query.having(or_(times < many, and_(times == many, row.c.userid > userid)))
    found = conn.execute(query.order_by(times.desc(), row.c.userid).limit(limit + 1)).all()
    shown = found[:limit]
    following = (int(shown[-1].times), str(shown[-1].userid)) if len(found) > limit else None
    userids = [one.userid for one in shown]
    details = conn.execute(
        _living_members(tag)
        .with_only_columns(
            row.c.userid,
            row.c.name,
            row.c.unionid,
            row.c.joined_at,
            group_chat.c.chat_id,
            group_chat.c.name.label("group_name"),
            group_chat.c.owner,
            member.c.name.label("owner_name"),
        )
        .outerjoin(member, member.c.folded == func.lower(group_chat.c.owner))
        .where(among(conn, row.c.userid, userids))
        .order_by(row.c.joined_at, group_chat.c.chat_id)
    ).all()
    persons = persons_of(conn, {one.userid: one.unionid for one in details}.items())
    groups: dict[str, list[Any]] = {}
    for one in details:
        groups.setdefault(one.userid, []).append(one)
    names = {one.userid: one.name for one in details if one.name}
    return [InSeveral(u, names.get(u, ""), persons.get(u), groups.get(u, [])) for u in userids], following


def _living_members(tag: str) -> Select[Any]:
    row = group_chat_member
    query = select(row).join(group_chat, group_chat.c.chat_id == row.c.chat_id).where(row.c.type == CUSTOMER, IS_LIVING)
    if tag:
        query = query.where(
            group_chat.c.chat_id.in_(select(group_chat_tag.c.chat_id).where(group_chat_tag.c.name == tag))
        )
    return query


@dataclass(frozen=True, slots=True)
class Reach:
    """How many seats customers hold in living groups, and how many customers that really are."""

    groups: int
    seats: int
    customers: int
    in_several: int


def count_reach(conn: Connection) -> Reach:
    row = group_chat_member
    per_customer = (
        _living_members("")
        .with_only_columns(row.c.userid, func.count().label("times"))
        .group_by(row.c.userid)
        .subquery()
    )
    counted = conn.execute(
        select(
            func.coalesce(func.sum(per_customer.c.times), 0).label("seats"),
            func.count().label("customers"),
            func.coalesce(func.sum(case((per_customer.c.times > 1, 1), else_=0)), 0).label("in_several"),
        )
    ).one()
    groups = conn.execute(select(func.count()).select_from(group_chat).where(IS_LIVING)).scalar_one()
    return Reach(int(groups), int(counted.seats), int(counted.customers), int(counted.in_several))
