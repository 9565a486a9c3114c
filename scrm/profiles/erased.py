"""Whom we were asked to forget: only keyed hashes, so that a later import or sync does not bring the old data back."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Index, String, Table, func, select

from scrm.db import UtcDateTime, metadata, upsert
from scrm.db.bulk import among
from scrm.db.vault import Vault

erased_identity = Table(
    "erased_identity",
    metadata,
    # A keyed hash of "<kind>:<value>".
    Column("value_hash", String(64), primary_key=True),
    # The number under which anonymous sums are kept.
    Column("person_id", BigInteger, nullable=False),
    Column("erased_at", UtcDateTime, nullable=False),
    Index("ix_erased_identity_person_id", "person_id"),
)

ERASED = "erased"
# What of an order tells who bought it; the sums stay.
NOBODY: dict[str, Any] = {
    "buyer_unionid": "",
    "buyer_phone_lookup": "",
    "buyer_name_mask": "",
    "buyer_ref": {},
    "receiver_mask": "",
    "receiver_sealed": "",
    "buyer_note": "",
    "seller_note": "",
}


def mark_of(vault: Vault, kind: str, value: str) -> str:
    """What is remembered of an identity: nobody without the key can tell whose it was. Case-sensitive."""
    return vault.lookup(f"{kind}:{value}")


def remember(conn: Connection, marks: Iterable[str], person_id: int, *, now: datetime) -> None:
    """The later erasure counts, of a person who came back in between."""
    for mark in sorted(set(marks)):
        values = {"person_id": person_id, "erased_at": now}
        conn.execute(
            upsert(erased_identity, conn)
            .values(value_hash=mark, **values)
            .on_conflict_do_update(index_elements=["value_hash"], set_=values)
        )


def find_erased(conn: Connection, marks: Collection[str]) -> dict[str, datetime]:
    """When each of these was erased; those that never were are not in it."""
    if not marks:
        return {}
    rows = conn.execute(
        select(erased_identity.c.value_hash, erased_identity.c.erased_at).where(
            among(conn, erased_identity.c.value_hash, marks)
        )
    )
    return {row.value_hash: row.erased_at for row in rows}


def is_anybody_erased(conn: Connection) -> bool:
    """One look into an index; most shops never go further."""
    return conn.execute(select(erased_identity.c.person_id).limit(1)).first() is not None


def when_erased(conn: Connection, vault: Vault, external_userids: Iterable[str]) -> datetime | None:
    """The last time that one of these contacts was forgotten here; None when none was."""
    if not is_anybody_erased(conn):
        return None
    marks = [mark_of(vault, "wecom_external_userid", external_userid) for external_userid in external_userids]
    return max(find_erased(conn, marks).values(), default=None)


def forget_buyers(conn: Connection, rows: Sequence[dict[str, Any]], vault: Vault) -> list[int]:
    """Take the buyer out of orders from before their erasure, in place; returns which of the rows that were.

    `rows` are snapshots of orders before they are written; what was ordered after the erasure is a new beginning.
    """
    if not rows or not is_anybody_erased(conn):
        return []
    marks = [_marks(row, vault) for row in rows]
    when = find_erased(conn, {mark for some in marks for mark in some})
    forgotten = []
    for index, (row, some) in enumerate(zip(rows, marks, strict=True)):
        erased_at = max((when[mark] for mark in some if mark in when), default=None)
        ordered_at = row["ordered_at"] or row["paid_at"]
        if erased_at is not None and (ordered_at is None or ordered_at <= erased_at):
            row |= {name: dict(value) if isinstance(value, dict) else value for name, value in NOBODY.items()}
            forgotten.append(index)
    return forgotten


def _marks(row: dict[str, Any], vault: Vault) -> list[str]:
    found = [mark_of(vault, "order", f"{row['channel']}/{row['shop_key']}/{row['order_no']}")]
    if row["buyer_unionid"]:
        found.append(mark_of(vault, "wx_unionid", row["buyer_unionid"]))
    if row["buyer_phone_lookup"]:
        found.append(mark_of(vault, "mobile_e164", row["buyer_phone_lookup"]))
    return found


def count_erased(conn: Connection) -> int:
    """How many persons were forgotten."""
    return int(conn.execute(select(func.count(erased_identity.c.person_id.distinct()))).scalar_one())
