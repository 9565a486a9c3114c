"""What a board of tables is: figures at its head, and lines with a value for each measure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from scrm.reports.measures.kinds import Figure, Measure, Unit, Value
from scrm.reports.period import Asked
from scrm.reports.whose import Whose
from scrm.sop.life.published import Published

NO_CHOICE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Look:
    """What a board is asked: which days, whose customers, and what else its page offers to choose."""

    asked: Asked
    whose: Whose
    now: datetime
    zone: ZoneInfo
    published: Published
    chosen: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """`narrow` is what an address says of this line, so that its numbers lead to its people."""

    key: str
    title: str
    values: tuple[Value, ...]
    note: str = ""
    url: str = ""
    narrow: Mapping[str, str] = field(default_factory=dict)
    # Where single numbers lead, by their measure's key.
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; its first measure is also drawn as bars when `has_bars`.

    `is_heat` colours its shares, of one or (`is_relative`) of the largest among them, and its minutes, the shortest best.
    """

    key: str
    title: str
    heading: str
    columns: Sequence[Measure]
    lines: Sequence[Line]
    empty: tuple[str, str]
    hint: str = ""
    has_bars: bool = False
    is_heat: bool = False
    is_relative: bool = False
    is_sortable: bool = True

    @property
    def tops(self) -> dict[Unit, float]:
        """What the colours are measured by."""
        found: dict[Unit, float] = {}
        for each in self.lines:
            for value, measure in zip(each.values, self.columns, strict=True):
                found[measure.unit] = max(found.get(measure.unit, 0.0), value or 0.0)
        return found if self.is_relative else {**found, Unit.SHARE: 1.0}

    def level(self, value: Value, measure: Measure, tops: Mapping[Unit, float]) -> int | None:
        """From 0, the worst, to 4; None for what has no colour."""
        if not self.is_heat or value is None or measure.unit not in (Unit.SHARE, Unit.MINUTES):
            return None
        level = min(4, int(value / tops[measure.unit] * 5)) if tops[measure.unit] else 0
        return level if measure.is_good_up else 4 - level

    def in_order(self, key: str, *, is_up: bool) -> list[Line]:
        """By a measure, the largest first unless `is_up`; what has no value comes last either way."""
        place = next((number for number, each in enumerate(self.columns) if each.key == key), 0)
        known = [line for line in self.lines if line.values[place] is not None]
        unknown = [line for line in self.lines if line.values[place] is None]
        known.sort(key=lambda line: (line.values[place] if is_up else -(line.values[place] or 0), line.title))
        return known + unknown


@dataclass(frozen=True, slots=True)
class Pick:
    """Something that a board offers to choose: the address's name for it, and (value, title) of each."""

    name: str
    title: str
    options: Sequence[tuple[str, str]]
    value: str


@dataclass(frozen=True, slots=True)
class Board:
    figures: Sequence[Figure]
    grids: Sequence[Grid]
    picks: Sequence[Pick] = ()
    # Whether the days and the comparison mean anything here.
    has_period: bool = True
    hint: str = ""
    # What an address says of the figures, where it is not the days that were asked for.
    narrow: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sort:
    """A board of the list."""

    key: str
    title: str
    load: Callable[[Connection, Look], Board]


def line(key: str, title: str, columns: Sequence[Measure], counted: Any, **rest: Any) -> Line:
    """Pure."""
    return Line(key, title, tuple(measure.reckon(counted) for measure in columns), **rest)


def compare(measures: Sequence[Measure], counted: Any, before: Any) -> list[Figure]:
    """Pure; `before` is None when nothing is compared."""
    return [
        Figure(each, each.reckon(counted), each.reckon(before) if before is not None else None) for each in measures
    ]
