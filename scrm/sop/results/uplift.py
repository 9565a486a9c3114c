"""What a playbook gains over doing nothing, with how sure that is: pure arithmetic on counts and sums.

Shares by Wilson's score interval, their difference by Newcombe's (Statistics in Medicine 17, 1998, methods 3 and 10);
money by the normal approximation of two means.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

# Below so many persons in the holdout an interval is too wide to say anything.
LEAST_HOLDOUT = 200
_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the bounds it lies between in 95 of 100 cases."""

    value: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """Whether the interval lies on one side of nothing."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Group:
    """One side of a comparison: runs, those of them that reached the goal, and their money (fen) with its squares."""

    count: int
    hits: int
    sum_fen: int = 0
    squares: float = 0.0

    @property
    def rate(self) -> float:
        return self.hits / self.count if self.count else 0.0


@dataclass(frozen=True, slots=True)
class Uplift:
    """`rate` is the difference of the two shares, `extra` that times the treated runs; `fen` is per run.

    While `missing` persons are lacking from the holdout the intervals are None.
    """

    treated: Group
    holdout: Group
    missing: int
    rate: Interval | None
    extra: Interval | None
    fen: Interval | None


def wilson(hits: int, count: int) -> Interval:
    """A share with its bounds; raises ValueError for an empty group."""
    if count <= 0 or not 0 <= hits <= count:
        raise ValueError(f"{hits} of {count}: expected 0 <= hits <= count and a count above 0")
    share, square = hits / count, _Z * _Z
    middle = (share + square / (2 * count)) / (1 + square / count)
    reach = _Z * sqrt(share * (1 - share) / count + square / (4 * count * count)) / (1 + square / count)
    # At the ends the bound is the share itself, but for rounding.
    return Interval(share, min(share, max(0.0, middle - reach)), max(share, min(1.0, middle + reach)))


def difference(one: Group, other: Group) -> Interval:
    """The share of `one` less that of `other`, by the square-and-add of their score intervals."""
    mine, theirs = wilson(one.hits, one.count), wilson(other.hits, other.count)
    value = mine.value - theirs.value
    low = value - sqrt((mine.value - mine.low) ** 2 + (theirs.high - theirs.value) ** 2)
    high = value + sqrt((mine.high - mine.value) ** 2 + (theirs.value - theirs.low) ** 2)
    return Interval(value, low, high)


def difference_of_means(one: Group, other: Group) -> Interval:
    """What a run of `one` brings more than one of `other`, in fen; most runs bring nothing, and count."""
    value = one.sum_fen / one.count - other.sum_fen / other.count
    reach = _Z * sqrt(_variance(one) / one.count + _variance(other) / other.count)
    return Interval(value, value - reach, value + reach)


def _variance(group: Group) -> float:
    if group.count < 2:
        return 0.0
    mean = group.sum_fen / group.count
    return max(0.0, (group.squares - group.count * mean * mean) / (group.count - 1))


def compare(treated: Group, holdout: Group, holdout_persons: int) -> Uplift:
    """Treated runs beside those left alone; `holdout_persons` says how many persons those are."""
    missing = max(0, LEAST_HOLDOUT - holdout_persons)
    if missing or not treated.count or not holdout.count:
        return Uplift(treated, holdout, missing, None, None, None)
    rate = difference(treated, holdout)
    extra = Interval(*(bound * treated.count for bound in (rate.value, rate.low, rate.high)))
    return Uplift(treated, holdout, 0, rate, extra, difference_of_means(treated, holdout))
