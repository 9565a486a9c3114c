"""What holds a playbook back: its guards as authors write them."""

from scrm.sop import timing
from scrm.sop.reading import Reader, is_none
from scrm.sop.schema import Guards, Window
from scrm.sop.source import Node


class GuardsReader(Reader):
    """Reads guards."""

    def guards(self, node: Node) -> Guards:
        parts = self.mapping(node, "guards", ("quiet", "cap", "max_pushes"))
        if "cap" in parts and parts["cap"].value not in ("inherit", "none", None):
            self.note(parts["cap"].line, "cap 的具体数字还不支持，请写 inherit 或 none")
        most = parts["max_pushes"].value if "max_pushes" in parts else None
        if "max_pushes" in parts and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
            self.note(parts["max_pushes"].line, f"max_pushes 要写 1 以上的整数，写的是“{most}”")
            most = None
        return Guards(self.quiet(parts["quiet"]) if "quiet" in parts else None, most)

    def quiet(self, node: Node) -> Window | str | None:
        if node.value == "inherit":
            return None
        if is_none(node):
            return "none"
        return self.read(node, "quiet", timing.parse_window)
