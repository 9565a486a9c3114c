"""Orders of files, prepared column by column away from the database, so that another process may do it.

An order that nobody has seen has nothing to be merged with: everything but its id and its person is known before the
database is asked. What the rules look at (`_Kind`) repeats from order to order, so they are asked once for each kind.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from itertools import compress
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import JSON, Table

from scrm.commerce.canonical import Order
from scrm.commerce.merge import REFUND_OPEN, TIMES, Row, complete
from scrm.commerce.models import order_line, payment, refund, shipment
from scrm.commerce.order_events import (
    OF_PARCELS,
    TIME_OF,
    event_key,
    facts_of,
    in_sequence,
    once_of,
    reached,
    tell,
    told_of_history,
)
from scrm.commerce.snapshot import (
    by_column,
    columns_of,
    external_userid_of,
    line_rows,
    marks,
    moment_of,
    payment_row,
    refund_row,
    shipment_row,
    stated_in,
)
from scrm.commerce.totals import Share, share_of
from scrm.db.tables import UtcDateTime
from scrm.db.vault import Vault

Columns = dict[str, list[Any]]
Children = dict[str, list[list[Row]]]

CHILDREN: tuple[tuple[str, Table], ...] = (
    ("lines", order_line),
    ("payments", payment),
    ("shipments", shipment),
    ("refunds", refund),
)
_encode = msgspec.json.Encoder().encode
_MONEY = ("goods_fen", "freight_fen", "discount_fen", "platform_discount_fen", "payable_fen", "paid_fen")
_STATES = ("status", "payment_status", "fulfillment_status", "aftersale_status")
_MOMENTS = (*TIMES, "platform_updated_at", "first_seen_at", "last_seen_at")
SHARE = tuple(one.name for one in fields(Share))


class Owned(NamedTuple):
    """Rows that belong to orders, column by column; `owners` says to which, ascending."""

    owners: list[int]
    columns: Columns

    def of(self, places: dict[int, int]) -> "Owned":
        """Those of some orders, by their new places."""
        wanted = [owner in places for owner in self.owners]
        columns = {name: list(compress(values, wanted)) for name, values in self.columns.items()}
        return Owned([places[owner] for owner in compress(self.owners, wanted)], columns)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Orders in plain values, as drivers take them: milliseconds for times, text for JSON."""

    channel: list[str]
    shop_key: list[str]
    order_no: list[str]
    digest: list[str]
    # The orders themselves, for those that are known already and must be merged.
    encoded: list[bytes]
    unionid: list[str]
    external_userid: list[str]
    phone_lookup: list[str]
    # How many kinds of goods each has.
    lines: list[int]
    # False: has to be looked at more closely before it is put in.
    is_plain: list[bool]
    # What the file says of the shop's own fields, as text by key.
    own: list[dict[str, str]]
    row: Columns
    share: Columns
    # By the names of CHILDREN.
    children: dict[str, Owned]
    # name, occurred_at, key, facts (without order_id), once
    told: Owned

    def __len__(self) -> int:
        return len(self.order_no)

    def part(self, wanted: Sequence[int]) -> "Prepared":
        """Some of them, by their places, ascending."""
        if len(wanted) == len(self):
            return self
        places = {old: new for new, old in enumerate(wanted)}
        return Prepared(
            **{name: [getattr(self, name)[place] for place in wanted] for name in _HEAD},
            row=_part(self.row, wanted),
            share=_part(self.share, wanted),
            children={name: owned.of(places) for name, owned in self.children.items()},
            told=self.told.of(places),
        )


_HEAD = tuple(one.name for one in fields(Prepared))[:11]


def _part(columns: Columns, wanted: Sequence[int]) -> Columns:
    return {name: [values[place] for place in wanted] for name, values in columns.items()}


# -- through a pipe


def packed(batch: Prepared) -> tuple[Any, ...]:
    """As `marshal` takes it; a column that says the same everywhere is one value."""
    return (
        [_shrink(getattr(batch, name)) for name in _HEAD],
        _shrink_all(batch.row),
        _shrink_all(batch.share),
        {name: (owned.owners, _shrink_all(owned.columns)) for name, owned in batch.children.items()},
        (batch.told.owners, _shrink_all(batch.told.columns)),
    )


def unpacked(values: tuple[Any, ...]) -> Prepared:
    """What was `packed`."""
    head, row, share, children, told = values
    return Prepared(
        **dict(zip(_HEAD, map(_grow, head), strict=True)),
        row=_grow_all(row),
        share=_grow_all(share),
        children={name: Owned(owners, _grow_all(columns)) for name, (owners, columns) in children.items()},
        told=Owned(told[0], _grow_all(told[1])),
    )


def _shrink(column: list[Any]) -> Any:
    same = len(column) > 1 and column.count(column[0]) == len(column)
    return (column[0], len(column)) if same else column


def _shrink_all(columns: Columns) -> dict[str, Any]:
    return {name: _shrink(column) for name, column in columns.items()}


def _grow(column: Any) -> list[Any]:
    return [column[0]] * column[1] if isinstance(column, tuple) else column


def _grow_all(columns: dict[str, Any]) -> Columns:
    return {name: _grow(column) for name, column in columns.items()}


# -- what follows from how an order stands


class _Kind(NamedTuple):
    """All that the rules look at in an order without after-sale cases, whose parcels tell no times."""

    status: str
    payment_status: str
    fulfillment_status: str
    aftersale_status: str
    is_test: bool
    says_status: bool
    has_parcels: bool
    has_paid: bool
    # Of what was paid: 0 nothing, 1 a part, 2 all.
    refunded: int
    # Of TIMES, which are told.
    told: tuple[bool, ...]


class _Ending(NamedTuple):
    status: str
    payment_status: str
    fulfillment_status: str
    aftersale_status: str
    # Times that nobody told and that must have been: the last that was told.
    filled: tuple[str, ...]
    events: tuple[str, ...]
    share: Share


_ONCE, _LAST = datetime.fromtimestamp(1).astimezone(), datetime.fromtimestamp(2).astimezone()


@lru_cache(maxsize=4096)
def _ending(kind: tuple[Any, ...]) -> _Ending:
    """Asks the rules with an order that stands for all of its kind."""
    said = _Kind(*kind)
    row: Row = {name: _ONCE if told else None for name, told in zip(TIMES, said.told, strict=True)}
    row |= {name: getattr(said, name) for name in ("is_test", *_STATES)}
    row |= {"paid_fen": 2 * said.has_paid, "refunded_fen": 0, "raw_status": "x" * said.says_status, "route": "file"}
    parcels: list[Row] = [{"shipped_at": None, "delivered_at": None}] * said.has_parcels
    stated = {name: row[name] for name in _STATES} | {"refunded_fen": said.refunded, "moment": _LAST}
    complete(row, [], parcels, [], stated)
    news = told_of_history(reached(row, []))
    return _Ending(
        status=row["status"],
        payment_status=row["payment_status"],
        fulfillment_status=row["fulfillment_status"],
        aftersale_status=row["aftersale_status"],
        filled=tuple(name for name in TIMES if row[name] is _LAST),
        events=tuple(name for name, _ in in_sequence(news)),
        share=share_of(row, 0),
    )


class Preparer:
    """Turns orders into what the tables take; needs no database."""

    def __init__(self, vault: Vault, now: datetime) -> None:
        self._vault, self._now = vault, now
        self._shapes = {name: _Shape(table) for name, table in CHILDREN}

    def prepare(self, batch: Sequence[Order], own: list[dict[str, str]] | None = None) -> Prepared:
        """All of them, in order."""
        encoded = [_encode(order) for order in batch]
        digests = marks(encoded, self._vault)
        columns = columns_of(batch, self._vault, route="file", digests=digests, now=self._now)
        chunk = _Chunk(batch, columns, _children(batch, columns["paid_fen"]), self._now)
        chunk.complete()
        row = columns | chunk.millis | {"buyer_ref": [_json(ids) for ids in columns["buyer_ref"]]}
        return Prepared(
            channel=columns["channel"],
            shop_key=columns["shop_key"],
            order_no=columns["order_no"],
            digest=digests,
            encoded=encoded,
            unionid=columns["buyer_unionid"],
            external_userid=chunk.external_userids,
            phone_lookup=columns["buyer_phone_lookup"],
            lines=[len(order.lines or ()) for order in batch],
            is_plain=[_is_plain(order) for order in batch],
            own=own or [{}] * len(batch),
            row={name: values for name, values in row.items() if name not in ("person_id", "bound_by")},
            share=chunk.shares(),
            children={name: shape.owned(chunk.children[name]) for name, shape in self._shapes.items()},
            told=_owned(_EVENT, list(chunk.told())),
        )


def _is_plain(order: Order) -> bool:
    """Several parcels or cases may be one, and coupons want to be redeemed: the usual way sorts that out."""
    several = any(part is not None and len(part) > 1 for part in (order.payments, order.shipments, order.refunds))
    return not several and not order.coupons


def _tells_times(order: Order) -> bool:
    """After-sale cases and parcels with times of their own: the rules look at more than `_Kind` has."""
    if order.refunds:
        return True
    return order.shipments is not None and any(one.shipped_at or one.delivered_at for one in order.shipments)


def _children(batch: Sequence[Order], paid_fen: list[int | None]) -> Children:
    return {
        "lines": [
            line_rows(order.lines, paid) if order.lines else [] for order, paid in zip(batch, paid_fen, strict=True)
        ],
        "payments": [[payment_row(one) for one in order.payments] if order.payments else [] for order in batch],
        "shipments": [[shipment_row(one) for one in order.shipments] if order.shipments else [] for order in batch],
        "refunds": [[refund_row(one) for one in order.refunds] if order.refunds else [] for order in batch],
    }


def _kinds(columns: Columns, children: Children) -> Iterator[tuple[Any, ...]]:
    """The `_Kind` of each order."""
    told = zip(*([moment is not None for moment in columns[name]] for name in TIMES), strict=True)
    money = zip(columns["paid_fen"], columns["refunded_fen"], strict=True)
    return zip(
        *(columns[name] for name in _STATES),
        columns["is_test"],
        map(bool, columns["raw_status"]),
        map(bool, children["shipments"]),
        [paid > 0 for paid in columns["paid_fen"]],
        [0 if back <= 0 else 2 if back >= paid else 1 for paid, back in money],
        told,
        strict=True,
    )


class _Chunk:
    """Orders on their way: their columns, completed as the rules say, and what follows from them."""

    def __init__(self, batch: Sequence[Order], columns: Columns, children: Children, now: datetime) -> None:
        self._batch, self._columns, self._now = batch, columns, now
        self.children = children
        self.external_userids = [external_userid_of(order) for order in batch]
        # The times among the columns, in milliseconds.
        self.millis: Columns = {}
        self._endings: list[_Ending] = []
        # Of orders that had to be looked at more closely, by place: their share, and what is to be told of them.
        self._closer: dict[int, tuple[Share, set[tuple[str, str]]]] = {}

    def complete(self) -> None:
        """Fill in what follows from the rest."""
        columns, batch = self._columns, self._batch
        for name in _MONEY:
            columns[name] = [amount or 0 for amount in columns[name]]
        columns["refunded_fen"] = [order.refunded_fen or 0 for order in batch]
        self._endings = [_ending(kind) for kind in _kinds(columns, self.children)]
        self._closer = {place: self._look_closely(place) for place, order in enumerate(batch) if _tells_times(order)}
        for place, ending in enumerate(self._endings):
            if place not in self._closer:
                for name in _STATES:
                    columns[name][place] = getattr(ending, name)
                for name in ending.filled:
                    columns[name][place] = moment_of(batch[place], "file", self._now)
        self.millis = {name: _all_millis(columns[name]) for name in _MOMENTS}

    def _look_closely(self, place: int) -> tuple[Share, set[tuple[str, str]]]:
        """Let the rules complete one order."""
        lines, _, shipments, refunds = (self.children[name][place] for name, _ in CHILDREN)
        row = self._row(place) | {"refunded_fen": 0}
        complete(row, lines, shipments, refunds, stated_in(self._batch[place], "file", self._now))
        for name in (*TIMES, *_STATES, "refunded_fen"):
            self._columns[name][place] = row[name]
        opened = sum(case["status"] in REFUND_OPEN for case in refunds)
        return share_of(row, opened), told_of_history(reached(row, refunds))

    def _row(self, place: int) -> Row:
        return {name: values[place] for name, values in self._columns.items()}

    def shares(self) -> Columns:
        """Each order's part in its person's totals: as its kind says, with its own money and times."""
        money = zip(self._columns["paid_fen"], self._columns["refunded_fen"], strict=True)
        times = zip(self.millis["paid_at"], self.millis["ordered_at"], strict=True)
        rows = []
        for ending, (paid_fen, back), (paid_at, ordered_at) in zip(self._endings, money, times, strict=True):
            bought, kept = ending.share.paid_orders, ending.share.kept_orders
            rows.append(
                (
                    ending.share.orders,
                    bought,
                    paid_fen if bought else 0,
                    back if bought else 0,
                    0,
                    kept,
                    paid_fen - back if kept else 0,
                    paid_at if bought else None,
                    ordered_at if ending.share.orders else None,
                    paid_at if kept else None,
                )
            )
        for place, (share, _) in self._closer.items():
            rows[place] = tuple(_plain(getattr(share, name)) for name in SHARE)
        return by_column(SHARE, rows)

    def told(self) -> Iterator[tuple[Any, ...]]:
        """What timelines will say; whose buyer has no name that we could look for has no timeline."""
        columns = self._columns
        named = zip(columns["buyer_unionid"], columns["buyer_phone_lookup"], self.external_userids, strict=True)
        for place, buyer in enumerate(named):
            if not any(buyer):
                continue
            names = self._endings[place].events
            if place in self._closer:
                yield from self._tell(place, self._closer[place][1])
            elif self.children["shipments"][place] and not OF_PARCELS.isdisjoint(names):
                yield from self._tell(place, {(name, "") for name in names})
            elif names:
                yield from self._tell_plainly(place, names)

    def _tell_plainly(self, place: int, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """As `tell` would, in a third of its time."""
        row = {name: self._columns[name][place] for name in _TOLD}
        key = event_key(row)
        facts = _json(facts_of(row, self.children["lines"][place]) | {"historic": True})
        for name in names:
            moment = self.millis[TIME_OF[name]][place] or self.millis["platform_updated_at"][place]
            yield place, name, moment or _millis(self._now), key, facts, once_of(name, key)

    def _tell(self, place: int, news: set[tuple[str, str]]) -> Iterator[tuple[Any, ...]]:
        lines, _, shipments, refunds = (self.children[name][place] for name, _ in CHILDREN)
        for one in tell(self._row(place) | {"id": 0}, lines, shipments, refunds, news, self._now):
            facts = {name: value for name, value in one.facts.items() if name != "order_id"}
            yield place, one.name, _millis(one.occurred_at), one.key, _json(facts), one.once


_TOLD = ("order_no", "channel", "shop_key", "status", "paid_fen", "payable_fen")
_EVENT = ("name", "occurred_at", "key", "facts", "once")


class _Shape:
    """The rows of one table as columns of what the driver takes."""

    def __init__(self, table: Table) -> None:
        self._convert: dict[str, Callable[[Any], Any]] = {}
        for column in table.columns:
            if isinstance(column.type, UtcDateTime):
                self._convert[column.name] = _millis
            elif isinstance(column.type, JSON):
                self._convert[column.name] = _json

    def owned(self, of_orders: list[list[Row]]) -> Owned:
        """The rows of each order."""
        owners = [place for place, rows in enumerate(of_orders) for _ in rows]
        if not owners:
            return Owned([], {})
        names = next(rows[0] for rows in of_orders if rows)
        columns = by_column(tuple(names), [tuple(row.values()) for rows in of_orders for row in rows])
        for name, convert in self._convert.items():
            if name in columns:
                columns[name] = [None if value is None else convert(value) for value in columns[name]]
        return Owned(owners, columns)


def _owned(names: Sequence[str], rows: list[tuple[Any, ...]]) -> Owned:
    columns = by_column(("owner", *names), rows)
    return Owned(columns.pop("owner"), columns)


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _plain(value: Any) -> Any:
    return _millis(value) if isinstance(value, datetime) else value


def _all_millis(moments: list[datetime | None]) -> list[int | None]:
    first = moments[0] if moments else None
    if moments.count(first) == len(moments):
        return [None if first is None else _millis(first)] * len(moments)
    return [None if moment is None else _millis(moment) for moment in moments]


def _json(value: Any) -> str:
    return _encode(value).decode()
