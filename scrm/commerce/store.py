"""Snapshots of orders saved: each compared with what is kept, merged, written, and told of.

Orders have one writer at a time, on both databases: whoever saves or binds them takes `take_turn` first. So a
snapshot is always compared with what the last one left, and a person's totals with all of their orders.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, select

from scrm.commerce.canonical import Order
from scrm.commerce.coupons import in_orders as coupons_in_orders
from scrm.commerce.finding import Persons, can_bind, find_persons
from scrm.commerce.kept import CHILDREN, Kept, Result, Step, follow, give_ids, load_kept, take_turn, write_rows
from scrm.commerce.merge import (
    Row,
    Verdict,
    complete,
    judge,
    merge,
    merge_lines,
    merge_payments,
    merge_refunds,
    merge_shipments,
)
from scrm.commerce.models import orders
from scrm.commerce.snapshot import Snapshot, digests, keys, settle, take
from scrm.db.bulk import among
from scrm.db.vault import Vault
from scrm.profiles.erased import Buyer, forget_buyer, when_buyers_erased

Route = Literal["api", "push", "erp", "file", "manual"]

# Columns that change with every message without meaning anything to a reader.
_BOOKKEEPING = frozenset(("digest", "last_seen_at", "platform_updated_at", "version", "route"))


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of one snapshot, and the names of the events it brought about."""

    result: Result
    order_id: int
    person_id: int | None
    events: tuple[str, ...] = ()


def save_orders(
    conn: Connection, batch: Sequence[Order], *, now: datetime, vault: Vault, route: Route, correlation: str = ""
) -> list[Saved]:
    """Keep snapshots of orders, in any order of arrival and however often repeated; one result each.

    Children, person, totals and events follow in the same transaction. 200 to 1,000 orders a call are best.
    """
    take_turn(conn)
    saved: list[Saved | None] = [None] * len(batch)
    waiting = list(range(len(batch)))
    while waiting:
        # The same order twice in a batch: the second meets what the first left.
        turn: dict[tuple[str, str, str], int] = {}
        later = []
        for index in waiting:
            order = batch[index]
            key = (order.channel, order.shop_key, order.order_no)
            if key in turn:
                later.append(index)
            else:
                turn[key] = index
        indexes = list(turn.values())
        saver = _Saver(conn, now, vault, route, correlation)
        for index, result in zip(indexes, saver.save([batch[index] for index in indexes]), strict=True):
            saved[index] = result
        waiting = later
    done = [result for result in saved if result is not None]
    told = ((order, one.order_id) for order, one in zip(batch, done, strict=True) if one.result != "unchanged")
    coupons_in_orders.follow(conn, told, now=now)
    return done


class _Saver:
    """One pass over distinct orders: read what is known, merge in memory, write what changed."""

    def __init__(self, conn: Connection, now: datetime, vault: Vault, route: Route, correlation: str) -> None:
        self.conn, self.now, self.vault, self.route, self.correlation = conn, now, vault, route, correlation

    def save(self, batch: list[Order]) -> list[Saved]:
        marks = digests(batch, self.vault)
        known = _find_known(self.conn, batch)
        snapshots: list[Snapshot | None] = []
        for order, key, mark in zip(batch, keys(batch), marks, strict=True):
            found = known.get(key)
            same = found is not None and found.digest == mark
            snapshots.append(None if same else take(order, self.vault, route=self.route, digest=mark, now=self.now))
        self._forget_erased(snapshots)
        finder = find_persons(self.conn, snapshots, [row for row in known.values() if row.person_id is None])
        touched = [
            known[key].id
            for key, snapshot in zip(keys(batch), snapshots, strict=True)
            if key in known and (snapshot is not None or can_bind(known[key], finder))
        ]
        before = load_kept(self.conn, touched)
        results: list[Saved | None] = []
        steps: list[tuple[int, Step]] = []
        for index, (key, snapshot) in enumerate(zip(keys(batch), snapshots, strict=True)):
            found = known.get(key)
            if found is not None and found.id not in before:
                results.append(Saved("unchanged", found.id, found.person_id))
                continue
            results.append(None)
            steps.append((index, _step(before[found.id] if found is not None else None, snapshot, finder)))
        give_ids(self.conn, [step for _, step in steps])
        for (index, step), told in zip(steps, self._write([step for _, step in steps]), strict=True):
            results[index] = Saved(step.result, step.after.row["id"], step.after.row["person_id"], told)
        return [result for result in results if result is not None]

    def _forget_erased(self, snapshots: list[Snapshot | None]) -> None:
        """Who was erased does not come back by orders from before; what was ordered since is a new beginning."""
        taken = [one for one in snapshots if one is not None]
        buyers = [buyer_of(one) for one in taken]
        for snapshot, erased_at in zip(taken, when_buyers_erased(self.conn, buyers, self.vault), strict=True):
            ordered_at = snapshot.row["ordered_at"] or snapshot.row["paid_at"]
            if erased_at is not None and (ordered_at is None or ordered_at <= erased_at):
                forget_buyer(snapshot.row)
                snapshot.external_userid = ""
                snapshot.shipments = None

    def _write(self, steps: list[Step]) -> list[tuple[str, ...]]:
        write_rows(self.conn, steps)
        return follow(self.conn, steps, self.now, self.correlation)


def change_orders(conn: Connection, ids: Collection[int], change: Callable[[Kept], None], *, now: datetime) -> None:
    """Change orders that are kept already; what follows from it, totals and events too. Needs `take_turn`."""
    steps = []
    for before in load_kept(conn, ids).values():
        after = Kept(dict(before.row), before.lines, before.payments, before.shipments, before.refunds)
        change(after)
        _complete_changed(before, after, now)
        steps.append(Step(after, before, "updated"))
    write_rows(conn, steps)
    follow(conn, steps, now, "")
    coupons_in_orders.settle(conn, set(ids), now=now)


def _complete_changed(before: Kept, after: Kept, now: datetime) -> None:
    """Money back that a column told stays, unless a case now says how much it was."""
    row = after.row
    stated = {"moment": row["platform_updated_at"] or row["ordered_at"] or now}
    told = row["refunded_fen"] if all(case["status"] == "unknown" for case in before.refunds) else 0
    complete(row, after.lines, after.shipments, after.refunds, stated)
    if told and not row["refunded_fen"]:
        row["refunded_fen"] = told
        complete(row, after.lines, after.shipments, [], stated)


def buyer_of(snapshot: Snapshot) -> Buyer:
    """By what the erased are recognised."""
    row = snapshot.row
    key = (row["channel"], row["shop_key"], row["order_no"])
    return key, row["buyer_unionid"], snapshot.external_userid, row["buyer_phone_lookup"]


def _step(before: Kept | None, snapshot: Snapshot | None, finder: "Persons") -> Step:
    if before is None:
        assert snapshot is not None  # noqa: S101 - an unseen order has no digest to be equal to
        return _first(snapshot, finder)
    if snapshot is None:
        step = Step(
            Kept(dict(before.row), before.lines, before.payments, before.shipments, before.refunds),
            before,
            "unchanged",
        )
    else:
        step = _next(before, snapshot)
    row = step.after.row
    if row["person_id"] is None:
        external_userid = "" if snapshot is None else snapshot.external_userid
        row["person_id"], row["bound_by"] = finder.find(
            row["buyer_unionid"], external_userid, row["buyer_phone_lookup"]
        )
    return step


def _first(snapshot: Snapshot, finder: "Persons") -> Step:
    row = settle(snapshot.row)
    row["person_id"], row["bound_by"] = finder.find(
        row["buyer_unionid"], snapshot.external_userid, row["buyer_phone_lookup"]
    )
    verdict = Verdict.APPLY
    after = Kept(
        row,
        merge_lines([], snapshot.lines, verdict),
        merge_payments([], snapshot.payments, verdict) if snapshot.payments else [],
        merge_shipments([], snapshot.shipments, verdict) if snapshot.shipments else [],
        merge_refunds([], snapshot.refunds, verdict) if snapshot.refunds else [],
    )
    complete(row, after.lines, after.shipments, after.refunds, snapshot.stated)
    return Step(after, None, "created")


def _next(before: Kept, snapshot: Snapshot) -> Step:
    verdict = judge(before.row, snapshot.row)
    after = Kept(
        merge(before.row, snapshot.row, verdict),
        merge_lines(before.lines, snapshot.lines, verdict),
        merge_payments(before.payments, snapshot.payments, verdict),
        merge_shipments(before.shipments, snapshot.shipments, verdict),
        merge_refunds(before.refunds, snapshot.refunds, verdict),
    )
    believed = verdict in (Verdict.CORRECT, Verdict.APPLY)
    stated = snapshot.stated
    if not believed:
        quiet = _differences(before, after) == set()
        stated = {
            name: before.row[name] if quiet else ""
            for name in ("payment_status", "fulfillment_status", "aftersale_status")
        }
        stated |= {"moment": snapshot.stated["moment"]}
        if before.row["refunded_fen"] == 0:
            stated |= {"refunded_fen": snapshot.stated["refunded_fen"]}
    complete(after.row, after.lines, after.shipments, after.refunds, stated)
    if verdict is Verdict.FILL:
        return Step(after, before, "stale")
    return Step(after, before, "updated" if _differences(before, after) - _BOOKKEEPING else "unchanged")


def _differences(before: Kept, after: Kept) -> set[str]:
    names = {name for name, value in after.row.items() if value != before.row[name]}
    if "receiver_sealed" in names and before.row["receiver_sealed"] and _same_receiver(before.row, after.row):
        names.discard("receiver_sealed")
    return names | {name for name, _ in CHILDREN if getattr(before, name) != getattr(after, name)}


def _same_receiver(before: Row, after: Row) -> bool:
    """Sealed twice, the same value looks different; the mask tells well enough for a reader."""
    return bool(before["receiver_mask"] == after["receiver_mask"])


def _find_known(conn: Connection, batch: list[Order]) -> dict[tuple[str, str, str], Any]:
    shops: dict[tuple[str, str], list[str]] = defaultdict(list)
    for order in batch:
        shops[order.channel, order.shop_key].append(order.order_no)
    known: dict[tuple[str, str, str], Any] = {}
    for (channel, shop_key), numbers in shops.items():
        rows = conn.execute(
            select(
                orders.c.id,
                orders.c.order_no,
                orders.c.digest,
                orders.c.person_id,
                orders.c.buyer_unionid,
                orders.c.buyer_phone_lookup,
            ).where(orders.c.channel == channel, orders.c.shop_key == shop_key, among(conn, orders.c.order_no, numbers))
        )
        known |= {(channel, shop_key, row.order_no): row for row in rows}
    return known
