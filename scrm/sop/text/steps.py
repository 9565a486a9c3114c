"""What a playbook does, step by step, with its branches, splits and waits."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from scrm.sop import timing
from scrm.sop.actions import ACTIONS, find_action
from scrm.sop.calendar import workdays
from scrm.sop.channels import channel_of
from scrm.sop.schema import Arm, Branch, Channel, Late, Part, Split, Step, Wait, When, arms_of, steps_of
from scrm.sop.text.contents import ContentReader
from scrm.sop.text.events import EventReader
from scrm.sop.text.reading import KEY, KEY_RULE, Known, is_none
from scrm.sop.text.source import Node

STEP_KEYS = ("id", "title", "at", "window", "only", "channel", "if", "late", "ttl", "quiet", "content", "coupon", "do")
WAIT_KEYS = ("id", "event", "where", "for", "timeout", "on_timeout", "then")
BRANCH_KEYS = ("branch", "id", "at", "window", "only")
SPLIT_KEYS = ("split", "id")
BRANCH_ARM_KEYS = ("name", "if", "steps", "else")
SPLIT_ARM_KEYS = ("name", "share", "steps")
MAX_STEPS = 100
MAX_DEPTH = 5
_LATER_STEP_KEYS = {"priority": "步骤优先级"}


class StepsReader(ContentReader, EventReader):
    """Reads the parts of a playbook and what they say and do."""

    def __init__(self, known: Known) -> None:
        super().__init__(known)
        self.unnamed: Counter[str] = Counter()

    def parts(self, node: Node) -> tuple[Part, ...]:
        parts = self.series(node, "steps", 0)
        steps = list(steps_of(parts))
        if len(steps) > MAX_STEPS:
            self.note(node.line, f"有 {len(steps)} 步，最多 {MAX_STEPS} 步")
        seen: set[str] = set()
        for part in every_part(parts):
            if part.id in seen:
                self.note(part.line, f"步骤 id“{part.id}”用了两次，请换一个")
            seen.add(part.id)
        return parts

    def series(self, node: Node, what: str, depth: int) -> tuple[Part, ...]:
        if depth > MAX_DEPTH:
            self.note(node.line, f"分支套了 {depth} 层，最多 {MAX_DEPTH} 层，请拆成两个剧本")
            return ()
        if depth and isinstance(node.value, list) and not node.value:
            return ()  # an arm in which nothing happens
        found = (self.part(part, number, depth) for number, part in enumerate(self.sequence(node, what), 1))
        return tuple(part for part in found if part is not None)

    def part(self, node: Node, number: int, depth: int) -> Part | None:
        forks: Mapping[str, Callable[[Node, int], Part | None]] = {
            "branch": self.branch,
            "split": self.split,
            "wait": self.wait,
        }
        kind = next((key for key in forks if isinstance(node.value, dict) and key in node.value), None)
        return self.step(node, number) if kind is None else forks[kind](node, depth)

    def branch(self, node: Node, depth: int) -> Part | None:
        parts = self.mapping(node, "branch", BRANCH_KEYS)
        branch_id = self.part_id(parts, node, "branch")
        arms: list[Arm] = []
        has_else = False
        for number, each in enumerate(self.sequence(parts["branch"], "branch"), 1):
            arm = self.mapping(each, "分支", BRANCH_ARM_KEYS)
            if has_else:
                self.note(each.line, "else 要写在最后，它后面的分支永远走不到")
            if "else" in arm:
                has_else = True
                if "if" in arm or "steps" in arm:
                    self.note(each.line, "else 的步骤直接写在 else 下面：else: [...]，不再写 if 和 steps")
                name = self.text(arm["name"], "name", most=20) if "name" in arm else "其他"
                arms.append(Arm(name, self.series(arm["else"], "else", depth + 1)))
            elif "if" not in arm or "steps" not in arm:
                self.note(each.line, "每个分支要写 if 和 steps，最后一个可以写 else")
            else:
                name = self.text(arm["name"], "name", most=20) if "name" in arm else f"分支 {number}"
                arms.append(Arm(name, self.series(arm["steps"], "steps", depth + 1), self.condition(arm["if"])))
        self.check_names(node.line, arms)
        return Branch(branch_id, tuple(arms), self.when(parts) if "at" in parts else None, node.line)

    def split(self, node: Node, depth: int) -> Part | None:
        parts = self.mapping(node, "split", SPLIT_KEYS)
        arms: list[Arm] = []
        for number, each in enumerate(self.sequence(parts["split"], "split"), 1):
            arm = self.mapping(each, "分流", SPLIT_ARM_KEYS)
            if "share" not in arm or "steps" not in arm:
                self.note(each.line, "每一路分流要写 share（占多少人，例如 50%）和 steps（什么都不做就写 []）")
                continue
            name = self.text(arm["name"], "name", most=20) if "name" in arm else f"第 {number} 路"
            share = self.share(arm["share"], "share")
            arms.append(Arm(name, self.series(arm["steps"], "steps", depth + 1), share=share))
        self.check_shares(node.line, [arm.share for arm in arms], "各路")
        self.check_names(node.line, arms)
        return Split(self.part_id(parts, node, "split"), tuple(arms), node.line)

    def wait(self, node: Node, depth: int) -> Part | None:
        beside = self.mapping(node, "wait", ("wait", "id"))
        parts = self.mapping(node.value["wait"], "wait", WAIT_KEYS)
        if "id" in beside and "id" in parts:
            self.note(node.line, "wait 的 id 写了两个，请只留一个")
        parts = {**beside, **parts}
        key = "timeout" if "event" in parts else "for"
        if key not in parts or ("for" in parts and "timeout" in parts):
            self.note(
                node.line, "wait 要写 {event: order.paid, timeout: 3d, on_timeout: next}，或只等一段时间 {for: 2h}"
            )
            return None
        event = self.event(parts["event"], "wait 的 event") if "event" in parts else ""
        timeout = self.read(parts[key], f"wait 的 {key}", timing.parse_duration)
        over = parts.get("on_timeout")
        has_steps = over is not None and isinstance(over.value, list)
        if event and over is None:
            self.note(node.line, "wait 缺少 on_timeout：等不到怎么办，next（继续）、end（结束）或一串步骤")
        elif over is not None and not has_steps:
            self.choice(over, "on_timeout", ("next", "end"))
        return Wait(
            id=self.part_id(parts, node, "wait"),
            timeout=timeout or timing.parse_duration("1d"),
            event=event,
            where=self.where(parts["where"], event) if "where" in parts else {},
            ends=over is not None and over.value == "end",
            came=self.series(parts["then"], "then", depth + 1) if "then" in parts else (),
            timed_out=self.series(over, "on_timeout", depth + 1) if over is not None and has_steps else (),
            line=node.line,
        )

    def part_id(self, parts: Mapping[str, Node], node: Node, kind: str) -> str:
        """Its own id, or its number among those of its kind without one: runs know it by that in the next version too."""
        if "id" in parts:
            return self.text(parts["id"], "id", KEY, KEY_RULE)
        self.unnamed[kind] += 1
        return f"{kind}-{self.unnamed[kind]}"

    def check_names(self, line: int, arms: list[Arm]) -> None:
        names = [arm.name for arm in arms]
        for name in {name for name in names if names.count(name) > 1}:
            self.note(line, f"有两路都叫“{name}”，请起不同的 name，结果才分得清")

    def step(self, node: Node, number: int) -> Step | None:
        acts = channel_of(self.letter(node))
        parts = self.mapping(node, f"第 {number} 步", (*STEP_KEYS, *sorted(acts.keys)), _LATER_STEP_KEYS)
        missing = [key for key in ("id", "at", "channel") if key not in parts]
        if missing:
            # What is not supported yet has been said already.
            if isinstance(node.value, dict) and not any(key in _LATER_STEP_KEYS for key in node.value):
                self.note(node.line, f"第 {number} 步缺少 {'、'.join(missing)}")
            return None
        step_id = self.text(parts["id"], "id", KEY, KEY_RULE)
        channel = self.choice(parts["channel"], "channel", [each.value for each in Channel])
        when = self.when(parts)
        title = self.text(parts["title"], "title") if "title" in parts else ""
        step = Step(
            id=step_id,
            when=when,
            channel=Channel(channel),
            title=title or step_id,
            condition=self.condition(parts["if"]) if "if" in parts else None,
            late=Late(self.choice(parts["late"], "late", [each.value for each in Late]))
            if "late" in parts
            else Late.DEFER,
            ttl=self.read(parts["ttl"], "ttl", timing.parse_duration) if "ttl" in parts else None,
            content=self.content(parts),
            act=self.acts(parts["do"]) if "do" in parts else (),
            ignores_quiet="quiet" in parts and self.ignores_quiet(parts["quiet"]),
            line=node.line,
            options={key: parts[key].plain() for key in acts.keys if key in parts},
        )
        if parts["channel"].value == channel:
            for problem in acts.problems(step, parts.keys()):
                self.note(parts["id"].line, problem)
        return step

    def letter(self, node: Node) -> str:
        """What the step says its channel is, before anything else of it is read."""
        channel = node.value.get("channel") if isinstance(node.value, dict) else None
        return str(channel.value) if channel is not None else ""

    def when(self, parts: Mapping[str, Node]) -> When:
        when = self.read(parts["at"], "at", timing.parse_when) or When()
        if "only" in parts:
            when = replace(when, only=self.choice(parts["only"], "only", workdays.ONLY))
        if "window" not in parts:
            return when
        if when.window is not None:
            self.note(parts["window"].line, "时间段在 at 和 window 里各写了一个，请只留一个")
        return replace(when, window=self.read(parts["window"], "window", timing.parse_window))

    def ignores_quiet(self, node: Node) -> bool:
        if node.value != "inherit" and not is_none(node):
            self.note(node.line, "步骤的 quiet 只能是 inherit 或 none；别的静默时段请写在 guards 里")
        return is_none(node)

    def acts(self, node: Node) -> tuple[dict[str, Any], ...]:
        names = [action.name for action in ACTIONS]
        acts = []
        for part in self.sequence(node, "do"):
            for key, value in self.mapping(part, "do", names).items():
                action = find_action(key)
                if action is not None and (problem := action.problem(value.plain())):
                    self.note(value.line, problem)
                acts.append({key: value.plain()})
        return tuple(acts)


def every_part(parts: tuple[Part, ...]) -> list[Part]:
    """Parts and all that is in their arms, in the order of the text."""
    found: list[Part] = []
    for part in parts:
        found.append(part)
        for arm in () if isinstance(part, Step) else arms_of(part):
            found += every_part(arm)
    return found
