"""The address of a customer's own page: only we can make it, and it needs no row, so everyone may be sent theirs."""

from typing import Any

from scrm.content.render import LINK_TITLE_BYTES, cut_bytes
from scrm.db.vault import Vault

_PURPOSE = "invite"


def path_of(vault: Vault, person_id: int) -> str:
    """The path of a customer's own page (scrm.referrals.pages), the same for ever."""
    return f"/i/{person_id}-{vault.sign(_PURPOSE, str(person_id))}"


def is_ours(vault: Vault, person_id: int, proof: str) -> bool:
    """Whether `path_of` made it."""
    return vault.is_signed(_PURPOSE, str(person_id), proof)


def card_of(title: str, address: str) -> dict[str, Any]:
    """For sendChatMessage: the page as a link; it promises for a friend who buys, never for passing it on."""
    told = "朋友从这里加我好友，第一笔订单过了退货期，您和朋友各有一份谢礼。"
    return {"msgtype": "news", "news": {"title": cut_bytes(title, LINK_TITLE_BYTES), "desc": told, "link": address}}
