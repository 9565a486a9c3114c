"""Plain data as an author would write it: short things in braces on one line, steps and long texts in lines."""

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

_WIDTH = 104
# What is read more easily when each thing in it has its own line.
_TALL = {"content", "steps", "branch", "split", "else", "then", "variants", "do", "attachments", "coupons", "wait"}
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")


def write_scalar(value: Any, *, is_alone: bool = False) -> str:
    """On one line, such that the house reads exactly the same value again; `is_alone`: not within braces."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    if _is_plain(text, is_alone=is_alone):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _is_plain(text: str, *, is_alone: bool) -> bool:
    """Whether it needs no quotes: braces take fewer words than lines do."""
    if is_alone:
        return bool(yaml.safe_dump({"a": text}, allow_unicode=True, width=10**9) == f"a: {text}\n")
    return bool(yaml.safe_dump([text], allow_unicode=True, default_flow_style=True, width=10**9) == f"[{text}]\n")


def write_flow(value: Any) -> str:
    """Everything on one line, in braces and brackets."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{write_scalar(key)}: {write_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(write_flow(each) for each in value) + "]"
    return write_scalar(value)


def write_value(key: str, value: Any, indent: int) -> list[str]:
    """What follows `key:` that stands at `indent`: the rest of its line, and the lines below."""
    if isinstance(value, str) and _is_tall_text(value):
        return write_block_text(value, indent + 2)
    if isinstance(value, Mapping | list) and value and not _is_short(key, value, indent):
        if isinstance(value, Mapping):
            return ["", *write_mapping(value, indent + 2)]
        return ["", *(line for each in value for line in write_item(each, indent + 2))]
    return [f" {_on_one_line(value)}"]


def write_mapping(value: Mapping[str, Any], indent: int) -> list[str]:
    lines = []
    for key, each in value.items():
        first, *rest = write_value(key, each, indent)
        lines += [f"{' ' * indent}{write_scalar(key)}:{first}", *rest]
    return lines


def write_item(value: Any, indent: int) -> list[str]:
    """One item of a list whose dashes stand at `indent`."""
    if isinstance(value, Mapping) and value and not _is_short("", value, indent):
        first, *rest = write_mapping(value, indent + 2)
        return [f"{' ' * indent}- {first.strip()}", *rest]
    if isinstance(value, str) and _is_tall_text(value):
        first, *rest = write_block_text(value, indent + 2)
        return [f"{' ' * indent}-{first}", *rest]
    return [f"{' ' * indent}- {_on_one_line(value)}"]


def _on_one_line(value: Any) -> str:
    return write_flow(value) if isinstance(value, Mapping | list | tuple) else write_scalar(value, is_alone=True)


def write_block_text(text: str, indent: int) -> list[str]:
    body = text.rstrip("\n")
    mark = "|-" if body == text else "|" if text == body + "\n" else "|+"
    lines = body.split("\n") + [""] * (len(text) - len(body) - 1)
    return [f" {mark}", *(f"{' ' * indent}{line}" if line else "" for line in lines)]


def _is_tall_text(text: str) -> bool:
    """Whether it has several lines and can stand after `|` as it is."""
    lines = text.rstrip("\n").split("\n")
    if len(lines) == 1 or _UNSEEN.search(text) or "\t" in text:
        return False
    return bool(lines[0]) and not lines[0].startswith(" ") and not any(line.isspace() for line in lines)


def _is_short(key: str, value: Any, indent: int) -> bool:
    if key in _TALL or _holds_tall(value):
        return False
    return indent + len(key) + 2 + len(write_flow(value)) <= _WIDTH


def _holds_tall(value: Any) -> bool:
    if isinstance(value, Mapping):
        # A step is read from top to bottom.
        return "channel" in value or any(key in _TALL or _holds_tall(each) for key, each in value.items())
    if isinstance(value, list):
        return any(_holds_tall(each) for each in value)
    return isinstance(value, str) and "\n" in value
