"""The lines of the timeline, as a member reads them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from scrm.commerce.words import channel
from scrm.profiles import conditions


class Line(NamedTuple):
    """What happened, as a member reads it; `icon` names a picture of the style sheet."""

    icon: str
    title: str
    detail: str = ""


def tell(name: str, facts: Mapping[str, Any], who: str) -> Line:
    """A domain event as a line; `who` is the member it speaks of, or empty."""
    group = name.partition(".")[0]
    if group in ("order", "refund"):
        return _order_line(name, facts, who)
    if name == "contact.added":
        channel_facts = facts.get("channel") or {}
        return Line("person", f"添加了{who or '员工'}", str(channel_facts.get("title") or ""))
    if name == "contact.confirmed":
        return Line("person", f"{who or '员工'}通过了好友申请")
    if name == "contact.lost_by_customer":
        return Line("leave", f"删除了{who or '员工'}")
    if name == "contact.lost_by_member":
        return Line("leave", f"{who or '员工'}删除了客户")
    if name in ("group.joined", "group.left"):
        act = "加入客户群" if name == "group.joined" else "被移出客户群" if facts.get("is_removed") else "退出客户群"
        return Line("person" if name == "group.joined" else "leave", act, str(facts.get("title") or ""))
    if name in ("coupon.issued", "coupon.redeemed"):
        act = "领到" if name == "coupon.issued" else "用掉"
        return Line("coupon", f"{act}{facts.get('title') or '优惠券'}", _order_tail(facts))
    if name == "task.sent":
        return Line("chat", f"{who or '员工'}发送了消息", str(facts.get("text") or facts.get("title") or ""))
    if name == "coupon.sent":
        return Line("coupon", f"{who or '员工'}发送了{facts.get('title') or '优惠券'}")
    return Line("dot", conditions.EVENTS.get(name, name))


_ORDER_WORDS = {
    "order.created": "下单",
    "order.paid": "付款",
    "order.shipped": "订单发货",
    "order.delivered": "签收",
    "order.completed": "交易成功",
    "order.closed": "交易关闭",
    "refund.opened": "申请售后",
    "refund.closed": "售后结束",
}


def _order_line(name: str, facts: Mapping[str, Any], who: str) -> Line:
    if name == "order.bound":
        return Line("order", f"{who or '员工'}绑定了订单", f"{channel(str(facts.get('channel')))} · {_number(facts)}")
    icon = "refund" if name.startswith("refund.") else "parcel" if name.endswith(("shipped", "delivered")) else "order"
    title = _ORDER_WORDS.get(name) or conditions.EVENTS.get(name, name)
    amount = facts.get("amount_fen") if icon == "refund" else facts.get("paid_fen") if name == "order.paid" else None
    if amount:
        title += f" ¥{int(amount) / 100:,.2f}"
    goods = str(facts.get("title") or "")
    if int(facts.get("lines") or 0) > 1:
        goods += f" 等 {facts['lines']} 件"
    return Line(icon, title, " · ".join(filter(None, (channel(str(facts.get("channel") or "")), goods))))


def _number(facts: Mapping[str, Any]) -> str:
    return str(facts.get("order_no") or "")


def _order_tail(facts: Mapping[str, Any]) -> str:
    return f"订单 {_number(facts)}" if facts.get("order_no") else ""


_WELCOMES = {
    "sent": Line("chat", "发出欢迎语"),
    "done_by_other": Line("chat", "欢迎语由其他方式发出"),
    "intent": Line("chat", "欢迎语发送中"),
}


def tell_welcome(outcome: str, text: str, reason: str) -> Line:
    """A welcome of the send ledger: what was said, or why nothing was."""
    line = _WELCOMES.get(outcome) or Line("alert", "欢迎语没有发出")
    return line._replace(detail=text if outcome == "sent" else reason)


def days_since(moment: datetime, now: datetime) -> int:
    """Whole days, the first day counting as one."""
    return max(0, (now - moment) // timedelta(days=1)) + 1
