"""Orders as they are kept: rows read whole, written where they changed, with what follows of them."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any, Literal

from sqlalchemy import Connection, Select, Table, delete, select, text

from scrm import events
from scrm.commerce.merge import (
    REFUND_OPEN,
    Row,
)
from scrm.commerce.models import order_line, orders, payment, refund, shipment
from scrm.commerce.order_events import is_history, reached, tell, told_of_history
from scrm.commerce.running_totals import move_totals
from scrm.commerce.totals import NOTHING, Change, Share, share_of
from scrm.db.bulk import among, among_given, insert_rows, listed, new_ids, update_rows

Result = Literal["created", "updated", "unchanged", "stale"]
_ORDER_LOCK = 7_210_002

CHILDREN: tuple[tuple[str, Table], ...] = (
    ("lines", order_line),
    ("payments", payment),
    ("shipments", shipment),
    ("refunds", refund),
)


@dataclass(slots=True)
class Kept:
    """An order with its children as it is in the database, or as it will be."""

    row: Row
    lines: list[Row] = field(default_factory=list)
    payments: list[Row] = field(default_factory=list)
    shipments: list[Row] = field(default_factory=list)
    refunds: list[Row] = field(default_factory=list)

    def share(self) -> Share:
        if self.row["person_id"] is None:
            return NOTHING
        return share_of(self.row, sum(case["status"] in REFUND_OPEN for case in self.refunds))

    def reached(self) -> set[tuple[str, str]]:
        return set() if self.row["person_id"] is None else reached(self.row, self.refunds)


@dataclass(slots=True)
class Step:
    """One order on its way: before (None: never seen), after, and what the caller hears."""

    after: Kept
    before: Kept | None
    result: Result


def take_turn(conn: Connection) -> None:
    """Orders have one writer at a time: wait for it, until the transaction ends."""
    if conn.dialect.name == "postgresql":
        conn.execute(text(f"SELECT pg_advisory_xact_lock({_ORDER_LOCK})"))


def load_kept(conn: Connection, ids: Collection[int]) -> dict[int, Kept]:
    """Whole orders with their children, by id."""
    if not ids:
        return {}
    given = {"ids": listed(conn, ids)}
    kept = {row["id"]: Kept(row) for row in _rows(conn, orders, "id", given)}
    for name, table in CHILDREN:
        for child in _rows(conn, table, "order_id", given):
            getattr(kept[child.pop("order_id")], name).append(child)
    for one in kept.values():
        # Sorted here and not by the database, whose collation is not ours.
        one.lines.sort(key=itemgetter("position"))
        one.payments.sort(key=itemgetter("pay_key"))
        one.shipments.sort(key=itemgetter("carrier_code", "tracking_no"))
        one.refunds.sort(key=itemgetter("refund_no"))
    return kept


def _rows(conn: Connection, table: Table, by: str, given: dict[str, Any]) -> list[Row]:
    result = conn.execute(_among_ids(table, by, conn.dialect.name), given)
    names = list(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result.all()]


@cache
def _among_ids(table: Table, by: str, dialect: str) -> Select[Any]:
    """Built once: five statements made anew cost a reader more than the database does."""
    return select(table).where(among_given(dialect, table.c[by], "ids"))


def give_ids(conn: Connection, steps: list[Step]) -> None:
    fresh = [step for step in steps if step.before is None]
    if fresh:
        for step, order_id in zip(fresh, new_ids(conn, orders, len(fresh)), strict=True):
            step.after.row = {"id": order_id, **step.after.row}


def write_rows(conn: Connection, steps: list[Step]) -> None:
    fresh = [step.after for step in steps if step.before is None]
    insert_rows(conn, orders, [kept.row for kept in fresh])
    changed = [
        (step.before.row, step.after.row)
        for step in steps
        if step.before is not None and step.after.row != step.before.row
    ]
    names = {name for before, after in changed for name, value in after.items() if value != before[name]}
    update_rows(conn, orders, [after for _, after in changed], names)
    for name, table in CHILDREN:
        replaced = [
            step.after
            for step in steps
            if step.before is not None and getattr(step.after, name) != getattr(step.before, name)
        ]
        if replaced:
            conn.execute(delete(table).where(among(conn, table.c.order_id, [kept.row["id"] for kept in replaced])))
        insert_rows(
            conn,
            table,
            [{"order_id": kept.row["id"], **child} for kept in fresh + replaced for child in getattr(kept, name)],
        )


def follow(conn: Connection, steps: list[Step], now: datetime, correlation: str) -> list[tuple[str, ...]]:
    """Totals and events of what changed; the names of each order's events."""
    changes: dict[int, Change] = defaultdict(Change)
    live: list[events.Event] = []
    historic: list[events.Event] = []
    names: list[tuple[str, ...]] = []
    for step in steps:
        after = step.after
        if after.row["person_id"] is None:
            names.append(())
            continue
        was_bound = step.before is not None and step.before.row["person_id"] is not None
        before_share = step.before.share() if step.before is not None else NOTHING
        changes[after.row["person_id"]].move(before_share, after.share())
        reached_now = after.reached()
        if step.before is not None and was_bound:
            news = reached_now - step.before.reached()
        else:
            news = told_of_history(reached_now) if is_history(after.row, now) else reached_now
        told = list(tell(after.row, after.lines, after.shipments, after.refunds, news, now))
        for one in told:
            (historic if one.facts.get("historic") else live).append(one)
        names.append(tuple(one.name for one in told))
    move_totals(conn, changes)
    events.record(conn, historic, now=now, correlation=correlation)
    events.publish(conn, live, now=now, correlation=correlation)
    return names
