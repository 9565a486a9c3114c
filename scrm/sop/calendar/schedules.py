"""When a schedule fires: five fields of cron in the shop's zone, all pure."""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from scrm.sop.schema import Trigger

EVENT = "schedule.due"
# What was missed for longer is not made up for.
MISSED = timedelta(hours=24)

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WEEK = {"mon": "一", "tue": "二", "wed": "三", "thu": "四", "fri": "五", "sat": "六", "sun": "日"}
_NUMBERS = {**{name: number for number, name in enumerate(_DAYS)}, **{str(number): number for number in range(8)}}
_PART = re.compile(r"(\*|[a-z0-9]+)(?:-([a-z0-9]+))?(?:/([1-9]))?")
_EXAMPLE = "请写成“分 时 日 月 星期”，例如 0 10 * * 1（每周一 10:00）、30 9 1 * *（每月 1 日 9:30）"


def parse_cron(text: str) -> str:
    """The five fields as they are kept; raises ValueError in the author's words.

    At most once an hour. Sunday is 0 or 7, Monday 1, as everywhere but in APScheduler 3.
    """
    fields = text.lower().split()
    if len(fields) != 5:
        raise ValueError(f"“{text}”有 {len(fields)} 段，应为 5 段：{_EXAMPLE}")
    minute, _, day, _, weekday = fields
    if not minute.isdigit():
        raise ValueError(f"“{text}”的第一段是分钟，要写成一个数：定时剧本最多每小时一次。{_EXAMPLE}")
    if day != "*" and weekday != "*":
        raise ValueError(f"“{text}”同时写了日期和星期，请只写一个，另一个写 *")
    kept = " ".join(fields)
    try:
        trigger = _trigger(kept, ZoneInfo("Asia/Shanghai"))
    except ValueError:
        raise ValueError(f"看不懂定时“{text}”，{_EXAMPLE}") from None
    start = datetime(2027, 1, 1, tzinfo=ZoneInfo("Asia/Shanghai"))
    if trigger.get_next_fire_time(None, start) is None:
        raise ValueError(f"定时“{text}”说的日子不存在，永远不会到。{_EXAMPLE}")
    return kept


def words_of(trigger: Trigger) -> str:
    """「每周一 10:00，人群包“vip”里的客户」; empty for a trigger that is no schedule."""
    if not trigger.cron:
        return ""
    minute, hour, day, month, weekday = trigger.cron.split()
    at = f"{int(hour):02}:{int(minute):02}" if hour.isdigit() else f"每小时第 {minute} 分"
    if day == month == weekday == "*":
        when = f"每天 {at}" if hour.isdigit() else at
    elif day == month == "*":
        days = _weekdays(weekday).split(",")
        when = f"每周{'、'.join(_WEEK[name] for name in sorted(days, key=list(_WEEK).index))} {at}"
    elif month == weekday == "*" and day.isdigit():
        when = f"每月 {int(day)} 日 {at}"
    else:
        when = f"定时 {trigger.cron}"
    return f"{when}，人群包“{trigger.segment}”里的客户"


def last_fire(cron: str, zone: ZoneInfo, after: datetime, now: datetime) -> datetime | None:
    """The newest fire after `after` and not after `now`; None when there was none. Older ones are forgone."""
    trigger = _trigger(cron, zone)
    found, moment = None, max(after, now - MISSED)
    while True:
        fire: datetime | None = trigger.get_next_fire_time(None, moment.astimezone(zone) + timedelta(microseconds=1))
        if fire is None or fire > now:
            return found
        found = moment = fire


@lru_cache(maxsize=256)
def _trigger(cron: str, zone: ZoneInfo) -> CronTrigger:
    minute, hour, day, month, weekday = cron.split()
    return CronTrigger(
        minute=minute, hour=hour, day=day, month=month, day_of_week=_weekdays(weekday), second=0, timezone=zone
    )


def _weekdays(field: str) -> str:
    """Names instead of numbers: APScheduler 3 counts from Monday, cron from Sunday."""
    if field == "*":
        return field
    wanted: set[int] = set()
    for part in field.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise ValueError(part)
        first, last, step = found.groups()
        if first == "*":
            start, end = 0, 6
        elif first in _NUMBERS and (last is None or last in _NUMBERS):
            start = _NUMBERS[first]
            end = start if last is None else _NUMBERS[last]
        else:
            raise ValueError(part)
        if end < start:
            end += 7  # fri-mon
        wanted |= {day % 7 for day in range(start, end + 1, int(step or 1))}
    return ",".join(_DAYS[day] for day in sorted(wanted))
