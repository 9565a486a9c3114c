"""What is asked of whoever starts a playbook by hand: declared in its trigger, kept as the facts of the start. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from scrm.sop.schema import StartField

TYPES = {"text": "文字", "number": "数字", "date": "日期", "choice": "选项"}
MOST, MOST_OPTIONS, MOST_CHARS = 8, 20, 200
# What the start itself says.
RESERVED = ("playbook", "title", "by", "batch")


def filled(fields: Sequence[StartField], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The facts as they are kept, and what is wrong with them; what the fields do not name stays as it was given."""
    facts, problems = dict(given), []
    for field in fields:
        text = str(facts.pop(field.key, "") if facts.get(field.key) is not None else "").strip()
        if not text:
            problems += [f"还没有填“{field.title}”"] if field.is_required else []
            continue
        value, problem = _read(field, text)
        if problem:
            problems.append(problem)
        else:
            facts[field.key] = value
    return facts, problems


def _read(field: StartField, text: str) -> tuple[Any, str]:
    match field.type:
        case "number":
            try:
                number = float(text)
            except ValueError:
                number = float("nan")
            if not abs(number) < 1e12:
                return None, f"“{field.title}”要填数字，填的是“{text[:30]}”"
            return int(number) if number == int(number) else number, ""
        case "date":
            try:
                return date.fromisoformat(text).isoformat(), ""
            except ValueError:
                return None, f"“{field.title}”要填日期，例如 2026-03-05，填的是“{text[:30]}”"
        case "choice":
            if text not in field.options:
                return None, f"“{field.title}”要从 {'、'.join(field.options)} 里选，填的是“{text[:30]}”"
        case _:
            if len(text) > MOST_CHARS:
                return None, f"“{field.title}”最多 {MOST_CHARS} 个字，填了 {len(text)} 个"
    return text, ""


def said(fields: Iterable[StartField], facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was answered, as (title, words)."""
    return [(field.title, str(facts[field.key])) for field in fields if field.key in facts]
