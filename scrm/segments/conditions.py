"""Condition trees with every leaf there is: those of scrm.profiles and, by this list, of orders, coupons, segments."""

from scrm.profiles.conditions.fields import add_fields
from scrm.profiles.conditions.tree import (
    DEFINERS,
    LEAVES,
    Compared,
    Problem,
    Whom,
    check_condition,
    compile_condition,
    explain,
    find_missing,
    holding,
    holding_for,
    holds,
    holds_for,
    judge,
    list_leaves,
    needs_run,
)
from scrm.segments.fields import FIELDS
from scrm.segments.leaves_coupons import COUPON
from scrm.segments.leaves_orders import BOUGHT
from scrm.segments.leaves_segments import SEGMENT, with_segments

__all__ = [
    "Compared",
    "Problem",
    "Whom",
    "check_condition",
    "compile_condition",
    "explain",
    "find_missing",
    "holding",
    "holding_for",
    "holds",
    "holds_for",
    "judge",
    "list_leaves",
    "needs_run",
]

LEAVES["segment"] = SEGMENT
LEAVES["coupon"] = COUPON
LEAVES["bought"] = BOUGHT
add_fields(*FIELDS)
if with_segments not in DEFINERS:
    DEFINERS.append(with_segments)
