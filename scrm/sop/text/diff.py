"""What differs between two versions, in the author's words and as text. Pure."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import time, timedelta
from enum import StrEnum
from typing import Any

from scrm.sop.schema import (
    Arm,
    Branch,
    Channel,
    Content,
    CouponSpec,
    Goal,
    Guards,
    Late,
    Part,
    Playbook,
    Split,
    Step,
    Trigger,
    Wait,
    When,
    Window,
    arms_of,
)
from scrm.sop.timing import write_duration

Say = Callable[[Any], str]

CHANNELS = {
    "W": "自动欢迎语",
    "T": "员工待办",
    "M": "群发任务",
    "G": "客户群群发",
    "P": "朋友圈任务",
    "S": "侧边栏建议",
    "I": "内部通知",
    "X": "系统动作",
    "K": "外部渠道",
}
_TITLES = {
    "title": "名称",
    "description": "说明",
    "priority": "优先级",
    "trigger": "触发",
    "run_key": "计次方式",
    "reentry": "重复进入",
    "reentry_every": "重复进入间隔",
    "enter_if": "进入条件",
    "exit_if": "退出条件",
    "goal": "目标",
    "guards": "打扰限制",
    "holdout": "对照组",
    "approval": "审批线",
}
_STEP_TITLES = {
    "title": "名称",
    "when": "时间",
    "channel": "渠道",
    "condition": "条件",
    "late": "错过时",
    "ttl": "有效期",
    "content": "内容",
    "act": "动作",
    "ignores_quiet": "勿扰时段",
    "options": "选项",
}
_OF_PARTS = {"timeout": "最多等", "event": "等的事件", "where": "事件条件", "ends": "超时后", "when": "时间"}
_LATE = {Late.DEFER: "推迟", Late.DROP: "放弃"}
_FLAGS = {True: "是", False: "否"}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: `kind` is added, removed, changed or moved; `what` names the place, before and after say it."""

    kind: str
    what: str
    before: str = ""
    after: str = ""

    @property
    def words(self) -> str:
        match self.kind:
            case "added":
                return f"新增{self.what}" + (f"：{self.after}" if self.after else "")
            case "removed":
                return f"删除{self.what}" + (f"：{self.before}" if self.before else "")
            case "moved":
                return f"{self.what}换了位置"
        return f"{self.what}：{self.before or '无'} → {self.after or '无'}"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the text diff: `mark` is +, - or a space; numbers are None where the line is not."""

    mark: str
    text: str
    old: int | None
    new: int | None


def list_changes(old: Playbook | None, new: Playbook, say_condition: Say | None = None) -> list[Change]:
    """Everything that matters to who reads it; comments and the order of keys do not."""
    if old is None:
        return [Change("added", "剧本", after=new.title)]
    say = _Says(say_condition or _plain)
    changes = [
        Change("changed", title, say(getattr(old, name, None)), say(getattr(new, name, None)))
        for name, title in _TITLES.items()
        if getattr(old, name, None) != getattr(new, name, None)
    ]
    return [*changes, *_coupons(old, new, say), *_parts(old, new, say)]


def text_lines(old: str, new: str, *, around: int | None = 3) -> list[Line]:
    """The texts side by side, line by line; only what differs and some lines around it, with None in full."""
    before, after = old.splitlines(), new.splitlines()
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    groups: list[Any] = [matcher.get_opcodes()] if around is None else [*matcher.get_grouped_opcodes(around)]
    lines: list[Line] = []
    for number, group in enumerate(groups):
        if number:
            lines.append(Line("@", "", None, None))
        for tag, a, b, c, d in group:
            if tag == "equal":
                lines += [Line(" ", before[a + n], a + n + 1, c + n + 1) for n in range(b - a)]
            else:
                lines += [Line("-", before[n], n + 1, None) for n in range(a, b)]
                lines += [Line("+", after[n], None, n + 1) for n in range(c, d)]
    return lines


def unified(old: str, new: str, old_name: str, new_name: str) -> Iterator[str]:
    """As `diff -u` prints it."""
    return difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), old_name, new_name)


# Parts ----------------------------------------------------------------------------------------------------------------


def _coupons(old: Playbook, new: Playbook, say: Say) -> Iterator[Change]:
    before, after = ({spec.key: spec for spec in each.coupons} for each in (old, new))
    for key in [*before, *(key for key in after if key not in before)]:
        if key not in after:
            yield Change("removed", "券", before[key].title)
        elif key not in before:
            yield Change("added", "券", after=after[key].title)
        elif before[key] != after[key]:
            for field in fields(CouponSpec):
                one, two = getattr(before[key], field.name), getattr(after[key], field.name)
                if one != two:
                    title = _COUPON_TITLES.get(field.name, field.name)
                    money = field.name.endswith("_fen")
                    write = _yuan if money else say
                    yield Change("changed", f"券“{after[key].title}”的{title}", write(one), write(two))


_COUPON_TITLES = {
    "title": "名称",
    "kind": "来源",
    "benefit": "优惠方式",
    "face_fen": "面额",
    "percent_off": "折扣",
    "threshold_fen": "门槛",
    "valid": "有效期",
    "url": "链接",
    "rules": "规则",
    "budget": "限量",
}


def _parts(old: Playbook, new: Playbook, say: Say) -> Iterator[Change]:
    before, after = _numbered(old), _numbered(new)
    for name, (number, part, _) in before.items():
        if name not in after:
            yield Change("removed", f"第 {number} 步“{_title(part)}”")
    kept = [name for name in before if name in after]
    moved = _moved(kept, [name for name in after if name in before])
    for name, (number, part, arm) in after.items():
        if name not in before:
            yield Change("added", f"第 {number} 步“{_title(part)}”", after=_summary(part, say))
            continue
        _, was, was_in = before[name]
        if name in moved or was_in != arm:
            yield Change("moved", f"第 {number} 步“{_title(part)}”")
        yield from _changed(was, part, f"第 {number} 步“{_title(part)}”", say)


def _numbered(playbook: Playbook) -> dict[str, tuple[int, Part, str]]:
    """By name: number in the text, the part, and the arm it stands in."""
    found: dict[str, tuple[int, Part, str]] = {}

    def walk(parts: Sequence[Part], arm: str) -> None:
        for part in parts:
            found[part.id] = (len(found) + 1, part, arm)
            if not isinstance(part, Step):
                for number, inner in enumerate(arms_of(part)):
                    walk(inner, f"{part.id}/{number}")

    walk(playbook.parts or playbook.steps, "")
    return found


def _moved(before: list[str], after: list[str]) -> set[str]:
    """The fewest that must have been put elsewhere."""
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    stayed = {before[block.a + n] for block in matcher.get_matching_blocks() for n in range(block.size)}
    return set(after) - stayed


def _title(part: Part) -> str:
    return (getattr(part, "title", "") or part.id) if isinstance(part, Step) else part.id


def _summary(part: Part, say: Say) -> str:
    if isinstance(part, Step):
        return f"{say(part.when)}，{say(part.channel)}"
    if isinstance(part, Wait):
        return f"等待{part.event or ''}，最多 {say(part.timeout)}"
    return f"{'分支' if isinstance(part, Branch) else '分流'}：{'、'.join(arm.name for arm in part.arms)}"


def _changed(old: Part, new: Part, what: str, say: Say) -> Iterator[Change]:
    if type(old) is not type(new):
        yield Change("changed", what, _summary(old, say), _summary(new, say))
        return
    titles = _STEP_TITLES if isinstance(new, Step) else _OF_PARTS
    for name, title in titles.items():
        one, two = getattr(old, name, None), getattr(new, name, None)
        if one != two:
            yield Change("changed", f"{what}的{title}", say(one), say(two))
    if isinstance(old, Branch | Split) and isinstance(new, Branch | Split):
        one, two = ([_arm(arm, say) for arm in each.arms] for each in (old, new))
        if one != two:
            yield Change("changed", f"{what}的去向", "；".join(one), "；".join(two))


def _arm(arm: Arm, say: Say) -> str:
    if arm.share:
        return f"{arm.name} {arm.share:.0%}"
    return f"{arm.name}（{say(arm.condition)}）" if arm.condition else arm.name


# Values in words ------------------------------------------------------------------------------------------------------


class _Says:
    """Any value of a playbook in words; conditions by the function that was given."""

    def __init__(self, say_condition: Say) -> None:
        self.say_condition = say_condition

    def __call__(self, value: Any) -> str:
        if value in (None, "", (), [], {}):  # as a pattern, {} would be any mapping
            return ""
        match value:
            case bool():
                return _FLAGS[value]
            case Late():
                return _LATE[value]
            case Channel():
                return CHANNELS.get(value.value, value.value)
            case timedelta():
                return write_duration(value)
            case Window():
                return f"{value.start:%H:%M}-{value.end:%H:%M}"
            case time():
                return f"{value:%H:%M}"
            case float() if 0 <= value < 1:
                return f"{100 * value:g}%"
        return self._of_parts(value)

    def _of_parts(self, value: Any) -> str:
        match value:
            case When():
                return say_when(value)
            case Content():
                return self._content(value)
            case Trigger():
                more = {field.name: getattr(value, field.name) for field in fields(value) if field.name != "event"}
                return "，".join([value.event, *(f"{name} {self(each)}" for name, each in more.items() if each)])
            case Goal():
                return value.event + (f"（{self(value.within)}内）" if value.within else "")
            case Guards():
                return self._named(value)
            case Mapping():
                return self.say_condition(value) if set(value) & _CONDITIONS else self._mapping(value)
            case StrEnum():
                return value.value
            case list() | tuple():
                return "、".join(self(each) for each in value)
        return self._named(value) if is_dataclass(value) else str(value)

    def _mapping(self, value: Mapping[str, Any]) -> str:
        return "，".join(f"{name} {self(each)}" for name, each in value.items())

    def _content(self, content: Content) -> str:
        variants = [f"{each.name}（{each.share:.0%}）：{self._content(each.content)}" for each in content.variants]
        files = [_plain(each) for each in content.attachments]
        return " ".join([*([f"“{content.text.strip()}”"] if content.text else []), *files, *variants])

    def _named(self, value: Any) -> str:
        said = ((field.name, getattr(value, field.name)) for field in fields(value))
        return "，".join(f"{name} {self(each)}" for name, each in said if each not in (None, "", (), {}, 0, False))


_CONDITIONS = {"all", "any", "not", "field", "event", "flag", "tag", "segment", "coupon"}


def say_when(when: When) -> str:
    """As an author writes it: `D+3 10:00-11:30`, `T0+30m`, `T0-2h`."""
    if when.days is None:
        sign = "-" if when.offset < timedelta() else "+"
        text = f"T0{sign}{write_duration(abs(when.offset)).replace(' ', '')}" if when.offset else "T0"
    else:
        text = f"{'W' if getattr(when, 'counts_workdays', False) else 'D'}{when.days:+d}"
    only = {"workdays": "（仅工作日）", "restdays": "（仅休息日）"}.get(getattr(when, "only", ""), "")
    window = f" {when.window.start:%H:%M}-{when.window.end:%H:%M}" if when.window else ""
    return text + window + only


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_plain(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_plain(each) for each in value) + "]"
    return str(value)


def _yuan(fen: int) -> str:
    return f"¥{fen / 100:g}" if fen else ""
