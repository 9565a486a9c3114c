"""Mini-programs that go with a text: as authors write them, as a chat sends them, as WeCom's server wants them."""

import re
from collections.abc import Mapping
from typing import Any

from scrm.content.attachments import media_name
from scrm.content.render import cut_bytes, render

KIND = "miniprogram"
KEYS = ("appid", "title", "page", "picture")
TITLE_BYTES = 64
APPID = re.compile(r"wx[0-9a-f]{16}")
PAGE = re.compile(r"[^\s?]+\.html(\?\S*)?")


def cover_of(attachment: Mapping[str, Any]) -> str:
    """The name of the picture on a mini-program's card; empty for any other attachment."""
    return str((attachment.get(KIND) or {}).get("picture") or "")


def file_of(attachment: Mapping[str, Any]) -> str:
    """The file of the library that an attachment needs: what it is, or its cover; empty for a coupon or a link."""
    return media_name(attachment) or cover_of(attachment)


def fill(program: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
    """What the card says to one customer; raises MissingVariable."""
    said = {key: render(str(program[key]), values) for key in ("appid", "title", "page")}
    return {**said, "title": cut_bytes(said["title"], TITLE_BYTES)}


def waiting_message(card: Mapping[str, str], picture: str) -> dict[str, Any]:
    """For sendChatMessage, with the name of its cover until the tap: an address of ours lives a day."""
    return {"msgtype": KIND, KIND: dict(card), "picture": picture}


def chat_message(waiting: Mapping[str, Any], address: str) -> dict[str, Any]:
    """For sendChatMessage (doc 100749)."""
    return {"msgtype": KIND, KIND: {**waiting[KIND], "imgUrl": address}}


def server_message(card: Mapping[str, Any], media_id: str) -> dict[str, Any]:
    """For a welcome or a mass message (doc 92137), where a page is written without its ".html"."""
    path, _, query = str(card["page"]).partition("?")
    page = path.removesuffix(".html") + (f"?{query}" if query else "")
    return {
        "msgtype": KIND,
        KIND: {"title": card["title"], "pic_media_id": media_id, "appid": card["appid"], "page": page},
    }


def kept(attachment: Mapping[str, Any], originals: Mapping[str, Any]) -> dict[str, Any]:
    """An attachment of a playbook or plan in the shape that mass messages keep; `originals` by file name."""
    if name := media_name(attachment):
        return {"media": originals[name].sha256}
    if KIND in attachment:
        card = {key: str(attachment[KIND][key]) for key in ("appid", "title", "page")}
        return {KIND: {**card, "media": originals[cover_of(attachment)].sha256}}
    return {"link": dict(attachment["link"])}
