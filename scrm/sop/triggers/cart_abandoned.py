"""A known person put something into the cart and left it there."""

from scrm.events import Event
from scrm.sop.schema import Trigger
from scrm.sop.triggers.facts import fits

name = "cart.abandoned"
title = "加购后没有下单"
where = {"sku": "商品编码", "category": "商品类目", "source": "来自哪里"}


def matches(trigger: Trigger, event: Event) -> bool:
    return event.name == name and fits(trigger.where, event.facts)
