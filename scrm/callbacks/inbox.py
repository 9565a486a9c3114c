"""Keeps callbacks before they are answered: the row and its work item in one group commit."""

import asyncio
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, literal_column, select, update

from scrm.callbacks.models import inbox_event
from scrm.db import Database, Priority, signal
from scrm.db.tables import to_millis
from scrm.work import queue

KIND = "callback"

_WELCOME = re.compile(rb"<WelcomeCode>(?:<!\[CDATA\[)?[^<\]]")
_MEMBER = re.compile(rb"<UserID>(?:<!\[CDATA\[)?([A-Za-z0-9_\-@.]{1,64})")
_CONTACT = re.compile(rb"<ExternalUserID>(?:<!\[CDATA\[)?([A-Za-z0-9_\-@.]{1,64})")


@dataclass(frozen=True, slots=True)
class Incoming:
    """A decrypted callback on its way to the disk."""

    digest: bytes
    body: bytes
    received_at: datetime
    lane: str
    order_key: str | None
    correlation: str


def incoming(body: bytes, received_at: datetime) -> Incoming:
    """The body is only looked at, not parsed: which lane it belongs to, and which contact it speaks of."""
    digest = hashlib.sha256(body).digest()
    has_code = bool(_WELCOME.search(body))
    return Incoming(
        digest=digest,
        body=body,
        received_at=received_at,
        lane="welcome" if has_code else "event",
        order_key=_order_key(body, has_code),
        correlation=digest.hex()[:16],
    )


def _order_key(body: bytes, has_code: bool) -> str | None:
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


def _keep_sqlite(conn: Connection, rows: list[Incoming]) -> set[bytes]:
    marks = ",".join("?" * len(rows))
    known = conn.exec_driver_sql(
        f"SELECT digest FROM inbox_event WHERE digest IN ({marks})",  # noqa: S608 - question marks only
        tuple(row.digest for row in rows),
    )
    seen = {bytes(digest) for (digest,) in known}
    new = {row.digest: row for row in reversed(rows) if row.digest not in seen}
    if not new:
        return set()
    _insert(conn, "inbox_event", ("digest", "body", "received_at", "correlation"), map(_kept, new.values()))
    _insert(
        conn,
        "work_item",
        ("lane", "kind", "payload", "due_at", "order_key", "created_at", "correlation"),
        map(_work, new.values()),
    )
    return set(new)


_KEEP_POSTGRESQL = """
WITH told AS (
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])
        AS told(digest, body, received_at, correlation, lane, order_key, payload)
), kept AS (
    INSERT INTO inbox_event (digest, body, received_at, correlation)
    SELECT digest, body, received_at, correlation FROM told
    ON CONFLICT (digest) DO NOTHING
    RETURNING digest
), work AS (
    INSERT INTO work_item (lane, kind, payload, due_at, order_key, created_at, correlation)
    SELECT DISTINCT ON (digest) lane, 'callback', payload::jsonb, received_at, order_key, received_at, correlation
    FROM told JOIN kept USING (digest)
)
SELECT digest FROM kept
"""


def _keep_postgresql(conn: Connection, rows: list[Incoming]) -> set[bytes]:
    columns = (
        [row.digest for row in rows],
        [row.body for row in rows],
        [to_millis(row.received_at) for row in rows],
        [row.correlation for row in rows],
        [row.lane for row in rows],
        [row.order_key for row in rows],
        [_payload(row) for row in rows],
    )
    return {bytes(digest) for (digest,) in conn.exec_driver_sql(_KEEP_POSTGRESQL, columns)}


def _insert(conn: Connection, table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    """One statement with many rows: each execution gives up the GIL, and has to win it back from the event loop."""
    values = list(rows)
    marks = ", ".join([f"({', '.join('?' * len(columns))})"] * len(values))
    conn.exec_driver_sql(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES {marks}",  # noqa: S608 - names from above, question marks
        tuple(value for row in values for value in row),
    )


def _kept(row: Incoming) -> tuple[Any, ...]:
    return (row.digest, row.body, to_millis(row.received_at), row.correlation)


def _work(row: Incoming) -> tuple[Any, ...]:
    millis = to_millis(row.received_at)
    return (row.lane, KIND, _payload(row), millis, row.order_key, millis, row.correlation)


def _payload(row: Incoming) -> str:
    return f'{{"digest":"{row.digest.hex()}"}}'


_GET_KEPT = select(inbox_event).where(inbox_event.c.digest.in_(bindparam("digests", expanding=True)))


def get_kept_many(conn: Connection, digests: Sequence[bytes]) -> list[Row[Any]]:
    """For `Database.read_together`; raises KeyError for one that was never kept."""
    rows = {bytes(row.digest): row for row in conn.execute(_GET_KEPT, {"digests": list(digests)})}
    return [rows[digest] for digest in digests]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a kept callback: done, unused, unknown, unreadable or failed."""

    digest: bytes
    state: str
    name: str
    change_type: str
    done_at: datetime
    error: str = ""


def record_many(conn: Connection, outcomes: Sequence[Outcome]) -> list[None]:
    """For `Database.together`."""
    conn.execute(_RECORD, [_outcome_row(outcome) for outcome in outcomes])
    return [None] * len(outcomes)


_RECORD = update(inbox_event).where(inbox_event.c.digest == bindparam("of_digest"))


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "of_digest": outcome.digest,
        "state": outcome.state,
        "name": outcome.name[:64],
        "change_type": outcome.change_type[:64],
        "done_at": outcome.done_at,
        "error": outcome.error[:1000],
    }


def list_odd(conn: Connection, *, limit: int = 50) -> list[Row[Any]]:
    """Callbacks nobody could use, the newest first."""
    return list(
        conn.execute(
            select(inbox_event)
            .where(literal_column("inbox_event.state IN ('unknown', 'unreadable', 'failed')"))
            .order_by(inbox_event.c.id.desc())
            .limit(limit)
        )
    )


def run_again(conn: Connection, inbox_id: int, *, now: datetime) -> bool:
    """Put a kept callback to work once more (after a mend); False when there is none of that id."""
    row = conn.execute(select(inbox_event).where(inbox_event.c.id == inbox_id)).one_or_none()
    if row is None:
        return False
    again = incoming(row.body, now)
    item = queue.Item(
        lane=again.lane,
        kind=KIND,
        payload={"digest": row.digest.hex()},
        order_key=again.order_key,
        dedupe_key=f"callback:{row.digest.hex()}",
        correlation=row.correlation,
    )
    return queue.add(conn, item, now=now)
