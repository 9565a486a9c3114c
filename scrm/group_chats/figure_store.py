"""How groups grow: by day, by owner, and counted anew."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, case, func, select

from scrm.group_chats.models import group_chat, group_chat_change, group_chat_member
from scrm.group_chats.store import CUSTOMER, IS_LIVING
from scrm.profiles.models import member


@dataclass(frozen=True, slots=True)
class Day:
    """Joins and leaves of customers on one day of the shop."""

    day: date
    joined: int = 0
    left: int = 0


def count_days(
    conn: Connection, now: datetime, zone: ZoneInfo, *, days: int = 30, chat_id: str = "", state: str = ""
) -> list[Day]:
    """One entry for each of the last `days` days, today at the end; counted from the history."""
    today = now.astimezone(zone).date()
    first = today - timedelta(days=days - 1)
    since = datetime(first.year, first.month, first.day, tzinfo=zone)
    change = group_chat_change
    query = select(change.c.kind, change.c.at).where(change.c.type == CUSTOMER, change.c.at >= since)
    if chat_id:
        query = query.where(change.c.chat_id == chat_id)
    if state:
        query = query.where(change.c.state == state)
    counted: dict[tuple[str, date], int] = {}
    for row in conn.execute(query):
        key = row.kind, row.at.astimezone(zone).date()
        counted[key] = counted.get(key, 0) + 1
    every = [first + timedelta(days=number) for number in range(days)]
    return [Day(day, counted.get(("joined", day), 0), counted.get(("left", day), 0)) for day in every]


@dataclass(frozen=True, slots=True)
class OwnerFigures:
    """An owner's groups and the customers in them, from our own ledger."""

    owner: str
    name: str
    groups: int
    members: int
    customers: int
    joined: int
    left: int


def count_owners(conn: Connection, since: datetime) -> list[OwnerFigures]:
    """Owners of living groups, those with the most customers first; joins and leaves since then."""
    totals = conn.execute(
        select(
            group_chat.c.owner,
            func.max(member.c.name).label("name"),
            func.count().label("groups"),
            func.sum(group_chat.c.members).label("members"),
            func.sum(group_chat.c.customers).label("customers"),
        )
        .outerjoin(member, member.c.folded == func.lower(group_chat.c.owner))
        .where(IS_LIVING)
        .group_by(group_chat.c.owner)
    ).all()
    change = group_chat_change
    moves = conn.execute(
        select(group_chat.c.owner, change.c.kind, func.count().label("times"))
        .join(group_chat, group_chat.c.chat_id == change.c.chat_id)
        .where(change.c.type == CUSTOMER, change.c.at >= since, IS_LIVING)
        .group_by(group_chat.c.owner, change.c.kind)
    )
    counted = {(row.owner, row.kind): int(row.times) for row in moves}
    figures = [
        OwnerFigures(
            owner=row.owner,
            name=row.name or row.owner,
            groups=int(row.groups),
            members=int(row.members or 0),
            customers=int(row.customers or 0),
            joined=counted.get((row.owner, "joined"), 0),
            left=counted.get((row.owner, "left"), 0),
        )
        for row in totals
    ]
    return sorted(figures, key=lambda figure: (-figure.customers, figure.owner))


def recount(conn: Connection, chat_id: str) -> tuple[int, int]:
    """(members, customers) counted from the rows; what group_chat says must be equal."""
    row = group_chat_member
    counted = conn.execute(
        select(func.count().label("members"), func.coalesce(func.sum(case((row.c.type == CUSTOMER, 1), else_=0)), 0))
        .select_from(row)
        .where(row.c.chat_id == chat_id)
    ).one()
    return int(counted[0]), int(counted[1])
