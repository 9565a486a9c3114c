"""Leaves about what happened: events and their number, what was opened, what was sent, whether somebody answered."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, exists, func, not_, select, type_coerce

from scrm import events
from scrm.db.json_text import json_text
from scrm.profiles.conditions.fields import Asked
from scrm.profiles.conditions.leaf import (
    COUNT_SCHEMA,
    DURATION_SCHEMA,
    Leaf,
    Spec,
    as_text,
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
from web.texts import N_

event = events.event.alias("asked_event")

# What the timeline may hold; a condition about anything else would wait for ever.
EVENTS = {
    "contact.added": N_("客户添加了员工"),
    "contact.confirmed": N_("员工通过了客户的添加"),
    "contact.chat_started": N_("获客链接的客户第一次发言"),
    "contact.archiving_agreed": N_("客户同意会话存档"),
    "contact.taken_over": N_("客户转给了另一位员工"),
    "contact.transfer_failed": N_("客户转接失败"),
    "contact.lost_by_customer": N_("客户删除了员工"),
    "contact.lost_by_member": N_("员工删除了客户"),
    "person.merged": N_("与另一份客户档案合并"),
    "person.parted": N_("撤销了客户档案合并"),
    "group.joined": N_("加入客户群"),
    "group.left": N_("离开客户群"),
    "order.created": N_("下单"),
    "order.paid": N_("付款"),
    "order.shipped": N_("发货"),
    "order.delivered": N_("签收"),
    "order.completed": N_("交易成功"),
    "order.cancelled": N_("订单取消"),
    "order.closed": N_("交易关闭"),
    "order.bound": N_("员工绑定了订单"),
    "card.sent": N_("员工发送了订单或商品"),
    "order.unbound": N_("员工撤销了订单绑定"),
    "case.opened": N_("员工标记有投诉"),
    "case.closed": N_("员工标记投诉已解决"),
    "talk.noted": N_("员工标记客户在等回复"),
    "talk.answered": N_("员工标记已回复"),
    "refund.opened": N_("发起售后"),
    "refund.agreed": N_("商家同意售后"),
    "refund.refused": N_("商家拒绝售后"),
    "refund.done": N_("退款成功"),
    "refund.closed": N_("售后结束"),
    "coupon.issued": N_("领到券"),
    "coupon.opened": N_("打开券"),
    "coupon.redeemed": N_("核销券"),
    "coupon.sent": N_("员工发送了券"),
    "coupon.expiring": N_("券快到期"),
    "coupon.expired": N_("券已过期"),
    "coupon.restored": N_("退款返还券"),
    "coupon.released": N_("券未送达，已收回"),
    "coupon.voided": N_("券被作废"),
    "points.changed": N_("积分变动"),
    "points.expiring": N_("积分快到期"),
    "custom.referral_added": N_("介绍的朋友加了好友"),
    "custom.referral_valid": N_("介绍的朋友有效"),
    "custom.referral_confirmed": N_("作为被介绍的朋友有效"),
    "level.changed": N_("会员等级变动"),
    "task.sent": N_("员工发送了待办消息"),
    "script.sent": N_("员工发送了话术"),
    "mass_message.sent": N_("收到群发消息"),
    "optout.changed": N_("修改了消息偏好"),
    "transfer.begun": N_("开始转给另一位员工"),
    "message.radar_opened": N_("看了雷达内容"),
    "product.searched": N_("搜索了商品"),
    "product.viewed": N_("浏览了商品"),
    "product.reviewed": N_("评价了商品"),
    "wishlist.added": N_("收藏了商品"),
    "cart.added": N_("加入购物车"),
    "cart.removed": N_("移出购物车"),
    "cart.abandoned": N_("加购后没有下单"),
    "checkout.started": N_("去结算"),
    "checkout.shipping_added": N_("填写了收货信息"),
    "checkout.payment_added": N_("选择了支付方式"),
    "checkout.abandoned": N_("结算后没有付款"),
    "browse.abandoned": N_("反复浏览没有加购"),
    "coupon.viewed": N_("看了优惠券"),
    "coupon.received": N_("在商城领取了优惠券"),
    "coupon.entered": N_("输入了优惠码"),
    "coupon.used": N_("下单时用了优惠券"),
    "coupon.denied": N_("优惠券没能使用"),
    "content.shared": N_("分享了内容"),
    "content.read": N_("读了内容"),
    "kf.entered": N_("进入微信客服"),
    "kf.message": N_("在微信客服发来消息"),
    "oa.subscribed": N_("关注了公众号"),
    "oa.unsubscribed": N_("取消关注公众号"),
    "oa.scanned": N_("扫了公众号二维码"),
    "oa.message": N_("给公众号发来消息"),
    "identity.bound": N_("绑定了订单或身份"),
    "staff.left": N_("员工离职"),
    "staff.promised": N_("员工答应了客户一件事"),
    "staff.kept": N_("员工兑现了答应的事"),
    "staff.cancelled": N_("员工取消了答应的事"),
    "note.added": N_("员工写了跟进记录"),
    "note.deleted": N_("员工删除了跟进记录"),
    "stage.changed": N_("客户阶段变动"),
    "live.booked": N_("预约了直播"),
    "live.moved": N_("预约的直播改了时间"),
    "form.submitted": N_("提交了表单"),
    "stock.available": N_("等的商品到货了"),
    "date.reached": N_("日期到了"),
    "schedule.due": N_("到了定好的时间"),
    "manual.started": N_("手动开始了 SOP"),
    "segment.entered": N_("进入人群包"),
    "segment.left": N_("离开人群包"),
    "rfm.moved": N_("RFM 客户群变动"),
    "pool.entered": N_("进入公海"),
    "pool.picked": N_("从公海领取"),
}
# Kinds of events that the shop's own programs and pages tell of.
OWN_EVENT = re.compile(r"custom\.[a-z][a-z0-9_.]{0,39}")

# What a customer says where we can hear it; a chat with a member we cannot (no message archive).
SPOKE = ("kf.message", "oa.message", "contact.chat_started")
# What members sent that sells something, mass messages of their own included as far as their results are known.
PUSHED = ("task.sent", "mass_message.sent")
RADAR = "message.radar_opened"
_NOT_HEARD = "没有会话存档，看不到和员工的单聊"


def _happened(names: Sequence[str], spec: Spec, asked: Asked) -> list[ColumnElement[bool]]:
    """Events of these names that the leaf is about, of anybody."""
    named = event.c.name == names[0] if len(names) == 1 else event.c.name.in_(names)
    happened: list[ColumnElement[bool]] = [named]
    if within := duration(spec.get("within")):
        happened.append(event.c.occurred_at >= asked.now - within)
    if asked.since is not None:
        happened.append(event.c.occurred_at > asked.since)
    for key, value in spec.get("where", {}).items():
        wanted = [as_text(each) for each in listed(value)]
        happened.append(func.coalesce(*_facts(key), "").in_(wanted))
    return happened


def _facts(key: str) -> list[ColumnElement[str]]:
    """`channel.kind` as it stands, then level by level, as triggers look for it."""
    whole = json_text(event.c.facts, key)
    return [whole, json_text(event.c.facts, *key.split("."))] if "." in key else [whole]


def _number(happened: Sequence[ColumnElement[bool]], asked: Asked) -> ColumnElement[Any]:
    mine = select(func.count()).select_from(event).where(event.c.person_id == asked.person_id, *happened)
    return mine.scalar_subquery()


def _fits(spec: Spec, happened: Sequence[ColumnElement[bool]], asked: Asked) -> ColumnElement[bool]:
    is_of_run = asked.anchor is not None or not isinstance(asked.since, type(None))
    if asked.is_audience and not is_of_run:
        return _fits_set(spec, happened, asked)
    if is_at_least_one(spec):
        return exists(select(1).where(event.c.person_id == asked.person_id, *happened))
    return counted(spec, _number(happened, asked))


def _fits_set(spec: Spec, happened: Sequence[ColumnElement[bool]], asked: Asked) -> ColumnElement[bool]:
    """For an audience: whose events they are is found once, not once for each person."""
    whose = select(event.c.person_id).where(event.c.person_id.is_not(None), *happened)
    if is_at_least_one(spec):
        return is_among(asked, whose)
    if not has_none(spec):
        return is_among(asked, whose.group_by(event.c.person_id).having(counted(spec, func.count())))
    # Those without any fit too: leave out whom the opposite is true of.
    return not_(is_among(asked, whose.group_by(event.c.person_id).having(not_(counted(spec, func.count())))))


# event


def _check(spec: Spec) -> list[str]:
    name = spec["event"]
    if not isinstance(name, str) or not (name in EVENTS or OWN_EVENT.fullmatch(name)):
        close = get_close_matches(str(name), EVENTS, n=1)
        return [f"不认识的事件 {name}" + (f"，是不是想写 {close[0]}？" if close else "")]
    problems = [*other_keys(spec, "event", "count", "within", "where"), *check_count(spec), *check_within(spec)]
    return problems + _check_where(spec.get("where", {"": ""}))


def _check_where(where: Any) -> list[str]:
    if not isinstance(where, Mapping) or not where:
        return ["where 是空的；请写要比较的内容，不需要就整行删掉"]
    for key, value in where.items():
        if '"' in str(key) or "\\" in str(key) or not is_plain(value):
            return [f"where 里的“{key}”要和文字、数字或它们的列表比较"]
    return []


def _compile(spec: Spec, asked: Asked) -> ColumnElement[bool]:
    return _fits(spec, _happened([spec["event"]], spec, asked), asked)


def _words(spec: Spec) -> str:
    where = "".join(f"，{key} 是 {written(value)}" for key, value in spec.get("where", {}).items())
    name = spec["event"]
    return f"{_span(spec)}“{EVENTS.get(name, name)}”次数 {count_words(spec)}{where}"


def _span(spec: Spec) -> str:
    return f"{span_words(spec['within'])}内" if "within" in spec else ""


def _found(spec: Spec, asked: Asked) -> ColumnElement[Any]:
    return _number(_happened([spec["event"]], spec, asked), asked)


def _times(spec: Spec, value: Any) -> str:
    return f"{value} 次"


# no_reply, radar_opens_gte, pushed: of a run they count from its beginning


def _since_anchor(asked: Asked) -> list[ColumnElement[bool]]:
    return [] if asked.anchor is None else [type_coerce(event.c.occurred_at, BigInteger) >= asked.anchor]


def _check_no_reply(spec: Spec) -> list[str]:
    if spec["no_reply"] is not True:
        return ["no_reply 只能写 true；要“客户回复过”，请写 {not: {no_reply: true}}"]
    return other_keys(spec, "no_reply", "within") + check_within(spec)


def _answers(spec: Spec, asked: Asked) -> list[ColumnElement[bool]]:
    return [*_happened(SPOKE, spec, asked), *_since_anchor(asked)]


def _compile_no_reply(spec: Spec, asked: Asked) -> ColumnElement[bool]:
    return not_(_fits({}, _answers(spec, asked), asked))


def _last_answer(spec: Spec, asked: Asked) -> ColumnElement[Any]:
    return _number(_answers(spec, asked), asked)


def _tell_answers(spec: Spec, value: Any) -> str:
    if value:
        return f"说过 {value} 次"
    return f"微信客服、公众号和获客链接里没有发言；{_NOT_HEARD}"


def _check_radar(spec: Spec) -> list[str]:
    times = spec["radar_opens_gte"]
    if not isinstance(times, int) or isinstance(times, bool) or not 1 <= times < 10**6:
        return ["radar_opens_gte 要写打开次数，如 2"]
    if "content" in spec and not (is_plain(spec["content"]) and all(listed(spec["content"]))):
        return ["radar_opens_gte 的 content 要写雷达素材的编号，或它们的列表"]
    return other_keys(spec, "radar_opens_gte", "within", "content") + check_within(spec)


def _opens(spec: Spec, asked: Asked) -> tuple[dict[str, Any], list[ColumnElement[bool]]]:
    about: dict[str, Any] = {"count": {"gte": spec["radar_opens_gte"]}}
    about |= {"within": spec["within"]} if "within" in spec else {}
    about |= {"where": {"content": spec["content"]}} if "content" in spec else {}
    return about, [*_happened([RADAR], about, asked), *_since_anchor(asked)]


def _compile_radar(spec: Spec, asked: Asked) -> ColumnElement[bool]:
    return _fits(*_opens(spec, asked), asked)


def _found_opens(spec: Spec, asked: Asked) -> ColumnElement[Any]:
    return _number(_opens(spec, asked)[1], asked)


def _radar_words(spec: Spec) -> str:
    content = f"“{written(spec['content'])}”" if "content" in spec else "素材"
    return f"{_span(spec)}打开{content}的次数 不少于 {spec['radar_opens_gte']}"


def _check_pushed(spec: Spec) -> list[str]:
    if not isinstance(spec["pushed"], Mapping):
        return ["pushed 要写成 {gte: 3} 这样：比较方式和次数"]
    about = {"count": spec["pushed"]}
    return other_keys(spec, "pushed", "within") + check_count(about) + check_within(spec)


def _pushes(spec: Spec) -> dict[str, Any]:
    return {"count": spec["pushed"], **({"within": spec["within"]} if "within" in spec else {})}


def _compile_pushed(spec: Spec, asked: Asked) -> ColumnElement[bool]:
    return _fits(_pushes(spec), _happened(PUSHED, spec, asked), asked)


def _found_pushes(spec: Spec, asked: Asked) -> ColumnElement[Any]:
    return _number(_happened(PUSHED, spec, asked), asked)


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


EVENT_SCHEMA = {"anyOf": [{"enum": list(EVENTS)}, {"type": "string", "pattern": f"^{OWN_EVENT.pattern}$"}]}
_COUNTED = {"count": COUNT_SCHEMA, "within": DURATION_SCHEMA, "where": {"type": "object"}}

EVENT = Leaf(
    _check,
    _compile,
    _words,
    found=_found,
    tell=_times,
    schema=_object({"event": EVENT_SCHEMA, **_COUNTED}, "event"),
)
NO_REPLY = Leaf(
    _check_no_reply,
    _compile_no_reply,
    lambda spec: f"{_span(spec)}客户没有回复",
    found=_last_answer,
    tell=_tell_answers,
    schema=_object({"no_reply": {"const": True}, "within": DURATION_SCHEMA}, "no_reply"),
)
RADAR_OPENS = Leaf(
    _check_radar,
    _compile_radar,
    _radar_words,
    found=_found_opens,
    tell=_times,
    schema=_object(
        {"radar_opens_gte": {"type": "integer", "minimum": 1}, "within": DURATION_SCHEMA, "content": {}},
        "radar_opens_gte",
    ),
)
PUSHES = Leaf(
    _check_pushed,
    _compile_pushed,
    lambda spec: f"{_span(spec)}收到营销消息的次数 {count_words(_pushes(spec))}",
    found=_found_pushes,
    tell=_times,
    schema=_object({"pushed": COUNT_SCHEMA, "within": DURATION_SCHEMA}, "pushed"),
)
