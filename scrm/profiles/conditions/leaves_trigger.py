"""Leaves about the event that began a run: `{trigger: paid, op: gte, value: 300}`, answered from its facts.

Events keep money in fen under names that end in `_fen`; without that end a name means the same in yuan.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, false, true

from scrm.profiles.conditions.fields import OPERATORS, Asked
from scrm.profiles.conditions.leaf import Leaf, Spec, as_text, is_plain, listed, other_keys, written

_OPERATORS = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "not_in", "contains", "present", "missing")
# What is usual in them, by its path, as people read it.
FACTS = {
    "payable": "应付金额（元）",
    "paid": "实付金额（元）",
    "amount": "金额（元）",
    "face": "券面额（元）",
    "channel": "渠道",
    "shop_key": "店铺",
    "sku": "商品",
    "title": "标题",
    "reason": "原因",
    "level": "等级",
    "segment": "人群包",
}


_FEN = "_fen"


class Answered(dict[str, Any]):
    """A leaf about the event, with what the event says."""

    found: Any
    holds: bool


def _check(spec: Spec) -> list[str]:
    path, op = spec["trigger"], spec.get("op", "eq")
    if not isinstance(path, str) or not path.strip():
        return ["trigger 后面要写触发事件里的一项，如 paid（实付金额，元）"]
    if op not in _OPERATORS:
        return [f"trigger 不能用 {op} 比较，可用的有 {'、'.join(_OPERATORS)}"]
    if problems := other_keys(spec, "trigger", "op", "value"):
        return problems
    if op in ("present", "missing"):
        return ["present 和 missing 不需要写 value"] if "value" in spec else []
    return _check_value(path, op, spec)


def _check_value(path: str, op: str, spec: Spec) -> list[str]:
    if "value" not in spec:
        return [f"条件 trigger: {path} 缺少 value，不知道和什么比较"]
    value = spec["value"]
    if op in ("in", "not_in"):
        if not isinstance(value, list) or not 0 < len(value) <= 100 or not is_plain(value):
            return [f"{op} 要写一个列表，1 到 100 个文字或数字"]
    elif isinstance(value, list) or not is_plain(value):
        return [f"trigger: {path} 要和一个文字或数字比较，写的是“{value}”"]
    elif op == "contains" and not as_text(value):
        return ["contains 后面是空的，这样谁都包含；请写要找的文字"]
    elif op in ("gt", "gte", "lt", "lte") and _magnitude(value) is None:
        return [f"trigger: {path} 只能用数字或日期比大小，写的是“{value}”"]
    return []


def answer(tree: Any, facts: Mapping[str, Any] | None) -> Any:
    """The tree with its leaves about the event answered; without an event they stay open, and admit nobody."""
    if facts is None or not names_trigger(tree):
        return tree
    if isinstance(tree, list):
        return [answer(part, facts) for part in tree]
    if "trigger" not in tree:
        return {name: answer(part, facts) if name in ("all", "any", "not") else part for name, part in tree.items()}
    told = Answered(tree)
    told.found = _said(facts, str(tree["trigger"]))
    told.holds = not _check(tree) and _fits(tree, told.found)
    return told


def names_trigger(tree: Any) -> bool:
    """Whether some leaf asks for the event that began a run."""
    if isinstance(tree, list):
        return any(names_trigger(part) for part in tree)
    if not isinstance(tree, Mapping):
        return False
    return "trigger" in tree or any(names_trigger(tree[group]) for group in ("all", "any", "not") if group in tree)


def _said(facts: Mapping[str, Any], path: str) -> Any:
    """What the event says under that name; money that it keeps in fen, in yuan."""
    found = _find(facts, path)
    if found is None and isinstance(fen := _find(facts, path + _FEN), int):
        return fen // 100 if fen % 100 == 0 else fen / 100
    return found


def _find(facts: Mapping[str, Any], path: str) -> Any:
    """`channel.kind` as it stands, then level by level; None when it is not there."""
    if path in facts:
        return facts[path]
    found: Any = facts
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _fits(spec: Spec, found: Any) -> bool:
    """What the event does not say fits no comparison but `missing`."""
    op = spec.get("op", "eq")
    is_there = found is not None and found != "" and found != []
    if op in ("present", "missing"):
        return is_there is (op == "present")
    return is_there and _COMPARE[op](found, spec["value"])


def _is_one_of(found: Any, value: Any) -> bool:
    """As text, as conditions on events compare; of a list one is enough."""
    wanted = {as_text(each) for each in listed(value)}
    return any(as_text(each) in wanted for each in listed(found))


def _compared(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def fits(found: Any, value: Any) -> bool:
        left, right = _magnitude(found), _magnitude(value)
        return left is not None and right is not None and type(left) is type(right) and compare(left, right)

    return fits


def _magnitude(value: Any) -> float | date | None:
    """A number, or a day (of a moment too)."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(value).date()
    except ValueError:
        return None


def _contains(found: Any, value: Any) -> bool:
    return any(as_text(value).lower() in as_text(each).lower() for each in listed(found))


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": _is_one_of,
    "in": _is_one_of,
    "ne": lambda found, value: not _is_one_of(found, value),
    "not_in": lambda found, value: not _is_one_of(found, value),
    "gt": _compared(lambda left, right: left > right),
    "gte": _compared(lambda left, right: left >= right),
    "lt": _compared(lambda left, right: left < right),
    "lte": _compared(lambda left, right: left <= right),
    "contains": _contains,
}


def _compile(spec: Spec, asked: Asked) -> ColumnElement[bool]:
    return true() if isinstance(spec, Answered) and spec.holds else false()


def _words(spec: Spec) -> str:
    value = written(spec["value"]) if "value" in spec else ""
    return f"触发事件的{_title(str(spec['trigger']))} {OPERATORS[spec.get('op', 'eq')]} {value}".strip()


def _title(path: str) -> str:
    """As people read it; texts that still say fen are told so."""
    known = FACTS.get(path.removesuffix(_FEN), path)
    return known.replace("（元）", "（分）") if path.endswith(_FEN) else known


TRIGGER = Leaf(
    _check,
    _compile,
    _words,
    needs=lambda spec: "" if isinstance(spec, Answered) else "trigger",
    schema={
        "type": "object",
        "properties": {"trigger": {"type": "string"}, "op": {"enum": list(_OPERATORS)}, "value": {}},
        "required": ["trigger"],
        "additionalProperties": False,
    },
)
