"""What a new part, arm or playbook begins with: something that is nearly right, and asks to be made one's own."""

from collections.abc import Collection
from typing import Any

from scrm.sop.board.editing import put
from scrm.sop.board.model import Day
from scrm.sop.board.writing import write_scalar

# What can be put on the board, as the button says it.
KINDS = {
    "T": "员工待办",
    "M": "企业群发",
    "W": "欢迎语",
    "X": "系统动作",
    "S": "侧边栏建议",
    "I": "内部通知",
    "G": "客户群群发",
    "K": "外部推送",
    "wait": "等待",
    "branch": "条件分支",
    "split": "随机分流",
}
_NAMES = {"T": "task", "M": "mass", "W": "welcome", "X": "act", "S": "hint", "I": "notice", "G": "group", "K": "push"}
_SAID = {
    "T": "{{ 客户称呼 }}好，我是{{ 员工 }}，",
    "M": "您好，我是{{ 员工 }}，",
    "W": "{{ 客户昵称 }}，您好！我是{{ 店铺 }}的{{ 员工 }}，有什么可以直接问我。",
    "I": "请看一下这位客户。",
    "G": "欢迎新朋友！",
    "K": "",
}
_WINDOW = "10:00-20:00"


def new_part(kind: str, day: Day, ids: Collection[str]) -> dict[str, Any]:
    """The data of a new step, wait, branch or split on that day."""
    name = free_name(_NAMES.get(kind, kind), ids)
    match kind:
        case "wait":
            return {"wait": {"id": name, "event": "order.paid", "timeout": "3d", "on_timeout": "next"}}
        case "branch":
            paid = {"name": "已付款", "if": {"event": "order.paid"}, "steps": []}
            return {"id": name, "branch": [paid, {"name": "其他", "else": []}]}
        case "split":
            arms: list[dict[str, Any]] = [{"name": each, "share": "50%", "steps": []} for each in ("甲", "乙")]
            return {"id": name, "split": arms}
    return {"id": name, "title": f"新的{KINDS[kind]}", **times(day, kind), "channel": kind, **owned(kind)}


def times(day: Day, kind: str) -> dict[str, Any]:
    """`at` and `window` of a new step; the welcome has its one moment, what the system does needs no window."""
    if kind == "W" or (day.number <= 0 and day.unit == "D" and kind in "XI"):
        return {"at": "T0"}
    if day.unit == "D" and day.number == 0:
        return {"at": "T0+30m", "window": _WINDOW}
    at = f"{day.unit or 'D'}{day.number:+d}"
    return {"at": at} if kind in "XI" else {"at": f"{at} {_WINDOW}"}


def owned(kind: str) -> dict[str, Any]:
    """What a step of that channel cannot be without."""
    late = {"late": "defer", "ttl": "24h"} if kind in "TMG" else {}
    match kind:
        case "X":
            return {"do": [{"add_tag": "待跟进"}]}
        case "S":
            return {"ttl": "7d", "hint": "客户来问时，先看看上次聊到哪里。"}
        case "I":
            return {"notify": "owner", "content": {"text": _SAID["I"]}}
        case "K":
            return {"to": "sms", "data": {"template": ""}}
    return {**late, "content": {"text": _SAID[kind]}}


def is_unwritten(channel: str, text: str) -> bool:
    """Whether a step still says what a new one says."""
    return bool(text) and text.strip() == _SAID.get(channel)


def free_name(stem: str, taken: Collection[str]) -> str:
    """`task`, `task-2` ...: the first that nothing has."""
    number = 1
    while (name := stem if number == 1 else f"{stem}-{number}") in taken:
        number += 1
    return name


def from_template(text: str, key: str, title: str) -> str:
    """A template under a key of its own, and a title if one was given."""
    text = put(text, ("playbook",), key)
    return put(text, ("title",), title) if title else text


def new_text(key: str, title: str) -> str:
    """A playbook that does nothing yet but could be published: one task half an hour after the add."""
    return f"""\
playbook: {key}
title: {write_scalar(title)}
trigger: {{event: contact.added}}
run_key: person
reentry: never
exit_if: {{event: order.paid}}
goal: {{event: order.paid, within: 7d}}
guards: {{quiet: inherit, cap: inherit}}

steps:
  - id: hello
    title: 打招呼
    at: T0+30m
    window: "{_WINDOW}"
    channel: T
    late: defer
    ttl: 24h
    content:
      text: "{{{{ 客户称呼 }}}}好，我是{{{{ 员工 }}}}，有什么可以帮您？"
"""
