"""Events as authors name them, and what they narrow them by; triggers, goals and waits do."""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

from scrm.profiles.conditions.tree import EVENTS, OWN_EVENT
from scrm.sop.text.reading import Reader, shown
from scrm.sop.text.source import Node
from scrm.sop.triggers import ALIASES, find_trigger

_CLOSE = 5


class EventReader(Reader):
    """Reads names of events and their where."""

    def event(self, node: Node, what: str) -> str:
        """The name of an event that may happen, the shop's own included."""
        written = str(node.value)
        name = ALIASES.get(written, written)
        if name in EVENTS or OWN_EVENT.fullmatch(name):
            return name
        self.note(node.line, f"{what} 不认识“{shown(node)}”，{hint_at(written, EVENTS)}")
        return next(iter(EVENTS))

    def where(self, node: Node, event: str) -> dict[str, tuple[Any, ...]]:
        trigger = find_trigger(event)
        if trigger is None or trigger.is_open:
            asked = node.value if isinstance(node.value, dict) else self.mapping(node, "where", ())
        elif not trigger.where:
            self.note(node.line, f"{event} 没有可以筛选的内容，请把 where 整行删掉；要筛选客户请写 enter_if")
            return {}
        else:
            asked = self.mapping(node, f"{event} 的 where", tuple(trigger.where))
        if not node.value:
            self.note(node.line, "where 是空的；不需要筛选就整行删掉")
        found = {}
        for key, part in asked.items():
            values = part.plain() if isinstance(part.value, list) else [part.value]
            if not values or not all(isinstance(value, str | int | bool) for value in values):
                self.note(part.line, f"where 里的 {key} 要写一个值或一个列表，不能是空的")
            found[key] = tuple(values)
        return found


def hint_at(written: str, names: Collection[str]) -> str:
    """What the author may have meant; of seventy names only the close ones help."""
    if written.startswith("custom."):
        return "自有事件写成 custom. 加小写字母开头的名称，只用小写字母、数字、_ 和 .，例如 custom.skin_tested"
    close = get_close_matches(written, names, n=_CLOSE, cutoff=0.5)
    return f"是不是想写 {'、'.join(close)}？" if close else f"可用的有 {'、'.join(names)}"
