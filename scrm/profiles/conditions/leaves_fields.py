"""Leaves about a field: `{field: person.paid_orders, op: gte, value: 3}`."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, false, select, true

from scrm.profiles.conditions.field_values import is_date, read_month, read_value
from scrm.profiles.conditions.fields import (
    FIELDS,
    OPERATORS,
    OPERATORS_OF,
    Asked,
    Field,
    Kind,
    compare,
    find_field,
    rows_of,
    stat_value,
    suggest_field,
)
from scrm.profiles.conditions.leaf import Leaf, Spec, other_keys, written

_MONTHS = {"this": "本月", "next": "下月"}
_CHINA = timedelta(hours=8)


def _check(spec: Spec) -> list[str]:
    key, op = spec["field"], spec.get("op", "eq")
    known = find_field(key) if isinstance(key, str) else None
    if known is None:
        if str(key).startswith("trigger."):
            return [
                f"触发事件里的一项不是字段，请写成 {{trigger: {str(key).removeprefix('trigger.')}, op: {op}, value: …}}"
            ]
        close = suggest_field(str(key))
        return [f"不认识的字段 {key}" + (f"，是不是想写 {close}？" if close else "")]
    if op not in OPERATORS_OF[known.kind]:
        return [f"“{known.title}”不能用 {op} 比较，可用的有 {'、'.join(OPERATORS_OF[known.kind])}"]
    return other_keys(spec, "field", "op", "value") or _check_value(known, op, spec)


def _check_value(known: Field, op: str, spec: Spec) -> list[str]:
    if op in ("present", "missing"):
        return ["present 和 missing 不需要写 value"] if "value" in spec else []
    if "value" not in spec:
        return [f"条件 {known.key} 缺少 value，不知道和什么比较"]
    value = spec["value"]
    if op in ("in", "not_in") and (not isinstance(value, list) or not 0 < len(value) <= 100):
        return [f"{op} 要写一个列表，1 到 100 个值"]
    if op == "contains" and not value:
        return ["contains 后面是空的，这样谁都包含；请写要找的文字"]
    if value == "":
        return [f"“{known.title}”还没写和什么比较；要找没有值的客户，请选“没有值”"]
    try:
        read = _read(known, op, value)
    except ValueError as error:
        return [str(error)]
    if op in ("gt", "gte", "lt", "lte") and isinstance(read, str) and not is_date(read):
        return [f"“{known.title}”只能用数字比大小，写的是“{value}”"]
    if isinstance(read, list) and len({type(each) for each in read} - {int}) > 1:
        return [f"{op} 的列表里不能既有文字又有数字"]
    return []


def _read(known: Field, op: str, value: Any) -> Any:
    if op == "month":
        return read_month(known, value)
    if op in ("in", "not_in"):
        return [read_value(known, each) for each in value]
    return None if op in ("present", "missing") else read_value(known, value)


def _field_of(spec: Spec) -> tuple[Field, str, Any]:
    known, op = find_field(spec["field"]), spec.get("op", "eq")
    if known is None:
        raise KeyError(spec["field"])
    return known, op, _read(known, op, spec.get("value"))


def _compile(spec: Spec, asked: Asked) -> ColumnElement[bool]:
    known, op, value = _field_of(spec)
    if op == "month" and known.kind is not Kind.DATE:
        return false()
    return compare(known, op, value, asked)


def _can_be(spec: Spec) -> ColumnElement[bool]:
    """Only a field that is defined as a date has a month."""
    known, op, _ = _field_of(spec)
    return false() if op == "month" and known.kind is not Kind.DATE else true()


def _found(spec: Spec, asked: Asked) -> ColumnElement[Any]:
    known, _, _ = _field_of(spec)
    joined = stat_value(known, asked)
    value = known.value(asked.person_id, asked.now) if joined is None else joined
    if known.rows is None and known.of_run is None:
        return value
    source, which = rows_of(known, asked)
    return select(value).select_from(source).where(which).limit(1).scalar_subquery()


def _tell(spec: Spec, value: Any) -> str:
    known, _, _ = _field_of(spec)
    if known.kind is Kind.YUAN:
        return f"{value / 100:g}"
    if known.kind is Kind.DATE and isinstance(value, int | float):
        return (date(1970, 1, 1) + timedelta(days=int(value))).isoformat()
    if known.kind is Kind.MOMENT and isinstance(value, int):
        return f"{datetime.fromtimestamp(value / 1000, UTC) + _CHINA:%Y-%m-%d %H:%M}"
    named = next((name for name, kept in known.choices.items() if kept == value), None)
    if named is not None:
        return str(named)
    return f"{value:g}" if isinstance(value, float) else str(value).strip("|").replace("|", "、")


def _words(spec: Spec) -> str:
    known, op, _ = _field_of(spec)
    value = spec.get("value", "")
    told = _MONTHS.get(value, f"{value} 月") if op == "month" else written(value)
    return f"{known.title} {OPERATORS[op]} {told}".strip()


def _needs(spec: Spec) -> str:
    known = find_field(spec["field"])
    return "run" if known is not None and known.of_run is not None else ""


def _schema() -> dict[str, Any]:
    described = " ".join(f"{known.key}（{known.title}）" for known in FIELDS)
    properties = {
        "field": {"type": "string", "description": described},
        "op": {"enum": list(OPERATORS)},
        "value": {},
    }
    return {"type": "object", "properties": properties, "required": ["field"], "additionalProperties": False}


FIELD = Leaf(_check, _compile, _words, guard=_can_be, found=_found, tell=_tell, needs=_needs, schema=_schema())
