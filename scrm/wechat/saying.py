"""Pure: what a message of customer service says in words, and how an answer with something attached is sent."""

from collections.abc import Mapping
from typing import Any

from scrm.content.render import cut_bytes
from scrm.wecom.kf import MENU_TEXT_BYTES, TEXT_BYTES

Message = tuple[str, dict[str, Any]]  # msgtype and its object

# What stands in the place of what is no text (doc 94670), and which part of it says more.
_PLACES: Mapping[str, tuple[str, str]] = {
    "image": ("图片", ""),
    "voice": ("语音", ""),
    "video": ("视频", ""),
    "file": ("文件", ""),
    "location": ("位置", "name"),
    "link": ("链接", "title"),
    "business_card": ("名片", ""),
    "miniprogram": ("小程序", "title"),
    "msgmenu": ("菜单", "head_content"),
    "channels_shop_product": ("商品", "title"),
    "channels_shop_order": ("订单", "product_titles"),
    "merged_msg": ("聊天记录", "title"),
    "channels": ("视频号", "nickname"),
    "meeting": ("会议", ""),
    "calendar": ("日程", ""),
    "note": ("笔记", ""),
}
# What an answer may carry besides its words.
NOTHING, LINK, MINIPROGRAM, IMAGE = "", "link", "miniprogram", "image"


def in_words(msgtype: str, content: Mapping[str, Any]) -> str:
    """What was said; what is no text as 〔链接〕 with its title, a kind of message that is new as 〔其他消息〕."""
    if msgtype == "text":
        return str(content.get("content") or "")
    place, part = _PLACES.get(msgtype, ("其他消息", ""))
    return f"〔{place}〕{content.get(part) or ''}" if part else f"〔{place}〕"


def compose(words: str, attachment: Mapping[str, Any], media_id: str = "") -> list[Message]:
    """The messages of one answer: a link or mini program goes with the words as a menu, a picture after them."""
    kind = attachment.get("kind", NOTHING)
    if kind in (LINK, MINIPROGRAM):
        return [("msgmenu", {"head_content": cut_bytes(words, MENU_TEXT_BYTES), "list": [_item(attachment)]})]
    said: list[Message] = [("text", {"content": cut_bytes(words, TEXT_BYTES)})]
    return [*said, ("image", {"media_id": media_id})] if kind == IMAGE and media_id else said


def _item(attachment: Mapping[str, Any]) -> dict[str, Any]:
    if attachment["kind"] == LINK:
        return {"type": "view", "view": {"url": attachment["url"], "content": attachment["title"]}}
    app = {"appid": attachment["appid"], "pagepath": attachment["pagepath"], "content": attachment["title"]}
    return {"type": "miniprogram", "miniprogram": app}


def with_address(words: str, attachment: Mapping[str, Any]) -> str:
    """The same answer where only text is possible (the Official Account answers in the request itself)."""
    if attachment.get("kind") == LINK:
        return f"{words}\n{attachment['title']}：{attachment['url']}"
    return words


def most_bytes(attachment: Mapping[str, Any]) -> int:
    """Of the words beside it."""
    return MENU_TEXT_BYTES if attachment.get("kind") in (LINK, MINIPROGRAM) else TEXT_BYTES
