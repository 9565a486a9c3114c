"""Sending a script in one tap: the ledger has the intent before the client gets the messages, and the outcome after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from scrm.content.attachments import media_name
from scrm.content.library import lint, said, store
from scrm.content.library.keep import said_of
from scrm.content.library.said import Filled, Said
from scrm.content.media import store as media
from scrm.content.render import CHAT_TEXT_CHARS
from scrm.errors import Conflict, Invalid, NotFound
from scrm.events import Event, record
from scrm.profiles.store import access_contact
from scrm.sidebar import chat_sends
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.script_shelf import Desk, addresses_of, find_usable, gap_of, make_links_of, radar_cards, values_for
from scrm.tracking import radar
from web.texts import _
from web.texts.kept import retold

# What a member may be shown of a text in a timeline.
_TOLD = 120


@dataclass(frozen=True, slots=True)
class Sending:
    """One tap: `once` stands for it, `text` is what the member wrote instead, None for what the script says.

    `is_unheard`: it was asked for before, and the answer never came.
    """

    script_id: int
    once: str
    text: str | None = None
    is_unheard: bool = False


def find_files(conn: Connection, visit: Visit, script_id: int) -> dict[str, str]:
    """The originals that the client will ask WeCom for: SHA-256 by file name. Raises Conflict for one that is gone."""
    visit.relation = access_contact(conn, visit.userid, visit.external_userid)
    one = said_of(find_usable(conn, visit, script_id))
    names = {name for each in one.attachments if (name := media_name(each))}
    found = {name: row.sha256 for name, row in media.find_by_name(conn, names).items()}
    if gone := sorted(names - set(found)):
        raise Conflict(_("素材“{name}”已被删除，请换一条话术，或联系主管更新。", name=gone[0]))
    return found


def release(conn: Connection, desk: Desk, sending: Sending, media_ids: Mapping[str, str]) -> list[dict[str, Any]]:
    """What the client gets. Raises Conflict when it was sent already or cannot be said, Invalid for the member's text."""
    visit = desk.visit
    visit.relation = access_contact(conn, visit.userid, visit.external_userid)
    row = find_usable(conn, visit, sending.script_id)
    if not sending.once.startswith(f"script:{row.id}:") or len(sending.once) > 120:
        raise Invalid(_("请刷新话术列表再发送。"))
    one = said_of(row)
    filled, is_edited = _fill(conn, desk, one, sending.text)
    messages = said.with_media(filled.messages, media_ids)
    if not messages:
        raise Invalid(_("没有内容可发，请写点什么。"))
    content = {"messages": messages, "script": row.id, "version": row.version, "is_edited": is_edited}
    chat_sends.begin(conn, visit, sending.once, content, is_unheard=sending.is_unheard)
    return messages


def _fill(conn: Connection, desk: Desk, one: Said, text: str | None) -> tuple[Filled, bool]:
    """What goes out, and whether the member changed it."""
    make_links_of(conn, desk, [one])
    values = values_for(conn, desk, [one])
    cards = radar_cards(conn, [one], _radar_addresses(conn, desk, one))
    address = addresses_of(conn, desk, [one], public=desk.shop.public_url)
    filled = said.fill(one, values, address, cards)
    if text is None or text.strip() == filled.text:
        if filled.missing:
            raise Conflict(_("{missing}，不能发送。可以点开这条话术，自己补上。", missing=retold(filled.missing)))
        return filled, False
    _check_written(conn, one, text)
    beside = said.fill(Said(one.title, "", one.attachments), values, address, cards)
    if beside.missing:
        raise Conflict(_("附件里{missing}，不能发送。", missing=retold(beside.missing)))
    return Filled(text.strip(), beside.attachments), True


def _check_written(conn: Connection, one: Said, text: str) -> None:
    if len(text) > CHAT_TEXT_CHARS:
        raise Invalid(_("内容有 {chars} 个字，最多 {most} 个。", chars=len(text), most=CHAT_TEXT_CHARS))
    gaps = [gap_of(key) for key in sorted(said.variables_in(one)) if gap_of(key) in text]
    if gaps:
        raise Invalid(_("还有没填的内容：{gaps}，请改好再发。", gaps="".join(gaps)))
    if problem := lint.blocking([text], store.read_words(conn)):
        raise Invalid(f"{problem}。")


def _radar_addresses(conn: Connection, desk: Desk, one: Said) -> dict[str, str]:
    """This customer's own link of each content: who opens it is counted for them."""
    addresses, visit = {}, desk.visit
    for key in said.radar_keys(one.attachments):
        try:
            row = radar.find_content(conn, key)
        except NotFound:
            continue
        whom = {"userid": visit.userid, "person_id": visit.person_id, "external_userid": visit.external_userid}
        addresses[key] = f"{desk.shop.public_url}/r/{radar.ensure_link(conn, row.id, **whom, now=visit.now)}"  # type: ignore[arg-type]
    return addresses


def note_sending(conn: Connection, visit: Visit, script_id: int, fields: Mapping[str, Any]) -> None:
    """What the client said, or the member who looked into the chat; told twice, it counts once."""
    row = chat_sends.end(conn, visit, f"script:{script_id}:", fields)
    if row is None:
        return
    content = row.content or {}
    is_edited = bool(content.get("is_edited"))
    version = int(content.get("version") or 0)
    store.note_use(conn, row.once, script_id, version=version, userid=visit.userid, is_edited=is_edited, now=visit.now)
    _tell(conn, visit, script_id, row.once, content)


def _tell(conn: Connection, visit: Visit, script_id: int, once: str, content: Mapping[str, Any]) -> None:
    script = store.find_script(conn, script_id)
    first: Mapping[str, Any] = next(iter(content.get("messages") or ()), {})
    text = str(first.get("text", {}).get("content", ""))[:_TOLD]
    told = Event(
        "script.sent",
        visit.now,
        visit.person_id,
        visit.external_userid,
        visit.userid,
        key=str(script_id),
        facts={"title": script.title if script is not None else "", "text": text},
        once=once,
    )
    record(conn, [told], now=visit.now)
