"""What holds a playbook back: its guards as authors write them."""

from typing import Any

from scrm.sop import timing
from scrm.sop.schema import Caps, Guards, Window
from scrm.sop.text.reading import Reader, is_none
from scrm.sop.text.source import Node

OPTOUTS = ("birthday", "live", "promo")
_KEYS = ("quiet", "cap", "max_pushes", "brake", "optout", "queue", "value")
_CAPS = ("gap", "per_week", "per_month")


class GuardsReader(Reader):
    """Reads guards."""

    def guards(self, node: Node) -> Guards:
        parts = self.mapping(node, "guards", _KEYS)
        return Guards(
            quiet=self.quiet(parts["quiet"]) if "quiet" in parts else None,
            max_pushes=self.at_least_one(parts["max_pushes"], "max_pushes") if "max_pushes" in parts else None,
            cap=self.cap(parts["cap"]) if "cap" in parts else None,
            brake=self._inherited(parts.get("brake"), "brake", "售后、会话中也照发"),
            optout=self._optout(parts.get("optout")),
            queue=self._inherited(parts.get("queue"), "queue", "不排队，和其他生命周期剧本同时进行"),
            value=self._value(parts.get("value")),
        )

    def quiet(self, node: Node) -> Window | str | None:
        if node.value == "inherit":
            return None
        if is_none(node):
            return "none"
        return self.read(node, "quiet", timing.parse_window)

    def cap(self, node: Node) -> Caps | str | None:
        if node.value in ("inherit", None):
            return None
        if is_none(node):
            return "none"
        if not isinstance(node.value, dict):
            self.note(node.line, "cap 要写 inherit、none，或 {gap: 24h, per_week: 3, per_month: 8}")
            return None
        parts = self.mapping(node, "cap", _CAPS)
        gap = self.read(parts["gap"], "cap 的 gap", timing.parse_duration) if "gap" in parts else None
        counts = {
            name: self.at_least_one(parts[name], f"cap 的 {name}")
            for name in ("per_week", "per_month")
            if name in parts
        }
        return Caps(gap, counts.get("per_week"), counts.get("per_month"))

    def at_least_one(self, node: Node, title: str) -> int | None:
        """A cap of 0 would mean “never”, which nobody means: it is refused."""
        value: Any = node.value
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return value
        more = "。0 不表示“不限”，也不该表示“永远不发”：不限请写 cap: none，不发请停用剧本" if value == 0 else ""
        self.note(node.line, f"{title} 要写 1 以上的整数，写的是“{value}”{more}")
        return None

    def _inherited(self, node: Node | None, name: str, meaning: str) -> str | None:
        if node is None or node.value == "inherit":
            return None
        if is_none(node):
            return "none"
        self.note(node.line, f"{name} 只能写 inherit 或 none（{meaning}），写的是“{node.value}”")
        return None

    def _optout(self, node: Node | None) -> str:
        if node is None or node.value in OPTOUTS:
            return str(node.value) if node is not None else ""
        self.note(node.line, f"optout 只能写 {'、'.join(OPTOUTS)}，写的是“{node.value}”")
        return ""

    def _value(self, node: Node | None) -> int:
        if node is None:
            return 0
        if isinstance(node.value, int) and not isinstance(node.value, bool) and node.value >= 0:
            return node.value
        self.note(node.line, f"value 要写预期价值（元，整数），写的是“{node.value}”")
        return 0
