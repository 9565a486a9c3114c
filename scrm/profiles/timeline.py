"""The timeline of a person: one append-only feed, its kinds, its sentences, and the shop's own kinds of events."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Row, String, Table, and_, or_, select, text

from scrm import audit
from scrm.db import UtcDateTime, upsert
from scrm.db.tables import Json, from_millis, metadata, to_millis
from scrm.events import event
from scrm.profiles.conditions import tree as conditions
from web.texts import N_, _

# Kinds of events that other programs tell us of (POST /api/v1/events), with the facts they carry.
event_type = Table(
    "event_type",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("title", String(60), nullable=False),
    # 「预约了{product}的试用」: facts stand in for their keys; empty says the title.
    Column("sentence", String(200), nullable=False, server_default=text("''")),
    # {"product": "text", "fee_fen": "money"}; empty takes any.
    Column("facts", Json, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)


class Line(NamedTuple):
    """What happened, as a member reads it; `icon` names a picture of the style sheet."""

    icon: str
    title: str
    detail: str = ""


# What a member may narrow the timeline to: key -> Chinese title and the beginnings of the names.
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "contact": ("好友", ("contact.", "group.", "identity.", "person.", "transfer.", "optout.")),
    "order": ("订单", ("order.", "refund.", "shipment.")),
    "visit": (
        "浏览",
        ("page.", "app.", "product.", "product_list.", "wishlist.", "cart.", "checkout.", "browse.", "content."),
    ),
    "radar": ("雷达", ("message.radar_opened",)),
    "coupon": ("优惠券", ("coupon.",)),
    "member": ("会员", ("points.", "level.", "rfm.")),
    "message": ("消息", ("task.", "card.", "script.", "mass_message.", "kf.", "oa.", "talk.", "case.")),
    "follow_up": ("跟进", ("note.", "stage.", "staff.", "pool.")),
    "journey": ("剧本", ("date.", "schedule.", "manual.", "segment.", "live.", "form.", "stock.")),
    "custom": ("自定义", ("custom.",)),
}

# Who did it, by the name's group; what is not here the customer did.
_BY_MEMBERS = (
    "task.",
    "card.",
    "script.",
    "manual.",
    "staff.",
    "note.",
    "stage.",
    "talk.",
    "case.",
    "coupon.sent",
    "order.bound",
    "order.unbound",
    "pool.picked",
    "contact.lost_by_member",
    "contact.confirmed",
    "identity.bound",
)
_BY_US = (
    "cart.abandoned",
    "checkout.abandoned",
    "browse.abandoned",
    "coupon.issued",
    "coupon.expir",
    "points.expir",
    "level.",
    "rfm.",
    "person.merged",
    "identity.merged",
    "mass_message.",
    "contact.taken_over",
    "transfer.",
    "contact.transfer_failed",
    "order.shipped",
    "date.",
    "schedule.",
    "segment.",
    "stock.",
    "live.moved",
    "pool.entered",
)


def kind_of(name: str) -> str:
    """Which of KINDS an event belongs to; "other" for none."""
    for kind, (_title, beginnings) in KINDS.items():
        if name.startswith(beginnings):
            return kind
    return "other"


def actor_of(name: str) -> str:
    """customer, member or system."""
    if name.startswith(_BY_MEMBERS):
        return "member"
    return "system" if name.startswith(_BY_US) else "customer"


def source_of(name: str, once: str, facts: Mapping[str, Any]) -> str:
    """Where we have it from: track (the shop's pages), api, the channel of an order, wecom, or here."""
    if once.startswith(("track:", "api:")):
        return once.partition(":")[0]
    if isinstance(facts.get("channel"), str) and name.startswith(("order.", "refund.", "shipment.")):
        return str(facts["channel"])
    return "wecom" if name.startswith(("contact.", "group.", "kf.", "oa.")) else "scrm"


# Reading --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Feed:
    """A page of the timeline, the newest first; `next` is where the following page begins, None at the end."""

    rows: list[Row[Any]]
    next: str | None


def list_feed(
    conn: Connection, person_id: int, *, kinds: Sequence[str] = (), before: str = "", limit: int = 50
) -> Feed:
    """A page of what happened to a person, by when it happened: what is told late stands where it belongs.

    `kinds` are keys of KINDS or whole names; `before` is a `next` or the id of an event. Raises ValueError for another.
    """
    wanted = [event.c.person_id == person_id]
    if kinds:
        wanted.append(or_(*(_of_kind(kind) for kind in kinds)))
    if before:
        at, last_id = _place(conn, before)
        wanted.append(or_(event.c.occurred_at < at, and_(event.c.occurred_at == at, event.c.id < last_id)))
    query = select(event).where(*wanted).order_by(event.c.occurred_at.desc(), event.c.id.desc()).limit(limit + 1)
    rows = list(conn.execute(query))
    shown = rows[:limit]
    goes_on = len(rows) > limit
    return Feed(shown, f"{to_millis(shown[-1].occurred_at)}.{shown[-1].id}" if goes_on else None)


def _of_kind(kind: str) -> Any:
    beginnings = KINDS[kind][1] if kind in KINDS else ()
    if not beginnings:
        return event.c.name == kind
    return or_(*(event.c.name.startswith(beginning, autoescape=True) for beginning in beginnings))


def _place(conn: Connection, before: str) -> tuple[datetime, int]:
    millis, dot, number = before.partition(".")
    if dot and _is_number(millis) and _is_number(number, 18):
        return from_millis(int(millis)), int(number)
    if not dot and _is_number(before):
        row = conn.execute(select(event.c.occurred_at, event.c.id).where(event.c.id == int(before))).one_or_none()
        if row is not None:
            return row.occurred_at, row.id
    raise ValueError(f"参数 before：收到“{before[:40]}”，需要上一页给出的编号")


def _is_number(text: str, most: int = 14) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= most


# The shop's own kinds -------------------------------------------------------------------------------------------------


@audit.keeps("event_type", event_type.c.name, of=("name",))
def save_event_type(
    conn: Connection, name: str, *, title: str, sentence: str, facts: Mapping[str, str], now: datetime
) -> None:
    """Make or change a kind of event; what was told before is read with the new words."""
    values = {"title": title, "sentence": sentence, "facts": dict(facts), "changed_at": now}
    conn.execute(
        upsert(event_type, conn).values(name=name, **values).on_conflict_do_update(index_elements=["name"], set_=values)
    )


def list_event_types(conn: Connection) -> list[Row[Any]]:
    return list(conn.execute(select(event_type).order_by(event_type.c.name)))


def find_event_types(conn: Connection, names: set[str]) -> dict[str, Row[Any]]:
    """By name; only asks when one of the names can be the shop's own."""
    own = sorted(name for name in names if name.startswith("custom."))
    if not own:
        return {}
    return {row.name: row for row in conn.execute(select(event_type).where(event_type.c.name.in_(own)))}


# Sentences ------------------------------------------------------------------------------------------------------------

Channel = Callable[[str], str]


def tell(name: str, facts: Mapping[str, Any], who: str, *, channel: Channel = str, own: Any = None) -> Line:
    """An event as a line; `who` is the member it speaks of, or empty; `own` is the row of a kind of the shop's own."""
    if name.startswith("custom.") and (own is not None or name not in conditions.EVENTS):
        return _own_line(name, facts, own)
    if name in _LINES:
        return _LINES[name](facts, who or _("员工"), channel)
    icon = next((icon for beginning, icon in _ICONS.items() if name.startswith(beginning)), "dot")
    return Line(icon, _(conditions.EVENTS.get(name, N_("有新动态"))), _thing(facts))


def _own_line(name: str, facts: Mapping[str, Any], own: Any) -> Line:
    if own is None:
        return Line("dot", _("自定义事件 {name}", name=name.removeprefix("custom.")), _thing(facts))
    if not own.sentence:
        return Line("dot", own.title, _thing(facts))
    return Line("dot", re.sub(r"\{(\w+)\}", lambda found: _shown(own.facts, found[1], facts), own.sentence)[:200])


def _shown(types: Mapping[str, str], key: str, facts: Mapping[str, Any]) -> str:
    value = facts.get(key)
    if value is None:
        return ""
    return f"¥{int(value) / 100:,.2f}" if types.get(key) == "money" else str(value)


def _thing(facts: Mapping[str, Any]) -> str:
    return str(facts.get("title") or facts.get("query") or facts.get("page_path") or "")


def _yuan(fen: Any) -> str:
    return f" ¥{int(fen) / 100:,.2f}" if fen else ""


def _of_order(icon: str, words: str, amount: str = "") -> Callable[..., Line]:
    def line(facts: Mapping[str, Any], who: str, channel: Channel) -> Line:
        goods = str(facts.get("title") or "")
        if int(facts.get("lines") or 0) > 1:
            goods += _(" 等 {count} 件", count=int(facts["lines"]))
        source = str(facts.get("channel") or "")
        detail = " · ".join(filter(None, (channel(source) if source else "", goods)))
        return Line(icon, _(words) + (_yuan(facts.get(amount)) if amount else ""), detail)

    return line


def _plain(icon: str, words: str) -> Callable[..., Line]:
    return lambda facts, who, channel: Line(icon, _(words, who=who), _thing(facts))


def _added(facts: Mapping[str, Any], who: str, channel: Channel) -> Line:
    code = facts.get("channel")
    return Line("person", _("添加了{who}", who=who), str(code.get("title") or "") if isinstance(code, Mapping) else "")


def _left(facts: Mapping[str, Any], who: str, channel: Channel) -> Line:
    return Line(
        "leave", _("被移出客户群") if facts.get("is_removed") else _("退出客户群"), str(facts.get("title") or "")
    )


def _coupon(act: str) -> Callable[..., Line]:
    def line(facts: Mapping[str, Any], who: str, channel: Channel) -> Line:
        number = facts.get("order_no")
        title = _(act, who=who, coupon=facts.get("title") or _("优惠券"))
        return Line("coupon", title, _("订单 {number}", number=number) if number else "")

    return line


def _bound(act: str) -> Callable[..., Line]:
    return lambda facts, who, channel: Line(
        "order", _(act, who=who), f"{channel(str(facts.get('channel')))} · {facts.get('order_no') or ''}"
    )


def _sent(facts: Mapping[str, Any], who: str, channel: Channel) -> Line:
    return Line("chat", _("{who}发送了消息", who=who), str(facts.get("text") or facts.get("title") or ""))


def _script(facts: Mapping[str, Any], who: str, channel: Channel) -> Line:
    title = str(facts.get("title") or "")
    told = _("{who}发送了话术《{title}》", who=who, title=title) if title else _("{who}发送了话术", who=who)
    return Line("chat", told, str(facts.get("text") or ""))


def _carded(facts: Mapping[str, Any], who: str, channel: Channel) -> Line:
    told = {
        "orders": _("{who}发送了订单", who=who),
        "invitation": _("{who}发送了老带新专属链接", who=who),
    }.get(str(facts.get("card")), _("{who}发送了商品", who=who))
    return Line("chat", told, str(facts.get("title") or ""))


def _looked(words: str) -> Callable[..., Line]:
    """A look at a thing, with its price."""

    def line(facts: Mapping[str, Any], who: str, channel: Channel) -> Line:
        return Line("dot", _(words), " · ".join(filter(None, (_thing(facts), _yuan(facts.get("price_fen")).strip()))))

    return line


def _noted(facts: Mapping[str, Any], who: str, channel: Channel) -> Line:
    way = f"（{_(str(facts['kind']))}）" if facts.get("kind") else ""
    return Line("note", _("{who}写了跟进记录", who=who) + way, str(facts.get("text") or ""))


def _said(facts: Mapping[str, Any], who: str, channel: Channel) -> Line:
    return Line("chat", _("在微信客服里说"), str(facts.get("text") or ""))


def _staged(facts: Mapping[str, Any], who: str, channel: Channel) -> Line:
    before, after = facts.get("from") or _("未设置"), facts.get("to") or _("未设置")
    return Line("person", _("{who}改了客户阶段", who=who), f"{before} → {after}" if facts else "")


def _pooled(facts: Mapping[str, Any], who: str, channel: Channel) -> Line:
    return Line("leave", _("进入公海"), str(facts.get("reason") or ""))


def _revalued(facts: Mapping[str, Any], who: str, channel: Channel) -> Line:
    before, after = facts.get("from") or _("未分类"), facts.get("to") or _("未分类")
    return Line("dot", _("RFM 客户群变动"), f"{before} → {after} {facts.get('letters', '')}".strip())


def _radar(facts: Mapping[str, Any], who: str, channel: Channel) -> Line:
    seconds = int(facts.get("seconds") or 0)
    told = _("看了 {n} 秒", n=seconds) if seconds else _("{who}发的", who=who)
    return Line("dot", _("看过《{title}》", title=facts.get("title") or _("内容")), told)


_LINES: dict[str, Callable[..., Line]] = {
    "contact.added": _added,
    "contact.confirmed": _plain("person", N_("{who}通过了好友申请")),
    "contact.archiving_agreed": _plain("person", N_("同意与{who}的会话存档")),
    "contact.lost_by_customer": _plain("leave", N_("删除了{who}")),
    "contact.lost_by_member": _plain("leave", N_("{who}删除了客户")),
    "kf.message": _said,
    "group.joined": _plain("person", N_("加入客户群")),
    "group.left": _left,
    "order.created": _of_order("order", N_("下单")),
    "order.paid": _of_order("order", N_("付款"), "paid_fen"),
    "order.shipped": _of_order("parcel", N_("订单发货")),
    "order.delivered": _of_order("parcel", N_("签收")),
    "order.completed": _of_order("order", N_("交易成功")),
    "order.cancelled": _of_order("order", N_("订单取消")),
    "order.closed": _of_order("order", N_("交易关闭")),
    "order.bound": _bound(N_("{who}绑定了订单")),
    "order.unbound": _bound(N_("{who}撤销了订单绑定")),
    "case.opened": _plain("refund", N_("{who}标记有投诉")),
    "case.closed": _plain("refund", N_("{who}标记投诉已解决")),
    "talk.noted": _plain("person", N_("{who}标记客户在等回复")),
    "talk.answered": _plain("person", N_("{who}标记已回复")),
    "refund.opened": _of_order("refund", N_("申请售后"), "amount_fen"),
    "refund.agreed": _of_order("refund", N_("商家同意售后"), "amount_fen"),
    "refund.refused": _of_order("refund", N_("商家拒绝售后"), "amount_fen"),
    "refund.done": _of_order("refund", N_("退款成功"), "amount_fen"),
    "refund.closed": _of_order("refund", N_("售后结束"), "amount_fen"),
    "coupon.issued": _coupon(N_("领到{coupon}")),
    "coupon.redeemed": _coupon(N_("用掉{coupon}")),
    "coupon.sent": _coupon(N_("{who}发送了{coupon}")),
    "task.sent": _sent,
    "card.sent": _carded,
    "script.sent": _script,
    "product.viewed": _looked(N_("浏览了商品")),
    "cart.added": _looked(N_("加入购物车")),
    "cart.removed": _looked(N_("移出购物车")),
    "wishlist.added": _looked(N_("收藏了商品")),
    "cart.abandoned": _looked(N_("加购后没有下单")),
    "checkout.abandoned": _looked(N_("结算后没有付款")),
    "browse.abandoned": _looked(N_("反复浏览没有加购")),
    "message.radar_opened": _radar,
    "note.added": _noted,
    "note.deleted": _plain("note", N_("{who}删除了一条跟进记录")),
    "stage.changed": _staged,
    "rfm.moved": _revalued,
    "pool.entered": _pooled,
    "pool.picked": _plain("person", N_("{who}从公海领取了客户")),
    "staff.promised": _plain("clock", N_("{who}答应了客户一件事")),
    "staff.kept": _plain("done", N_("{who}兑现了答应的事")),
    "staff.cancelled": _plain("clock", N_("{who}取消了答应的事")),
}
_ICONS = {
    "order.": "order",
    "shipment.": "parcel",
    "refund.": "refund",
    "coupon.": "coupon",
    "points.": "coupon",
    "contact.": "person",
    "group.": "person",
    "identity.": "person",
    "kf.": "chat",
    "oa.": "chat",
    "mass_message.": "chat",
    "task.": "chat",
    "script.": "chat",
}
