"""What became of each buyer since their first purchase, kept so that cohorts of years are a sum over days.

Triggers tell whose purchases have changed (scrm.reports.buyer_news), a tick reckons their rows anew. Whom it has not
come to yet is counted from the orders when a report is opened: a report never waits for the tick, and never differs
from a recount. Days and months are the shop's; when its zone is changed all rows are made anew.
"""

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy import cast as as_type
from sqlalchemy import type_coerce as coerce

from scrm.commerce.models import orders
from scrm.db import Priority, upsert
from scrm.db.bulk import among, among_given, insert_rows, listed
from scrm.db.tables import UtcDateTime, to_millis
from scrm.db.upsert import insert_for
from scrm.profiles.models import person_stat
from scrm.reports.buying import KEPT_FEN, PURCHASE
from scrm.reports.models import (
    BUYER_DAYS,
    BUYER_MONTHS,
    report_buyer,
    report_buyer_day,
    report_buyer_news,
    report_cursor,
)
from scrm.reports.period import tree_of
from scrm.reports.whose import Whose
from scrm.services import Services

TICK_SECONDS = 30.0
SLICE = 1_000
_DAY = 86_400_000
_ZONE = "buyer_zone"
# The first and the last one, of the shop.
Years = tuple[int, int]
_SUMS = [column.name for column in report_buyer_day.c if column.name != "first_day"]


async def tick(services: Services) -> int:
    """Reckon anew whose purchases have changed, at first everybody; returns how many."""
    zone, total = services.settings.shop.zone, 0
    while done := await services.db.write_as(Priority.IMPORT, follow, services.clock.now(), zone):
        total += done
        if done < SLICE:
            break
    return total


def follow(conn: Connection, now: datetime, zone: ZoneInfo) -> int:
    """A slice of the news; SLICE when there may be more."""
    if _zone_kept(conn, is_ours=True) != _number_of(zone):
        if _forget(conn):
            return SLICE
        _keep_zone(conn, _number_of(zone))
    news = report_buyer_news.c
    due = select(news.person_id).where(or_(news.due_at.is_(None), news.due_at <= now))
    some = due.order_by(news.person_id).limit(SLICE).with_for_update(skip_locked=True)
    taken = delete(report_buyer_news).where(news.person_id.in_(some)).returning(news.person_id)
    ids = sorted(conn.scalars(taken))
    refresh(conn, ids, now, zone)
    return len(ids)


def count(
    conn: Connection, whose: Whose, now: datetime, zone: ZoneInfo, since: datetime, until: datetime
) -> Iterator[tuple[date, Mapping[str, int]]]:
    """For each day of the shop the sums of those whose first purchase was then; both moments are the shop's midnights."""
    first, last = _day_of(since, zone), _day_of(until, zone)
    began = and_(person_stat.c.first_paid_at >= since, person_stat.c.first_paid_at < until)
    theirs = and_(began, whose.has_person(person_stat.c.person_id))
    given = literal(now, UtcDateTime()), _years(since, now, zone), zone
    if _zone_kept(conn) != _number_of(zone):
        parts = [_sums(reckon(theirs, *given).subquery("live"))]
    else:
        kept, news = report_buyer.c, report_buyer_news.c
        is_told = person_stat.c.person_id.in_(select(news.person_id))
        parts = [_sums(reckon(and_(theirs, is_told), *given).subquery("live"))]
        within = and_(kept.first_day >= first, kept.first_day < last)
        if whose.is_whole:
            days = report_buyer_day.c
            parts.append(select(report_buyer_day).where(days.first_day >= first, days.first_day < last))
            told = select(report_buyer).join(report_buyer_news, news.person_id == kept.person_id).where(within)
            parts.append(_sums(told.subquery("told"), sign=-1))
        else:
            is_new = exists().where(news.person_id == kept.person_id)
            rows = select(report_buyer).where(within, ~is_new, whose.has_person(kept.person_id))
            parts.append(_sums(rows.subquery("kept")))
    # One statement: what the tick moves from one part into another is seen in one of them.
    for row in conn.execute(union_all(*parts)):
        day, *sums = row
        yield (
            date(1970, 1, 1) + timedelta(days=int(day)),
            {name: int(value or 0) for name, value in zip(_SUMS, sums, strict=True)},
        )


def refresh(conn: Connection, person_ids: Collection[int], now: datetime, zone: ZoneInfo) -> None:
    """Reckon the rows of these persons anew, and with them the sums of their days."""
    if not person_ids:
        return
    ids, dialect = sorted(person_ids), conn.dialect.name
    given = {"persons": listed(conn, ids)}
    conn.execute(_adding_up(dialect, -1), given)
    conn.execute(delete(report_buyer).where(among(conn, report_buyer.c.person_id, ids)))
    made = _making(dialect, _years_of(conn, ids, now, zone), zone)
    conn.execute(made, {**given, "until": now})
    conn.execute(_adding_up(dialect, 1), given)
    ahead = (
        select(orders.c.person_id, func.min(orders.c.paid_at).label("due_at"))
        .where(among(conn, orders.c.person_id, ids), PURCHASE, orders.c.paid_at >= now)
        .group_by(orders.c.person_id)
    )
    insert_rows(conn, report_buyer_news, [dict(row._mapping) for row in conn.execute(ahead)], skip_known=True)


def _years_of(conn: Connection, person_ids: Sequence[int], now: datetime, zone: ZoneInfo) -> Years:
    which = among(conn, person_stat.c.person_id, person_ids)
    since = conn.scalar(select(func.min(person_stat.c.first_paid_at)).where(which))
    return _years(since or now, now, zone)


@lru_cache(maxsize=32)
def _reckoned(dialect: str, years: Years, zone: ZoneInfo) -> Select[Any]:
    """`reckon` for given `persons`. Built once, like the others: to build one takes longer than to run it."""
    which = among_given(dialect, person_stat.c.person_id, "persons")
    return reckon(which, bindparam("until", type_=UtcDateTime()), years, zone)


@lru_cache(maxsize=32)
def _making(dialect: str, years: Years, zone: ZoneInfo) -> Any:
    return report_buyer.insert().from_select(list(report_buyer.c.keys()), _reckoned(dialect, years, zone))


@cache
def _adding_up(dialect: str, sign: int) -> Any:
    """Add the rows of given `persons` to the sums of their days, or take them off."""
    days = report_buyer_day
    rows = select(report_buyer).where(among_given(dialect, report_buyer.c.person_id, "persons")).subquery("moved")
    statement = insert_for(dialect, days).from_select(["first_day", *_SUMS], _sums(rows, sign))
    added = {name: days.c[name] + statement.excluded[name] for name in _SUMS}
    return statement.on_conflict_do_update(index_elements=["first_day"], set_=added)


def reckon(which: ColumnElement[bool], until: ColumnElement[Any], years: Years, zone: ZoneInfo) -> Select[Any]:
    """The rows of report_buyer as they should be, for those rows of person_stat, whose orders are of those years."""
    first, at = person_stat.c.first_paid_at, orders.c.paid_at
    bought = (
        select(
            person_stat.c.person_id,
            _day(first, years, zone).label("first_day"),
            (_day(at, years, zone) - _day(first, years, zone)).label("gap"),
            (_month(at, years, zone) - _month(first, years, zone)).label("month"),
            KEPT_FEN.label("fen"),
        )
        .join(orders, orders.c.person_id == person_stat.c.person_id)
        .where(which, PURCHASE, at >= first, at < until)
        .subquery("bought")
    )
    gap, fen, month = bought.c.gap, bought.c.fen, bought.c.month
    bit = literal(1).bitwise_lshift(as_type(month, Integer))
    is_shown = and_(month >= 1, month <= BUYER_MONTHS)
    return select(
        bought.c.person_id,
        bought.c.first_day,
        func.min(case((gap > 0, gap))).label("gap"),
        func.sum(fen).label("net_fen"),
        *(func.sum(case((gap <= days, fen), else_=0)).label(f"fen_{days}") for days in BUYER_DAYS),
        # Each month once: that makes a sum of bits their union.
        func.coalesce(func.sum(case((is_shown, bit)).distinct()), 0).label("months"),
    ).group_by(bought.c.person_id, bought.c.first_day)


def _sums(rows: Any, sign: int = 1) -> Select[Any]:
    """A row of report_buyer_day for each day among those rows of report_buyer."""

    def number(*where: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(case((and_(*where), sign), else_=0))

    def sum_of(column: Any) -> ColumnElement[int]:
        return func.sum(column * sign)

    months = as_type(rows.c.months, Integer)
    sums: dict[str, ColumnElement[int]] = {
        "buyers": func.count() * sign,
        "again": number(rows.c.gap.is_not(None)),
        "net_fen": sum_of(rows.c.net_fen),
        **{f"back_{days}": number(rows.c.gap <= days) for days in BUYER_DAYS},
        **{f"fen_{days}": sum_of(rows.c[f"fen_{days}"]) for days in BUYER_DAYS},
        **{f"month_{n}": number(months.bitwise_and(1 << n) != 0) for n in range(1, BUYER_MONTHS + 1)},
    }
    return select(rows.c.first_day, *(sums[name].label(name) for name in _SUMS)).group_by(rows.c.first_day)


# The shop's days ------------------------------------------------------------------------------------------------------


def _years(since: datetime, until: datetime, zone: ZoneInfo) -> Years:
    first, last = since.astimezone(zone).year, until.astimezone(zone).year
    return min(first, last), last


def _day(at: Any, years: Years, zone: ZoneInfo) -> ColumnElement[int]:
    shift = literal_column(f"({tree_of(f'{at.table.name}.{at.name}', _shifts(*years, zone))})", BigInteger())
    return (coerce(at, BigInteger) + shift) // literal_column(str(_DAY), BigInteger())


def _month(at: Any, years: Years, zone: ZoneInfo) -> ColumnElement[int]:
    return literal_column(f"({tree_of(f'{at.table.name}.{at.name}', _months(*years, zone))})", BigInteger())


@lru_cache(maxsize=64)
def _months(first: int, last: int, zone: ZoneInfo) -> Sequence[tuple[int, int]]:
    """Since when (in ms) it was which month."""
    every = [date(year, month, 1) for year in range(first, last + 1) for month in range(1, 13)]
    return [(_midnight(day, zone), day.year * 12 + day.month) for day in every]


@lru_cache(maxsize=64)
def _shifts(first: int, last: int, zone: ZoneInfo) -> Sequence[tuple[int, int]]:
    """Since when (in ms) the shop's clock is how far from UTC (in ms)."""
    start, stop = (_midnight(date(year, 1, 1), UTC) // 1000 for year in (first, last + 1))
    found = [(start * 1000, _shift(start, zone) * 1000)]
    for evening in range(start, stop, 86_400):
        morning = evening + 86_400
        if _shift(evening, zone) != _shift(morning, zone):
            while morning - evening > 1:
                middle = (evening + morning) // 2
                evening, morning = (
                    (middle, morning) if _shift(middle, zone) * 1000 == found[-1][1] else (evening, middle)
                )
            found.append((morning * 1000, _shift(morning, zone) * 1000))
    return found


def _shift(second: int, zone: ZoneInfo) -> int:
    return int((datetime.fromtimestamp(second, zone).utcoffset() or timedelta()).total_seconds())


def _midnight(day: date, zone: Any) -> int:
    return to_millis(datetime.combine(day, time(), zone).astimezone(UTC))


def _day_of(moment: datetime, zone: ZoneInfo) -> int:
    return (moment.astimezone(zone).date() - date(1970, 1, 1)).days


# The zone of the rows -------------------------------------------------------------------------------------------------


def _number_of(zone: ZoneInfo) -> int:
    return zlib.crc32(str(zone).encode())


def _zone_kept(conn: Connection, *, is_ours: bool = False) -> int | None:
    """Which zone's days the rows count; ours until the transaction ends, if so asked."""
    query = select(report_cursor.c.at_id).where(report_cursor.c.name == _ZONE)
    return conn.scalar(query.with_for_update() if is_ours else query)


def _keep_zone(conn: Connection, number: int) -> None:
    statement = upsert(report_cursor, conn).values(name=_ZONE, at_id=number)
    conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"at_id": number}))


def _forget(conn: Connection) -> int:
    """Rows of another zone's days go, some at a time; whose they were is news."""
    _keep_zone(conn, 0)
    some = select(report_buyer.c.person_id).order_by(report_buyer.c.person_id).limit(SLICE)
    gone = delete(report_buyer).where(report_buyer.c.person_id.in_(some)).returning(report_buyer.c.person_id)
    ids = conn.scalars(gone).all()
    insert_rows(conn, report_buyer_news, [{"person_id": each} for each in sorted(ids)], skip_known=True)
    if not ids:
        conn.execute(delete(report_buyer_day))
    return len(ids)


# Against a recount ----------------------------------------------------------------------------------------------------


def next_persons(conn: Connection, after: int) -> list[int]:
    """Who has a row or should have one, a slice of them."""
    every = union_all(
        *(
            select(table.c.person_id)
            .where(table.c.person_id > after, *where)
            .order_by(table.c.person_id)
            .limit(SLICE)
            .subquery(table.name)
            .select()
            for table, where in ((report_buyer, ()), (person_stat, (person_stat.c.first_paid_at.is_not(None),)))
        )
    )
    return sorted(set(conn.scalars(every)))[:SLICE]


def find_differences(conn: Connection, person_ids: Sequence[int], now: datetime, zone: ZoneInfo) -> set[int]:
    """Whose row is not what their orders say. News that the tick has not followed yet are no difference."""
    if _zone_kept(conn) != _number_of(zone):
        return set()
    news = report_buyer_news.c.person_id
    pending = set(conn.scalars(select(news).where(among(conn, news, person_ids))))
    mine = among(conn, report_buyer.c.person_id, person_ids)
    kept = {tuple(map(_plain, row)) for row in conn.execute(select(report_buyer).where(mine))}
    made = _reckoned(conn.dialect.name, _years_of(conn, person_ids, now, zone), zone)
    given = {"persons": listed(conn, person_ids), "until": now}
    counted = {tuple(map(_plain, row)) for row in conn.execute(made, given)}
    return {row[0] or 0 for row in kept ^ counted} - pending


def recount_days(conn: Connection, fix: bool) -> int:
    """How many days do not say what their buyers' rows say; with `fix` all are added up anew."""
    days = report_buyer_day
    kept = {tuple(map(_plain, row)) for row in conn.execute(select(days).where(days.c.buyers != 0))}
    counted = {tuple(map(_plain, row)) for row in conn.execute(_sums(report_buyer))}
    wrong = {row[0] for row in kept ^ counted}
    if wrong and fix:
        conn.execute(delete(days))
        conn.execute(days.insert().from_select(["first_day", *_SUMS], _sums(report_buyer)))
    return len(wrong)


def _plain(value: Any) -> int | None:
    return None if value is None else int(value)
