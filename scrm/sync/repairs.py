"""What a difference means: an add or a deletion that no callback told us becomes state, an event and a line on the board.

Three kinds of adds: those from before we looked (historic: kept for the timeline, no playbook begins), those so young
that their callback may be on its way (kept, and looked at again), and those whose callback was missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from scrm import events, joining
from scrm.commerce.binding import bind_orders
from scrm.contact_ways import ledger
from scrm.db.vault import Vault
from scrm.events import Event
from scrm.profiles import reconcile
from scrm.profiles import store as profiles
from scrm.profiles.erased import erased_contacts
from scrm.profiles.reconcile import Difference, Written
from scrm.services import Services
from scrm.sync import follow_users, store
from scrm.sync.store import Missed
from scrm.wecom.contacts import Relation
from scrm.work import queue

# Callbacks are repeated for some seconds, and ours may wait in the queue: what is younger may still be told.
GRACE = timedelta(minutes=5)
CHECK_KIND = "sync.check_added"
SOURCE = "contacts"


@dataclass(frozen=True, slots=True)
class Kept:
    """How many relations were new to us, and how many differed in something else."""

    added: int
    changed: int


def keep_relations(
    conn: Connection, relations: Sequence[Relation], cursor: tuple[int, str, int], vault: Vault, now: datetime
) -> Kept:
    """One transaction: the relations, what follows from them, and the cursor behind them."""
    written = reconcile.write(conn, relations, vault=vault, now=now)
    _bind_orders(conn, written, now)
    added = [one for one in written.differences if one.is_added]
    _tell_added(conn, added, written, vault, now)
    store.save_part(conn, SOURCE, *cursor, now=now)
    return Kept(len(added), len(written.differences) - len(added))


def _bind_orders(conn: Connection, written: Written, now: datetime) -> None:
    """Orders that waited for these unionids and phones have a person now."""
    joining.meet_unionids(conn, written.unionids, now=now)
    unionids, phones = store.waiting_orders(conn, written.unionids, written.phones)
    for unionid in sorted(unionids):
        bind_orders(conn, written.unionids[unionid], unionid=unionid, now=now, is_news=False)
    for lookup in sorted(phones):
        bind_orders(conn, written.phones[lookup], phone_lookup=lookup, now=now, is_news=False)


def _tell_added(conn: Connection, added: Sequence[Difference], written: Written, vault: Vault, now: datetime) -> None:
    if not added:
        return
    since = follow_users.watched_since(conn)
    channels = store.channels(conn, [one.relation.follow_info.state for one in added])
    # Who was forgotten on request and is still a contact comes back as one from before: nobody greets them again.
    erased = erased_contacts(conn, vault, [one.relation.external_contact.external_userid for one in added])
    historic = []
    for one in added:
        event = _added_event(one, written.persons[one.relation.external_contact.external_userid], channels)
        if event.external_userid in erased:
            historic.append(_historic(event))
        elif now - event.occurred_at < GRACE:
            _look_again(conn, event, now)
        elif event.occurred_at < since.get(one.userid.lower(), now):
            historic.append(_historic(event))
        else:
            _tell_missed(conn, event, now)
    events.record(conn, historic, now=now)
    # Nothing is set off by them, so channels would not hear of them either.
    ledger.follow_all(conn, historic)


def _added_event(one: Difference, person_id: int, channels: dict[str, dict[str, str]]) -> Event:
    """As the callback would have told it (docs/glossary.md), with the mark that it did not."""
    told = one.relation.follow_info
    added_at = reconcile.created_at(told)
    external_userid = one.relation.external_contact.external_userid
    facts: dict[str, Any] = {"state": told.state, "is_half": False, "add_way": told.add_way, "found_by": "sync"}
    if told.state in channels:
        facts["channel"] = channels[told.state]
    return Event(
        name="contact.added",
        occurred_at=added_at,
        person_id=person_id,
        external_userid=external_userid,
        userid=one.userid,
        facts=facts,
        # The same as the callback's: whichever comes second is not told again.
        once=f"contact.add:{one.userid}:{external_userid}:{int(added_at.timestamp())}",
    )


def _historic(event: Event) -> Event:
    return Event(
        name=event.name,
        occurred_at=event.occurred_at,
        person_id=event.person_id,
        external_userid=event.external_userid,
        userid=event.userid,
        facts={**event.facts, "historic": True},
        once=event.once,
    )


def _tell_missed(conn: Connection, event: Event, now: datetime) -> None:
    """Playbooks hear of it late: what they wanted to say long ago, their own rules drop or defer."""
    if not events.publish(conn, [event], now=now):
        return
    missed = Missed(
        event.name, SOURCE, event.userid, event.external_userid, event.person_id, event.occurred_at, event.facts
    )
    store.note_missed(conn, missed, now=now)


def _look_again(conn: Connection, event: Event, now: datetime) -> None:
    item = queue.Item(
        lane="sync",
        kind=CHECK_KIND,
        payload={
            "userid": event.userid,
            "external_userid": event.external_userid,
            "person_id": event.person_id,
            "occurred_at": event.occurred_at.isoformat(),
            "facts": event.facts,
            "once": event.once,
        },
        due_at=event.occurred_at + GRACE,
        dedupe_key=f"{CHECK_KIND}:{event.userid}:{event.external_userid}",
    )
    queue.add(conn, item, now=now)


async def run_check_added(services: Services, item: queue.Claimed) -> None:
    """Work of kind sync.check_added: an add that was too young to be called missed; is it told by now?"""
    await services.db.write(_check_added, item.payload, services.clock.now())


def _check_added(conn: Connection, payload: dict[str, Any], now: datetime) -> None:
    event = Event(
        name="contact.added",
        occurred_at=datetime.fromisoformat(payload["occurred_at"]),
        person_id=payload["person_id"],
        external_userid=payload["external_userid"],
        userid=payload["userid"],
        facts=payload["facts"],
        once=payload["once"],
    )
    follow = profiles.find_follow_user(conn, event.userid, event.external_userid)
    told = store.was_told(conn, event.userid, event.external_userid, since=event.occurred_at - GRACE)
    if told or follow is None or follow.ended_by:
        return
    if event.occurred_at < follow_users.watched_since(conn).get(event.userid.lower(), now):
        events.record(conn, [_historic(event)], now=now)
        ledger.follow(conn, event)
    else:
        _tell_missed(conn, event, now)


def end_lost(conn: Connection, row: Row[Any], now: datetime) -> bool:
    """The member deleted the customer and no callback said so; when it happened nobody knows. False when told by now."""
    follow = profiles.find_follow_user(conn, row.userid, row.external_userid)
    if follow is None or follow.ended_by == "member" or follow.followed_at != row.followed_at:
        return False
    profiles.end_follow_user(
        conn, follow.userid, follow.external_userid, follow.person_id, ended_by="member", ended_at=now
    )
    event = Event(
        name="contact.lost_by_member",
        occurred_at=now,
        person_id=follow.person_id,
        external_userid=follow.external_userid,
        userid=follow.userid,
        facts={"source": "", "found_by": "sync"},
        once=f"contact.lost:{follow.userid}:{follow.external_userid}:{int(now.timestamp())}:member",
    )
    events.publish(conn, [event], now=now)
    missed = Missed(event.name, SOURCE, event.userid, event.external_userid, event.person_id, None, event.facts)
    store.note_missed(conn, missed, now=now)
    return True
