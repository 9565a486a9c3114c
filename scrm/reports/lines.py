"""A line chart as points of a square of 100 by 100, and the round numbers beside it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

GRID = 4
MOST_TICKS = 7
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Line:
    """`points` as SVG's polyline takes them."""

    title: str
    tone: str
    points: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """`grid` are (y, number) from the top, `ticks` are (x, day)."""

    lines: list[Line]
    days: list[date]
    grid: list[tuple[float, int]]
    ticks: list[tuple[float, date]]

    @property
    def is_flat(self) -> bool:
        """Nothing happened on any day: there is nothing to see."""
        return not any(any(line.values) for line in self.lines)


def draw(days: Sequence[date], series: Sequence[tuple[str, str, Sequence[int]]]) -> Chart:
    """`series` are (title, tone, a number for each day)."""
    top = round_top(max((value for _, _, values in series for value in values), default=0))
    grid = [(100 - 100 * number / GRID, top * number // GRID) for number in range(GRID, -1, -1)]
    lines = [Line(title, tone, _points(values, top), tuple(values)) for title, tone, values in series]
    stride = max(1, -(-len(days) // MOST_TICKS))
    ticks = [(_x(number, len(days)), days[number]) for number in range(0, len(days), stride)]
    return Chart(lines, list(days), grid, ticks)


def round_top(most: int) -> int:
    """The least number that is easily cut in four and holds `most`."""
    power = 1
    while True:
        for step in _STEPS:
            top = step * GRID * power
            if top >= most and top == int(top):
                return int(top)
        power *= 10


def _points(values: Sequence[int], top: int) -> str:
    # One day is a level line.
    shown = values if len(values) > 1 else [*values, *values]
    return " ".join(f"{_x(n, len(shown)):.2f},{100 - 100 * value / top:.2f}" for n, value in enumerate(shown))


def _x(number: int, count: int) -> float:
    return round(100 * number / (count - 1), 2) if count > 1 else 0.0
