"""What was bought and who left in a period: one statement for each, served by the indexes on time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, Select, and_, case, column, func, select, values
from sqlalchemy import type_coerce as coerce

from scrm.commerce.models import orders
from scrm.contact_ways.ledger import LOST
from scrm.contact_ways.models import way_add
from scrm.db.tables import to_millis
from scrm.events import event
from scrm.profiles.models import person_stat
from scrm.reports.cohort import PURCHASE
from scrm.reports.period import Period, bounds
from scrm.reports.whose import Whose


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
    sums = conn.execute(
        select(func.count(), func.sum(orders.c.paid_fen), func.sum(orders.c.refunded_fen)).where(
            _paid_in(period, whose)
        )
    ).one()
    each = select(func.count().label("orders")).where(_paid_in(period, whose), orders.c.person_id.is_not(None))
    buyer = each.group_by(orders.c.person_id).subquery("buyer")
    buyers = conn.execute(select(func.count(), func.count(case((buyer.c.orders >= 2, 1)))).select_from(buyer)).one()
    first = conn.scalar(select(func.count()).select_from(person_stat).where(_first_in(period, whose)))
    lost = conn.scalar(select(func.count()).select_from(event).where(_lost_in(period, whose)))
    return Trade(*(int(value or 0) for value in (*sums, *buyers, first, lost)))


def by_shop(conn: Connection, period: Period, whose: Whose) -> Sequence[Row[Any]]:
    """Orders and money of each channel of sale, the most money first."""
    paid = func.sum(orders.c.paid_fen).label("paid_fen")
    return conn.execute(
        select(orders.c.channel, func.count().label("orders"), paid)
        .where(_paid_in(period, whose))
        .group_by(orders.c.channel)
        .order_by(paid.desc())
    ).all()


def by_day(conn: Connection, period: Period, whose: Whose, zone: ZoneInfo) -> list[Day]:
    """Every day of the period; a range of an index for each day, so that any zone's midnights are exact."""
    days = bounds(period, zone)
    table = (
        values(column("number", BigInteger), column("start", BigInteger), column("stop", BigInteger), name="days")
        .data([(number, to_millis(start), to_millis(stop)) for number, (_, start, stop) in enumerate(days)])
        .cte("day")
    )

    def of_day(what: ColumnElement[Any], at: ColumnElement[Any], *where: ColumnElement[bool]) -> ColumnElement[Any]:
        moment = coerce(at, BigInteger)
        query = select(what).where(moment >= table.c.start, moment < table.c.stop, *where)
        return query.correlate(table).scalar_subquery()

    bought = (PURCHASE, whose.has_person(orders.c.person_id))
    rows = conn.execute(
        select(
            of_day(func.count(way_add.c.event_id), way_add.c.added_at, whose.has_member(way_add.c.userid)),
            of_day(
                func.count(event.c.id), event.c.occurred_at, event.c.name.in_(LOST), whose.has_member(event.c.userid)
            ),
            of_day(func.count(orders.c.id), orders.c.paid_at, *bought),
            of_day(func.sum(orders.c.paid_fen), orders.c.paid_at, *bought),
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
