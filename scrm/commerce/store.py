"""All SQL of orders: saving snapshots, binding them to persons, totals, and what the sidebar reads.

Orders have one writer at a time, on both databases: whoever saves or binds them takes `take_turn` first. So a
snapshot is always compared with what the last one left, and a person's totals with all of their orders.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, func, literal_column, select, text, update

from scrm import events
from scrm.commerce import coupons_in_orders
from scrm.commerce.canonical import Order
from scrm.commerce.merge import (
    REFUND_OPEN,
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
from scrm.commerce.models import order_line, orders, payment, refund, shipment
from scrm.commerce.order_events import event_key, is_history, reached, tell, told_of_history
from scrm.commerce.snapshot import Snapshot, digests, keys, settle, take
from scrm.commerce.totals import NOTHING, SUMS, TIMES, Change, Share, share_of
from scrm.db import upsert
from scrm.db.bulk import among, among_given, each_of, insert_columns, insert_rows, listed, new_ids, update_rows
from scrm.db.tables import to_millis
from scrm.db.vault import Vault
from scrm.errors import Conflict, NotFound
from scrm.profiles.erased import Buyer, forget_buyer, when_buyers_erased
from scrm.profiles.models import external_contact, identity, person_stat

Route = Literal["api", "push", "erp", "file", "manual"]
Result = Literal["created", "updated", "unchanged", "stale"]

_ORDER_LOCK = 7_210_002
_CHILDREN: tuple[tuple[str, Table], ...] = (
    ("lines", order_line),
    ("payments", payment),
    ("shipments", shipment),
    ("refunds", refund),
)
# Columns that change with every message without meaning anything to a reader.
_BOOKKEEPING = frozenset(("digest", "last_seen_at", "platform_updated_at", "version", "route"))


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of one snapshot, and the names of the events it brought about."""

    result: Result
    order_id: int
    person_id: int | None
    events: tuple[str, ...] = ()


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
class _Step:
    """One order on its way: before (None: never seen), after, and what the caller hears."""

    after: Kept
    before: Kept | None
    result: Result


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


def take_turn(conn: Connection) -> None:
    """Orders have one writer at a time: wait for it, until the transaction ends."""
    if conn.dialect.name == "postgresql":
        conn.execute(text(f"SELECT pg_advisory_xact_lock({_ORDER_LOCK})"))


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
        finder = _find_persons(self.conn, snapshots, [row for row in known.values() if row.person_id is None])
        touched = [
            known[key].id
            for key, snapshot in zip(keys(batch), snapshots, strict=True)
            if key in known and (snapshot is not None or _can_bind(known[key], finder))
        ]
        before = _load(self.conn, touched)
        results: list[Saved | None] = []
        steps: list[tuple[int, _Step]] = []
        for index, (key, snapshot) in enumerate(zip(keys(batch), snapshots, strict=True)):
            found = known.get(key)
            if found is not None and found.id not in before:
                results.append(Saved("unchanged", found.id, found.person_id))
                continue
            results.append(None)
            steps.append((index, _step(before[found.id] if found is not None else None, snapshot, finder)))
        _give_ids(self.conn, [step for _, step in steps])
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

    def _write(self, steps: list[_Step]) -> list[tuple[str, ...]]:
        _write_rows(self.conn, steps)
        return _follow(self.conn, steps, self.now, self.correlation)


def change_orders(conn: Connection, ids: Collection[int], change: Callable[[Kept], None], *, now: datetime) -> None:
    """Change orders that are kept already; what follows from it, totals and events too. Needs `take_turn`."""
    steps = []
    for before in _load(conn, ids).values():
        after = Kept(dict(before.row), before.lines, before.payments, before.shipments, before.refunds)
        change(after)
        _complete_changed(before, after, now)
        steps.append(_Step(after, before, "updated"))
    _write_rows(conn, steps)
    _follow(conn, steps, now, "")
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


def _step(before: Kept | None, snapshot: Snapshot | None, finder: "Persons") -> _Step:
    if before is None:
        assert snapshot is not None  # noqa: S101 - an unseen order has no digest to be equal to
        return _first(snapshot, finder)
    if snapshot is None:
        step = _Step(
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


def _first(snapshot: Snapshot, finder: "Persons") -> _Step:
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
    return _Step(after, None, "created")


def _next(before: Kept, snapshot: Snapshot) -> _Step:
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
        return _Step(after, before, "stale")
    return _Step(after, before, "updated" if _differences(before, after) - _BOOKKEEPING else "unchanged")


def _differences(before: Kept, after: Kept) -> set[str]:
    names = {name for name, value in after.row.items() if value != before.row[name]}
    if "receiver_sealed" in names and before.row["receiver_sealed"] and _same_receiver(before.row, after.row):
        names.discard("receiver_sealed")
    return names | {name for name, _ in _CHILDREN if getattr(before, name) != getattr(after, name)}


def _same_receiver(before: Row, after: Row) -> bool:
    """Sealed twice, the same value looks different; the mask tells well enough for a reader."""
    return bool(before["receiver_mask"] == after["receiver_mask"])


# -- reading what is known


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


@dataclass(slots=True)
class Persons:
    """Who is known by which value, for one batch."""

    by_unionid: dict[str, int]
    by_external_userid: dict[str, int]
    by_phone: dict[str, int]

    def find(self, unionid: str, external_userid: str, phone_lookup: str) -> tuple[int | None, str]:
        """The person and how they were recognised; the surest way first."""
        for values, value, way in (
            (self.by_unionid, unionid, "unionid"),
            (self.by_external_userid, external_userid, "external_userid"),
            (self.by_phone, phone_lookup, "phone"),
        ):
            if value and value in values:
                return values[value], way
        return None, ""


def _find_persons(conn: Connection, snapshots: list[Snapshot | None], unbound: list[Any]) -> Persons:
    taken = [snapshot for snapshot in snapshots if snapshot is not None]
    unionids = {snapshot.row["buyer_unionid"] for snapshot in taken} | {row.buyer_unionid for row in unbound}
    phones = {snapshot.row["buyer_phone_lookup"] for snapshot in taken} | {row.buyer_phone_lookup for row in unbound}
    contacts = {snapshot.external_userid for snapshot in taken}
    return Persons(
        find_by_identity(conn, "wx_unionid", unionids - {""}),
        find_by_contact(conn, contacts - {""}),
        find_by_identity(conn, "mobile_e164", phones - {""}),
    )


def find_by_identity(conn: Connection, kind: str, values: Collection[str]) -> dict[str, int]:
    """Person ids by the value of an identity that is the same in every shop."""
    if not values:
        return {}
    known = each_of(
        conn, identity.c.value, identity.c.person_id, values, identity.c.kind == kind, identity.c.scope == ""
    )
    return {str(value): int(person_id) for value, person_id in conn.execute(known)}


def find_owners(conn: Connection, keys: Collection[tuple[str, str, str]]) -> dict[tuple[str, str, str], Any]:
    """Ids and persons of orders by channel, shop and number, for the rows of one import."""
    shops: dict[tuple[str, str], list[str]] = defaultdict(list)
    for channel, shop_key, number in keys:
        shops[channel, shop_key].append(number)
    found: dict[tuple[str, str, str], Any] = {}
    table = orders.c
    for (channel, shop_key), numbers in shops.items():
        mine = (table.channel == channel, table.shop_key == shop_key, among(conn, table.order_no, numbers))
        for row in conn.execute(select(table.id, table.order_no, table.person_id).where(*mine)):
            found[channel, shop_key, row.order_no] = row
    return found


def find_by_contact(conn: Connection, external_userids: Collection[str]) -> dict[str, int]:
    """Person ids by external_userid."""
    if not external_userids:
        return {}
    table = external_contact.c
    rows = conn.execute(
        select(table.external_userid, table.person_id).where(among(conn, table.external_userid, external_userids))
    )
    return {row.external_userid: row.person_id for row in rows}


def _can_bind(found: Any, finder: Persons) -> bool:
    known = finder.find(found.buyer_unionid, "", found.buyer_phone_lookup)[0]
    return found.person_id is None and known is not None


def _load(conn: Connection, ids: Collection[int]) -> dict[int, Kept]:
    """Whole orders with their children, by id."""
    if not ids:
        return {}
    given = {"ids": listed(conn, ids)}
    kept = {row["id"]: Kept(row) for row in _rows(conn, orders, "id", given)}
    for name, table in _CHILDREN:
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


# -- writing what changed


def _give_ids(conn: Connection, steps: list[_Step]) -> None:
    fresh = [step for step in steps if step.before is None]
    if fresh:
        for step, order_id in zip(fresh, new_ids(conn, orders, len(fresh)), strict=True):
            step.after.row = {"id": order_id, **step.after.row}


def _write_rows(conn: Connection, steps: list[_Step]) -> None:
    fresh = [step.after for step in steps if step.before is None]
    insert_rows(conn, orders, [kept.row for kept in fresh])
    changed = [
        (step.before.row, step.after.row)
        for step in steps
        if step.before is not None and step.after.row != step.before.row
    ]
    names = {name for before, after in changed for name, value in after.items() if value != before[name]}
    update_rows(conn, orders, [after for _, after in changed], names)
    for name, table in _CHILDREN:
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


def _follow(conn: Connection, steps: list[_Step], now: datetime, correlation: str) -> list[tuple[str, ...]]:
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


# -- binding orders to persons


def bind_orders(
    conn: Connection,
    person_id: int,
    *,
    unionid: str | None = None,
    phone_lookup: str | None = None,
    now: datetime,
    is_news: bool = True,
) -> int:
    """Give a person the orders that waited for this unionid or phone; returns how many. Totals and events follow.

    What a first sync finds is no news: it starts no playbook.
    """
    take_turn(conn)
    bound = 0
    for column, value, way in (
        (orders.c.buyer_unionid, unionid, "unionid"),
        (orders.c.buyer_phone_lookup, phone_lookup, "phone"),
    ):
        if value:
            # Said again in words, so that the index of waiting orders is used.
            told: ColumnElement[bool] = literal_column(f"orders.{column.name} <> ''")
            waiting = conn.execute(select(orders.c.id).where(column == value, orders.c.person_id.is_(None), told))
            bound += _bind(conn, list(waiting.scalars()), person_id, way, now, is_news=is_news)
    return bound


@dataclass(frozen=True, slots=True)
class Unbound:
    """Whose order it was, and the ids of the events that are untold."""

    person_id: int
    event_ids: list[int]


def bind_order_manually(conn: Connection, order_id: int, person_id: int, userid: str, now: datetime) -> bool:
    """A member says whose order it is; False when it was this person's already.

    Raises NotFound for an unknown order, Conflict when it belongs to somebody else.
    """
    take_turn(conn)
    row = conn.execute(select(orders).where(orders.c.id == order_id)).mappings().one_or_none()
    if row is None:
        raise NotFound("没有找到这个订单，请核对订单号")
    if row["person_id"] == person_id:
        return False
    if row["person_id"] is not None:
        raise Conflict("这个订单已经属于另一位客户，不能再绑定。如果是同一个人，请联系管理员合并客户")
    _bind(conn, [order_id], person_id, "staff", now)
    told = events.Event(
        name="order.bound",
        occurred_at=now,
        person_id=person_id,
        userid=userid,
        key=event_key(dict(row)),
        facts={"order_id": order_id, "order_no": row["order_no"], "channel": row["channel"], "by": userid},
        once=f"order.bound:{order_id}:{person_id}",
    )
    events.publish(conn, [told], now=now)
    return True


def unbind_order(conn: Connection, order_id: int, userid: str, *, since: datetime, now: datetime) -> Unbound:
    """A member takes back what he bound himself since then: nobody's order again, and what it told is untold.

    Raises Conflict when it is too late, or when somebody else bound it.
    """
    take_turn(conn)
    before = _load(conn, [order_id]).get(order_id)
    person_id = before.row["person_id"] if before is not None else None
    if before is None or person_id is None or before.row["bound_by"] != "staff":
        raise Conflict("这个订单不是手动绑定的，不能撤销")
    told = events.event
    mine = told.c.person_id == person_id, told.c.key == event_key(before.row)
    bound = conn.execute(
        select(told.c.id, told.c.userid, told.c.occurred_at)
        .where(*mine, told.c.name == "order.bound")
        .order_by(told.c.id.desc())
        .limit(1)
    ).one_or_none()
    if bound is None or bound.userid.lower() != userid.lower() or bound.occurred_at < since:
        raise Conflict("只能在绑定后的 10 分钟内由绑定的人撤销，之后请联系管理员")
    after = Kept(
        before.row | {"person_id": None, "bound_by": ""},
        before.lines,
        before.payments,
        before.shipments,
        before.refunds,
    )
    _write_rows(conn, [_Step(after, before, "updated")])
    change = Change()
    change.move(before.share(), NOTHING)
    move_totals(conn, {person_id: change})
    # What the order told of this person never was so; whom it is given to next is told anew.
    lasting = told.c.name.in_(("order.bound", "order.unbound"))
    untold = list(conn.scalars(delete(told).where(*mine, ~lasting).returning(told.c.id)))
    conn.execute(update(told).where(*mine, lasting).values(once=None))
    facts = {"order_id": order_id, "order_no": before.row["order_no"], "channel": before.row["channel"], "by": userid}
    event = events.Event("order.unbound", now, person_id, "", userid, event_key(before.row), facts)
    events.record(conn, [event], now=now)
    return Unbound(person_id, untold)


def _bind(conn: Connection, ids: list[int], person_id: int, way: str, now: datetime, *, is_news: bool = True) -> int:
    steps: list[_Step] = []
    for before in _load(conn, ids).values():
        row = before.row | {"person_id": person_id, "bound_by": way}
        steps.append(
            _Step(Kept(row, before.lines, before.payments, before.shipments, before.refunds), before, "updated")
        )
    _write_rows(conn, steps)
    _follow(conn, steps, now, "")
    if steps:
        events.publish(conn, [_bound(steps, person_id, way, now, is_news=is_news)], now=now)
    return len(steps)


def _bound(steps: Sequence["_Step"], person_id: int, way: str, now: datetime, *, is_news: bool) -> events.Event:
    """However many orders came with it: somebody is known as their buyer now."""
    row = steps[0].after.row
    facts = {"way": way, "kind": "order", "order_no": row["order_no"], "channel": row["channel"], "orders": len(steps)}
    return events.Event(
        name="identity.bound",
        occurred_at=now,
        person_id=person_id,
        key=event_key(dict(row)),
        facts=facts if is_news else {**facts, "historic": True},
        once=f"identity.bound:{person_id}:{row['id']}",
    )


# -- reading for people


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order with its lines, payments, shipments and refunds, as rows by column name."""

    row: Row
    lines: list[Row]
    payments: list[Row]
    shipments: list[Row]
    refunds: list[Row]


def list_orders(conn: Connection, person_id: int, limit: int = 20) -> list[OrderView]:
    """A person's newest orders; five statements, however many orders."""
    ids = conn.execute(
        select(orders.c.id)
        .where(orders.c.person_id == person_id)
        .order_by(orders.c.ordered_at.is_(None), orders.c.ordered_at.desc(), orders.c.id.desc())
        .limit(limit)
    ).scalars()
    return _views(conn, list(ids))


def find_orders(conn: Connection, channel: str | None, order_no: str, limit: int = 20) -> list[OrderView]:
    """Orders of this number, else those it is the parent of (#1001 of Shopify), of one channel or of any.

    Shops may use the same number.
    """
    of_parent = orders.c.parent_order_no.in_((order_no, f"#{order_no}")) & literal_column(
        "orders.parent_order_no <> ''"
    )
    for which in (orders.c.order_no == order_no, of_parent):
        query = select(orders.c.id).where(which)
        if channel:
            query = query.where(orders.c.channel == channel)
        if ids := list(conn.execute(query.order_by(orders.c.id.desc()).limit(limit)).scalars()):
            return _views(conn, ids)
    return []


def _views(conn: Connection, ids: list[int]) -> list[OrderView]:
    kept = _load(conn, ids)
    return [OrderView(kept[i].row, kept[i].lines, kept[i].payments, kept[i].shipments, kept[i].refunds) for i in ids]


def find_totals(conn: Connection, person_id: int) -> dict[str, Any] | None:
    """The person_stat row, or None for somebody who never ordered."""
    row = conn.execute(select(person_stat).where(person_stat.c.person_id == person_id)).mappings().one_or_none()
    return None if row is None else dict(row)
