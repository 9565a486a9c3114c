"""SQL of the pool: its rule, who is in it, who took whom, and the facts by which the rule decides."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, select, text, true, update

from scrm import audit, events
from scrm.customer_lists.models import pool_entry, pool_pick, pool_rule
from scrm.db import upsert
from scrm.db.bulk import among, insert_new, insert_rows
from scrm.db.tables import from_millis
from scrm.profiles.models import follow_user, member, person
from scrm.transfers.models import unassigned_contact

# What a member does for a customer, as the timeline tells it.
FOLLOW_UPS = (
    "note.added",
    "stage.changed",
    "staff.promised",
    "task.sent",
    "script.sent",
    "card.sent",
    "coupon.sent",
    "contact.added",
    "contact.taken_over",
)
_NEVER = from_millis(0)


@dataclass(frozen=True, slots=True)
class Rule:
    """When customers come into the pool, how many may be picked, and when they go back."""

    is_on: bool = False
    takes_ownerless: bool = True
    idle_days: int | None = None
    picks_per_day: int = 20
    recycle_days: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rule looks at. `is_friend`: somebody's, whoever that is; `has_member`: one who still works here follows
    them or is in charge."""

    person_id: int
    owner: str
    is_friend: bool
    has_member: bool
    followed_up_at: datetime
    is_picked: bool = False
    is_pooled: bool = False
    is_by_rule: bool = False
    # Since it came into the pool somebody took care all the same.
    has_follow_up_since: bool = False


def load_rule(conn: Connection) -> Rule:
    row = conn.execute(select(pool_rule).where(pool_rule.c.id == 1)).one_or_none()
    if row is None:
        return Rule()
    return Rule(row.is_on, row.takes_ownerless, row.idle_days, row.picks_per_day, row.recycle_days)


@audit.keeps("pool_rule", pool_rule.c.id, of=(1,))
def save_rule(conn: Connection, rule: Rule, *, by: str, now: datetime) -> None:
    values = {
        "is_on": rule.is_on,
        "takes_ownerless": rule.takes_ownerless,
        "idle_days": rule.idle_days,
        "picks_per_day": rule.picks_per_day,
        "recycle_days": rule.recycle_days,
        "changed_by": by,
        "changed_at": now,
        # Everybody is looked at anew.
        "cursor": 0,
    }
    put = upsert(pool_rule, conn).values(id=1, **values)
    conn.execute(put.on_conflict_do_update(index_elements=["id"], set_=values))


def load_cursor(conn: Connection) -> int:
    return int(conn.scalar(select(pool_rule.c.cursor).where(pool_rule.c.id == 1)) or 0)


def save_cursor(conn: Connection, cursor: int, now: datetime) -> None:
    """0 when the walk is through, and begins again."""
    values: dict[str, Any] = {"cursor": cursor} | ({"walked_at": now} if cursor == 0 else {})
    conn.execute(update(pool_rule).where(pool_rule.c.id == 1).values(**values))


def find_walked_at(conn: Connection) -> datetime | None:
    """When everybody had been looked at last."""
    return conn.scalar(select(pool_rule.c.walked_at).where(pool_rule.c.id == 1))


# Facts ----------------------------------------------------------------------------------------------------------------


def list_facts(conn: Connection, above: int, limit: int) -> tuple[list[Facts], int]:
    """Of the next persons, and how far that came; 0 at the end."""
    # 负责人 need not be a friend yet: WeCom takes a day to hand somebody over.
    query = (
        select(person.c.id, person.c.owner_userid, member.c.is_active)
        .outerjoin(member, (member.c.folded == func.lower(person.c.owner_userid)) & (person.c.owner_userid != ""))
        .where(person.c.id > above)
        .order_by(person.c.id)
        .limit(limit)
    )
    rows = conn.execute(query).all()
    ids = [row.id for row in rows]
    if not ids:
        return [], 0
    relations = _list_relations(conn, ids)
    followed_up = _list_follow_ups(conn, ids)
    picked = set(conn.scalars(_open_picks(conn, ids)))
    entries = {
        row.person_id: row for row in conn.execute(select(pool_entry).where(among(conn, pool_entry.c.person_id, ids)))
    }
    found = []
    for row in rows:
        mine, entry = relations.get(row.id, []), entries.get(row.id)
        at = followed_up.get(row.id, _NEVER)
        living = [each for each in mine if each.is_active is not False]
        owner = next((each.userid for each in mine if each.userid.lower() == row.owner_userid.lower()), "")
        found.append(
            Facts(
                person_id=row.id,
                owner=owner or (mine[0].userid if mine else row.owner_userid),
                is_friend=bool(mine),
                has_member=bool(living) or bool(row.is_active),
                followed_up_at=max([at, *(each.followed_at for each in mine)]),
                is_picked=row.id in picked,
                is_pooled=entry is not None,
                is_by_rule=entry is not None and entry.reason in ("idle", "ownerless"),
                has_follow_up_since=entry is not None and bool(living) and _is_later(at, living, entry.entered_at),
            )
        )
    return found, ids[-1] if len(ids) == limit else 0


def _is_later(at: datetime, living: Iterable[Row[Any]], entered_at: datetime) -> bool:
    return any(each > entered_at for each in (at, *(one.followed_at for one in living)))


def _list_relations(conn: Connection, ids: Collection[int]) -> dict[int, list[Row[Any]]]:
    f = follow_user.c
    query: Select[Any] = (
        select(f.person_id, f.userid, f.external_userid, f.followed_at, member.c.is_active)
        .outerjoin(member, member.c.folded == func.lower(f.userid))
        .where(among(conn, f.person_id, list(ids)), f.ended_by == "")
        .order_by(f.person_id, f.followed_at)
    )
    found: dict[int, list[Row[Any]]] = {}
    for row in conn.execute(query):
        found.setdefault(row.person_id, []).append(row)
    return found


def _list_follow_ups(conn: Connection, ids: Collection[int]) -> dict[int, datetime]:
    e = events.event.c
    last = func.max(e.occurred_at, type_=e.occurred_at.type).label("at")
    query = select(e.person_id, last).where(among(conn, e.person_id, list(ids)), e.name.in_(FOLLOW_UPS))
    return {row.person_id: row.at for row in conn.execute(query.group_by(e.person_id))}


def _open_picks(conn: Connection, ids: Collection[int]) -> Any:
    mine = among(conn, pool_pick.c.person_id, list(ids))
    return select(pool_pick.c.person_id).where(mine, pool_pick.c.ended_at.is_(None))


def followed_up_at(conn: Connection, person_id: int) -> datetime:
    return _list_follow_ups(conn, [person_id]).get(person_id, _NEVER)


def owner_of(conn: Connection, person_id: int) -> str:
    return str(conn.scalar(select(person.c.owner_userid).where(person.c.id == person_id)) or "")


# In and out -----------------------------------------------------------------------------------------------------------


def enter(conn: Connection, rows: Sequence[tuple[int, str, str]], now: datetime) -> list[tuple[int, str, str]]:
    """(person, reason, from whom) of those who were not in the pool yet; nobody is responsible for them any more."""
    values = [
        {"person_id": person_id, "reason": reason, "from_userid": userid, "entered_at": now}
        for person_id, reason, userid in rows
    ]
    if not values:
        return []
    made = insert_new(conn, pool_entry, values, ["person_id"], ["person_id"])
    new = {row.person_id for row in made}
    conn.execute(update(person).where(among(conn, person.c.id, sorted(new))).values(owner_userid=""))
    return [each for each in rows if each[0] in new]


def leave(conn: Connection, person_ids: Sequence[int]) -> None:
    if person_ids:
        conn.execute(delete(pool_entry).where(among(conn, pool_entry.c.person_id, list(person_ids))))


def list_put(conn: Connection, person_ids: Collection[int], since: datetime) -> dict[int, str]:
    """Of these, who was put in by hand since then; by person from whom."""
    e = pool_entry.c
    mine = among(conn, e.person_id, list(person_ids)), e.reason == "by_hand", e.entered_at >= since
    return {row.person_id: row.from_userid for row in conn.execute(select(e.person_id, e.from_userid).where(*mine))}


def give_back(conn: Connection, owners: Mapping[int, str]) -> None:
    """Whoever was responsible is again, where nobody else is by now."""
    for userid in sorted(set(owners.values()) - {""}):
        theirs = [person_id for person_id, owner in owners.items() if owner == userid]
        free = among(conn, person.c.id, theirs), person.c.owner_userid == ""
        conn.execute(update(person).where(*free).values(owner_userid=userid))


def take_out(conn: Connection, person_ids: Collection[int]) -> set[int]:
    """Out of the pool for good: who comes second finds nobody."""
    gone = delete(pool_entry).where(pool_entry.c.person_id.in_(list(person_ids))).returning(pool_entry.c.person_id)
    return set(conn.scalars(gone))


def list_entries(
    conn: Connection, *, reason: str = "", before: tuple[datetime, int] | None = None, limit: int
) -> list[Row[Any]]:
    """Who is in the pool, the newest first."""
    e = pool_entry.c
    query = select(pool_entry).where(e.reason == reason if reason else true())
    if before is not None:
        at, person_id = before
        query = query.where((e.entered_at < at) | ((e.entered_at == at) & (e.person_id < person_id)))
    return list(conn.execute(query.order_by(e.entered_at.desc(), e.person_id.desc()).limit(limit)))


def count_entries(conn: Connection, most: int) -> dict[str, int]:
    """By reason, each up to one more than `most`."""
    reasons = ("ownerless", "idle", "recycled", "by_hand")
    some = {
        reason: select(pool_entry.c.person_id).where(pool_entry.c.reason == reason).limit(most + 1).subquery()
        for reason in reasons
    }
    counted = {reason: int(conn.scalar(select(func.count()).select_from(each)) or 0) for reason, each in some.items()}
    return {reason: many for reason, many in counted.items() if many}


# Who took whom --------------------------------------------------------------------------------------------------------


def find_member(conn: Connection, userid: str) -> str | None:
    """As WeCom spells it; None for who is no active member."""
    known = select(member.c.userid).where(member.c.folded == userid.lower(), member.c.is_active.is_(True))
    return conn.scalar(known)


def lock_picker(conn: Connection, userid: str) -> None:
    """Two taps at once are counted one after the other."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(hashtext(:key))"), {"key": f"pool:{userid.lower()}"})


def count_picks(conn: Connection, userid: str, since: datetime) -> int:
    """Since a moment, by the member's own hand."""
    p = pool_pick.c
    mine = p.userid == userid, p.picked_at >= since, p.by == ""
    return int(conn.scalar(select(func.count()).select_from(pool_pick).where(*mine)) or 0)


def add_picks(
    conn: Connection, person_ids: Sequence[int], userid: str, by: str, now: datetime, look_at: datetime
) -> None:
    rows = [
        {"person_id": each, "userid": userid, "by": by, "picked_at": now, "look_at": look_at} for each in person_ids
    ]
    insert_rows(conn, pool_pick, rows)


def has_due_picks(conn: Connection, now: datetime) -> bool:
    due = select(pool_pick.c.id).where(pool_pick.c.ended_at.is_(None), pool_pick.c.look_at <= now)
    return conn.execute(due.limit(1)).first() is not None


def list_due_picks(conn: Connection, now: datetime, limit: int) -> list[Row[Any]]:
    due = select(pool_pick).where(pool_pick.c.ended_at.is_(None), pool_pick.c.look_at <= now)
    return list(conn.execute(due.order_by(pool_pick.c.look_at).limit(limit)))


def look_again(conn: Connection, pick_id: int, at: datetime) -> None:
    conn.execute(update(pool_pick).where(pool_pick.c.id == pick_id).values(look_at=at))


def end_picks(conn: Connection, person_ids: Sequence[int], why: str, now: datetime) -> None:
    if person_ids:
        mine = update(pool_pick).where(pool_pick.c.person_id.in_(list(person_ids)), pool_pick.c.ended_at.is_(None))
        conn.execute(mine.values(ended_at=now, ended_by=why))


@dataclass(frozen=True, slots=True)
class Giver:
    """The relation that goes to whoever takes the customer."""

    person_id: int
    userid: str
    external_userid: str
    has_left: bool


def list_givers(conn: Connection, person_ids: Collection[int], taker: str) -> list[Giver]:
    """For each person the newest living relation; nobody whom the taker follows already, or whom nobody follows."""
    f, u = follow_user.c, unassigned_contact.c
    has_left = (
        select(u.external_userid)
        .where(u.handover_userid == f.userid, u.external_userid == f.external_userid)
        .exists()
        .label("has_left")
    )
    mine = f.person_id.in_(list(person_ids)), f.ended_by == ""
    query = select(f.person_id, f.userid, f.external_userid, has_left).where(*mine).order_by(f.followed_at.desc())
    rows = conn.execute(query).all()
    known = {row.person_id for row in rows if row.userid.lower() == taker.lower()}
    found: dict[int, Giver] = {}
    for row in rows:
        if row.person_id not in known:
            found.setdefault(row.person_id, Giver(row.person_id, row.userid, row.external_userid, bool(row.has_left)))
    return list(found.values())


def set_owner(conn: Connection, person_ids: Collection[int], userid: str) -> None:
    """Before WeCom has handed the friend over: whoever took the customer is responsible from now on."""
    conn.execute(update(person).where(person.c.id.in_(list(person_ids))).values(owner_userid=userid))
