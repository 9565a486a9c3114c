"""A customer came into a customer group."""

from scrm.events import Event
from scrm.sop.schema import Trigger
from scrm.sop.triggers.facts import fits

name = "group.joined"
title = "客户加入了客户群"
where = {"chat_id": "客户群 ID", "state": "群活码的 state", "owner": "群主账号", "join_scene": "入群方式"}


def matches(trigger: Trigger, event: Event) -> bool:
    """Who was in the group before we looked starts nothing."""
    return event.name == name and not event.facts.get("historic") and fits(trigger.where, event.facts)
