"""When a parcel that is on its way should arrive, as this shop's parcels of the same carrier have lately taken."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from scrm.commerce.models import shipment
from scrm.sop.values.orders import orders_of
from scrm.sop.values.ready import Asked, Found, Source

# The newest parcels that are looked through, and how many of a carrier must have arrived to say anything.
LOOKED_AT, ENOUGH = 5_000, 20
# Four of five have come by then: better a day early than a day late.
_MOST_OF_THEM = 0.8


def _etas(conn: Connection, asked: Asked) -> Found:
    """Of the order's first parcel that has not arrived; nothing once the day is over, or where too little is known."""
    of_run = orders_of(conn, asked)
    on_the_way = _on_the_way(conn, {order_id for order_id in of_run.values() if order_id})
    if not on_the_way:
        return
    takes = _durations(conn, {_carrier(row) for row in on_the_way.values()})
    for enrolment_id, order_id in of_run.items():
        row = on_the_way.get(order_id or 0)
        usual = takes.get(_carrier(row)) if row is not None else None
        if row is None or usual is None:
            continue
        day = (row.shipped_at + usual).astimezone(asked.shop.zone)
        if day.date() >= asked.now.astimezone(asked.shop.zone).date():
            yield enrolment_id, {"eta": f"{day.month} 月 {day.day} 日"}


def _on_the_way(conn: Connection, order_ids: Collection[int]) -> dict[int, Row[Any]]:
    columns = shipment.c.order_id, shipment.c.carrier_code, shipment.c.carrier_name, shipment.c.shipped_at
    query: Select[Any] = select(*columns).where(
        shipment.c.order_id.in_(order_ids),
        shipment.c.shipped_at.is_not(None),
        shipment.c.delivered_at.is_(None),
        shipment.c.state.not_in(("delivered", "returned", "exception")),
    )
    found: dict[int, Row[Any]] = {}
    for row in conn.execute(query.order_by(shipment.c.shipped_at, shipment.c.tracking_no)):
        found.setdefault(row.order_id, row)
    return found


def _durations(conn: Connection, carriers: Collection[str]) -> dict[str, timedelta]:
    """By carrier: how long most of its newest parcels took."""
    s = shipment.c
    columns = s.carrier_code, s.carrier_name, s.shipped_at, s.delivered_at
    newest: Select[Any] = select(*columns).order_by(s.order_id.desc()).limit(LOOKED_AT)
    took: dict[str, list[timedelta]] = defaultdict(list)
    for row in conn.execute(newest).all():
        if (carrier := _carrier(row)) in carriers and _is_sound(row.shipped_at, row.delivered_at):
            took[carrier].append(row.delivered_at - row.shipped_at)
    return {
        carrier: sorted(each)[int(len(each) * _MOST_OF_THEM)] for carrier, each in took.items() if len(each) >= ENOUGH
    }


def _carrier(row: Row[Any]) -> str:
    return str(row.carrier_code or row.carrier_name)


def _is_sound(shipped_at: datetime | None, delivered_at: datetime | None) -> bool:
    return shipped_at is not None and delivered_at is not None and shipped_at < delivered_at


SOURCES = (Source({"eta"}.__contains__, _etas),)
