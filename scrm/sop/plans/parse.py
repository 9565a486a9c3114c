"""Reads a plan's text; everything that is wrong is said at once, with its line."""

import hashlib
import re
from datetime import date, time, timedelta

from scrm.content import programs
from scrm.content.render import WELCOME_TEXT_BYTES, check, variables_of
from scrm.sop import timing
from scrm.sop.plans.schema import GROUP, MOMENT, WEEKDAYS, Item, Plan, To
from scrm.sop.schema import Content
from scrm.sop.text.contents import ContentReader
from scrm.sop.text.reading import KEY, KEY_RULE, Known, PlaybookErrors, Problem, is_none, shown
from scrm.sop.text.source import Node, SourceError, read_source
from scrm.sop.values import texts_of

PLAN_KEYS = ("plan", "title", "kind", "description", "to", "start", "skip", "deputies", "items")
ITEM_KEYS = ("id", "title", "day", "on", "date", "at", "ttl", "content", "dedupe")
TO_KEYS = {GROUP: ("tags", "owners", "names", "all"), MOMENT: ("tags", "members", "all")}
MAX_ITEMS = 200
MAX_A_DAY = 3
_DAY = re.compile(r"D\+(\d{1,3})")
_TIME = re.compile(r"(\d{1,2}):(\d{2})")
_WEEKDAYS = {
    **{name: place for place, name in enumerate(WEEKDAYS)},
    **{f"周{n}": i for i, n in enumerate("一二三四五六日")},
}
_REQUIRED = {
    "plan": "固定不变的编号，例如 group-7-days",
    "title": "给人看的名称",
    "kind": "group（客户群）或 moment（朋友圈）",
    "to": "发给哪些群或由哪些员工发表，例如 {tags: [福利群]}",
    "items": "每天发什么",
}


def parse_plan(text: str, file_name: str = "plan.yaml") -> Plan:
    """A checked plan; raises PlaybookErrors with all problems at once."""
    try:
        root = read_source(text)
    except SourceError as error:
        raise PlaybookErrors(file_name, [Problem(error.line, error.text)]) from None
    reader = _Reader(Known())
    plan = reader.plan(root, text)
    if plan is None or reader.problems:
        raise PlaybookErrors(file_name, reader.problems)
    return plan


class _Reader(ContentReader):
    """Reads the whole."""

    def plan(self, root: Node, text: str) -> Plan | None:
        parts = self.mapping(root, "计划", PLAN_KEYS)
        for key, why in _REQUIRED.items():
            if key not in parts:
                self.note(root.line, f"缺少 {key}：{why}")
        if not all(key in parts for key in _REQUIRED):
            return None
        kind = self.choice(parts["kind"], "kind", (GROUP, MOMENT))
        start = self.start(parts["start"], kind) if "start" in parts else None
        items = self.items(parts["items"], kind)
        if kind == MOMENT and start is None and any(item.day is not None for item in items):
            self.note(root.line, "朋友圈计划里用了 D+几，要写 start：从哪一天开始数，例如 start: 2026-06-01")
        skips_restdays, skips = self.skips(parts["skip"]) if "skip" in parts else (False, frozenset())
        return Plan(
            key=self.text(parts["plan"], "plan", KEY, KEY_RULE),
            title=self.text(parts["title"], "title", most=40),
            kind=kind,
            description=self.text(parts["description"], "description") if "description" in parts else "",
            to=self.to(parts["to"], kind),
            start=start,
            skips_restdays=skips_restdays,
            skips=skips,
            deputies=self.deputies(parts["deputies"]) if "deputies" in parts else {},
            items=items,
            source=text,
            digest=hashlib.sha256(text.encode()).hexdigest(),
        )

    def to(self, node: Node, kind: str) -> To:
        parts = self.mapping(node, "to", TO_KEYS[kind])
        lists = {key: self.texts(part, key) for key, part in parts.items() if key != "all"}
        everybody = "all" in parts and parts["all"].value in (True, "true")
        if not everybody and not any(lists.values()):
            who = "群（tags、owners、names）" if kind == GROUP else "员工（members）或客户标签（tags）"
            self.note(node.line, f"to 没有选任何{who}；真的要全部，请写 all: true")
        return To(
            tags=lists.get("tags", ()),
            members=lists.get("owners", ()) or lists.get("members", ()),
            names=lists.get("names", ()),
            everybody=everybody,
        )

    def texts(self, node: Node, what: str) -> tuple[str, ...]:
        if isinstance(node.value, str):
            return (self.text(node, what),)
        return tuple(self.text(each, what) for each in self.sequence(node, what))

    def start(self, node: Node, kind: str) -> date | None:
        if kind == GROUP and (is_none(node) or node.value == "created"):
            return None
        found = self.day(node, "start")
        if found is None and kind == GROUP:
            self.note(node.line, "客户群计划的 start 写 created（从每个群的创建日算）或一个日期（开营日）")
        return found

    def deputies(self, node: Node) -> dict[str, str]:
        if not isinstance(node.value, dict) or not node.value:
            self.note(node.line, "deputies 要写成“员工账号: 代理人账号”，例如 deputies: {lina: wuhao}")
            return {}
        found = {str(owner).casefold(): self.text(deputy, "deputies") for owner, deputy in node.value.items()}
        for owner, deputy in found.items():
            if owner == deputy.casefold():
                self.note(node.line, f"deputies 里 {deputy} 不能是自己的代理人")
        return found

    def day(self, node: Node, what: str) -> date | None:
        try:
            return date.fromisoformat(str(node.value))
        except ValueError:
            self.note(node.line, f"{what} 要写成日期，例如 2026-06-01，写的是“{shown(node)}”")
            return None

    def skips(self, node: Node) -> tuple[bool, frozenset[date]]:
        parts = node.value if isinstance(node.value, list) else [node]
        days = {self.day(each, "skip") for each in parts if each.value != "restdays"}
        return any(each.value == "restdays" for each in parts), frozenset(day for day in days if day is not None)

    def items(self, node: Node, kind: str) -> tuple[Item, ...]:
        found = [self.item(each, number, kind) for number, each in enumerate(self.sequence(node, "items"), 1)]
        items = tuple(item for item in found if item is not None)
        if len(items) > MAX_ITEMS:
            self.note(node.line, f"有 {len(items)} 项，最多 {MAX_ITEMS} 项")
        self.check_series(items)
        return items

    def item(self, node: Node, number: int, kind: str) -> Item | None:
        parts = self.mapping(node, f"第 {number} 项", ITEM_KEYS)
        missing = [key for key in ("id", "at", "ttl", "content") if key not in parts]
        if missing:
            why = "（ttl：群主多久不确认就作废）" if "ttl" in missing else ""
            self.note(node.line, f"第 {number} 项缺少 {'、'.join(missing)}{why}")
            return None
        item_id = self.text(parts["id"], "id", KEY, KEY_RULE)
        said = self.inline(parts["content"]) or Content()
        self.check_said(said, parts["content"].line, item_id, kind)
        if sum(key in parts for key in ("day", "on", "date")) != 1:
            self.note(node.line, f"“{item_id}”要写哪天发：day（D+0 起算）、on（每周几）、date（某一天），三选一")
        if "dedupe" in parts and kind != GROUP:
            self.note(parts["dedupe"].line, "dedupe（群去重）只用于客户群")
        return Item(
            id=item_id,
            title=(self.text(parts["title"], "title", most=40) if "title" in parts else item_id),
            at=self.at(parts["at"]),
            ttl=self.read(parts["ttl"], "ttl", timing.parse_duration) or timedelta(hours=4),
            content=said,
            day=self.from_start(parts["day"]) if "day" in parts else None,
            weekdays=self.weekdays(parts["on"]) if "on" in parts else (),
            on_date=self.day(parts["date"], "date") if "date" in parts else None,
            dedupe="dedupe" in parts and parts["dedupe"].value in (True, "true"),
            line=node.line,
        )

    def from_start(self, node: Node) -> int | None:
        found = _DAY.fullmatch(str(node.value).strip())
        if found is None:
            self.note(node.line, f"day 要写成 D+0、D+1 这样，写的是“{shown(node)}”")
            return None
        return int(found[1])

    def weekdays(self, node: Node) -> tuple[int, ...]:
        names = [node] if isinstance(node.value, str) else self.sequence(node, "on")
        places = set()
        for each in names:
            if each.value == "daily":
                places |= set(range(7))
            elif str(each.value) in _WEEKDAYS:
                places.add(_WEEKDAYS[str(each.value)])
            else:
                self.note(each.line, f"on 要写 {'、'.join(WEEKDAYS)}、周一…周日或 daily，写的是“{shown(each)}”")
        return tuple(sorted(places))

    def at(self, node: Node) -> time:
        found = _TIME.fullmatch(str(node.value).strip())
        if found is None or int(found[1]) > 23 or int(found[2]) > 59:
            self.note(node.line, f'at 要写成几点几分并加引号，例如 "10:00"，写的是“{shown(node)}”')
            return time(10)
        return time(int(found[1]), int(found[2]))

    def check_said(self, said: Content, line: int, item_id: str, kind: str) -> None:
        """The same words for everybody: no variables of one person, no coupon of one's own."""
        if said.variants:
            self.note(line, f"“{item_id}”不能写 variants：一个群里的人看到的是同一条")
        elif not said.text and not said.attachments:
            self.note(line, f"“{item_id}”没有内容：写 text 或 attachments")
        # What cannot be read at all was told with its own words.
        sound = [text for text in texts_of(said) if not check(text)]
        if named := set().union(*(variables_of(text) for text in sound)):
            self.note(line, f"“{item_id}”是发给所有人的同一段话，不能用变量 {'、'.join(sorted(named))}")
        if any("coupon" in each for each in said.attachments):
            self.note(line, f"“{item_id}”不能放每人一张的券，请放一个通用的领券链接")
        if len(said.text.encode()) > WELCOME_TEXT_BYTES:
            self.note(line, f"“{item_id}”的文字超过 {WELCOME_TEXT_BYTES} 字节，请改短")
        if kind == MOMENT and any(programs.KIND in each for each in said.attachments):
            self.note(line, f"“{item_id}”是朋友圈，不能带小程序：请换成链接，或素材库里的图片、视频")

    def check_series(self, items: tuple[Item, ...]) -> None:
        seen: set[str] = set()
        days: dict[object, int] = {}
        for item in items:
            if item.id in seen:
                self.note(item.line, f"id“{item.id}”用了两次，请换一个")
            seen.add(item.id)
            for day in _days_of(item):
                days[day] = days.get(day, 0) + 1
                if days[day] == MAX_A_DAY + 1:
                    self.note(item.line, f"同一天排了 {MAX_A_DAY} 条以上，群友会嫌吵，请每天最多 {MAX_A_DAY} 条")


def _days_of(item: Item) -> list[object]:
    if item.weekdays:
        return [("week", day) for day in item.weekdays]
    return [("day", item.day)] if item.day is not None else [("date", item.on_date)]
