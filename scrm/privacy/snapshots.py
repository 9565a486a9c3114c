"""The change to a new data key in the snapshots of joins: an undo gives back what the newest key opens and finds."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, String, cast, select, update

from scrm.db.database import Database, Priority
from scrm.db.vault import Vault, hash_again
from scrm.db.vault_keys import Hashed, Sealed
from scrm.profiles.merge_tables import person_merge

P = TypeVar("P", Sealed, Hashed)

BATCH = 50
_NAME = "person_merge.snapshot"


async def reseal(db: Database, vault: Vault, columns: Sequence[Sealed]) -> tuple[dict[str, int], dict[str, int]]:
    """Seal the rows in all snapshots with the newest key, in batches; how many values, and how many nobody can open."""
    after, count, bad = 0, 0, 0
    while True:
        more, worse, last = await db.write_as(Priority.IMPORT, _reseal_some, vault, columns, after)
        count, bad = count + more, bad + worse
        if last is None:
            return {_NAME: count}, {_NAME: bad} if bad else {}
        after = last


def rehash(conn: Connection, columns: Sequence[Hashed], key: bytes) -> int:
    """One more HMAC over the hashes in all snapshots, in the transaction that does so to the tables."""
    after, count = 0, 0
    while rows := _page(conn, after):
        for row in rows:
            snapshot = copy.deepcopy(dict(row.snapshot))
            renewed = sum(_rehash_row(values, place, key) for values, place in _found(snapshot, columns))
            if renewed:
                _write(conn, row.id, snapshot)
            count += renewed
        after = rows[-1].id
    return count


def _page(conn: Connection, after: int) -> Sequence[Any]:
    """Snapshots in which something is sealed: hashes stand beside it."""
    table = person_merge.c
    has_secrets = cast(table.snapshot, String).contains('"sealed"')
    return conn.execute(
        select(table.id, table.snapshot).where(table.id > after, has_secrets).order_by(table.id).limit(BATCH)
    ).all()


def _write(conn: Connection, merge_id: int, snapshot: Mapping[str, Any]) -> None:
    conn.execute(update(person_merge).where(person_merge.c.id == merge_id).values(snapshot=snapshot))


def _reseal_some(conn: Connection, vault: Vault, columns: Sequence[Sealed], after: int) -> tuple[int, int, int | None]:
    rows = _page(conn, after)
    count = bad = 0
    for row in rows:
        snapshot = copy.deepcopy(dict(row.snapshot))
        ends = [_reseal_row(values, place, vault) for values, place in _found(snapshot, columns)]
        if True in ends:
            _write(conn, row.id, snapshot)
        count, bad = count + ends.count(True), bad + ends.count(False)
    return count, bad, rows[-1].id if len(rows) == BATCH else None


def _found(snapshot: Mapping[str, Any], columns: Sequence[P]) -> Iterator[tuple[dict[str, Any], P]]:
    """Each kept row with each column of its table that is to be renewed."""
    for part, names in (("held", ("row",)), ("dropped", ("row",)), ("changed", ("before", "after"))):
        for one in snapshot.get(part, ()):
            for place in columns:
                if place.table.name == one["table"]:
                    yield from ((one[name], place) for name in names if one[name].get(place.column))


def _reseal_row(values: dict[str, Any], place: Sealed, vault: Vault) -> bool | None:
    """True: sealed anew; False: nobody can open it; None: nothing to do."""
    held = values[place.column]
    if place.inside and not isinstance(held, dict):
        return None
    text = held.get(place.inside) if place.inside else held
    if not text or text.startswith(f"2.{vault.key_id}."):
        return None
    try:
        renewed = vault.seal(vault.open(text))
    except ValueError:
        return False
    values[place.column] = {**held, place.inside: renewed} if place.inside else renewed
    return True


def _rehash_row(values: dict[str, Any], place: Hashed, key: bytes) -> bool:
    if place.only is not None and values.get(place.only[0]) not in place.only[1]:
        return False
    beside = values.get(place.beside) if place.beside else None
    if place.beside and not (isinstance(beside, dict) and "sealed" in beside):
        return False
    before = values[place.column]
    values[place.column] = hash_again(before, key)
    return bool(values[place.column] != before)
