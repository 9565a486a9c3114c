"""All SQL of segments: what they are, who is in them, and what changes when they are computed anew."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Row, delete, func, literal, select, text, update
from sqlalchemy.types import String

from scrm import audit, events
from scrm.db import UtcDateTime, upsert
from scrm.db.bulk import among
from scrm.errors import Conflict, Invalid, NotFound
from scrm.events import Event
from scrm.profiles import models
from scrm.profiles.conditions.leaves_own_fields import with_definitions as with_own_fields
from scrm.profiles.conditions.tree import LEAVES, Problem, check_condition, find_missing, list_leaves
from scrm.segments.audience import audience_of
from scrm.segments.leaves_segments import KEPT_ELSEWHERE, with_segments
from scrm.segments.models import segment, segment_day, segment_member

ENTERED = "segment.entered"
LEFT = "segment.left"

_KEY = re.compile(r"[\w\-]{1,64}")
_MOST = 200


@dataclass(frozen=True, slots=True)
class Draft:
    """A segment as somebody writes it; `condition` is None for a list."""

    key: str
    title: str
    condition: Mapping[str, Any] | None = None
    is_exclusion: bool = False
    template: str = ""
    # Whether the first computation already tells who entered.
    tells_first: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """Who fits now and is not known as a member, and the other way round."""

    entered: Sequence[int]
    left: Sequence[int]


# Definitions ----------------------------------------------------------------------------------------------------------


def list_segments(conn: Connection) -> list[Row[Any]]:
    """Those that are not deleted, by title."""
    return list(conn.execute(select(segment).where(segment.c.deleted_at.is_(None)).order_by(segment.c.title)))


def get_segment(conn: Connection, key: str) -> Row[Any]:
    """By key; raises NotFound."""
    row = conn.execute(select(segment).where(segment.c.key == key, segment.c.deleted_at.is_(None))).one_or_none()
    if row is None:
        raise NotFound(f"没有人群包“{key}”，可能已被删除；“人群包”页列出所有的")
    return row


@audit.keeps("segment", segment.c.key, of=("draft.key",))
def save_segment(conn: Connection, draft: Draft, *, now: datetime, by: str = "") -> None:
    """Make a segment or change it. Raises Invalid with every problem of the condition, Conflict for a taken name.

    A changed condition is computed at once, and those whom it finds are no news: they do not enter.
    """
    _check(conn, draft)
    before = conn.execute(select(segment).where(segment.c.key == draft.key)).one_or_none()
    kind = "static" if draft.condition is None else "dynamic"
    row: dict[str, Any] = {
        "title": draft.title.strip(),
        "kind": kind,
        "condition": draft.condition,
        "is_exclusion": draft.is_exclusion,
        "template": draft.template,
        "tells_first": draft.tells_first,
        "problem": "",
        "deleted_at": None,
        "changed_at": now,
    }
    if before is None or before.deleted_at is not None or (before.kind, before.condition) != (kind, draft.condition):
        row |= {"computed_at": None, "refresh_at": None if kind == "static" else now}
        row["revision"] = 1 if before is None else before.revision + 1
    if before is None:
        if _count_kept(conn) >= _MOST:
            raise Conflict(f"已有 {_MOST} 个人群包，请先删掉不用的")
        row |= {"key": draft.key, "created_by": by, "created_at": now}
        conn.execute(segment.insert().values(**row))
    else:
        conn.execute(update(segment).where(segment.c.key == draft.key).values(**row))


def _check(conn: Connection, draft: Draft) -> None:
    if not _KEY.fullmatch(draft.key) or draft.key in KEPT_ELSEWHERE:
        raise Invalid(
            f"人群包的编号要用文字、数字、_ 和 -，最多 64 个，不能是 {'、'.join(KEPT_ELSEWHERE)}：“{draft.key}”"
        )
    if not 0 < len(draft.title.strip()) <= 80:
        raise Invalid("请写人群包的名称，最多 80 个字")
    taken = select(segment.c.key).where(
        segment.c.title == draft.title.strip(), segment.c.key != draft.key, segment.c.deleted_at.is_(None)
    )
    if conn.execute(taken).first() is not None:
        raise Conflict(f"已有名为“{draft.title}”的人群包，请换一个名称")
    if draft.condition is not None and (problems := find_problems(conn, draft.key, draft.condition)):
        raise Invalid("；".join(problem.text for problem in problems))


def find_problems(conn: Connection, key: str, condition: Any) -> list[Problem]:
    """What keeps a condition from being a segment's: mistakes, things that do not exist, what only a run knows."""
    condition = with_own_fields(conn, condition)
    if problems := check_condition(condition):
        return problems
    for path, spec in list_leaves(condition):
        if needs := next((leaf.needs(spec) for kind, leaf in LEAVES.items() if kind in spec), ""):
            what = "触发事件" if needs == "trigger" else "本次跟进的员工"
            problems.append(Problem(path, f"人群包里没有{what}，这个条件只能写在剧本里"))
    return problems or find_missing(conn, with_segments(conn, condition, frozenset({key})))


@audit.keeps("segment", segment.c.key, of=("key",))
def delete_segment(conn: Connection, key: str, *, now: datetime) -> None:
    """It is nobody's from now on; what names it admits nobody. Raises NotFound."""
    get_segment(conn, key)
    conn.execute(update(segment).where(segment.c.key == key).values(deleted_at=now, refresh_at=None, members=0))
    for table in (segment_member, segment_day):
        conn.execute(delete(table).where(table.c.segment_key == key))


def _count_kept(conn: Connection) -> int:
    kept = select(func.count()).select_from(segment).where(segment.c.deleted_at.is_(None))
    return int(conn.execute(kept).scalar_one())


# What became of it -----------------------------------------------------------------------------------------------------


def list_moved(conn: Connection, key: str, *, before: int | None = None, limit: int = 50) -> list[Row[Any]]:
    """Who entered and who left, the newest first: id, name, occurred_at, person_id, person_name."""
    # As the index says it: bound names would hide that it serves.
    named = text("event.name IN ('segment.entered', 'segment.left')")
    event, person = events.event, models.person
    found = (
        select(event.c.id, event.c.name, event.c.occurred_at, event.c.person_id, person.c.name.label("person_name"))
        .outerjoin(person, person.c.id == event.c.person_id)
        .where(named, event.c.key == key)
    )
    if before is not None:
        found = found.where(event.c.id < before)
    return list(conn.execute(found.order_by(event.c.id.desc()).limit(limit)))


def list_days(conn: Connection, key: str, limit: int = 30) -> list[Row[Any]]:
    """Members at the end of each day on which it was computed, the oldest first."""
    of = segment_day.c
    found = conn.execute(select(segment_day).where(of.segment_key == key).order_by(of.day.desc()).limit(limit))
    return list(found)[::-1]


def note_day(conn: Connection, key: str, day: date, *, entered: int, left: int) -> None:
    """Add to the row of that day; its members are those of now."""
    members = select(segment.c.members).where(segment.c.key == key).scalar_subquery()
    put = upsert(segment_day, conn).values(segment_key=key, day=day, members=members, entered=entered, left=left)
    kept = segment_day.c
    changes = {"members": put.excluded.members, "entered": kept.entered + entered, "left": kept.left + left}
    conn.execute(put.on_conflict_do_update(index_elements=["segment_key", "day"], set_=changes))


def list_names(conn: Connection, person_ids: Sequence[int]) -> list[Row[Any]]:
    """id and name of those who are still there, in the order of their ids."""
    person = models.person
    return list(
        conn.execute(select(person.c.id, person.c.name).where(person.c.id.in_(person_ids)).order_by(person.c.id))
    )


# Two beside each other --------------------------------------------------------------------------------------------------


class Overlap(NamedTuple):
    """How many persons are only in the one, in both, only in the other; as of their last computation."""

    only_one: int
    both: int
    only_other: int


def compare(conn: Connection, one: str, other: str) -> Overlap:
    """By their lists of members; two look-ups in one index."""
    mine, theirs = segment_member.alias("mine"), segment_member.alias("theirs")
    shared = (
        select(func.count())
        .select_from(mine.join(theirs, theirs.c.person_id == mine.c.person_id))
        .where(mine.c.segment_key == one, theirs.c.segment_key == other)
    )
    both = int(conn.execute(shared).scalar_one())
    sizes = select(segment_member.c.segment_key, func.count()).where(segment_member.c.segment_key.in_([one, other]))
    found = {row[0]: int(row[1]) for row in conn.execute(sizes.group_by(segment_member.c.segment_key))}
    return Overlap(found.get(one, 0) - both, both, found.get(other, 0) - both)


def sample_difference(conn: Connection, one: str, other: str, *, limit: int = 10) -> list[Row[Any]]:
    """Some who are in the one and not in the other, the newest first: id, name."""
    person, theirs = models.person, segment_member.alias("theirs")
    is_there = select(1).where(theirs.c.segment_key == other, theirs.c.person_id == segment_member.c.person_id)
    found = (
        select(person.c.id, person.c.name)
        .join(segment_member, segment_member.c.person_id == person.c.id)
        .where(segment_member.c.segment_key == one, ~is_there.exists())
    )
    return list(conn.execute(found.order_by(person.c.id.desc()).limit(limit)))


# Members --------------------------------------------------------------------------------------------------------------


def list_members(conn: Connection, key: str, *, after: int = 0, limit: int = 500) -> list[int]:
    """Ids of the next members, in their order, as of the last computation."""
    mine = select(segment_member.c.person_id).where(segment_member.c.segment_key == key)
    mine = mine.where(segment_member.c.person_id > after).order_by(segment_member.c.person_id).limit(limit)
    return list(conn.execute(mine).scalars())


def put_members(conn: Connection, key: str, person_ids: Collection[int], *, now: datetime) -> int:
    """Put persons into a static segment; returns how many are new. Each has entered: playbooks may begin."""
    row = get_segment(conn, key)
    if row.kind != "static":
        raise Invalid(f"“{row.title}”按条件计算，不能手工加人；请改条件，或另建一个固定名单")
    entered = enter(conn, row, person_ids, tells=True, now=now)
    count_members(conn, key)
    return entered


def take_members(conn: Connection, key: str, person_ids: Collection[int], *, now: datetime) -> int:
    """Take persons out of a static segment; returns how many were in it."""
    row = get_segment(conn, key)
    if row.kind != "static":
        raise Invalid(f"“{row.title}”按条件计算，不能手工减人；请改条件")
    left = leave(conn, row, person_ids, tells=True, now=now)
    count_members(conn, key)
    return left


def enter(conn: Connection, row: Row[Any], person_ids: Collection[int], *, tells: bool, now: datetime) -> int:
    """Who exists and is not a member yet becomes one; told of as an event with `tells`. At most 1000 at a time."""
    person = models.person
    new = select(literal(row.key, String), person.c.id, literal(now, UtcDateTime())).where(
        among(conn, person.c.id, person_ids)
    )
    columns = ["segment_key", "person_id", "entered_at"]
    insert = upsert(segment_member, conn).from_select(columns, new).on_conflict_do_nothing()
    entered = list(conn.execute(insert.returning(segment_member.c.person_id)).scalars())
    if tells:
        events.publish(conn, [_told(ENTERED, row, person_id, now) for person_id in sorted(entered)], now=now)
    return len(entered)


def leave(conn: Connection, row: Row[Any], person_ids: Collection[int], *, tells: bool, now: datetime) -> int:
    gone = delete(segment_member).where(
        segment_member.c.segment_key == row.key, among(conn, segment_member.c.person_id, person_ids)
    )
    left = list(conn.execute(gone.returning(segment_member.c.person_id)).scalars())
    if tells:
        events.publish(conn, [_told(LEFT, row, person_id, now) for person_id in sorted(left)], now=now)
    return len(left)


def _told(name: str, row: Row[Any], person_id: int, now: datetime) -> Event:
    facts = {"segment": row.key, "title": row.title}
    once = f"{name}:{row.key}:{person_id}:{int(now.timestamp() * 1000)}"
    return Event(name, now, person_id, key=row.key, facts=facts, once=once)


def count_members(conn: Connection, key: str) -> int:
    """Count them and keep the number."""
    mine = select(func.count()).select_from(segment_member).where(segment_member.c.segment_key == key)
    members = int(conn.execute(mine).scalar_one())
    conn.execute(update(segment).where(segment.c.key == key).values(members=members))
    return members


def finish_list(conn: Connection, key: str, *, now: datetime) -> int:
    """A list is whole: its number and since when."""
    conn.execute(update(segment).where(segment.c.key == key).values(computed_at=now))
    return count_members(conn, key)


def note_list(conn: Connection, key: str, problem: str) -> None:
    """Why a list is not whole; '' when it is, or may still become so."""
    conn.execute(update(segment).where(segment.c.key == key).values(problem=problem[:300]))


# Computing ------------------------------------------------------------------------------------------------------------


def list_due(conn: Connection, now: datetime) -> list[str]:
    """Keys of segments whose members are to be computed."""
    due = select(segment.c.key).where(segment.c.refresh_at <= now, segment.c.deleted_at.is_(None))
    return list(conn.execute(due.order_by(segment.c.refresh_at)).scalars())


def put_off(conn: Connection, keys: Sequence[str], until: datetime) -> None:
    conn.execute(update(segment).where(segment.c.key.in_(keys)).values(refresh_at=until))


def last_person(conn: Connection) -> int:
    """The highest id there is, of members who are gone too."""
    known = conn.execute(select(func.max(models.person.c.id))).scalar_one() or 0
    return max(known, conn.execute(select(func.max(segment_member.c.person_id))).scalar_one() or 0)


def find_changes(conn: Connection, row: Row[Any], after: int, until: int, now: datetime) -> Changes:
    """Among the persons after `after` up to `until`: compared in the database, only differences leave it."""
    audience = audience_of(conn, row.condition, now)
    fits = audience.ids().where(audience.person_id > after, audience.person_id <= until)
    mine = select(segment_member.c.person_id.cast(BigInteger)).where(
        segment_member.c.segment_key == row.key,
        segment_member.c.person_id > after,
        segment_member.c.person_id <= until,
    )
    entered, left = fits.except_(mine), mine.except_(fits)
    return Changes(list(conn.execute(entered).scalars()), list(conn.execute(left).scalars()))


def is_current(conn: Connection, row: Row[Any]) -> bool:
    """Whether a segment is still what was read; it stays so until the transaction ends."""
    mine = select(segment.c.revision).where(segment.c.key == row.key, segment.c.deleted_at.is_(None))
    revision = conn.execute(mine.with_for_update(key_share=True)).scalar_one_or_none()
    return revision is not None and bool(revision == row.revision)


def finish(conn: Connection, row: Row[Any], *, refresh_at: datetime, now: datetime) -> bool:
    """The members are as of now; False when the condition was changed meanwhile, which is computed next."""
    count_members(conn, row.key)
    mine = update(segment).where(segment.c.key == row.key, segment.c.revision == row.revision)
    changes = {"computed_at": now, "refresh_at": refresh_at, "problem": ""}
    return conn.execute(mine.values(**changes)).rowcount == 1


def note_problem(conn: Connection, row: Row[Any], text: str, *, refresh_at: datetime) -> None:
    mine = update(segment).where(segment.c.key == row.key, segment.c.revision == row.revision)
    conn.execute(mine.values(problem=text[:300], refresh_at=refresh_at))
