"""Fetches a contact's state from WeCom and keeps what it says; every handler of contact events ends here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm import joining
from scrm.callbacks.metrics import FETCHES
from scrm.callbacks.router import Callback
from scrm.db.vault import Vault
from scrm.events import Event, publish
from scrm.profiles import store as profiles
from scrm.profiles.store import Details
from scrm.services import Services
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work import queue

KIND = "contact.refresh"
ARCHIVING_AGREED = "contact.archiving_agreed"


async def learn_contact(callback: Callback, tells: str, facts: Mapping[str, Any], details: Details | None) -> None:
    """After an add: keep the details and publish what it `tells`; without details that is left to the sync lane.

    Playbooks hear of the add once we know who it is: an order-bound buyer must not be taken for a new customer.
    """
    event, services = callback.event, callback.services
    added = {
        "name": tells,
        "userid": event.text("UserID"),
        "facts": dict(facts),
        "occurred_at": event.created_at.isoformat(),
    }
    external_userid = event.text("ExternalUserID")
    if details is not None:
        learnt = Learnt(external_userid, details, added, callback.correlation, callback.received_at)
        await services.db.together(_keep_many, (learnt, services))
        return
    item = queue.Item(
        lane="sync",
        kind=KIND,
        payload={"external_userid": external_userid, "added": added},
        order_key=f"contact:{external_userid}",
        correlation=callback.correlation,
    )
    await services.db.together(_leave_many, (item, services.clock.now()))


def _leave_many(conn: Connection, left: list[tuple[queue.Item, datetime]]) -> list[None]:
    queue.add_many(conn, [item for item, _ in left], now=left[-1][1])
    return [None] * len(left)


async def run_refresh(services: Services, item: queue.Claimed) -> None:
    """Work of kind contact.refresh. A contact that WeCom will not show (84061: half added, or gone) is no error.

    With `after` in its payload and nothing `added`, a fetch that began since then has done it already.
    """
    external_userid, added = item.payload["external_userid"], item.payload.get("added")
    if added is None and await _is_covered(services, external_userid, item.payload.get("after")):
        FETCHES.labels(KIND, "covered").inc()
        return
    asked_at = services.clock.now()
    details = None
    FETCHES.labels(KIND, "asked").inc()
    try:
        answer = await services.wecom.contacts.get_external_contact(external_userid)
        details = Details(answer["external_contact"], answer["follow_user"])
    except WeComError as error:
        is_last_try = error.retry_class in (RetryClass.RELATION, RetryClass.PARAMETER) or item.attempts > 3
        if not (is_last_try and (added or error.retry_class is RetryClass.RELATION)):
            raise
    learnt = Learnt(external_userid, details, added, item.correlation, asked_at)
    await services.db.together(_keep_many, (learnt, services))


async def _is_covered(services: Services, external_userid: str, after: str | None) -> bool:
    if after is None:
        return False
    refreshed_at = await services.db.read(profiles.find_refreshed_at, external_userid)
    return refreshed_at is not None and refreshed_at >= datetime.fromisoformat(after)


@dataclass(frozen=True, slots=True)
class Learnt:
    """What WeCom said about a contact when it was asked, and the add that made us ask."""

    external_userid: str
    details: Details | None
    added: Mapping[str, Any] | None
    correlation: str
    asked_at: datetime


def _keep_many(conn: Connection, told: list[tuple[Learnt, Services]]) -> list[None]:
    """In the order of the contacts, so that two processes do not wait for each other crosswise."""
    services = told[0][1]
    now = services.clock.now()
    for learnt, _ in sorted(told, key=lambda each: each[0].external_userid):
        keep(conn, learnt, services.vault, now)
    return [None] * len(told)


def keep(conn: Connection, learnt: Learnt, vault: Vault, now: datetime) -> None:
    """The contact, the orders that now have a buyer, and the event that playbooks wait for: all or nothing.

    The contact is as fresh as the question (`asked_at`): what happened while the answer travelled is not in it.
    """
    details, added = learnt.details, learnt.added
    contact = profiles.ensure_contact(conn, learnt.external_userid, now=now)
    if details is not None:
        profiles.save_contact(conn, details, vault=vault, now=learnt.asked_at)
        joining.learn_contact(conn, contact.person_id, details, vault=vault, now=now)
    if added is not None and not _is_over(conn, learnt.external_userid, added):
        told = _added_event(learnt.external_userid, contact.person_id, added)
        if told.name == ARCHIVING_AGREED:
            profiles.note_archiving_agreed(conn, told.userid, told.external_userid, told.occurred_at)
        publish(conn, [told], now=now, correlation=learnt.correlation)


def _is_over(conn: Connection, external_userid: str, added: Mapping[str, Any]) -> bool:
    """The add was overtaken by a later deletion: nothing begins."""
    follow = profiles.find_follow_user(conn, added["userid"], external_userid)
    if follow is None or not follow.ended_by:
        return False
    return bool(follow.ended_at > datetime.fromisoformat(added["occurred_at"]))


def _added_event(external_userid: str, person_id: int, added: Mapping[str, Any]) -> Event:
    occurred_at = datetime.fromisoformat(added["occurred_at"])
    userid, name = added["userid"], added["name"]
    # The same for both names: an add that is worked again may take itself for another kind of add.
    kind = "contact.add" if name in ("contact.added", "contact.confirmed") else name
    return Event(
        name=name,
        occurred_at=occurred_at,
        person_id=person_id,
        external_userid=external_userid,
        userid=userid,
        facts=dict(added["facts"]),
        once=f"{kind}:{userid}:{external_userid}:{int(occurred_at.timestamp())}",
    )
