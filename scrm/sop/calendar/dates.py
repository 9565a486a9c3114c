"""Dates of customers: which there are, which day they fall on in a year, in the solar and the lunar calendar; all pure."""

import calendar
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from functools import lru_cache
from zoneinfo import ZoneInfo

from borax.calendars.lunardate import LCalendars, LunarDate

from scrm.sop.schema import Step, Trigger

EVENT = "date.reached"
WRITTEN = (
    "birthday（生日）、field.<自定义日期字段的标识>、contact.added（添加好友的周年）、"
    "order.first_paid（首次付款的周年）或 level.ends（会员等级到期）"
)
# After a stop no day further back is told: those that the house was asleep for, not a whole season.
CATCH_UP = timedelta(days=14)
# Birthdays of people, anniversaries of friendships (WeCom began in 2016) and of orders.
_FIRST_YEAR = 1900
FIRST_FRIENDSHIP = 2011
FIRST_ORDER = 2003
_DAY = timedelta(days=1)
_BIRTHDAY_FIELDS = ("birthday", "生日")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of date; `fields` are the keys of the shop's own fields that hold it."""

    name: str
    title: str
    yearly: bool
    lunar: bool = False
    fields: tuple[str, ...] = ()


_KINDS = {
    kind.name: kind
    for kind in (
        Kind("birthday", "生日", yearly=True, lunar=True, fields=_BIRTHDAY_FIELDS),
        Kind("contact.added", "添加好友的周年", yearly=True),
        Kind("order.first_paid", "首次付款的周年", yearly=True),
        Kind("level.ends", "会员等级到期", yearly=False),
    )
}


def find_kind(name: str) -> Kind | None:
    """What an author's `date` means; None for what nobody knows."""
    if name.startswith("field.") and name.removeprefix("field.").isidentifier():
        key = name.removeprefix("field.")
        return Kind(name, key, yearly=False, lunar=True, fields=(key,))
    return _KINDS.get(name)


@dataclass(frozen=True, slots=True)
class Meaning:
    """Texts of a field that mean one day, and the year that this occurrence counts for."""

    year: int
    texts: tuple[str, ...]


def lead_of(steps: Iterable[Step]) -> int:
    """How many days before its date the earliest of these steps comes; 0 when none comes before it."""
    ahead = [-(step.when.offset // _DAY if step.when.days is None else step.when.days) for step in steps]
    return max(0, 0, *ahead)


def words_of(trigger: Trigger) -> str:
    """「客户的农历生日到了，提前 3 天」; empty for a trigger that is no date."""
    kind = find_kind(trigger.date) if trigger.date else None
    if kind is None:
        return ""
    ahead = f"，提前 {trigger.lead} 天" if trigger.lead else ""
    return f"客户的{'农历' if trigger.lunar else ''}{kind.title}到了{'（每年）' if trigger.yearly else ''}{ahead}"


def told_of(trigger: Trigger) -> tuple[str, bool, bool, int]:
    """(date, lunar, yearly, lead): what playbooks must share to hear of it by the same event."""
    return trigger.date, trigger.lunar, trigger.yearly, trigger.lead


def anchor_of(day: date, zone: ZoneInfo) -> datetime:
    """The day's first moment in the shop's zone, from which D-3 and D+1 are counted."""
    return datetime.combine(day, clock_time(), tzinfo=zone)


def span_of(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """First moment of the day, and first moment of the next."""
    return anchor_of(day, zone), anchor_of(day + timedelta(days=1), zone)


def past_days(day: date, first_year: int) -> list[date]:
    """The days whose anniversary a day is, from `first_year` to the year before; 29 February's is the 28th."""
    found = [kept for year in range(first_year, day.year) if (kept := _same_day(day, year)) is not None]
    if _stands_for_leap_day(day):
        found += [date(year, 2, 29) for year in range(first_year, day.year) if calendar.isleap(year)]
    return found


@lru_cache(maxsize=512)
def meanings(day: date, *, lunar: bool, yearly: bool) -> tuple[Meaning, ...]:
    """What a field may hold when its date falls on `day`.

    A whole date ("1990-08-15") is a day of the solar calendar; with `lunar` its lunar anniversary counts. A value
    without a year ("08-15") is taken as the trigger says; 「农历八月十五」 is lunar whatever the trigger says.
    """
    if not yearly:
        return (Meaning(day.year, (day.isoformat(),)),)
    moon = _lunar(day)
    spoken = Meaning(moon.year, tuple(_spoken(moon))) if moon is not None else None
    if lunar:
        return (Meaning(spoken.year, (*_births(moon), *_bare(moon), *spoken.texts)),) if moon and spoken else ()
    solar = [past.isoformat() for past in (*past_days(day, _FIRST_YEAR), day)]
    bare = list(_written(day.month, day.day))
    if _stands_for_leap_day(day):
        bare += _written(2, 29)
    return (Meaning(day.year, (*solar, *bare)), *([spoken] if spoken else []))


def _same_day(day: date, year: int) -> date | None:
    try:
        return day.replace(year=year)
    except ValueError:
        return None


def _stands_for_leap_day(day: date) -> bool:
    return (day.month, day.day) == (2, 28) and not calendar.isleap(day.year)


def _written(month: int, day: int) -> tuple[str, ...]:
    return f"{month:02}-{day:02}", f"{month}-{day}", f"{month:02}/{day:02}", f"{month}/{day}", f"{month}月{day}日"


# The lunar calendar ---------------------------------------------------------------------------------------------------
# Who was born in a leap month is greeted in the month of that number; who was born on the 30th, in a month of 29 days
# on the 29th. So everybody has one birthday in each lunar year.


def _lunar(day: date) -> LunarDate | None:
    """None in a leap month, which is nobody's, and outside 1900 to 2100."""
    try:
        moon = LunarDate.from_solar(day)
    except ValueError:
        return None
    return None if moon.leap else moon


def _days_meant(moon: LunarDate) -> tuple[int, ...]:
    is_short_end = moon.day == 29 and LCalendars.ndays(moon.year, moon.month, 0) == 29
    return (29, 30) if is_short_end else (moon.day,)


def _births(moon: LunarDate) -> Iterator[str]:
    """The solar days of birth whose lunar birthday this is."""
    for year in range(_FIRST_YEAR, moon.year + 1):
        for month, begins, length in _months(year):
            if month == moon.month:
                for day in _days_meant(moon):
                    if day <= length:
                        yield (begins + timedelta(days=day - 1)).isoformat()


@lru_cache(maxsize=256)
def _months(year: int) -> tuple[tuple[int, date, int], ...]:
    """(number, first day, length) of each month of a lunar year; a leap month has the number of the one before it."""
    begins = LunarDate(year, 1, 1).to_solar_date()
    months = []
    for month, length, _ in LCalendars.iter_year_month(year):
        months.append((month, begins, length))
        begins += timedelta(days=length)
    return tuple(months)


def _bare(moon: LunarDate) -> Iterator[str]:
    for day in _days_meant(moon):
        yield from _written(moon.month, day)


def _spoken(moon: LunarDate) -> Iterator[str]:
    for prefix in ("农历", "阴历"):
        for leap in ("", "闰"):
            for day in _days_meant(moon):
                for month in _MONTHS[moon.month]:
                    yield f"{prefix}{leap}{month}月{_DAY_NAMES[day]}"
                for text in _written(moon.month, day):
                    yield f"{prefix}{leap}{text}"
                yield f"{prefix}{leap}{moon.month}月{day}"


_DIGITS = "一二三四五六七八九十"
_MONTHS: Mapping[int, tuple[str, ...]] = {
    **{number: (_DIGITS[number - 1],) for number in range(2, 11)},
    1: ("正", "一"),
    11: ("冬", "十一"),
    12: ("腊", "十二"),
}
_DAY_NAMES: Mapping[int, str] = {
    **{day: f"初{_DIGITS[day - 1]}" for day in range(1, 11)},
    **{day: f"十{_DIGITS[day - 11]}" for day in range(11, 20)},
    20: "二十",
    **{day: f"廿{_DIGITS[day - 21]}" for day in range(21, 30)},
    30: "三十",
}
