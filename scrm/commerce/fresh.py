"""Orders of files, prepared away from the database: unseen ones are put in by columns, all others go the usual way.

An order that nobody has seen has nothing to be merged with. So everything but its id and its person is known before
the database is asked, and may be worked out in another process.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import JSON, Boolean, Column, Connection, Integer, Table, select
from sqlalchemy.sql.sqltypes import BigInteger

from scrm import events
from scrm.commerce import store
from scrm.commerce.canonical import Order
from scrm.commerce.merge import REFUND_OPEN, Row, complete
from scrm.commerce.models import order_line, orders, payment, refund, shipment
from scrm.commerce.order_events import reached, tell, told_of_history
from scrm.commerce.snapshot import digests, settle, take
from scrm.commerce.totals import NOTHING, Change, Share, share_of
from scrm.db.bulk import among, new_ids
from scrm.db.tables import UtcDateTime, from_millis
from scrm.db.vault import Vault
from scrm.profiles.erased import when_buyers_erased

_CHILDREN = (("lines", order_line), ("payments", payment), ("shipments", shipment), ("refunds", refund))
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Order).decode
Values = tuple[Any, ...]


class Prepared(NamedTuple):
    """One order in plain values, so that it passes through a pipe as fast as it is made."""

    key: tuple[str, str, str]
    digest: str
    # The order itself, for when it is known already and must be merged.
    encoded: bytes
    unionid: str
    external_userid: str
    phone_lookup: str
    # As `Columns` names them; None when it cannot be put in without a closer look.
    row: Values | None
    children: tuple[tuple[Values, ...], ...]
    share: Values
    # (name, occurred_at in ms, key, facts without order_id as JSON, once)
    told: tuple[Values, ...]
    lines: int


class Columns(NamedTuple):
    """The names of `Prepared.row` and of each kind of its children."""

    row: tuple[str, ...]
    children: tuple[tuple[str, ...], ...]


class Preparer:
    """Turns orders into what the tables take; needs no database."""

    def __init__(self, vault: Vault, now: datetime) -> None:
        self._vault, self._now = vault, now
        self._row = _Shape(orders, leave_out=("person_id", "bound_by"))
        self._children = tuple((name, _Shape(table)) for name, table in _CHILDREN)

    @property
    def columns(self) -> Columns:
        """Known once an order has been prepared; () for kinds of children that have not been met."""
        return Columns(self._row.names, tuple(shape.names for _, shape in self._children))

    def prepare(self, batch: Sequence[Order]) -> list[Prepared]:
        """One for each order, in order."""
        return [self._one(order, mark) for order, mark in zip(batch, digests(batch, self._vault), strict=True)]

    def _one(self, order: Order, mark: str) -> Prepared:
        snapshot = take(order, self._vault, route="file", digest=mark, now=self._now)
        row = settle(snapshot.row)
        children: dict[str, list[Row]] = {name: getattr(snapshot, name) or [] for name, _ in _CHILDREN}
        complete(row, children["lines"], children["shipments"], children["refunds"], snapshot.stated)
        is_known_somehow = row["buyer_unionid"] or row["buyer_phone_lookup"] or snapshot.external_userid
        # Whose buyer has no name that we could look for has no timeline either.
        told = self._told(row, children) if is_known_somehow else ()
        # Several parcels or cases may be one; the usual way sorts that out.
        plain = told is not None and not (
            len(children["payments"]) > 1 or len(children["shipments"]) > 1 or len(children["refunds"]) > 1
        )
        opened = sum(case["status"] in REFUND_OPEN for case in children["refunds"])
        return Prepared(
            key=(order.channel, order.shop_key, order.order_no),
            digest=mark,
            encoded=_encode(order),
            unionid=row["buyer_unionid"],
            external_userid=snapshot.external_userid,
            phone_lookup=row["buyer_phone_lookup"],
            row=self._row.values(row) if plain else None,
            children=tuple(tuple(shape.values(child) for child in children[name]) for name, shape in self._children)
            if plain
            else (),
            share=_pack(share_of(row, opened)),
            told=told or (),
            lines=len(order.lines or ()),
        )

    def _told(self, row: Row, children: dict[str, list[Row]]) -> tuple[Values, ...] | None:
        """What the timeline will say; None when some of it is no history and may start a playbook."""
        told = []
        named = {**row, "id": 0, "person_id": 0}
        news = told_of_history(reached(row, children["refunds"]))
        for event in tell(named, children["lines"], children["shipments"], children["refunds"], news, self._now):
            if not event.facts.pop("historic", False):
                return None
            facts = {name: value for name, value in event.facts.items() if name != "order_id"}
            facts["historic"] = True
            moment = round(event.occurred_at.timestamp() * 1000)
            told.append((event.name, moment, event.key, _encode(facts).decode(), event.once))
        return tuple(told)


class _Shape:
    """Rows of one table as tuples of what the driver takes."""

    def __init__(self, table: Table, leave_out: tuple[str, ...] = ()) -> None:
        self._table, self._leave_out = table, leave_out
        self.names: tuple[str, ...] = ()
        self._pick: Callable[[Row], Values] = lambda row: ()
        self._convert: list[tuple[int, Callable[[Any], Any]]] = []

    def values(self, row: Row) -> Values:
        if not self.names:
            self._learn(row)
        values = list(self._pick(row))
        for place, convert in self._convert:
            if values[place] is not None:
                values[place] = convert(values[place])
        return tuple(values)

    def _learn(self, row: Row) -> None:
        self.names = tuple(name for name in row if name not in self._leave_out)
        self._pick = itemgetter(*self.names)
        for place, name in enumerate(self.names):
            kind = self._table.columns[name].type
            if isinstance(kind, UtcDateTime):
                self._convert.append((place, _millis))
            elif isinstance(kind, JSON):
                self._convert.append((place, _json))


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _json(value: Any) -> str:
    return _encode(value).decode() if value else ("{}" if value == {} else _encode(value).decode())


_SHARE = tuple(one.name for one in fields(Share))
_MOMENTS = tuple(place for place, name in enumerate(_SHARE) if name.endswith("_at"))


def _pack(share: Share) -> Values:
    values = [getattr(share, name) for name in _SHARE]
    for place in _MOMENTS:
        if values[place] is not None:
            values[place] = _millis(values[place])
    return tuple(values)


def _unpack(packed: Values) -> Share:
    values = list(packed)
    for place in _MOMENTS:
        if values[place] is not None:
            values[place] = from_millis(values[place])
    return Share(*values)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many orders ended how; goods lines of all of them."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    lines: int = 0


def save_prepared(
    conn: Connection,
    batch: Sequence[Prepared],
    columns: Columns,
    *,
    now: datetime,
    vault: Vault,
    only_new: bool = False,
) -> Outcome:
    """Keep a chunk of a file; unseen orders at once, known ones merged, or with `only_new` left alone.

    Ends exactly as `store.save_orders` of the same orders by route `file` would. 200 to 1,000 orders a call are best.
    """
    store.take_turn(conn)
    known = _find_known(conn, batch)
    persons = _find_persons(conn, batch)
    erased = _find_erased(conn, batch, vault)
    fresh: dict[tuple[str, str, str], Prepared] = {}
    usual: list[Prepared] = []
    unchanged = 0
    for item in batch:
        found = known.get(item.key)
        if found is None and item.row is not None and item.key not in fresh and item.key not in erased:
            fresh[item.key] = item
        elif found is not None and (only_new or (found[0] == item.digest and not _can_bind(found, item, persons))):
            unchanged += 1
        else:
            usual.append(item)
    _put_in(conn, list(fresh.values()), columns, persons, now)
    results = ["unchanged" if one == "stale" else one for one in _merge(conn, usual, now, vault)]
    return Outcome(
        created=len(fresh) + results.count("created"),
        updated=results.count("updated"),
        unchanged=unchanged + results.count("unchanged"),
        lines=sum(item.lines for item in batch),
    )


def _find_known(conn: Connection, batch: Sequence[Prepared]) -> dict[tuple[str, str, str], tuple[str, int | None]]:
    """(digest, person) of each order that is there already."""
    shops: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in batch:
        shops[item.key[:2]].append(item.key[2])
    known: dict[tuple[str, str, str], tuple[str, int | None]] = {}
    table = orders.c
    for (channel, shop_key), numbers in shops.items():
        rows = conn.execute(
            select(table.order_no, table.digest, table.person_id).where(
                table.channel == channel, table.shop_key == shop_key, among(conn, table.order_no, numbers)
            )
        )
        known |= {(channel, shop_key, number): (digest, person_id) for number, digest, person_id in rows}
    return known


def _find_persons(conn: Connection, batch: Sequence[Prepared]) -> store.Persons:
    return store.Persons(
        store.find_by_identity(conn, "wx_unionid", {item.unionid for item in batch} - {""}),
        store.find_by_contact(conn, {item.external_userid for item in batch} - {""}),
        store.find_by_identity(conn, "mobile_e164", {item.phone_lookup for item in batch} - {""}),
    )


def _find_erased(conn: Connection, batch: Sequence[Prepared], vault: Vault) -> set[tuple[str, str, str]]:
    """Orders whose buyer was forgotten once: they go the usual way, which takes the buyer out."""
    buyers = [(item.key, item.unionid, item.external_userid, item.phone_lookup) for item in batch]
    when = when_buyers_erased(conn, buyers, vault)
    return {item.key for item, erased_at in zip(batch, when, strict=True) if erased_at is not None}


def _can_bind(found: tuple[str, int | None], item: Prepared, persons: store.Persons) -> bool:
    return found[1] is None and persons.find(item.unionid, "", item.phone_lookup)[0] is not None


def _merge(conn: Connection, items: Iterable[Prepared], now: datetime, vault: Vault) -> list[str]:
    batch = [_decode(item.encoded) for item in items]
    return (
        [saved.result for saved in store.save_orders(conn, batch, now=now, vault=vault, route="file")] if batch else []
    )


# -- unseen orders


def _put_in(conn: Connection, items: list[Prepared], columns: Columns, persons: store.Persons, now: datetime) -> None:
    if not items:
        return
    rows: list[Values] = []
    children: tuple[list[Values], ...] = tuple([] for _ in _CHILDREN)
    told: list[Values] = []
    changes: dict[int, Change] = defaultdict(Change)
    received = _millis(now)
    for order_id, item in zip(new_ids(conn, orders, len(items)), items, strict=True):
        person_id, way = persons.find(item.unionid, item.external_userid, item.phone_lookup)
        rows.append((order_id, person_id, way, *item.row))  # type: ignore[misc] # only those with a row come here
        for kept, given in zip(children, item.children, strict=True):
            for child in given:
                kept.append((order_id, *child))
        if person_id is not None:
            changes[person_id].move(NOTHING, _unpack(item.share))
            for name, moment, key, facts, once in item.told:
                facts = f'{{"order_id":{order_id},{facts[1:]}'
                told.append((name, person_id, "", "", key, facts, moment, received, once, ""))
    insert_values(conn, orders, ("id", "person_id", "bound_by", *columns.row), rows)
    for (_, table), names, values in zip(_CHILDREN, columns.children, children, strict=True):
        insert_values(conn, table, ("order_id", *names), values)
    store.move_totals(conn, changes)
    insert_values(conn, events.event, _EVENT, told, skip_known=True)


_EVENT = (
    "name",
    "person_id",
    "external_userid",
    "userid",
    "key",
    "facts",
    "occurred_at",
    "received_at",
    "once",
    "correlation",
)


def insert_values(
    conn: Connection, table: Table, names: Sequence[str], rows: Sequence[Values], *, skip_known: bool = False
) -> None:
    """Insert rows of values as the driver takes them: milliseconds for times, text for JSON."""
    if not rows:
        return
    into = f"INSERT INTO {table.name} ({', '.join(names)})"
    end = " ON CONFLICT DO NOTHING" if skip_known else ""
    if conn.dialect.name == "postgresql":
        kinds = [_kind(table.columns[name]) for name in names]
        lists = ", ".join(f"${place}::{kind}[]" for place, (kind, _) in enumerate(kinds, start=1))
        picked = ", ".join(f"c{place}{cast}" for place, (_, cast) in enumerate(kinds, start=1))
        aliases = ", ".join(f"c{place}" for place in range(1, len(names) + 1))
        statement = f"{into} SELECT {picked} FROM unnest({lists}) AS given({aliases}){end}"  # noqa: S608 - own names
        conn.exec_driver_sql(statement, tuple(map(list, zip(*rows, strict=True))))
        return
    places = ", ".join("?" * len(names))
    conn.exec_driver_sql(f"{into} VALUES ({places}){end}", list(rows))


def _kind(column: Column[Any]) -> tuple[str, str]:
    """The type of a list for unnest, and a cast behind it."""
    if isinstance(column.type, JSON):
        return "text", "::jsonb"
    if isinstance(column.type, Boolean):
        return "boolean", ""
    if isinstance(column.type, BigInteger | UtcDateTime):
        return "bigint", ""
    return ("integer", "") if isinstance(column.type, Integer) else ("text", "")
