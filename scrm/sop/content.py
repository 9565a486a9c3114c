"""Fills what a step says: its text, and the messages of its attachments."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.commerce.coupons import store as coupons
from scrm.content import programs
from scrm.content.attachments import CouponCard, chat_attachments, chat_media, coupon_values, link_cards, media_name
from scrm.content.media.copies import MESSAGE
from scrm.content.media.store import find_by_name, find_living_by_name
from scrm.content.render import CHAT_TEXT_CHARS, MissingVariable, render
from scrm.errors import Conflict, ScrmError
from scrm.sop.engine import coupon_reason
from scrm.sop.facts import Due
from scrm.sop.schema import Content
from scrm.sop.values import Shop as Shop
from scrm.sop.values import load_values as load_values
from scrm.sop.values import named_in, texts_of
from scrm.tracking import said_links
from web.texts import _

_OF_COUPONS = "coupon."


@dataclass(frozen=True, slots=True)
class Filled:
    """A text with its chat messages (sendChatMessage).

    Or why it cannot be said: `problem` when something is missing, `needless` when it would be wrong to say it.
    """

    text: str = ""
    attachments: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""
    needless: str = ""


def fill(conn: Connection, one: Due, values: dict[str, Any], shop: Shop, now: datetime) -> Filled:
    """What the step says to this person; its coupon is issued now, or is the one the run has given already."""
    said = one.content
    cards: dict[str, CouponCard] = {}
    for key in _coupon_keys(one, said):
        try:
            issue = _issue(conn, one, key, now)
        except ScrmError as error:
            return Filled(problem=error.text)
        if issue.state_at(now) != "issued":
            return Filled(needless=f"优惠券“{issue.title}”{issue.word_at(now)}，不再提醒")
        cards[key] = coupons.card(issue, shop.public_url)
        # With several coupons {{ coupon.* }} speaks of the first.
        values = {**coupon_values(cards[key], zone=shop.zone), **values}
    values = {**values, **_radar_links(conn, one, said, shop, now)}
    try:
        text = render(said.text, values)
        attachments = [
            _file(part)
            or _program(part, values)
            or chat_attachments(link_cards([part], cards, values, now=now, zone=shop.zone))[0]
            for part in said.attachments
        ]
    except MissingVariable as error:
        return Filled(problem=str(error))
    return Filled(text[:CHAT_TEXT_CHARS], attachments)


def _radar_links(conn: Connection, one: Due, said: Content, shop: Shop, now: datetime) -> dict[str, str]:
    named = {key for text in texts_of(said) for key in named_in(text) if said_links.knows(key)}
    if not named:
        return {}
    whom = said_links.Whom(one.row.userid or "", one.row.person_id, one.row.external_userid or "")
    return said_links.make(conn, named, whom, shop.public_url, now=now)


def _file(part: Mapping[str, Any]) -> dict[str, Any]:
    """WeCom's id of a file lives three days: a task keeps its name, and `with_files` puts the id in at the tap."""
    name = media_name(part)
    return {"msgtype": next(iter(part)), "name": name} if name else {}


def _program(part: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    if programs.KIND not in part:
        return {}
    return programs.waiting_message(programs.fill(part[programs.KIND], values), programs.cover_of(part))


def with_files(
    conn: Connection, messages: Sequence[dict[str, Any]], now: datetime, address: Callable[[str], str]
) -> list[dict[str, Any]]:
    """Chat messages whose files have WeCom's id, and whose covers an address, which `address` gives by the SHA-256.

    Raises Conflict while WeCom does not have one of the files, and for a cover that the library lost.
    """
    covers = find_by_name(conn, names) if (names := {each["picture"] for each in messages if "picture" in each}) else {}
    if lost := sorted(names - covers.keys()):
        raise Conflict(_("素材库里没有小程序的封面“{name}”了，请联系管理员补上；急用可以手动发送文字。", name=lost[0]))
    messages = [
        programs.chat_message(each, address(covers[each["picture"]].sha256)) if "picture" in each else each
        for each in messages
    ]
    living = find_living_by_name(conn, {message["name"] for message in messages if "name" in message}, MESSAGE, now)
    for message in messages:
        if "name" in message and message["name"] not in living:
            raise Conflict(
                f"素材“{message['name']}”还没有上传到企业微信，请几分钟后再试；急用可以先去掉附件，手动发送文字。"
            )
    return [
        chat_media(living[message["name"]].kind, living[message["name"]].media_id) if "name" in message else message
        for message in messages
    ]


def _issue(conn: Connection, one: Due, key: str, now: datetime) -> coupons.Issue:
    """The one coupon of this run, whichever step gave it first."""
    reason = coupon_reason(one.playbook.key, one.row.run_key)
    return coupons.issue(conn, batch_key=key, person_id=one.row.person_id, reason_key=reason, now=now)


def _coupon_keys(one: Due, said: Content) -> list[str]:
    """The coupons a step shows; one that is only spoken of is the playbook's first."""
    shown = [part["coupon"] for part in said.attachments if "coupon" in part]
    spoken_of = any(name.startswith(_OF_COUPONS) for name in named_in(said.text))
    if not shown and spoken_of and one.playbook.coupons:
        return [one.playbook.coupons[0].key]
    return shown
