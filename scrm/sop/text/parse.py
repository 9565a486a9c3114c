"""Playbooks as authors write them: YAML text to a Playbook, or every problem in the author's words."""

from typing import Any

from scrm.sop.life import library
from scrm.sop.schema import Guards, Playbook, Trigger, steps_of
from scrm.sop.text import checks
from scrm.sop.text.approval import ApprovalReader
from scrm.sop.text.coupons import CouponsReader
from scrm.sop.text.guards import GuardsReader
from scrm.sop.text.reading import KEY, KEY_RULE, Known, PlaybookErrors, Problem, is_none
from scrm.sop.text.source import Node, SourceError, read_source
from scrm.sop.text.steps import StepsReader
from scrm.sop.text.trigger import TriggerReader, with_lead

PLAYBOOK_KEYS = (
    "playbook",
    "title",
    "description",
    "version",
    "priority",
    "owner_role",
    "trigger",
    "run_key",
    "reentry",
    "enter_if",
    "exit_if",
    "goal",
    "guards",
    "holdout",
    "approval",
    "coupons",
    "steps",
    "tests",
)
PRIORITIES = ("P0", "P1", "P2", "P3", "P4", "P5")


def parse_playbook(text: str, *, file_name: str, known: Known | None = None) -> Playbook:
    """A checked playbook without a version number; raises PlaybookErrors with all problems at once."""
    try:
        root = read_source(text)
    except SourceError as error:
        raise PlaybookErrors(file_name, [Problem(error.line, error.text)]) from None
    reader = _Reader(known or Known())
    playbook = reader.playbook(root, text)
    if playbook is None or reader.problems:
        raise PlaybookErrors(file_name, reader.problems)
    return playbook


class _Reader(TriggerReader, GuardsReader, ApprovalReader, CouponsReader, StepsReader):
    """Reads the whole, with what each part is read by."""

    def playbook(self, root: Node, text: str) -> Playbook | None:
        parts = self.mapping(root, "剧本", PLAYBOOK_KEYS)
        if not isinstance(root.value, dict):
            return None
        lacking = [key for key in _REQUIRED if key not in parts]
        for key in lacking:
            self.note(root.line, f"缺少 {key}：{_REQUIRED[key]}")
        # What is there is read all the same: the author hears of everything at once.
        parts = {**parts, **{key: Node(_STAND_IN[key], root.line, {}) for key in lacking}}
        reentry, every = self.reentry(parts["reentry"])
        trigger = self.trigger(parts["trigger"]) if "trigger" not in lacking else Trigger("")
        body = self.parts(parts["steps"]) if "steps" not in lacking else ()
        playbook = Playbook(
            key=self.text(parts["playbook"], "playbook", KEY, KEY_RULE),
            title=self.text(parts["title"], "title"),
            description=self.text(parts["description"], "description") if "description" in parts else "",
            priority=self.choice(parts["priority"], "priority", PRIORITIES) if "priority" in parts else "P3",
            owner_role=self.text(parts["owner_role"], "owner_role", most=20) if "owner_role" in parts else "",
            trigger=with_lead(trigger, steps_of(body)),
            run_key=self.run_key(parts["run_key"], trigger),
            reentry=reentry,
            reentry_every=every,
            enter_if=self.condition(parts.get("enter_if")),
            exit_if=None if is_none(parts["exit_if"]) else self.condition(parts["exit_if"]),
            goal=None if is_none(parts["goal"]) else self.goal(parts["goal"]),
            guards=self.guards(parts["guards"]) if "guards" in parts else Guards(),
            coupons=self.coupons(parts["coupons"]) if "coupons" in parts else (),
            steps=tuple(steps_of(body)),
            parts=body,
            holdout=self.holdout(parts["holdout"]) if "holdout" in parts else None,
            approval=self.approval(parts["approval"]) if "approval" in parts else None,
            tests=self.tests(parts["tests"]) if "tests" in parts else (),
            source=text,
            digest=library.digest_of(text, self.named),
            contents=self.named,
            lines=root.lines,
        )
        self.check_whole(root, parts, playbook)
        return playbook

    def holdout(self, node: Node) -> float:
        return 0.0 if node.value == "none" else self.share(node, "holdout")

    def tests(self, node: Node) -> tuple[dict[str, Any], ...]:
        tests = []
        for part in self.sequence(node, "tests"):
            self.mapping(part, "tests", ("name", "given", "staff", "until", "holdout", "arms", "expect"))
            for key in ("name", "given", "expect"):
                if not isinstance(part.value, dict) or key not in part.value:
                    self.note(part.line, f"这个测试缺少 {key}")
            if isinstance(part.value, dict):
                tests.append({**part.plain(), "line": part.line})
        return tuple(tests)

    def check_whole(self, root: Node, parts: dict[str, Node], playbook: Playbook) -> None:
        """What only shows when the parts are seen together; only when those that are looked at are sound."""
        if not self.unsound(root) & _SEEN_TOGETHER and playbook.trigger.event and playbook.steps:
            for line, text in checks.check_playbook(playbook, self.known.coupons, self.known.quiet):
                self.note(line or root.line, text)

    def unsound(self, root: Node) -> set[str]:
        """The keys of the text that have a problem."""
        starts = sorted((line, key) for key, line in root.lines.items())
        before = [[key for line, key in starts if line <= problem.line] for problem in self.problems]
        return {keys[-1] for keys in before if keys}


_SEEN_TOGETHER = frozenset({"trigger", "steps", "coupons", "guards"})
# Read where a key is lacking, and sound by themselves.
_STAND_IN = {
    "playbook": "lacking",
    "title": "lacking",
    "trigger": None,
    "run_key": "person",
    "reentry": "never",
    "exit_if": "none",
    "goal": "none",
    "steps": None,
}

# What authors have to decide, and why.
_REQUIRED = {
    "playbook": "固定不变的编号，例如 new-customer",
    "title": "给人看的名称",
    "trigger": "什么事件让客户进入",
    "run_key": "怎样算同一次：person（每人一次）、order（每单一次）、person+year（每人每年一次）",
    "reentry": "能不能再次进入：never、per_key 或 {every: 120d}",
    "exit_if": "什么情况下提前退出；没有就写 none",
    "goal": "达成什么算成功，例如 {event: order.paid, within: 7d}；没有就写 none",
    "steps": "要做的每一步",
}
