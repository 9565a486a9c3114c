"""Who added whom, through which channel: contact and relation as they stand once the add is in the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.contact_ways.plan import plan_of, welcome_of
from scrm.contact_ways.store import find_contact_way
from scrm.events import Event
from scrm.profiles import store as profiles
from scrm.profiles.store import Contact, Relation, Standing
from scrm.referrals.campaigns import find_running
from scrm.referrals.ledger import inviter_shown
from scrm.sop.content import Shop
from scrm.sop.welcome.intents import Added
from scrm.work import queue


@dataclass(frozen=True, slots=True)
class Channel:
    """What contact.added tells of the channel (playbooks choose by it), and the channel's own welcome at this moment."""

    facts: Mapping[str, Any]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """An add whose contact and relation are in the database now."""

    added: Added
    event: Event
    contact: Contact
    member_name: str
    is_confirmation: bool
    standing: Standing
    channel_text: str

    @property
    def person_id(self) -> int:
        return self.contact.person_id

    @property
    def tells(self) -> str:
        return "contact.confirmed" if self.is_confirmation else "contact.added"


def know(conn: Connection, adds: Sequence[Added], shop: Shop, now: datetime) -> list[Known]:
    contacts = profiles.ensure_contacts(conn, [added.external_userid for added in adds], now=now)
    before = profiles.find_standings(conn, contacts)
    channels = {state: _channel(conn, state, shop, now) for state in {added.state for added in adds}}
    names = {userid: _learn_member(conn, userid, now) for userid in {added.userid for added in adds}}
    known = []
    for added in adds:
        pair = (added.userid.lower(), added.external_userid)
        one = _known(
            added, contacts[added.external_userid], before.get(pair), channels[added.state], names[added.userid]
        )
        known.append(one)
        before[pair] = one.standing
    profiles.ensure_follow_users(conn, [_relation(one) for one in known if not one.added.is_consent])
    return known


def _known(added: Added, contact: Contact, before: Standing | None, channel: Channel, member_name: str) -> Known:
    """What an add means depends on how the relation stood `before` it."""
    if before is not None:
        added = replace(added, userid=before.userid)
    was_half = before is not None and before.is_half
    event = Event(
        "contact.added",
        added.created_at,
        contact.person_id,
        added.external_userid,
        added.userid,
        facts={**channel.facts, "is_half": added.is_half},
    )
    standing = Standing(added.userid, added.is_half and (before is None or was_half))
    return Known(added, event, contact, member_name, was_half and not added.is_half, standing, channel.text)


def _relation(known: Known) -> Relation:
    added = known.added
    return Relation(added.userid, added.external_userid, known.person_id, added.state, added.is_half, added.created_at)


def _learn_member(conn: Connection, userid: str, now: datetime) -> str:
    """The member's name; one that we do not know yet is '' and asked for, beside the welcome."""
    member = profiles.find_member(conn, userid)
    if member is not None:
        return str(member.alias or member.name)
    item = queue.Item(
        lane="sync",
        kind="member.refresh",
        payload={"userid": userid},
        dedupe_key=f"member.refresh:{userid.lower()}",
    )
    queue.add(conn, item, now=now)
    return ""


def _channel(conn: Connection, state: str, shop: Shop, now: datetime) -> Channel:
    way = find_contact_way(conn, state) if state else None
    if way is None:
        return Channel({"state": state})
    facts: dict[str, Any] = {"state": state, "channel": {"kind": way.kind, "title": way.title}}
    if way.inviter_id is not None:
        facts["inviter"] = inviter_shown(conn, way.inviter_id, now)
        # Who comes when no campaign runs is promised nothing.
        facts["channel"]["kind"] = way.kind if find_running(conn, now) is not None else ""
    return Channel(facts, welcome_of(plan_of(way.plan), now, shop.zone))
