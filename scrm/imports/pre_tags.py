"""Tags for people who are no contacts yet: kept by phone or unionid, given when they come."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, func, or_, select, update

from scrm import events
from scrm.db import upsert
from scrm.imports.models import import_cursor, pre_tag
from scrm.profiles import tags
from scrm.profiles.models import follow_user, identity
from scrm.services import Services

TICK_SECONDS = 20.0
# Ids are given before they are committed: so many are looked at a second time.
_OVERLAP = 1000
_MOST = 500


def keep(conn: Connection, kind: str, value: str, names: Iterable[str], *, now: datetime) -> int:
    """Write down what somebody is to get; returns how many tags were new. `value` as `identity` has it."""
    added = 0
    for name in names:
        row = {"kind": kind, "value": value, "tag": name[:80], "created_at": now}
        statement = upsert(pre_tag, conn).values(**row).on_conflict_do_nothing().returning(pre_tag.c.tag)
        added += conn.execute(statement).first() is not None
    return added


def give(conn: Connection, person_ids: Iterable[int], *, now: datetime) -> int:
    """Give what waits for these persons to each of their members; returns how many tags were asked for."""
    given = 0
    for person_id in sorted(set(person_ids)):
        given += _give_person(conn, person_id, now)
    return given


def _give_person(conn: Connection, person_id: int, now: datetime) -> int:
    waiting = conn.execute(
        select(pre_tag.c.kind, pre_tag.c.value, pre_tag.c.tag)
        .join(identity, and_(identity.c.kind == pre_tag.c.kind, identity.c.value == pre_tag.c.value))
        .where(identity.c.person_id == person_id, identity.c.scope == "", pre_tag.c.given_at.is_(None))
    ).all()
    pairs = _living(conn, person_id)
    if not waiting or not pairs:
        return 0
    names = sorted({row.tag for row in waiting})
    for pair in pairs:
        tags.want(
            conn,
            pair.userid,
            pair.external_userid,
            add=names,
            source="import",
            reason="导入的标签，加好友后生效",
            now=now,
        )
    for row in waiting:
        key = (pre_tag.c.kind == row.kind, pre_tag.c.value == row.value, pre_tag.c.tag == row.tag)
        conn.execute(update(pre_tag).where(*key).values(given_at=now))
    return len(names)


def _living(conn: Connection, person_id: int) -> list[Row[Any]]:
    """The relations in which a tag can be put on."""
    table = follow_user.c
    return list(
        conn.execute(
            select(table.userid, table.external_userid).where(table.person_id == person_id, table.ended_at.is_(None))
        )
    )


def want_or_keep(
    conn: Connection, person_id: int, keys: Iterable[tuple[str, str]], names: list[str], *, now: datetime
) -> None:
    """Tags for a person: at once where a member follows them, else when somebody does."""
    pairs = _living(conn, person_id)
    for pair in pairs:
        tags.want(conn, pair.userid, pair.external_userid, add=names, source="import", reason="客户导入", now=now)
    if not pairs:
        for kind, value in keys:
            keep(conn, kind, value, names, now=now)


async def tick(services: Services) -> None:
    """Look at who has come, and who has become known by a phone or unionid, since the last look."""
    found = await services.db.read(_find_due)
    if found is None:
        return
    persons, cursors = found
    await services.db.write(_give_due, persons, cursors, now=services.clock.now())


def _find_due(conn: Connection) -> tuple[list[int], dict[str, int]] | None:
    """Persons for whom something waits among those who are new, and how far was looked; None when nothing is new."""
    seen: dict[str, int] = {row.name: row.seen for row in conn.execute(select(import_cursor))}
    newest = {
        "event": conn.execute(select(func.coalesce(func.max(events.event.c.id), 0))).scalar_one(),
        "identity": conn.execute(select(func.coalesce(func.max(identity.c.id), 0))).scalar_one(),
    }
    if all(seen.get(name) == last for name, last in newest.items()):
        return None
    if conn.execute(select(pre_tag.c.tag).where(pre_tag.c.given_at.is_(None)).limit(1)).first() is None:
        return [], newest
    came = select(events.event.c.person_id).where(
        events.event.c.id > seen.get("event", 0) - _OVERLAP,
        events.event.c.name == "contact.added",
        events.event.c.person_id.is_not(None),
    )
    known = or_(identity.c.id > seen.get("identity", 0) - _OVERLAP, identity.c.person_id.in_(came))
    waiting = (
        select(identity.c.person_id)
        .join(pre_tag, and_(pre_tag.c.kind == identity.c.kind, pre_tag.c.value == identity.c.value))
        .join(follow_user, follow_user.c.person_id == identity.c.person_id)
        .where(known, identity.c.scope == "", pre_tag.c.given_at.is_(None), follow_user.c.ended_at.is_(None))
        .distinct()
        .limit(_MOST)
    )
    persons = list(conn.execute(waiting).scalars())
    # A full page: there may be more, so the next look begins where this one did.
    return persons, ({} if len(persons) == _MOST else newest)


def _give_due(conn: Connection, persons: list[int], cursors: dict[str, int], *, now: datetime) -> None:
    give(conn, persons, now=now)
    for name, last in cursors.items():
        statement = upsert(import_cursor, conn).values(name=name, seen=last)
        conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"seen": last}))
