"""Customers who came in a period, by channel, and what became of them until its end.

Somebody who came through several channels belongs to the first of the period, so that channels add up to the whole.
What happened after the period is left out: a period and the one before it are then measured alike.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, Subquery, and_, case, exists, func, select
from sqlalchemy import type_coerce as coerce

from scrm.commerce.models import orders
from scrm.contact_ways.models import contact_way, way_add
from scrm.db.bulk import among
from scrm.db.tables import to_millis
from scrm.events import event
from scrm.profiles.models import person_stat
from scrm.reports import adds
from scrm.reports.buying import KEPT_FEN, PURCHASE, TALKED
from scrm.reports.period import Period
from scrm.reports.whose import Whose
from scrm.sop.models import enrolment

KEPT_DAYS = adds.KEPT_DAYS
# The codes of customers of their own (scrm.referrals) are one channel; no state looks like this.
OWN_CODES = "*referrals"
_DAY = timedelta(days=1) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Counts:
    """`adds`, `ended`, `aged`, `kept` count relations, the others customers; money in fen, refunds taken off."""

    adds: int = 0
    ended: int = 0
    aged: int = 0
    kept: int = 0
    people: int = 0
    talked: int = 0
    entered: int = 0
    bought: int = 0
    again: int = 0
    net_fen: int = 0
    net_30_fen: int = 0
    net_90_fen: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


# Who came and who spoke, without what they bought.
COMING = ("adds", "people", "talked")


def count(
    conn: Connection, period: Period, whose: Whose, now: datetime, names: Collection[str] = ()
) -> dict[str, Counts]:
    """By state; '' are those who came without a channel. What report_add does not know yet is counted as it is.

    With `names` the others stay 0, which is faster.
    """
    pending = adds.find_pending(conn)
    if pending is None:
        return count_live(conn, period, whose, now)
    kept = adds.count(conn, period, whose, now, without=pending, names=names)
    counts = {state: counts_of(numbers) for state, numbers in kept.items()}
    if pending:
        for state, more in count_live(conn, period, whose, now, pending).items():
            counts[state] = counts.get(state, Counts()) + more
    return counts


def count_live(
    conn: Connection, period: Period, whose: Whose, now: datetime, only: Collection[int] | None = None
) -> dict[str, Counts]:
    """The same from events, enrolments and orders; of these persons only, if they are given."""
    came_in = _came_in(period, whose)
    if only is not None:
        came_in = and_(came_in, among(conn, way_add.c.person_id, sorted(only)))
    relations = {row.state: row for row in conn.execute(_relations(came_in, period, now))}
    persons = {row.state: row for row in conn.execute(_persons(came_in, period))}
    return {
        state: counts_of({**row._mapping, **(persons[state]._mapping if state in persons else {})})
        for state, row in relations.items()
    }


def counts_of(found: Mapping[str, Any]) -> Counts:
    """From rows or numbers by name."""
    return Counts(**{each.name: int(found.get(each.name) or 0) for each in fields(Counts)})


def _came_in(period: Period, whose: Whose) -> ColumnElement[bool]:
    at = way_add.c.added_at
    return and_(at >= period.since, at < period.until, whose.has_member(way_add.c.userid))


def _relations(came_in: ColumnElement[bool], period: Period, now: datetime) -> Select[Any]:
    """`aged` were added seven days ago or more, `kept` of them lasted seven days."""
    added, lost = coerce(way_add.c.added_at, BigInteger), coerce(way_add.c.lost_at, BigInteger)
    is_aged = added <= to_millis(now) - KEPT_DAYS * _DAY
    lasted = way_add.c.lost_at.is_(None) | (lost >= added + KEPT_DAYS * _DAY)
    return (
        select(
            way_add.c.state,
            func.count().label("adds"),
            func.count(case((way_add.c.lost_at < period.until, 1))).label("ended"),
            func.count(case((is_aged, 1))).label("aged"),
            func.count(case((and_(is_aged, lasted), 1))).label("kept"),
        )
        .where(came_in)
        .group_by(way_add.c.state)
    )


def _came(came_in: ColumnElement[bool]) -> Subquery:
    """One row for each customer: where and when they first came in the period."""
    by_time = func.row_number().over(
        partition_by=way_add.c.person_id, order_by=(way_add.c.added_at, way_add.c.event_id)
    )
    ranked = (
        select(way_add.c.person_id, way_add.c.state, way_add.c.added_at, by_time.label("place"))
        .where(came_in)
        .subquery("ranked")
    )
    first = select(ranked.c.person_id, ranked.c.state, ranked.c.added_at).where(ranked.c.place == 1)
    return first.subquery("came")


def _talked(came: Subquery, period: Period) -> ColumnElement[bool]:
    return exists().where(
        event.c.person_id == came.c.person_id,
        event.c.occurred_at >= came.c.added_at,
        event.c.occurred_at < period.until,
        event.c.name.in_(TALKED),
    )


def _entered(came: Subquery, period: Period) -> ColumnElement[bool]:
    return exists().where(
        enrolment.c.person_id == came.c.person_id,
        enrolment.c.enrolled_at >= came.c.added_at,
        enrolment.c.enrolled_at < period.until,
        enrolment.c.is_holdout.is_(False),
    )


def _bought(came: Subquery, period: Period) -> ColumnElement[bool]:
    return and_(person_stat.c.first_paid_at >= came.c.added_at, person_stat.c.first_paid_at < period.until)


def _again(came: Subquery, period: Period) -> ColumnElement[bool]:
    return and_(
        _bought(came, period),
        exists().where(
            orders.c.person_id == came.c.person_id,
            orders.c.paid_at > person_stat.c.first_paid_at,
            orders.c.paid_at < period.until,
            PURCHASE,
        ),
    )


def _net(came: Subquery, *until: ColumnElement[bool]) -> ColumnElement[Any]:
    """What is left of the customer's orders since they came; nothing is looked up for those who never paid."""
    sums = (
        select(func.sum(KEPT_FEN))
        .where(orders.c.person_id == came.c.person_id, orders.c.paid_at >= came.c.added_at, PURCHASE, *until)
        .correlate(came)
        .scalar_subquery()
    )
    return case((person_stat.c.paid_orders > 0, sums), else_=0)


def _within(came: Subquery, days: int) -> ColumnElement[bool]:
    return coerce(orders.c.paid_at, BigInteger) < coerce(came.c.added_at, BigInteger) + days * _DAY


def _persons(came_in: ColumnElement[bool], period: Period) -> Select[Any]:
    came = _came(came_in)
    return (
        select(
            came.c.state,
            func.count().label("people"),
            *(func.count(case((holds(came, period), 1))).label(name) for name, holds in STAGES.items()),
            func.sum(_net(came, orders.c.paid_at < period.until)).label("net_fen"),
            func.sum(_net(came, _within(came, 30))).label("net_30_fen"),
            func.sum(_net(came, _within(came, 90))).label("net_90_fen"),
        )
        .outerjoin(person_stat, person_stat.c.person_id == came.c.person_id)
        .group_by(came.c.state)
    )


STAGES: dict[str, Callable[[Subquery, Period], ColumnElement[bool]]] = {
    "talked": _talked,
    "entered": _entered,
    "bought": _bought,
    "again": _again,
}


def people(period: Period, whose: Whose, stage: str = "", state: str | None = None) -> Select[Any]:
    """Numbers of the customers who came, of one channel if `state` is given, who reached the stage."""
    came = _came(_came_in(period, whose))
    query = select(came.c.person_id).outerjoin(person_stat, person_stat.c.person_id == came.c.person_id)
    if stage:
        query = query.where(STAGES[stage](came, period))
    if state == OWN_CODES:
        own = select(contact_way.c.state).where(contact_way.c.inviter_id.is_not(None))
        return query.where(came.c.state.in_(own))
    return query if state is None else query.where(came.c.state == state)
