"""A person's totals, moved on with each order, and counted anew."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from scrm.commerce.merge import (
    REFUND_OPEN,
)
from scrm.commerce.models import orders, refund
from scrm.commerce.totals import NOTHING, SUMS, TIMES, Change, share_of
from scrm.db import upsert
from scrm.db.bulk import insert_columns
from scrm.db.tables import to_millis
from scrm.profiles.models import person_stat


def move_totals(conn: Connection, changes: dict[int, Change]) -> None:
    """Add each person's change to what person_stat says of them."""
    recounted = sorted(person_id for person_id, change in changes.items() if change.needs_recount)
    names = SUMS + TIMES
    added = [
        (person_id, *(_plain(values[name]) for name in names))
        for person_id, change in sorted(changes.items())
        if not change.needs_recount and (values := change.values())
    ]
    add_totals(conn, added)
    for person_id in recounted:
        recount(conn, person_id)


def _plain(value: Any) -> Any:
    return to_millis(value) if isinstance(value, datetime) else value


def add_totals(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add to person_stat: (person, each of SUMS, each of TIMES in ms), one row a person, in the order of persons."""
    if rows:
        columns = zip(*rows, strict=True)
        insert_columns(conn, person_stat, dict(zip(("person_id", *SUMS, *TIMES), columns, strict=True)), end=_ADDED_UP)


def _extreme_of(name: str) -> str:
    old, new = f"person_stat.{name}", f"excluded.{name}"
    sign = "<" if name.startswith("first") else ">"
    return f"{name} = CASE WHEN {old} {sign} {new} THEN {old} ELSE coalesce({new}, {old}) END"


_ADDED_UP = "ON CONFLICT (person_id) DO UPDATE SET " + ", ".join(
    [f"{name} = person_stat.{name} + excluded.{name}" for name in SUMS] + [_extreme_of(name) for name in TIMES]
)


def count_totals(conn: Connection, person_id: int) -> dict[str, Any]:
    """A person's totals, counted from their orders: what person_stat must say."""
    rows = conn.execute(select(orders).where(orders.c.person_id == person_id)).mappings().all()
    opened: dict[int, int] = {
        row.order_id: row.cases
        for row in conn.execute(
            select(refund.c.order_id, func.count().label("cases"))
            .join(orders, orders.c.id == refund.c.order_id)
            .where(orders.c.person_id == person_id, refund.c.status.in_(sorted(REFUND_OPEN)))
            .group_by(refund.c.order_id)
        )
    }
    total = Change()
    for row in rows:
        total.move(NOTHING, share_of(dict(row), opened.get(row["id"], 0)))
    return total.values()


def recount(conn: Connection, person_id: int) -> None:
    """Write a person's totals anew from their orders."""
    values = count_totals(conn, person_id)
    statement = upsert(person_stat, conn).values(person_id=person_id, **values)
    conn.execute(statement.on_conflict_do_update(index_elements=["person_id"], set_=values))


def find_totals(conn: Connection, person_id: int) -> dict[str, Any] | None:
    """The person_stat row, or None for somebody who never ordered."""
    row = conn.execute(select(person_stat).where(person_stat.c.person_id == person_id)).mappings().one_or_none()
    return None if row is None else dict(row)
