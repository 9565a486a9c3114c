"""Forgets one person (个人信息保护法 第四十七条): one transaction, so that it is done wholly or not at all.

Order sums stay under a number that leads to nobody. Somebody who is still a contact in WeCom comes back with the next
sync or message as a new person without history; what is older than the erasure does not come back by import either.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Column, Connection, Row, delete, func, literal, select, text, update

from scrm import audit
from scrm.db import Database, metadata
from scrm.db.vault import Vault
from scrm.errors import NotFound
from scrm.privacy import store
from scrm.privacy.holdings import HOLDINGS, Holding
from scrm.privacy.subject import Subject, find_subject
from scrm.profiles.erased import mark_of, remember
from scrm.profiles.store import get_person
from scrm.services import Services
from scrm.sop import store as playbooks
from scrm.sop.members import task_store

log = structlog.get_logger()

REASON = "客户资料已按要求删除"
_INBOX_PAGE = 20_000


@dataclass(frozen=True, slots=True)
class Preview:
    """What an erasure would do: rows by title, of which `deleted` go and `blanked` lose their identity."""

    person_id: int
    name: str
    deleted: dict[str, int]
    blanked: dict[str, int]
    erased_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Erased:
    """What was done; `again` when there was nothing left to do."""

    person_id: int
    counts: dict[str, int] = field(default_factory=dict)
    again: bool = False


def preview(conn: Connection, person_id: int) -> Preview:
    """Counts by table, and nothing else; raises NotFound."""
    person = get_person(conn, person_id)
    if person is None:
        raise NotFound(f"没有客户 {person_id}，请检查编号")
    subject = find_subject(conn, person_id)
    deleted: dict[str, int] = {}
    blanked: dict[str, int] = {}
    for holding, count in _counts(conn, subject):
        (deleted if holding.blank is None else blanked)[holding.title] = count
    return Preview(person_id, person.name, deleted, blanked, store.find_erasure(conn, person_id))


def _counts(conn: Connection, subject: Subject) -> Iterator[tuple[Holding, int]]:
    for holding in HOLDINGS:
        if holding.blank == {}:
            continue  # sums that name nobody stay as they are
        table = holding.rows_of
        count = conn.execute(select(func.count()).select_from(table).where(holding.whose(table, subject))).scalar_one()
        if count:
            yield holding, int(count)


async def erase(services: Services, person_id: int, *, actor: str, reason: str = "") -> Erased:
    """Forget the person; twice is once, also after a crash. Raises NotFound for a number that never was.

    The log says that it was done and not to whom.
    """
    now = services.clock.now()
    bodies = await services.db.read(_find_bodies, person_id)
    done = await services.db.write(erase_in, person_id, bodies, services.vault, actor=actor, reason=reason, now=now)
    if not done.again:
        log.info("privacy.erased", rows=sum(done.counts.values()))
    forget_old_pages(services.db)
    return done


def erase_in(
    conn: Connection, person_id: int, bodies: list[int], vault: Vault, *, actor: str, reason: str = "", now: datetime
) -> Erased:
    """The whole of it inside the caller's transaction; `bodies` are callbacks that named the person."""
    if conn.dialect.name == "sqlite":
        conn.execute(text("PRAGMA secure_delete = ON"))  # what is deleted is overwritten in the file, too
    if store.lock_person(conn, person_id) is None:
        raise NotFound(f"没有客户 {person_id}，请检查编号")
    subject = find_subject(conn, person_id)
    was_erased = store.find_erasure(conn, person_id) is not None
    if was_erased and not subject.external_userids and not subject.unionids:
        return Erased(person_id, again=True)
    remember(conn, _marks(conn, subject, vault), person_id, now=now)
    _end_runs(conn, subject, now)
    counts = {holding.title: count for holding in HOLDINGS if (count := _forget(conn, holding, subject))}
    if bodies:
        counts["回调原文"] = _empty_bodies(conn, bodies)
    store.note_erasure(conn, person_id, now=now)
    store.note_act(conn, "erased", person_id, actor=actor, reason=reason, facts={"rows": sum(counts.values())}, now=now)
    audit.changed(conn, "erasure", person_id, {"rows": sum(counts.values())}, {"rows": 0, "reason": reason})
    if conn.dialect.name == "sqlite":
        conn.execute(text("PRAGMA secure_delete = OFF"))
    return Erased(person_id, counts)


def _marks(conn: Connection, subject: Subject, vault: Vault) -> list[str]:
    identity, orders = metadata.tables["identity"], metadata.tables["orders"]
    pairs = [(row.kind, row.value) for row in conn.execute(select(identity).where(_in(identity.c.person_id, subject)))]
    pairs += [("wecom_external_userid", one) for one in subject.external_userids]
    pairs += [("wx_unionid", one) for one in subject.unionids]
    for row in conn.execute(select(orders).where(orders.c.id.in_(subject.order_ids))):
        pairs.append(("order", f"{row.channel}/{row.shop_key}/{row.order_no}"))
        pairs += [("mobile_e164", row.buyer_phone_lookup)] if row.buyer_phone_lookup else []
    return [mark_of(vault, kind, value) for kind, value in pairs]


def _in(column: Column[Any], subject: Subject) -> Any:
    return column.in_(subject.person_ids)


def _end_runs(conn: Connection, subject: Subject, now: datetime) -> None:
    """Runs end and open tasks are withdrawn the way they always are, so that the members see why."""
    enrolment = metadata.tables["enrolment"]
    live = conn.scalars(
        select(enrolment.c.id).where(_in(enrolment.c.person_id, subject), enrolment.c.state == "active")
    )
    ids = list(live)
    playbooks.end_runs(conn, [(of_id, "exited", REASON) for of_id in ids], now=now)
    task_store.withdraw_tasks(conn, subject.enrolment_ids, REASON, now=now)
    follow = metadata.tables["follow_user"]
    for row in conn.execute(select(follow.c.userid, follow.c.external_userid).where(_in(follow.c.person_id, subject))):
        task_store.withdraw_relation_tasks(conn, row.userid, row.external_userid, REASON, now=now)


def _forget(conn: Connection, holding: Holding, subject: Subject) -> int:
    table = holding.rows_of
    where = holding.whose(table, subject)
    if holding.blank is None:
        return conn.execute(delete(table).where(where)).rowcount
    if not holding.blank:
        return 0
    plain = {name: value for name, value in holding.blank.items() if not callable(value)}
    made = {name: value for name, value in holding.blank.items() if callable(value)}
    keys = list(table.primary_key.columns)
    rows: list[Row[Any]] = list(conn.execute(select(*keys).where(where).order_by(*keys)))
    if not made:
        return conn.execute(update(table).where(where).values(**plain)).rowcount
    for row in rows:
        number = row[0] if len(keys) == 1 and isinstance(row[0], int) else secrets.randbelow(10**12)
        values = plain | {name: make(subject, number) for name, make in made.items()}
        conn.execute(
            update(table).where(*(key == value for key, value in zip(keys, row, strict=True))).values(**values)
        )
    return len(rows)


# Callbacks as they came -------------------------------------------------------------------------------------------------


def _find_bodies(conn: Connection, person_id: int) -> list[int]:
    """Callbacks whose body names one of the person's contacts; looked for before the transaction, page by page."""
    inbox = metadata.tables["inbox_event"]
    names = [one.encode() for one in find_subject(conn, person_id).external_userids]
    if not names:
        return []
    found: list[int] = []
    newest = conn.execute(select(func.max(inbox.c.id))).scalar_one() or 0
    for start in range(0, newest + 1, _INBOX_PAGE):
        part = inbox.c.id.between(start + 1, start + _INBOX_PAGE)
        for name in names:
            found += conn.scalars(select(inbox.c.id).where(part, _holds(conn, inbox.c.body, name)))
    return sorted(set(found))


def _holds(conn: Connection, column: Column[bytes], name: bytes) -> Any:
    """Bytes in bytes, which either database calls by another name."""
    find = func.instr if conn.dialect.name == "sqlite" else _position
    return find(column, literal(name, column.type)) > 0


def _position(column: Any, name: Any) -> Any:
    return func.strpos(func.encode(column, "escape"), func.encode(name, "escape"))


def _empty_bodies(conn: Connection, bodies: list[int]) -> int:
    """The digest stays: the same callback told again is still the same."""
    inbox = metadata.tables["inbox_event"]
    for start in range(0, len(bodies), 500):
        part = inbox.c.id.in_(bodies[start : start + 500])
        conn.execute(update(inbox).where(part).values(body=b"<xml></xml>", error="", external_userid=""))
    return len(bodies)


def forget_old_pages(db: Database) -> None:
    """Write SQLite's log back into the file: its old pages would keep what was deleted. Beside readers it may wait."""
    if not db.is_sqlite or not db.url.database or db.url.database == ":memory:":
        return
    with sqlite3.connect(db.url.database, timeout=1) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.close()
