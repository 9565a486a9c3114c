"""A condition as rows of a form: one level of simple leaves, and YAML for what rows cannot say. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from scrm.errors import Invalid
from scrm.profiles.fields import Kind, find_field
from scrm.sop.board.said import Said
from scrm.sop.board.writing import write_flow
from scrm.sop.source import SourceError, read_source

JOINTS = {"all": "同时满足", "any": "满足任意一条"}
_ALONE = ("present", "missing")
_LISTS = ("in", "not_in")
_NUMBER = re.compile(r"-?\d{1,15}")


@dataclass(frozen=True, slots=True)
class Row:
    """One leaf: `what` is `field:person.orders`, `event:order.paid`, `tag` ...; `within` is a duration as written."""

    what: str = ""
    op: str = ""
    value: str = ""
    within: str = ""
    is_not: bool = False

    @property
    def kind(self) -> str:
        return self.what.partition(":")[0]

    @property
    def name(self) -> str:
        return self.what.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Rows:
    """A whole condition; `more` is YAML, each line a leaf."""

    joint: str = "all"
    rows: tuple[Row, ...] = ()
    more: str = ""


# Showing --------------------------------------------------------------------------------------------------------------


def show_rows(tree: Any) -> Rows:
    """A tree as the form shows it."""
    if not isinstance(tree, Mapping) or not tree:
        return Rows()
    joint = next((name for name in JOINTS if len(tree) == 1 and isinstance(tree.get(name), list)), "")
    parts: Sequence[Any] = tree[joint] if joint else [tree]
    shown = [_row(part) for part in parts]
    rest = [part for part, row in zip(parts, shown, strict=True) if row is None]
    more = "\n".join(f"- {write_flow(part)}" for part in rest)
    return Rows(joint or "all", tuple(row for row in shown if row is not None), more)


def _row(leaf: Any) -> Row | None:
    if not isinstance(leaf, Mapping):
        return None
    if set(leaf) == {"not"}:
        row = _row(leaf["not"])
        return Row(row.what, row.op, row.value, row.within, True) if row is not None and not row.is_not else None
    shown = _field_row(leaf) or _event_row(leaf) or _other_row(leaf)
    # Only what comes back as it was may be shown in a row.
    return shown if shown is not None and _leaf(shown) == leaf else None


def _field_row(leaf: Mapping[str, Any]) -> Row | None:
    if "field" not in leaf:
        return None
    value = leaf.get("value", "")
    text = "，".join(_text(each) for each in value) if isinstance(value, list) else _text(value)
    return Row(f"field:{leaf['field']}", str(leaf.get("op", "")), text)


def _event_row(leaf: Mapping[str, Any]) -> Row | None:
    if "event" not in leaf:
        return None
    count = leaf.get("count")
    op, value = next(iter(count.items())) if isinstance(count, Mapping) and len(count) == 1 else ("", "")
    return Row(f"event:{leaf['event']}", str(op), _text(value), _text(leaf.get("within", "")))


def _other_row(leaf: Mapping[str, Any]) -> Row | None:
    within = _text(leaf.get("within", ""))
    match leaf:
        case {"tag": str(tag)}:
            return Row("tag", value=tag)
        case {"segment": str(segment)}:
            return Row("segment", value=segment)
        case {"flag": str(flag)}:
            return Row(f"flag:{flag}")
        case {"coupon": {"state": str(state)} as about}:
            return Row("coupon", op=state, value=_text(about.get("of", "")))
        case {"no_reply": True}:
            return Row("no_reply", within=within)
        case {"radar_opens_gte": int(times)}:
            return Row("radar", value=str(times), within=within)
        case {"pushed": {**counts}} if len(counts) == 1:
            op, count = next(iter(counts.items()))
            return Row("pushed", op=str(op), value=_text(count), within=within)
    return None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


# Reading --------------------------------------------------------------------------------------------------------------


def read_rows(said: Said, prefix: str) -> Any:
    """The tree that a form says, None for no condition; raises Invalid for YAML that cannot be read."""
    count = said.number(f"{prefix}.rows", least=0, most=50) or 0
    rows = [_said_row(said, f"{prefix}.{number}") for number in range(count)]
    parts = [_leaf(row) for row in rows if row.what] + _read_more(said.one(f"{prefix}.more"))
    if not parts:
        return None
    joint = "any" if said.one(f"{prefix}.joint") == "any" else "all"
    return parts[0] if len(parts) == 1 and joint == "all" else {joint: parts}


def _said_row(said: Said, prefix: str) -> Row:
    what, op, value, within = (said.one(f"{prefix}.{part}") for part in ("what", "op", "value", "within"))
    return Row(what, op, value, within, said.one(f"{prefix}.not") == "1")


def _leaf(row: Row) -> dict[str, Any]:
    leaf = _plain_leaf(row)
    return {"not": leaf} if row.is_not else leaf


def _plain_leaf(row: Row) -> dict[str, Any]:
    within = {"within": row.within} if row.within else {}
    match row.kind:
        case "field":
            return _field_leaf(row)
        case "event":
            count = {"count": {row.op: _whole(row.value or "1")}} if row.op else {}
            return {"event": row.name, **count, **within}
        case "flag":
            return {"flag": row.name}
        case "coupon":
            return {"coupon": {**({"of": row.value} if row.value else {}), "state": row.op or "unused"}}
        case "no_reply":
            return {"no_reply": True, **within}
        case "radar":
            return {"radar_opens_gte": _whole(row.value or "1"), **within}
        case "pushed":
            return {"pushed": {row.op or "gte": _whole(row.value or "1")}, **within}
    return {row.kind: row.value}


def _field_leaf(row: Row) -> dict[str, Any]:
    known = find_field(row.name)
    op = row.op or ("contains" if known is not None and known.kind is Kind.CHOICES else "eq")
    leaf: dict[str, Any] = {"field": row.name, "op": op}
    if op in _ALONE:
        return leaf
    if op in _LISTS:
        values = [part.strip() for part in re.split("[,，、]", row.value)]
        return {**leaf, "value": [_value(each, row.name) for each in values if each]}
    return {**leaf, "value": _value(row.value, row.name)}


def _value(text: str, name: str) -> Any:
    """A number where the field holds numbers; what it cannot be is left for the check to refuse."""
    known = find_field(name)
    if known is None or text in known.choices or known.kind not in (Kind.NUMBER, Kind.YUAN, Kind.ANY, Kind.DATE):
        return text
    if _NUMBER.fullmatch(text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def _whole(text: str) -> Any:
    return int(text) if _NUMBER.fullmatch(text) else text


def _read_more(text: str) -> list[Any]:
    if not text:
        return []
    try:
        read = read_source(text).plain()
    except (SourceError, yaml.YAMLError):
        raise Invalid("“更多条件”写法不对：每行一个条件，以 - 开头，例如 - {tag: 老客}") from None
    return read if isinstance(read, list) else [read]
