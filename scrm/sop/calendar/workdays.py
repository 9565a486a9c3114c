"""Working days and days of rest in China, with the holidays and the make-up days of each year."""

from datetime import date, timedelta
from functools import lru_cache

import chinese_calendar

ONLY = ("workdays", "restdays")
_DAY = timedelta(days=1)


@lru_cache(maxsize=4096)
def is_workday(day: date) -> bool:
    """By the State Council's calendar; a year it has not been published for yet goes by Monday to Friday."""
    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError:
        return day.weekday() < 5


def is_of(day: date, only: str) -> bool:
    """Whether the day is one of "workdays" or "restdays"; any day is when nothing is asked."""
    return not only or is_workday(day) == (only == "workdays")


def next_of(day: date, only: str) -> date:
    """The day itself when it fits, else the next that does."""
    while not is_of(day, only):
        day += _DAY
    return day


def add(day: date, count: int, *, only_workdays: bool) -> date:
    """The day that many days later (or earlier), counting every day or only working days."""
    if not only_workdays:
        return day + count * _DAY
    step = _DAY if count >= 0 else -_DAY
    for _ in range(abs(count)):
        day += step
        while not is_workday(day):
            day += step
    return day
