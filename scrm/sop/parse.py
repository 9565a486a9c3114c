"""Playbooks as authors write them: YAML text to a Playbook, or every problem in the author's words."""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar

from scrm.content import render
from scrm.content.attachments import MAX_ATTACHMENTS, MEDIA_KINDS
from scrm.profiles.conditions import EVENTS
from scrm.sop import checks, timing
from scrm.sop.actions import ACTIONS, find_action, task
from scrm.sop.conditions import check_condition
from scrm.sop.schema import (
    Channel,
    Condition,
    Content,
    CouponSpec,
    Goal,
    Guards,
    Late,
    Playbook,
    Step,
    Trigger,
    When,
    Window,
)
from scrm.sop.source import Node, SourceError, read_source
from scrm.sop.triggers import TRIGGERS, find_trigger

T = TypeVar("T")

PLAYBOOK_KEYS = (
    "playbook",
    "title",
    "description",
    "version",
    "priority",
    "trigger",
    "run_key",
    "reentry",
    "enter_if",
    "exit_if",
    "goal",
    "guards",
    "coupons",
    "steps",
    "tests",
)
STEP_KEYS = ("id", "title", "at", "window", "channel", "if", "late", "ttl", "quiet", "content", "coupon", "do")
COUPON_KEYS = (
    "title",
    "kind",
    "benefit",
    "amount",
    "percent_off",
    "threshold",
    "valid",
    "url",
    "rules",
    "budget",
)
RUN_KEYS = ("person", "order", "coupon")
PRIORITIES = ("P0", "P1", "P2", "P3", "P4", "P5")
MAX_STEPS = 100

# Words of the format that later versions will know.
_LATER_KEYS = {"holdout": "对照组", "owner_role": "负责角色", "branch": "分支", "split": "分流", "wait": "等待"}
_LATER_STEP_KEYS = {**_LATER_KEYS, "form": "表单", "priority": "步骤优先级"}
_LATER_CHANNELS = {
    "M": "企业群发",
    "G": "客户群群发",
    "P": "朋友圈",
    "S": "侧边栏建议",
    "I": "内部通知",
    "K": "企微外渠道",
}
_LATER_RUN_KEYS = ("sku_family", "live", "person+year", "parcel", "product", "case", "batch")
_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# Rewards for a certain kind of review are banned (网络反不正当竞争暂行规定, art. 9).
_BANNED_WORDS = ("好评返现", "好评返", "五星好评", "5星好评", "改评", "删评", "改差评", "删差评", "晒图返现")


class Problem(NamedTuple):
    """One thing an author has to mend."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"第 {self.line} 行：{self.text}"


class PlaybookErrors(ValueError):
    """A playbook that cannot be published, with everything that is wrong with it."""

    def __init__(self, file_name: str, problems: Iterable[Problem]) -> None:
        self.file_name = file_name
        self.problems = sorted(set(problems))
        super().__init__("\n".join(self.lines))

    @property
    def lines(self) -> list[str]:
        return [f"{self.file_name} {problem}" for problem in self.problems]


@dataclass(frozen=True, slots=True)
class Known:
    """What exists beside the file: coupon batches, texts of the library, the house's quiet hours."""

    coupons: Collection[str] = ()
    contents: Mapping[str, Content] = field(default_factory=dict)
    quiet: Window | None = field(default_factory=lambda: timing.parse_window("21:30-09:00"))


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


class _Reader:
    """Reads nodes to plain data and notes what is wrong, instead of stopping at the first problem."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.problems: list[Problem] = []

    def playbook(self, root: Node, text: str) -> Playbook | None:
        parts = self.mapping(root, "剧本", PLAYBOOK_KEYS, _LATER_KEYS)
        for key, why in _REQUIRED.items():
            if key not in parts:
                self.note(root.line, f"缺少 {key}：{why}")
        if not all(key in parts for key in _REQUIRED):
            return None
        reentry, every = self.reentry(parts["reentry"])
        playbook = Playbook(
            key=self.text(parts["playbook"], "playbook", _KEY, "小写字母、数字、- 和 _，不超过 64 个"),
            title=self.text(parts["title"], "title"),
            description=self.text(parts["description"], "description") if "description" in parts else "",
            priority=self.choice(parts["priority"], "priority", PRIORITIES) if "priority" in parts else "P3",
            trigger=self.trigger(parts["trigger"]),
            run_key=self.choice(parts["run_key"], "run_key", RUN_KEYS, _LATER_RUN_KEYS),
            reentry=reentry,
            reentry_every=every,
            enter_if=self.condition(parts.get("enter_if")),
            exit_if=None if _is_none(parts["exit_if"]) else self.condition(parts["exit_if"]),
            goal=None if _is_none(parts["goal"]) else self.goal(parts["goal"]),
            guards=self.guards(parts["guards"]) if "guards" in parts else Guards(),
            coupons=self.coupons(parts["coupons"]) if "coupons" in parts else (),
            steps=self.steps(parts["steps"]),
            tests=self.tests(parts["tests"]) if "tests" in parts else (),
            source=text,
            digest=hashlib.sha256(text.encode()).hexdigest(),
        )
        self.check_whole(root, parts, playbook)
        return playbook

    # what every part is read with

    def note(self, line: int, text: str) -> None:
        self.problems.append(Problem(line, text))

    def mapping(
        self, node: Node, what: str, allowed: Collection[str], later: Mapping[str, str] | None = None
    ) -> dict[str, Node]:
        if not isinstance(node.value, dict):
            self.note(node.line, f"{what}要写成“键: 值”的形式，可用的键有 {'、'.join(allowed)}")
            return {}
        for key in node.value:
            if key in allowed:
                continue
            if later and key in later:
                self.note(node.lines[key], f"{key}（{later[key]}）还不支持，请先删掉")
            else:
                close = get_close_matches(key, allowed, n=1, cutoff=0.5)
                hint = f"是不是想写 {close[0]}？" if close else f"可用的有 {'、'.join(allowed)}"
                self.note(node.lines[key], f"{what}里不认识“{key}”，{hint}")
        return {key: part for key, part in node.value.items() if key in allowed}

    def sequence(self, node: Node, what: str) -> list[Node]:
        if not isinstance(node.value, list) or not node.value:
            self.note(node.line, f"{what}要写成列表（每项以 - 开头），至少一项")
            return []
        return node.value

    def text(
        self, node: Node, what: str, pattern: re.Pattern[str] | None = None, rule: str = "", most: int = 120
    ) -> str:
        text = node.value.strip() if isinstance(node.value, str) else ""
        if not text:
            self.note(node.line, f"{what} 要写文字，写的是“{_shown(node)}”" + _quote_hint(node))
        elif pattern and not pattern.fullmatch(text):
            self.note(node.line, f"{what} 只能用{rule}，写的是“{text}”")
        elif what != "description" and len(text) > most:
            self.note(node.line, f"{what} 有 {len(text)} 个字，最多 {most} 个")
        return text

    def choice(self, node: Node, what: str, choices: Collection[str], later: Collection[str] = ()) -> str:
        if node.value in tuple(choices):
            return str(node.value)
        if node.value in tuple(later):
            self.note(node.line, f"{what}: {node.value} 还不支持，可用的有 {'、'.join(choices)}")
        else:
            self.note(node.line, f"{what} 只能是 {'、'.join(choices)}，写的是“{_shown(node)}”")
        return next(iter(choices))

    def read(self, node: Node, what: str, read: Callable[[str], T]) -> T | None:
        """A value that a function of `timing` reads."""
        if not isinstance(node.value, str):
            self.note(node.line, f"{what} 写的是“{_shown(node)}”，请写成文字" + _quote_hint(node))
            return None
        try:
            return read(node.value.strip())
        except ValueError as error:
            self.note(node.line, f"{what}：{error}")
            return None

    def condition(self, node: Node | None) -> Condition | None:
        if node is None:
            return None
        tree = node.plain()
        problems = check_condition({} if tree is None else tree)
        for problem in problems:
            self.note(node.line_of(problem.path), problem.text)
        if problems:
            return {}
        return dict(tree)

    # the parts

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
            self.note(node.line, f"reentry 只能是 never、per_key 或 {{every: 120d}}，写的是“{_shown(node)}”")
        return str(node.value), None

    def goal(self, node: Node) -> Goal:
        parts = self.mapping(node, "goal", ("event", "within"), {"credit": "归因"})
        if "event" not in parts:
            self.note(node.line, "goal 缺少 event；没有目标就写 goal: none")
            return Goal("")
        event = self.choice(parts["event"], "goal 的 event", EVENTS)
        within = self.read(parts["within"], "goal 的 within", timing.parse_duration) if "within" in parts else None
        return Goal(event, within)

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
        if _is_none(node):
            return "none"
        return self.read(node, "quiet", timing.parse_window)

    def coupons(self, node: Node) -> tuple[CouponSpec, ...]:
        if not isinstance(node.value, dict) or not node.value:
            self.note(node.line, "coupons 要按“券的编号: {title: 名称, amount: 面额, …}”来写")
            return ()
        return tuple(self.coupon(key, part, node.lines[key]) for key, part in node.value.items())

    def coupon(self, key: str, node: Node, line: int) -> CouponSpec:
        parts = self.mapping(node, f"券“{key}”", COUPON_KEYS)
        if not _KEY.fullmatch(key):
            self.note(line, f"券的编号只能用小写字母、数字、- 和 _，写的是“{key}”")
        if "title" not in parts:
            self.note(line, f"券“{key}”缺少 title（客户看到的名称）")
        benefit = "percent" if "percent_off" in parts else "amount"
        if "benefit" in parts:
            benefit = self.choice(parts["benefit"], "benefit", ("amount", "percent", "gift", "freight"))
        face = self.fen(parts["amount"], f"券“{key}”的 amount") if "amount" in parts else 0
        percent = parts["percent_off"].value if "percent_off" in parts else 0
        if benefit == "amount" and face <= 0:
            self.note(line, f"券“{key}”缺少 amount（面额，元），要大于 0")
        if benefit == "percent" and (
            isinstance(percent, bool) or not isinstance(percent, int) or not 0 < percent < 100
        ):
            self.note(line, f"券“{key}”的 percent_off 是减去的百分比，1 到 99（15 表示 8.5 折）")
            percent = 0
        spec = CouponSpec(
            key=key,
            title=self.text(parts["title"], f"券“{key}”的 title", most=40) if "title" in parts else "",
            kind=self.choice(parts["kind"], "kind", ("generated", "pool", "link")) if "kind" in parts else "generated",
            benefit=benefit,
            face_fen=face,
            percent_off=percent,
            threshold_fen=self.fen(parts["threshold"], f"券“{key}”的 threshold") if "threshold" in parts else 0,
            valid=self.read(parts["valid"], f"券“{key}”的 valid", timing.parse_duration) if "valid" in parts else None,
            url=self.text(parts["url"], f"券“{key}”的 url", most=500) if "url" in parts else "",
            rules=self.text(parts["rules"], f"券“{key}”的 rules", most=1000) if "rules" in parts else "",
            budget=self.budget(parts["budget"], key) if "budget" in parts else None,
        )
        self.check_coupon(spec, line)
        return spec

    def check_coupon(self, spec: CouponSpec, line: int) -> None:
        if spec.benefit == "amount" and 0 < spec.threshold_fen < spec.face_fen:
            self.note(line, f"券“{spec.key}”的门槛比面额还低，请检查 amount 和 threshold")
        if spec.kind == "link" and not re.match(r"https?://", spec.url):
            self.note(line, f"券“{spec.key}”是 link，要写 url（http 或 https 开头）")

    def budget(self, node: Node, key: str) -> int | None:
        if isinstance(node.value, bool) or not isinstance(node.value, int) or node.value < 1:
            self.note(node.line, f"券“{key}”的 budget 是最多发多少张，要写 1 以上的整数，写的是“{_shown(node)}”")
            return None
        return node.value

    def fen(self, node: Node, what: str) -> int:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float) or not 0 <= node.value < 10**7:
            self.note(node.line, f"{what} 要写金额（元），例如 30 或 9.9，写的是“{_shown(node)}”")
            return 0
        fen = Decimal(str(node.value)) * 100
        if fen != int(fen):
            self.note(node.line, f"{what} 最多两位小数，写的是“{_shown(node)}”")
        return int(fen)

    def steps(self, node: Node) -> tuple[Step, ...]:
        nodes = self.sequence(node, "steps")
        if len(nodes) > MAX_STEPS:
            self.note(node.line, f"有 {len(nodes)} 步，最多 {MAX_STEPS} 步")
        steps: list[Step] = []
        for number, part in enumerate(nodes[:MAX_STEPS], 1):
            step = self.step(part, number)
            if step is not None:
                if any(other.id == step.id for other in steps):
                    self.note(step.line, f"步骤 id“{step.id}”用了两次，请换一个")
                steps.append(step)
        return tuple(steps)

    def step(self, node: Node, number: int) -> Step | None:
        parts = self.mapping(node, f"第 {number} 步", STEP_KEYS, _LATER_STEP_KEYS)
        missing = [key for key in ("id", "at", "channel") if key not in parts]
        if missing:
            # What is not supported yet has been said already.
            if isinstance(node.value, dict) and not any(key in _LATER_STEP_KEYS for key in node.value):
                self.note(node.line, f"第 {number} 步缺少 {'、'.join(missing)}")
            return None
        step_id = self.text(parts["id"], "id", _KEY, "小写字母、数字、- 和 _，不超过 64 个")
        channel = self.choice(parts["channel"], "channel", [each.value for each in Channel], _LATER_CHANNELS)
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
        )
        if parts["channel"].value == channel:
            self.check_step(step, parts)
        return step

    def when(self, parts: dict[str, Node]) -> When:
        when = self.read(parts["at"], "at", timing.parse_when)
        if when is None or "window" not in parts:
            return when or When()
        if when.window is not None:
            self.note(parts["window"].line, "时间段在 at 和 window 里各写了一个，请只留一个")
        window = self.read(parts["window"], "window", timing.parse_window)
        return When(when.offset, when.days, window)

    def ignores_quiet(self, node: Node) -> bool:
        if node.value != "inherit" and not _is_none(node):
            self.note(node.line, "步骤的 quiet 只能是 inherit 或 none；别的静默时段请写在 guards 里")
        return _is_none(node)

    def content(self, parts: dict[str, Node]) -> Content | None:
        said = self.inline(parts["content"]) if "content" in parts else None
        if "coupon" in parts:
            attachment = {"coupon": self.text(parts["coupon"], "coupon")}
            said = said or Content()
            if attachment not in said.attachments:
                said = Content(said.text, (*said.attachments, attachment))
        return said

    def inline(self, node: Node) -> Content | None:
        if isinstance(node.value, str) and not _is_none(node):
            if node.value not in self.known.contents:
                self.note(node.line, f"内容库里没有“{node.value}”，请把内容写在 content: {{text: …}} 里")
            return self.known.contents.get(node.value)
        parts = self.mapping(node, "content", ("text", "attachments"))
        text = self.text(parts["text"], "text", most=render.WELCOME_TEXT_BYTES) if "text" in parts else ""
        if "text" in parts:
            self.check_text(text, parts["text"].line)
        attachments = []
        if "attachments" in parts:
            attachments = [self.attachment(each) for each in self.sequence(parts["attachments"], "attachments")]
        if len(attachments) > MAX_ATTACHMENTS:
            self.note(parts["attachments"].line, f"附件有 {len(attachments)} 个，最多 {MAX_ATTACHMENTS} 个")
        return Content(text, tuple(each for each in attachments if each))

    def attachment(self, node: Node) -> dict[str, Any]:
        parts = self.mapping(node, "附件", ("coupon", "link", *MEDIA_KINDS), {"miniprogram": "小程序"})
        for key in ("coupon", *MEDIA_KINDS):
            if key in parts:
                return {key: self.text(parts[key], key)}
        if "link" not in parts:
            return {}
        link = self.mapping(parts["link"], "link", ("title", "url", "desc", "picurl"))
        for key in ("title", "url"):
            if key not in link:
                self.note(parts["link"].line, f"link 缺少 {key}")
        texts = {key: self.text(part, key, most=2048) for key, part in link.items()}
        for key, limit in (("title", render.LINK_TITLE_BYTES), ("desc", render.LINK_DESC_BYTES)):
            if len(texts.get(key, "").encode()) > limit:
                self.note(
                    link[key].line, f"link 的 {key} 超过 {limit} 字节（约 {limit // 3} 个汉字），会被截断，请改短"
                )
        for key in ("url", "picurl"):
            if texts.get(key) and not re.match(r"https?://|\{\{", texts[key]):
                self.note(link[key].line, f"link 的 {key} 要以 http:// 或 https:// 开头")
        for key, text in texts.items():
            self.check_text(text, link[key].line)
        return {"link": texts}

    def check_text(self, text: str, line: int) -> None:
        for problem in render.check(text):
            self.note(line, problem)
        for word in _BANNED_WORDS:
            if word in text:
                self.note(line, f"文字里有“{word}”：以利益换取指定评价是违规的，请改成邀请真实评价")
                break

    def acts(self, node: Node) -> tuple[dict[str, Any], ...]:
        names = [action.name for action in ACTIONS if action is not task]
        acts = []
        for part in self.sequence(node, "do"):
            for key, value in self.mapping(part, "do", names).items():
                action = find_action(key)
                if action is not None and (problem := action.problem(value.plain())):
                    self.note(value.line, problem)
                acts.append({key: value.plain()})
        return tuple(acts)

    def check_step(self, step: Step, parts: dict[str, Node]) -> None:
        line = parts["id"].line
        if step.channel is Channel.TASK:
            for key, why in _TASK_REQUIRED.items():
                if key not in parts:
                    self.note(line, f"步骤“{step.id}”要员工来发，缺少 {key}：{why}")
        if step.channel is Channel.SYSTEM:
            if not step.act and "do" not in parts:
                self.note(line, f"步骤“{step.id}”是系统动作，缺少 do：写明要做什么")
            if step.content is not None:
                self.note(line, f"步骤“{step.id}”是系统动作，不会对客户说话，请删掉 content")
        elif step.act:
            self.note(line, f"步骤“{step.id}”不是系统动作（X），请把 do 放到单独的一步里")
        elif step.content is None or not (step.content.text or step.content.attachments):
            self.note(line, f"步骤“{step.id}”缺少 content：写明要说什么")
        if step.channel is Channel.WELCOME and (step.when != When() or "late" in parts or "ttl" in parts):
            self.note(line, f"欢迎语“{step.id}”只能在 at: T0，不写 window、late、ttl：20 秒内不发就再也发不出")

    def tests(self, node: Node) -> tuple[dict[str, Any], ...]:
        tests = []
        for part in self.sequence(node, "tests"):
            self.mapping(part, "tests", ("name", "given", "staff", "until", "expect"))
            for key in ("name", "given", "expect"):
                if not isinstance(part.value, dict) or key not in part.value:
                    self.note(part.line, f"这个测试缺少 {key}")
            if isinstance(part.value, dict):
                tests.append({**part.plain(), "line": part.line})
        return tuple(tests)

    def check_whole(self, root: Node, parts: dict[str, Node], playbook: Playbook) -> None:
        """What only shows when the parts are seen together; only when each is sound."""
        if playbook.run_key != "person" and not playbook.trigger.event.startswith(f"{playbook.run_key}."):
            self.note(
                parts["run_key"].line, f"触发事件 {playbook.trigger.event} 没有 {playbook.run_key}，run_key 请写 person"
            )
        if not self.problems:
            for line, text in checks.check_playbook(playbook, self.known.coupons, self.known.quiet):
                self.note(line or root.line, text)


# What authors have to decide, and why.
_REQUIRED = {
    "playbook": "固定不变的编号，例如 new-customer",
    "title": "给人看的名称",
    "trigger": "什么事件让客户进入",
    "run_key": "怎样算同一次：person（每人一次）、order（每单一次）",
    "reentry": "能不能再次进入：never、per_key 或 {every: 120d}",
    "exit_if": "什么情况下提前退出；没有就写 none",
    "goal": "达成什么算成功，例如 {event: order.paid, within: 7d}；没有就写 none",
    "steps": "要做的每一步",
}
_TASK_REQUIRED = {"late": "错过时间怎么办，defer（推迟）或 drop（放弃）", "ttl": "员工多久不发就作废，例如 24h"}


def _is_none(node: Node) -> bool:
    return node.value is None or node.value == "none"


def _shown(node: Node) -> str:
    value = node.plain()
    return "空的" if value is None else str(value)[:40]


def _quote_hint(node: Node) -> str:
    return "，请加上引号" if isinstance(node.value, int | float) else ""
