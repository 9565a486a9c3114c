"""Orders by what a customer reads out: the number, its end, a phone, or the phone's end."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, literal_column, select

from scrm.commerce.models import order_line, orders, shipment
from scrm.db.bulk import among

# The end of a number and of a phone is at least as long.
SHORTEST = 4

# Said in words, so that the indexes of waiting orders are used.
_WAITING: ColumnElement[bool] = literal_column("orders.person_id IS NULL")


def find(conn: Connection, order_id: int) -> Row[Any] | None:
    return conn.execute(select(orders).where(orders.c.id == order_id)).one_or_none()


def by_number(conn: Connection, number: str, limit: int) -> list[Row[Any]]:
    """Orders of this number, else those it is the parent of (#1001 of Shopify), whosever they are."""
    parent = orders.c.parent_order_no.in_((number, f"#{number}"))
    for which in (orders.c.order_no == number, parent & literal_column("orders.parent_order_no <> ''")):
        if found := list(conn.execute(_newest(limit).where(which))):
            return found
    return []


def by_tail(conn: Connection, tail: str, limit: int) -> list[Row[Any]]:
    """Orders of nobody's whose number ends so."""
    ends = and_(orders.c.no_tail == tail[-SHORTEST:].lower(), literal_column("orders.no_tail <> ''"))
    whole = func.lower(orders.c.order_no).endswith(tail.lower(), autoescape=True)
    return list(conn.execute(_newest(limit).where(_WAITING, ends, whole)))


def by_phone_tail(conn: Connection, tail: str, limit: int) -> list[Row[Any]]:
    """Orders of nobody's whose receiver's or buyer's phone ends so."""
    ends = and_(orders.c.phone_tail == tail, literal_column("orders.phone_tail <> ''"))
    return list(conn.execute(_newest(limit).where(_WAITING, ends)))


def by_phone(conn: Connection, phone_lookup: str, phone_tail: str, limit: int) -> list[Row[Any]]:
    """Orders of nobody's that were made with this phone; those that only know its end come behind."""
    known = and_(orders.c.buyer_phone_lookup == phone_lookup, literal_column("orders.buyer_phone_lookup <> ''"))
    found = list(conn.execute(_newest(limit).where(_WAITING, known)))
    seen = {row.id for row in found}
    return (found + [row for row in by_phone_tail(conn, phone_tail, limit) if row.id not in seen])[:limit]


def of_person(conn: Connection, person_id: int, text: str, limit: int) -> list[Row[Any]]:
    """A person's own orders whose number ends so."""
    mine = and_(orders.c.person_id == person_id, literal_column("orders.person_id IS NOT NULL"))
    ends = func.lower(orders.c.order_no).endswith(text.lower(), autoescape=True)
    return list(conn.execute(_newest(limit).where(mine, ends)))


def _newest(limit: int) -> Select[Any]:
    return (
        select(orders)
        .order_by(orders.c.ordered_at.is_(None), orders.c.ordered_at.desc(), orders.c.id.desc())
        .limit(limit)
    )


def list_goods(conn: Connection, order_ids: Sequence[int]) -> dict[int, list[Row[Any]]]:
    """The lines of each order, in their order; gifts come last."""
    rows = conn.execute(
        select(order_line.c.order_id, order_line.c.title, order_line.c.spec, order_line.c.qty)
        .where(among(conn, order_line.c.order_id, list(order_ids)))
        .order_by(order_line.c.is_gift, order_line.c.position, order_line.c.line_key)
    )
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row.order_id, []).append(row)
    return found


def list_lines(conn: Connection, order_id: int) -> list[Row[Any]]:
    """An order's lines with all that platforms say of their goods."""
    query = select(order_line).where(order_line.c.order_id == order_id)
    return list(conn.execute(query.order_by(order_line.c.is_gift, order_line.c.position, order_line.c.line_key)))


def list_parcels(conn: Connection, order_id: int) -> list[Row[Any]]:
    return list(conn.execute(select(shipment).where(shipment.c.order_id == order_id).order_by(shipment.c.tracking_no)))
