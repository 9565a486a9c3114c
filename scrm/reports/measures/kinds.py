"""What a measure is: a title, its formula in words, a unit, and how it is reckoned from what was counted."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from scrm.reports.cohort import Counts
from scrm.reports.trade import Trade


class Unit(StrEnum):
    """How a value is written: a number, a share of one, fen."""

    COUNT = "count"
    SHARE = "share"
    MONEY = "money"


@dataclass(frozen=True, slots=True)
class Counted:
    """Everything that was counted of one period, for one channel or for all of them."""

    came: Counts
    trade: Trade


Value = float | None


@dataclass(frozen=True, slots=True)
class Measure:
    """`reckon` answers None where there is nothing to divide by; `people` names the list behind the number."""

    key: str
    title: str
    formula: str
    unit: Unit
    reckon: Callable[[Counted], Value]
    people: str = ""
    is_good_up: bool = True


def share(part: int, whole: int) -> Value:
    """None for a share of nothing."""
    return part / whole if whole else None
