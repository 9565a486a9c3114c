"""A person opened what a member had sent."""

from scrm.events import Event
from scrm.sop.schema import Trigger
from scrm.sop.triggers.facts import fits

name = "message.radar_opened"
title = "客户看了雷达内容"
where = {"content": "内容编号", "userid": "员工账号"}


def matches(trigger: Trigger, event: Event) -> bool:
    return event.name == name and fits(trigger.where, {"userid": event.userid, **event.facts})
