"""Which keys hashed the look-ups, and the change to a new key: sealed values row by row, hashes all at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Integer, String, Table, Text, cast, func, inspect, select, tuple_, update
from sqlalchemy.exc import SQLAlchemyError

from scrm.db.bulk import update_rows
from scrm.db.database import Database, Priority
from scrm.db.tables import UtcDateTime, metadata
from scrm.db.vault import Vault, hash_again
from scrm.errors import ScrmError
from scrm.settings import Settings

# The chain of look-up keys after the first rotation, each sealed with the newest key; empty before.
vault_key = Table(
    "vault_key",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("key_id", String(8), nullable=False),
    Column("sealed", Text, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
)

BATCH = 200


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column that holds sealed values; `inside`: a JSON object in which that key does."""

    table: Table
    column: str
    inside: str = ""


@dataclass(frozen=True, slots=True)
class Hashed:
    """A column of keyed hashes; `only` narrows it to the rows whose value is one.

    `beside`: only where that column is a JSON object with a sealed value in it.
    """

    table: Table
    column: str
    only: tuple[str, tuple[str, ...]] | None = None
    beside: str = ""


@dataclass(slots=True)
class Rotated:
    """What a rotation did; `unreadable` values were sealed with a key that nobody gave."""

    sealed: dict[str, int] = field(default_factory=dict)
    hashed: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)


def vault_of(settings: Settings) -> Vault:
    """The keys of private data as the settings name them; `use_chain` before the first look-up."""
    security = settings.security
    return Vault(
        security.secret_key.get_secret_value(),
        data_key=security.data_key.get_secret_value(),
        old_keys=[key.get_secret_value() for key in security.old_data_keys],
    )


async def use_chain(db: Database, vault: Vault) -> None:
    """Look up by the keys that the database is hashed with; without its tables (or without it) by the first one.

    Raises ScrmError when the settings lack the key that opens them.
    """
    try:
        chain = await db.read(load_chain, vault)
    except ValueError:
        raise ScrmError(
            "security: found look-up keys in the database that no key of these settings opens; expected the key that"
            " `scrm rotate-keys` was last run with as data_key, or in old_data_keys"
        ) from None
    except (SQLAlchemyError, OSError):
        return  # whoever needs the database says what is wrong with it
    vault.look_up_by(chain)


def load_chain(conn: Connection, vault: Vault) -> list[bytes]:
    """The look-up keys, the oldest first; raises ValueError when they were sealed with a key that nobody gave."""
    if not inspect(conn).has_table(vault_key.name):
        return []
    rows = conn.execute(select(vault_key.c.sealed).order_by(vault_key.c.position))
    return [bytes.fromhex(vault.open(row.sealed)) for row in rows]


async def reseal(
    db: Database,
    vault: Vault,
    columns: tuple[Sealed, ...],
    report: Callable[[str, int], None] = lambda name, count: None,
) -> Rotated:
    """Seal everything with the newest key, in batches beside a running server; it may be stopped and begun again."""
    done = Rotated()
    for place in columns:
        name = f"{place.table.name}.{place.column}"
        after: tuple[object, ...] | None = None
        while True:
            count, bad, after = await db.write_as(Priority.IMPORT, _reseal_some, vault, place, after)
            done.sealed[name] = done.sealed.get(name, 0) + count
            if bad:
                done.unreadable[name] = done.unreadable.get(name, 0) + bad
            report(name, done.sealed[name])
            if after is None:
                break
    return done


def _reseal_some(
    conn: Connection, vault: Vault, place: Sealed, after: tuple[object, ...] | None
) -> tuple[int, int, tuple[object, ...] | None]:
    """The next rows that another key sealed: how many, how many cannot be opened, and the key to go on from."""
    keys, column = list(place.table.primary_key.columns), place.table.columns[place.column]
    query = select(*keys, column.label("sealed_value"))
    if place.inside:
        written = cast(column, String)
        query = query.where(written.contains(f'"{place.inside}"'), ~written.contains(f'"2.{vault.key_id}.'))
    else:
        query = query.where(column != "", ~column.startswith(f"2.{vault.key_id}."))
    if after is not None:
        query = query.where(tuple_(*keys) > tuple_(*after) if len(keys) > 1 else keys[0] > after[0])
    rows = conn.execute(query.order_by(*keys).limit(BATCH)).all()
    bad = 0
    for row in rows:
        held = row.sealed_value[place.inside] if place.inside else row.sealed_value
        try:
            renewed = vault.seal(vault.open(held))
        except ValueError:
            bad += 1
            continue
        same_row = [key == value for key, value in zip(keys, row, strict=False)]
        if not place.inside:
            # Only what was read: a value that somebody else wrote meanwhile is new already.
            same_row.append(column == held)
        value = {**row.sealed_value, place.inside: renewed} if place.inside else renewed
        conn.execute(update(place.table).where(*same_row).values({place.column: value}))
    return len(rows) - bad, bad, tuple(rows[-1][: len(keys)]) if len(rows) == BATCH else None


def needs_new_hashes(conn: Connection, vault: Vault) -> bool:
    """Whether the newest key does not hash the look-ups yet."""
    return vault.newest_lookup not in (load_chain(conn, vault) or vault.chain)


def rehash(conn: Connection, vault: Vault, columns: tuple[Hashed, ...], *, now: datetime) -> Rotated:
    """One more HMAC over every stored hash, and the key that made it: all in this transaction, or nothing.

    Nobody may serve meanwhile: a process that looks up by the old chain would find nobody. Twice is once.
    """
    done = Rotated()
    chain = load_chain(conn, vault) or list(vault.chain)
    if vault.newest_lookup in chain:
        return done
    for place in columns:
        done.hashed[f"{place.table.name}.{place.column}"] = _rehash_column(conn, place, vault.newest_lookup)
    for position, key in enumerate([*chain, vault.newest_lookup]):
        values = {"key_id": vault.key_id, "sealed": vault.seal(key.hex()), "made_at": now}
        known = conn.execute(update(vault_key).where(vault_key.c.position == position).values(**values))
        if not known.rowcount:
            conn.execute(vault_key.insert().values(position=position, **values))
    return done


def _rehash_column(conn: Connection, place: Hashed, key: bytes) -> int:
    count = 0
    for rows in _pages(conn, place):
        renewed = [{**row, "new_hash": hash_again(row["old_hash"], key)} for row in rows]
        _write(conn, place, renewed)
        count += len(renewed)
    return count


def _pages(conn: Connection, place: Hashed) -> Iterator[list[dict[str, Any]]]:
    """Rows by primary key where that is an id; else the whole (small) table at once: the hash is its key."""
    column = place.table.columns[place.column]
    query = select(*place.table.primary_key.columns, column.label("old_hash")).where(func.length(column) == 64)
    if place.only is not None:
        query = query.where(place.table.columns[place.only[0]].in_(place.only[1]))
    if place.beside:
        query = query.where(cast(place.table.columns[place.beside], String).contains('"sealed"'))
    if [key.name for key in place.table.primary_key.columns] != ["id"]:
        yield [dict(row) for row in conn.execute(query).mappings()]
        return
    last = 0
    while True:
        page = query.where(place.table.c.id > last).order_by(place.table.c.id).limit(5000)
        rows = [dict(row) for row in conn.execute(page).mappings()]
        if not rows:
            return
        last = int(rows[-1]["id"])
        yield rows


def _write(conn: Connection, place: Hashed, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    if "id" in rows[0]:
        changed = [{"id": row["id"], place.column: row["new_hash"]} for row in rows]
        update_rows(conn, place.table, changed, [place.column])
        return
    column = place.table.columns[place.column]
    for row in rows:
        conn.execute(update(place.table).where(column == row["old_hash"]).values({place.column: row["new_hash"]}))
