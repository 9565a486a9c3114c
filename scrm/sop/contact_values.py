"""What is known of the variables for one customer whose chat is open: no run, no event, the newest coupon they can use."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection

from scrm.commerce.coupons import store as coupons
from scrm.content.attachments import coupon_values
from scrm.sop.facts import Due
from scrm.sop.values import SOURCES, Shop
from scrm.sop.values.ready import Asked

_OF_COUPONS = "coupon."


@dataclass(frozen=True, slots=True)
class Contact:
    """Who is spoken to and who speaks; in the shape of a run, which has no key and no event."""

    person_id: int
    userid: str
    external_userid: str
    id: int = 0
    run_key: str = ""
    event_id: int | None = None


@dataclass(frozen=True, slots=True)
class _Asking:
    row: Contact


def values_of(conn: Connection, contact: Contact, named: Collection[str], shop: Shop, now: datetime) -> dict[str, Any]:
    """By key; only what the texts name is asked for."""
    values: dict[str, Any] = {"shop": shop.name}
    asked = Asked(cast("list[Due]", [_Asking(contact)]), named, shop, now)
    for source in SOURCES:
        if any(source.knows(key) for key in named):
            for _, found in source.load(conn, asked):
                values |= found
    if any(key.startswith(_OF_COUPONS) for key in named):
        values |= _coupon(conn, contact.person_id, shop, now)
    return values


def _coupon(conn: Connection, person_id: int, shop: Shop, now: datetime) -> dict[str, str]:
    for issue in coupons.list_coupons(conn, person_id, limit=20):
        if issue.state_at(now) == "issued":
            return coupon_values(coupons.card(issue, shop.public_url), zone=shop.zone)
    return {}
