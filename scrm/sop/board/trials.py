"""A playbook's tests as forms: what happens to a customer, how quick the staff is, and what should come of it. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import yaml

from scrm.errors import Invalid
from scrm.sop.board.model import Board
from scrm.sop.board.said import DROP, Said, split_duration
from scrm.sop.board.spots import Path
from scrm.sop.board.writing import write_flow
from scrm.sop.rehearsal.tests import ACTS, GIVEN, run_word
from scrm.sop.text.source import SourceError, read_source

# What a test may expect of steps, in the words of the playbook's page; coupons are named by their own keys.
EXPECTED = {
    "sent": "已发送",
    "done": "已完成",
    "tasks": "建了待办",
    "skipped": "已跳过",
    "dropped": "放弃",
    "expired": "已过期",
    "withdrawn": "已撤回",
    "failed": "失败",
    "suggested": "侧边栏建议",
    "notices": "内部通知",
    "outward": "外部推送",
    "coupons": "发了券",
}
RUNS = {
    "active": "还在进行中",
    "goal": "已达成目标",
    "exited": "已退出",
    "done": "已完成",
    "queued": "在排队",
    "paused": "已暂停",
    "none": "没有进入",
}
# Which steps can be meant: what reaches the customer, what is done besides.
_CHANNELS = {
    **dict.fromkeys(("sent", "tasks", "expired", "withdrawn"), "WTMGK"),
    "done": "XISK",
    "suggested": "S",
    "notices": "I",
    "outward": "K",
}
_LONGEST = timedelta(days=14)
_FIRST = time(10)


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of `given`: an event or a change of data, when, and what it says besides (YAML, a key on each line)."""

    what: str = ""
    at: str = ""
    key: str = ""
    value: str = ""
    more: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """One line of `expect` that lists steps or coupons."""

    key: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """A test as its form shows it; `more` is what of `expect` the form has no control for (YAML)."""

    name: str
    happenings: tuple[Happening, ...]
    until: str
    answers: str
    after: tuple[str, str]
    wishes: tuple[Wish, ...]
    run: str
    more: str
    arms: Mapping[str, str]
    holdout: bool


@dataclass(frozen=True, slots=True)
class Chance:
    """A split or a step with variants: what a test may decide instead of chance."""

    id: str
    names: tuple[str, ...]


# Showing --------------------------------------------------------------------------------------------------------------


def show(test: Any) -> Trial:
    """A test of the text, also one that is not finished."""
    given: Mapping[str, Any] = test if isinstance(test, Mapping) else {}
    expect = given.get("expect") if isinstance(given.get("expect"), Mapping) else {}
    wishes, rest = _split(expect or {})
    confirms = (given.get("staff") or {}).get("confirms_after") if isinstance(given.get("staff"), Mapping) else None
    is_own = isinstance(confirms, Mapping)
    return Trial(
        name=str(given.get("name") or ""),
        happenings=tuple(_happening(each) for each in _listed(given.get("given"))),
        until=_moment(given.get("until")),
        answers="own" if is_own else "never" if confirms in (None, "never") else "after",
        after=split_duration("" if is_own or confirms == "never" else confirms),
        wishes=wishes,
        run=run_word((expect or {}).get("run")),
        more=_lines(rest),
        arms={str(key): str(name) for key, name in _mapping(given.get("arms")).items()},
        holdout=given.get("holdout") is True,
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _happening(item: Any) -> Happening:
    if isinstance(item, str) and (found := GIVEN.fullmatch(item.strip())):
        return Happening(found[1], _moment(found[2]), found[3] or "")
    if not isinstance(item, Mapping):
        return Happening(more=str(item or ""))
    act = next((name for name in ACTS if name in item), "")
    rest = {key: value for key, value in item.items() if key not in ("event", "at", "key", act)}
    at, key = _moment(item.get("at")), str(item.get("key") or "")
    if not act:
        return Happening(str(item.get("event") or ""), at, key, more=_lines(rest))
    value = item[act]
    if isinstance(value, Mapping):
        return Happening(act, at, key, more=_lines(value))
    return Happening(act, at, key, "，".join(map(str, value)) if isinstance(value, list) else str(value))


def _moment(written: Any) -> str:
    """As the browser's control takes it; empty for what is no time."""
    if isinstance(written, datetime):
        return written.strftime("%Y-%m-%dT%H:%M")
    try:
        return datetime.fromisoformat(str(written)).strftime("%Y-%m-%dT%H:%M")
    except ValueError:
        return ""


def _split(expect: Mapping[str, Any]) -> tuple[tuple[Wish, ...], dict[str, Any]]:
    wishes, rest = [], {}
    for key, value in expect.items():
        if key in EXPECTED and isinstance(value, list | str):
            wishes.append(Wish(key, tuple(_name(each) for each in _items(value))))
        elif key != "run":
            rest[key] = value
    return tuple(wishes), rest


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _name(item: Any) -> str:
    return str(next(iter(item), "")) if isinstance(item, Mapping) else str(item)


def _lines(values: Mapping[Any, Any]) -> str:
    return "\n".join(f"{write_flow(key)}: {write_flow(value)}" for key, value in values.items())


# Reading --------------------------------------------------------------------------------------------------------------


def read(said: Said, at: Path, test: Mapping[str, Any]) -> list[tuple[Path, Any]]:
    """What differs from the test as it stands: what nobody touched stays as it is written."""
    shown = show(test)
    edits: list[tuple[Path, Any]] = []
    if (name := said.one("name")) != shown.name:
        edits.append(((*at, "name"), name or "没有名称的测试"))
    before = _listed(test.get("given"))
    if (given := _read_given(said, before)) != before:
        edits.append(((*at, "given"), given))
    if (staff := _read_staff(said, shown)) is not None:
        edits.append(((*at, "staff"), {**_mapping(test.get("staff")), "confirms_after": staff}))
    if (until := said.one("until")) != shown.until:
        if not until:
            raise Invalid("请写到什么时候为止")
        edits.append(((*at, "until"), until))
    if (arms := _read_arms(said, shown)) != shown.arms:
        edits.append(((*at, "arms"), arms or DROP))
    if (holdout := said.one("holdout") == "yes") != shown.holdout:
        edits.append(((*at, "holdout"), True if holdout else DROP))
    expected = _mapping(test.get("expect"))
    if (expect := _read_expect(said, shown, expected)) != expected:
        edits.append(((*at, "expect"), expect))
    return edits


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _read_given(said: Said, before: Sequence[Any]) -> list[Any]:
    """A line that says what it said stays as it was written."""
    count = said.number("given.rows", least=0, most=60) or 0
    given = []
    for number in range(count):
        row = _said_row(said, f"given.{number}")
        if not row.what:
            continue
        old = before[number] if number < len(before) else None
        given.append(old if old is not None and _happening(old) == row else _written(row))
    if not given:
        raise Invalid("测试至少要发生一件事")
    return given


def _said_row(said: Said, at: str) -> Happening:
    value, more = said.one(f"{at}.value"), said.text(f"{at}.more")
    return Happening(said.one(f"{at}.what"), said.one(f"{at}.at"), said.one(f"{at}.key"), value, more)


def _written(row: Happening) -> Any:
    if not row.at:
        raise Invalid("请写这件事发生在什么时候")
    facts = _read_lines(row.more)
    if row.what in ACTS:
        names = [part.strip() for part in row.value.replace(",", "，").split("，") if part.strip()]
        value: Any = facts or (names[0] if len(names) == 1 else names)
        if not value:
            raise Invalid(f"“{ACTS[row.what]}”要写改成什么")
        return {row.what: value, "at": row.at}
    if not facts:
        return f"{row.what} @{row.at}" + (f" {row.key}" if row.key else "")
    return {"event": row.what, "at": row.at, **({"key": row.key} if row.key else {}), **facts}


def _read_lines(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        found = read_source(text).plain()
    except (SourceError, yaml.YAMLError):
        found = None
    if not isinstance(found, dict):
        raise Invalid("每行写一个“名称: 值”，例如 channel.kind: 直播")
    return found


def _read_staff(said: Said, shown: Trial) -> Any:
    """None when it says what it said."""
    answers = said.one("answers")
    after = said.duration("after", "多久后发出")
    if answers == "own" or (answers, after) == (shown.answers, "".join(shown.after) if shown.after[0] else ""):
        return None
    if answers == "never":
        return None if shown.answers == "never" else "never"
    return after or "10m"


def _read_arms(said: Said, shown: Trial) -> dict[str, str]:
    """In the order in which they are written; what the form does not offer stays."""
    offered = said.all("arms.ids")
    chosen = {each: name for each in offered if (name := said.one(f"arms.{each}"))}
    kept = {each: chosen.get(each, name) for each, name in shown.arms.items() if each in chosen or each not in offered}
    return kept | chosen


def _read_expect(said: Said, shown: Trial, expected: Mapping[str, Any]) -> dict[str, Any]:
    """In the order in which it is written; a line that is new comes last."""
    wished = {key: said.all(f"expect.{key}") for key in said.all("expect.keys") if key in EXPECTED}
    if (added := said.one("expect.add")) in EXPECTED:
        wished.setdefault(added, [])
    more = said.text("expect.more")
    rest = _read_lines(more) if more != shown.more else _split(expected)[1]
    run = said.one("run")
    found: dict[str, Any] = {}
    for key, value in expected.items():
        if key in wished:
            found[key] = _names(wished.pop(key), value)
        elif key == "run" and run:
            found[key] = value if run == shown.run else run
        elif key in rest:
            found[key] = rest.pop(key)
    found |= wished | rest
    return found | ({"run": run} if run and "run" not in found else {})


def _names(wanted: Sequence[str], before: Any) -> Any:
    """Those that stay keep their order and what is said of them; new ones follow as the steps do."""
    items = _items(before)
    kept = [item for item in items if _name(item) in wanted]
    if len(kept) == len(items) and len(wanted) == len(kept):
        return before
    if len(kept) == len(wanted):
        return kept
    by_name = {_name(item): item for item in items}
    return [by_name.get(name, name) for name in wanted]


def read_came(said: Said, at: Path) -> list[tuple[Path, Any]]:
    """What came of a test becomes what it expects."""
    try:
        came = json.loads(said.one("came"))
    except ValueError:
        came = None
    if not isinstance(came, dict) or not came:
        raise Invalid("请先跑一遍测试")
    return [((*at, "expect"), came)]


def begun(event: str, first_day: str, number: int) -> dict[str, Any]:
    """A test to go on with: it begins with the playbook's own event, and expects nothing yet."""
    try:
        start = datetime.combine(date.fromisoformat(first_day), _FIRST)
    except ValueError:
        raise Invalid("画板不认识这一天，请刷新页面再试") from None
    return {
        "name": f"测试 {number}",
        "given": [f"{event or 'contact.added'} @{start:%Y-%m-%dT%H:%M}"],
        "staff": {"confirms_after": "10m"},
        "until": f"{start + _LONGEST:%Y-%m-%dT%H:%M}",
        "expect": {"sent": []},
    }


def chances(board: Board) -> list[Chance]:
    """Everything in the text that chance decides."""
    found = []
    for card in board.cards():
        names = [arm.name for arm in card.arms] if card.kind == "split" else _variants(card.data.get("content"))
        if names and card.id:
            found.append(Chance(card.id, tuple(names)))
    return found


def _variants(content: Any) -> list[str]:
    variants = content.get("variants") if isinstance(content, Mapping) else None
    return [
        str(each.get("name") or "ABCDE"[min(number, 4)])
        for number, each in enumerate(_listed(variants))
        if isinstance(each, Mapping)
    ]


def choices(key: str, steps: Sequence[tuple[str, str]], names: Sequence[str]) -> list[str]:
    """The steps, as (name, channel), that this line can be about; those that it names already stay."""
    channels = _CHANNELS.get(key, "WTMGKXIS")
    found = [name for name, channel in steps if channel in channels or name in names]
    return [*found, *(name for name in names if name not in found)]


# What came of it ----------------------------------------------------------------------------------------------------------


def problems_of(problems: Sequence[str], key: str) -> list[str]:
    """Those of a test's problems that are about this line of what was expected."""
    return [each for each in problems if each.startswith(f"{key} ")]


def about(problems: Sequence[str], names: Sequence[str]) -> set[str]:
    """The steps that came otherwise than expected."""
    found: set[str] = set()
    for problem in problems:
        lists = _LISTS.fullmatch(problem)
        found |= _words(lists[1]) ^ _words(lists[2]) if lists else _words(problem)
    return found & set(names)


_LISTS = re.compile(r"\w+ 期望 (.*)，实际 ([^（]*)(?:（.*)?", re.DOTALL)


def _words(text: str) -> set[str]:
    for mark in "，、：；（）“”{}'\" ":
        text = text.replace(mark, " ")
    return set(text.split())
