"""All SQL about mass messages."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    exists,
    func,
    or_,
    select,
    type_coerce,
    update,
)

from scrm import audit
from scrm.db import upsert
from scrm.db.bulk import among, insert_rows
from scrm.db.tables import to_millis
from scrm.mass_messages import audience as audiences
from scrm.mass_messages.audience import Quota
from scrm.mass_messages.models import mass_message, mass_message_part, mass_message_target
from scrm.profiles.models import corp_tag, external_contact, follow_user, member, person

message, part, target = mass_message, mass_message_part, mass_message_target

MOST_IN_PART = {"single": 10_000, "group": 2_000}
REMINDERS = 3
REMINDED_WITHIN = timedelta(hours=24)
FAILED = ("not_friend", "capped", "unreachable", "failed")
_OPEN = ("planned", "intent", "created", "recalling")


def add_message(conn: Connection, values: Mapping[str, Any]) -> int | None:
    """None when the same form was sent before."""
    statement = upsert(message, conn).values(**values).on_conflict_do_nothing(index_elements=["once"])
    message_id = conn.execute(statement.returning(message.c.id)).scalar_one_or_none()
    if message_id is not None:
        audit.changed(conn, "mass_message", message_id, None, values)
    return message_id


def find_message(conn: Connection, message_id: int) -> Row[Any] | None:
    return conn.execute(select(message).where(message.c.id == message_id)).one_or_none()


def find_message_once(conn: Connection, once: str) -> int | None:
    return conn.execute(select(message.c.id).where(message.c.once == once)).scalar_one_or_none()


def lock_message(conn: Connection, message_id: int) -> Row[Any]:
    return conn.execute(_locked(conn, select(message).where(message.c.id == message_id))).one()


def find_member_name(conn: Connection, userid: str) -> str:
    """The one that customers know."""
    row = conn.execute(select(member.c.alias, member.c.name).where(member.c.folded == userid.lower())).one_or_none()
    return str(row.alias or row.name) if row is not None else ""


def tag_names(conn: Connection, tag_ids: Collection[str]) -> dict[str, str]:
    query = select(corp_tag.c.tag_id, corp_tag.c.tag_name).where(corp_tag.c.tag_id.in_(list(tag_ids)))
    return {row.tag_id: row.tag_name for row in conn.execute(query)}


def find_part(conn: Connection, part_id: int) -> Row[Any]:
    return conn.execute(select(part).where(part.c.id == part_id)).one()


def lock_part(conn: Connection, part_id: int) -> Row[Any]:
    return conn.execute(_locked(conn, select(part).where(part.c.id == part_id))).one()


def _locked(conn: Connection, query: Any) -> Any:
    return query.with_for_update() if conn.dialect.name == "postgresql" else query


@audit.keeps("mass_message", message.c.id, of=("message_id",))
def change_message(conn: Connection, /, message_id: int, **values: Any) -> None:
    conn.execute(update(message).where(message.c.id == message_id).values(**values))


def change_part(conn: Connection, part_id: int, /, **values: Any) -> None:
    conn.execute(update(part).where(part.c.id == part_id).values(**values))


def count_pending(conn: Connection) -> int:
    """How many wait for an approval."""
    query = select(func.count()).where(message.c.origin == "own", message.c.state == "pending")
    return int(conn.execute(query).scalar_one())


def list_messages(conn: Connection, *, state: str = "", before: int | None = None, limit: int = 30) -> list[Row[Any]]:
    """Our own, the newest first, each with its counts."""
    query = select(message).where(message.c.origin == "own")
    if state:
        query = query.where(message.c.state == state)
    if before is not None:
        query = query.where(message.c.id < before)
    return list(conn.execute(query.order_by(message.c.id.desc()).limit(limit)))


def count_states(conn: Connection, message_ids: Collection[int]) -> dict[int, dict[str, int]]:
    """By message: how many customers or groups are in each state."""
    rows = conn.execute(
        select(target.c.mass_message_id, target.c.state, func.count().label("targets"))
        .where(target.c.mass_message_id.in_(list(message_ids)))
        .group_by(target.c.mass_message_id, target.c.state)
    )
    counts: dict[int, dict[str, int]] = {}
    for row in rows:
        counts.setdefault(row.mass_message_id, {})[row.state] = row.targets
    return counts


def list_parts(conn: Connection, message_id: int) -> list[Row[Any]]:
    """Each member's share with what became of it, and the member's name; not those of before a stop taken back."""
    counts = (
        select(
            target.c.part_id,
            func.count().label("targets"),
            func.count(case((target.c.state == "sent", 1))).label("sent"),
            func.count(case((target.c.state == "waiting", 1))).label("waiting"),
        )
        .where(target.c.mass_message_id == message_id)
        .group_by(target.c.part_id)
        .subquery()
    )
    query = (
        select(part, counts.c.targets, counts.c.sent, counts.c.waiting, member.c.name.label("member_name"))
        .outerjoin(counts, counts.c.part_id == part.c.id)
        .outerjoin(member, member.c.folded == func.lower(part.c.userid))
        .where(part.c.mass_message_id == message_id, or_(counts.c.targets > 0, part.c.intent_at.is_not(None)))
        .order_by(part.c.id)
    )
    return list(conn.execute(query))


def list_targets(
    conn: Connection, message_id: int, state: str = "", *, after: str = "", limit: int = 50
) -> list[Row[Any]]:
    """Customers or groups with their names, by id."""
    query = (
        select(target, external_contact.c.name, member.c.name.label("member_name"))
        .outerjoin(external_contact, external_contact.c.external_userid == target.c.target)
        .outerjoin(member, member.c.folded == func.lower(target.c.userid))
        .where(target.c.mass_message_id == message_id, target.c.target > after)
    )
    if state:
        query = query.where(target.c.state == state)
    return list(conn.execute(query.order_by(target.c.target).limit(limit)))


# Writing the audience down -----------------------------------------------------------------------------------------------


def add_targets(conn: Connection, row: Row[Any], quota: Quota, now: datetime, limit: int) -> bool:
    """The next `limit` rows of the audience, each customer with one member; False when that was the last."""
    chosen = audiences.read_audience(row.audience)
    who = audiences.fits(conn, chosen.condition, follow_user.c.person_id, now, as_set=False)
    query = audiences.contacts(chosen, who).where(follow_user.c.external_userid > row.prepared_until)
    query = query.order_by(follow_user.c.external_userid, follow_user.c.followed_at, follow_user.c.userid).limit(limit)
    found = conn.execute(query).all()
    firsts: dict[str, Row[Any]] = {}
    for each in found:
        firsts.setdefault(each.target, each)
    if firsts:
        full = audiences.full_targets(conn, list(firsts), quota)
        states = {
            name: "refused" if each.is_refused else "over_quota" if name in full else "planned"
            for name, each in firsts.items()
        }
        values = [
            {**_target_of(row.id, name, each.userid, states[name], now), "person_id": each.person_id}
            for name, each in firsts.items()
        ]
        insert_rows(conn, target, values, skip_known=True)
        change_message(conn, row.id, prepared_until=found[-1].target)
    return len(found) == limit


def add_chats(conn: Connection, row: Row[Any], quota: Quota, now: datetime) -> None:
    """The groups of a group mass message, each with its owner."""
    chats = dict(audiences.read_audience(row.audience).chats)
    full = audiences.full_targets(conn, list(chats), quota)
    values = [
        {**_target_of(row.id, chat, owner, "over_quota" if chat in full else "planned", now), "person_id": None}
        for chat, owner in chats.items()
    ]
    if values:
        insert_rows(conn, target, values, skip_known=True)


def _target_of(message_id: int, name: str, userid: str, state: str, now: datetime) -> dict[str, Any]:
    return {
        "mass_message_id": message_id,
        "target": name,
        "part_id": None,
        "userid": userid,
        "state": state,
        "counted_at": now,
        "is_sent": False,
    }


def add_part(conn: Connection, row: Row[Any]) -> tuple[int, str] | None:
    """The next part, one member's at most 10,000 customers (2,000 groups); None when everybody stands in one."""
    free = and_(target.c.mass_message_id == row.id, target.c.state == "planned", target.c.part_id.is_(None))
    userid = conn.execute(
        select(target.c.userid).where(free, target.c.userid >= row.prepared_until).order_by(target.c.userid).limit(1)
    ).scalar_one_or_none()
    if userid is None:
        return None
    part_id = conn.execute(
        part.insert().values(mass_message_id=row.id, userid=userid).returning(part.c.id)
    ).scalar_one()
    some = select(target.c.target).where(free, target.c.userid == userid).limit(MOST_IN_PART[row.kind])
    names = list(conn.execute(some).scalars())
    which = and_(target.c.mass_message_id == row.id, among(conn, target.c.target, names))
    conn.execute(update(target).where(which).values(part_id=part_id))
    change_message(conn, row.id, prepared_until=userid)
    return part_id, userid


def add_part_for(conn: Connection, message_id: int, userid: str, names: Sequence[str]) -> int:
    """A part for just these recipients, who stand in another one until now; returns its id."""
    part_id: int = conn.execute(
        part.insert().values(mass_message_id=message_id, userid=userid).returning(part.c.id)
    ).scalar_one()
    if names:
        mine = and_(target.c.mass_message_id == message_id, among(conn, target.c.target, list(names)))
        conn.execute(update(target).where(mine).values(part_id=part_id, state="planned", told="planned"))
    return part_id


# Before and after the call -----------------------------------------------------------------------------------------------


def drop_unreachable(conn: Connection, row: Row[Any], kind: str, quota: Quota) -> None:
    """Who is no contact any more, refused meanwhile, or had enough meanwhile, leaves the part before the call."""
    mine = and_(target.c.part_id == row.id, target.c.state == "planned")
    if kind == "single":
        living = exists().where(
            follow_user.c.external_userid == target.c.target,
            follow_user.c.userid == target.c.userid,
            follow_user.c.ended_by == "",
        )
        conn.execute(update(target).where(mine, ~living).values(state="lost"))
        refused = exists().where(person.c.id == target.c.person_id, audiences.refuses())
        conn.execute(update(target).where(mine, refused).values(state="refused"))
    over = audiences.is_over(quota, target.c.target, besides=row.mass_message_id)
    conn.execute(update(target).where(mine, over).values(state="over_quota"))


def list_part_targets(conn: Connection, part_id: int, *states: str) -> list[str]:
    query = select(target.c.target).where(target.c.part_id == part_id, target.c.state.in_(states))
    return list(conn.execute(query.order_by(target.c.target)).scalars())


def move_targets(
    conn: Connection, part_id: int, state: str, *, before: Sequence[str], only: Sequence[str] | None = None
) -> None:
    """All targets of a part that are in one of the states `before`, or only those named."""
    which = and_(target.c.part_id == part_id, target.c.state.in_(before))
    if only is None:
        conn.execute(update(target).where(which).values(state=state))
        return
    for start in range(0, len(only), 500):
        some = target.c.target.in_(only[start : start + 500])
        conn.execute(update(target).where(which, some).values(state=state))


def known_msgids(conn: Connection, msgids: Collection[str]) -> set[str]:
    return set(conn.execute(select(part.c.msgid).where(part.c.msgid.in_(list(msgids)))).scalars())


def end_if_over(conn: Connection, message_id: int, now: datetime) -> None:
    """A message whose parts have all ended is done."""
    is_open = exists().where(part.c.mass_message_id == message_id, part.c.state.in_(_OPEN))
    conn.execute(
        update(message)
        .where(message.c.id == message_id, message.c.state == "running", ~is_open)
        .values(state="done", ended_at=now)
    )


# Results -----------------------------------------------------------------------------------------------------------------


def has_pollable(conn: Connection, now: datetime) -> bool:
    return conn.execute(select(part.c.id).where(part.c.poll_at <= now).limit(1)).first() is not None


def claim_pollable(conn: Connection, now: datetime, again_at: datetime, limit: int) -> list[Row[Any]]:
    """Parts whose results are due; the next look is booked at once, so a crash only delays it."""
    query = select(part.c.id).where(part.c.poll_at <= now).order_by(part.c.poll_at).limit(limit)
    if conn.dialect.name == "postgresql":
        query = query.with_for_update(skip_locked=True)
    ids = list(conn.execute(query).scalars())
    conn.execute(update(part).where(part.c.id.in_(ids)).values(poll_at=again_at))
    rows = conn.execute(
        select(part, message.c.state.label("message_state"))
        .join(message, message.c.id == part.c.mass_message_id)
        .where(part.c.id.in_(ids))
        .order_by(part.c.id)
    )
    return list(rows)


def note_sent(conn: Connection, part_id: int, sent: Mapping[str, datetime]) -> list[Row[Any]]:
    """Customers who got it; returns those that were news. What was sent never goes back."""
    if not sent:
        return []
    rows = conn.execute(
        select(target).where(target.c.part_id == part_id, target.c.target.in_(list(sent)), target.c.is_sent.is_(False))
    ).all()
    for row in rows:
        conn.execute(
            update(target)
            .where(target.c.mass_message_id == row.mass_message_id, target.c.target == row.target)
            .values(state="sent", is_sent=True, counted_at=sent[row.target])
        )
    return list(rows)


def add_found(conn: Connection, row: Row[Any], sent: Mapping[str, datetime]) -> None:
    """Groups that the owner chose himself when confirming, and whomever others sent their messages to."""
    people = conn.execute(
        select(external_contact.c.external_userid, external_contact.c.person_id).where(
            external_contact.c.external_userid.in_(list(sent))
        )
    )
    known = {each.external_userid: each.person_id for each in people}
    values = [
        {
            **_target_of(row.mass_message_id, name, row.userid, "waiting", at),
            "part_id": row.id,
            "person_id": known.get(name),
        }
        for name, at in sent.items()
    ]
    if values:
        insert_rows(conn, target, values, skip_known=True)


class Spread(NamedTuple):
    """When a message was made, when it was last heard of, and whether members can still confirm."""

    made_at: datetime
    last_at: datetime
    is_open: bool


def spread_of(conn: Connection, message_id: int) -> Spread | None:
    """None when WeCom knows nothing of it yet."""
    mine = part.c.mass_message_id == message_id
    waits = func.count(case((and_(part.c.state == "created", part.c.confirmed_at.is_(None)), 1)))
    row = conn.execute(
        select(func.min(part.c.created_at), func.max(part.c.confirmed_at), waits).where(mine, part.c.msgid.is_not(None))
    ).one()
    if row[0] is None:
        return None
    sent = select(func.max(target.c.counted_at)).where(target.c.mass_message_id == message_id, target.c.is_sent)
    last = [at for at in (row[1], conn.execute(sent).scalar_one()) if at is not None]
    return Spread(row[0], max(last, default=row[0]), bool(row[2]))


def count_by_step(conn: Connection, message_id: int, start: int, width: int) -> dict[str, dict[int, int]]:
    """`confirmed` parts, `sent` and `failed` recipients by the number of the step, each `width` milliseconds long."""
    ours = target.c.mass_message_id == message_id
    confirmed = _by_step(part.c.confirmed_at, start, width).where(part.c.mass_message_id == message_id)
    sent = _by_step(target.c.counted_at, start, width).where(ours, target.c.is_sent)
    # WeCom tells no time of what it did not deliver: it is known from the call, or tried when the member confirms.
    known_at = case(
        (target.c.state.in_(("unreachable", "failed")), func.coalesce(part.c.created_at, part.c.intent_at)),
        else_=part.c.confirmed_at,
    )
    failed = _by_step(known_at, start, width).join_from(target, part, part.c.id == target.c.part_id)
    failed = failed.where(ours, target.c.state.in_(FAILED))
    queries = {"confirmed": confirmed, "sent": sent, "failed": failed}
    return {name: {row.number: row.many for row in conn.execute(query)} for name, query in queries.items()}


def _by_step(moment: ColumnElement[Any], start: int, width: int) -> Select[Any]:
    # WeCom tells whole seconds, so something can seem to be older than the making.
    passed = type_coerce(moment, BigInteger) - start
    number = case((passed < 0, 0), else_=passed // width).label("number")
    return select(number, func.count().label("many")).where(moment.is_not(None)).group_by("number")


def has_intents(conn: Connection) -> bool:
    """Whether some call's outcome is not known yet."""
    return conn.execute(select(part.c.id).where(part.c.state == "intent").limit(1)).first() is not None


def cancel_planned(conn: Connection, message_id: int) -> None:
    """What stands in no part yet gives its place back."""
    conn.execute(
        update(target)
        .where(target.c.mass_message_id == message_id, target.c.part_id.is_(None), target.c.state == "planned")
        .values(state="cancelled")
    )


def was_called(conn: Connection, message_id: int) -> bool:
    """Whether WeCom may know of any part of it."""
    called = or_(part.c.intent_at.is_not(None), part.c.msgid.is_not(None))
    return (
        conn.execute(select(part.c.id).where(part.c.mass_message_id == message_id, called).limit(1)).first() is not None
    )


def drop_targets(conn: Connection, message_id: int, limit: int) -> bool:
    """The next `limit` places of a message that begins again; False when there are none."""
    some = select(target.c.target).where(target.c.mass_message_id == message_id).limit(limit)
    names = list(conn.execute(some).scalars())
    if names:
        conn.execute(target.delete().where(target.c.mass_message_id == message_id, among(conn, target.c.target, names)))
    return bool(names)


def count_waiting(conn: Connection, part_id: int) -> int:
    query = select(func.count()).where(target.c.part_id == part_id, target.c.state == "waiting")
    return int(conn.execute(query).scalar_one())


def take_reminder(conn: Connection, part_id: int, now: datetime, *, unless_since: datetime | None = None) -> bool:
    """Book one of the three reminders of 24 hours; False when they are used up, or one was booked since then."""
    row = lock_part(conn, part_id)
    since = to_millis(now - REMINDED_WITHIN)
    recent = [at for at in row.reminded if at > since]
    if unless_since is not None and any(at >= to_millis(unless_since) for at in recent):
        return False
    if row.state != "created" or row.confirmed_at is not None or len(recent) >= REMINDERS:
        return False
    change_part(conn, part_id, reminded=[*recent, to_millis(now)])
    return True


# What others sent --------------------------------------------------------------------------------------------------------


def add_foreign(
    conn: Connection, values: Mapping[str, Any], userids: Collection[str], created_at: datetime, poll_at: datetime
) -> bool:
    """A mass message that did not come from us, kept for the customers' quota; False when it is known."""
    message_id = add_message(conn, values)
    if message_id is None:
        return False
    for index, userid in enumerate(sorted(userids)):
        msgid = values["once"] if index == 0 else f"{values['once']}#{userid}"[:80]
        conn.execute(
            part.insert().values(
                mass_message_id=message_id,
                userid=userid,
                state="created",
                msgid=msgid,
                created_at=created_at,
                poll_at=poll_at,
            )
        )
    return True
