"""Whom we were asked to forget: only keyed hashes, so that a later import or sync does not bring the old data back."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Index, String, Table, func, select

from scrm.db import UtcDateTime, metadata, upsert
from scrm.db.bulk import among
from scrm.db.vault import Vault

erased_identity = Table(
    "erased_identity",
    metadata,
    # A keyed hash of "<kind>:<value>"; of a phone its look-up.
    Column("value_hash", String(64), primary_key=True),
    # The number under which anonymous sums are kept.
    Column("person_id", BigInteger, nullable=False),
    Column("erased_at", UtcDateTime, nullable=False),
    Index("ix_erased_identity_person_id", "person_id"),
)

FOREVER = datetime.max.replace(tzinfo=UTC)
# What of an order tells who bought it; the sums stay.
NOBODY: dict[str, Any] = {
    "buyer_unionid": "",
    "buyer_phone_lookup": "",
    "buyer_name_mask": "",
    "phone_tail": "",
    "buyer_ref": {},
    "receiver_mask": "",
    "receiver_sealed": "",
    "buyer_note": "",
    "seller_note": "",
}


def mark_of(vault: Vault, kind: str, value: str) -> str:
    """What is remembered of an identity: nobody without the key can tell whose it was.

    A phone's `value` is its look-up already, and stays what it is: a change of keys renews both alike.
    """
    if kind == "mobile_e164":
        return value
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


def erased_contacts(conn: Connection, vault: Vault, external_userids: Collection[str]) -> dict[str, datetime]:
    """Which of these contacts were forgotten here, and when."""
    if not external_userids or not is_anybody_erased(conn):
        return {}
    marks = {mark_of(vault, "wecom_external_userid", one): one for one in external_userids}
    return {marks[mark]: when for mark, when in find_erased(conn, marks.keys()).items()}


# A buyer as an order names it: (channel, shop_key, order_no), unionid, external_userid, look-up of the phone.
Buyer = tuple[tuple[str, str, str], str, str, str]


def when_buyers_erased(conn: Connection, buyers: Sequence[Buyer], vault: Vault) -> list[datetime | None]:
    """For each order when its buyer was forgotten, FOREVER for an order that was forgotten itself; None for others."""
    if not buyers or not is_anybody_erased(conn):
        return [None] * len(buyers)
    marks = [_marks(buyer, vault) for buyer in buyers]
    when = find_erased(conn, {mark for some in marks for mark in some})
    return [
        FOREVER if some[0] in when else max((when[mark] for mark in some if mark in when), default=None)
        for some in marks
    ]


def _marks(buyer: Buyer, vault: Vault) -> list[str]:
    key, unionid, external_userid, phone_lookup = buyer
    found = [mark_of(vault, "order", "/".join(key))]
    for kind, value in (
        ("wx_unionid", unionid),
        ("wecom_external_userid", external_userid),
        ("mobile_e164", phone_lookup),
    ):
        if value:
            found.append(mark_of(vault, kind, value))
    return found


def forget_buyer(row: dict[str, Any]) -> None:
    """Take the buyer out of a snapshot of an order, in place."""
    row |= {name: dict(value) if isinstance(value, dict) else value for name, value in NOBODY.items()}


def count_erased(conn: Connection) -> int:
    """How many persons were forgotten."""
    return int(conn.execute(select(func.count(erased_identity.c.person_id.distinct()))).scalar_one())
