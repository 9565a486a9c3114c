"""What pages and commands say of plans: states in one word each, and what comes next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row

from scrm.profiles.words import Word
from scrm.sop.plans import store
from scrm.sop.plans.calendar import Falling, Target, fall_due
from scrm.sop.plans.parse import parse_plan
from scrm.sop.plans.schema import GROUP, Item, Plan, To

KINDS = {"group": "客户群", "moment": "朋友圈"}
STATES = {"published": Word("已启用", "good"), "paused": Word("已暂停", "warn"), "retired": Word("已停用")}
CLAIMS = {
    "released": Word("待员工确认", "warn"),
    "done": Word("已发送", "good"),
    "skipped": Word("已跳过"),
    "expired": Word("已过期"),
    "failed": Word("失败", "bad"),
}


@dataclass(frozen=True, slots=True)
class Coming:
    """What goes out at one moment, to how many groups; `skipped` says why it will not."""

    when: str
    item_id: str
    title: str
    targets: int
    skipped: str
    due_at: datetime


def coming(conn: Connection, row: Row[Any], now: datetime, until: datetime, zone: ZoneInfo) -> list[Coming]:
    """What a plan will do until then, in the order of time; nothing while it stands still."""
    if row.state != "published":
        return []
    plan = parse_plan(row.source)
    targets = store.list_groups(conn, plan.to) if plan.kind == GROUP else [Target()]
    return _summed(fall_due(plan, targets, now, until, zone, store.days_off(conn), seen_at=now), zone)


def _summed(found: Sequence[Falling], zone: ZoneInfo) -> list[Coming]:
    groups: dict[tuple[datetime, str, str], list[Falling]] = {}
    for one in found:
        groups.setdefault((one.due_at, one.item.id, one.skipped), []).append(one)
    return [
        Coming(_when(due_at, zone), item_id, group[0].item.title, len(group), skipped, due_at)
        for (due_at, item_id, skipped), group in groups.items()
    ]


def _when(due_at: datetime, zone: ZoneInfo) -> str:
    local = due_at.astimezone(zone)
    return f"{local.month}月{local.day}日 周{'一二三四五六日'[local.weekday()]} {local:%H:%M}"


def day_of(item: Item) -> str:
    """On which days it goes out."""
    if item.weekdays:
        days = "每天" if len(item.weekdays) == 7 else "每周" + "、".join("一二三四五六日"[day] for day in item.weekdays)
    elif item.on_date is not None:
        days = f"{item.on_date.month}月{item.on_date.day}日"
    else:
        days = f"第 {item.day} 天" if item.day else "当天"
    return f"{days} {item.at:%H:%M}"


def whom(plan: Plan) -> str:
    """For whom it is, in words."""
    return "全部" if plan.to.everybody and not _chosen(plan.to, plan.kind) else "；".join(_chosen(plan.to, plan.kind))


def _chosen(to: To, kind: str) -> list[str]:
    tags = "群标签" if kind == GROUP else "客户标签"
    who = "群主" if kind == GROUP else "发表员工"
    parts = ((tags, to.tags), (who, to.members), ("群名含", to.names))
    return [f"{title}：{'、'.join(texts)}" for title, texts in parts if texts]
