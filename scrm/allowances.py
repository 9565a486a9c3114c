"""How often each endpoint of WeCom was called, counted for all processes together (doc 90312)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, String, Table, delete, func, select

from scrm.db import Database, Priority, metadata, upsert
from scrm.wecom.windows import (
    MARGIN_SECONDS,
    SLOT_SECONDS,
    Grant,
    Limit,
    counts_from,
    part_of,
    seconds_until_room,
    slot_of,
)

wecom_allowance = Table(
    "wecom_allowance",
    metadata,
    Column("key", String(200), primary_key=True),
    # Seconds since 1970 at which the slot began; 0 is the row that whoever counts holds meanwhile.
    Column("slot", BigInteger, primary_key=True, autoincrement=False),
    Column("taken", Integer, nullable=False),
    # Seconds since 1970 from which the row counts no more.
    Column("ends", BigInteger, nullable=False),
    Index("ix_wecom_allowance_ends", "ends"),
)

_NEVER = 2**53


@dataclass(frozen=True, slots=True)
class DatabaseLedger:
    """A Ledger in the database."""

    db: Database

    async def take(
        self, keys: Sequence[str], limits: Sequence[Limit], count: int, *, now: datetime, whole: bool = False
    ) -> Grant:
        return await self.db.write_as(Priority.CALLBACK, take, keys, limits, count, now=now, whole=whole)


def take(
    conn: Connection, keys: Sequence[str], limits: Sequence[Limit], count: int, *, now: datetime, whole: bool = False
) -> Grant:
    """Count up to `count` calls for each key, as many as every limit leaves room for; `whole` all or none."""
    keys = sorted(keys)
    _hold(conn, keys)
    slot, room, wait = slot_of(now), count, 0.0
    for limit in limits:
        most_taken, oldest = _most_taken(conn, keys, int(counts_from(limit, now)))
        room = min(room, part_of(limit.most - most_taken, room, whole=whole))
        if most_taken >= limit.most:
            wait = max(wait, seconds_until_room(limit, oldest, now))
    if room <= 0:
        return Grant(0, slot, wait)
    longest = max(limit.seconds for limit in limits)
    _add(conn, keys, slot, room, ends=slot + longest + SLOT_SECONDS + int(MARGIN_SECONDS) + 1)
    conn.execute(delete(wecom_allowance).where(wecom_allowance.c.ends < slot))
    return Grant(room, slot)


def _hold(conn: Connection, keys: Sequence[str]) -> None:
    """Whoever counts one of these keys meanwhile waits until we have committed."""
    rows = [{"key": key, "slot": 0, "taken": 0, "ends": _NEVER} for key in keys]
    conn.execute(upsert(wecom_allowance, conn).on_conflict_do_nothing(), rows)
    gates = select(wecom_allowance.c.key).where(wecom_allowance.c.key.in_(keys), wecom_allowance.c.slot == 0)
    conn.execute(gates.order_by(wecom_allowance.c.key).with_for_update()).all()


def _most_taken(conn: Connection, keys: Sequence[str], start: int) -> tuple[int, int]:
    """By the key that was called most since `start`, and the oldest slot of it that counts."""
    table = wecom_allowance.c
    taken = func.sum(table.taken)
    busiest = conn.execute(
        select(taken, func.min(table.slot))
        .where(table.key.in_(keys), table.slot > max(start, 0))
        .group_by(table.key)
        .order_by(taken.desc())
        .limit(1)
    ).one_or_none()
    return (0, 0) if busiest is None else (int(busiest[0]), int(busiest[1]))


def _add(conn: Connection, keys: Sequence[str], slot: int, count: int, *, ends: int) -> None:
    statement = upsert(wecom_allowance, conn)
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=[wecom_allowance.c.key, wecom_allowance.c.slot],
            set_={"taken": wecom_allowance.c.taken + statement.excluded.taken},
        ),
        [{"key": key, "slot": slot, "taken": count, "ends": ends} for key in keys],
    )
