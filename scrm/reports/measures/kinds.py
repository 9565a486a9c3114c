"""What a measure is: a title, its formula in words, a unit, and how it is reckoned from what was counted."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scrm.reports.cohort import Counts
from scrm.reports.trade import Trade


class Unit(StrEnum):
    """How a value is written: a number, a share of one, fen, how many times as much, minutes."""

    COUNT = "count"
    SHARE = "share"
    MONEY = "money"
    TIMES = "times"
    MINUTES = "minutes"


@dataclass(frozen=True, slots=True)
class Counted:
    """Everything that was counted of one period, for one channel or for all of them."""

    came: Counts
    trade: Trade
    # None where nobody entered a cost.
    cost_fen: int | None = None


Value = float | None


@dataclass(frozen=True, slots=True)
class Measure:
    """`reckon` takes what was counted and answers None where there is nothing to divide by; `people` names the list behind the number."""

    key: str
    title: str
    formula: str
    unit: Unit
    reckon: Callable[[Any], Value]
    people: str = ""
    is_good_up: bool = True


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure's value in the period and in the one before; `before` is None when nothing is compared."""

    measure: Measure
    value: Value
    before: Value

    @property
    def change(self) -> Value:
        """A share of the value before, or the difference of two shares; None where there is nothing to compare."""
        if self.value is None or self.before is None:
            return None
        if self.measure.unit is Unit.SHARE:
            return self.value - self.before
        return (self.value - self.before) / abs(self.before) if self.before else None


def share(part: int, whole: int) -> Value:
    """None for a share of nothing."""
    return part / whole if whole else None
