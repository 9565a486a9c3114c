"""What a leaf of a condition is, and what several kinds of leaves share."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection

from scrm.profiles.conditions.fields import OPERATORS, Asked, is_among

__all__ = ["Asked", "is_among"]

Spec = Mapping[str, Any]

COUNT_OPERATORS = ("eq", "gt", "gte", "lt", "lte")
DURATION_SCHEMA = {"type": "string", "pattern": r"^(\d+[smhd])+$", "description": "30m、4h、3d"}
COUNT_SCHEMA = {"type": "object", "minProperties": 1, "maxProperties": 1, "description": "{gte: 2}"}

_DURATION = re.compile(r"(\d{1,5})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A kind of leaf: what is wrong with one, its SQL (never NULL), its words, and what must exist for it to count."""

    check: Callable[[Spec], list[str]]
    compile: Callable[[Spec, Asked], ColumnElement[bool]]
    words: Callable[[Spec], str]
    # False when what the leaf speaks of is unknown or deleted: then nobody is admitted.
    guard: Callable[[Spec], ColumnElement[bool]] | None = None
    # False when the leaf speaks of something empty: then its opposite admits nobody either.
    guard_of_not: Callable[[Spec], ColumnElement[bool]] | None = None
    found: Callable[[Spec, Asked], ColumnElement[Any]] | None = None
    # One value of `found` as people read it.
    tell: Callable[[Spec, Any], str] = lambda spec, value: f"{value:g}" if isinstance(value, float) else str(value)
    # What was found where more than one value tells it.
    explain: Callable[[Connection, Spec, Asked], str] | None = None
    # What of Asked must be known, else nobody is admitted: "run" (a member's relation), "trigger" (an event's facts).
    needs: Callable[[Spec], str] = lambda spec: ""
    # Its part of the published JSON Schema.
    schema: Mapping[str, Any] = field(default_factory=dict)


def other_keys(spec: Spec, *allowed: str) -> list[str]:
    others = [str(key) for key in spec if key not in allowed]
    return [f"条件里不认识“{'、'.join(others)}”，这里可以写 {'、'.join(allowed)}"] if others else []


def check_count(spec: Spec) -> list[str]:
    """`count: {gte: 2}`, one comparison with a whole number."""
    count = spec.get("count", {"gte": 1})
    if isinstance(count, Mapping) and len(count) == 1 and all(_is_count(*pair) for pair in count.items()):
        return []
    return ["count 要写成 {gte: 2} 这样：比较方式（eq、gt、gte、lt、lte）和次数"]


def _is_count(op: Any, times: Any) -> bool:
    return op in COUNT_OPERATORS and isinstance(times, int) and not isinstance(times, bool) and 0 <= times < 10**6


def check_within(spec: Spec) -> list[str]:
    if "within" not in spec or duration(spec["within"]) is not None:
        return []
    return [f"看不懂 within 的时长“{spec['within']}”，请写成 90d、72h 这样"]


_UNITS = {"d": " 天", "h": " 小时", "m": " 分钟", "s": " 秒"}


def span_words(text: Any) -> str:
    """`90d` -> 90 天, `1h30m` -> 1 小时 30 分钟."""
    return " ".join(f"{count}{_UNITS[unit]}" for count, unit in re.findall(r"(\d+)([dhms])", str(text))) or str(text)


def duration(text: Any) -> timedelta | None:
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]]) if found else None


def is_at_least_one(spec: Spec) -> bool:
    return dict(spec.get("count", {"gte": 1})) == {"gte": 1}


def counted(spec: Spec, number: ColumnElement[Any]) -> ColumnElement[bool]:
    """The comparison that `count` asks for."""
    ((op, times),) = spec.get("count", {"gte": 1}).items()
    return _COUNTED[op](number, times)


def count_words(spec: Spec) -> str:
    ((op, times),) = spec.get("count", {"gte": 1}).items()
    return f"{OPERATORS[op]} {times}"


_COUNTED: dict[str, Callable[[ColumnElement[Any], int], ColumnElement[bool]]] = {
    "eq": lambda number, times: number == times,
    "gt": lambda number, times: number > times,
    "gte": lambda number, times: number >= times,
    "lt": lambda number, times: number < times,
    "lte": lambda number, times: number <= times,
}


def has_none(spec: Spec) -> bool:
    """Whether somebody with nothing to count fits."""
    ((op, times),) = spec.get("count", {"gte": 1}).items()
    return bool({"eq": times == 0, "gt": False, "gte": times == 0, "lt": times > 0, "lte": True}[op])


def as_text(value: Any) -> str:
    """As JSON writes it, which is how both databases read it out of a column."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def is_plain(value: Any) -> bool:
    """A text or a number, or a list of them that is not empty."""
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(isinstance(each, str | int | float) for each in values)


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def written(value: Any) -> str:
    return "、".join(as_text(each) for each in listed(value))
