"""What starts a playbook, how runs are told apart, and what they are there for."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from scrm.profiles.conditions.tree import EVENTS
from scrm.sop import run_keys, timing
from scrm.sop.calendar import consumption, dates, schedules
from scrm.sop.schema import Goal, StartField, Step, Trigger
from scrm.sop.text import start_fields
from scrm.sop.text.events import EventReader, hint_at
from scrm.sop.text.reading import shown
from scrm.sop.text.source import Node
from scrm.sop.triggers import ALIASES, OWN, TRIGGERS, find_trigger

RUN_KEYS = tuple(run_keys.TITLES)
TRIGGER_KEYS = ("event", "where", "date", "lunar", "yearly", "cron", "segment", "anchor", "cycle", "ask")
ASK_KEYS = ("key", "title", "type", "options", "required")
_ASK_KEY = re.compile(r"[a-z][a-z0-9_]{0,31}")


class TriggerReader(EventReader):
    """Reads trigger, run key, reentry and goal."""

    def trigger(self, node: Node) -> Trigger:
        parts = self.mapping(node, "trigger", TRIGGER_KEYS)
        if "event" not in parts:
            self.note(node.line, f"trigger 缺少 event，例如 contact.added、order.paid；可用的有 {_all_names()}")
            return Trigger("")
        event = self.event_name(parts["event"])
        known = find_trigger(event)
        asks = known.asks if known is not None else ()
        for key in ("date", "lunar", "yearly", "cron", "segment", "ask"):
            if key in parts and key not in asks:
                self.note(parts[key].line, f"trigger 的 {key} 不能和 {event} 一起用，请删掉")
        where = self.where(parts["where"], event) if "where" in parts else {}
        if event == dates.EVENT:
            return self.date_trigger(node, parts, where)
        if event == schedules.EVENT:
            return self.schedule_trigger(node, parts, where)
        if "anchor" in parts or "cycle" in parts:
            return self.used_up_trigger(node, parts, event, where)
        return Trigger(event, where, ask=self.start_fields(parts["ask"]) if "ask" in parts and "ask" in asks else ())

    def start_fields(self, node: Node) -> tuple[StartField, ...]:
        """What whoever starts it by hand is asked for."""
        found = [self.start_field(each) for each in self.sequence(node, "ask")]
        if len(found) > start_fields.MOST:
            self.note(node.line, f"ask 最多 {start_fields.MOST} 项，写了 {len(found)} 项")
        for key in {each.key for each in found if [one.key for one in found].count(each.key) > 1}:
            self.note(node.line, f"ask 里有两项的 key 都是“{key}”，请换一个")
        return tuple(found)

    def start_field(self, node: Node) -> StartField:
        parts = self.mapping(node, "ask", ASK_KEYS)
        missing = [key for key in ("key", "title") if key not in parts]
        if missing:
            self.note(
                node.line, f"ask 的一项缺少 {'、'.join(missing)}，例如 {{key: amount, title: 预算, type: number}}"
            )
            return StartField("", "")
        key = self.text(parts["key"], "key", _ASK_KEY, "小写字母开头，只用小写字母、数字和 _，最多 32 个字")
        if key in start_fields.RESERVED:
            self.note(parts["key"].line, f"key 不能用“{key}”，系统自己要用，请换一个")
        kind = self.choice(parts["type"], "type", tuple(start_fields.TYPES)) if "type" in parts else "text"
        options = [str(each.value) for each in self.sequence(parts["options"], "options")] if "options" in parts else []
        if kind == "choice" and not 0 < len(set(options)) == len(options) <= start_fields.MOST_OPTIONS:
            self.note(node.line, f"“{key}”是选项，options 要写 1 到 {start_fields.MOST_OPTIONS} 个不同的选项")
        elif kind != "choice" and options:
            self.note(node.line, f"“{key}”不是选项（type: choice），不写 options")
        title = self.text(parts["title"], "title", most=20)
        return StartField(key, title, kind, tuple(options), self.flag(parts, "required", False))

    def used_up_trigger(
        self, node: Node, parts: Mapping[str, Node], event: str, where: dict[str, tuple[Any, ...]]
    ) -> Trigger:
        """Counted from the day on which the goods are gone."""
        if not event.startswith("order."):
            self.note(node.line, f"anchor: used_up（按用完的日子算）只能和 order.* 一起用，不能和 {event} 一起用")
        for key, why in (("anchor", "used_up：从用完的那天算起"), ("cycle", "一件用多久，例如 30d；复购够多时按数据")):
            if key not in parts:
                self.note(node.line, f"按用完的日子算，缺少 {key}（{why}）")
        if not where.get("sku"):
            self.note(
                node.line, "按用完的日子算，where 里要写 sku：哪些商品编码算同一种，例如 where: {sku: [M50, M100]}"
            )
        if "anchor" in parts:
            self.choice(parts["anchor"], "trigger 的 anchor", (consumption.ANCHOR,))
        cycle = self.read(parts["cycle"], "trigger 的 cycle", timing.parse_duration) if "cycle" in parts else None
        return Trigger(event, where, anchor=consumption.ANCHOR, cycle=cycle)

    def event_name(self, node: Node) -> str:
        written = str(node.value)
        name = ALIASES.get(written, written)
        if find_trigger(name) is not None:
            return name
        if written in EVENTS:
            self.note(node.line, f"{written}（{EVENTS[written]}）不能开始剧本，只能用在条件里；可用的有 {_all_names()}")
        else:
            hint = hint_at(written, [*(each.name for each in TRIGGERS), OWN.name])
            self.note(node.line, f"trigger 的 event 不认识“{shown(node)}”，{hint}")
        return ""

    def date_trigger(self, node: Node, parts: Mapping[str, Node], where: dict[str, tuple[Any, ...]]) -> Trigger:
        if "date" not in parts:
            self.note(node.line, f"date.reached 缺少 date：{dates.WRITTEN}")
            return Trigger(dates.EVENT)
        name = parts["date"].value
        kind = dates.find_kind(name) if isinstance(name, str) else None
        if kind is None:
            self.note(parts["date"].line, f"date 写的是“{shown(parts['date'])}”，应为 {dates.WRITTEN}")
            return Trigger(dates.EVENT)
        lunar = self.flag(parts, "lunar", False)
        yearly = self.flag(parts, "yearly", kind.yearly or lunar)
        if lunar and not kind.lunar:
            self.note(parts["lunar"].line, f"{name} 没有农历，lunar 只能用于 birthday 和 field.<字段>")
        if lunar and not yearly:
            self.note(parts["lunar"].line, "农历日期每年才有意义，请删掉 yearly: false")
        return Trigger(dates.EVENT, where, date=str(name), lunar=lunar, yearly=yearly)

    def schedule_trigger(self, node: Node, parts: Mapping[str, Node], where: dict[str, tuple[Any, ...]]) -> Trigger:
        for key, why in (("cron", "什么时候，例如 0 10 * * 1（每周一 10 点）"), ("segment", "哪个人群包的客户")):
            if key not in parts:
                self.note(node.line, f"schedule.due 缺少 {key}：{why}")
        if "cron" not in parts or "segment" not in parts:
            return Trigger(schedules.EVENT)
        cron = self.read(parts["cron"], "cron", schedules.parse_cron) or ""
        return Trigger(schedules.EVENT, where, cron=cron, segment=self.text(parts["segment"], "segment"))

    def flag(self, parts: Mapping[str, Node], key: str, default: bool) -> bool:
        if key not in parts:
            return default
        value = parts[key].value
        if not isinstance(value, bool):
            self.note(parts[key].line, f"{key} 只能是 true 或 false，写的是“{shown(parts[key])}”")
        return value is True

    def run_key(self, node: Node, trigger: Trigger) -> str:
        """What two runs have in common; only what the trigger's event can tell."""
        key = self.choice(node, "run_key", RUN_KEYS)
        known = find_trigger(trigger.event)
        if known is not None and key != "person" and key not in known.run_keys:
            words = run_keys.words_for(("person", *known.run_keys))
            self.note(
                node.line, f"触发事件 {trigger.event} 没有 {key}（{run_keys.TITLES[key]}），run_key 可以写 {words}"
            )
        return key

    def reentry(self, node: Node) -> tuple[str, timedelta | None]:
        if isinstance(node.value, dict):
            parts = self.mapping(node, "reentry", ("every",))
            return "every", self.read(parts["every"], "reentry", timing.parse_duration) if parts else None
        if isinstance(node.value, str) and (found := re.fullmatch(r"every:?\s+(\S+)", node.value)):
            return "every", self.read(Node(found[1], node.line, {}), "reentry", timing.parse_duration)
        if node.value not in ("never", "per_key"):
            self.note(node.line, f"reentry 只能是 never、per_key 或 {{every: 120d}}，写的是“{shown(node)}”")
        return str(node.value), None

    def goal(self, node: Node) -> Goal:
        parts = self.mapping(node, "goal", ("event", "where", "within", "credit"))
        if "event" not in parts:
            self.note(node.line, "goal 缺少 event；没有目标就写 goal: none")
            return Goal("")
        event = self.event(parts["event"], "goal 的 event")
        within = self.read(parts["within"], "goal 的 within", timing.parse_duration) if "within" in parts else None
        credit = self.read(parts["credit"], "goal 的 credit", _parse_credit) if "credit" in parts else None
        where = self.where(parts["where"], event) if "where" in parts else {}
        return Goal(event, within, credit, where)


def _parse_credit(text: str) -> timedelta:
    """`3d`, or `last_touch_3d` in full: the last touch is the only way of it."""
    return timing.parse_duration(text.removeprefix("last_touch_"))


def with_lead(trigger: Trigger, steps: Iterable[Step]) -> Trigger:
    """A trigger by a date, knowing how many days before it the first step comes."""
    return replace(trigger, lead=dates.lead_of(steps)) if trigger.event == dates.EVENT else trigger


def _all_names() -> str:
    return "、".join((*(each.name for each in TRIGGERS), OWN.name))
