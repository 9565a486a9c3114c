"""Condition trees as playbooks use them: all leaves, those of orders, coupons and segments included."""

from scrm.segments.conditions import (
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
    list_leaves,
    needs_run,
)

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
    "list_leaves",
    "needs_run",
]
