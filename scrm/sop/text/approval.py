"""Above how many people in 30 days a manager approves a text before it is published."""

from scrm.sop.text.reading import Reader, shown
from scrm.sop.text.source import Node


class ApprovalReader(Reader):
    """Reads approval."""

    def approval(self, node: Node) -> int | None:
        parts = self.mapping(node, "approval", ("audience",))
        if "audience" not in parts:
            self.note(node.line, "approval 要写 {audience: 500}：30 天预计超过多少人要批准")
            return None
        most = parts["audience"].value
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            self.note(parts["audience"].line, f"audience 要写 1 以上的整数，写的是“{shown(parts['audience'])}”")
            return None
        return most
