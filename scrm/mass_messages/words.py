"""The words for the states of mass messages, the same wherever they are shown."""

from datetime import datetime
from typing import Any

from scrm.profiles.words import Word

MESSAGE_STATES = {
    "pending": Word("待审批", "warn"),
    "refused": Word("已退回", "bad"),
    "scheduled": Word("待发送", "info"),
    "preparing": Word("整理名单中", "info"),
    "dividing": Word("整理名单中", "info"),
    "running": Word("进行中", "info"),
    "done": Word("已结束"),
    "cancelled": Word("已停止"),
}


def state_of(row: Any, now: datetime) -> Word:
    """The word for a message; one whose time has not come waits."""
    waits = row.state == "preparing" and row.scheduled_at is not None and row.scheduled_at > now
    return MESSAGE_STATES.get("scheduled" if waits else row.state, Word(row.state))


PART_STATES = {
    "planned": Word("等待创建", "info"),
    "intent": Word("核对中", "warn"),
    "created": Word("待员工确认", "warn"),
    "recalling": Word("撤回中", "warn"),
    "done": Word("已结束"),
    "failed": Word("创建失败", "bad"),
    "cancelled": Word("已停止"),
}
TARGET_STATES = {
    "planned": Word("等待创建", "info"),
    "waiting": Word("待员工确认", "warn"),
    "sent": Word("已发送", "good"),
    "over_quota": Word("已达上限，未发"),
    "capped": Word("企业微信已达上限", "bad"),
    "refused": Word("客户拒收，未发"),
    "lost": Word("已不是好友，未发"),
    "not_friend": Word("已不是好友", "bad"),
    "unreachable": Word("无法送达", "bad"),
    "failed": Word("创建失败", "bad"),
    "unsent": Word("员工未确认"),
    "cancelled": Word("已停止"),
}
