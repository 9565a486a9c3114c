"""All SQL of pulls: cursors, pieces of orders, records that could not be read, tokens."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, exists, select, update

from scrm.commerce import status_words
from scrm.commerce import store as order_store
from scrm.commerce.canonical import Order
from scrm.commerce.connectors.pull import Part, Tokens
from scrm.commerce.models import orders
from scrm.commerce.pulls.models import pull_cursor, pull_part, pull_reject, pull_token
from scrm.commerce.pulls.parts import assemble, without_private
from scrm.db import upsert
from scrm.db.vault import Vault

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Order).decode
MOST_SHOWN_REJECTS = 100


@dataclass(slots=True)
class Reject:
    """A record that makes no order."""

    key: str
    reason: str
    record: dict[str, Any]


@dataclass(slots=True)
class Read:
    """What one page says."""

    parts: list[Part] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    # Names of the records that could be read: they are no longer among the unreadable.
    good: list[str] = field(default_factory=list)


# Cursors --------------------------------------------------------------------------------------------------------------


def list_cursors(conn: Connection) -> dict[tuple[str, str], Row[Any]]:
    """By source and stream."""
    return {(row.source, row.stream): row for row in conn.execute(select(pull_cursor))}


def find_cursor(conn: Connection, source: str, stream: str) -> Row[Any]:
    """Raises NoResultFound for a stream that was never begun."""
    return conn.execute(select(pull_cursor).where(*_of(source, stream))).one()


def _of(source: str, stream: str) -> tuple[Any, Any]:
    return pull_cursor.c.source == source, pull_cursor.c.stream == stream


def begin(conn: Connection, source: str, stream: str, *, now: datetime) -> None:
    """The first that is known of a stream: it is due, and what happened before is history."""
    conn.execute(
        upsert(pull_cursor, conn)
        .values(source=source, stream=stream, begun_at=now, due_at=now)
        .on_conflict_do_nothing()
    )


def claim(conn: Connection, source: str, stream: str, *, now: datetime, again_at: datetime) -> bool:
    """True for the one process that may leave the work of a due stream; it is due again at `again_at`."""
    due = update(pull_cursor).where(*_of(source, stream), pull_cursor.c.due_at <= now).values(due_at=again_at)
    return conn.execute(due.returning(pull_cursor.c.source)).one_or_none() is not None


def start(conn: Connection, source: str, stream: str, *, now: datetime) -> None:
    conn.execute(update(pull_cursor).where(*_of(source, stream)).values(started_at=now))


def advance(
    conn: Connection, source: str, stream: str, *, reached_at: datetime | None = None, version: int = 0
) -> None:
    """Everything up to here is kept; a cursor never goes back."""
    row = find_cursor(conn, source, stream)
    values: dict[str, Any] = {}
    if reached_at is not None and (row.reached_at is None or reached_at > row.reached_at):
        values["reached_at"] = reached_at
    if version > row.version:
        values["version"] = version
    if values:
        conn.execute(update(pull_cursor).where(*_of(source, stream)).values(**values))


def leave_review(conn: Connection, source: str, stream: str, /, **values: datetime | None) -> None:
    """What is still to be read once more: review_since and review_until, reviewed_at where it begins."""
    conn.execute(update(pull_cursor).where(*_of(source, stream)).values(**values))


def succeed(conn: Connection, source: str, stream: str, *, counts: Mapping[str, int], now: datetime) -> None:
    conn.execute(
        update(pull_cursor)
        .where(*_of(source, stream))
        .values(ended_at=now, succeeded_at=now, failures=0, error="", counts=dict(counts))
    )


def fail(
    conn: Connection, source: str, stream: str, *, error: str, retry_seconds: float | None, now: datetime
) -> datetime:
    """Keep why, and when to ask again: after one minute, two, four ... an hour, or as the error says."""
    failures = find_cursor(conn, source, stream).failures + 1
    seconds = retry_seconds or min(3600, 60 * 2 ** min(failures - 1, 6))
    due_at = now + timedelta(seconds=seconds)
    conn.execute(
        update(pull_cursor)
        .where(*_of(source, stream))
        .values(ended_at=now, failures=failures, error=error[:500], due_at=due_at)
    )
    return due_at


def make_due(conn: Connection, source: str, stream: str, *, now: datetime) -> None:
    conn.execute(update(pull_cursor).where(*_of(source, stream)).values(due_at=now))


_OPEN = ("pending_payment", "paid", "partially_shipped")


def list_open(conn: Connection, source: str, placed: tuple[datetime, datetime], *, limit: int) -> list[str]:
    """Numbers of a source's orders that were placed in this time and are not shipped, the newest first."""
    is_theirs = exists().where(pull_part.c.source == source, pull_part.c.order_no == orders.c.order_no)
    query = select(orders.c.order_no).where(
        orders.c.ordered_at >= placed[0], orders.c.ordered_at < placed[1], orders.c.status.in_(_OPEN), is_theirs
    )
    return list(
        dict.fromkeys(conn.scalars(query.order_by(orders.c.ordered_at.desc(), orders.c.id.desc()).limit(limit)))
    )


# Pages ----------------------------------------------------------------------------------------------------------------


def save_page(
    conn: Connection,
    source: str,
    stream: str,
    read: Read,
    *,
    route: order_store.Route,
    vault: Vault,
    now: datetime,
    version: int = 0,
) -> list[order_store.Saved]:
    """Keep what a page says, and how far it brings the cursor, at once."""
    status_words.settle(conn, source, [part.order for part in read.parts], now=now)
    saved = order_store.save_orders(conn, _whole(conn, source, read.parts), now=now, vault=vault, route=route)
    for reject in read.rejects:
        _keep_reject(conn, source, stream, reject, vault, now)
    if read.good:
        known = pull_reject.c
        conn.execute(
            delete(pull_reject).where(
                known.source == source, known.stream == stream, known.record_key.in_([key[:80] for key in read.good])
            )
        )
    newest = max((at for part in read.parts if (at := part.order.platform_updated_at) is not None), default=None)
    if newest is not None:
        older = pull_cursor.c.newest_at.is_(None) | (pull_cursor.c.newest_at < newest)
        conn.execute(update(pull_cursor).where(*_of(source, stream), older).values(newest_at=newest))
    if version:
        advance(conn, source, stream, version=version)
    return saved


def _whole(conn: Connection, source: str, parts: Sequence[Part]) -> list[Order]:
    """Orders to be saved: those told as such, and those that known and new pieces make up."""
    orders = [part.order for part in parts if not part.key]
    pieces = [part for part in parts if part.key]
    if not pieces:
        return orders
    known = _find_parts(conn, source, {part.order.order_no for part in pieces})
    touched: dict[str, None] = {}
    for part in pieces:
        order_no = part.order.order_no
        of_order = known.setdefault(order_no, {})
        before = of_order.get(part.key)
        if before is not None and (before.order.version or 0) > (part.order.version or 0):
            continue
        of_order[part.key] = part
        touched[order_no] = None
    _keep_parts(conn, source, [part for number in touched for part in known[number].values()])
    assembled = (assemble([known[number][key] for key in sorted(known[number])]) for number in touched)
    return orders + [order for order in assembled if order is not None]


def _find_parts(conn: Connection, source: str, order_nos: Collection[str]) -> dict[str, dict[str, Part]]:
    table = pull_part.c
    found: dict[str, dict[str, Part]] = {}
    rows = conn.execute(select(pull_part).where(table.source == source, table.order_no.in_(list(order_nos))))
    for row in rows:
        found.setdefault(row.order_no, {})[row.part_key] = Part(_decode(row.body), row.part_key, row.standing)
    return found


def _keep_parts(conn: Connection, source: str, parts: Sequence[Part]) -> None:
    rows = [
        {
            "source": source,
            "order_no": part.order.order_no,
            "part_key": part.key[:80],
            "standing": part.standing,
            "version": part.order.version or 0,
            "body": _encode(without_private(part.order)).decode(),
        }
        for part in parts
    ]
    if rows:
        statement = upsert(pull_part, conn)
        new = {name: statement.excluded[name] for name in ("standing", "version", "body")}
        conn.execute(statement.on_conflict_do_update(index_elements=["source", "order_no", "part_key"], set_=new), rows)


# Records that could not be read ---------------------------------------------------------------------------------------


def _keep_reject(conn: Connection, source: str, stream: str, reject: Reject, vault: Vault, now: datetime) -> None:
    values = {
        "reason": reject.reason.replace("\0", "")[:500],
        "sealed": vault.seal(msgspec.json.encode(reject.record).decode()),
        "noticed_at": now,
    }
    keys = {"source": source, "stream": stream, "record_key": reject.key.replace("\0", "")[:80]}
    conn.execute(
        upsert(pull_reject, conn)
        .values(**keys, **values)
        .on_conflict_do_update(index_elements=["source", "stream", "record_key"], set_=values)
    )


def list_rejects(conn: Connection, *, limit: int = MOST_SHOWN_REJECTS) -> list[Row[Any]]:
    """The newest first, without the records themselves."""
    table = pull_reject.c
    shown = select(table.id, table.source, table.stream, table.record_key, table.reason, table.noticed_at)
    return list(conn.execute(shown.order_by(table.id.desc()).limit(limit)))


def list_sealed(conn: Connection, source: str, *, after: int = 0, limit: int = 100) -> list[Row[Any]]:
    """Records to be read once more, by id."""
    table = pull_reject.c
    query = select(pull_reject).where(table.source == source, table.id > after).order_by(table.id).limit(limit)
    return list(conn.execute(query))


# Tokens ---------------------------------------------------------------------------------------------------------------


def find_token(conn: Connection, source: str, origin: str, vault: Vault) -> Tokens | None:
    """What the source gave us for the settings' own tokens; None when there is nothing, or it is for other ones."""
    row = conn.execute(select(pull_token).where(pull_token.c.source == source)).one_or_none()
    if row is None or row.origin != origin:
        return None
    access, refresh = msgspec.json.decode(vault.open(row.sealed), type=tuple[str, str])
    return Tokens(access, refresh, row.expires_at)


def keep_token(conn: Connection, source: str, origin: str, tokens: Tokens, vault: Vault) -> None:
    values = {
        "origin": origin,
        "sealed": vault.seal(msgspec.json.encode((tokens.access, tokens.refresh)).decode()),
        "expires_at": tokens.expires_at,
    }
    conn.execute(
        upsert(pull_token, conn)
        .values(source=source, **values)
        .on_conflict_do_update(index_elements=["source"], set_=values)
    )
