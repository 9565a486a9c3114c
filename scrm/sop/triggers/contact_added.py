"""A customer became a member's contact."""

from scrm.events import Event
from scrm.sop.schema import Trigger
from scrm.sop.triggers.facts import fits

name = "contact.added"
title = "客户添加了员工"
where = {
    "state": "渠道码的 state",
    "channel.kind": "渠道类型",
    "channel.title": "渠道名称",
    "userid": "员工账号",
    "add_way": "添加方式",
}


def matches(trigger: Trigger, event: Event) -> bool:
    """A customer who was there before we looked (a first sync) starts nothing."""
    if event.name != name or event.facts.get("historic"):
        return False
    return fits(trigger.where, {"userid": event.userid, **event.facts})
