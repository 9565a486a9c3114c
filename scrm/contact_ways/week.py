"""Pure: what a week of a channel looks like: which hours have somebody or something, which have nothing or too much."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from scrm.contact_ways.plan import EVERY_DAY, Period, minutes

DAYS = "一二三四五六日"
DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some minutes of one weekday (0 is Monday) and the numbers of the periods that hold then, from 1."""

    day: int
    start: int
    end: int
    periods: tuple[int, ...]

    @property
    def hours(self) -> str:
        return f"{_clock(self.start)}–{_clock(self.end)}"


def week_of(periods: Sequence[Period]) -> list[Stretch]:
    """The whole week without holes, each day cut where a period begins or ends; those over midnight on both days."""
    spans = [(number, *span) for number, period in enumerate(periods, 1) for span in _spans(period)]
    return [stretch for day in EVERY_DAY for stretch in _day(day, [span for span in spans if span[1] == day])]


def gaps(week: Sequence[Stretch]) -> list[Stretch]:
    """Where nothing holds."""
    return [stretch for stretch in week if not stretch.periods]


def overlaps(week: Sequence[Stretch]) -> list[Stretch]:
    """Where several hold."""
    return [stretch for stretch in week if len(stretch.periods) > 1]


def told(stretches: Sequence[Stretch]) -> str:
    """In words, days with the same hours together: 周一、周二 00:00–09:00；周日 全天."""
    by_hours: dict[tuple[str, ...], list[int]] = {}
    for day in EVERY_DAY:
        hours = tuple(each.hours for each in stretches if each.day == day)
        if hours:
            by_hours.setdefault(hours, []).append(day)
    return "；".join(f"{_days(days)} {_hours(hours)}" for hours, days in by_hours.items())


def _days(days: Sequence[int]) -> str:
    return "每天" if len(days) == len(EVERY_DAY) else "周" + "、".join(DAYS[day] for day in days)


def _hours(hours: Sequence[str]) -> str:
    return "全天" if hours == ("00:00–24:00",) else "、".join(hours)


def _spans(period: Period) -> list[tuple[int, int, int]]:
    """(day, from, until) in minutes of the day; nothing for hours that cannot be read."""
    try:
        start, end = minutes(period.start), minutes(period.end)
    except ValueError:
        return []
    spans = []
    for day in period.days:
        if start < end:
            spans.append((day, start, end))
            continue
        spans.append((day, start, DAY))
        if end:
            spans.append(((day + 1) % 7, 0, end))
    return spans


def _day(day: int, spans: Sequence[tuple[int, int, int, int]]) -> list[Stretch]:
    borders = sorted({0, DAY, *(edge for _, _, start, end in spans for edge in (start, end))})
    stretches: list[Stretch] = []
    for start, end in pairwise(borders):
        holds = tuple(sorted({number for number, _, since, until in spans if since <= start and end <= until}))
        if stretches and stretches[-1].periods == holds:
            stretches[-1] = Stretch(day, stretches[-1].start, end, holds)
        else:
            stretches.append(Stretch(day, start, end, holds))
    return stretches


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
