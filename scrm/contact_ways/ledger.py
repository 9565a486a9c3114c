"""The ledger of customers who came through channels: rows follow the events of a relation, in whatever order."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, and_, case, func, or_, select

from scrm.contact_ways.models import way_add
from scrm.db import upsert
from scrm.events import Event, event, event_of
from scrm.profiles.models import person_stat

ADDED = "contact.added"
LOST = ("contact.lost_by_customer", "contact.lost_by_member")


@dataclass(frozen=True, slots=True)
class Figures:
    """A channel over some time: `net` is who is still there, `buyers` whose first paid order came after the add."""

    adds: int = 0
    people: int = 0
    lost: int = 0
    buyers: int = 0
    today: int = 0
    week: int = 0

    @property
    def net(self) -> int:
        return self.adds - self.lost


def follow(conn: Connection, told: Event) -> None:
    """Bring the ledger's rows of the event's relation to what all its events say; repeating it changes nothing."""
    follow_all(conn, [told])


def follow_all(conn: Connection, told: Collection[Event]) -> None:
    """`follow` for many at once."""
    wanted = {_pair(each) for each in told}
    persons = {each.person_id for each in told if each.person_id is not None}
    of_persons = event.c.person_id.in_(persons), event.c.name.in_([ADDED, *LOST])
    relations: dict[tuple[str, str], list[Event]] = {}
    for row in conn.execute(select(event).where(*of_persons)):
        each = event_of(row)
        if _pair(each) in wanted:
            relations.setdefault(_pair(each), []).append(each)
    rows = [row for events in relations.values() for row in fold(events)]
    if rows:
        add = upsert(way_add, conn)
        add = add.on_conflict_do_update(index_elements=["event_id"], set_={"lost_at": add.excluded.lost_at})
        conn.execute(add, rows)


def _pair(told: Event) -> tuple[str, str]:
    return told.external_userid, told.userid.lower()


def fold(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Pure: the ledger's rows of one relation. An end belongs to the newest add before it, and the first end counts."""
    rows: list[dict[str, Any]] = []
    # In one second WeCom's times do not tell: who is deleted in the second of the add was added first.
    for each in sorted(events, key=lambda one: (one.occurred_at, one.name != ADDED, one.id)):
        if each.name == ADDED:
            rows.append(
                {
                    "event_id": each.id,
                    "state": str(each.facts.get("state") or "")[:64],
                    "userid": each.userid,
                    "external_userid": each.external_userid,
                    "person_id": each.person_id,
                    "added_at": each.occurred_at,
                    "lost_at": None,
                }
            )
        elif rows and rows[-1]["lost_at"] is None:
            rows[-1]["lost_at"] = each.occurred_at
    return rows


def day_start(now: datetime, zone: ZoneInfo, days_ago: int = 0) -> datetime:
    """Midnight of the shop's day that began so many days ago."""
    day = now.astimezone(zone).date() - timedelta(days=days_ago)
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def count_by_member(conn: Connection, state: str, since: datetime) -> dict[str, int]:
    """New customers of a channel by lower-case userid."""
    rows = conn.execute(
        select(func.lower(way_add.c.userid).label("userid"), func.count().label("adds"))
        .where(way_add.c.state == state, way_add.c.added_at >= since)
        .group_by(func.lower(way_add.c.userid))
    )
    return {row.userid: row.adds for row in rows}


def figures(conn: Connection, now: datetime, zone: ZoneInfo, *, days: int = 30, state: str = "") -> dict[str, Figures]:
    """By state, of those who were added in the last days, today included; '' are those without a channel."""
    since = day_start(now, zone, days - 1)
    first_order = and_(person_stat.c.first_paid_at.is_not(None), person_stat.c.first_paid_at >= way_add.c.added_at)
    query = (
        select(
            way_add.c.state,
            func.count().label("adds"),
            func.count(way_add.c.external_userid.distinct()).label("people"),
            func.count(way_add.c.lost_at).label("lost"),
            func.count(case((first_order, way_add.c.person_id)).distinct()).label("buyers"),
            func.count(case((way_add.c.added_at >= day_start(now, zone), 1))).label("today"),
            func.count(case((way_add.c.added_at >= day_start(now, zone, 6), 1))).label("week"),
        )
        .outerjoin(person_stat, person_stat.c.person_id == way_add.c.person_id)
        .where(way_add.c.added_at >= since)
        .group_by(way_add.c.state)
    )
    if state:
        query = query.where(way_add.c.state == state)
    return {
        row.state: Figures(row.adds, row.people, row.lost, row.buyers, row.today, row.week)
        for row in conn.execute(query)
    }


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a channel: who came, and who went that day."""

    day: date
    adds: int
    lost: int


def days(conn: Connection, state: str, now: datetime, zone: ZoneInfo, *, count: int = 30) -> list[Day]:
    """The last days of a channel, the oldest first, days without anybody included."""
    since = day_start(now, zone, count - 1)
    counted: dict[date, list[int]] = {(since + timedelta(days=number)).date(): [0, 0] for number in range(count)}
    rows = conn.execute(
        select(way_add.c.added_at, way_add.c.lost_at).where(
            way_add.c.state == state, or_(way_add.c.added_at >= since, way_add.c.lost_at >= since)
        )
    )
    for row in rows:
        for number, moment in enumerate((row.added_at, row.lost_at)):
            day = moment.astimezone(zone).date() if moment else None
            if day in counted:
                counted[day][number] += 1
    return [Day(day, adds, lost) for day, (adds, lost) in counted.items()]


def rebuild(conn: Connection, after_id: int = 0, limit: int = 500) -> int:
    """Follow older events in batches, for a database from before the ledger; returns the last id, 0 at the end."""
    rows: Sequence[Any] = conn.execute(
        select(event)
        .where(event.c.id > after_id, event.c.name == ADDED, event.c.person_id.is_not(None))
        .order_by(event.c.id)
        .limit(limit)
    ).all()
    follow_all(conn, [event_of(row) for row in rows])
    return int(rows[-1].id) if rows else 0
