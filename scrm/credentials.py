"""WeCom's access tokens and tickets, kept sealed where every process finds them (docs 91039, 90506)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Connection, Integer, String, Table, Text, or_, select, text, update

from scrm.db import Database, Priority, UtcDateTime, metadata, upsert
from scrm.db.vault import Vault
from scrm.wecom.tokens import LEASE, Kept

wecom_token = Table(
    "wecom_token",
    metadata,
    # A keyed hash of the app, its secret and the kind of token: with another secret begins another row.
    Column("name_hash", String(64), primary_key=True),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("sealed", Text, nullable=False, server_default=text("''")),
    Column("expires_at", UtcDateTime),
    # The errcode with which WeCom refused the secret; nobody asks again before `refused_until`.
    Column("refused", Integer, nullable=False, server_default=text("0")),
    Column("refused_until", UtcDateTime),
    # Whoever refreshes holds the row until then.
    Column("claimed_until", UtcDateTime),
)


@dataclass(frozen=True, slots=True)
class DatabaseTokens:
    """A TokenStore in the database; a value sealed with another key counts as none."""

    db: Database
    vault: Vault

    async def look(self, name: str) -> Kept:
        return await self.db.read(find_token, self.vault, self.vault.lookup(name))

    async def claim(self, name: str, version: int, *, now: datetime, until: datetime) -> bool:
        name_hash = self.vault.lookup(name)
        return await self.db.write_as(Priority.CALLBACK, claim_token, name_hash, version, now=now, until=until)

    async def keep(self, name: str, kept: Kept) -> None:
        await self.db.write_as(Priority.CALLBACK, keep_token, self.vault, self.vault.lookup(name), kept)

    async def release(self, name: str) -> None:
        await self.db.write_as(Priority.CALLBACK, release_token, self.vault.lookup(name))


def find_token(conn: Connection, vault: Vault, name_hash: str) -> Kept:
    row = conn.execute(select(wecom_token).where(wecom_token.c.name_hash == name_hash)).one_or_none()
    if row is None:
        return Kept()
    try:
        value = vault.open(row.sealed) if row.sealed else ""
    except ValueError:
        value = ""
    return Kept(row.version, value, row.expires_at, row.refused, row.refused_until)


def claim_token(conn: Connection, name_hash: str, version: int, *, now: datetime, until: datetime) -> bool:
    """True for one caller, who holds it until `until`; a claim far beyond that was made before the clock went back."""
    conn.execute(upsert(wecom_token, conn).values(name_hash=name_hash).on_conflict_do_nothing())
    claimed = wecom_token.c.claimed_until
    done = conn.execute(
        update(wecom_token)
        .where(wecom_token.c.name_hash == name_hash, wecom_token.c.version == version)
        .where(or_(claimed.is_(None), claimed <= now, claimed > until + LEASE))
        .values(claimed_until=until)
    )
    return done.rowcount == 1


def keep_token(conn: Connection, vault: Vault, name_hash: str, kept: Kept) -> None:
    values = {
        "sealed": vault.seal(kept.value) if kept.value else "",
        "expires_at": kept.until,
        "refused": kept.refused,
        "refused_until": kept.refused_until,
        "claimed_until": None,
    }
    statement = upsert(wecom_token, conn).values(name_hash=name_hash, version=1, **values)
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=[wecom_token.c.name_hash], set_={**values, "version": wecom_token.c.version + 1}
        )
    )


def release_token(conn: Connection, name_hash: str) -> None:
    conn.execute(update(wecom_token).where(wecom_token.c.name_hash == name_hash).values(claimed_until=None))
