"""Condition trees as playbooks use them: the leaves of scrm.profiles and, by this list, those of commerce."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, not_, or_, select

from scrm.commerce import models
from scrm.profiles.conditions import (
    LEAVES,
    Asked,
    Compared,
    Leaf,
    Problem,
    check_condition,
    compile_condition,
    explain,
    holding,
    holds,
    list_leaves,
)

__all__ = [
    "Compared",
    "Problem",
    "check_condition",
    "compile_condition",
    "explain",
    "holding",
    "holds",
    "list_leaves",
]

coupon_issue = models.coupon_issue.alias("asked_coupon")
coupon_batch = models.coupon_batch.alias("asked_batch")

_STATES = {"unused": "未用", "redeemed": "已核销", "expired": "已过期", "none": "未领取"}


def _check_coupon(spec: Mapping[str, Any]) -> list[str]:
    asked = spec["coupon"]
    if len(spec) != 1 or not isinstance(asked, Mapping) or set(asked) != {"of", "state"}:
        return ["条件 coupon 要写成 {coupon: {of: 券的编号, state: unused}}"]
    if not isinstance(asked["of"], str) or not asked["of"]:
        return ["条件 coupon 的 of 要写券的编号"]
    if asked["state"] not in tuple(_STATES):
        return [f"条件 coupon 的 state 只能是 {'、'.join(_STATES)}，写的是“{asked['state']}”"]
    return []


def _compile_coupon(spec: Mapping[str, Any], asked: Asked) -> ColumnElement[bool]:
    batch, state = spec["coupon"]["of"], spec["coupon"]["state"]
    mine = and_(
        coupon_issue.c.person_id == asked.person_id,
        coupon_issue.c.batch_key == batch,
        coupon_issue.c.state != "released",
    )
    if state == "none":
        return not_(exists(select(1).where(mine)))
    is_over = and_(coupon_issue.c.expires_at.is_not(None), coupon_issue.c.expires_at <= asked.now)
    wanted = {
        "redeemed": coupon_issue.c.state == "redeemed",
        "expired": and_(coupon_issue.c.state == "issued", is_over),
        "unused": and_(
            coupon_issue.c.state == "issued",
            or_(coupon_issue.c.expires_at.is_(None), coupon_issue.c.expires_at > asked.now),
        ),
    }
    return exists(select(1).where(mine, wanted[state]))


def _batch_exists(spec: Mapping[str, Any]) -> ColumnElement[bool]:
    return exists(select(1).where(coupon_batch.c.key == spec["coupon"]["of"]))


def _coupon_words(spec: Mapping[str, Any]) -> str:
    return f"券“{spec['coupon']['of']}”{_STATES[spec['coupon']['state']]}"


LEAVES["coupon"] = Leaf(_check_coupon, _compile_coupon, _coupon_words, guard=_batch_exists)
