"""The boards: figures with their change, days, the way from the scan to the second order, and a line for each channel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, Select, exists, func, select

from scrm.contact_ways.models import acquisition_step, contact_way
from scrm.db.bulk import among
from scrm.errors import NotFound
from scrm.privacy.models import erasure
from scrm.profiles.models import member
from scrm.reports import board_coupons, board_repurchase, cohort, costs, trade
from scrm.reports.cohort import Counts
from scrm.reports.measures import CHANNELS, OF_CHANNEL, OF_ONE_CHANNEL, OVERVIEW, Counted, Measure
from scrm.reports.measures.kinds import Figure, Value
from scrm.reports.period import Asked, Period
from scrm.reports.trade import Day, Trade
from scrm.reports.whose import Whose

WITHOUT = "没有经过渠道活码"
_TITLES = {"": WITHOUT, cohort.OWN_CODES: "老带新（客户的专属码）"}


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the way; `count` is None where nobody tells us, `part` its share of the step before."""

    title: str
    count: int | None
    part: Value = None
    people: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """One line of the table: a channel with its measures, in the order of OF_CHANNEL."""

    state: str
    title: str
    kind: str
    receivers: tuple[str, ...]
    counts: Counts
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    figures: list[Figure]
    days: list[Day]
    shops: list[trade.Shop]


@dataclass(frozen=True, slots=True)
class ChannelBoard:
    figures: list[Figure]
    days: list[Day]
    stages: list[Stage]
    channels: list[Channel]


def load_overview(conn: Connection, asked: Asked, whose: Whose, now: datetime, zone: ZoneInfo) -> Overview:
    def look(period: Period) -> Counted:
        by_state = cohort.count(conn, period, whose, now, cohort.COMING)
        return Counted(sum(by_state.values(), Counts()), trade.count(conn, period, whose))

    return Overview(
        compare(OVERVIEW, look(asked.period), look(asked.before) if asked.before else None),
        trade.by_day(conn, asked.period, whose, zone),
        trade.by_shop(conn, asked.period, whose),
    )


def load_channels(conn: Connection, asked: Asked, whose: Whose, now: datetime, zone: ZoneInfo) -> ChannelBoard:
    def look(period: Period) -> tuple[Counted, dict[str, Counts]]:
        by_state = cohort.count(conn, period, whose, now)
        lost = Trade(lost=trade.count_lost(conn, period, whose))
        return Counted(sum(by_state.values(), Counts()), lost), by_state

    counted, by_state = look(asked.period)
    scans = None if whose != Whose() else _count_scans(conn, asked.period)
    return ChannelBoard(
        compare(CHANNELS, counted, look(asked.before)[0] if asked.before else None),
        trade.by_day(conn, asked.period, whose, zone),
        stages(counted.came, scans),
        _list_channels(conn, by_state, costs.of_period(conn, asked.period) if whose.is_whole else {}),
    )


def load_channel(conn: Connection, state: str, asked: Asked, whose: Whose, now: datetime) -> list[Figure]:
    """One channel's figures; what it cost is told to who sees all its customers."""

    def look(period: Period) -> Counted:
        came = cohort.count(conn, period, whose, now).get(state, Counts())
        cost = costs.of_period(conn, period, state).get(state) if whose.is_whole else None
        return Counted(came, Trade(), cost)

    return compare(OF_ONE_CHANNEL, look(asked.period), look(asked.before) if asked.before else None)


def compare(measures: Sequence[Measure], counted: Counted, before: Counted | None) -> list[Figure]:
    """Pure."""
    return [Figure(each, each.reckon(counted), each.reckon(before) if before else None) for each in measures]


def stages(came: Counts, scans: int | None) -> list[Stage]:
    """Pure: from the scan to the second order, each with its share of the one it follows from."""

    def stage(title: str, count: int, of: int, people: str) -> Stage:
        return Stage(title, count, count / of if of else None, people)

    return [
        Stage("扫码", scans),
        Stage("添加", came.people, None, "added"),
        stage("开口", came.talked, came.people, "talked"),
        stage("进入剧本", came.entered, came.people, "entered"),
        stage("首单", came.bought, came.people, "bought"),
        stage("复购", came.again, came.bought, "again"),
    ]


def _count_scans(conn: Connection, period: Period) -> int | None:
    """Openings of acquisition links: WeCom counts nothing of codes. None when it told of none."""
    query = select(func.sum(acquisition_step.c.times)).where(
        acquisition_step.c.step == "open_profile",
        acquisition_step.c.day.between(period.first.isoformat(), period.last.isoformat()),
    )
    found = conn.scalar(query)
    return None if found is None else int(found)


def _list_channels(conn: Connection, came: Mapping[str, Counts], spent: Mapping[str, int]) -> list[Channel]:
    """Those from whom nobody came have a line too when they cost something; customers' own codes have one together."""
    by_state = {**dict.fromkeys((state for state, fen in spent.items() if fen), Counts()), **came}
    ways = {
        row.state: row
        for row in conn.execute(select(contact_way).where(among(conn, contact_way.c.state, sorted(by_state))))
    }
    own = [by_state.pop(state) for state, way in ways.items() if way.inviter_id is not None]
    wanted = {userid.lower() for way in ways.values() if way.inviter_id is None for userid in way.userids[:1]}
    called = select(member.c.folded, member.c.name).where(member.c.folded.in_(wanted))
    names = {row.folded: row.name for row in conn.execute(called) if row.name}
    if own:
        by_state[cohort.OWN_CODES] = sum(own, Counts())
    return [_channel(state, counts, ways.get(state), names, spent.get(state)) for state, counts in by_state.items()]


def _channel(
    state: str, counts: Counts, way: Row[Any] | None, names: Mapping[str, str], cost_fen: int | None
) -> Channel:
    counted = Counted(counts, Trade(), cost_fen)
    return Channel(
        state,
        way.title if way is not None else _TITLES.get(state, f"未登记的渠道 {state}"),
        way.kind if way is not None else "",
        tuple(names.get(userid.lower(), userid) for userid in way.userids) if way is not None else (),
        counts,
        tuple(measure.reckon(counted) for measure in OF_CHANNEL),
    )


def order_channels(channels: Sequence[Channel], key: str, *, is_up: bool) -> list[Channel]:
    """Pure: by a measure's key, the largest first unless `is_up`; what has no value comes last either way."""
    place = next((number for number, each in enumerate(OF_CHANNEL) if each.key == key), 0)
    known = [each for each in channels if each.values[place] is not None]
    unknown = [each for each in channels if each.values[place] is None]
    known.sort(key=lambda each: (each.values[place] if is_up else -(each.values[place] or 0), each.title))
    return known + unknown


# The people behind a number ------------------------------------------------------------------------------------------

PEOPLE: Mapping[str, str] = {
    "added": "新增客户",
    "lost": "流失客户",
    "talked": "开口的新增客户",
    "entered": "进入剧本的新增客户",
    "bought": "首单的新增客户",
    "again": "复购的新增客户",
    "buyers": "付款的客户",
    "repeaters": "付款 2 单及以上的客户",
    "first_buyers": "首单客户",
    **board_repurchase.PEOPLE,
    "coupon_issued": "发过券的客户",
    "coupon_opened": "领取券的客户",
    "coupon_redeemed": "核销券的客户",
}


def list_people(
    conn: Connection, what: str, period: Period, whose: Whose, *, state: str | None, before: int | None, limit: int
) -> list[int]:
    """Their numbers, the newest first, below `before`; only persons within the reader's reach."""
    return list_these(conn, _people(what, period, whose, state), whose, before=before, limit=limit)


def list_these(conn: Connection, people: Select[Any], whose: Whose, *, before: int | None, limit: int) -> list[int]:
    """Of a query's numbers those within the reader's reach, the newest first."""
    who = people.subquery("who")
    is_reached = Whose(whose.reader).has_person(who.c.person_id)
    is_erased = exists().where(erasure.c.person_id == who.c.person_id)
    query = select(who.c.person_id).distinct().where(~is_erased, is_reached)
    if before is not None:
        query = query.where(who.c.person_id < before)
    return list(conn.scalars(query.order_by(who.c.person_id.desc()).limit(limit)))


def _people(what: str, period: Period, whose: Whose, state: str | None) -> Select[Any]:
    if what in ("added", *cohort.STAGES):
        return cohort.people(period, whose, "" if what == "added" else what, state)
    if what == "lost":
        return trade.lost(period, whose)
    if what == "first_buyers":
        return trade.first_buyers(period, whose)
    if what in board_repurchase.PEOPLE:
        return board_repurchase.people(what, period, whose)
    if what.startswith("coupon_"):
        return board_coupons.people(what, period, whose, state)
    if what in ("buyers", "repeaters"):
        return trade.buyers(period, whose, 2 if what == "repeaters" else 1)
    raise NotFound("没有这个数字的名单，请从报表页面重新点进来")
