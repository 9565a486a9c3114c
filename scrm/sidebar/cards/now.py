"""What is under way with this person: unpaid, on its way, in dispute, about to expire, still to be said."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from scrm.settings import Settings
from scrm.sidebar.cards import coupons as coupon_cards
from scrm.sidebar.cards import orders as order_cards
from scrm.sidebar.cards.orders import OrderCard, Parcel
from scrm.sidebar.cards.visit import Visit
from scrm.sop.reasons.running import Running, tell_running
from scrm.sop.shelf import find_version

# Older orders are done with, whatever their shop forgot to say.
LIVE = timedelta(days=60)
# A coupon that ends sooner is worth a word today.
SOON = timedelta(days=3)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Unpaid:
    """An order that waits for its money; `closes_at` when its shop gives it up, None when nobody knows."""

    order: OrderCard
    closes_at: datetime | None


@dataclass(frozen=True, slots=True)
class Now:
    """Nothing in it: nothing is shown."""

    unpaid: list[Unpaid]
    parcels: list[tuple[OrderCard, Parcel]]
    aftersales: list[OrderCard]
    coupons: list[coupon_cards.CouponView]
    runs: list[Running]

    def __bool__(self) -> bool:
        return bool(self.unpaid or self.parcels or self.aftersales or self.coupons or self.runs)


def load(conn: Connection, visit: Visit) -> Now:
    """Of the page's picture."""
    assert visit.picture is not None  # noqa: S101 - cards are loaded behind the door
    live = [
        card
        for card in order_cards.of_picture(visit)
        if card.ordered_at is not None and card.ordered_at > visit.now - LIVE
    ]
    runs = tell_running(
        visit.picture.runs, lambda key, version: find_version(conn, visit.rules.published, key, version)
    )
    return Now(
        unpaid=list(_unpaid(live, visit)),
        parcels=[(card, parcel) for card in live for parcel in card.parcels if _is_awaited(card, parcel)],
        aftersales=[card for card in live if card.has_open_case],
        coupons=[each for each in coupon_cards.load(conn, visit).rows if _ends_soon(each, visit.now)],
        runs=runs,
    )


def _unpaid(live: list[OrderCard], visit: Visit) -> Iterator[Unpaid]:
    """Those whose time is over have been closed, though their shop has not told us yet."""
    for card in live:
        if card.status != "pending_payment" or card.ordered_at is None:
            continue
        stays = stays_for(visit.settings, card.channel_key)
        closes_at = card.ordered_at + stays if stays else None
        if closes_at is None or closes_at > visit.now:
            yield Unpaid(card, closes_at)


def _is_awaited(card: OrderCard, parcel: Parcel) -> bool:
    """What is on its way; an order that its buyer has received says so before its parcel does."""
    return parcel.is_on_its_way and card.status in ("partially_shipped", "shipped") and not card.is_delivered


def stays_for(settings: Settings, channel: str) -> timedelta | None:
    """How long this channel keeps an unpaid order."""
    said = settings.orders.unpaid_closes
    time = said.get(channel) or said.get("default", "")
    found = re.fullmatch(r"(\d+)([mhd])", time)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def _ends_soon(coupon: coupon_cards.CouponView, now: datetime) -> bool:
    return coupon.can_send and coupon.expires_at is not None and coupon.expires_at - now < SOON
