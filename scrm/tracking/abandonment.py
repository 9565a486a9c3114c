"""Carts, checkouts and looks that led to nothing: decided by pure rules, looked at when the time has come."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from scrm import events
from scrm.commerce.models import order_line, orders
from scrm.profiles import redirects
from scrm.services import Services
from scrm.tracking.models import tracked_event
from scrm.tracking.reading import Told
from scrm.work import queue

KIND = "tracking.abandoned"

CART_QUIET = timedelta(minutes=60)
CHECKOUT_WAITS = timedelta(minutes=30)
BROWSE_WAITS = timedelta(hours=2)
BROWSE_LOOKS = 2
WINDOW = timedelta(hours=24)
_MOST_EVENTS = 2000
# Activity of one piece of time is looked at once.
_SLOT = 600

_WATCHED = {
    "cart.added": ("cart", CART_QUIET),
    "checkout.started": ("checkout", CHECKOUT_WAITS),
    "product.viewed": ("browse", BROWSE_WAITS),
}
EVENT_OF = {"cart": "cart.abandoned", "checkout": "checkout.abandoned", "browse": "browse.abandoned"}


@dataclass(frozen=True, slots=True)
class Act:
    """What a person did, as the rules see it."""

    event_id: str
    name: str
    at: datetime
    skus: frozenset[str]
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bought:
    """A paid order: when it was paid and what is in it."""

    at: datetime
    skus: frozenset[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`act` is what was abandoned; `again_at` is when to look once more; neither: there is nothing to tell."""

    act: Act | None = None
    again_at: datetime | None = None


def watch(conn: Connection, acts: Iterable[tuple[Told, int]], *, now: datetime) -> None:
    """See to it that somebody looks when these acts have had their time."""
    due: dict[str, queue.Item] = {}
    for told, person_id in acts:
        if told.name in _WATCHED and told.occurred_at > now - WINDOW:
            kind, waits = _WATCHED[told.name]
            item = _look_at(kind, person_id, told.occurred_at + waits, "")
            due[str(item.dedupe_key)] = item
    for item in due.values():
        queue.add(conn, item, now=now)


def _look_at(kind: str, person_id: int, moment: datetime, again: str) -> queue.Item:
    """All acts of one slot are looked at together, at its end."""
    slot = int(moment.timestamp()) // _SLOT + 1
    return queue.Item(
        lane="event",
        kind=KIND,
        payload={"person_id": person_id, "kind": kind},
        due_at=datetime.fromtimestamp(slot * _SLOT, moment.tzinfo),
        order_key=f"abandoned:{person_id}",
        dedupe_key=f"abandoned:{kind}:{person_id}:{slot}{again}",
    )


async def run_look(services: Services, item: queue.Claimed) -> None:
    """Work of kind "tracking.abandoned": tell it when it is so."""
    await services.db.write(look, str(item.payload["kind"]), int(item.payload["person_id"]), services.clock.now())


def look(conn: Connection, kind: str, person_id: int, now: datetime) -> bool:
    """True when something was abandoned and had not been told."""
    person_id = redirects.follow(conn, person_id)
    if _was_told(conn, EVENT_OF[kind], person_id, now):
        return False
    acts, bought = list_acts(conn, person_id, now), list_orders(conn, person_id, now)
    verdict = RULES[kind](acts, bought, now)
    if verdict.again_at is not None:
        queue.add(conn, _look_at(kind, person_id, verdict.again_at, ":again"), now=now)
    if verdict.act is None:
        return False
    told = events.Event(
        name=EVENT_OF[kind],
        occurred_at=now,
        person_id=person_id,
        key=verdict.act.event_id,
        facts=verdict.act.facts,
        once=f"{EVENT_OF[kind]}:{verdict.act.event_id}",
    )
    return bool(events.publish(conn, [told], now=now))


# Rules (commerce 3.4), pure -------------------------------------------------------------------------------------------


def cart(acts: Sequence[Act], bought: Sequence[Bought], now: datetime) -> Verdict:
    """Something lies in the cart for an hour, nobody went to pay, and the person is quiet for an hour."""
    lying = _lying(acts)
    if not lying:
        return Verdict()
    last = lying[-1]
    if any(act.name in ("checkout.started", "order.paid") and _concerns(act, last) for act in acts):
        return Verdict()
    if _is_bought(lying, bought):
        return Verdict()
    quiet_since = max(act.at for act in acts)
    if now - quiet_since < CART_QUIET:
        return Verdict(again_at=quiet_since + CART_QUIET)
    return Verdict(act=last)


def checkout(acts: Sequence[Act], bought: Sequence[Bought], now: datetime) -> Verdict:
    """Somebody went to pay and did not, for half an hour."""
    started = [act for act in acts if act.name == "checkout.started"]
    if not started or now - started[-1].at < CHECKOUT_WAITS:
        return Verdict()
    last = started[-1]
    if any(act.name == "order.paid" and act.at >= last.at for act in acts) or _is_bought([last], bought):
        return Verdict()
    return Verdict(act=last)


def browse(acts: Sequence[Act], bought: Sequence[Bought], now: datetime) -> Verdict:
    """The same person looked at goods twice or more and put none into the cart for two hours."""
    looks = [act for act in acts if act.name == "product.viewed"]
    if len(looks) < BROWSE_LOOKS or now - looks[-1].at < BROWSE_WAITS:
        return Verdict()
    after = [act for act in acts if act.name in ("cart.added", "checkout.started", "order.paid")]
    if any(act.at >= looks[0].at for act in after) or any(one.at >= looks[0].at for one in bought):
        return Verdict()
    favourite = Counter(act.skus for act in looks).most_common(1)[0][0]
    return Verdict(act=next(act for act in reversed(looks) if act.skus == favourite))


RULES = {"cart": cart, "checkout": checkout, "browse": browse}


def _lying(acts: Sequence[Act]) -> list[Act]:
    """What was put into the cart and not taken out again."""
    lying: list[Act] = []
    for act in acts:
        if act.name == "cart.added":
            lying.append(act)
        elif act.name == "cart.removed":
            lying = [one for one in lying if act.skus and not act.skus & one.skus]
    return lying


def _concerns(act: Act, last: Act) -> bool:
    """A later step about the same goods, or one that does not say about which."""
    return act.at >= last.at and (not act.skus or not last.skus or bool(act.skus & last.skus))


def _is_bought(lying: Sequence[Act], bought: Sequence[Bought]) -> bool:
    skus = frozenset().union(*(act.skus for act in lying))
    return any(
        one.at >= lying[0].at - timedelta(minutes=1) and (not skus or not one.skus or bool(skus & one.skus))
        for one in bought
    )


# What the rules are given ---------------------------------------------------------------------------------------------


def list_acts(conn: Connection, person_id: int, now: datetime) -> list[Act]:
    """The person's acts of a day, the oldest first."""
    rows = conn.execute(
        select(tracked_event)
        .where(tracked_event.c.person_id == person_id, tracked_event.c.occurred_at > now - WINDOW)
        .order_by(tracked_event.c.occurred_at.desc(), tracked_event.c.id.desc())
        .limit(_MOST_EVENTS)
    ).all()
    return [Act(row.event_id, row.name, row.occurred_at, _skus(row.facts), row.facts) for row in reversed(rows)]


def _skus(facts: dict[str, Any]) -> frozenset[str]:
    things = [facts, *(facts.get("items") or ())]
    return frozenset(str(thing[key]) for thing in things for key in ("sku", "product_id") if thing.get(key))


def list_orders(conn: Connection, person_id: int, now: datetime) -> list[Bought]:
    """The orders that the person paid within a day."""
    rows = conn.execute(
        select(
            orders.c.id,
            orders.c.ordered_at,
            orders.c.paid_at,
            order_line.c.merchant_sku,
            order_line.c.platform_sku_id,
            order_line.c.platform_item_id,
        )
        .outerjoin(order_line, order_line.c.order_id == orders.c.id)
        .where(orders.c.person_id == person_id, orders.c.paid_at > now - WINDOW)
    )
    found: dict[int, tuple[datetime, set[str]]] = {}
    for row in rows:
        _, skus = found.setdefault(row.id, (row.paid_at or row.ordered_at, set()))
        skus |= {sku for sku in (row.merchant_sku, row.platform_sku_id, row.platform_item_id) if sku}
    return [Bought(at, frozenset(skus)) for at, skus in found.values()]


def _was_told(conn: Connection, name: str, person_id: int, now: datetime) -> Row[Any] | None:
    told = events.event
    return conn.execute(
        select(told.c.id)
        .where(told.c.person_id == person_id, told.c.name == name, told.c.occurred_at > now - WINDOW)
        .limit(1)
    ).one_or_none()
