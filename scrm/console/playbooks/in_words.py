"""A playbook in words, as its page shows it: pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from scrm.content.variables import VARIABLES
from scrm.profiles.conditions.tree import EVENTS, words_of
from scrm.segments.conditions import check_condition
from scrm.sop import run_keys
from scrm.sop.calendar import dates, schedules
from scrm.sop.results.figures import Figures
from scrm.sop.schema import (
    Branch,
    Caps,
    Channel,
    Condition,
    Late,
    Part,
    Playbook,
    Split,
    Step,
    Trigger,
    Wait,
    When,
    Window,
)
from scrm.sop.text.forms import asked_in
from scrm.sop.timing import DEFAULT_TIME, write_duration
from scrm.sop.triggers import find_trigger

_BENEFITS = {"amount": "满减券", "percent": "折扣券", "gift": "兑换券", "freight": "包邮券"}


@dataclass(frozen=True, slots=True)
class Meter:
    """One number on a step."""

    text: str
    count: int
    tone: str = ""


@dataclass(frozen=True, slots=True)
class StepWords:
    """A step as a card; `day` is empty when it is the same as the step's before."""

    number: int
    step: Step
    day: str
    time: str
    rules: tuple[str, ...]
    acts: tuple[str, ...]
    texts: tuple["Said", ...]
    meters: tuple[Meter, ...]
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """One text of a step in pieces; `name` and `share` of a variant ("温和", "70%"), empty for the only one."""

    pieces: tuple[tuple[str, str], ...]
    attachments: tuple[str, ...]
    name: str = ""
    share: str = ""


@dataclass(frozen=True, slots=True)
class ForkWords:
    """A wait, branch or split, or one way of it: 「等待」「分支」「分流」, or the name of the way."""

    kind: str
    words: str
    depth: int
    is_way: bool = False
    day: str = ""
    time: str = ""


def read_condition(tree: Condition | None, playbook: Playbook) -> str:
    """「已付款订单数 等于 0，且 券“新人券”未用」; empty for no condition."""
    if not tree or check_condition(tree):
        return ""
    words = _words(tree, is_inner=False)
    for spec in playbook.coupons:
        words = words.replace(f"“{spec.key}”", f"“{spec.title}”")
    return words


def _words(tree: Mapping[str, Any], *, is_inner: bool) -> str:
    for group, joint in (("all", "，且 "), ("any", "，或 ")):
        if group in tree:
            parts = [_words(part, is_inner=len(tree[group]) > 1) for part in tree[group]]
            text = joint.join(parts)
            return f"（{text}）" if is_inner and len(parts) > 1 else text
    if "not" in tree:
        return f"不满足（{_words(tree['not'], is_inner=False)}）"
    return f"有过“{EVENTS.get(tree['event'], tree['event'])}”" if set(tree) == {"event"} else words_of(tree)


def list_exits(playbook: Playbook) -> list[str]:
    """Each reason to leave on its own."""
    tree = playbook.exit_if
    if not tree:
        return []
    parts = tree["any"] if isinstance(tree.get("any"), list) else [tree]
    return [
        EVENTS.get(part["event"], part["event"]) if set(part) == {"event"} else read_condition(part, playbook)
        for part in parts
    ]


def read_trigger(wanted: Trigger) -> str:
    """「客户添加了员工（渠道类型为 直播、门店）」."""
    trigger = find_trigger(wanted.event)
    title = trigger.title if trigger is not None else EVENTS.get(wanted.event, wanted.event)
    if own := dates.words_of(wanted) or schedules.words_of(wanted):
        title = own
    names = trigger.where if trigger is not None else {}
    where = [
        f"{names.get(key, key)}为 {'、'.join(_value(each) for each in values)}" for key, values in wanted.where.items()
    ]
    return f"{title}（{'，'.join(where)}）" if where else title


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "是" if value else "否"
    return str(value)


def read_reentry(playbook: Playbook) -> str:
    who = run_keys.TITLES.get(playbook.run_key, playbook.run_key)
    if playbook.reentry_every is not None:
        return f"{who} {write_duration(playbook.reentry_every)}内只进入一次"
    return f"{who}只进入一次"


def read_goal(playbook: Playbook) -> str:
    goal = playbook.goal
    if goal is None:
        return ""
    within = f"{write_duration(goal.within)}内" if goal.within else ""
    return f"{within}{EVENTS.get(goal.event, goal.event)}"


def read_guards(playbook: Playbook) -> list[str]:
    guards = playbook.guards
    words = []
    if isinstance(guards.quiet, Window):
        words.append(f"{_span(guards.quiet)} 不打扰")
    elif guards.quiet == "none":
        words.append("不受免打扰时段限制")
    if guards.max_pushes is not None:
        words.append(f"最多主动联系 {guards.max_pushes} 次")
    if isinstance(guards.cap, Caps):
        words.append(_caps(guards.cap))
    named = (
        (guards.cap, "不受频控限制"),
        (guards.brake, "售后、会话中也照发"),
        (guards.queue, "不排队，和其他剧本同时进行"),
    )
    words += [text for value, text in named if value == "none"]
    if guards.optout in _REFUSED:
        words.append(f"客户拒绝{_REFUSED[guards.optout]}消息就不发")
    if playbook.holdout is not None:
        words.append(f"对照组 {playbook.holdout * 100:g}%" if playbook.holdout else "不留对照组")
    return words


_REFUSED = {"birthday": "生日", "live": "直播", "promo": "促销"}


def _caps(caps: Caps) -> str:
    limits = [f"两次至少隔 {write_duration(caps.gap)}"] if caps.gap else []
    limits += [f"7 天最多 {caps.per_week} 次"] if caps.per_week else []
    limits += [f"30 天最多 {caps.per_month} 次"] if caps.per_month else []
    return f"营销消息{'，'.join(limits)}"


def list_coupons(playbook: Playbook) -> list[tuple[str, str]]:
    """(title, what it gives)."""
    return [(spec.title, _gift(spec)) for spec in playbook.coupons]


def _gift(spec: Any) -> str:
    parts = []
    if spec.benefit == "amount" and spec.face_fen:
        parts.append(
            f"满 {_yuan(spec.threshold_fen)} 减 {_yuan(spec.face_fen)}"
            if spec.threshold_fen
            else f"立减 {_yuan(spec.face_fen)}"
        )
    elif spec.benefit == "percent" and spec.percent_off:
        parts.append(f"{(100 - spec.percent_off) / 10:g} 折")
    else:
        parts.append(_BENEFITS.get(spec.benefit, ""))
    if spec.valid is not None:
        parts.append(f"领取后 {write_duration(spec.valid)}内有效")
    if spec.budget is not None:
        parts.append(f"限量 {spec.budget} 张")
    return " · ".join(part for part in parts if part)


def _yuan(fen: int) -> str:
    return f"{fen // 100}" if fen % 100 == 0 else f"{fen / 100:.2f}"


# Steps ---------------------------------------------------------------------------------------------------------------


def list_steps(playbook: Playbook, figures: Mapping[str, Figures]) -> list[StepWords | ForkWords]:
    """The steps as cards, with what became of each by its id, and between them where ways part."""
    cards: list[StepWords | ForkWords] = []
    _add_cards(cards, playbook.parts or playbook.steps, playbook, figures, 0)
    return cards


def _add_cards(
    cards: list[StepWords | ForkWords],
    parts: Sequence[Part],
    playbook: Playbook,
    figures: Mapping[str, Figures],
    depth: int,
) -> None:
    day_before = ""
    for part in parts:
        if isinstance(part, Step):
            day, _ = read_moment(part.when)
            card = _card(part, playbook, figures.get(part.id, Figures()), depth)
            number = 1 + sum(isinstance(each, StepWords) for each in cards)
            cards.append(replace(card, number=number, day="" if day == day_before else day))
            day_before = day
            continue
        day_before = ""
        cards.append(_fork(part, depth))
        for name, words, inside in _ways(part, playbook):
            cards.append(ForkWords(name, words, depth, is_way=True))
            _add_cards(cards, inside, playbook, figures, depth + 1)


def _card(step: Step, playbook: Playbook, figures: Figures, depth: int) -> StepWords:
    day, time = read_moment(step.when)
    return StepWords(
        number=0,
        step=step,
        day=day,
        time=time,
        rules=tuple(_rules(step, playbook)),
        acts=(*(read_act(act, playbook) for act in step.act), *_options(step)),
        texts=tuple(_said(step, playbook)),
        meters=tuple(meters(step, figures)),
        depth=depth,
    )


def _said(step: Step, playbook: Playbook) -> Iterator[Said]:
    if step.content is None:
        return
    named = [(each.name, f"{each.share * 100:g}%", each.content) for each in step.content.variants]
    for name, share, content in named or [("", "", step.content)]:
        pieces = tuple(split_text(content.text.strip()))
        yield Said(pieces, tuple(read_attachment(each, playbook) for each in content.attachments), name, share)


def _fork(part: Branch | Split | Wait, depth: int) -> ForkWords:
    if isinstance(part, Split):
        return ForkWords("分流", "随机分成几路，同一位客户总走同一路", depth)
    if isinstance(part, Branch):
        day, time = read_moment(part.when) if part.when else ("", "")
        return ForkWords("分支", "走到这里时，走第一路符合的；都不符合就往下走", depth, day=day, time=time)
    length = write_duration(part.timeout)
    if not part.event:
        return ForkWords("等待", f"等 {length}，后面的时间从等完算起", depth)
    narrowed = "，".join(f"{key} 为 {'、'.join(map(_value, values))}" for key, values in part.where.items())
    event = EVENTS.get(part.event, part.event) + (f"（{narrowed}）" if narrowed else "")
    over = "等不到就结束" if part.ends else "等不到也往下走" if not part.timed_out else "等不到走另一路"
    return ForkWords("等待", f"等“{event}”，最多 {length}，{over}；后面的时间从等完算起", depth)


def _ways(part: Branch | Split | Wait, playbook: Playbook) -> Iterator[tuple[str, str, Sequence[Part]]]:
    """(name, when it is taken, what is in it) of each way; of a wait only those in which something happens."""
    if isinstance(part, Wait):
        yield from (("等到了", "", part.came),) if part.came else ()
        yield from (("没等到", "", part.timed_out),) if part.timed_out else ()
        return
    for arm in part.arms:
        if isinstance(part, Split):
            words = f"{arm.share * 100:g}%"
        else:
            words = read_condition(arm.condition, playbook) if arm.condition else "以上都不符合"
        yield arm.name, words if arm.parts else f"{words}（什么也不做）", arm.parts


def _options(step: Step) -> Iterator[str]:
    """What only its channel reads, in words."""
    options = step.options
    if notify := options.get("notify"):
        yield f"通知{_WHOM.get(str(notify), _listed(notify) if not isinstance(notify, Mapping) else '')}"
    if hint := options.get("hint"):
        yield f"给员工的提示：{hint}"
    if asked := asked_in(step):
        yield f"顺便问：{'、'.join(asked)}"
    if where := options.get("to") or options.get("url"):
        yield f"推送到 {where}"


_WHOM = {"owner": "跟进员工", "manager": "上级", "{'role': 'administrator'}": "管理员"}


_MARKS = re.compile(r"(\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\})", re.DOTALL)


def split_text(text: str) -> Iterator[tuple[str, str]]:
    """A template in pieces: ("text", ...), ("variable", what people call it) and ("code", as written)."""
    for piece in _MARKS.split(text):
        if piece.startswith("{{"):
            name = piece[2:-2].split("|")[0].strip()
            yield "variable", VARIABLES[name][0] if name in VARIABLES else name
        elif piece.startswith("{%"):
            yield "code", piece
        elif piece and not piece.startswith("{#"):
            yield "text", piece


def read_moment(when: When) -> tuple[str, str]:
    """(day, time) of a step, the trigger's day being day 0."""
    span = f"{when.window.start:%H:%M} – {when.window.end:%H:%M}" if when.window else ""
    if when.days is not None:
        return _day(when), span or f"{DEFAULT_TIME:%H:%M}"
    if when.offset == timedelta():
        return "当天", f"立即（{span}）" if span else "立即"
    if when.offset < timedelta():
        before = f"开始前 {write_duration(-when.offset)}"
        return "当天", f"{before}（{span}）" if span else before
    days = when.offset // timedelta(days=1)
    after = f"{write_duration(when.offset)}后"
    day = "当天" if days == 0 else f"第 {days} 天"
    return day, f"{after}（{span}）" if span else after


def _day(when: When) -> str:
    """「当天」「第 3 天」「第 2 个工作日」「提前 3 天」."""
    days = when.days or 0
    unit = " 个工作日" if when.counts_workdays else " 天"
    text = "当天" if days == 0 else f"第 {days}{unit}" if days > 0 else f"提前 {-days}{unit}"
    return text + {"workdays": "，遇休息日顺延", "restdays": "，遇工作日顺延"}.get(when.only, "")


def _span(window: Window) -> str:
    return f"{window.start:%H:%M} – {window.end:%H:%M}"


def _rules(step: Step, playbook: Playbook) -> list[str]:
    rules = []
    if condition := read_condition(step.condition, playbook):
        rules.append(f"仅当 {condition}")
    if step.ttl is not None:
        rules.append(f"{write_duration(step.ttl)}内未发送就作废")
    if step.channel is not Channel.WELCOME and step.when.window is not None:
        rules.append("错过时段就放弃" if step.late is Late.DROP else "错过时段顺延到下一个时段")
    if step.ignores_quiet and step.channel is Channel.TASK:
        rules.append("不受免打扰时段限制")
    return rules


def read_act(act: Mapping[str, Any], playbook: Playbook) -> str:
    name, value = next(iter(act.items()))
    match name:
        case "add_tag":
            return f"打标签「{_listed(value)}」"
        case "remove_tag":
            return f"去掉标签「{_listed(value)}」"
        case "issue_coupon":
            return f"发券「{_coupon_title(str(value), playbook)}」"
        case "set" if isinstance(value, Mapping):
            return "，".join(f"{_field(key)}改为「{_value(wanted)}」" for key, wanted in value.items())
        case "points":
            amount = value.get("amount", 0) if isinstance(value, Mapping) else value
            return f"{'加' if amount > 0 else '扣'} {abs(amount)} 积分"
        case "assign":
            return f"指派负责人 {_listed(value)}"
        case "start_playbook":
            return f"开始剧本 {_listed(value)}"
        case "stop_playbook":
            return "结束其他所有剧本" if value == "all" else f"结束剧本 {_listed(value)}"
    return f"{name}：{value}"


def _field(key: str) -> str:
    return "客户阶段" if key in ("stage", "person.stage") else f"字段 {key.removeprefix('field.')} "


def _listed(value: Any) -> str:
    return "、".join(str(each) for each in value) if isinstance(value, list | tuple) else str(value)


def read_attachment(attachment: Mapping[str, Any], playbook: Playbook) -> str:
    name, value = next(iter(attachment.items()))
    if name == "coupon":
        return f"券 · {_coupon_title(str(value), playbook)}"
    if name == "link" and isinstance(value, Mapping):
        return f"链接 · {value.get('title', '')}"
    titles = {"image": "图片", "file": "文件", "video": "视频", "miniprogram": "小程序"}
    shown = value.get("title", "") if isinstance(value, Mapping) else str(value).rsplit("/", 1)[-1]
    return f"{titles.get(name, name)} · {shown}"


def _coupon_title(key: str, playbook: Playbook) -> str:
    return next((spec.title for spec in playbook.coupons if spec.key == key), key)


def meters(step: Step, figures: Figures) -> list[Meter]:
    """What became of the step, in the order of the way to the customer; nothing is said of what never happened."""
    is_welcome = step.channel is Channel.WELCOME
    named = [
        ("delivered", "已发送" if step.channel.speaks else "已执行", "good" if step.channel is Channel.TASK else ""),
        ("waiting", "待员工确认" if step.channel.needs_member else "执行中", "warn"),
        ("skipped", "未发送" if is_welcome else "已跳过", ""),
        ("expired", "已过期", "bad"),
        ("withdrawn", "已撤回", ""),
        ("left_out", "未发送" if is_welcome else "条件不符", ""),
        ("missed", "错过时机", ""),
        ("failed", "失败", "bad"),
        ("failed_before", "失败", "bad"),
        ("unknown", "结果未知", "warn"),
    ]
    begun = [Meter("已建待办", figures["released"])] if step.channel is Channel.TASK and figures["released"] else []
    return begun + [Meter(text, figures[name], tone) for name, text, tone in named if figures[name]]
