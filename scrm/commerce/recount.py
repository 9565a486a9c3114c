"""Running totals against a recount of all orders, some persons at a time; what differs is told, and mended if asked."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from scrm.commerce import kept, running_totals
from scrm.commerce.merge import REFUND_OPEN
from scrm.commerce.models import orders, refund
from scrm.commerce.totals import NOTHING, SUMS, TIMES, Change, share_of
from scrm.db import Database, Priority
from scrm.db.bulk import among
from scrm.profiles.models import person, person_stat

BATCH = 500


@dataclass(frozen=True, slots=True)
class Difference:
    """One person's totals that are not what their orders say: (column, kept, counted) of each that differs."""

    person_id: int
    columns: tuple[tuple[str, Any, Any], ...]


@dataclass(slots=True)
class Outcome:
    """How many persons were looked at, and whose totals differed; `shown` holds the first hundred."""

    persons: int
    differing: int
    shown: list[Difference]


async def recount_all(db: Database, *, fix: bool) -> Outcome:
    """Look through everybody; with `fix` what differs is written anew. Orders may go on arriving meanwhile."""
    outcome, after = Outcome(0, 0, []), 0
    while ids := await db.read(_next_persons, after):
        found = await db.read(find_differences, ids)
        if found:
            # Counted once more with nobody else saving orders: what only came between two looks is no difference.
            found = await db.write_as(Priority.IMPORT, _settle, [one.person_id for one in found], fix=fix)
        outcome.persons += len(ids)
        outcome.differing += len(found)
        outcome.shown += found[: 100 - len(outcome.shown)]
        after = ids[-1]
    return outcome


def _next_persons(conn: Connection, after: int) -> list[int]:
    return list(
        conn.execute(select(person.c.id).where(person.c.id > after).order_by(person.c.id).limit(BATCH)).scalars()
    )


def find_differences(conn: Connection, person_ids: Sequence[int]) -> list[Difference]:
    """Three statements for all of them."""
    counted = _count(conn, person_ids)
    rows = conn.execute(select(person_stat).where(among(conn, person_stat.c.person_id, person_ids))).mappings()
    kept = {row["person_id"]: row for row in rows}
    nothing = Change().values()
    differences = []
    for person_id in person_ids:
        of_person, said = counted.get(person_id, nothing), kept.get(person_id, nothing)
        wrong = tuple((name, said[name], of_person[name]) for name in SUMS + TIMES if said[name] != of_person[name])
        if wrong:
            differences.append(Difference(person_id, wrong))
    return differences


def _count(conn: Connection, person_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    theirs = among(conn, orders.c.person_id, person_ids)
    cases = (
        select(refund.c.order_id, func.count().label("cases"))
        .join(orders, orders.c.id == refund.c.order_id)
        .where(theirs, refund.c.status.in_(sorted(REFUND_OPEN)))
        .group_by(refund.c.order_id)
    )
    opened = {row.order_id: row.cases for row in conn.execute(cases)}
    names = ("id", "person_id", "paid_at", "ordered_at", "paid_fen", "refunded_fen", "is_test", "payment_status")
    totals: dict[int, Change] = defaultdict(Change)
    for row in conn.execute(select(*(orders.c[name] for name in names)).where(theirs)).mappings():
        totals[row["person_id"]].move(NOTHING, share_of(dict(row), opened.get(row["id"], 0)))
    return {person_id: change.values() for person_id, change in totals.items()}


def _settle(conn: Connection, person_ids: Sequence[int], *, fix: bool) -> list[Difference]:
    kept.take_turn(conn)
    found = find_differences(conn, person_ids)
    for one in found if fix else ():
        running_totals.recount(conn, one.person_id)
    return found
