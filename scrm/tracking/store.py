"""All SQL about visitors: what they did, whom they belong to, and what waits for the person to come."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, select, update

from scrm import events
from scrm.db import upsert
from scrm.db.bulk import among, insert_rows
from scrm.profiles import identities, redirects
from scrm.profiles.models import identity, person
from scrm.tracking import abandonment, names, radar
from scrm.tracking.models import tracked_event, visitor, visitor_claim
from scrm.tracking.reading import Batch, Claim, Told

ANONYMOUS = "anonymous_id"
KEPT = timedelta(days=180)
MOST_VISITORS = 50
# The timeline takes this many of what a visitor did before we knew who it was.
MOST_JOINED = 500
# Claims that one transaction settles.
MOST_SETTLED = 500

_RANK = {kind.key: place for place, kind in enumerate(identities.KINDS)}


@dataclass(frozen=True, slots=True)
class Saved:
    """How many events were new, how many were known or may not be kept, and whose the visitor is known to be now."""

    accepted: int
    ignored: int
    person_id: int | None = None


def save_batches(conn: Connection, batches: list[Batch]) -> list[Saved]:
    """Group commit of requests: who the visitors are, then what they did, then what follows from it."""
    now = max(batch.received_at for batch in batches)
    allowed = _meet(conn, batches, now)
    owners = _owners(conn, batches)
    wanted: list[tuple[int, Told, int | None]] = []
    for number, batch in enumerate(batches):
        person_id = _identify(conn, batch.anonymous_id, batch.claims, owners, allowed, now)
        for told in batch.events:
            if told.anonymous_id and told.anonymous_id not in allowed:
                continue
            if told.claims:
                of_event = _identify(conn, told.anonymous_id, told.claims, owners, allowed, now)
            else:
                of_event = owners.get(told.anonymous_id) if told.anonymous_id else person_id
            wanted.append((number, told, of_event))
    new = _keep(conn, [(told, person_id) for _, told, person_id in wanted], now)
    _tell(conn, [(told, person_id) for _, told, person_id in wanted if told.event_id in new], now)
    accepted = _saved(batches, wanted, new)
    return [
        Saved(accepted[number], len(batch.events) - accepted[number], owners.get(batch.anonymous_id))
        for number, batch in enumerate(batches)
    ]


def _saved(batches: Sequence[Batch], wanted: Sequence[tuple[int, Told, int | None]], new: set[str]) -> dict[int, int]:
    """How many of each batch are new; of an event told twice the first counts."""
    counted: dict[str, int] = {}
    for number, told, _ in wanted:
        counted.setdefault(told.event_id, number)
    accepted = dict.fromkeys(range(len(batches)), 0)
    for event_id in new:
        accepted[counted[event_id]] += 1
    return accepted


def _meet(conn: Connection, batches: Sequence[Batch], now: datetime) -> set[str]:
    """Note the visitors, which also locks them; those who withdrew their consent are not among the answer."""
    consents: dict[str, bool | None] = {}
    for batch in batches:
        ids = {batch.anonymous_id, *(told.anonymous_id for told in batch.events)} - {""}
        for anonymous_id in ids:
            consents[anonymous_id] = batch.consent if batch.consent is not None else consents.get(anonymous_id)
    withdrawn = sorted(one for one, consent in consents.items() if consent is False)
    for anonymous_id in withdrawn:
        withdraw(conn, anonymous_id, now=now)
    met = sorted(set(consents) - set(withdrawn))
    if met:
        insert = upsert(visitor, conn)
        rows = [{"anonymous_id": one, "first_seen_at": now, "last_seen_at": now} for one in met]
        conn.execute(insert.on_conflict_do_update(index_elements=["anonymous_id"], set_={"last_seen_at": now}), rows)
    again = [one for one in met if consents[one] is True]
    if again:
        conn.execute(update(visitor).where(visitor.c.anonymous_id.in_(again)).values(withdrawn_at=None))
    allowed = select(visitor.c.anonymous_id).where(
        among(conn, visitor.c.anonymous_id, met), visitor.c.withdrawn_at.is_(None)
    )
    return set(conn.execute(allowed).scalars()) if met else set()


def withdraw(conn: Connection, anonymous_id: str, *, now: datetime) -> None:
    """Forget a visitor: its link to the person, its claims and what it did; only that it said no is kept."""
    gone = {"last_seen_at": now, "withdrawn_at": now, "switched_at": None}
    conn.execute(
        upsert(visitor, conn)
        .values(anonymous_id=anonymous_id, first_seen_at=now, **gone)
        .on_conflict_do_update(index_elements=["anonymous_id"], set_=gone)
    )
    conn.execute(delete(identity).where(identity.c.kind == ANONYMOUS, identity.c.value == anonymous_id))
    conn.execute(delete(visitor_claim).where(visitor_claim.c.anonymous_id == anonymous_id))
    mine = list(
        conn.execute(select(tracked_event.c.event_id).where(tracked_event.c.anonymous_id == anonymous_id)).scalars()
    )
    conn.execute(delete(tracked_event).where(tracked_event.c.anonymous_id == anonymous_id))
    conn.execute(delete(events.event).where(among(conn, events.event.c.once, [_once(event_id) for event_id in mine])))


def _owners(conn: Connection, batches: Sequence[Batch]) -> dict[str, int]:
    ids = {told.anonymous_id for batch in batches for told in batch.events}
    wanted = sorted((ids | {batch.anonymous_id for batch in batches}) - {""})
    if not wanted:
        return {}
    rows = conn.execute(
        select(identity.c.value, identity.c.person_id).where(
            identity.c.kind == ANONYMOUS, identity.c.scope == "", among(conn, identity.c.value, wanted)
        )
    )
    return {row.value: row.person_id for row in rows}


# Who it is ------------------------------------------------------------------------------------------------------------


def _identify(
    conn: Connection,
    anonymous_id: str,
    claims: Iterable[Claim],
    owners: dict[str, int],
    allowed: set[str],
    now: datetime,
) -> int | None:
    """Whose the visitor is after these claims; what nobody has yet waits in `visitor_claim`, or makes a person."""
    if anonymous_id and anonymous_id not in allowed:
        return None
    person_id = _find_person(conn, claims, now)
    if person_id is None:
        if anonymous_id:
            _remember(conn, anonymous_id, claims, now)
        return owners.get(anonymous_id)
    if anonymous_id and owners.get(anonymous_id) != person_id:
        attach(conn, anonymous_id, person_id, now=now)
        owners[anonymous_id] = person_id
    return person_id


def _find_person(conn: Connection, claims: Iterable[Claim], now: datetime) -> int | None:
    """The surest claim that is somebody's decides; a trusted one that is nobody's makes a person."""
    ranked = sorted(claims, key=lambda claim: _RANK.get(claim.kind, len(_RANK)))
    found = None
    for claim in ranked:
        found = identities.find_owner(conn, claim.kind, claim.value, claim.scope)
        if found is not None:
            break
    trusted = [claim for claim in ranked if claim.is_trusted]
    if found is None and any(claim.kind != "wecom_external_userid" for claim in trusted):
        found = conn.execute(person.insert().values(created_at=now).returning(person.c.id)).scalar_one()
    if found is None:
        return None
    found = redirects.follow(conn, found)
    for claim in trusted:
        # Contacts of WeCom are made by WeCom's word only.
        if (
            claim.kind != "wecom_external_userid"
            and identities.find_owner(conn, claim.kind, claim.value, claim.scope) is None
        ):
            known = identities.Known(
                claim.kind, claim.value, claim.scope, "track", identities.VERIFIED, claim.sealed, claim.mask
            )
            identities.claim(conn, found, known, now=now)
    return found


def _remember(conn: Connection, anonymous_id: str, claims: Iterable[Claim], now: datetime) -> None:
    rows = [
        {
            "anonymous_id": anonymous_id,
            "kind": claim.kind,
            "scope": claim.scope,
            "value": claim.value,
            "claimed_at": now,
        }
        for claim in claims
    ]
    insert_rows(conn, visitor_claim, rows, skip_known=True)


def attach(conn: Connection, anonymous_id: str, person_id: int, *, now: datetime) -> int:
    """The visitor is this person from now on; returns how many earlier events came along.

    What it did before belongs to the person when it was nobody's. On a device that was somebody else's the past stays
    with them: events are never two persons'.
    """
    is_mine = and_(identity.c.kind == ANONYMOUS, identity.c.scope == "", identity.c.value == anonymous_id)
    owner = identities.claim(conn, person_id, identities.Known(ANONYMOUS, anonymous_id, source="track"), now=now)
    if owner != person_id:
        conn.execute(update(identity).where(is_mine).values(person_id=person_id, created_at=now))
        conn.execute(update(visitor).where(visitor.c.anonymous_id == anonymous_id).values(switched_at=now))
    _keep_newest_visitors(conn, person_id)
    nobodys = and_(tracked_event.c.anonymous_id == anonymous_id, tracked_event.c.person_id.is_(None))
    past = list(
        conn.execute(
            select(tracked_event)
            .where(nobodys)
            .order_by(tracked_event.c.occurred_at.desc(), tracked_event.c.id.desc())
            .limit(MOST_JOINED)
        )
    )
    conn.execute(update(tracked_event).where(nobodys).values(person_id=person_id))
    told = [_told_of(row) for row in past if row.name not in names.UNTOLD and row.name not in names.HINTS]
    events.record(conn, [_event_of(one, person_id) for one in told], now=now)
    abandonment.watch(conn, [(one, person_id) for one in told], now=now)
    return len(past)


def _keep_newest_visitors(conn: Connection, person_id: int) -> None:
    old = (
        select(identity.c.id)
        .where(identity.c.person_id == person_id, identity.c.kind == ANONYMOUS)
        .order_by(identity.c.created_at.desc(), identity.c.id.desc())
        .offset(MOST_VISITORS)
        .limit(1000)
    )
    too_many = list(conn.execute(old).scalars())
    if too_many:
        conn.execute(delete(identity).where(identity.c.id.in_(too_many)))


def has_old(conn: Connection, now: datetime) -> bool:
    """Whether a claim or an event is too old to keep."""
    waited = select(visitor_claim.c.kind).where(visitor_claim.c.claimed_at < now - KEPT).limit(1)
    old = select(tracked_event.c.name).where(tracked_event.c.received_at < now - KEPT).limit(1)
    return any(conn.execute(query).first() is not None for query in (waited, old))


_IS_CLAIMED = and_(
    identity.c.kind == visitor_claim.c.kind,
    identity.c.scope == visitor_claim.c.scope,
    identity.c.value == visitor_claim.c.value,
)


def find_claimed(conn: Connection, after: int, most: int) -> tuple[int, bool]:
    """Looks at the identities that are newer than `after`: the last one looked at, and whether one of them is claimed.

    Ids grow, so that each identity is looked at once, however many claims wait.
    """
    if conn.execute(select(visitor_claim.c.kind).limit(1)).first() is None:
        newest = conn.execute(select(func.coalesce(func.max(identity.c.id), 0))).scalar_one()
        return int(newest), False
    ids = select(identity.c.id).where(identity.c.id > after).order_by(identity.c.id).limit(most).subquery()
    last = conn.execute(select(func.coalesce(func.max(ids.c.id), after))).scalar_one()
    claimed = select(identity.c.id).join(visitor_claim, _IS_CLAIMED).where(_between(after, last)).limit(1)
    return int(last), conn.execute(claimed).first() is not None


def _between(after: int, last: int) -> Any:
    """A little further back too: what was written at the same time is not always seen in order."""
    return and_(identity.c.id > after - 1000, identity.c.id <= last)


def settle_claims(conn: Connection, after: int, last: int, now: datetime) -> int:
    """Join visitors whose person has come with the identities after one id up to another; how many claims it settled."""
    rows = conn.execute(
        select(visitor_claim.c.anonymous_id, visitor_claim.c.kind, visitor_claim.c.claimed_at, identity.c.person_id)
        .join(identity, _IS_CLAIMED)
        .where(_between(after, last))
        .order_by(visitor_claim.c.anonymous_id)
        .limit(MOST_SETTLED)
    ).all()
    by_visitor: dict[str, list[Any]] = {}
    for row in rows:
        by_visitor.setdefault(row.anonymous_id, []).append(row)
    for anonymous_id, claims in by_visitor.items():
        conn.execute(select(visitor.c.anonymous_id).where(visitor.c.anonymous_id == anonymous_id).with_for_update())
        owner = identities.find_owner(conn, ANONYMOUS, anonymous_id)
        surest = min(claims, key=lambda row: _RANK.get(row.kind, len(_RANK)))
        # Who took the device over meanwhile keeps it.
        if owner is None:
            attach(conn, anonymous_id, redirects.follow(conn, surest.person_id), now=now)
        conn.execute(
            delete(visitor_claim).where(
                visitor_claim.c.anonymous_id == anonymous_id, visitor_claim.c.kind.in_([row.kind for row in claims])
            )
        )
    return len(rows)


# What they did --------------------------------------------------------------------------------------------------------


def _keep(conn: Connection, wanted: Sequence[tuple[Told, int | None]], now: datetime) -> set[str]:
    """Keep what nobody told before; returns the new ones' ids."""
    rows: dict[str, dict[str, Any]] = {}
    for told, person_id in wanted:
        rows.setdefault(
            told.event_id,
            {
                "event_id": told.event_id,
                "name": told.name,
                "anonymous_id": told.anonymous_id,
                "person_id": person_id,
                "session_id": told.session_id,
                "sku": str(told.facts.get("sku") or told.facts.get("product_id") or ""),
                "facts": told.facts,
                "occurred_at": told.occurred_at,
                "received_at": now,
            },
        )
    if not rows:
        return set()
    insert = upsert(tracked_event, conn).on_conflict_do_nothing().returning(tracked_event.c.event_id)
    return set(conn.execute(insert, list(rows.values())).scalars())


def _tell(conn: Connection, new: Sequence[tuple[Told, int | None]], now: datetime) -> None:
    """What is worth telling goes to the timeline of the person it is of."""
    radar.note_seconds(conn, [told.facts for told, _ in new if told.name == "content.read"])
    known = {
        told.event_id: (told, person_id)
        for told, person_id in new
        if person_id is not None and told.name not in names.UNTOLD and told.name not in names.HINTS
    }
    looks = [_event_of(*pair) for pair in known.values() if pair[0].name in names.LOOKS]
    acts = [_event_of(*pair) for pair in known.values() if pair[0].name not in names.LOOKS]
    events.record(conn, looks, now=now)
    events.publish(conn, acts, now=now)
    abandonment.watch(conn, list(known.values()), now=now)


def _once(event_id: str) -> str:
    return f"track:{event_id}"


def _event_of(told: Told, person_id: int) -> events.Event:
    facts = told.facts
    return events.Event(
        name=told.name,
        occurred_at=told.occurred_at,
        person_id=person_id,
        key=str(facts.get("order_no") or facts.get("coupon_no") or facts.get("sku") or facts.get("product_id") or ""),
        facts=facts,
        once=_once(told.event_id),
    )


def _told_of(row: Row[Any]) -> Told:
    return Told(row.event_id, row.name, row.anonymous_id, row.occurred_at, row.facts, row.session_id)


def forget_old(conn: Connection, now: datetime, *, limit: int = 1000) -> int:
    """Drop what pages told or claimed half a year ago, a piece at a time; timelines keep theirs."""
    conn.execute(delete(visitor_claim).where(visitor_claim.c.claimed_at < now - KEPT))
    old = (
        select(tracked_event.c.id)
        .where(tracked_event.c.received_at < now - KEPT)
        .order_by(tracked_event.c.received_at)
        .limit(limit)
    )
    return conn.execute(delete(tracked_event).where(tracked_event.c.id.in_(old.scalar_subquery()))).rowcount


def count_visitors(conn: Connection, since: datetime) -> Any:
    """How many visitors and events there were since a moment."""
    return conn.execute(
        select(
            func.count().label("events"),
            func.count(func.distinct(tracked_event.c.anonymous_id)).label("visitors"),
            func.count(func.distinct(tracked_event.c.person_id)).label("persons"),
        ).where(tracked_event.c.received_at >= since)
    ).one()


__all__ = ["Saved", "attach", "count_visitors", "forget_old", "has_old", "save_batches", "settle_claims", "withdraw"]
