"""The `tests:` of a playbook as authors write them, and how what came of one is compared with what was expected."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from scrm.sop import timing

GIVEN = re.compile(r"(\S+)\s+@(\S+)(?:\s+(\S+))?")
# What somebody does to the customer's data, written without `event`.
ACTS = {"set": "改字段", "tag": "打标签", "untag": "去标签", "segment": "进入人群包", "leave_segment": "离开人群包"}
OUTCOMES = ("sent", "done", "skipped", "dropped", "failed", "expired", "withdrawn")
LISTS = ("tasks", "coupons", "notices", "outward", "suggested")
MAPS = ("arms", "variant")
EXPECTED = (*OUTCOMES, *LISTS, *MAPS, "run", "next", "blocked", "checks")


# Reasons as authors may write them besides the words that people read.
REASONS = {"quiet_hours": "勿扰时段", "cap": "频控", "optout": "拒绝", "brake": "售后"}


class WrongTest(ValueError):
    """A test that cannot be played, in the author's words."""


@dataclass(frozen=True, slots=True)
class Given:
    """Something that happens in a test; `key` tells orders apart."""

    event: str
    at: datetime
    key: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Rehearsal:
    """What came of it: step ids by outcome, with the reasons; the state of the last run; a line for each moment.

    `held` says why the step that comes next was put off; `checks` has the guards' answers by step. `suggested` steps that
    nobody used are among the expired, but nobody was asked to send them: a test need not name them.
    """

    outcomes: dict[str, list[str]]
    reasons: dict[str, str]
    tasks: list[str]
    run: str
    coupons: list[str]
    next_step: str
    next_at: str
    story: list[str]
    notices: list[str] = field(default_factory=list)
    outward: list[str] = field(default_factory=list)
    suggested: list[str] = field(default_factory=list)
    arms: dict[str, str] = field(default_factory=dict)
    variant: dict[str, str] = field(default_factory=dict)
    held: str = ""
    checks: dict[str, dict[str, bool]] = field(default_factory=dict)

    def named(self, key: str) -> list[str]:
        """The steps (or coupons) that are listed under that word of `expect`."""
        if key in LISTS:
            found: list[str] = getattr(self, key)
            return found
        return self.outcomes.get(key, [])


@dataclass(frozen=True, slots=True)
class Result:
    """One test: `problems` is empty when everything came as expected; `came` is what it could have expected."""

    name: str
    line: int
    problems: list[str]
    story: list[str]
    came: dict[str, Any] = field(default_factory=dict)


# Reading --------------------------------------------------------------------------------------------------------------


def read_given(given: Any, zone: ZoneInfo) -> list[Given]:
    """`order.paid @2026-03-02T09:00 A100` or {event, at, key, ...facts}, times in the shop's zone; raises WrongTest."""
    if not isinstance(given, list) or not given:
        raise WrongTest("given 要写成列表，例如 [contact.added @2026-03-01T10:00]")
    return [_read_one(item, zone) for item in given]


def _read_one(item: Any, zone: ZoneInfo) -> Given:
    if isinstance(item, dict) and "at" in item:
        act = next((name for name in ("event", *ACTS) if name in item), "")
        facts = {key: value for key, value in item.items() if key not in ("event", "at", "key")}
        if act == "event":
            return Given(str(item["event"]), read_moment(item["at"], zone), str(item.get("key", "")), facts)
        if act:
            return Given(act, read_moment(item["at"], zone), "", facts)
    found = GIVEN.fullmatch(item.strip()) if isinstance(item, str) else None
    if found is None:
        raise WrongTest(
            f"看不懂 given 里的“{item}”，请写成 order.paid @2026-03-02T09:00，"
            f"或 {{{'/'.join(ACTS)}: ..., at: 2026-03-02T09:00}}"
        )
    return Given(found[1], read_moment(found[2], zone), found[3] or "")


def read_moment(text: Any, zone: ZoneInfo) -> datetime:
    """A time in the shop's zone, unless it names its own; raises WrongTest."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise WrongTest(f"看不懂时间“{text}”，请写成 2026-03-02T09:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Staff:
    """How the member deals with what he is asked to send; None is never. A step may have its own."""

    usual: timedelta | None = None
    steps: Mapping[str, timedelta | None] = field(default_factory=dict)

    def after(self, step_id: str) -> timedelta | None:
        return self.steps.get(step_id, self.usual)


def read_staff(staff: Any) -> Staff:
    """{confirms_after: 10m} or, for some steps, {confirms_after: {remind: 10m, else: never}}; raises WrongTest."""
    if not isinstance(staff or {}, dict) or set(staff or {}) - {"confirms_after"}:
        raise WrongTest(f"看不懂 staff“{staff}”，请写成 {{confirms_after: 10m}}，一直不发写 {{confirms_after: never}}")
    after = (staff or {}).get("confirms_after", "never")
    if isinstance(after, dict):
        steps = {str(step): _after(text) for step, text in after.items()}
        return Staff(steps.pop("else", None), steps)
    return Staff(_after(after))


def _after(text: Any) -> timedelta | None:
    if text == "never":
        return None
    try:
        return timing.parse_duration(str(text))
    except ValueError as error:
        raise WrongTest(f"staff 的 confirms_after：{error}，或写 never") from None


def came_of(found: Rehearsal) -> dict[str, Any]:
    """What came of a test, as its `expect` would be written."""
    listed = {key: found.named(key) for key in (*OUTCOMES, *LISTS) if key not in ("sent", "tasks")}
    came = {"sent": found.named("sent"), **{key: names for key, names in listed.items() if names}}
    return came | ({"run": found.run} if found.run else {})


# Comparing ------------------------------------------------------------------------------------------------------------


def compare(expected: Any, found: Rehearsal) -> list[str]:
    """A line for everything that came otherwise than expected; what is not named is not compared."""
    if not isinstance(expected, dict) or not expected:
        return ["expect 是空的，请写明期望的结果，例如 {sent: [welcome]}"]
    problems = [f"expect 里不认识“{key}”，可用的有 {'、'.join(EXPECTED)}" for key in expected if key not in EXPECTED]
    for key in (*OUTCOMES, *LISTS):
        if key in expected:
            problems += _compare_steps(key, expected[key], _owed(key, expected[key], found), found.reasons)
    for key in MAPS:
        if key in expected:
            problems += _compare_map(key, expected[key], getattr(found, key))
    if "run" in expected and run_word(expected["run"]) != found.run:
        problems.append(f"run 期望 {expected['run']}，实际 {found.run}")
    if "next" in expected:
        problems += _compare_next(expected["next"], found)
    if "blocked" in expected:
        problems += _compare_blocked(expected["blocked"], found)
    if "checks" in expected:
        problems += _compare_checks(expected["checks"], found.checks)
    return problems


def _owed(key: str, wanted: Any, found: Rehearsal) -> list[str]:
    """What came under that word, without the suggestions that ended unused and are not named."""
    named = set(_names(_items(wanted)))
    return [step for step in found.named(key) if key != "expired" or step not in found.suggested or step in named]


def _items(wanted: Any) -> list[Any]:
    return wanted if isinstance(wanted, list) else [wanted]


def _names(items: list[Any]) -> list[str]:
    """Each item is a step, or {step: reason}; an empty one names nothing."""
    return [name for item in items for name in (list(item)[:1] if isinstance(item, dict) else [str(item)])]


def run_word(written: Any) -> str:
    """The state of a run as authors may write it: goal, ended/goal, ended/exit."""
    word = str(written or "").rpartition("/")[2]
    return "exited" if word == "exit" else word


def _compare_next(wanted: Any, found: Rehearsal) -> list[str]:
    wanted = wanted if isinstance(wanted, dict) else {"step": str(wanted)}
    if wanted.get("step") == found.next_step and found.next_at.startswith(str(wanted.get("at", ""))):
        return []
    return [f"next 期望 {wanted}，实际 {found.next_step or '没有下一步'} {found.next_at}".rstrip()]


def _compare_steps(key: str, wanted: Any, actual: list[str], reasons: dict[str, str]) -> list[str]:
    items = _items(wanted)
    names = _names(items)
    if names != actual:
        why = "；".join(f"{step}：{reasons[step]}" for step in dict.fromkeys(actual + names) if reasons.get(step))
        return [f"{key} 期望 {_listed(names)}，实际 {_listed(actual)}" + (f"（{why}）" if why else "")]
    pairs = [pair for item in items if isinstance(item, dict) for pair in item.items()]
    return [
        f"{key} 的 {step} 期望原因含“{reason}”，实际“{reasons.get(step, '')}”"
        for step, reason in pairs
        if REASONS.get(str(reason), str(reason)) not in reasons.get(step, "")
    ]


def _compare_map(key: str, wanted: Any, actual: dict[str, str]) -> list[str]:
    if not isinstance(wanted, dict):
        return [f"{key} 要写成 {{编号: 名称}}，写的是“{wanted}”"]
    return [
        f"{key} 的 {name} 期望 {value}，实际 {actual.get(name, '没有走到')}"
        for name, value in wanted.items()
        if actual.get(name) != _ELSE.get(str(value), str(value))
    ]


# The last arm of a branch, which has no name in the text.
_ELSE = {"else": "其他"}


def _compare_blocked(wanted: Any, found: Rehearsal) -> list[str]:
    """{step: 原因}: put off, left out or refused for that reason."""
    if not isinstance(wanted, dict):
        return [f"blocked 要写成 {{步骤: 原因}}，写的是“{wanted}”"]
    stopped = {
        step: found.reasons.get(step, "") for key in ("skipped", "dropped", "failed") for step in found.named(key)
    }
    if found.held:
        stopped[found.next_step or "run"] = found.held
    return [
        f"blocked 的 {step} 期望原因含“{reason}”，实际{f'“{stopped[step]}”' if step in stopped else '没有被拦下'}"
        for step, reason in wanted.items()
        if step not in stopped or REASONS.get(str(reason), str(reason)) not in stopped[step]
    ]


def _compare_checks(wanted: Any, actual: dict[str, dict[str, bool]]) -> list[str]:
    """{step: {频控: true}}: whether that guard let the step pass."""
    if not isinstance(wanted, dict) or not all(isinstance(checks, dict) for checks in wanted.values()):
        return [f"checks 要写成 {{步骤: {{频控: true}}}}，写的是“{wanted}”"]
    return [
        f"checks 的 {step} {name} 期望{_passed(ok)}，实际{_passed(actual.get(step, {}).get(name))}"
        for step, checks in wanted.items()
        for name, ok in checks.items()
        if actual.get(step, {}).get(name) is not bool(ok)
    ]


def _passed(ok: bool | None) -> str:
    return "没有问到" if ok is None else "放行" if ok else "拦下"


def _listed(names: list[str]) -> str:
    return "、".join(names) or "无"
