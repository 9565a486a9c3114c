"""Orders as people read them."""

from dataclasses import dataclass

from sqlalchemy import Connection, literal_column, select

from scrm.commerce.kept import load_kept
from scrm.commerce.merge import (
    Row,
)
from scrm.commerce.models import orders


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
    kept = load_kept(conn, ids)
    return [OrderView(kept[i].row, kept[i].lines, kept[i].payments, kept[i].shipments, kept[i].refunds) for i in ids]
