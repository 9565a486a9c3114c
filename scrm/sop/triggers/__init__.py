"""The events that may start a playbook: one module and one line for each."""

from typing import Protocol

from scrm.events import Event
from scrm.sop.schema import Trigger as Wanted
from scrm.sop.triggers import (
    cart_abandoned,
    contact_added,
    coupon_expiring,
    group_joined,
    level_changed,
    order_delivered,
    order_paid,
    points_expiring,
    radar_opened,
)


class Trigger(Protocol):
    """What a trigger module offers: the event's name, its Chinese title, what `where` may ask, and the match."""

    name: str
    title: str
    where: dict[str, str]

    def matches(self, trigger: Wanted, event: Event) -> bool: ...


TRIGGERS: tuple[Trigger, ...] = (
    contact_added,
    group_joined,
    order_paid,
    order_delivered,
    cart_abandoned,
    radar_opened,
    coupon_expiring,
    points_expiring,
    level_changed,
)

_BY_NAME = {trigger.name: trigger for trigger in TRIGGERS}


def find_trigger(name: str) -> Trigger | None:
    return _BY_NAME.get(name)


def starts(wanted: Wanted, event: Event) -> bool:
    """Whether this event starts a playbook with that trigger; an unknown trigger is started by nothing."""
    trigger = find_trigger(wanted.event)
    return trigger is not None and trigger.matches(wanted, event)
