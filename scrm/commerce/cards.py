"""What a member sends of an order or of goods: a link or a mini-program where the channel has one, else words. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from scrm.commerce import words
from scrm.content.attachments import write_yuan
from scrm.content.render import LINK_DESC_BYTES, LINK_TITLE_BYTES, cut_bytes

_NAMED = 3
# Of a mini-program's card (doc 100749).
_MINI_TITLE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Links:
    """By channel, where a customer sees his order or the goods; `cover` is the picture of mini-program cards.

    An address may name {order_no}, {item} and {sku}; "wx1234567890abcdef:pages/goods.html?id={item}" is a mini-program.
    """

    order: Mapping[str, str]
    product: Mapping[str, str]
    cover: str = ""


def order_message(order: Any, lines: Sequence[Any], parcels: Sequence[Any], links: Links) -> dict[str, Any]:
    """For sendChatMessage: the order's page, else its state in words."""
    goods = _goods(lines)
    state = words.order_state(order.status, order.delivered_at, order.raw_status).text
    paid = f"¥{write_yuan(order.paid_fen or order.payable_fen)}"
    address = _address(links.order, order, lines)
    if address:
        return _card(f"订单 {_tail(order.order_no)}｜{state}", f"{goods}，{paid}", address, links.cover)
    told = [f"您的订单（尾号 {_tail(order.order_no)}）{state}", f"{goods}，{paid}"]
    told += [f"{each.carrier_name or '快递'} {each.tracking_no}" for each in parcels]
    return {"msgtype": "text", "text": {"content": "\n".join(told)}}


def goods_message(order: Any, line: Any, links: Links, zone: ZoneInfo) -> dict[str, Any]:
    """For sendChatMessage: the page of what was bought, else its name and when it was bought."""
    name = " ".join(filter(None, (line.title, line.spec)))
    bought = _bought(order.ordered_at, zone)
    address = _address(links.product, order, [line])
    if address:
        return _card(name, bought or words.channel(order.channel), address, line.image_url or links.cover)
    return {"msgtype": "text", "text": {"content": f"{bought}的是这款：{name}" if bought else name}}


def _goods(lines: Sequence[Any]) -> str:
    named = [f"{line.title} ×{line.qty}" for line in lines if not line.is_gift][:_NAMED]
    more = f" 等 {len(lines)} 件" if len(lines) > len(named) else ""
    return ("、".join(named) or "商品") + more


def _bought(moment: datetime | None, zone: ZoneInfo) -> str:
    if moment is None:
        return ""
    local = moment.astimezone(zone)
    return f"您 {local.month} 月 {local.day} 日买"


def _tail(order_no: str) -> str:
    return order_no[-4:]


def _address(links: Mapping[str, str], order: Any, lines: Sequence[Any]) -> str:
    """Empty when the channel has none, or when a part of it is not known of these goods."""
    template = links.get(order.channel, "")
    line = next(iter(lines), None)
    values = {
        "order_no": order.order_no,
        "item": line.platform_item_id if line is not None else "",
        "sku": (line.platform_sku_id or line.platform_item_id) if line is not None else "",
    }
    if not template or any(f"{{{name}}}" in template and not value for name, value in values.items()):
        return ""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", quote(value, safe=""))
    return template


def _card(title: str, desc: str, address: str, cover: str) -> dict[str, Any]:
    if address.startswith("wx"):
        appid, _, place = address.partition(":")
        title = cut_bytes(title, _MINI_TITLE_BYTES)
        return {
            "msgtype": "miniprogram",
            "miniprogram": {"appid": appid, "title": title, "imgUrl": cover, "page": place},
        }
    news = {
        "title": cut_bytes(title, LINK_TITLE_BYTES),
        "desc": cut_bytes(desc, LINK_DESC_BYTES),
        "link": address,
        "imgUrl": cover,
    }
    return {"msgtype": "news", "news": {name: text for name, text in news.items() if text}}
