"""Keeps callbacks before they are answered: the row and its work item in one group commit."""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from scrm.callbacks.models import inbox_event, inbox_failure
from scrm.db import Database, Priority, signal
from scrm.db.tables import to_millis

KIND = "callback"

_WELCOME = re.compile(rb"<WelcomeCode>(?:<!\[CDATA\[)?[^<\]]")
_MEMBER = re.compile(rb"<UserID>(?:<!\[CDATA\[)?([A-Za-z0-9_\-@.]{1,64})")
_CREATED = re.compile(rb"<CreateTime>([0-9]{1,10})<")
_CONTACT = re.compile(rb"<ExternalUserID>(?:<!\[CDATA\[)?([A-Za-z0-9_\-@.]{1,64})")


@dataclass(frozen=True, slots=True)
class Incoming:
    """A decrypted callback on its way to the disk."""

    digest: bytes
    told_at: int
    body: bytes
    received_at: datetime
    lane: str
    order_key: str | None
    correlation: str


def incoming(body: bytes, received_at: datetime) -> Incoming:
    """The body is only looked at, not parsed: which lane it belongs to, and which contact it speaks of."""
    digest = hashlib.sha256(body).digest()
    has_code = bool(_WELCOME.search(body))
    created = _CREATED.search(body)
    return Incoming(
        digest=digest,
        told_at=int(created[1]) if created else 0,
        body=body,
        received_at=received_at,
        lane="welcome" if has_code else "event",
        order_key=order_key_of(body, has_code),
        correlation=digest.hex()[:16],
    )


def order_key_of(body: bytes, has_code: bool) -> str | None:
    """Events of one contact wait for each other; a welcome only for another one of the same member."""
    contact, member = _CONTACT.search(body), _MEMBER.search(body)
    if contact is None:
        return None
    key = f"contact:{contact[1].decode()}"
    return f"{key}:{member[1].decode().lower()}" if has_code and member else key


def accept(db: Database, body: bytes, received_at: datetime) -> "asyncio.Future[bool]":
    """True once the callback is on disk, False when the same plain body was kept before."""
    return db.together(_keep_many, incoming(body, received_at), Priority.CALLBACK)


def _keep_many(conn: Connection, rows: list[Incoming]) -> list[bool]:
    new = _keep_postgresql(conn, rows) if conn.dialect.name == "postgresql" else _keep_sqlite(conn, rows)
    for lane in {row.lane for row in rows}:
        signal(conn, lane)
    kept = []
    for row in rows:
        kept.append(row.digest in new)
        new.discard(row.digest)  # of two equal rows in one batch only the first is new
    return kept


# Each step of a statement gives up the GIL, and has to win it back from the event loop: so two statements with many
# rows, and none of them returns any.
_KEEP_SQLITE = """
INSERT INTO inbox_event (told_at, digest, body, received_at, correlation) VALUES {places} ON CONFLICT DO NOTHING
"""
_WORK_SQLITE = "INSERT INTO work_item (lane, kind, payload, due_at, order_key, created_at, correlation) VALUES {places}"


def _keep_sqlite(conn: Connection, rows: list[Incoming]) -> set[bytes]:
    told: list[Any] = []
    for row in rows:
        told += (row.told_at, row.digest, row.body, to_millis(row.received_at), row.correlation)
    result = conn.exec_driver_sql(_many(_KEEP_SQLITE, 5, len(rows)), tuple(told))
    ids = _ids_sqlite(conn, rows, result.rowcount, result.lastrowid)
    new = set(ids)
    work: list[Any] = []
    for row in rows:
        inbox_id = ids.pop(row.digest, None)
        if inbox_id is not None:
            millis = to_millis(row.received_at)
            work += (row.lane, KIND, f'{{"inbox":{inbox_id}}}', millis, row.order_key, millis, row.correlation)
    if new:
        conn.exec_driver_sql(_many(_WORK_SQLITE, 7, len(new)), tuple(work))
    return new


def _ids_sqlite(conn: Connection, rows: list[Incoming], kept: int, last: int) -> dict[bytes, int]:
    """Rows of one statement get ids one after the other: only where some were known one must ask which are new."""
    first = last - kept + 1
    if kept == len(rows):
        return {row.digest: inbox_id for inbox_id, row in enumerate(rows, first)}
    if not kept:
        return {}
    found = conn.exec_driver_sql("SELECT digest, id FROM inbox_event WHERE id >= ?", (first,))
    return {row.digest: row.id for row in found}


@cache
def _many(statement: str, columns: int, rows: int) -> str:
    return statement.format(places=", ".join([f"({', '.join('?' * columns)})"] * rows))


# Sorted by the unique key, so that two processes with the same callbacks do not wait for each other crosswise.
_KEEP_POSTGRESQL = """
WITH told AS (
    SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bigint[], $5::text[], $6::text[], $7::text[])
        WITH ORDINALITY AS told(told_at, digest, body, received_at, correlation, lane, order_key, place)
), kept AS (
    INSERT INTO inbox_event (told_at, digest, body, received_at, correlation)
    SELECT told_at, digest, body, received_at, correlation FROM told ORDER BY told_at, digest
    ON CONFLICT DO NOTHING
    RETURNING id, digest
), first AS (
    SELECT DISTINCT ON (digest) told.*, kept.id FROM told JOIN kept USING (digest) ORDER BY digest, place
), work AS (
    INSERT INTO work_item (lane, kind, payload, due_at, order_key, created_at, correlation)
    SELECT lane, 'callback', jsonb_build_object('inbox', id), received_at, order_key, received_at, correlation
    FROM first ORDER BY place
)
SELECT digest FROM kept
"""


def _keep_postgresql(conn: Connection, rows: list[Incoming]) -> set[bytes]:
    columns = (
        [row.told_at for row in rows],
        [row.digest for row in rows],
        [row.body for row in rows],
        [to_millis(row.received_at) for row in rows],
        [row.correlation for row in rows],
        [row.lane for row in rows],
        [row.order_key for row in rows],
    )
    return {bytes(digest) for (digest,) in conn.exec_driver_sql(_KEEP_POSTGRESQL, columns)}


_GET_KEPT = select(inbox_event).where(inbox_event.c.id.in_(bindparam("ids", expanding=True)))


def get_kept_many(conn: Connection, ids: Sequence[int]) -> list[Row[Any] | None]:
    """For `Database.read_together`; None for one that is not kept any more."""
    rows = {row.id: row for row in conn.execute(_GET_KEPT, {"ids": list(ids)})}
    return [rows.get(inbox_id) for inbox_id in ids]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a kept callback: done, unused, unknown, unreadable or failed."""

    inbox_id: int
    state: str
    name: str
    change_type: str
    done_at: datetime
    error: str = ""
    external_userid: str = ""
    userid: str = ""


def record_many(conn: Connection, outcomes: Sequence[Outcome]) -> list[None]:
    """For `Database.together`."""
    rows = [_outcome_row(outcome) for outcome in outcomes]
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql(_RECORD_POSTGRESQL, tuple(map(list, zip(*rows, strict=True))))
    else:
        conn.exec_driver_sql(_RECORD_SQLITE, rows)
    failed = [
        {"inbox_id": each.inbox_id, "at": each.done_at, "error": each.error[:1000]}
        for each in outcomes
        if each.state == "failed"
    ]
    if failed:
        conn.execute(inbox_failure.insert(), failed)
    return [None] * len(outcomes)


# In the driver's words: composing the statement took as long as running it, for each callback.
_RECORD_SQLITE = """
UPDATE inbox_event SET tries = tries + 1, state = ?2, name = ?3, change_type = ?4, done_at = ?5, error = ?6,
    external_userid = ?7, userid = ?8
WHERE id = ?1
"""
_RECORD_POSTGRESQL = """
UPDATE inbox_event SET tries = tries + 1, state = told.state, name = told.name, change_type = told.change_type,
    done_at = told.done_at, error = told.error, external_userid = told.external_userid, userid = told.userid
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[])
    AS told(id, state, name, change_type, done_at, error, external_userid, userid)
WHERE inbox_event.id = told.id
"""


def _outcome_row(outcome: Outcome) -> tuple[Any, ...]:
    """What the statements take, in their order."""
    return (
        outcome.inbox_id,
        outcome.state,
        outcome.name[:64],
        outcome.change_type[:64],
        to_millis(outcome.done_at),
        outcome.error[:1000],
        outcome.external_userid[:64],
        outcome.userid[:64],
    )
