"""Fields that conditions ask for beside those of persons: points and levels, coupons used, orders of promotions."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, case, func, literal, or_, select, type_coerce

from scrm.commerce import models as commerce
from scrm.membership import models as membership
from scrm.profiles.conditions.fields import Field, Kind, PersonId, month_day
from scrm.segments import models as segments
from scrm.segments.rfm import TITLES, UNCLASSED
from scrm.segments.stages import AIPL, AWARE, LIFE, POTENTIAL

points_account = membership.points_account.alias("asked_points")
member_level = membership.member_level.alias("asked_level")
next_level = membership.member_level.alias("next_level")
coupon_issue = commerce.coupon_issue.alias("counted_coupon")
person_value = segments.person_value.alias("asked_value")
orders = commerce.orders.alias("counted_order")

_DAY_MILLIS = 86_400_000
_CHINA_MILLIS = 8 * 3_600_000
# From month and day to month and day, both included: 618, 双11 with its advance sale, 双12, 年货节.
PROMOTIONS = ((601, 620), (1020, 1112), (1208, 1213), (108, 125))


def _account(column: str) -> Any:
    def value(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
        kept = type_coerce(points_account.c[column], BigInteger)
        return func.coalesce(select(kept).where(points_account.c.person_id == person_id).scalar_subquery(), 0)

    return value


def _level(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
    of_person = points_account.join(member_level, member_level.c.key == points_account.c.level_key)
    named = select(member_level.c.title).select_from(of_person).where(points_account.c.person_id == person_id)
    return func.coalesce(named.scalar_subquery(), "")


def _level_gap(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
    """How much of the next level's growth is missing, in whole percent, rounded up; NULL on the highest level."""
    goal = (
        select(func.min(next_level.c.growth_from))
        .where(next_level.c.growth_from > points_account.c.growth)
        .correlate(points_account)
        .scalar_subquery()
    )
    growth = func.coalesce(points_account.c.growth, 0)
    percent = ((goal - growth) * 100 + goal - 1) // goal
    return select(percent).where(points_account.c.person_id == person_id).scalar_subquery()


def _coupon_rate(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
    """Used among those that came to an end (used or expired), in whole percent; NULL before the first one did."""
    state, expires_at = coupon_issue.c.state, coupon_issue.c.expires_at
    is_used = state == "redeemed"
    is_over = or_(is_used, (state == "issued") & (expires_at <= now))
    used, over = (
        type_coerce(func.coalesce(func.sum(case((which, 1), else_=0)), 0), BigInteger) for which in (is_used, is_over)
    )
    percent = used * 100 // case((over > 0, over))
    return select(percent).where(coupon_issue.c.person_id == person_id).scalar_subquery()


def _paid_orders(*, in_promotion: bool) -> Any:
    def value(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
        millis = type_coerce(orders.c.paid_at, BigInteger) + literal(_CHINA_MILLIS, BigInteger)
        day = month_day(millis // literal(_DAY_MILLIS, BigInteger))
        is_promotion = or_(*(day.between(first, last) for first, last in PROMOTIONS))
        mine = select(func.count()).where(
            orders.c.person_id == person_id,
            orders.c.paid_at.is_not(None),
            orders.c.is_test.is_(False),
            is_promotion if in_promotion else ~is_promotion,
        )
        return mine.scalar_subquery()

    return value


def _valued(key: str, title: str, kind: Kind, column: str, **more: Any) -> Field:
    """Of the last night's computation: one row of person_value for a person."""
    kept = person_value.c[column]
    # No class is empty, as it stands in the index; no score is 0, which no score is to be compared with.
    value = kept if kind is Kind.CHOICE else func.nullif(type_coerce(kept, BigInteger), 0, type_=BigInteger())
    mine = lambda person_id: (person_value, person_value.c.person_id == person_id)  # noqa: E731
    return Field(
        key, title, kind, lambda person_id, now: value, mine, is_single=True, owner=person_value.c.person_id, **more
    )


_CLASSES = {**{title: code for code, title in TITLES.items()}, UNCLASSED: ""}
_LIFE = {**{title: key for key, title in LIFE.items()}, POTENTIAL: ""}
_AIPL = {**{title: key for key, title in AIPL.items()}, AWARE: ""}

FIELDS = (
    _valued("rfm.class", "RFM 客户群", Kind.CHOICE, "rfm", choices=_CLASSES, blank=UNCLASSED),
    _valued("rfm.r", "R 得分（最近下单）", Kind.NUMBER, "r"),
    _valued("rfm.f", "F 得分（订单数）", Kind.NUMBER, "f"),
    _valued("rfm.m", "M 得分（金额）", Kind.NUMBER, "m"),
    _valued("rfm.orders", "统计周期内有效订单数", Kind.NUMBER, "orders"),
    _valued("rfm.paid", "统计周期内净消费（元）", Kind.YUAN, "fen"),
    _valued("life.stage", "生命周期", Kind.CHOICE, "life", choices=_LIFE, blank=POTENTIAL),
    _valued("life.aipl", "AIPL 阶段", Kind.CHOICE, "aipl", choices=_AIPL, blank=AWARE),
    _valued("life.cycle_days", "复购周期（天，中位数）", Kind.NUMBER, "cycle_days"),
    Field("points.available", "可用积分", Kind.NUMBER, _account("available")),
    Field("points.growth", "成长值", Kind.NUMBER, _account("growth")),
    Field("points.level", "会员等级", Kind.TEXT, _level),
    Field("points.level_gap", "距下一等级还差（%）", Kind.NUMBER, _level_gap),
    Field("coupons.used_percent", "用券率（%）", Kind.NUMBER, _coupon_rate),
    Field("orders.promotion", "大促期间付款订单数", Kind.NUMBER, _paid_orders(in_promotion=True)),
    Field("orders.ordinary", "平日付款订单数", Kind.NUMBER, _paid_orders(in_promotion=False)),
)
