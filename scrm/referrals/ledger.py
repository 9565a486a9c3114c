"""The ledger of friends: a row when one comes by a customer's own code, and what becomes of it."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, func, select, update

from scrm import audit, events
from scrm.contact_ways.ledger import day_start
from scrm.db import upsert
from scrm.errors import Conflict, NotFound
from scrm.events import Event
from scrm.profiles import redirects
from scrm.profiles.merge import Join
from scrm.profiles.models import external_contact, person
from scrm.referrals import campaigns, knowing
from scrm.referrals.knowing import Open
from scrm.referrals.models import referral, referral_campaign
from scrm.referrals.rules import Terms, Verdict, judge, reason_text, shown_name

ADDED, VALID, CONFIRMED = "custom.referral_added", "custom.referral_valid", "custom.referral_confirmed"
# An add that is told of so late (by a sync) brought nobody a reward.
_FRESH = timedelta(days=7)
_c = referral.c


def note_add(conn: Connection, told: Event, inviter_id: int, open_: Open, zone: ZoneInfo, now: datetime) -> None:
    """Somebody came by a customer's own code: one row, once and for ever; the earliest add counts."""
    assert told.person_id is not None  # noqa: S101 - the caller has checked
    campaign = campaigns.find_running(conn, told.occurred_at)
    if campaign is None or now - told.occurred_at > _FRESH:
        return
    values = {
        "campaign_id": campaign.id,
        "inviter_id": redirects.follow(conn, inviter_id),
        "userid": told.userid,
        "external_userid": told.external_userid,
        "event_id": told.id,
        "added_at": told.occurred_at,
    }
    new = upsert(referral, conn).values(person_id=told.person_id, state="pending", look_at=now, **values)
    row_id = conn.execute(new.on_conflict_do_nothing().returning(_c.id)).scalar_one_or_none()
    if row_id is None:
        row_id = _take_earlier(conn, told, values, now)
    if row_id is not None:
        settle(conn, row_id, open_, zone, now)


def _take_earlier(conn: Connection, told: Event, values: dict[str, Any], now: datetime) -> int | None:
    """WeCom told of a later add first: while nobody has decided, the earlier one takes its place."""
    row = _lock(conn, _c.person_id == told.person_id)
    if row is None or (row.decided_at is not None and row.state != "void") or row.decided_by:
        return None
    if (row.added_at, row.event_id) <= (told.occurred_at, told.id):
        return None
    events.forget(conn, _once(ADDED, row))
    conn.execute(update(referral).where(_c.id == row.id).values(state="pending", reason="", look_at=now, **values))
    return int(row.id)


def settle_due(conn: Connection, open_: Open, zone: ZoneInfo, now: datetime, limit: int = 50) -> int:
    """Look again at the rows whose time has come; returns how many."""
    due = select(_c.id).where(_c.look_at <= now).order_by(_c.look_at).limit(limit)
    ids = list(conn.execute(due).scalars())
    for row_id in ids:
        settle(conn, row_id, open_, zone, now)
    return len(ids)


def has_due(conn: Connection, now: datetime) -> bool:
    return conn.execute(select(1).where(_c.look_at <= now).limit(1)).first() is not None


def settle(conn: Connection, row_id: int, open_: Open, zone: ZoneInfo, now: datetime) -> None:
    """Bring one row to what the rules say now, and tell of it; what is decided stays."""
    row = _lock(conn, _c.id == row_id)
    if row is None or row.look_at is None or row.decided_by:
        return
    _write(conn, row, _judge(conn, row, open_, zone, now), now)


def _judge(
    conn: Connection, row: Row[Any], open_: Open, zone: ZoneInfo, now: datetime, *, is_reviewed: bool = False
) -> Verdict:
    terms = _lock_terms(conn, row.campaign_id)
    if is_reviewed:
        terms = replace(terms, review_above=None)
    friend = knowing.know(conn, row, open_, day_start(row.added_at, zone), day_start(row.added_at, zone, -1))
    return judge(friend, terms, now)


def _lock(conn: Connection, which: Any) -> Row[Any] | None:
    return conn.execute(select(referral).where(which).with_for_update()).one_or_none()


def _find(conn: Connection, row_id: int) -> Row[Any]:
    row = _lock(conn, _c.id == row_id)
    if row is None:
        raise NotFound("没有这条推荐记录，可能已随客户合并")
    return row


def _lock_terms(conn: Connection, campaign_id: int) -> Terms:
    """Two workers never give the last place of a campaign twice."""
    query = select(referral_campaign).where(referral_campaign.c.id == campaign_id).with_for_update()
    return campaigns.terms_of(conn.execute(query).one())


def _write(conn: Connection, row: Row[Any], verdict: Verdict, now: datetime, by: str = "") -> None:
    is_pending = verdict.state == "pending"
    conn.execute(
        update(referral)
        .where(_c.id == row.id)
        .values(
            state=verdict.state,
            reason=verdict.reason,
            order_id=verdict.order_id or row.order_id,
            look_at=verdict.look_at,
            decided_at=None if is_pending else now,
            decided_by=by,
        )
    )
    _tell(conn, row, verdict.state, now)


def _tell(conn: Connection, row: Row[Any], state: str, now: datetime) -> None:
    """Both hear of it once, whatever happens afterwards; who brought nobody who counts hears nothing."""
    names = {"pending": (ADDED,), "review": (ADDED,), "valid": (ADDED, VALID, CONFIRMED)}.get(state, ())
    for name in names:
        person_id = row.person_id if name == CONFIRMED else redirects.follow(conn, row.inviter_id)
        at = row.added_at if name == ADDED else now
        facts = {"campaign_id": row.campaign_id, "title": _title(conn, row.campaign_id)}
        told = Event(name, at, person_id, key=f"friend-{row.id}", facts=facts, once=_once(name, row))
        events.publish(conn, [told], now=now)


def _once(name: str, row: Row[Any]) -> str:
    return f"{name}:{row.id}:{row.event_id}" if name == ADDED else f"{name}:{row.id}"


def _title(conn: Connection, campaign_id: int) -> str:
    query = select(referral_campaign.c.title).where(referral_campaign.c.id == campaign_id)
    return str(conn.execute(query).scalar_one())


# What a manager decides ------------------------------------------------------------------------------------------------


@audit.keeps("referral", _c.id, of=("row_id",))
def approve(conn: Connection, row_id: int, open_: Open, zone: ZoneInfo, *, by: str, now: datetime) -> None:
    """A manager says that a friend in review counts; asked again of the rules, for orders come back while rows wait.

    Raises NotFound, and Conflict with what speaks against it.
    """
    row = _find(conn, row_id)
    if row.state == "valid":
        return
    verdict = _judge(conn, row, open_, zone, now, is_reviewed=True)
    if verdict.state != "valid":
        raise Conflict(f"现在不能判为有效：{reason_text(verdict.reason) or '还没有过了退货期、没有在退款的订单'}")
    _write(conn, row, verdict, now, by)


@audit.keeps("referral", _c.id, of=("row_id",))
def refuse(conn: Connection, row_id: int, reason: str, *, by: str, now: datetime) -> None:
    """A manager says that a friend does not count; raises NotFound, and Conflict when he has been rewarded already."""
    row = _find(conn, row_id)
    if row.state == "valid":
        raise Conflict("这位朋友已经有效，奖励已经发出，不能再改")
    _write(conn, row, Verdict("void", reason, order_id=row.order_id), now, by)


@audit.keeps("referral", _c.id, of=("row_id",))
def take_back(conn: Connection, row_id: int, *, now: datetime) -> None:
    """A void by a manager is undone: the rules judge again. Raises NotFound, Conflict."""
    row = _find(conn, row_id)
    if row.state != "void" or not row.decided_by:
        raise Conflict("只有人工判为无效的记录可以撤销")
    again = {"state": "pending", "reason": "", "decided_at": None, "decided_by": "", "look_at": now}
    conn.execute(update(referral).where(_c.id == row_id).values(**again))


# Persons who become one ------------------------------------------------------------------------------------------------


def join(conn: Connection, join: Join) -> None:
    """Of two rows of one friend the one that counts stays; friends whom the gone person brought are the kept one's."""
    for row in conn.execute(select(referral).where(_c.inviter_id == join.gone)):
        join.change(conn, referral, row, inviter_id=join.kept)
    rows = {
        row.person_id: row for row in conn.execute(select(referral).where(_c.person_id.in_((join.kept, join.gone))))
    }
    if len(rows) == 2 and _weight(rows[join.gone]) < _weight(rows[join.kept]):
        better = rows[join.gone]._mapping
        values = {name: better[name] for name in better if name not in ("id", "person_id")}
        join.change(conn, referral, rows[join.kept], **values)


def _weight(row: Row[Any]) -> tuple[Any, ...]:
    return row.state != "valid", not row.decided_by, row.added_at, row.event_id


# Reading ---------------------------------------------------------------------------------------------------------------


def inviter_shown(conn: Connection, inviter_id: int, now: datetime) -> str:
    """How a friend may read the name of who brought them; '' when it is not known."""
    campaign = campaigns.find_running(conn, now)
    name = names_of(conn, [redirects.follow(conn, inviter_id)])
    return shown_name(next(iter(name.values()), ""), campaign is not None and campaign.shows_names)


def names_of(conn: Connection, person_ids: Collection[int]) -> dict[int, str]:
    """Names by person, as lists show them; those without a name are left out."""
    contacts = (
        select(external_contact.c.person_id, func.max(external_contact.c.name).label("name"))
        .where(external_contact.c.person_id.in_(person_ids), external_contact.c.name != "")
        .group_by(external_contact.c.person_id)
    )
    found = {int(row.person_id): str(row.name) for row in conn.execute(contacts)}
    own = select(person.c.id, person.c.name).where(person.c.id.in_(person_ids), person.c.name != "")
    return found | {int(row.id): str(row.name) for row in conn.execute(own)}
