"""What the board says of a draft, in the words of the playbook's page; also of what is not finished. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scrm.console.playbooks import in_words as reading
from scrm.profiles.conditions.tree import EVENTS
from scrm.sop import run_keys, timing
from scrm.sop.board import starting
from scrm.sop.board.model import Board, Card, write_path
from scrm.sop.board.said import split_duration
from scrm.sop.results.figures import Figures
from scrm.sop.schema import CouponSpec, Playbook, Step, Trigger, When
from scrm.sop.triggers import ALIASES, TRIGGERS, find_trigger

_DAYS = re.compile(r"(\d{1,4})d")
_FAMILIES = {
    "contact": "好友",
    "person": "好友",
    "identity": "好友",
    "optout": "好友",
    "transfer": "好友",
    "group": "客户群",
    "order": "订单与售后",
    "refund": "订单与售后",
    "case": "订单与售后",
    "coupon": "券与会员",
    "points": "券与会员",
    "level": "券与会员",
    "date": "时间、人群包、手动",
    "schedule": "时间、人群包、手动",
    "segment": "时间、人群包、手动",
    "manual": "时间、人群包、手动",
    "staff": "员工与会话",
    "talk": "员工与会话",
    "note": "员工与会话",
    "task": "员工与会话",
    "mass_message": "员工与会话",
    "kf": "微信客服与公众号",
    "oa": "微信客服与公众号",
}
_OTHERS = "浏览与互动"
ORDER = (*dict.fromkeys(_FAMILIES.values()), _OTHERS)


def group_events(named: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Events for a picker: family -> (name, title)."""
    groups: dict[str, list[tuple[str, str]]] = {family: [] for family in ORDER}
    for name, title in named.items():
        groups[_FAMILIES.get(name.partition(".")[0], _OTHERS)].append((name, title))
    return {family: events for family, events in groups.items() if events}


def trigger_groups() -> dict[str, list[tuple[str, str]]]:
    return group_events({trigger.name: trigger.title for trigger in TRIGGERS})


def event_groups() -> dict[str, list[tuple[str, str]]]:
    return group_events(EVENTS)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one board; `figures` are those of the published version, by step, `waiting` who stands there now."""

    board: Board
    figures: Mapping[str, Figures]
    waiting: Mapping[str, int]
    coupons: Playbook
    # The shop's own fields, as people call them.
    fields: Mapping[str, str]

    def time(self, card: Card) -> str:
        """「立即」「10:00 – 12:00」; what cannot be read stands as it is written."""
        if card.when is None:
            return str(card.data.get("at", "")) if card.kind == "step" else ""
        return reading.read_moment(card.when)[1]

    def title(self, card: Card) -> str:
        return str(card.data.get("title") or card.id or "没有名称")

    def only(self, card: Card) -> str:
        return {"workdays": "遇休息日顺延", "restdays": "遇工作日顺延"}.get(str(card.data.get("only", "")), "")

    def said(self, card: Card) -> list[tuple[str, str, list[tuple[str, str]]]]:
        """(variant's name, its share, the text in pieces) of everything a step may say."""
        content = card.data.get("content")
        if isinstance(content, str):
            return [("", "", [("text", f"内容库：{content}")])]
        found = []
        for each in variants_of(content) or [content]:
            if isinstance(each, Mapping) and each.get("text"):
                pieces = list(reading.split_text(str(each["text"]).strip()))
                found.append((str(each.get("name", "")), str(each.get("share", "")), pieces))
        return found

    def is_unwritten(self, card: Card) -> bool:
        """Whether it says what every new step says."""
        content = card.data.get("content")
        texts = [each.get("text") for each in variants_of(content) or [content] if isinstance(each, Mapping)]
        return any(starting.is_unwritten(card.channel, str(text or "")) for text in texts)

    def attached(self, card: Card) -> list[str]:
        content = card.data.get("content")
        parts = [part for each in variants_of(content) or [content] for part in attachments_of(each)]
        coupon = [{"coupon": card.data["coupon"]}] if isinstance(card.data.get("coupon"), str) else []
        return list(dict.fromkeys(reading.read_attachment(part, self.coupons) for part in [*parts, *coupon]))

    def acts(self, card: Card) -> list[str]:
        acts = card.data.get("do")
        told = [reading.read_act(act, self.coupons) for act in acts if act] if isinstance(acts, list) else []
        if hint := card.data.get("hint"):
            told.append(f"给员工的提示：{hint}")
        if asked := card.data.get("form"):
            keys = [str(key).removeprefix("field.") for key in (asked if isinstance(asked, list) else [asked])]
            told.append(f"顺便问：{'、'.join(self.fields.get(key, key) for key in keys)}")
        if notify := card.data.get("notify"):
            told.append(f"通知{say_whom(notify)}")
        if where := card.data.get("to") or card.data.get("url"):
            told.append(f"推送到 {where}")
        return told

    def condition(self, tree: Any) -> str:
        """In words; while it is not sound that it is not."""
        if tree is None or tree == "none":
            return ""
        return reading.read_condition(tree, self.coupons) or "条件还没写好"

    def wait(self, card: Card) -> str:
        data, event = card.data, str(card.data.get("event", ""))
        length = say_duration(data.get("timeout") or data.get("for"))
        if not event:
            return f"等 {length}"
        over = {"end": "等不到就结束", "next": "等不到也往下走"}.get(str(data.get("on_timeout")), "等不到走另一路")
        return f"等“{EVENTS.get(event, event)}”，最多 {length}，{over}"

    def meters(self, card: Card) -> list[reading.Meter]:
        figures = self.figures.get(card.id)
        if figures is None or card.kind != "step":
            return []
        step = next((step for step in self.coupons.steps if step.id == card.id), None)
        return reading.meters(step, figures) if step is not None else []

    def share(self, card: Card, number: int) -> str:
        return card.arms[number].share


class Loose(dict[str, Any]):
    """A mapping in which what is absent is None, for templates that ask for what an author may have left out."""

    def __missing__(self, key: str) -> None:
        return None


def loose(data: Any) -> Any:
    if isinstance(data, Mapping):
        return Loose({str(key): loose(value) for key, value in data.items()})
    return [loose(each) for each in data] if isinstance(data, list) else data


def variants_of(content: Any) -> list[Any]:
    found = content.get("variants") if isinstance(content, Mapping) else None
    return found if isinstance(found, list) else []


def attachments_of(content: Any) -> list[Any]:
    found = content.get("attachments") if isinstance(content, Mapping) else None
    return [each for each in found if isinstance(each, Mapping) and each] if isinstance(found, list) else []


def say_duration(written: Any) -> str:
    if days := _DAYS.fullmatch(str(written or "")):
        return f"{int(days[1])} 天"
    try:
        return timing.write_duration(timing.parse_duration(str(written)))
    except ValueError:
        return str(written or "")


def say_whom(notify: Any) -> str:
    if isinstance(notify, Mapping):
        return {"administrator": "管理员", "manager": "店长"}.get(str(notify.get("role")), "指定的人")
    names = {"owner": "跟进员工", "manager": "上级"}
    listed = notify if isinstance(notify, list) else [notify]
    return "、".join(names.get(str(each), str(each)) for each in listed)


def stand_in(board: Board, published: Playbook | None) -> Playbook:
    """The coupons of a draft and the steps of what is published, for the words of `reading`."""
    coupons = board.data.get("coupons")
    specs = [
        CouponSpec(str(key), str(spec.get("title", key)))
        for key, spec in (coupons.items() if isinstance(coupons, Mapping) else ())
        if isinstance(spec, Mapping)
    ]
    steps: tuple[Step, ...] = published.steps if published is not None else ()
    return Playbook("", "", Trigger(""), "person", "never", steps, coupons=tuple(specs))


# The head ---------------------------------------------------------------------------------------------------------------


def say_trigger(data: Mapping[str, Any]) -> str:
    wanted = data.get("trigger")
    if not isinstance(wanted, Mapping) or not wanted.get("event"):
        return "还没有选触发事件"
    name = ALIASES.get(str(wanted["event"]), str(wanted["event"]))
    where = wanted.get("where") if isinstance(wanted.get("where"), Mapping) else {}
    facts = {str(key): tuple(each if isinstance(each, list) else [each]) for key, each in (where or {}).items()}
    made = Trigger(
        name,
        facts,
        date=str(wanted.get("date", "")),
        lunar=wanted.get("lunar") is True,
        yearly=bool(wanted.get("yearly", wanted.get("date") != "level.ends")),
        cron=str(wanted.get("cron", "")),
        segment=str(wanted.get("segment", "")),
    )
    return reading.read_trigger(made)


def say_reentry(data: Mapping[str, Any]) -> str:
    who = run_keys.TITLES.get(str(data.get("run_key")), "同一位客户")
    again = data.get("reentry")
    if isinstance(again, Mapping) and again.get("every"):
        return f"{who} {say_duration(again['every'])}内只进入一次"
    return f"{who}只进入一次"


def say_goal(data: Mapping[str, Any]) -> str:
    goal = data.get("goal")
    if not isinstance(goal, Mapping) or not goal.get("event"):
        return "没有设目标"
    within = f"{say_duration(goal['within'])}内" if goal.get("within") else ""
    return within + EVENTS.get(str(goal["event"]), str(goal["event"]))


def say_guards(data: Mapping[str, Any]) -> str:
    guards = data.get("guards") if isinstance(data.get("guards"), Mapping) else {}
    said = _guards(guards or {})
    if holdout := data.get("holdout"):
        said.append("不留对照组" if holdout in ("none", "0%") else f"对照组 {holdout}")
    return "，".join(said) or "和全店一样"


def _guards(guards: Mapping[str, Any]) -> list[str]:
    said = []
    quiet, cap = guards.get("quiet"), guards.get("cap")
    if quiet not in (None, "inherit"):
        said.append("不受勿扰时段限制" if quiet == "none" else f"{quiet} 不打扰")
    if cap not in (None, "inherit"):
        said.append("不受频控限制" if cap == "none" else "自己的频控")
    if guards.get("max_pushes"):
        said.append(f"最多主动联系 {guards['max_pushes']} 次")
    if guards.get("brake") == "none":
        said.append("售后、会话中也照发")
    if guards.get("queue") == "none":
        said.append("不排队")
    return said


def where_of(wanted: Any) -> list[tuple[str, str, str]]:
    """(fact, title, what is asked for) of everything that a trigger, goal or wait can be narrowed by."""
    about = wanted if isinstance(wanted, Mapping) else {}
    name, asked = str(about.get("event")), about.get("where")
    known = find_trigger(ALIASES.get(name, name))
    given = asked if isinstance(asked, Mapping) else {}
    titles = {**(known.where if known is not None else {}), **{str(key): str(key) for key in given}}
    titles |= known.where if known is not None else {}
    return [(key, title, _listed(given.get(key))) for key, title in titles.items()]


def _listed(value: Any) -> str:
    return "，".join(_fact(each) for each in (value if isinstance(value, list) else [value]) if each is not None)


def _fact(value: Any) -> str:
    return {True: "是", False: "否"}[value] if isinstance(value, bool) else str(value)


def run_keys_of(data: Mapping[str, Any]) -> dict[str, str]:
    """The run keys that the trigger's event can give."""
    wanted = data.get("trigger") if isinstance(data.get("trigger"), Mapping) else {}
    known = find_trigger(str((wanted or {}).get("event")))
    names = ("person", *(known.run_keys if known is not None else ()), str(data.get("run_key") or "person"))
    return {name: run_keys.TITLES.get(name, name) for name in dict.fromkeys(names)}


# What the controls of the panel stand at -----------------------------------------------------------------------------------


def show_when(card: Card) -> dict[str, str]:
    """The controls of a time, from what is written."""
    when = card.when or When()
    found = {"mode": "now", "number": "", "unit": "m", "sign": "+", "from": "", "to": ""}
    if when.days is not None:
        mode = "workday" if when.counts_workdays else "ahead" if when.days < 0 else "day"
        found |= {"mode": mode, "number": str(abs(when.days))}
        found["sign"] = "-" if when.days < 0 else "+"
    elif when.offset:
        seconds = abs(int(when.offset.total_seconds()))
        unit = next(unit for unit, size in (("d", 86400), ("h", 3600), ("m", 60)) if seconds % size == 0 or unit == "m")
        size = {"d": 86400, "h": 3600, "m": 60}[unit]
        before = when.offset.total_seconds() < 0
        found |= {"mode": "before" if before else "after", "number": str(max(1, seconds // size)), "unit": unit}
    if when.window is not None:
        found |= {"from": f"{when.window.start:%H:%M}", "to": f"{when.window.end:%H:%M}"}
    return found


def show_cron(data: Mapping[str, Any]) -> dict[str, Any]:
    """A schedule as the form has it; what that cannot say is cron."""
    wanted = data.get("trigger") if isinstance(data.get("trigger"), Mapping) else {}
    cron = str((wanted or {}).get("cron", ""))
    found: dict[str, Any] = {"every": "cron", "cron": cron, "time": "10:00", "day": "1", "weekdays": {"1"}}
    parts = cron.split()
    if len(parts) != 5 or not parts[0].isdigit() or not parts[1].isdigit() or parts[3] != "*":
        return found
    found["time"] = f"{int(parts[1]):02}:{int(parts[0]):02}"
    if parts[2] == parts[4] == "*":
        found["every"] = "day"
    elif parts[2] == "*" and all(each in "01234567" for each in parts[4].split(",")):
        found |= {"every": "week", "weekdays": {"0" if each == "7" else each for each in parts[4].split(",")}}
    elif parts[4] == "*" and parts[2].isdigit():
        found |= {"every": "month", "day": parts[2]}
    return found


def days_of(series_days: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """(key, title) of the days that a step may go to."""
    seen = set()
    for day in series_days:
        if day.unit and day.key not in seen:
            seen.add(day.key)
            yield day.key, day.title


__all__ = ["Words", "split_duration", "write_path"]
