"""Prepared orders of files into the database: unseen ones are put in by columns, all others go the usual way."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from scrm import events
from scrm.commerce import finding, kept, running_totals, store
from scrm.commerce.canonical import Order
from scrm.commerce.coupons import in_orders as coupons_in_orders
from scrm.commerce.files.prepared import CHILDREN, SHARE, Prepared
from scrm.commerce.models import orders
from scrm.db.bulk import among, insert_columns, new_ids
from scrm.db.tables import to_millis
from scrm.db.vault import Vault
from scrm.profiles.erased import is_anybody_erased, when_buyers_erased
from scrm.profiles.own_fields import batches as field_batches

Key = tuple[str, str, str]
_decode = msgspec.json.Decoder(Order).decode


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many orders ended how; goods lines of all of them."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    lines: int = 0
    # Own fields that could not be filled, in words.
    notes: tuple[str, ...] = ()


def save_prepared(conn: Connection, batch: Prepared, *, now: datetime, vault: Vault, only_new: bool = False) -> Outcome:
    """Keep a chunk of a file; unseen orders at once, known ones merged, or with `only_new` left alone.

    Ends exactly as `store.save_orders` of the same orders by route `file` would. 200 to 1,000 orders a call are best.
    """
    kept.take_turn(conn)
    keys = list(zip(batch.channel, batch.shop_key, batch.order_no, strict=True))
    known = _find_known(conn, keys)
    persons = _find_persons(conn, batch)
    erased = _find_erased(conn, keys, batch, vault)
    fresh: list[int] = []
    seen: set[Key] = set()
    usual: list[int] = []
    same: list[int] = []
    for place, key in enumerate(keys):
        found = known.get(key)
        if key in seen:  # twice in a chunk: the second meets what the first left
            usual.append(place)
        elif found is None and batch.is_plain[place] and key not in erased:
            fresh.append(place)
        elif found is not None and (only_new or _is_same(found, batch, place, persons)):
            same.append(place)
        else:
            usual.append(place)
        seen.add(key)
    _put_in(conn, batch.part(fresh), persons, now)
    results: dict[int, str] = dict.fromkeys(fresh, "created") | dict.fromkeys(same, "unchanged")
    results |= zip(usual, _merge(conn, batch, usual, now, vault), strict=True)
    alone = set(same) if only_new else set()
    told = [place for place, own in enumerate(batch.own) if own and place not in alone]
    filled, notes = _fill(conn, batch, told, now, vault)
    ends = ["updated" if end != "created" and place in filled else end for place, end in results.items()]
    return Outcome(
        created=ends.count("created"),
        updated=ends.count("updated"),
        unchanged=ends.count("unchanged") + ends.count("stale"),
        lines=sum(batch.lines),
        notes=notes,
    )


def _find_known(conn: Connection, keys: Sequence[Key]) -> dict[Key, tuple[str, int | None]]:
    """(digest, person) of each order that is there already."""
    shops: dict[tuple[str, str], list[str]] = defaultdict(list)
    for channel, shop_key, number in keys:
        shops[channel, shop_key].append(number)
    known: dict[Key, tuple[str, int | None]] = {}
    table = orders.c
    for (channel, shop_key), numbers in shops.items():
        rows = conn.execute(
            select(table.order_no, table.digest, table.person_id).where(
                table.channel == channel, table.shop_key == shop_key, among(conn, table.order_no, numbers)
            )
        )
        known |= {(channel, shop_key, number): (digest, person_id) for number, digest, person_id in rows}
    return known


def _find_persons(conn: Connection, batch: Prepared) -> finding.Persons:
    return finding.Persons(
        finding.find_by_identity(conn, "wx_unionid", set(batch.unionid) - {""}),
        finding.find_by_contact(conn, set(batch.external_userid) - {""}),
        finding.find_by_identity(conn, "mobile_e164", set(batch.phone_lookup) - {""}),
    )


def _find_erased(conn: Connection, keys: Sequence[Key], batch: Prepared, vault: Vault) -> Collection[Key]:
    """Orders whose buyer was forgotten once: they go the usual way, which takes the buyer out."""
    if not is_anybody_erased(conn):
        return ()
    buyers = list(zip(keys, batch.unionid, batch.external_userid, batch.phone_lookup, strict=True))
    when = when_buyers_erased(conn, buyers, vault)
    return {key for key, erased_at in zip(keys, when, strict=True) if erased_at is not None}


def _is_same(found: tuple[str, int | None], batch: Prepared, place: int, persons: finding.Persons) -> bool:
    """The same message again, and still nobody is known as its buyer who was not."""
    digest, person_id = found
    if digest != batch.digest[place]:
        return False
    return person_id is not None or persons.find(batch.unionid[place], "", batch.phone_lookup[place])[0] is None


def _merge(conn: Connection, batch: Prepared, places: list[int], now: datetime, vault: Vault) -> list[str]:
    if not places:
        return []
    merged = [_decode(batch.encoded[place]) for place in places]
    return [saved.result for saved in store.save_orders(conn, merged, now=now, vault=vault, route="file")]


def _fill(
    conn: Connection, batch: Prepared, places: list[int], now: datetime, vault: Vault
) -> tuple[set[int], tuple[str, ...]]:
    """The shop's own fields: the places of orders of which some changed, and what could not be filled."""
    if not places:
        return set(), ()
    keys = {place: (batch.channel[place], batch.shop_key[place], batch.order_no[place]) for place in places}
    known = finding.find_owners(conn, set(keys.values()))
    given: dict[tuple[Any, ...], dict[str, str]] = defaultdict(dict)
    for place, key in keys.items():
        given[known[key].id,] |= batch.own[place]
    persons = {(row.id,): row.person_id for row in known.values()}
    changed, refused = field_batches.set_many(conn, "order", given, persons, source="import", now=now, vault=vault)
    numbers = {(row.id,): key[2] for key, row in known.items()}
    notes = tuple(f"订单 {numbers[subject]}：{text}" for subject, text in refused)
    return {place for place, key in keys.items() if (known[key].id,) in changed}, notes


# -- unseen orders


def _put_in(conn: Connection, batch: Prepared, persons: finding.Persons, now: datetime) -> None:
    if not len(batch):
        return
    ids = list(new_ids(conn, orders, len(batch)))
    buyers = zip(batch.unionid, batch.external_userid, batch.phone_lookup, strict=True)
    person_ids, ways = zip(*(persons.find(*buyer) for buyer in buyers), strict=True)
    insert_columns(conn, orders, {"id": ids, "person_id": person_ids, "bound_by": ways, **batch.row})
    for name, table in CHILDREN:
        owners, columns = batch.children[name]
        if owners:
            insert_columns(conn, table, {"order_id": [ids[owner] for owner in owners], **columns})
    running_totals.add_totals(conn, _totals(batch, person_ids))
    _tell(conn, batch, ids, person_ids, now)
    coupons_in_orders.settle_new(conn, ids, now=now)


def _totals(batch: Prepared, person_ids: Sequence[int | None]) -> list[tuple[Any, ...]]:
    """What these orders add to each person's totals, as `running_totals.add_totals` takes it."""
    added: dict[int, tuple[Any, ...]] = {}
    for person_id, (*sums, paid_at, ordered_at, kept_at) in zip(
        person_ids, zip(*(batch.share[name] for name in SHARE), strict=True), strict=True
    ):
        if person_id is None:
            continue
        row = (*sums, paid_at, paid_at, ordered_at, kept_at)
        before = added.get(person_id)
        added[person_id] = row if before is None else _added(before, row)
    return [(person_id, *added[person_id]) for person_id in sorted(added)]


def _added(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, ...]:
    *sums, first, last_paid, last_order, last_kept = zip(one, other, strict=True)
    return (
        *map(sum, sums),
        min((moment for moment in first if moment is not None), default=None),
        *(
            max((moment for moment in both if moment is not None), default=None)
            for both in (last_paid, last_order, last_kept)
        ),
    )


def _tell(conn: Connection, batch: Prepared, ids: list[int], person_ids: Sequence[int | None], now: datetime) -> None:
    """The timelines of those whose buyer is known."""
    told = batch.told.of({place: place for place, person_id in enumerate(person_ids) if person_id is not None})
    if not told.owners:
        return
    of_order = zip(told.owners, told.columns["facts"], strict=True)
    insert_columns(
        conn,
        events.event,
        told.columns
        | {
            "person_id": [person_ids[owner] for owner in told.owners],
            "received_at": [to_millis(now)] * len(told.owners),
            "facts": [f'{{"order_id":{ids[owner]},{facts[1:]}' for owner, facts in of_order],
        },
        end="ON CONFLICT DO NOTHING",
    )
