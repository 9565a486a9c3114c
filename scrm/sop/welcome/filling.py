"""What a chosen welcome says of this customer: the values, the coupons issued for it, its media and links."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.commerce.coupons import store as coupons
from scrm.content import attachments as content
from scrm.content import programs
from scrm.content.media.copies import MESSAGE
from scrm.content.media.store import Living, find_living_by_name
from scrm.sop import engine
from scrm.sop.content import Shop
from scrm.sop.enrol import last_run
from scrm.sop.schema import Playbook, Step
from scrm.sop.values import named_in, texts_of, told
from scrm.sop.welcome.intents import Prepared
from scrm.sop.welcome.knowing import Known
from scrm.tracking import said_links


def fill(conn: Connection, intents: Sequence[tuple[Known, Prepared]], shop: Shop, now: datetime) -> list[Prepared]:
    """The values and coupons of what is to be sent; each batch issues to all who need it at once."""
    wanted: dict[str, set[tuple[int, str]]] = {}
    reasons = {}
    for known, prepared in intents:
        keys = _coupon_keys(prepared.chosen.step) if prepared.chosen else []
        if prepared.chosen and prepared.chosen.playbook and keys:
            reasons[prepared.send_id] = _coupon_reason(conn, prepared.chosen.playbook, known)
        for key in keys:
            wanted.setdefault(key, set()).add((known.person_id, reasons[prepared.send_id]))
    # In the order of their keys: each batch is locked.
    living = find_living_by_name(conn, _media_names(intents), MESSAGE, now)
    issued = {key: coupons.issue_many(conn, key, wanted[key], now=now) for key in sorted(wanted)}
    return [
        _fill_one(
            known,
            prepared,
            issued,
            reasons.get(prepared.send_id, ""),
            shop,
            living,
            _links(conn, known, prepared, shop, now),
        )
        for known, prepared in intents
    ]


def _links(conn: Connection, known: Known, prepared: Prepared, shop: Shop, now: datetime) -> dict[str, str]:
    """This customer's own links to radar content; nothing is asked where none is named."""
    said = prepared.chosen.step.content if prepared.chosen else None
    named = {key for text in texts_of(said) for key in named_in(text) if said_links.knows(key)} if said else set()
    if not named:
        return {}
    whom = said_links.Whom(known.added.userid, known.person_id, known.added.external_userid)
    return said_links.make(conn, named, whom, shop.public_url, now=now)


def _coupon_reason(conn: Connection, playbook: Playbook, known: Known) -> str:
    last = None if known.contact.is_new else last_run(conn, playbook, known.person_id)
    return engine.coupon_reason(playbook.key, engine.run_key(playbook, known.event, last))


def _fill_one(
    known: Known,
    prepared: Prepared,
    issued: Mapping[str, Mapping[tuple[int, str], coupons.Issue]],
    reason: str,
    shop: Shop,
    living: Mapping[str, Living],
    links: Mapping[str, str],
) -> Prepared:
    if prepared.chosen is None:
        return prepared
    values: dict[str, Any] = {"shop": shop.name, "staff": known.member_name or "顾问"}
    values |= told.read(known.event.facts, shop.zone)
    cards = {}
    for key in _coupon_keys(prepared.chosen.step):
        issue = issued[key].get((known.person_id, reason))
        if issue is not None:  # else it is sold out
            cards[key] = coupons.card(issue, shop.public_url)
            values |= content.coupon_values(cards[key], zone=shop.zone)
    values |= links
    return replace(prepared, values=values, coupons=cards, media=living)


def _media_names(intents: Iterable[tuple[Known, Prepared]]) -> set[str]:
    contents = (prepared.chosen.step.content for _, prepared in intents if prepared.chosen)
    return {programs.file_of(part) for said in contents if said for part in said.attachments} - {""}


def _coupon_keys(step: Step) -> list[str]:
    return [part["coupon"] for part in (step.content.attachments if step.content else ()) if "coupon" in part]
