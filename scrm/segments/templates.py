"""The segments that the house ships, as data: what they are called, whom they hold, and what they need to know that."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scrm.segments import needs

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Template:
    """`needs` says in words which source must be connected for the segment to be true; empty: none."""

    key: str
    title: str
    words: str
    condition: Tree
    needs: str = ""
    is_exclusion: bool = False
    group: str = "常用"


def _all(*parts: Tree) -> Tree:
    return {"all": list(parts)}


def _field(key: str, op: str, value: Any = None) -> Tree:
    return {"field": key, "op": op} if value is None else {"field": key, "op": op, "value": value}


_IS_FRIEND = _field("person.members", "gte", 1)


def _dormant(key: str, days: int, until: int | None) -> Template:
    parts = [_IS_FRIEND, _field("person.last_paid_days", "gte", days)]
    span = f"上次付款在 {days} 天以前"
    if until is not None:
        parts.append(_field("person.last_paid_days", "lt", until))
        span = f"上次付款在 {days} 到 {until} 天前"
    return Template(key, f"{days} 天沉睡", f"{span}，还是好友", _all(*parts), needs.ORDERS)


def _valued(key: str, title: str, words: str, field: str, value: str) -> Template:
    """By the last night's computation."""
    return Template(key, title, words, _field(field, "eq", value), needs.ORDERS, group="RFM 与生命周期")


TEMPLATES: tuple[Template, ...] = (
    Template(
        "silent-7d",
        "新加 7 天未开口",
        "加好友 7 到 30 天，一句话也没说过",
        _all(_field("follow.days", "gte", 7), _field("follow.days", "lte", 30), {"no_reply": True}),
        "没有会话存档时，只看得到微信客服、公众号和获客链接里的发言",
    ),
    Template(
        "no-order-7d",
        "新加 7 天未首单",
        "加好友满 7 天，还没有付过款",
        _all(_field("follow.days", "gte", 7), _field("person.paid_orders", "eq", 0)),
        needs.ORDERS,
    ),
    Template(
        "one-order-30d",
        "首单 30 天未二购",
        "只付过一单，已满 30 天",
        _all(_field("person.paid_orders", "eq", 1), _field("person.first_paid_days", "gte", 30)),
        needs.ORDERS,
    ),
    Template(
        "cycle-due",
        "复购周期已到未购",
        "买过至少两单，距上次付款已超过自己的平均复购间隔",
        _all(_field("person.paid_orders", "gte", 2), _field("person.overdue_days", "gte", 0)),
        needs.ORDERS,
    ),
    Template(
        "delivered-30d",
        "近 30 天签收无售后",
        "近 30 天签收过，没有发起售后",
        _all(
            {"event": "order.delivered", "within": "30d"},
            {"not": {"event": "refund.opened", "within": "30d"}},
            _field("person.open_refunds", "eq", 0),
        ),
        needs.ORDERS_AND_SHIPMENTS,
    ),
    Template(
        "coupon-ending",
        "有未用券 7 天内到期",
        "手里有没用的券，7 天内到期",
        {"coupon": {"state": "unused", "expires_within": "7d"}},
    ),
    Template(
        "points-idle",
        "积分 ≥1000 且 90 天未用",
        "可用积分不少于 1000，90 天内没有抵现和兑换",
        _all(
            _field("points.available", "gte", 1000),
            {
                "event": "points.changed",
                "where": {"reason": ["deduct", "exchange"]},
                "within": "90d",
                "count": {"eq": 0},
            },
        ),
        needs.POINTS,
    ),
    Template(
        "birthday-month",
        "本月生日",
        "自定义字段“生日”在本月",
        _field("field.birthday", "month", "this"),
        needs.BIRTHDAY,
    ),
    Template(
        "level-near",
        "距升级差 ≤20%",
        "再有两成以内的成长值就到下一等级",
        _field("points.level_gap", "lte", 20),
        needs.LEVELS,
    ),
    _dormant("dormant-60d", 60, 90),
    _dormant("dormant-90d", 90, 180),
    _dormant("dormant-180d", 180, None),
    Template(
        "dormant-big",
        "高客单沉睡",
        "平均每单实付 500 元以上，90 天没有付款",
        _all(_field("person.average_paid", "gte", 500), _field("person.last_paid_days", "gte", 90)),
        needs.ORDERS,
    ),
    Template(
        "aftersale-30d",
        "近 30 天有售后（停发）",
        "近 30 天发起过售后，或售后还没结束；用来停发营销",
        {"any": [{"event": "refund.opened", "within": "30d"}, _field("person.open_refunds", "gte", 1)]},
        needs.ORDERS_AND_REFUNDS,
        is_exclusion=True,
    ),
    Template(
        "tired-7d",
        "近 7 天收到 ≥3 次营销（疲劳）",
        "7 天内收到的待办消息和群发满 3 次；用来停发营销",
        {"pushed": {"gte": 3}, "within": "7d"},
        is_exclusion=True,
    ),
    Template(
        "reads-no-order",
        "看过素材未下单",
        "打开过雷达素材，还没有付过款",
        _all({"radar_opens_gte": 1}, _field("person.paid_orders", "eq", 0)),
        needs.RADAR,
    ),
    Template("many-members", "多员工好友", "同时是两位以上员工的好友", _field("person.members", "gte", 2)),
    Template(
        "friend-no-order",
        "未绑定订单的好友",
        "是好友，但没有一笔订单对得上",
        _all(_IS_FRIEND, _field("person.orders", "eq", 0)),
        needs.ORDERS,
    ),
    Template(
        "buyer-no-friend",
        "有订单但非好友（待引流）",
        "有订单，但没有员工在联系",
        _all(_field("person.orders", "gte", 1), _field("person.members", "eq", 0)),
        needs.ORDERS,
    ),
    Template(
        "promotion-only",
        "只在大促购买",
        "付款全在大促期间（6.1–6.20、10.20–11.12、12.8–12.13、1.8–1.25）",
        _all(_field("orders.promotion", "gte", 1), _field("orders.ordinary", "eq", 0)),
        needs.ORDERS,
    ),
    Template(
        "coupon-lover",
        "用券率 ≥60%",
        "领到并已用掉或过期的券里，六成以上用掉了",
        _field("coupons.used_percent", "gte", 60),
    ),
    Template(
        "buyer-left-24h",
        "近 24 小时删除员工的老客",
        "付过款，24 小时内删除了员工",
        _all({"event": "contact.lost_by_customer", "within": "24h"}, _field("person.paid_orders", "gte", 1)),
        needs.ORDERS,
    ),
    _valued("rfm-best", "重要价值客户", "最近买过、买得多、花得多", "rfm.class", "重要价值客户"),
    _valued("rfm-keep", "重要保持客户", "买得多、花得多，最近没来", "rfm.class", "重要保持客户"),
    _valued("rfm-rescue", "重要挽留客户", "花得多，买得少，最近没来", "rfm.class", "重要挽留客户"),
    _valued("life-new", "新客（30 天内首单）", "第一单在 30 天以内", "life.stage", "新客"),
    _valued("life-cooling", "正在降温", "超过自己的复购周期还没来，不到两个周期", "life.stage", "降温"),
    _valued("life-sleeping", "沉睡客户", "两到三个复购周期没来", "life.stage", "沉睡"),
    _valued("life-lost", "流失客户", "超过三个复购周期或 365 天没来", "life.stage", "流失"),
    _valued(
        "aipl-interest",
        "有兴趣没买（AIPL 的 I）",
        "15 天内看过、加购、进群或说过话，周期内没有订单",
        "life.aipl",
        "兴趣（I）",
    ),
    _valued("aipl-loyal", "忠诚客户（AIPL 的 L）", "周期内两单以上，或评价过", "life.aipl", "忠诚（L）"),
)


def find_template(key: str) -> Template | None:
    return next((template for template in TEMPLATES if template.key == key), None)
