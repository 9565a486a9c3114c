"""What starts a playbook, how runs are told apart, and what they are there for."""

import re
from datetime import timedelta
from typing import Any

from scrm.profiles.conditions import EVENTS
from scrm.sop import timing
from scrm.sop.reading import Reader, shown
from scrm.sop.schema import Goal, Trigger
from scrm.sop.source import Node
from scrm.sop.triggers import TRIGGERS, find_trigger

RUN_KEYS = ("person", "order", "coupon")
LATER_RUN_KEYS = ("sku_family", "live", "person+year", "parcel", "product", "case", "batch")


class TriggerReader(Reader):
    """Reads trigger, reentry and goal."""

    def trigger(self, node: Node) -> Trigger:
        parts = self.mapping(node, "trigger", ("event", "where"))
        if "event" not in parts:
            self.note(node.line, f"trigger 缺少 event，可用的有 {'、'.join(each.name for each in TRIGGERS)}")
            return Trigger("")
        names = [each.name for each in TRIGGERS]
        event = self.choice(parts["event"], "trigger 的 event", names, [name for name in EVENTS if name not in names])
        return Trigger(event, self.where(parts["where"], event) if "where" in parts else {})

    def where(self, node: Node, event: str) -> dict[str, tuple[Any, ...]]:
        trigger = find_trigger(event)
        asked = self.mapping(node, f"{event} 的 where", tuple(trigger.where) if trigger else ())
        if not node.value:
            self.note(node.line, "where 是空的；不需要筛选就整行删掉")
        found = {}
        for key, part in asked.items():
            values = part.plain() if isinstance(part.value, list) else [part.value]
            if not values or not all(isinstance(value, str | int | bool) for value in values):
                self.note(part.line, f"where 里的 {key} 要写一个值或一个列表，不能是空的")
            found[key] = tuple(values)
        return found

    def reentry(self, node: Node) -> tuple[str, timedelta | None]:
        if isinstance(node.value, dict):
            parts = self.mapping(node, "reentry", ("every",))
            return "every", self.read(parts["every"], "reentry", timing.parse_duration) if parts else None
        if isinstance(node.value, str) and (found := re.fullmatch(r"every:?\s+(\S+)", node.value)):
            return "every", self.read(Node(found[1], node.line, {}), "reentry", timing.parse_duration)
        if node.value not in ("never", "per_key"):
            self.note(node.line, f"reentry 只能是 never、per_key 或 {{every: 120d}}，写的是“{shown(node)}”")
        return str(node.value), None

    def goal(self, node: Node) -> Goal:
        parts = self.mapping(node, "goal", ("event", "within"), {"credit": "归因"})
        if "event" not in parts:
            self.note(node.line, "goal 缺少 event；没有目标就写 goal: none")
            return Goal("")
        event = self.choice(parts["event"], "goal 的 event", EVENTS)
        within = self.read(parts["within"], "goal 的 within", timing.parse_duration) if "within" in parts else None
        return Goal(event, within)
