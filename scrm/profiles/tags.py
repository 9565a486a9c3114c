"""All SQL about tags: the corp's library, what each relation carries, and what we want it to carry."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal

from sqlalchemy import Connection, Row, and_, delete, func, or_, select, update

from scrm import audit
from scrm.db import insert_for, upsert
from scrm.profiles.models import corp_tag, corp_tag_group, follow_user, follow_user_tag, tag_wish
from scrm.wecom.corp_tags import CorpTagGroup
from scrm.work import queue

MARK = "tags.mark"

# wecom: a member in WeCom's own client; the others are ours.
Source = Literal["staff", "playbook", "channel", "import", "api", "expiry"]

# What could not be had is shown for so long.
_KEPT_PROBLEMS = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Wish:
    """One tag that a relation is to have or to lose; `tag` is a name as authors write it, or an id."""

    tag: str
    is_wanted: bool
    source: str
    reason: str
    expires_at: datetime | None
    wanted_at: datetime
    turn: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one caller wants of one pair: tags to have and to lose, by names or ids."""

    userid: str
    external_userid: str
    add: Sequence[str]
    remove: Sequence[str]
    source: Source
    reason: str
    expires_at: datetime | None = None


# Wishes ---------------------------------------------------------------------------------------------------------------


def want(
    conn: Connection,
    userid: str,
    external_userid: str,
    *,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    source: Source,
    reason: str,
    expires_at: datetime | None = None,
    now: datetime,
    correlation: str = "",
) -> None:
    """Write down which tags (names or ids) the relation gets and loses; the work that tells WeCom commits with it.

    What several callers want of one pair becomes one call; the latest wish about a tag counts. `expires_at` holds for
    what is added: a tick takes it off again, on both sides.
    """
    if wish(
        conn,
        userid,
        external_userid,
        add=add,
        remove=remove,
        source=source,
        reason=reason,
        expires_at=expires_at,
        now=now,
    ):
        queue.add(conn, mark_work(userid, external_userid, correlation=correlation), now=now)


def wish(
    conn: Connection,
    userid: str,
    external_userid: str,
    *,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    source: Source,
    reason: str,
    expires_at: datetime | None = None,
    now: datetime,
) -> bool:
    """`want` without the work, for callers with work of their own under `order_key`; False when nothing is wanted."""
    one = Wanted(userid, external_userid, tuple(add), tuple(remove), source, reason, expires_at)
    return wish_many(conn, [one], now)


def wish_many(conn: Connection, wanted: Iterable[Wanted], now: datetime) -> bool:
    """`wish` for many, in one statement; what comes later in the list counts."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for one in wanted:
        for names, is_wanted in ((one.add, True), (one.remove, False)):
            for tag in (name.strip()[:80] for name in names if name.strip()):
                rows[one.userid, one.external_userid, tag] = _wish_row(one, tag, is_wanted, now)
    if rows:
        conn.execute(_wish(conn.dialect.name), list(rows.values()))
    return bool(rows)


def _wish_row(one: Wanted, tag: str, is_wanted: bool, now: datetime) -> dict[str, Any]:
    return {
        "userid": one.userid,
        "external_userid": one.external_userid,
        "tag": tag,
        "is_wanted": is_wanted,
        "source": one.source,
        "reason": one.reason[:200],
        "expires_at": one.expires_at if is_wanted else None,
        "wanted_at": now,
        "problem": "",
    }


@cache
def _wish(dialect: str) -> Any:
    insert = insert_for(dialect, tag_wish)
    changes = ("is_wanted", "source", "reason", "expires_at", "wanted_at", "problem")
    return insert.on_conflict_do_update(
        index_elements=["userid", "external_userid", "tag"],
        set_={**{name: insert.excluded[name] for name in changes}, "turn": tag_wish.c.turn + 1},
    )


def order_key(userid: str, external_userid: str) -> str:
    """Parallel calls on one pair are refused with 45035 (doc 92118): whatever marks a pair runs under this key."""
    return f"tags:{userid}:{external_userid}"


def mark_work(
    userid: str, external_userid: str, *, due_at: datetime | None = None, correlation: str = ""
) -> queue.Item:
    """One item for each wish and no dedupe key: an item that runs already may have read the wishes before this one.

    Whichever runs first settles all of the pair's wishes; the others find none.
    """
    return queue.Item(
        lane="send",
        kind=MARK,
        payload={"userid": userid, "external_userid": external_userid},
        due_at=due_at,
        order_key=order_key(userid, external_userid),
        correlation=correlation,
    )


def _pair(table: Any, userid: str, external_userid: str) -> Any:
    return and_(table.c.userid == userid, table.c.external_userid == external_userid)


def list_wishes(conn: Connection, userid: str, external_userid: str) -> list[Wish]:
    """What waits to be told to WeCom, the oldest first."""
    rows = conn.execute(
        select(tag_wish)
        .where(_pair(tag_wish, userid, external_userid), tag_wish.c.problem == "")
        .order_by(tag_wish.c.wanted_at, tag_wish.c.tag)
    )
    return [
        Wish(row.tag, row.is_wanted, row.source, row.reason, row.expires_at, row.wanted_at, row.turn) for row in rows
    ]


def list_open_wishes(conn: Connection, userid: str, external_userid: str) -> list[Row[Any]]:
    """What waits to be told to WeCom, and what could not be had with its `problem`; the oldest first."""
    rows = conn.execute(
        select(tag_wish)
        .where(_pair(tag_wish, userid, external_userid))
        .order_by(tag_wish.c.wanted_at, tag_wish.c.turn, tag_wish.c.tag)
    )
    return list(rows)


def find_problem(conn: Connection, userid: str, external_userid: str, tags: Iterable[str]) -> str:
    """Why one of these cannot be had; empty when all are settled or still wait."""
    problems = conn.scalars(
        select(tag_wish.c.problem)
        .where(_pair(tag_wish, userid, external_userid), tag_wish.c.tag.in_(list(tags)), tag_wish.c.problem != "")
        .order_by(tag_wish.c.tag)
    )
    return "；".join(dict.fromkeys(problems))[:300]


def refuse(conn: Connection, userid: str, external_userid: str, wishes: Iterable[Wish], problem: str) -> None:
    """These cannot be had; a newer wish about the same tag is left alone."""
    for one in wishes:
        conn.execute(
            update(tag_wish)
            .where(_pair(tag_wish, userid, external_userid), tag_wish.c.tag == one.tag, tag_wish.c.turn == one.turn)
            .values(problem=problem[:300])
        )


def let_go(conn: Connection, payload: Mapping[str, Any], asked_at: datetime, problem: str) -> None:
    """Work of kind "tags.mark" will never be done: what was wanted before it was asked for waits no longer."""
    pair = payload["userid"], payload["external_userid"]
    refuse(conn, *pair, [one for one in list_wishes(conn, *pair) if one.wanted_at <= asked_at], problem)


def take_up(conn: Connection, payload: Mapping[str, Any], problem: str) -> None:
    """What was let go with this problem waits again."""
    mine = _pair(tag_wish, payload["userid"], payload["external_userid"]), tag_wish.c.problem == problem
    conn.execute(update(tag_wish).where(*mine).values(problem=""))


def settle(
    conn: Connection,
    userid: str,
    external_userid: str,
    added: Iterable[tuple[Wish, Row[Any]]],
    removed: Iterable[tuple[Wish, Sequence[str]]],
    *,
    now: datetime,
) -> None:
    """WeCom said ok: our rows follow, for no event comes of calls of ours (doc 92130)."""
    added, removed = list(added), list(removed)
    known = {row.tag_id: row for row in list_pair_tags(conn, userid, external_userid)}
    for one, tag in added:
        _put(conn, userid, external_userid, one, tag, known.get(tag.tag_id), now)
    if gone := [tag_id for _, tag_ids in removed for tag_id in tag_ids]:
        conn.execute(
            delete(follow_user_tag).where(
                _pair(follow_user_tag, userid, external_userid), follow_user_tag.c.tag_id.in_(gone)
            )
        )
    for one in [one for one, _ in added] + [one for one, _ in removed]:
        conn.execute(
            delete(tag_wish).where(
                _pair(tag_wish, userid, external_userid), tag_wish.c.tag == one.tag, tag_wish.c.turn == one.turn
            )
        )


def _put(
    conn: Connection,
    userid: str,
    external_userid: str,
    one: Wish,
    tag: Row[Any],
    before: Row[Any] | None,
    now: datetime,
) -> None:
    """A tag that was there for good stays for good, and whoever put it first keeps the honour."""
    if before is not None and (before.expires_at is None or (one.expires_at and one.expires_at <= before.expires_at)):
        return
    values = {
        "group_name": tag.group_name,
        "tag_name": tag.tag_name,
        "type": 1,
        "source": one.source,
        "reason": one.reason,
        "put_at": now,
        "expires_at": one.expires_at,
    }
    conn.execute(
        upsert(follow_user_tag, conn)
        .values(userid=userid, external_userid=external_userid, tag_id=tag.tag_id, **values)
        .on_conflict_do_update(index_elements=["userid", "external_userid", "tag_id"], set_=values)
    )


def list_pair_tags(conn: Connection, userid: str, external_userid: str) -> list[Row[Any]]:
    """What the relation carries: names, and who put them, why, until when."""
    return list(
        conn.execute(
            select(follow_user_tag)
            .where(_pair(follow_user_tag, userid, external_userid))
            .order_by(follow_user_tag.c.group_name, follow_user_tag.c.tag_name)
        )
    )


def is_half(conn: Connection, userid: str, external_userid: str) -> bool:
    """Whether the member has yet to confirm: until then WeCom may answer 84061 (doc 90313)."""
    half = select(follow_user.c.is_half).where(
        _pair(follow_user, userid, external_userid), follow_user.c.ended_by == ""
    )
    return bool(conn.execute(half).scalar_one_or_none())


def expire(conn: Connection, *, now: datetime, limit: int = 500) -> int:
    """Want every tag off whose time is over; returns how many. What is wanted off already is not wanted twice."""
    asked = select(tag_wish.c.tag).where(
        tag_wish.c.userid == follow_user_tag.c.userid,
        tag_wish.c.external_userid == follow_user_tag.c.external_userid,
        tag_wish.c.tag == follow_user_tag.c.tag_id,
    )
    over = conn.execute(
        select(follow_user_tag)
        .where(follow_user_tag.c.expires_at <= now, ~asked.exists())
        .order_by(follow_user_tag.c.expires_at)
        .limit(limit)
    ).all()
    pairs: dict[tuple[str, str], list[str]] = {}
    for row in over:
        pairs.setdefault((row.userid, row.external_userid), []).append(row.tag_id)
    for (userid, external_userid), tag_ids in pairs.items():
        want(conn, userid, external_userid, remove=tag_ids, source="expiry", reason="标签到期", now=now)
    return len(over)


def has_expired(conn: Connection, *, now: datetime) -> bool:
    """A cheap look before writing."""
    return conn.execute(select(1).where(follow_user_tag.c.expires_at <= now).limit(1)).first() is not None


def forget_problems(conn: Connection, *, now: datetime) -> int:
    """Problems that nobody asks for any more."""
    old = delete(tag_wish).where(tag_wish.c.problem != "", tag_wish.c.wanted_at < now - _KEPT_PROBLEMS)
    return conn.execute(old).rowcount


# The library ----------------------------------------------------------------------------------------------------------


def find_tags(conn: Connection, tags: Sequence[str]) -> list[Row[Any]]:
    """Living corp tags by names or ids."""
    keys = list(tags)
    return list(
        conn.execute(
            select(corp_tag)
            .where(or_(corp_tag.c.tag_name.in_(keys), corp_tag.c.tag_id.in_(keys)), corp_tag.c.is_deleted.is_(False))
            .order_by(corp_tag.c.tag_id)
        )
    )


def list_library(conn: Connection) -> list[Row[Any]]:
    """Living tags as WeCom shows them: larger orders first."""
    return list(
        conn.execute(
            select(corp_tag)
            .where(corp_tag.c.is_deleted.is_(False))
            .order_by(
                corp_tag.c.group_order.desc(), corp_tag.c.group_name, corp_tag.c.sort_order.desc(), corp_tag.c.tag_name
            )
        )
    )


def list_group_orders(conn: Connection) -> dict[str, int]:
    """Groups that WeCom knows, as `list_library` has them, each with its order."""
    return {row.group_id: row.group_order for row in list_library(conn) if row.group_id}


def list_tag_orders(conn: Connection, tag_id: str) -> dict[str, int]:
    """The tags of the group that this one is in, as `list_library` has them, each with its order."""
    library = list_library(conn)
    group_id = next((row.group_id for row in library if row.tag_id == tag_id), None)
    return {row.tag_id: row.sort_order for row in library if row.group_id == group_id}


def list_exclusive(conn: Connection) -> frozenset[str]:
    """Groups of which a relation carries one tag at most."""
    groups = select(corp_tag_group.c.group_id).where(corp_tag_group.c.is_exclusive.is_(True))
    return frozenset(conn.scalars(groups))


@audit.keeps("tag_group", corp_tag_group.c.group_id, of=("group_id",))
def set_exclusive(conn: Connection, group_id: str, is_exclusive: bool) -> None:
    """What customers carry already stays; the next tag of the group takes the place of the others."""
    put = upsert(corp_tag_group, conn).values(group_id=group_id, is_exclusive=is_exclusive)
    conn.execute(put.on_conflict_do_update(index_elements=["group_id"], set_={"is_exclusive": is_exclusive}))


def list_rivals(conn: Connection, userid: str, external_userid: str, added: Collection[Row[Any]]) -> dict[str, str]:
    """Tags that the relation carries and must lose for these of the library: their ids, with their groups' ids."""
    groups = list_exclusive(conn) & {tag.group_id for tag in added}
    if not groups:
        return {}
    rows = conn.execute(
        select(follow_user_tag.c.tag_id, corp_tag.c.group_id)
        .join(corp_tag, corp_tag.c.tag_id == follow_user_tag.c.tag_id)
        .where(_pair(follow_user_tag, userid, external_userid), corp_tag.c.group_id.in_(sorted(groups)))
    )
    taken = {tag.tag_id for tag in added}
    return {row.tag_id: row.group_id for row in rows if row.tag_id not in taken}


def count_library(conn: Connection) -> int:
    return int(
        conn.execute(select(func.count()).select_from(corp_tag).where(corp_tag.c.is_deleted.is_(False))).scalar_one()
    )


def save_library(conn: Connection, groups: Iterable[CorpTagGroup]) -> int:
    """Keep what WeCom says of these groups and tags; returns how many rows changed. Deleted ones are taken off."""
    told = {
        tag.id: {
            "tag_id": tag.id,
            "tag_name": tag.name[:80],
            "group_id": group.group_id,
            "group_name": group.group_name[:80],
            "sort_order": tag.order,
            "group_order": group.order,
            "is_deleted": tag.deleted or group.deleted,
        }
        for group in groups
        for tag in group.tag
        if tag.id
    }
    known = {row.tag_id: row._mapping for row in conn.execute(select(corp_tag))} if told else {}
    changed = [row for tag_id, row in told.items() if dict(known.get(tag_id) or {}) != row]
    # WeCom leaves the names of deleted tags out of some answers: ours stay.
    for row in changed:
        row["tag_name"] = row["tag_name"] or (known[row["tag_id"]]["tag_name"] if row["tag_id"] in known else "")
        keep = upsert(corp_tag, conn).values(**row)
        conn.execute(
            keep.on_conflict_do_update(
                index_elements=["tag_id"], set_={key: value for key, value in row.items() if key != "tag_id"}
            )
        )
    _rename_on_contacts(conn, [row for row in changed if not row["is_deleted"] and row["tag_id"] in known])
    delete_tags(conn, [str(row["tag_id"]) for row in changed if row["is_deleted"]])
    return len(changed)


def _rename_on_contacts(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        names = {"tag_name": row["tag_name"], "group_name": row["group_name"]}
        conn.execute(
            update(follow_user_tag)
            .where(
                follow_user_tag.c.tag_id == row["tag_id"],
                or_(*(follow_user_tag.c[key] != value for key, value in names.items())),
            )
            .values(**names)
        )


def delete_tags(conn: Connection, tag_ids: Sequence[str]) -> None:
    """The tags are gone from the library, so they are gone from every customer."""
    if tag_ids:
        conn.execute(update(corp_tag).where(corp_tag.c.tag_id.in_(tag_ids)).values(is_deleted=True))
        conn.execute(delete(follow_user_tag).where(follow_user_tag.c.tag_id.in_(tag_ids)))


def list_unseen(conn: Connection, seen: Iterable[str]) -> list[str]:
    """Living tags of ours that an answer did not have; asked for by id, WeCom says whether they are deleted."""
    living = set(conn.scalars(select(corp_tag.c.tag_id).where(corp_tag.c.is_deleted.is_(False))))
    return sorted(living - set(seen))


def count_carriers(conn: Connection) -> dict[str, int]:
    """By tag id: how many relations carry it."""
    counted = select(follow_user_tag.c.tag_id, func.count().label("relations")).group_by(follow_user_tag.c.tag_id)
    return {row.tag_id: row.relations for row in conn.execute(counted)}
