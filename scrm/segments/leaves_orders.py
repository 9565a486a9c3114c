"""Leaves about what was bought: `{bought: {sku: [A1, A2], channel: taobao}, within: 90d, count: {gte: 2}}`."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, exists, func, not_, or_, select

from scrm.commerce import models
from scrm.profiles.conditions.fields import Asked
from scrm.profiles.conditions.leaf import (
    COUNT_SCHEMA,
    DURATION_SCHEMA,
    Leaf,
    Spec,
    check_count,
    check_within,
    count_words,
    counted,
    duration,
    has_none,
    is_among,
    is_at_least_one,
    is_plain,
    listed,
    other_keys,
    span_words,
    written,
)

orders = models.orders.alias("asked_order")
order_line = models.order_line.alias("asked_line")

_TITLES = {"sku": "规格编码", "item": "商品编号", "title": "名称含", "channel": "渠道", "shop": "店铺"}
ANY = "any"


def _check(spec: Spec) -> list[str]:
    about = spec["bought"]
    if about != ANY and (not isinstance(about, Mapping) or not about):
        return ["bought 要写成 {sku: [A1, A2]} 这样，可用的有 sku、item、title、channel、shop；任何商品写 bought: any"]
    if isinstance(about, Mapping):
        if "category" in about:
            return ["订单里没有商品分类，请用 sku、item 或 title（名称里的字）代替 category"]
        if problems := other_keys(about, *_TITLES):
            return problems
        for key, value in about.items():
            if not is_plain(value) or not all(str(each).strip() for each in listed(value)):
                return [f"bought 的 {key} 要写文字，或它们的列表"]
    return [*other_keys(spec, "bought", "within", "count"), *check_within(spec), *check_count(spec)]


def _paid(spec: Spec, asked: Asked) -> list[ColumnElement[bool]]:
    """Paid orders with such goods that were not all given back, of anybody."""
    about = spec["bought"] if isinstance(spec["bought"], Mapping) else {}
    paid: list[ColumnElement[bool]] = [orders.c.paid_at.is_not(None), orders.c.is_test.is_(False)]
    if within := duration(spec.get("within")):
        paid.append(orders.c.paid_at >= asked.now - within)
    if "channel" in about:
        paid.append(orders.c.channel.in_(_texts(about["channel"])))
    if "shop" in about:
        paid.append(orders.c.shop_key.in_(_texts(about["shop"])))
    kept = [order_line.c.order_id == orders.c.id, order_line.c.refunded_qty < order_line.c.qty]
    if goods := _goods(about):
        return [*paid, exists(select(1).where(*kept, order_line.c.is_gift.is_(False), *goods))]
    return [*paid, orders.c.paid_fen > orders.c.refunded_fen]


def _goods(about: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    line, goods = order_line.c, []
    if "sku" in about:
        skus = _texts(about["sku"])
        goods.append(or_(line.merchant_sku.in_(skus), line.platform_sku_id.in_(skus)))
    if "item" in about:
        goods.append(line.platform_item_id.in_(_texts(about["item"])))
    if "title" in about:
        named = [func.lower(line.title).contains(word.lower(), autoescape=True) for word in _texts(about["title"])]
        goods.append(or_(*named))
    return goods


def _texts(value: Any) -> list[str]:
    return [str(each) for each in listed(value)]


def _number(spec: Spec, asked: Asked) -> ColumnElement[Any]:
    mine = select(func.count()).select_from(orders).where(orders.c.person_id == asked.person_id, *_paid(spec, asked))
    return mine.scalar_subquery()


def _compile(spec: Spec, asked: Asked) -> ColumnElement[bool]:
    if not asked.is_audience:
        if is_at_least_one(spec):
            return exists(select(1).where(orders.c.person_id == asked.person_id, *_paid(spec, asked)))
        return counted(spec, _number(spec, asked))
    whose = select(orders.c.person_id).where(orders.c.person_id.is_not(None), *_paid(spec, asked))
    if is_at_least_one(spec):
        return is_among(asked, whose)
    whose = whose.group_by(orders.c.person_id)
    if has_none(spec):
        return not_(is_among(asked, whose.having(not_(counted(spec, func.count())))))
    return is_among(asked, whose.having(counted(spec, func.count())))


def _words(spec: Spec) -> str:
    about = spec["bought"] if isinstance(spec["bought"], Mapping) else {}
    which = "，".join(f"{_TITLES[key]} {written(value)}" for key, value in about.items()) or "任何商品"
    span = f"{span_words(spec['within'])}内" if "within" in spec else ""
    return f"{span}买过（{which}）的订单数 {count_words(spec)}"


_GOODS = {
    "type": "object",
    "properties": {key: {} for key in _TITLES},
    "minProperties": 1,
    "additionalProperties": False,
}

BOUGHT = Leaf(
    _check,
    _compile,
    _words,
    found=_number,
    tell=lambda spec, value: f"{value} 笔",
    schema={
        "type": "object",
        "properties": {
            "bought": {"oneOf": [{"const": ANY}, _GOODS]},
            "within": DURATION_SCHEMA,
            "count": COUNT_SCHEMA,
        },
        "required": ["bought"],
        "additionalProperties": False,
    },
)
