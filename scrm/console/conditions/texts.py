"""A condition as text and back, without loss: groups in lines, each leaf in braces on one line. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from scrm.errors import Invalid
from scrm.sop.board.writing import write_flow
from scrm.sop.text.source import SourceError, read_source

MOST_CHARACTERS = 60_000
_GROUPS = ("all", "any", "not")


def write_text(tree: Any) -> str:
    """YAML as playbooks write it; nothing for no condition."""
    return "" if tree is None else "\n".join(_lines(tree)) + "\n"


def _lines(tree: Any) -> list[str]:
    group = next((name for name in _GROUPS if isinstance(tree, Mapping) and set(tree) == {name}), "")
    inner = tree[group] if group else None
    if group == "not" and _is_group(inner):
        return ["not:", *_indented(_lines(inner), "  ", "  ")]
    if group in ("all", "any") and isinstance(inner, list) and inner:
        return [f"{group}:", *(line for part in inner for line in _indented(_lines(part), "  - ", "    "))]
    return [write_flow(tree)]


def _is_group(tree: Any) -> bool:
    return isinstance(tree, Mapping) and any(name in tree for name in _GROUPS)


def _indented(lines: list[str], first: str, others: str) -> list[str]:
    return [(first if number == 0 else others) + line for number, line in enumerate(lines)]


def read_text(text: str) -> Any:
    """The tree that a text says, None for an empty one; a list is `all` of it. Raises Invalid with the line."""
    if not text.strip():
        return None
    if len(text) > MOST_CHARACTERS:
        raise Invalid(f"条件有 {len(text)} 个字，最多 {MOST_CHARACTERS} 个")
    try:
        read = read_source(text).plain()
    except SourceError as error:
        raise Invalid(str(error)) from None
    return {"all": read} if isinstance(read, list) else read


def read_tree(text: str) -> Any:
    """What the builder posts: JSON, nothing for no condition. Raises Invalid."""
    if not text.strip():
        return None
    try:
        return json.loads(text) if len(text) <= MOST_CHARACTERS else _refuse()
    except (ValueError, RecursionError):
        return _refuse()


def _refuse() -> Any:
    raise Invalid("条件没有完整地传过来，请刷新页面再试")
