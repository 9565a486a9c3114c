"""A member's level rose or fell."""

from scrm.events import Event
from scrm.sop.schema import Trigger
from scrm.sop.triggers.facts import fits

name = "level.changed"
title = "会员等级变动"
where: dict[str, str] = {"direction": "升（up）或降（down）", "to": "到哪个等级", "from": "从哪个等级"}


def matches(trigger: Trigger, event: Event) -> bool:
    return event.name == name and fits(trigger.where, event.facts)
