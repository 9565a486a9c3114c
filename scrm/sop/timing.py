"""When a step falls due: times, durations and windows as authors write them, all pure."""

import hashlib
import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from scrm.sop.calendar import workdays
from scrm.sop.schema import When, Window

DEFAULT_TIME = time(10, 0)  # of `D+3` without a window
MOMENT = timedelta(minutes=30)  # `D+1 20:00`: spread over so much, that not everybody is told in one second

_DAY = timedelta(days=1)
_LONGEST_HOLIDAY = timedelta(days=9)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
# As many figures as a timedelta can hold, however often they are added.
_DURATION = re.compile(r"(?:\d{1,7}[smhd]){1,8}")
_PART = re.compile(r"(\d+)([smhd])")
_FROM_ANCHOR = re.compile(r"T0(?:([+-])(\S+))?")
_BY_DAY = re.compile(r"([DW])(?:([+-])(\d{1,4}))?(?:\s+(\S.*))?")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")
_WINDOW = re.compile(r"(\d{1,2}):(\d{2})\s*[-–~～至]\s*(\d{1,2}):(\d{2})")


def parse_duration(text: str) -> timedelta:
    """`30m`, `4h`, `3d`, `1h30m`; raises ValueError for anything else, and for nothing at all."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"看不懂时长“{text}”，请写成 30m、4h、3d 这样（s 秒、m 分、h 小时、d 天）")
    duration = sum((timedelta(**{_UNITS[unit]: int(count)}) for count, unit in _PART.findall(text)), timedelta())
    if not timedelta() < duration <= timedelta(days=3650):
        raise ValueError(f"时长“{text}”要大于 0、不超过 3650 天")
    return duration


def parse_window(text: str) -> Window:
    """`10:00-11:30`, or `21:30-09:00` across midnight; the end is outside. Raises ValueError."""
    found = _WINDOW.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"看不懂时间段“{text}”，请写成 10:00-11:30 这样")
    hours, minutes, end_hours, end_minutes = (int(part) for part in found.groups())
    if hours > 23 or minutes > 59 or end_minutes > 59 or end_hours * 60 + end_minutes > 24 * 60:
        raise ValueError(f"时间段“{text}”里有不存在的时刻，请用 00:00 到 24:00 之间的时刻")
    window = Window(time(hours, minutes), time(end_hours % 24, end_minutes))
    if window.start == window.end:
        raise ValueError(f"时间段“{text}”的开始和结束相同，里面没有时间")
    return window


def parse_when(text: str) -> When:
    """`T0`, `T0+30m`, `T0-2h` before a start that is to come, `D+3`, `D+3 10:00-11:30`, `D+1 20:00` (within half an hour), `D-3` before a date, `W+2` in working days; raises ValueError."""
    if found := _FROM_ANCHOR.fullmatch(text):
        offset = parse_duration(found[2]) if found[2] else timedelta()
        return When(offset=-offset if found[1] == "-" else offset)
    if found := _BY_DAY.fullmatch(text):
        days = int(found[3] or 0) * (-1 if found[2] == "-" else 1)
        return When(days=days, window=_parse_time(found[4]) if found[4] else None, counts_workdays=found[1] == "W")
    raise ValueError(
        f"看不懂时间“{text}”，请写成 T0、T0+30m、T0-2h（开播前 2 小时）、D+3、D-3（日期前 3 天）、W+2（工作日）或 D+3 10:00-11:30"
    )


def _parse_time(text: str) -> Window:
    """A window, or the half hour from a time on."""
    found = _CLOCK.fullmatch(text)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59:
        return parse_window(text)
    start = time(int(found[1]), int(found[2]))
    return Window(start, (datetime.combine(date.min, start) + MOMENT).time())


def due_at(when: When, anchor: datetime, zone: ZoneInfo, *, spread_key: str) -> datetime:
    """The moment, in UTC, at which a step of a run anchored at `anchor` falls due.

    `T0+30m` is counted by the clock and may lie outside its window: see `fits` and `next_open`. `D+3` is the third
    calendar day after the anchor's day in `zone`, at a time of its window that `spread_key` chooses, always the same:
    with an empty key its start.
    """
    if when.days is None:
        moment = (anchor + when.offset).astimezone(UTC)
        return moment if fits_day(when, moment, zone) else next_day(when, moment, zone)
    day = workdays.add(anchor.astimezone(zone).date(), when.days, only_workdays=when.counts_workdays)
    day = workdays.next_of(day, when.only)
    if when.window is None:
        return _moment(day, DEFAULT_TIME, zone)
    return _spread(*_span(day, when.window, zone), spread_key)


def fits_day(when: When, moment: datetime, zone: ZoneInfo) -> bool:
    """Whether its day is one of those the step is for."""
    return not when.only or workdays.is_of(moment.astimezone(zone).date(), when.only)


def next_day(when: When, moment: datetime, zone: ZoneInfo) -> datetime:
    """The same time of day on the next day that the step is for."""
    local = moment.astimezone(zone)
    return datetime.combine(workdays.next_of(local.date(), when.only), local.time(), tzinfo=zone).astimezone(UTC)


def fits(moment: datetime, window: Window, zone: ZoneInfo) -> bool:
    """Whether the moment lies in the daily window; the end does not belong to it."""
    return _span_around(moment, window, zone) is not None


def next_open(moment: datetime, window: Window, zone: ZoneInfo, *, spread_key: str | None = None) -> datetime:
    """The moment itself when it fits, else the window's next start; with `spread_key`, a time spread over it."""
    if fits(moment, window, zone):
        return moment
    day = moment.astimezone(zone).date()
    start, end = next(span for n in range(3) if (span := _span(day + n * _DAY, window, zone))[0] > moment)
    return start if spread_key is None else _spread(start, end, spread_key)


def quiet_until(moment: datetime, quiet: Window, zone: ZoneInfo) -> datetime | None:
    """When the quiet hours end that the moment lies in; None when it lies outside them."""
    span = _span_around(moment, quiet, zone)
    return None if span is None else span[1]


def opens_outside(window: Window, quiet: Window) -> bool:
    """Whether any minute of the window lies outside the quiet hours."""
    return bool(_minutes(window) - _minutes(quiet))


def earliest_gap(when: When) -> timedelta:
    """The least time between the anchor and the step, whatever time of day the anchor was."""
    if when.days is None:
        return when.offset
    start = when.window.start if when.window else DEFAULT_TIME
    gap = when.days * _DAY + _clock(start) - _DAY
    return gap if when.days < 0 else max(timedelta(), gap)


def latest_gap(when: When) -> timedelta:
    """The most time between the anchor and the step, whatever time of day the anchor was."""
    free = _LONGEST_HOLIDAY if when.only or when.counts_workdays else timedelta()
    if when.days is None:
        # A window may hold it back until the next day.
        return when.offset + (_DAY if when.window else timedelta()) + free
    days = when.days * _DAY * (2 if when.counts_workdays else 1) + free
    if when.window is None:
        return days + _clock(DEFAULT_TIME)
    crosses = when.window.end <= when.window.start
    return days + _clock(when.window.end) + (_DAY if crosses else timedelta())


def write_duration(duration: timedelta) -> str:
    """In words for people: 「72 小时」「30 分钟」「7 天」."""
    seconds = int(duration.total_seconds())
    if seconds % 86400 == 0 and seconds > 3 * 86400:
        return f"{seconds // 86400} 天"
    hours, rest = divmod(seconds, 3600)
    minutes = rest // 60
    parts = [f"{hours} 小时"] * bool(hours) + [f"{minutes} 分钟"] * bool(minutes)
    return " ".join(parts) or f"{seconds} 秒"


@lru_cache(maxsize=1024)
def _moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)


@lru_cache(maxsize=1024)
def _span(day: date, window: Window, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The window that begins on that day, in UTC: a day with a clock change makes it longer or shorter."""
    last = day if window.start < window.end else day + _DAY
    start = _moment(day, window.start, zone)
    return start, max(start, _moment(last, window.end, zone))


@lru_cache(maxsize=1024)
def _span_around(moment: datetime, window: Window, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
    """Remembered: a batch asks for one moment, and steps without a window of their own come at one time of day."""
    day = moment.astimezone(zone).date()
    for first in (day, day - _DAY):
        start, end = _span(first, window, zone)
        if start <= moment < end:
            return start, end
    return None


def _spread(start: datetime, end: datetime, key: str) -> datetime:
    if not key:
        return start
    part = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest(), "big") / (1 << 48)
    # Whole seconds, so that the same time comes back from the database.
    return start + timedelta(seconds=int((end - start).total_seconds() * part))


def _clock(at: time) -> timedelta:
    return timedelta(hours=at.hour, minutes=at.minute)


def _minutes(window: Window) -> set[int]:
    start, end = (at.hour * 60 + at.minute for at in (window.start, window.end))
    return {minute % 1440 for minute in range(start, end if end > start else end + 1440)}
