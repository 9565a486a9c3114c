"""The person's newest orders on every channel, with goods and parcels."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from scrm.commerce import words
from scrm.profiles.words import Word
from scrm.sidebar import store
from scrm.sidebar.cards.visit import Visit

MOST = 20


@dataclass(slots=True)
class OrderCard:
    """One order; goods by line key, parcels by tracking number."""

    id: int
    channel: str
    order_no: str
    ordered_at: datetime | None
    paid_fen: int
    payable_fen: int
    refunded_fen: int
    state: Word
    aftersale: Word | None
    is_bound_by_hand: bool
    goods: dict[str, Row[Any]] = field(default_factory=dict)
    parcels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several orders with the same number."""

    id: int
    channel: str
    goods: str


@dataclass(frozen=True, slots=True)
class Orders:
    """The newest ones; `has_more` when there are older ones that are not shown."""

    rows: list[OrderCard]
    has_more: bool

    @property
    def count(self) -> int:
        return len(self.rows)


def load(conn: Connection, visit: Visit) -> Orders:
    cards = gather(store.list_recent_orders(conn, visit.person_id, limit=MOST + 1))
    return Orders(cards[:MOST], len(cards) > MOST)


def gather(rows: list[Row[Any]]) -> list[OrderCard]:
    """Rows of (order, line, parcel) as orders. Pure."""
    cards: dict[int, OrderCard] = {}
    for row in rows:
        card = cards.get(row.id)
        if card is None:
            card = cards[row.id] = _card(row)
        if row.line_key is not None:
            card.goods[row.line_key] = row
        if row.tracking_no is not None:
            card.parcels[row.tracking_no] = row.carrier_name
    return list(cards.values())


def _card(row: Row[Any]) -> OrderCard:
    return OrderCard(
        id=row.id,
        channel=words.channel(row.channel),
        order_no=row.order_no,
        ordered_at=row.ordered_at,
        paid_fen=row.paid_fen,
        payable_fen=row.payable_fen,
        refunded_fen=row.refunded_fen,
        state=words.order_state(row.status, row.delivered_at, row.raw_status),
        aftersale=words.aftersale_state(row.aftersale_status),
        is_bound_by_hand=row.bound_by == "staff",
    )
