"""A customer has a new owner: the relation, the runs and the tasks change hands in one transaction, once."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from scrm.events import Event, publish
from scrm.profiles import store as profiles
from scrm.services import Services
from scrm.sop.members.hand_over import hand_over
from scrm.transfers import store, words
from scrm.work import queue

TRANSFER_SOURCE = "DELETE_BY_TRANSFER"
# The event of a takeover may come after a poll has told us of it.
_LATE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Added:
    """What of an add event decides whether it is a takeover."""

    userid: str
    external_userid: str
    state: str
    created_at: datetime


def complete(conn: Connection, services: Services, row: Row[Any], *, at: datetime, now: datetime) -> bool:
    """End an open transfer as done and move what belongs to it; False when it had ended before.

    Whoever hears of it first does it: the poll, the add event of the taker or the delete event of the giver.
    """
    done = store.mark_done(conn, row.id, at=at, now=now)
    if done is None:
        return False
    contact = profiles.ensure_contact(conn, done.external_userid, now=now)
    giver, taker = done.handover_userid, done.takeover_userid
    followed = profiles.Relation(
        taker, done.external_userid, contact.person_id, state="", is_half=False, followed_at=at
    )
    profiles.ensure_follow_users(conn, [followed])
    profiles.end_follow_user(conn, giver, done.external_userid, contact.person_id, ended_by="member", ended_at=at)
    store.forget_unassigned(conn, giver, done.external_userid)
    moved = hand_over(conn, services, giver, done.external_userid, taker, now=now)
    told = Event(
        name="contact.taken_over",
        occurred_at=at,
        person_id=contact.person_id,
        external_userid=done.external_userid,
        userid=taker,
        facts={"handover_userid": giver, "takeover_userid": taker, "runs": moved.runs, "tasks": moved.tasks},
        once=f"contact.taken_over:{done.id}",
    )
    publish(conn, [told], now=now)
    refresh = queue.Item(
        lane="sync",
        kind="contact.refresh",
        payload={"external_userid": done.external_userid},
        order_key=f"contact:{done.external_userid}",
        dedupe_key=f"contact.refresh:{done.external_userid}:{done.id}",
    )
    queue.add(conn, refresh, now=now)
    return True


def find_takeovers(conn: Connection, adds: Collection[Added]) -> set[tuple[str, str]]:
    """(userid, external_userid) of the adds that are the end of a transfer of ours, not a customer's own doing.

    A customer who scans a code brings a state: that is an add, transfer or not.
    """
    plain = [added for added in adds if not added.state]
    if not plain or not (known := store.has_any(conn, {added.external_userid for added in plain})):
        return set()
    return {
        (added.userid, added.external_userid)
        for added in plain
        if added.external_userid in known and _find_taken(conn, added) is not None
    }


def _find_taken(conn: Connection, added: Added) -> Row[Any] | None:
    row = store.find_to_taker(conn, added.userid, added.external_userid)
    if row is None or row.state not in (*store.OPEN, "done"):
        return None
    if row.state == "done" and added.created_at > row.ended_at + _LATE:
        return None  # taken over long ago; this is another story
    # A clock that is a little off must not make an old add of the same pair look like a takeover.
    return row if added.created_at >= row.asked_at - _LATE else None


def take_over(conn: Connection, services: Services, added: Added, *, now: datetime) -> None:
    """The taker's add event is the proof; nothing is begun and nobody is welcomed a second time."""
    row = _find_taken(conn, added)
    if row is not None:
        complete(conn, services, row, at=added.created_at, now=now)


def is_handed_over(
    conn: Connection, services: Services, userid: str, external_userid: str, source: str, *, at: datetime, now: datetime
) -> bool:
    """Whether a delete event only says that a transfer of ours is done; completes it when it was open."""
    row = store.find_from_giver(conn, userid, external_userid)
    if row is None:
        return False
    if row.state in store.OPEN:
        if source == TRANSFER_SOURCE:
            complete(conn, services, row, at=at, now=now)  # unless a poll beside us has done it this moment
        return source == TRANSFER_SOURCE
    # The plain element is missing in some real events: a deletion at the moment of the takeover is the automatic one.
    is_same_moment = row.state == "done" and at <= row.takeover_at + _LATE
    return row.state == "done" and (source == TRANSFER_SOURCE or is_same_moment)


def fail(conn: Connection, takeover_userid: str, external_userid: str, fail_reason: str, *, now: datetime) -> bool:
    """What transfer_fail says of the taker; False when no open transfer of ours is meant."""
    row = store.find_to_taker(conn, takeover_userid, external_userid)
    if row is None or row.state not in store.OPEN:
        return False
    state, reason = words.FAIL_REASONS.get(fail_reason, ("failed", f"企业微信返回原因“{fail_reason[:60]}”"))
    store.end_customers(conn, row.transfer_id, [external_userid], state, reason, now=now)
    tell_failure(conn, row, reason, now=now)
    return True


def tell_failure(conn: Connection, row: Row[Any], reason: str, *, now: datetime) -> None:
    """The customer stays where he was; the timeline says why."""
    contact = profiles.ensure_contact(conn, row.external_userid, now=now)
    told = Event(
        name="contact.transfer_failed",
        occurred_at=now,
        person_id=contact.person_id,
        external_userid=row.external_userid,
        userid=row.handover_userid,
        facts={"takeover_userid": row.takeover_userid, "reason": reason},
        once=f"contact.transfer_failed:{row.id}",
    )
    publish(conn, [told], now=now)
