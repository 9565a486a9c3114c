"""All SQL of RFM, AIPL and life cycle: what everybody has bought, how it is spread, who is in which class."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    true,
    type_coerce,
)

from scrm import audit, events
from scrm.commerce.models import IS_PURCHASE, orders
from scrm.db import upsert
from scrm.db.bulk import among, insert_columns
from scrm.db.tables import to_millis
from scrm.profiles.models import person, person_stat
from scrm.segments.models import person_value, rfm_rules, rfm_run
from scrm.segments.rfm import Cuts, Rules, Spread
from scrm.segments.stages import (
    CYCLE_FROM,
    INTEREST,
    LOST_DAYS,
    LOYAL_ORDERS,
    NEW_DAYS,
    SHOWS_INTEREST,
    SHOWS_LOYALTY,
    USUAL_CYCLE_DAYS,
)

_DAY_MILLIS = 86_400_000
_KEPT_RUNS = 800
# Columns of person_value that are told of, as the driver takes them.
FACTS = ("orders", "fen", "last_at", "cycle_days", "counted", "counted_fen")
PLACES = ("r", "f", "m", "rfm", "life", "aipl")


# Rules and runs -------------------------------------------------------------------------------------------------------


def find_rules(conn: Connection) -> Row[Any] | None:
    return conn.execute(select(rfm_rules).where(rfm_rules.c.id == 1)).one_or_none()


def save_rules(conn: Connection, rules: Rules, *, now: datetime, by: str) -> None:
    """The next tick computes by them."""
    before = find_rules(conn)
    audit.changed(conn, "rfm_rules", "", None if before is None else before.rules, rules.plain())
    row = {"id": 1, "rules": rules.plain(), "changed_at": now, "changed_by": by}
    put = upsert(rfm_rules, conn).values(**row)
    conn.execute(
        put.on_conflict_do_update(index_elements=["id"], set_={name: row[name] for name in row if name != "id"})
    )


def find_run(conn: Connection, run_id: int | None = None) -> Row[Any] | None:
    """One computation, the last without an id."""
    found = select(rfm_run).order_by(rfm_run.c.id.desc()).limit(1)
    return conn.execute(found if run_id is None else found.where(rfm_run.c.id == run_id)).one_or_none()


def list_runs(conn: Connection, limit: int = 60) -> list[Row[Any]]:
    """When something was computed, the newest first."""
    found = select(rfm_run.c.id, rfm_run.c.computed_at, rfm_run.c.buyers, rfm_run.c.fen)
    return list(conn.execute(found.order_by(rfm_run.c.id.desc()).limit(limit)))


def save_run(
    conn: Connection, rules: Rules, cuts: Mapping[str, Any], moves: Mapping[tuple[str, str], int], now: datetime
) -> None:
    """Who is where as of now, and who moved since the run before."""
    cells = list_cells(conn)
    told = [{"from": one, "to": other, "persons": number} for (one, other), number in sorted(moves.items())]
    sums = {"buyers": sum(cell["persons"] for cell in cells), "fen": sum(cell["fen"] for cell in cells)}
    row = {"computed_at": now, "rules": rules.plain(), "cuts": dict(cuts), "cells": cells, "moves": told, **sums}
    conn.execute(insert(rfm_run).values(**row))
    last = conn.execute(select(func.max(rfm_run.c.id))).scalar_one()
    conn.execute(rfm_run.delete().where(rfm_run.c.id <= last - _KEPT_RUNS))


def list_cells(conn: Connection) -> list[dict[str, Any]]:
    """Persons and money by scores and class."""
    value = person_value.c
    of = (value.r, value.f, value.m, value.rfm)
    counted = select(*of, func.count().label("persons"), func.sum(value.fen).label("fen")).where(_has_class())
    found = conn.execute(counted.group_by(*of).order_by(*of))
    return [{**row._mapping, "fen": int(row.fen)} for row in found]


def _has_class() -> ColumnElement[bool]:
    return person_value.c.rfm != ""


class Where(NamedTuple):
    """Which square of the grid, or which stage; what is not said is any."""

    rfm: str = ""
    r: int = 0
    f: int = 0
    m: int = 0
    life: str = ""
    aipl: str = ""


def list_people(conn: Connection, where: Where, *, after: int = 0, limit: int = 50) -> list[Row[Any]]:
    """Who stands there, in the order of their ids."""
    value = person_value.c
    said = {name: each for name, each in where._asdict().items() if each}
    found = (
        select(person_value, person.c.name)
        .join(person, person.c.id == value.person_id)
        .where(value.person_id > after, *(value[name] == each for name, each in said.items()))
        .order_by(value.person_id)
        .limit(limit)
    )
    return list(conn.execute(found if said.keys() & {"life", "aipl"} else found.where(_has_class())))


def count_stages(conn: Connection) -> dict[str, dict[str, int]]:
    """Persons by life cycle and by AIPL, those without a row as the blank one."""
    everybody = int(conn.execute(select(func.count()).select_from(person)).scalar_one())
    told = {}
    for name in ("life", "aipl"):
        counted = select(person_value.c[name], func.count()).group_by(person_value.c[name])
        found = {row[0]: int(row[1]) for row in conn.execute(counted) if row[0]}
        told[name] = {**found, "": everybody - sum(found.values())}
    return told


# What was bought ------------------------------------------------------------------------------------------------------


def last_person(conn: Connection) -> int:
    return conn.execute(select(func.max(person.c.id))).scalar_one() or 0


class Bought(NamedTuple):
    """What one person has bought by now, and what was kept of it before."""

    person_id: int
    orders: int
    fen: int
    last_at: int | None
    kept_orders: int
    kept_fen: int
    cycle_days: int | None
    counted: int


def find_bought(conn: Connection, after: int, until: int, since: datetime, left_since: datetime | None) -> list[Bought]:
    """Of those whose purchases may be others than were kept: something was bought or given back, or an order of theirs
    has left the period since `left_since` (None: look at everybody).

    Who has bought within the period alone is in person_stat already: only orders of the others are counted.
    """
    stat, value, begin = person_stat.c, person_value.c, _literal(to_millis(since))
    last, first = _millis(stat.last_kept_at), _millis(stat.first_paid_at)
    both = person_stat.outerjoin(person_value, value.person_id == stat.person_id)
    here = and_(stat.person_id > after, stat.person_id <= until, _may_differ(since, left_since, after, until))
    longer = select(stat.person_id).select_from(both).where(here, last >= begin, first < begin)
    bought = (
        select(
            orders.c.person_id, func.count().label("n"), _sum(orders.c.paid_fen - orders.c.refunded_fen).label("fen")
        )
        .where(orders.c.person_id.in_(longer), text(IS_PURCHASE), _millis(orders.c.paid_at) >= begin)
        .where(orders.c.paid_fen > orders.c.refunded_fen)
        .group_by(orders.c.person_id)
        .subquery()
    )
    is_within, is_all = and_(last >= begin, stat.kept_orders > 0), first >= begin
    # Who has never bought has no time to compare.
    number = func.coalesce(case((~is_within, 0), (is_all, stat.kept_orders), else_=func.coalesce(bought.c.n, 0)), 0)
    money = func.coalesce(case((~is_within, 0), (is_all, stat.kept_fen), else_=func.coalesce(bought.c.fen, 0)), 0)
    found = (
        select(
            stat.person_id,
            number,
            money,
            last,
            stat.kept_orders,
            stat.kept_fen,
            value.cycle_days,
            func.coalesce(value.counted, 0),
        )
        .select_from(both.outerjoin(bought, bought.c.person_id == stat.person_id))
        .where(here, or_(stat.kept_orders > 0, value.person_id.is_not(None)))
    )
    return [Bought(*row) for row in conn.execute(found)]


def _may_differ(since: datetime, left_since: datetime | None, after: int, until: int) -> ColumnElement[bool]:
    if left_since is None:
        return true()
    stat, value, paid_at = person_stat.c, person_value.c, _millis(orders.c.paid_at)
    left = select(orders.c.person_id).where(
        text(IS_PURCHASE),
        paid_at >= _literal(to_millis(left_since)),
        paid_at < _literal(to_millis(since)),
        orders.c.person_id > after,
        orders.c.person_id <= until,
    )
    return or_(
        value.person_id.is_(None),
        value.counted != stat.kept_orders,
        value.counted_fen != stat.kept_fen,
        func.coalesce(_millis(value.last_at), 0) != func.coalesce(_millis(stat.last_kept_at), 0),
        stat.person_id.in_(left),
    )


def find_cycles(conn: Connection, person_ids: Sequence[int]) -> dict[int, int]:
    """The median of whole days between two orders with money left, for those who have CYCLE_FROM or more."""
    gap = _millis(orders.c.paid_at) - func.lag(_millis(orders.c.paid_at)).over(
        partition_by=orders.c.person_id, order_by=(orders.c.paid_at, orders.c.id)
    )
    gaps = (
        select(orders.c.person_id, gap.label("gap"))
        .where(
            among(conn, orders.c.person_id, person_ids), text(IS_PURCHASE), orders.c.paid_fen > orders.c.refunded_fen
        )
        .subquery()
    )
    place = func.row_number().over(partition_by=gaps.c.person_id, order_by=gaps.c.gap)
    many = func.count().over(partition_by=gaps.c.person_id)
    placed = select(gaps, place.label("place"), many.label("many")).where(gaps.c.gap.is_not(None)).subquery()
    middle = select(placed.c.person_id, _sum(placed.c.gap) // func.count() // _literal(_DAY_MILLIS)).where(
        placed.c.many >= CYCLE_FROM - 1, placed.c.place.in_([(placed.c.many + 1) // 2, (placed.c.many + 2) // 2])
    )
    return {row[0]: int(row[1]) for row in conn.execute(middle.group_by(placed.c.person_id))}


def save_facts(conn: Connection, rows: Sequence[tuple[Any, ...]], now: datetime) -> None:
    """(person_id, *FACTS) of each."""
    _save(conn, ("person_id", *FACTS), rows, now)


# How it is spread -----------------------------------------------------------------------------------------------------


def find_spread(conn: Connection, *, fifths: bool, middle: bool) -> Spread:
    """Of all who have bought within the period; what nobody asks for is not computed."""
    value = person_value.c
    columns = {"last_at": _millis(value.last_at), "orders": value.orders, "fen": value.fen}
    sums = select(*(func.avg(column) for column in columns.values())).where(value.orders > 0)
    means = [float(each or 0) for each in conn.execute(sums).one()]
    tiles = {name: _tiles(conn, column, 5) for name, column in columns.items()} if fifths else {}
    medians = {name: _median(conn, column) for name, column in columns.items()} if middle else {}
    return Spread(tiles, dict(zip(columns, means, strict=True)), medians)


def _tiles(conn: Connection, column: ColumnElement[Any], many: int) -> list[int]:
    """What lies at the end of each part but the last; a short list where there are fewer buyers than parts."""
    tile = func.ntile(many).over(order_by=column)
    placed = select(column.label("v"), tile.label("tile")).where(person_value.c.orders > 0).subquery()
    ends = select(placed.c.tile, func.max(placed.c.v)).where(placed.c.tile < many).group_by(placed.c.tile)
    return [int(row[1]) for row in conn.execute(ends.order_by(placed.c.tile))]


def _median(conn: Connection, column: ColumnElement[Any]) -> float:
    buyers = person_value.c.orders > 0
    many = int(conn.execute(select(func.count()).where(buyers)).scalar_one())
    if not many:
        return 0.0
    middle: Select[Any] = select(column).where(buyers).order_by(column).offset((many - 1) // 2).limit(2 - many % 2)
    values = list(conn.execute(middle).scalars())
    return float(sum(values)) / len(values)


# Who is where ---------------------------------------------------------------------------------------------------------


class Standing(NamedTuple):
    """What the place of one person is decided by, and the place where they are kept."""

    person_id: int
    orders: int
    fen: int
    last_at: int | None
    cycle_days: int | None
    kept_orders: int
    first_at: int | None
    place: tuple[Any, ...]


def list_standings(
    conn: Connection, cuts: Cuts, after: int, until: int, shown: Collection[int], now: datetime
) -> list[Standing]:
    """Of those with a row in person_value who may stand elsewhere by now, and of all who have `shown` something."""
    value, stat = person_value.c, person_stat.c
    found = (
        select(
            value.person_id,
            value.orders,
            value.fen,
            _millis(value.last_at),
            value.cycle_days,
            func.coalesce(stat.kept_orders, 0),
            _millis(stat.first_paid_at),
            *(value[name] for name in PLACES),
        )
        .select_from(person_value.outerjoin(person_stat, stat.person_id == value.person_id))
        .where(value.person_id > after, value.person_id <= until)
        .where(or_(_is_unsettled(cuts, to_millis(now)), among(conn, value.person_id, shown)))
        .order_by(value.person_id)
    )
    rows = (tuple(row) for row in conn.execute(found))
    return [Standing(*row[:-6], row[-6:]) for row in rows]  # type: ignore[call-arg]


def _is_unsettled(cuts: Cuts, millis: int) -> ColumnElement[bool]:
    """Whether the kept place is another than the rules give: they decide, this only spares them those who stay.

    A million persons are compared in two seconds here, and in twenty one by one.
    """
    value = person_value.c
    last_at, bought = _millis(value.last_at), value.orders > 0
    values: dict[str, ColumnElement[Any]] = {"last_at": last_at, "orders": value.orders, "fen": value.fen}
    scores = {name: _score(column, getattr(cuts, name)) for name, column in values.items()}
    if cuts.fences is None:
        highs = [score >= cuts.high for score in scores.values()]
    else:
        highs = [column > cuts.fences[name] for name, column in values.items()]
    letters = [case((high, literal(digit)), else_=literal(0)) for high, digit in zip(highs, (100, 10, 1), strict=True)]
    kept = cast(func.nullif(value.rfm, ""), Integer)
    has_moved = or_(
        value.r != scores["last_at"],
        value.f != scores["orders"],
        value.m != scores["fen"],
        func.coalesce(kept, -1) != letters[0] + letters[1] + letters[2],
    )
    return or_(
        case((bought, has_moved), else_=value.rfm != ""),
        value.life != _life(millis, last_at),
        value.aipl == "I",
        value.aipl != case((value.orders >= LOYAL_ORDERS, "L"), (bought, "P"), else_=""),
    )


def _score(column: ColumnElement[Any], cuts: Sequence[int]) -> ColumnElement[int]:
    passed = [case((column > _literal(cut), literal(1)), else_=literal(0)) for cut in cuts]
    return sum(passed, start=literal(1, Integer))


def _life(millis: int, last_at: ColumnElement[int]) -> ColumnElement[str]:
    """scrm.segments.stages.life_of, in milliseconds."""
    stat, value = person_stat.c, person_value.c
    orders = func.coalesce(stat.kept_orders, 0)
    first = _literal(millis) - func.coalesce(_millis(stat.first_paid_at), 0)
    last = _literal(millis) - func.coalesce(last_at, 0)
    own = case((orders >= CYCLE_FROM, func.nullif(value.cycle_days, 0)))
    cycle = cast(func.coalesce(own, USUAL_CYCLE_DAYS), BigInteger) * _literal(_DAY_MILLIS)
    return case(
        (orders <= 0, ""),
        (first <= _literal(NEW_DAYS * _DAY_MILLIS), "new"),
        (or_(last > cycle * 3, last > _literal(LOST_DAYS * _DAY_MILLIS)), "lost"),
        (last <= cycle, "active"),
        (last <= cycle * 2, "cooling"),
        else_="sleeping",
    )


def find_showing(conn: Connection, names: Sequence[str], after: int, until: int, since: datetime) -> set[int]:
    """Of whom one of these events is known since then."""
    event = events.event.c
    found = select(event.person_id).where(
        event.name.in_(names), event.occurred_at >= since, event.person_id > after, event.person_id <= until
    )
    return set(conn.execute(found.distinct()).scalars())


def find_interested(conn: Connection, after: int, until: int, now: datetime) -> set[int]:
    return find_showing(conn, SHOWS_INTEREST, after, until, now - INTEREST)


def find_loyal(conn: Connection, after: int, until: int, since: datetime) -> set[int]:
    return find_showing(conn, SHOWS_LOYALTY, after, until, since)


def save_places(conn: Connection, rows: Sequence[tuple[Any, ...]], now: datetime) -> None:
    """(person_id, *PLACES) of each."""
    _save(conn, ("person_id", *PLACES), rows, now)


def _save(conn: Connection, names: Sequence[str], rows: Sequence[tuple[Any, ...]], now: datetime) -> None:
    """Only of persons who are still there: one may have been merged or erased meanwhile."""
    known = set(conn.execute(select(person.c.id).where(among(conn, person.c.id, [row[0] for row in rows]))).scalars())
    kept = [row for row in rows if row[0] in known]
    if not kept:
        return
    columns: dict[str, Sequence[Any]] = dict(zip(names, zip(*kept, strict=True), strict=True))
    columns["changed_at"] = [to_millis(now)] * len(kept)
    told = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "person_id")
    insert_columns(conn, person_value, columns, end=f"ON CONFLICT (person_id) DO UPDATE SET {told}")


def _millis(column: ColumnElement[Any]) -> ColumnElement[int]:
    return type_coerce(column, BigInteger)


def _literal(number: int) -> ColumnElement[int]:
    return literal(number, BigInteger)


def _sum(column: ColumnElement[Any]) -> ColumnElement[int]:
    # PostgreSQL adds up BIGINT to NUMERIC.
    return cast(func.sum(column), BigInteger)


def since_of(rules: Rules, now: datetime) -> datetime:
    return now - timedelta(days=rules.period_days)
