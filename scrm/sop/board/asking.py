"""What is asked of whoever starts a playbook by hand, as a form of the board (`trigger.ask`). Pure."""

from collections.abc import Mapping
from typing import Any

from scrm.errors import Invalid
from scrm.sop.board.said import DROP, Said
from scrm.sop.board.spots import Path, value_at
from scrm.sop.text.start_fields import MOST, TYPES

HOME: Path = ("trigger", "ask")


def read(said: Said, data: Mapping[str, Any], at: Path) -> list[tuple[Path, Any]]:
    """One thing that is asked for; options stand only where there is something to choose."""
    before = value_at(data, at)
    key, title, kind = said.one("key"), said.one("title"), said.one("type")
    if not key or not title:
        raise Invalid("每一项都要有名称和代号")
    if kind not in TYPES:
        raise Invalid("请选择填的是什么")
    kept = before.get("options") if isinstance(before, Mapping) else None
    options = said.listed("options") or kept or ["选项一", "选项二"]
    return [
        ((*at, "key"), key),
        ((*at, "title"), title),
        ((*at, "type"), DROP if kind == "text" else kind),
        ((*at, "required"), True if said.one("required") == "1" else DROP),
        ((*at, "options"), options if kind == "choice" else DROP),
    ]


def begun(data: Mapping[str, Any]) -> list[tuple[Path, Any]]:
    """One more, with a key that no other has."""
    keys = [key for key, _ in titles(data)]
    if len(keys) >= MOST:
        raise Invalid(f"最多 {MOST} 项")
    key = next(f"ask{number}" for number in range(1, MOST + 2) if f"ask{number}" not in keys)
    return [((*HOME, "+"), {"key": key, "title": "要填什么"})]


def titles(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key, title) of what is asked for; of a text that is only half written, what is there."""
    trigger = data.get("trigger")
    found = trigger.get("ask") if isinstance(trigger, Mapping) else None
    rows = [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []
    return [(str(each.get("key") or ""), str(each.get("title") or "")) for each in rows]
