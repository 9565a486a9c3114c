"""Leaves about a person's coupons: `{coupon: {of: new72h, state: unused}}`, of any batch without `of`."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, not_, or_, select, true

from scrm.commerce import models
from scrm.profiles.conditions.fields import Asked
from scrm.profiles.conditions.leaf import DURATION_SCHEMA, Leaf, Spec, duration, is_among, span_words

coupon_issue = models.coupon_issue.alias("asked_coupon")
coupon_batch = models.coupon_batch.alias("asked_batch")

STATES = {"unused": "未用", "redeemed": "已核销", "expired": "已过期", "none": "未领取"}
_KEYS = {"of", "state", "expires_within"}


def _check(spec: Spec) -> list[str]:
    asked = spec["coupon"]
    if len(spec) != 1 or not isinstance(asked, Mapping) or "state" not in asked or set(asked) - _KEYS:
        return ["条件 coupon 要写成 {coupon: {of: 券的编号, state: unused}}，任何一张券就不写 of"]
    if "of" in asked and (not isinstance(asked["of"], str) or not asked["of"]):
        return ["条件 coupon 的 of 要写券的编号"]
    if asked["state"] not in tuple(STATES):
        return [f"条件 coupon 的 state 只能是 {'、'.join(STATES)}，写的是“{asked['state']}”"]
    if "expires_within" in asked and (asked["state"] != "unused" or duration(asked["expires_within"]) is None):
        return ["expires_within 要写成 7d 这样，只能和 state: unused 一起用"]
    return []


def _mine(spec: Spec, asked: Asked) -> ColumnElement[bool]:
    """Coupons of the batch that the leaf is about, of anybody."""
    about, issue = spec["coupon"], coupon_issue.c
    given = and_(issue.batch_key == about["of"] if "of" in about else true(), issue.state != "released")
    if about["state"] == "none":
        return given
    if about["state"] == "redeemed":
        return and_(given, issue.state == "redeemed")
    if about["state"] == "expired":
        return and_(given, issue.state == "issued", issue.expires_at.is_not(None), issue.expires_at <= asked.now)
    usable = and_(given, issue.state == "issued", or_(issue.expires_at.is_(None), issue.expires_at > asked.now))
    within = duration(about.get("expires_within"))
    return usable if within is None else and_(usable, issue.expires_at <= asked.now + within)


def _compile(spec: Spec, asked: Asked) -> ColumnElement[bool]:
    mine = _mine(spec, asked)
    if asked.is_audience:
        has: ColumnElement[bool] = is_among(asked, select(coupon_issue.c.person_id).where(mine))
    else:
        has = exists(select(1).where(coupon_issue.c.person_id == asked.person_id, mine))
    return not_(has) if spec["coupon"]["state"] == "none" else has


def _batch_exists(spec: Spec) -> ColumnElement[bool]:
    if "of" not in spec["coupon"]:
        return true()
    return exists(select(1).where(coupon_batch.c.key == spec["coupon"]["of"]))


def _found(spec: Spec, asked: Asked) -> ColumnElement[Any]:
    """How many of them the person has, in whatever state."""
    about = spec["coupon"]
    mine = select(func.count()).where(coupon_issue.c.person_id == asked.person_id, coupon_issue.c.state != "released")
    return (mine.where(coupon_issue.c.batch_key == about["of"]) if "of" in about else mine).scalar_subquery()


def _words(spec: Spec) -> str:
    about = spec["coupon"]
    which = f"券“{about['of']}”" if "of" in about else "任一张券"
    soon = f"，{span_words(about['expires_within'])}内到期" if "expires_within" in about else ""
    return f"{which}{STATES[about['state']]}{soon}"


_SCHEMA = {
    "type": "object",
    "properties": {
        "of": {"type": "string", "minLength": 1},
        "state": {"enum": list(STATES)},
        "expires_within": DURATION_SCHEMA,
    },
    "required": ["state"],
    "additionalProperties": False,
}

COUPON = Leaf(
    _check,
    _compile,
    _words,
    guard=_batch_exists,
    found=_found,
    tell=lambda spec, value: f"有 {value} 张",
    schema={
        "type": "object",
        "properties": {"coupon": _SCHEMA},
        "required": ["coupon"],
        "additionalProperties": False,
    },
)
