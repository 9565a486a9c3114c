"""SQL of the search box in the console's frame: a few customers and a few orders, whatever was typed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, false, or_, select

from scrm.access.scope import Scope, reaches
from scrm.commerce.models import orders
from scrm.customer_lists.people import Customer, list_these
from scrm.customer_lists.store import find_people
from scrm.profiles.models import identity

CUSTOMERS, ORDERS = 6, 4
# A shorter beginning of an order's number means nothing.
_SHORTEST = 4


@dataclass(frozen=True, slots=True)
class Hits:
    """What was found; `phones` are the masked ones of the customers, by person."""

    customers: Sequence[Customer] = ()
    phones: dict[int, str] | None = None
    orders: Sequence[Row[Any]] = ()


def search(conn: Connection, text: str, phone_lookup: str, scope: Scope) -> Hits:
    """Within the scope; nothing for no words."""
    if not text:
        return Hits()
    found = list_these(conn, find_people(conn, text, phone_lookup, scope, limit=CUSTOMERS))
    return Hits(found, _list_phones(conn, [each.person.id for each in found]), _list_orders(conn, text, scope))


def _list_phones(conn: Connection, person_ids: Sequence[int]) -> dict[int, str]:
    if not person_ids:
        return {}
    known = identity.c.person_id.in_(person_ids), identity.c.kind == "mobile_e164"
    rows = conn.execute(select(identity.c.person_id, identity.c.mask).where(*known).order_by(identity.c.id.desc()))
    return {row.person_id: row.mask for row in rows}


def _list_orders(conn: Connection, text: str, scope: Scope) -> list[Row[Any]]:
    """By the number or its beginning, those whose customer is known and within the scope; the newest first."""
    number = orders.c.order_no
    shown = orders.c.id, number, orders.c.channel, orders.c.person_id, orders.c.paid_fen, orders.c.ordered_at
    query = select(*shown).where(
        begins_with(number, text), orders.c.person_id.is_not(None), reaches(scope, orders.c.person_id)
    )
    return list(conn.execute(query.order_by(orders.c.ordered_at.desc(), orders.c.id.desc()).limit(ORDERS)))


def begins_with(number: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Whether an order's number is this, or begins so; nothing for what is too short to mean one."""
    if len(text) < _SHORTEST or not text.isascii():
        return false()
    # The span is what an index finds, whatever the language of the database; the rest must be exact.
    end = text[:-1] + chr(ord(text[-1]) + 1)
    return or_(number == text, and_(number >= text, number < end, number.startswith(text, autoescape=True)))
