"""What was bought and who left in a period: one statement for each, served by the indexes on time."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, and_, case, column, func, select, values
from sqlalchemy import type_coerce as coerce

from scrm.commerce.hours import HOUR
from scrm.commerce.models import order_hour, orders
from scrm.contact_ways.ledger import LOST
from scrm.contact_ways.models import way_add
from scrm.db.tables import to_millis
from scrm.events import event
from scrm.profiles.models import person_stat
from scrm.reports.buying import PURCHASE
from scrm.reports.period import Period, bounds
from scrm.reports.whose import Whose

# Of fewer orders the buyers are soon sorted.
FEW = 20_000


@dataclass(frozen=True, slots=True)
class Trade:
    """Orders by the time they were paid; buyers are those we know."""

    orders: int = 0
    paid_fen: int = 0
    refunded_fen: int = 0
    buyers: int = 0
    repeaters: int = 0
    first_buyers: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the shop."""

    day: date
    adds: int
    lost: int
    orders: int
    paid_fen: int


def _paid_in(period: Period, whose: Whose) -> ColumnElement[bool]:
    at = orders.c.paid_at
    return and_(at >= period.since, at < period.until, PURCHASE, whose.has_person(orders.c.person_id))


def _lost_in(period: Period, whose: Whose) -> ColumnElement[bool]:
    at = event.c.occurred_at
    return and_(event.c.name.in_(LOST), at >= period.since, at < period.until, whose.has_member(event.c.userid))


def _first_in(period: Period, whose: Whose) -> ColumnElement[bool]:
    at = person_stat.c.first_paid_at
    return and_(at >= period.since, at < period.until, whose.has_person(person_stat.c.person_id))


def count(conn: Connection, period: Period, whose: Whose) -> Trade:
    sums = [sum(column) for column in zip(*_by_channel(conn, period, whose).values(), strict=True)] or [0, 0, 0]
    buyers = count_buyers(conn, period, whose, is_most=_is_most(conn, sums[0]))
    first = conn.scalar(select(func.count()).select_from(person_stat).where(_first_in(period, whose)))
    return Trade(*(int(value or 0) for value in (*sums, *buyers, first, count_lost(conn, period, whose))))


def count_buyers(conn: Connection, period: Period, whose: Whose, *, is_most: bool) -> tuple[int, int]:
    """Everybody who paid, and who paid twice. Most of all orders are walked buyer by buyer, so that nothing is sorted."""
    at = orders.c.paid_at
    within = and_(at >= period.since, at < period.until)
    if is_most:
        # As a sum it is no range of the index by time.
        moment = coerce(at, BigInteger) + 0
        within = and_(moment >= to_millis(period.since), moment < to_millis(period.until))
    theirs = whose.has_person(orders.c.person_id)
    each = select(func.count().label("orders")).where(within, PURCHASE, theirs, orders.c.person_id.is_not(None))
    buyer = each.group_by(orders.c.person_id).subquery("buyer")
    counts = select(func.count(), func.count(case((buyer.c.orders >= 2, 1)))).select_from(buyer)
    paid, paid_twice = conn.execute(counts).one()
    return paid, paid_twice


def _is_most(conn: Connection, count: int) -> bool:
    """Whether so many orders are a good part of all there are."""
    return count >= FEW and count * 4 > (conn.scalar(select(func.sum(order_hour.c.orders))) or 0)


def count_lost(conn: Connection, period: Period, whose: Whose) -> int:
    return conn.scalar(select(func.count()).select_from(event).where(_lost_in(period, whose))) or 0


@dataclass(frozen=True, slots=True)
class Shop:
    """A channel of sale."""

    channel: str
    orders: int
    paid_fen: int


def by_shop(conn: Connection, period: Period, whose: Whose) -> list[Shop]:
    """Orders and money of each channel of sale, the most money first."""
    found = [Shop(channel, sums[0], sums[1]) for channel, sums in _by_channel(conn, period, whose).items()]
    return sorted(found, key=lambda shop: (-shop.paid_fen, shop.channel))


def _by_channel(conn: Connection, period: Period, whose: Whose) -> dict[str, tuple[int, int, int]]:
    """(orders, paid, refunded) of each channel of sale: whole hours as they are kept, what is beside them counted."""
    since, until = to_millis(period.since), to_millis(period.until)
    first, last = -(-since // HOUR), until // HOUR
    found: dict[str, tuple[int, int, int]] = {}

    def add(rows: Any) -> None:
        for channel, *sums in rows:
            known = found.get(channel, (0, 0, 0))
            found[channel] = (known[0] + int(sums[0]), known[1] + int(sums[1]), known[2] + int(sums[2]))

    def between(start: int, stop: int) -> Any:
        at = coerce(orders.c.paid_at, BigInteger)
        sums = (func.count(), func.sum(orders.c.paid_fen), func.sum(orders.c.refunded_fen))
        query = select(orders.c.channel, *sums).where(
            at >= start, at < stop, PURCHASE, whose.has_person(orders.c.person_id)
        )
        return conn.execute(query.group_by(orders.c.channel))

    if not whose.is_whole or first >= last:
        add(between(since, until))
        return found
    hour = order_hour.c
    kept = select(hour.channel, func.sum(hour.orders), func.sum(hour.paid_fen), func.sum(hour.refunded_fen))
    add(conn.execute(kept.where(hour.hour >= first, hour.hour < last, hour.orders > 0).group_by(hour.channel)))
    for start, stop in ((since, first * HOUR), (last * HOUR, until)):
        if start < stop:
            add(between(start, stop))
    return found


def by_day(conn: Connection, period: Period, whose: Whose, zone: ZoneInfo) -> list[Day]:
    """Every day of the period; a range of an index for each day, so that any zone's midnights are exact."""
    days = bounds(period, zone)
    table = (
        values(column("number", BigInteger), column("start", BigInteger), column("stop", BigInteger), name="days")
        .data([(number, to_millis(start), to_millis(stop)) for number, (_, start, stop) in enumerate(days)])
        .cte("day")
    )

    def of_day(what: ColumnElement[Any], at: ColumnElement[Any], *where: ColumnElement[bool]) -> ColumnElement[Any]:
        moment, unit = coerce(at, BigInteger), HOUR if at is order_hour.c.hour else 1
        query = select(what).where(moment >= table.c.start // unit, moment < table.c.stop // unit, *where)
        return query.correlate(table).scalar_subquery()

    bought = (PURCHASE, whose.has_person(orders.c.person_id))
    is_kept = whose.is_whole and not any(to_millis(midnight) % HOUR for day in days for midnight in day[1:])

    def traded(kept: ColumnElement[Any], counted: ColumnElement[Any]) -> ColumnElement[Any]:
        if is_kept:
            return of_day(func.sum(kept), order_hour.c.hour)
        return of_day(counted, orders.c.paid_at, *bought)

    rows = conn.execute(
        select(
            of_day(func.count(way_add.c.event_id), way_add.c.added_at, whose.has_member(way_add.c.userid)),
            of_day(
                func.count(event.c.id), event.c.occurred_at, event.c.name.in_(LOST), whose.has_member(event.c.userid)
            ),
            traded(order_hour.c.orders, func.count(orders.c.id)),
            traded(order_hour.c.paid_fen, func.sum(orders.c.paid_fen)),
        )
        .select_from(table)
        .order_by(table.c.number)
    )
    return [Day(day, *(int(value or 0) for value in row)) for (day, _, _), row in zip(days, rows, strict=True)]


def lost(period: Period, whose: Whose) -> Select[Any]:
    """Numbers of the customers who left."""
    return select(event.c.person_id).where(_lost_in(period, whose), event.c.person_id.is_not(None))


def first_buyers(period: Period, whose: Whose) -> Select[Any]:
    return select(person_stat.c.person_id).where(_first_in(period, whose))


def buyers(period: Period, whose: Whose, least: int = 1) -> Select[Any]:
    """Numbers of those who paid at least so many orders."""
    query = select(orders.c.person_id).where(_paid_in(period, whose), orders.c.person_id.is_not(None))
    return query.group_by(orders.c.person_id).having(func.count() >= least)
