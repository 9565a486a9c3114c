"""What became of each add, kept beside the ledger, so that a year is counted in one pass over narrow rows.

A tick follows the events and enrolments that have come and reckons the rows of their persons anew; it also goes through
the ledger for ever, so that what no event told is found too. Whose news it has not seen yet are counted as they are
when a report is opened (scrm.reports.cohort): a report never waits for the tick, and never differs from a recount.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy import type_coerce as coerce

from scrm.commerce.models import orders
from scrm.contact_ways.models import way_add
from scrm.db import Priority, upsert
from scrm.db.bulk import among
from scrm.db.tables import to_millis
from scrm.events import event
from scrm.profiles.models import person_stat
from scrm.reports.buying import KEPT_FEN, PURCHASE, TALKED
from scrm.reports.models import report_add, report_cursor
from scrm.reports.period import Period
from scrm.reports.whose import Whose
from scrm.services import Services
from scrm.sop.models import enrolment

TICK_SECONDS = 30.0
SLICE = 1_000
# A row with a lower id may be committed later than one with a higher; no transaction takes that long.
BEHIND = timedelta(minutes=2)
# Of more persons with news the reports are counted without these rows.
MOST_PENDING = 5_000
KEPT_DAYS = 7
_DAY = timedelta(days=1) // timedelta(milliseconds=1)
_FOLLOWED: Sequence[tuple[str, Table, Any]] = (
    ("event", event, event.c.received_at),
    ("enrolment", enrolment, enrolment.c.enrolled_at),
)
# The ledger's slow round, and the first one, which must be through before the rows are used.
_ROUND, _WHOLE = "round", "whole"


async def tick(services: Services) -> int:
    """Follow what has come; the first time, everything there is. Returns how many persons were reckoned anew."""
    total = 0
    while done := await services.db.write_as(Priority.IMPORT, follow, services.clock.now()):
        total += done
        if done < SLICE:
            break
    return total


def follow(conn: Connection, now: datetime) -> int:
    """A slice of the news and of the round; at least SLICE when there is more to do at once."""
    cursors = _cursors(conn, now)
    done = sum(_follow(conn, name, table, moment, cursors[name], now) for name, table, moment in _FOLLOWED)
    ids = select(way_add.c.event_id, way_add.c.person_id).where(way_add.c.event_id > cursors[_ROUND])
    rows = conn.execute(ids.order_by(way_add.c.event_id).limit(SLICE)).all()
    refresh(conn, {row.person_id for row in rows})
    is_through = len(rows) < SLICE
    _move(conn, _ROUND, 0 if is_through else rows[-1].event_id)
    if is_through and _WHOLE not in cursors:
        _move(conn, _WHOLE, 1)
        return done
    return done if _WHOLE in cursors else SLICE


def _cursors(conn: Connection, now: datetime) -> dict[str, int]:
    """Ours until the transaction ends. News from before the first round are what the round finds."""
    query = select(report_cursor)
    if conn.dialect.name == "postgresql":
        query = query.with_for_update()
    found = {row.name: row.at_id for row in conn.execute(query)}
    if _ROUND not in found:
        for name, table, moment in _FOLLOWED:
            newest = conn.scalar(select(func.max(table.c.id))) or 0
            young = select(func.min(table.c.id)).where(table.c.id > newest - MOST_PENDING, moment > now - BEHIND)
            found[name] = (conn.scalar(young) or newest + 1) - 1
            _move(conn, name, found[name])
        found[_ROUND] = 0
    return found


def _move(conn: Connection, name: str, at_id: int) -> None:
    statement = upsert(report_cursor, conn).values(name=name, at_id=at_id)
    conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"at_id": at_id}))


def _follow(conn: Connection, name: str, table: Table, moment: Any, after: int, now: datetime) -> int:
    query = select(table.c.id, table.c.person_id, moment.label("at")).where(table.c.id > after)
    rows = conn.execute(query.order_by(table.c.id).limit(SLICE)).all()
    old = list(takewhile(lambda row: row.at <= now - BEHIND, rows))
    if not old:
        return 0
    refresh(conn, {row.person_id for row in old if row.person_id is not None})
    _move(conn, name, old[-1].id)
    return len(old)


def refresh(conn: Connection, person_ids: Collection[int]) -> None:
    """Reckon the rows of these persons anew."""
    if not person_ids:
        return
    ids = sorted(person_ids)
    theirs = select(way_add.c.event_id).where(among(conn, way_add.c.person_id, ids))
    gone = or_(among(conn, report_add.c.person_id, ids), report_add.c.event_id.in_(theirs))
    conn.execute(delete(report_add).where(gone))
    names = [column.name for column in report_add.c]
    conn.execute(report_add.insert().from_select(names, reckon(among(conn, way_add.c.person_id, ids))))


def reckon(which: ColumnElement[bool]) -> Select[Any]:
    """The rows of report_add as they should be, for these rows of the ledger."""
    earlier = way_add.alias("earlier")
    before = or_(
        earlier.c.added_at < way_add.c.added_at,
        and_(earlier.c.added_at == way_add.c.added_at, earlier.c.event_id < way_add.c.event_id),
    )
    person_id, since, first_paid = way_add.c.person_id, way_add.c.added_at, person_stat.c.first_paid_at
    told = (event.c.person_id == person_id, event.c.occurred_at >= since, event.c.name.in_(TALKED))
    begun = (enrolment.c.person_id == person_id, enrolment.c.enrolled_at >= since, enrolment.c.is_holdout.is_(False))
    bought = (orders.c.person_id == person_id, PURCHASE)
    later = (*bought, orders.c.paid_at >= since)

    def least(column: Any, *where: ColumnElement[bool]) -> Any:
        return select(func.min(column)).where(*where).correlate(way_add, person_stat).scalar_subquery()

    def of_buyer(what: Any, *where: ColumnElement[bool], otherwise: int | None = None) -> Any:
        # Nothing is looked up for those who never paid.
        looked = select(what).where(*where).correlate(way_add, person_stat).scalar_subquery()
        found = looked if otherwise is None else func.coalesce(looked, otherwise)
        return case((person_stat.c.paid_orders > 0, found), else_=otherwise)

    def within(days: int) -> ColumnElement[bool]:
        return coerce(orders.c.paid_at, BigInteger) < coerce(since, BigInteger) + days * _DAY

    is_new = first_paid >= since
    kept = func.sum(KEPT_FEN)
    return (
        select(
            way_add.c.state,
            since,
            way_add.c.event_id,
            person_id,
            way_add.c.userid,
            way_add.c.lost_at,
            select(func.max(earlier.c.added_at))
            .where(earlier.c.person_id == person_id, before)
            .correlate(way_add)
            .scalar_subquery(),
            least(event.c.occurred_at, *told),
            least(enrolment.c.enrolled_at, *begun),
            case((is_new, first_paid)),
            case((is_new, least(orders.c.paid_at, *bought, orders.c.paid_at > first_paid))),
            of_buyer(func.max(orders.c.paid_at), *later),
            of_buyer(kept, *later, otherwise=0),
            of_buyer(kept, *later, within(30), otherwise=0),
            of_buyer(kept, *later, within(90), otherwise=0),
        )
        .outerjoin(person_stat, person_stat.c.person_id == person_id)
        .where(which)
    )


def find_pending(conn: Connection) -> set[int] | None:
    """Persons whose news the rows do not tell yet; None when the rows are not to be used."""
    cursors = {row.name: row.at_id for row in conn.execute(select(report_cursor))}
    if _WHOLE not in cursors:
        return None
    came = way_add.alias("came")
    news = union_all(
        *(
            select(table.c.person_id)
            .where(table.c.id > cursors[name], exists().where(came.c.person_id == table.c.person_id))
            .limit(MOST_PENDING + 1)
            .subquery(name)
            .select()
            for name, table, _ in _FOLLOWED
        )
    )
    rows = conn.scalars(news).all()
    return None if len(rows) > MOST_PENDING else set(rows)


def count(
    conn: Connection,
    period: Period,
    whose: Whose,
    now: datetime,
    *,
    without: Collection[int],
    names: Collection[str] = (),
) -> dict[str, dict[str, int]]:
    """For each channel the numbers that cohort.Counts names, of all persons but those."""
    chosen = [report_add.c.added_at >= period.since, report_add.c.added_at < period.until]
    if without:
        chosen.append(~among(conn, report_add.c.person_id, sorted(without)))
    if not whose.is_whole:
        return _count_ranked([*chosen, whose.has_member(report_add.c.userid)], period, now, conn)
    is_first = or_(report_add.c.earlier_at.is_(None), report_add.c.earlier_at < period.since)
    sums = sums_of(report_add, is_first, period, now)
    sums = {name: each for name, each in sums.items() if not names or name in names}
    if conn.dialect.name == "postgresql":
        grouped = select(report_add.c.state, *(each.label(name) for name, each in sums.items())).where(*chosen)
        rows = conn.execute(grouped.group_by(report_add.c.state))
        return {row.state: {name: row._mapping[name] for name in sums} for row in rows}
    # Channel by channel along the key, by which SQLite's rows lie: grouping would sort every row once more.
    states = _states()
    numbers = select(cast(func.json_array(*sums.values()), Text)).where(report_add.c.state == states.c.state, *chosen)
    rows = conn.execute(
        select(states.c.state, numbers.correlate(states).scalar_subquery()).where(states.c.state.is_not(None))
    )
    found = {state: dict(zip(sums, json.loads(told), strict=True)) for state, told in rows}
    return {state: numbers for state, numbers in found.items() if numbers["adds"]}


def rows_in(conn: Connection, period: Period, whose: Whose) -> Any:
    """The rows of the period, those with news as they are now: for whatever else is grouped and counted."""
    pending = find_pending(conn)
    at, came = report_add.c.added_at, way_add.c.added_at
    live = [came >= period.since, came < period.until, whose.has_member(way_add.c.userid)]
    if pending is None:
        return _named(reckon(and_(*live)))
    kept = select(report_add).where(at >= period.since, at < period.until, whose.has_member(report_add.c.userid))
    if not pending:
        return kept.subquery("rows_in")
    ids = sorted(pending)
    news = _named(reckon(and_(*live, among(conn, way_add.c.person_id, ids))))
    return union_all(kept.where(~among(conn, report_add.c.person_id, ids)), select(news)).subquery("rows_in")


def _named(query: Select[Any]) -> Any:
    columns = [each.label(name) for name, each in zip(report_add.c.keys(), query.selected_columns, strict=True)]
    return query.with_only_columns(*columns, maintain_column_froms=True).subquery("reckoned")


def count_by_member(
    conn: Connection, period: Period, whose: Whose, now: datetime, names: Collection[str]
) -> dict[str, dict[str, int]]:
    """By member what `count` says by channel, of the numbers that are named: a customer counts once for each member."""
    rows = rows_in(conn, period, whose)
    sums = sums_of(rows, _is_first_of_member(rows, period), period, now)
    query = select(rows.c.userid, *(sums[name].label(name) for name in names)).group_by(rows.c.userid)
    return {row.userid: {name: row._mapping[name] for name in names} for row in conn.execute(query)}


def _is_first_of_member(rows: Any, period: Period) -> ColumnElement[bool]:
    """Whether the customer adds this member for the first time in the period.

    Most had not been there before at all, which their rows say; only of the others the ledger is asked. Nothing is sorted.
    """
    earlier = way_add.alias("earlier")
    before = or_(
        earlier.c.added_at < rows.c.added_at,
        and_(earlier.c.added_at == rows.c.added_at, earlier.c.event_id < rows.c.event_id),
    )
    same = (earlier.c.person_id == rows.c.person_id, earlier.c.userid == rows.c.userid)
    has_come = exists().where(*same, earlier.c.added_at >= period.since, before).correlate(rows)
    return or_(rows.c.earlier_at.is_(None), rows.c.earlier_at < period.since, ~has_come)


def _states() -> Any:
    """Every channel there is, by steps along the key."""
    after = report_add.alias("after")
    states = select(func.min(report_add.c.state).label("state")).cte("states", recursive=True)
    following = select(func.min(after.c.state)).where(after.c.state > states.c.state).scalar_subquery()
    return states.union_all(select(following).where(states.c.state.is_not(None)))


def _count_ranked(
    chosen: Sequence[ColumnElement[bool]], period: Period, now: datetime, conn: Connection
) -> dict[str, dict[str, int]]:
    """Adds of other members do not count: a customer's first is the first among those within reach."""
    by_time = (report_add.c.added_at, report_add.c.event_id)
    place = func.row_number().over(partition_by=report_add.c.person_id, order_by=by_time)
    rows = select(report_add, place.label("place")).where(*chosen).subquery("rows_of")
    sums = sums_of(rows, rows.c.place == 1, period, now)
    query = select(rows.c.state, *(each.label(name) for name, each in sums.items())).group_by(rows.c.state)
    return {row.state: {name: row._mapping[name] for name in sums} for row in conn.execute(query)}


def sums_of(rows: Any, is_first: ColumnElement[bool], period: Period, now: datetime) -> dict[str, ColumnElement[Any]]:
    add, until = rows.c, period.until
    added, lost = coerce(add.added_at, BigInteger), coerce(add.lost_at, BigInteger)
    is_aged = added <= to_millis(now) - KEPT_DAYS * _DAY
    lasted = or_(add.lost_at.is_(None), lost >= added + KEPT_DAYS * _DAY)

    def number(*where: ColumnElement[bool]) -> ColumnElement[int]:
        return func.count(case((and_(*where), 1)))

    def money(what: Any) -> ColumnElement[int]:
        return func.sum(case((is_first, what), else_=0))

    later = (orders.c.person_id == add.person_id, orders.c.paid_at >= add.added_at, orders.c.paid_at < until, PURCHASE)
    until_then = select(func.coalesce(func.sum(KEPT_FEN), 0)).where(*later).correlate(rows).scalar_subquery()
    return {
        "adds": func.count(),
        "ended": number(add.lost_at < until),
        "aged": number(is_aged),
        "kept": number(is_aged, lasted),
        "people": number(is_first),
        "talked": number(is_first, add.talked_at < until),
        "entered": number(is_first, add.entered_at < until),
        "bought": number(is_first, add.bought_at < until),
        "again": number(is_first, add.bought_at < until, add.again_at < until),
        # Who has bought after the period too is looked up.
        "net_fen": money(case((add.paid_at >= until, until_then), else_=add.net_fen)),
        "net_30_fen": money(add.net_30_fen),
        "net_90_fen": money(add.net_90_fen),
    }


def find_differences(conn: Connection, after: int, last: int) -> set[int]:
    """Persons of a piece of the ledger whose rows differ from a recount."""
    kept_of = report_add.c.event_id.in_(select(way_add.c.event_id).where(way_add.c.event_id.between(after + 1, last)))
    kept = {tuple(row) for row in conn.execute(select(report_add).where(kept_of))}
    counted = {tuple(row) for row in conn.execute(reckon(way_add.c.event_id.between(after + 1, last)))}
    return {row[3] for row in kept ^ counted}
