"""A coupon that nobody used will end soon."""

from scrm.events import Event
from scrm.sop.schema import Trigger
from scrm.sop.triggers.facts import fits

name = "coupon.expiring"
title = "优惠券快到期"
where: dict[str, str] = {"batch": "券批次"}


def matches(trigger: Trigger, event: Event) -> bool:
    return event.name == name and fits(trigger.where, event.facts)
