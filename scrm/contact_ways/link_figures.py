"""What an acquisition link brought, by channel and by day: from our ledger, and WeCom's own count beside it."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, Connection, and_, case, column, func, literal, select, union_all, values
from sqlalchemy import type_coerce as coerce

from scrm.contact_ways.models import acquisition_customer, acquisition_link, acquisition_step, contact_way, way_add
from scrm.db import upsert
from scrm.db.tables import to_millis
from scrm.errors import NotFound
from scrm.services import Services
from scrm.wecom.acquisition import LinkStatistic

CLICKS, ADDS = "told_clicks", "told_adds"
# WeCom's days are China's, wherever the shop is, and it answers for the last 180 of them (doc 97375).
CHINA = ZoneInfo("Asia/Shanghai")
MOST_DAYS = 180
_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Came:
    """Times that somebody was added, how many of them wrote to the member, and how many have ended since."""

    adds: int = 0
    talked: int = 0
    lost: int = 0

    @property
    def net(self) -> int:
        return self.adds - self.lost

    def __add__(self, other: "Came") -> "Came":
        return Came(self.adds + other.adds, self.talked + other.talked, self.lost + other.lost)


@dataclass(frozen=True, slots=True)
class Told:
    """WeCom's count of a whole day: who clicked the link, who was new."""

    clicks: int = 0
    adds: int = 0


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """`days` from the first to the last; `told` has the days that WeCom has been asked for; `titles` by state."""

    days: dict[date, Came]
    channels: dict[str, Came]
    told: dict[date, Told]
    titles: dict[str, str]

    @property
    def total(self) -> Came:
        return sum(self.days.values(), Came())

    @property
    def told_total(self) -> Told:
        return Told(sum(each.clicks for each in self.told.values()), sum(each.adds for each in self.told.values()))

    @property
    def own_of_told(self) -> int:
        """Our adds of the days that WeCom has counted: what its figure may be compared with."""
        return sum(self.days[day].adds for day in self.told)


# SQL ------------------------------------------------------------------------------------------------------------------


def figures(conn: Connection, link_id: str, first: date, last: date, zone: ZoneInfo) -> LinkFigures:
    """Days of the shop, both ends included. Without a channel came whom WeCom lists and whose add brought no state."""
    days = _ranges(first, last, zone)
    came = _came(link_id)
    customer = acquisition_customer.alias()
    wrote = select(literal(1)).where(
        customer.c.link_id == link_id,
        customer.c.external_userid == came.c.external_userid,
        func.lower(customer.c.userid) == func.lower(came.c.userid),
        customer.c.chat_status == 1,
    )
    moment = coerce(came.c.added_at, BigInteger)
    query = (
        select(
            came.c.state,
            days.c.number,
            func.count().label("adds"),
            func.count(case((wrote.exists(), 1))).label("talked"),
            func.count(came.c.lost_at).label("lost"),
        )
        .select_from(came.join(days, and_(moment >= days.c.start, moment < days.c.stop)))
        .group_by(came.c.state, days.c.number)
    )
    by_day = {day: Came() for day in _every(first, last)}
    titles = _titles(conn, link_id)
    by_channel = dict.fromkeys(titles, Came())
    for row in conn.execute(query):
        each, day = Came(row.adds, row.talked, row.lost), date.fromordinal(row.number)
        by_day[day] += each
        by_channel[row.state] = by_channel.get(row.state, Came()) + each
    return LinkFigures(by_day, by_channel, told_days(conn, link_id, first, last), titles)


def _came(link_id: str) -> Any:
    add, listed = way_add, acquisition_customer
    shown = (add.c.state, add.c.added_at, add.c.lost_at, add.c.external_userid, add.c.userid)
    of_link = select(contact_way.c.state).where(contact_way.c.link_id == link_id)
    same = and_(
        listed.c.external_userid == add.c.external_userid, func.lower(listed.c.userid) == func.lower(add.c.userid)
    )
    by_channel = select(*shown).where(add.c.state.in_(of_link))
    without = select(*shown).join(listed, same).where(listed.c.link_id == link_id, add.c.state == "")
    return union_all(by_channel, without).subquery("came")


def _titles(conn: Connection, link_id: str) -> dict[str, str]:
    """All channels the link ever had, by state."""
    rows = conn.execute(select(contact_way.c.state, contact_way.c.title).where(contact_way.c.link_id == link_id))
    return {row.state: row.title for row in rows}


def _ranges(first: date, last: date, zone: ZoneInfo) -> Any:
    """Days as ranges of milliseconds, so that one statement counts them all."""
    rows = [
        (day.toordinal(), to_millis(_midnight(day, zone)), to_millis(_midnight(day + timedelta(days=1), zone)))
        for day in _every(first, last)
    ]
    columns = (column("number", BigInteger), column("start", BigInteger), column("stop", BigInteger))
    return values(*columns, name="days_given").data(rows).cte("days")


def told_days(conn: Connection, link_id: str, first: date, last: date) -> dict[date, Told]:
    """The days that WeCom has been asked for."""
    step = acquisition_step
    rows = conn.execute(
        select(step.c.day, step.c.step, step.c.times).where(
            step.c.link_id == link_id,
            step.c.state == "",
            step.c.day.between(first.isoformat(), last.isoformat()),
            step.c.step.in_([CLICKS, ADDS]),
        )
    )
    found: dict[date, dict[str, int]] = {}
    for row in rows:
        found.setdefault(date.fromisoformat(row.day), {})[row.step] = row.times
    return {day: Told(each.get(CLICKS, 0), each.get(ADDS, 0)) for day, each in found.items()}


def save_told(conn: Connection, link_id: str, day: date, told: LinkStatistic) -> None:
    """What WeCom counted; a later answer replaces an earlier one."""
    for step, times in ((CLICKS, told.click_link_customer_cnt), (ADDS, told.new_customer_cnt)):
        conn.execute(
            upsert(acquisition_step, conn)
            .values(link_id=link_id, state="", day=day.isoformat(), step=step, times=times)
            .on_conflict_do_update(index_elements=["link_id", "state", "day", "step"], set_={"times": times})
        )


# Acts -----------------------------------------------------------------------------------------------------------------


async def read_days(services: Services, link_id: str, *, days: int) -> int:
    """Ask WeCom for those of the last days that are over and were not asked for; returns how many they were."""
    missing = await services.db.read(_missing, link_id, services.clock.now(), min(days, MOST_DAYS - 1))
    for start in range(0, len(missing), _AT_ONCE):
        asked = [_read_day(services, link_id, day) for day in missing[start : start + _AT_ONCE]]
        # None is left running beside whoever is told of an error.
        for error in filter(None, await asyncio.gather(*asked, return_exceptions=True)):
            raise error
    return len(missing)


def _missing(conn: Connection, link_id: str, now: datetime, days: int) -> list[date]:
    created_at = conn.scalar(select(acquisition_link.c.created_at).where(acquisition_link.c.link_id == link_id))
    if created_at is None:
        raise NotFound("没有这个获客链接，请回到列表重新选择")
    last = now.astimezone(CHINA).date() - timedelta(days=1)
    first = max(last - timedelta(days=days - 1), created_at.astimezone(CHINA).date())
    known = told_days(conn, link_id, first, last)
    return [day for day in _every(first, last) if day not in known]


async def _read_day(services: Services, link_id: str, day: date) -> None:
    at = int(_midnight(day, CHINA).timestamp())
    told = await services.wecom.acquisition.statistic(link_id, start_time=at, end_time=at)
    await services.db.write(save_told, link_id, day, told)


# ----------------------------------------------------------------------------------------------------------------------


def _every(first: date, last: date) -> Iterable[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)
