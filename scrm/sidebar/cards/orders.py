"""The person's orders on every channel: goods, parcels, cases of after-sale; the newest first, page by page."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row

from scrm.commerce import words as order_words
from scrm.commerce.merge import REFUND_OPEN
from scrm.profiles.words import Word
from scrm.sidebar import store
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.places import write_place

# The first page stays small; who wants more asks for it.
FIRST = 3
PAGE = 20

Place = tuple[datetime | None, int]


@dataclass(frozen=True, slots=True)
class Parcel:
    """One parcel, and the last that is known of it."""

    number: str
    carrier: str
    key: str
    state: Word
    at: datetime | None

    @property
    def is_on_its_way(self) -> bool:
        return self.key in ("shipped", "in_transit", "out_for_delivery", "exception")


@dataclass(frozen=True, slots=True)
class Case:
    """One refund or return."""

    kind: str
    is_open: bool
    state: Word
    amount_fen: int
    reason: str
    at: datetime | None


@dataclass(slots=True)
class OrderCard:
    """One order with all that belongs to it; `bound` says how we know whose it is."""

    id: int
    channel: str
    channel_key: str
    order_no: str
    status: str
    ordered_at: datetime | None
    is_delivered: bool
    paid_fen: int
    payable_fen: int
    refunded_fen: int
    state: Word
    aftersale: Word | None
    has_open_case: bool
    bound: str
    is_bound_by_hand: bool
    goods: list[Row[Any]] = field(default_factory=list)
    parcels: list[Parcel] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What it is about, in short."""
        return next((line.title for line in self.goods if not line.is_gift), self.order_no)

    @property
    def sold(self) -> list[tuple[Row[Any], str]]:
        """The first three goods without the gifts, with what to call each: its spec where its title says too little."""
        sold = [line for line in self.goods if not line.is_gift]
        titles = [line.title for line in sold]
        is_vague = [bool(line.spec) and titles.count(line.title) > 1 for line in sold]
        return [(line, line.spec if vague else line.title) for line, vague in zip(sold[:3], is_vague, strict=False)]

    @property
    def has_pictures(self) -> bool:
        return any(line.image_url for line in self.goods)


@dataclass(frozen=True, slots=True)
class Orders:
    """A page; `before` is where the next one goes on, as text for an address, None at the end."""

    rows: list[OrderCard]
    before: str | None
    # Of all, when that is known.
    count: int = 0
    words: str = ""

    @property
    def is_searchable(self) -> bool:
        return self.count > PAGE or bool(self.words)


def load(conn: Connection, visit: Visit) -> Orders:
    """The newest: of the page's picture, or by themselves."""
    if visit.picture is None:
        return replace(load_page(conn, visit, limit=FIRST), count=store.count_orders(conn, visit.person_id))
    cards = of_picture(visit)
    return _page(cards, FIRST, visit.picture.worth[0].orders or len(cards))


def of_picture(visit: Visit) -> list[OrderCard]:
    """Those that the whole page has read; put together once for all cards."""
    if visit.orders is None:
        assert visit.picture is not None  # noqa: S101 - cards are loaded behind the door
        visit.orders = gather(visit.picture)
    return visit.orders


def load_page(
    conn: Connection, visit: Visit, before: Place | None = None, words: str = "", limit: int = PAGE
) -> Orders:
    """A page of all orders, or of those that say `words`."""
    found = store.list_orders(conn, visit.person_id, before=before, words=words, limit=limit + 1)
    return _page(gather(found), limit, 0, words)


def _page(cards: list[OrderCard], limit: int, count: int, words: str = "") -> Orders:
    shown = cards[:limit]
    last = write_place(shown[-1].ordered_at, shown[-1].id) if len(cards) > limit else None
    return Orders(shown, last, count, words)


def gather(parts: Row[Any]) -> list[OrderCard]:
    """Orders with their lines, parcels and cases put together. Pure."""
    lines = _by_order(parts.lines, attrgetter("position", "line_key"))
    parcels = _by_order(parts.parcels, attrgetter("tracking_no", "carrier_code"))
    cases = _by_order(parts.refunds, attrgetter("refund_no"))
    rows = {row.id: row for row in parts.orders}.values()
    newest = sorted(rows, key=lambda row: (row.ordered_at is not None, row.ordered_at, row.id), reverse=True)
    return [_card(row, lines[row.id], parcels[row.id], cases[row.id]) for row in newest]


def _by_order(rows: Iterable[Any], key: Callable[[Any], Any]) -> dict[int, list[Any]]:
    """Each once, in the order of its key."""
    found: dict[int, dict[Any, Any]] = defaultdict(dict)
    for row in rows:
        found[row.order_id][key(row)] = row
    return defaultdict(list, {order_id: [each[name] for name in sorted(each)] for order_id, each in found.items()})


def _card(row: Any, lines: list[Any], parcels: list[Any], cases: list[Any]) -> OrderCard:
    return OrderCard(
        id=row.id,
        channel=order_words.channel(row.channel),
        channel_key=row.channel,
        order_no=row.order_no,
        status=row.status,
        ordered_at=row.ordered_at,
        is_delivered=row.delivered_at is not None,
        paid_fen=row.paid_fen,
        payable_fen=row.payable_fen,
        refunded_fen=row.refunded_fen,
        state=order_words.order_state(row.status, row.delivered_at, row.raw_status),
        aftersale=order_words.aftersale_state(row.aftersale_status),
        has_open_case=row.aftersale_status == "open",
        bound=order_words.bound_by(row.bound_by, row.binder or ""),
        is_bound_by_hand=row.bound_by == "staff",
        goods=lines,
        parcels=[
            Parcel(
                number=each.tracking_no,
                carrier=each.carrier_name,
                key=each.state,
                state=order_words.parcel_state(each.state),
                at=each.state_at or each.shipped_at,
            )
            for each in parcels
        ],
        cases=[
            Case(
                kind=order_words.refund_kind(each.type),
                is_open=each.status in REFUND_OPEN,
                state=order_words.refund_state(each.status, each.raw_status),
                amount_fen=each.amount_fen,
                reason=each.reason,
                at=each.created_at,
            )
            for each in cases
        ],
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several orders with the same number."""

    id: int
    channel: str
    goods: str
