"""A member's points will end soon."""

from scrm.events import Event
from scrm.sop.schema import Trigger
from scrm.sop.triggers.facts import fits

name = "points.expiring"
title = "积分快到期"
where: dict[str, str] = {}


def matches(trigger: Trigger, event: Event) -> bool:
    return event.name == name and fits(trigger.where, event.facts)
