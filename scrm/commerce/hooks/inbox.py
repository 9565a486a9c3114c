"""Keeps pushed messages before they are answered: rows and one work item to apply them in one group commit."""

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any

from sqlalchemy import Connection, select, tuple_

from scrm.commerce.connectors.hook import Delivery
from scrm.commerce.hooks.models import hook_message
from scrm.db import Database, Priority, insert_for
from scrm.db.vault import Vault
from scrm.work import queue

LANE = "hook"
APPLY = "hooks.apply"


class Kept(Enum):
    """What became of a message at the door."""

    NEW = "kept now"
    REPEATED = "kept before"
    CLASH = "another message was kept under this key"


@dataclass(frozen=True, slots=True)
class Row:
    """A message on its way to the disk."""

    source: str
    delivery: Delivery
    digest: bytes
    body_sealed: str
    received_at: datetime


def accept(db: Database, vault: Vault, source: str, delivery: Delivery, now: datetime) -> "asyncio.Future[Kept]":
    """Done once the message is on disk."""
    digest = hashlib.sha256(delivery.body).digest()
    row = Row(source, delivery, digest, seal(vault, delivery.body), now)
    return db.together(_keep_many, row, Priority.WORK)


def seal(vault: Vault, body: bytes) -> str:
    """Any bytes as sealed text."""
    try:
        return vault.seal("t" + body.decode())
    except UnicodeDecodeError:
        return vault.seal("b" + base64.b64encode(body).decode())


def unseal(vault: Vault, sealed: str) -> bytes:
    """The bytes that `seal` was given; raises ValueError when the key is another one."""
    text = vault.open(sealed)
    return text[1:].encode() if text[0] == "t" else base64.b64decode(text[1:])


def _keep_many(conn: Connection, rows: list[Row]) -> list[Kept]:
    """Sorted by the unique key, so that two processes with the same messages do not wait for each other crosswise."""
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        first.setdefault((row.source, row.delivery.message_key), row)
    # One statement with many rows; the keys of those that were new come back.
    kept = conn.execute(_keep(conn.dialect.name), [_values(first[key]) for key in sorted(first)])
    new = {(one.source, one.message_key) for one in kept}
    if new:
        now = max(row.received_at for row in rows)
        # Work without a dedupe key: whoever claims it sees these rows, which were committed with it.
        queue.add_many(conn, [queue.Item(lane=LANE, kind=APPLY, order_key=APPLY)], now=now)
    before = _digests(conn, set(first) - new)
    results = []
    for row in rows:
        key = (row.source, row.delivery.message_key)
        if key in new and first[key] is row:
            results.append(Kept.NEW)
        else:
            known = before.get(key, first[key].digest)
            results.append(Kept.REPEATED if known == row.digest else Kept.CLASH)
    return results


@cache
def _keep(dialect: str) -> Any:
    statement = insert_for(dialect, hook_message).on_conflict_do_nothing()
    return statement.returning(hook_message.c.source, hook_message.c.message_key)


def _values(row: Row) -> dict[str, object]:
    delivery = row.delivery
    return {
        "source": row.source,
        "message_key": delivery.message_key,
        "digest": row.digest,
        "topic": _keepable(delivery.topic)[:80],
        "subject": _keepable(delivery.subject)[:160],
        "version": delivery.version,
        "body_sealed": row.body_sealed,
        "received_at": row.received_at,
    }


def _keepable(text: str) -> str:
    """Headers may hold bytes that are no text, and PostgreSQL takes no NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def _digests(conn: Connection, keys: set[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
    if not keys:
        return {}
    table = hook_message.c
    rows = conn.execute(
        select(table.source, table.message_key, table.digest).where(
            tuple_(table.source, table.message_key).in_(sorted(keys))
        )
    )
    return {(row.source, row.message_key): bytes(row.digest) for row in rows}
