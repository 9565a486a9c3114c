"""The house's guards: what the settings say, and what administrators changed on the page since."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from scrm import audit
from scrm.db import upsert
from scrm.errors import Invalid
from scrm.services import Services
from scrm.settings import Settings
from scrm.sop import timing
from scrm.sop.guards.answers import House, Promotion
from scrm.sop.models import house_guard
from scrm.sop.schema import Caps

_ONLY = 1
_DAY = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
# A run that is paused for longer ends.
MOST_PROMOTION = timedelta(days=12)
_SPAN = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")


@dataclass(slots=True)
class _Kept:
    """What this process knows of the page's values."""

    values: Mapping[str, Any]


def house_of(services: Services) -> House:
    """As this process knows it; `refresh` keeps that up to date."""
    kept = services.memory.get(_Kept)
    house = house_from(services.settings)
    return apply(house, kept.values) if kept is not None else house


def house_from(settings: Settings) -> House:
    """What the settings alone say."""
    said = settings.playbooks
    return House(
        zone=settings.shop.zone,
        quiet=None if said.quiet == "none" else timing.parse_window(said.quiet),
        caps=Caps(
            None if said.cap_gap == "none" else timing.parse_duration(said.cap_gap),
            _limit(said.cap_per_week),
            _limit(said.cap_per_month),
        ),
        after_sale=timedelta(days=said.after_sale_days),
        talk=timedelta(hours=said.talk_hours),
        tasks_per_day=_limit(said.tasks_per_day),
        holdout=int(said.holdout.removesuffix("%")) / 100,
        stop_tags=frozenset(said.stop_tags),
    )


def _limit(value: Any) -> int | None:
    return None if value in ("none", None) else int(value)


def apply(house: House, values: Mapping[str, Any]) -> House:
    """The house with the page's values; what it does not name stays."""
    caps = house.caps
    if "gap_hours" in values:
        caps = replace(caps, gap=_hours(values["gap_hours"]))
    if "per_week" in values:
        caps = replace(caps, per_week=_limit(values["per_week"]))
    if "per_month" in values:
        caps = replace(caps, per_month=_limit(values["per_month"]))
    changed: dict[str, Any] = {"caps": caps}
    if "quiet" in values:
        changed["quiet"] = None if values["quiet"] == "none" else timing.parse_window(values["quiet"])
    if "after_sale_days" in values:
        changed["after_sale"] = timedelta(days=values["after_sale_days"])
    if "talk_hours" in values:
        changed["talk"] = timedelta(hours=values["talk_hours"])
    if "tasks_per_day" in values:
        changed["tasks_per_day"] = _limit(values["tasks_per_day"])
    if "holdout_percent" in values:
        changed["holdout"] = values["holdout_percent"] / 100
    if "stop_tags" in values:
        changed["stop_tags"] = frozenset(values["stop_tags"])
    if "promotions" in values:
        changed["promotions"] = tuple(Promotion(*map(date.fromisoformat, each)) for each in values["promotions"])
    return replace(house, **changed)


def _hours(value: Any) -> timedelta | None:
    return None if value in ("none", None) else timedelta(hours=int(value))


async def refresh(services: Services) -> None:
    """Read what another process may have changed."""
    services.memory[_Kept] = _Kept(await services.db.read(load))


def load(conn: Connection) -> dict[str, Any]:
    """The page's values; empty when nobody has changed anything."""
    values = conn.scalar(select(house_guard.c["values"]).where(house_guard.c.id == _ONLY))
    return dict(values or {})


def find_change(conn: Connection) -> tuple[str, datetime] | None:
    """Who changed the values last, and when."""
    row = conn.execute(select(house_guard.c.changed_by, house_guard.c.changed_at)).first()
    return (row.changed_by, row.changed_at) if row is not None else None


@audit.keeps("guards", house_guard.c.id, of=(_ONLY,))
def save(conn: Connection, values: Mapping[str, Any], *, by: str, now: datetime) -> None:
    """Keep the page's values; an empty mapping goes back to the settings."""
    row = {"values": dict(values), "changed_by": by, "changed_at": now}
    insert = upsert(house_guard, conn).values(id=_ONLY, **row)
    conn.execute(insert.on_conflict_do_update(index_elements=["id"], set_=row))


def _read_promotions(text: str) -> list[list[str]]:
    """「2026-06-16 到 2026-06-20、2026-11-08 到 2026-11-12」; raises ValueError in words."""
    spans = []
    for part in filter(None, (each.strip() for each in re.split(r"[、,，;；\n]+", text))):
        days = _DAY.findall(part)
        try:
            first, last = (date(*map(int, each)) for each in days)
        except ValueError:
            raise ValueError(f"大促日期要写成 2026-06-16 到 2026-06-20，填的是“{part[:40]}”；几次用顿号分开") from None
        if not first <= last <= first + MOST_PROMOTION:
            raise ValueError(f"大促“{part[:40]}”要先写第一天再写最后一天，最多 {MOST_PROMOTION.days + 1} 天")
        spans.append([first.isoformat(), last.isoformat()])
    return sorted(spans)[-20:]


def read_form(form: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a form brings; raises Invalid with all that is wrong with it."""
    problems: list[str] = []

    def number(name: str, title: str, most: int, *, least: int = 1, may_be_none: bool = True) -> int | str:
        text = str(form.get(name, "")).strip()
        if may_be_none and text == "":
            return "none"
        if text.isascii() and text.isdigit() and least <= int(text[:6]) <= most:
            return int(text)
        zero = "；不限制请留空，0 不是“不限”" if text == "0" and least else ""
        problems.append(f"{title}要填 {least} 到 {most} 的整数，填的是“{text[:20]}”{zero}")
        return least

    quiet = str(form.get("quiet", "")).strip().replace("：", ":").replace("–", "-")
    if quiet and not _SPAN.fullmatch(quiet):
        problems.append(f"勿扰时段要写成 21:30-09:00，填的是“{quiet[:20]}”；不设请留空")
    values: dict[str, Any] = {
        "quiet": quiet or "none",
        "gap_hours": number("gap_hours", "两条营销消息的间隔（小时）", 720),
        "per_week": number("per_week", "7 天内最多", 100),
        "per_month": number("per_month", "30 天内最多", 300),
        "after_sale_days": number("after_sale_days", "售后结束后暂停的天数", 90, least=0, may_be_none=False),
        "talk_hours": number("talk_hours", "客户说话后暂停的小时数", 72, least=0, may_be_none=False),
        "tasks_per_day": number("tasks_per_day", "每位员工每天的待办", 1000),
        "holdout_percent": number("holdout_percent", "对照组比例", 50, least=0, may_be_none=False),
        "stop_tags": [word for word in re.split(r"[,，、\s]+", str(form.get("stop_tags", "")).strip()) if word][:20],
    }
    try:
        values["promotions"] = _read_promotions(str(form.get("promotions", "")))
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise Invalid("；".join(problems))
    return values
