"""A segment's condition as a form writes it: rows of one level, and YAML for what rows cannot say. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from scrm.errors import Invalid
from scrm.profiles.fields import Field, Kind

ROWS = 6
JOINTS = {"all": "同时满足", "any": "满足任意一条"}
_LISTS = ("in", "not_in")
_ALONE = ("present", "missing")


@dataclass(frozen=True, slots=True)
class RowText:
    """One row as it stands in the form."""

    field: str = ""
    op: str = "gte"
    value: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What somebody wrote into the form."""

    title: str = ""
    joint: str = "all"
    rows: tuple[RowText, ...] = ()
    more: str = ""
    is_exclusion: bool = False
    tells_first: bool = False


def read_form(form: Mapping[str, Any]) -> Written:
    """`joint`, `field_0`, `op_0`, `value_0` ..., `more`; nothing is checked yet."""
    rows = tuple(
        RowText(*(str(form.get(f"{part}_{number}", "")).strip() for part in ("field", "op", "value")))
        for number in range(ROWS)
        if str(form.get(f"field_{number}", "")).strip()
    )
    return Written(
        title=str(form.get("title", "")).strip(),
        joint="any" if form.get("joint") == "any" else "all",
        rows=rows,
        more=str(form.get("more", "")).strip(),
        is_exclusion=form.get("is_exclusion") == "1",
        tells_first=form.get("tells_first") == "1",
    )


def write_condition(said: Written, fields: Mapping[str, Field]) -> Any:
    """The tree that a form says; raises Invalid when a value or the YAML cannot be read."""
    parts = [_leaf(row, fields.get(row.field)) for row in said.rows] + _read_more(said.more)
    if not parts:
        raise Invalid("请至少写一个条件")
    return parts[0] if len(parts) == 1 else {said.joint: parts}


def _read_more(text: str) -> list[Any]:
    if not text:
        return []
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Invalid(f"“更多条件”不是正确的 YAML：{' '.join(str(error).split())[:200]}") from None
    return read if isinstance(read, list) else [read]


def _leaf(row: RowText, known: Field | None) -> dict[str, Any]:
    leaf = {"field": row.field, "op": row.op}
    if row.op in _ALONE:
        return leaf
    if row.op in _LISTS:
        values = [part.strip() for part in row.value.replace("，", ",").replace("、", ",").split(",")]
        return {**leaf, "value": [_value(each, known) for each in values if each]}
    return {**leaf, "value": _value(row.value, known)}


def _value(text: str, known: Field | None) -> Any:
    """A number where the field holds numbers; what it cannot be is left for the check to refuse."""
    if known is None or text in known.choices or known.kind not in (Kind.NUMBER, Kind.YUAN, Kind.ANY, Kind.DATE):
        return text
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def show_condition(tree: Any) -> Written:
    """A tree as the form shows it: simple leaves as rows, all others as YAML."""
    if not isinstance(tree, Mapping) or not tree:
        return Written()
    joint = next((name for name in JOINTS if isinstance(tree.get(name), list)), "")
    parts: Sequence[Any] = tree[joint] if joint else [tree]
    shown = [_row(part) for part in parts]
    simple = [row for row in shown if row is not None][:ROWS]
    rest = [part for part, row in zip(parts, shown, strict=True) if row is None or row not in simple]
    more = yaml.safe_dump(rest, allow_unicode=True, sort_keys=False, default_flow_style=None) if rest else ""
    return Written(joint=joint or "all", rows=tuple(simple), more=more.strip())


def _row(leaf: Any) -> RowText | None:
    if not isinstance(leaf, Mapping) or not isinstance(leaf.get("field"), str) or set(leaf) - {"field", "op", "value"}:
        return None
    value = leaf.get("value", "")
    text = "，".join(str(each) for each in value) if isinstance(value, list) else str(value)
    return RowText(leaf["field"], str(leaf.get("op", "eq")), text)
