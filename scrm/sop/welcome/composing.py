"""The message of a prepared welcome; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scrm.content import attachments as content
from scrm.content import programs
from scrm.content.render import WELCOME_TEXT_BYTES, MissingVariable, cut_bytes, render
from scrm.sop.content import Shop
from scrm.sop.welcome.intents import Prepared


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to send_welcome_msg; `plain` is the text to fall back on when an attachment is refused."""

    text: str
    attachments: list[dict[str, Any]]
    plain: str
    # What could not be said, for the ledger.
    lacks: str = ""


def compose(prepared: Prepared, nickname: str, shop: Shop, *, now: datetime) -> Message:
    """Fill the chosen content; a nickname that is late is '' and a neutral word takes its place. Pure."""
    assert prepared.chosen is not None and prepared.chosen.step.content is not None  # noqa: PT018, S101
    said = prepared.chosen.step.content
    values = {**prepared.values, "nickname": nickname, "salutation": ""}
    try:
        text = render(said.text, values)
    except MissingVariable:
        # A coupon that is sold out: better a plain word than a broken sentence or nothing.
        text = f"您好，我是{values['staff']}，很高兴认识您，有任何问题随时找我。"
    attachments: list[dict[str, Any]] = []
    cards: list[content.LinkCard] = []
    lacks = []
    for part in said.attachments:
        name = programs.file_of(part)
        if name in prepared.media and programs.KIND in part:
            attachments += _program(part, values, prepared.media[name].media_id)
        elif name in prepared.media:
            attachments.append(content.welcome_media(prepared.media[name].kind, prepared.media[name].media_id))
        elif name:
            lacks.append(name)
        elif card := _card(part, prepared, values, shop, now):
            cards.append(card)
            attachments += content.welcome_attachments([card])
    links = "\n".join(f"{card.title}\n{card.url}" for card in cards)
    return Message(
        text=cut_bytes(text, WELCOME_TEXT_BYTES),
        attachments=attachments[: content.MAX_ATTACHMENTS],
        plain=cut_bytes(f"{text}\n{links}" if links else text, WELCOME_TEXT_BYTES),
        lacks=f"素材“{'”“'.join(lacks)}”还没有上传到企业微信，没有附上" if lacks else "",
    )


def _program(part: Mapping[str, Any], values: Mapping[str, Any], media_id: str) -> list[dict[str, Any]]:
    """Nothing for one that would say too little."""
    try:
        return [programs.server_message(programs.fill(part[programs.KIND], values), media_id)]
    except MissingVariable:
        return []


def _card(
    part: Mapping[str, Any], prepared: Prepared, values: Mapping[str, Any], shop: Shop, now: datetime
) -> content.LinkCard | None:
    """None for a coupon that is sold out, and for a link that would say too little."""
    if "coupon" in part and part["coupon"] not in prepared.coupons:
        return None
    try:
        return content.link_cards([part], prepared.coupons, values, now=now, zone=shop.zone)[0]
    except MissingVariable:
        return None
