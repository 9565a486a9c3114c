"""A known person received the parcels of an order."""

from scrm.events import Event
from scrm.sop.schema import Trigger
from scrm.sop.triggers.facts import fits

name = "order.delivered"
title = "订单已签收"
where = {"channel": "下单平台", "shop_key": "店铺"}


def matches(trigger: Trigger, event: Event) -> bool:
    """Parcels that arrived long before we heard of them start nothing."""
    return event.name == name and not event.facts.get("historic") and fits(trigger.where, event.facts)
