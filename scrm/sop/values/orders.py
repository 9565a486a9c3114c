"""The order a run is about, else the person's newest: what was bought, and its parcel."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, select

from scrm.commerce.models import order_line, orders, shipment
from scrm.sop.facts import Due
from scrm.sop.values.ready import Asked, Found, Source

_KEYS = frozenset({"last_product", "last_order_tail", "carrier", "parcel_tail"})


def _orders(conn: Connection, asked: Asked) -> Found:
    """Of the order the run is about, else of the person's newest."""
    found = _found(conn, asked)
    order_ids = {row.id for row in found.values() if row is not None}
    titles, parcels = _titles(conn, order_ids), _parcels(conn, order_ids)
    for enrolment_id, row in found.items():
        if row is not None:
            yield (
                enrolment_id,
                {
                    "last_product": titles.get(row.id, ""),
                    "last_order_tail": row.order_no[-4:],
                    **parcels.get(row.id, {}),
                },
            )


def orders_of(conn: Connection, asked: Asked) -> dict[int, int | None]:
    """By run: the id of its order."""
    return {enrolment_id: row.id if row is not None else None for enrolment_id, row in _found(conn, asked).items()}


def _found(conn: Connection, asked: Asked) -> dict[int, Row[Any] | None]:
    newest = _newest_orders(conn, asked.person_ids)
    of_runs = _orders_of_runs(conn, asked.due)
    return {one.row.id: of_runs.get(one.row.id) or newest.get(one.row.person_id) for one in asked.due}


def _newest_orders(conn: Connection, person_ids: set[int]) -> dict[int, Row[Any]]:
    rank = func.row_number().over(
        partition_by=orders.c.person_id,
        order_by=(
            func.coalesce(orders.c.paid_at, orders.c.ordered_at, orders.c.first_seen_at).desc(),
            orders.c.id.desc(),
        ),
    )
    ranked = (
        select(orders.c.id, orders.c.person_id, orders.c.order_no, rank.label("rank"))
        .where(orders.c.person_id.in_(person_ids), orders.c.is_test.is_(False))
        .subquery()
    )
    newest: Select[Any] = select(ranked).where(ranked.c.rank == 1)
    return {row.person_id: row for row in conn.execute(newest)}


def _orders_of_runs(conn: Connection, due: Sequence[Due]) -> dict[int, Row[Any]]:
    keys = {one.row.id: one.row.run_key.partition("#")[0].removeprefix("order:") for one in due if _is_of_order(one)}
    if not keys:
        return {}
    query: Select[Any] = select(orders.c.id, orders.c.channel, orders.c.shop_key, orders.c.order_no).where(
        orders.c.order_no.in_({key.rpartition("/")[2] for key in keys.values()})
    )
    by_key = {f"{row.channel}/{row.shop_key}/{row.order_no}": row for row in conn.execute(query)}
    return {enrolment_id: by_key[key] for enrolment_id, key in keys.items() if key in by_key}


def _is_of_order(one: Due) -> bool:
    return bool(one.row.run_key.startswith("order:"))


def _titles(conn: Connection, order_ids: set[int]) -> dict[int, str]:
    """The first line that is not a gift."""
    rows = conn.execute(
        select(order_line.c.order_id, order_line.c.title)
        .where(order_line.c.order_id.in_(order_ids))
        .order_by(order_line.c.order_id, order_line.c.is_gift, order_line.c.position)
    )
    titles: dict[int, str] = {}
    for row in rows:
        titles.setdefault(row.order_id, row.title)
    return titles


def _parcels(conn: Connection, order_ids: set[int]) -> dict[int, dict[str, str]]:
    rows = conn.execute(
        select(shipment.c.order_id, shipment.c.carrier_name, shipment.c.carrier_code, shipment.c.tracking_no)
        .where(and_(shipment.c.order_id.in_(order_ids), shipment.c.tracking_no != ""))
        .order_by(shipment.c.shipped_at.nulls_first(), shipment.c.tracking_no)
    )
    return {
        row.order_id: {"carrier": row.carrier_name or row.carrier_code, "parcel_tail": row.tracking_no[-4:]}
        for row in rows
    }


SOURCES = (Source(_KEYS.__contains__, _orders),)
