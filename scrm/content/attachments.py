"""What goes with a text: coupons and links, in the shape of a welcome and in the shape of a chat message."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from scrm.content.render import LINK_DESC_BYTES, LINK_TITLE_BYTES, cut_bytes, render

MAX_ATTACHMENTS = 9  # of a welcome (doc 92137)

_SHORT = timedelta(hours=72)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class CouponCard:
    """One customer's coupon as it is shown; `benefit` is amount, percent, gift or freight, `url` its own page."""

    title: str
    url: str
    benefit: str = "amount"
    face_fen: int = 0
    percent_off: int = 0
    threshold_fen: int = 0
    expires_at: datetime | None = None
    picurl: str = ""


@dataclass(frozen=True, slots=True)
class LinkCard:
    """A link as WeChat shows it."""

    title: str
    url: str
    desc: str = ""
    picurl: str = ""


def link_cards(
    attachments: Iterable[Mapping[str, Any]],
    coupons: Mapping[str, CouponCard],
    values: Mapping[str, Any],
    *,
    now: datetime,
    zone: ZoneInfo,
) -> list[LinkCard]:
    """Fill attachments as authors write them (`{coupon: key}`, `{link: {...}}`); at most nine.

    Raises KeyError for a coupon that is not in `coupons`, MissingVariable for a link that says too little.
    """
    cards = []
    for attachment in attachments:
        if "coupon" in attachment:
            cards.append(coupon_link(coupons[attachment["coupon"]], now=now, zone=zone))
        elif "link" in attachment:
            link = attachment["link"]
            cards.append(LinkCard(**{key: render(str(text), values) for key, text in link.items()}))
    return cards[:MAX_ATTACHMENTS]


# Attachments that are files of the library, by the name they have there.
MEDIA_KINDS = {"image": "图片", "video": "视频", "file": "文件"}


def media_name(attachment: Mapping[str, Any]) -> str:
    """The file that an attachment `{image: name}` is; empty for a coupon or a link."""
    return next((str(attachment[kind]) for kind in MEDIA_KINDS if kind in attachment), "")


def welcome_media(kind: str, media_id: str) -> dict[str, Any]:
    """A file in a welcome (doc 92137)."""
    return {"msgtype": kind, kind: {"media_id": media_id}}


def chat_media(kind: str, media_id: str) -> dict[str, Any]:
    """A file for sendChatMessage (doc 100749)."""
    return {"msgtype": kind, kind: {"mediaid": media_id}}


def welcome_attachments(cards: Iterable[LinkCard]) -> list[dict[str, Any]]:
    """The `attachments` of send_welcome_msg (doc 92137): titles of 128 bytes, descriptions of 512."""
    return [{"msgtype": "link", "link": _fitted(card, "url", "picurl")} for card in cards]


def chat_attachments(cards: Iterable[LinkCard]) -> list[dict[str, Any]]:
    """Messages for sendChatMessage (doc 100749), one call each."""
    return [{"msgtype": "news", "news": _fitted(card, "link", "imgUrl")} for card in cards]


def coupon_link(coupon: CouponCard, *, now: datetime, zone: ZoneInfo) -> LinkCard:
    """「新人券 ¥30｜满 199 元可用」, below it until when."""
    face = _sign(coupon)
    title = f"{coupon.title}{f' {face}' if face else ''}｜{write_threshold(coupon.threshold_fen)}"
    return LinkCard(
        title, coupon.url, f"{write_validity(coupon.expires_at, now=now, zone=zone)}，点开即用", coupon.picurl
    )


def coupon_values(coupon: CouponCard, *, zone: ZoneInfo) -> dict[str, str]:
    """What {{ coupon.name }} and its like say; amounts and thresholds with their unit."""
    return {
        "coupon.name": coupon.title,
        "coupon.amount": write_amount(coupon),
        "coupon.threshold": write_threshold(coupon.threshold_fen),
        "coupon.expires": write_moment(coupon.expires_at, zone) if coupon.expires_at else "",
        "coupon.url": coupon.url,
    }


def write_amount(coupon: CouponCard) -> str:
    """「30 元」「8.5 折」「兑换」「包邮」."""
    if coupon.benefit == "percent":
        return f"{_discount(coupon.percent_off)} 折"
    return {"gift": "兑换", "freight": "包邮"}.get(coupon.benefit, f"{write_yuan(coupon.face_fen)} 元")


def write_threshold(threshold_fen: int) -> str:
    """「满 199 元可用」「无门槛」."""
    return f"满 {write_yuan(threshold_fen)} 元可用" if threshold_fen else "无门槛"


def write_validity(expires_at: datetime | None, *, now: datetime, zone: ZoneInfo) -> str:
    """「72 小时内有效」 when just issued, else the moment it ends."""
    if expires_at is None:
        return "长期有效"
    left = expires_at - now
    hours = round(left / timedelta(hours=1))
    if hours > 0 and left <= _SHORT and abs(left - timedelta(hours=hours)) <= _MINUTE:
        return f"{hours} 小时内有效"
    return f"{write_moment(expires_at, zone)} 前有效"


def write_moment(moment: datetime, zone: ZoneInfo) -> str:
    """「3 月 4 日 20:00」 in the shop's zone."""
    local = moment.astimezone(zone)
    return f"{local.month} 月 {local.day} 日 {local:%H:%M}"


def write_yuan(fen: int) -> str:
    """3000 -> 30, 990 -> 9.9."""
    yuan, rest = divmod(fen, 100)
    return f"{yuan}.{rest:02d}".rstrip("0").rstrip(".") if rest else str(yuan)


def _sign(coupon: CouponCard) -> str:
    return f"¥{write_yuan(coupon.face_fen)}" if coupon.benefit == "amount" else write_amount(coupon)


def _discount(percent_off: int) -> str:
    return write_yuan((100 - percent_off) * 10)


def _fitted(card: LinkCard, url_key: str, picture_key: str) -> dict[str, str]:
    link = {
        "title": cut_bytes(card.title, LINK_TITLE_BYTES),
        "desc": cut_bytes(card.desc, LINK_DESC_BYTES),
        url_key: card.url,
        picture_key: card.picurl,
    }
    return {key: text for key, text in link.items() if text}
