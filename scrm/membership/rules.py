"""The shop's rules of points and levels, and what an order is worth under them: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

Permille = Annotated[int, Meta(ge=0, le=10**6)]
Days = Annotated[int, Meta(ge=0, le=36_500)]
Points = Annotated[int, Meta(ge=0, le=10**9)]


class Rules(Struct, kw_only=True, omit_defaults=True):
    """What a manager sets; rates are thousandths of a point for each yuan, 0 days is for ever."""

    # None: membership is off. Orders paid before this moment bring nothing.
    since: datetime | None = None
    points_per_yuan: Permille = 1000
    points_live_days: Days = 365
    points_told_days: Days = 30
    # Whether a refund may leave less than nothing when the points are spent already.
    may_go_negative: bool = True
    # A single adjustment of more needs an administrator's yes.
    approval_limit: Points = 1000
    growth_per_yuan: Permille = 1000
    # Growth older than this does not count for a level; also how long a level lasts before it is decided anew.
    period_days: Days = 365
    # step: one level down; anew: to what the growth of the period reaches.
    fall: str = "anew"


@dataclass(frozen=True, slots=True)
class Level:
    """One level; `keep` is the growth within a period that keeps it."""

    key: str
    title: str
    reach: int
    keep: int
    points_rate: int = 1000
    benefits: str = ""


@dataclass(frozen=True, slots=True)
class Purchase:
    """What matters of an order."""

    id: int
    paid_fen: int
    refunded_fen: int
    is_purchase: bool
    is_completed: bool
    is_over: bool
    paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class Worth:
    """What an order should have brought by now: points (frozen or free) and growth."""

    points: int
    is_free: bool
    growth: int


REASONS = {
    "purchase": "消费",
    "refund": "退货扣回",
    "manual": "手工调整",
    "campaign": "活动",
    "sign_in": "签到",
    "survey": "问答",
    "friend": "加好友",
    "group": "入群",
    "reading": "内容阅读",
    "api": "接口",
    "deduct": "抵现",
    "exchange": "兑换",
    "expired": "过期",
    "merge": "合并",
    "thaw": "解冻",
}
# What people and programs may give as a reason; the others are the ledger's own.
GIVEN = ("manual", "campaign", "sign_in", "survey", "friend", "group", "reading", "api", "deduct", "exchange")


def rate_of(rules: Rules, level: Level | None) -> int:
    """Points for 100,000,000 fen."""
    return rules.points_per_yuan * (level.points_rate if level else 1000)


def worth_of(order: Purchase, rules: Rules, rate: int) -> Worth | None:
    """None when the order is none of membership's business: off, a deposit, or paid before the rules began."""
    if rules.since is None or not order.is_purchase or order.paid_at is None or order.paid_at < rules.since:
        return None
    kept = 0 if order.is_over else max(0, order.paid_fen - order.refunded_fen)
    return Worth(
        points=kept * rate // 100_000_000,
        is_free=order.is_completed,
        growth=kept * rules.growth_per_yuan // 100_000 if order.is_completed else 0,
    )


def lives_until(now: datetime, rules: Rules) -> datetime | None:
    return now + timedelta(days=rules.points_live_days) if rules.points_live_days else None


def told_at(now: datetime, expires_at: datetime | None, rules: Rules) -> datetime | None:
    """When to speak of points that will expire; None when they live too briefly to."""
    if expires_at is None or not rules.points_told_days:
        return None
    at = expires_at - timedelta(days=rules.points_told_days)
    return at if at > now else None


def reached(levels: Sequence[Level], growth: int) -> int:
    """The place of the highest level that this growth reaches; -1 when none. Levels are in order of `reach`."""
    return max((place for place, level in enumerate(levels) if level.reach <= growth), default=-1)


@dataclass(frozen=True, slots=True)
class Standing:
    """A member's level ("" is none) with the one before it, since when and until when."""

    key: str = ""
    before: str = ""
    since: datetime | None = None
    until: datetime | None = None


def decide_level(
    now: datetime, standing: Standing, growth: int, levels: Sequence[Level], rules: Rules, *, fell: bool = False
) -> Standing:
    """The level after growth moved or time passed: up at once; down when a period ends without enough to keep it.

    `fell`: a refund took growth back; what is no longer reached goes at once, no further than the level before.
    """
    place = {level.key: index for index, level in enumerate(levels)}
    is_known = standing.key == "" or standing.key in place
    have, could = place.get(standing.key, -1), reached(levels, growth)
    until = now + timedelta(days=rules.period_days) if rules.period_days else None
    if could > have or not is_known:
        return Standing(_key(levels, could), standing.key if is_known else "", now, until if could >= 0 else None)
    if have >= 0 and fell and could < have:
        lowest = place.get(standing.before, -1)
        down = max(could, min(lowest, have))
        if down == have:
            return standing
        return Standing(_key(levels, down), "", now, until if down >= 0 else None)
    if have < 0 or standing.until is None or standing.until > now:
        return standing
    if growth >= levels[have].keep:
        return Standing(standing.key, standing.before, standing.since, until)
    down = have - 1 if rules.fall == "step" else min(could, have - 1)
    return Standing(_key(levels, down), "", now, until if down >= 0 else None)


def _key(levels: Sequence[Level], place: int) -> str:
    return levels[place].key if place >= 0 else ""


def encode(rules: Rules) -> dict[str, object]:
    return dict(msgspec.to_builtins(rules))


def decode(values: object) -> Rules:
    """Raises msgspec.ValidationError for what no rules can be."""
    return msgspec.convert(values, Rules)
