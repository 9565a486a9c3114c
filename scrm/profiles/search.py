"""Finds persons by any piece of their names, Chinese too, whose words have no spaces between them: each sign is a word.

PostgreSQL has an index over an expression of each name. SQLite has one full-text row for each person: triggers note whose
names have changed (writing the words at once would cost a storm of adds half a millisecond each), a tick writes them,
and until then those few are looked through. Whoever writes a name need not think of any of it; `install` runs after the
migrations, which may have made a table anew and its triggers with it gone.
"""

# ruff: noqa: S608 - every name in these statements is one of ours

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, text

from scrm.db import Database

# Where each name is: table, column, the column with the person's number.
NAMES = (("external_contact", "name", "person_id"), ("follow_user", "remark", "person_id"), ("person", "name", "id"))
PREFIX = "search_"
_WORDS, _DUE = "search_words", "search_due"
_BETWEEN = " ꙮ "  # a letter of no name, so that no piece reaches from one name of a person into another
_LONGEST = 20
# PostgreSQL: so many of the newest are looked at one by one first, and no more than so many.
_FIRST_WALK, _LONGEST_WALK = 2_000, 200_000
# Of the persons whose words are not written yet, so many are looked through one by one.
_LOOKED_THROUGH = 2_000


def install(conn: Connection) -> None:
    """Make what is missing; safe to repeat."""
    if conn.dialect.name == "sqlite":
        _install_sqlite(conn)
    else:
        for table, column, _ in NAMES:
            conn.exec_driver_sql(f"CREATE INDEX IF NOT EXISTS {PREFIX}{table} ON {table} USING gin ({_vector(column)})")


def find_named(conn: Connection, wanted: str, *, below: int | None = None, limit: int) -> list[int]:
    """Numbers of persons one of whose names has each piece of `wanted`, the newest first; none for an empty one."""
    pieces = [piece[:_LONGEST] for piece in wanted.casefold().split()]
    if not pieces:
        return []
    values: dict[str, Any] = {"below": below or 2**62, "limit": limit}
    if conn.dialect.name == "sqlite":
        match = " AND ".join('"{}"'.format(" ".join(piece).replace('"', '""')) for piece in pieces)
        query = (
            f"SELECT rowid FROM {_WORDS} WHERE words MATCH :match AND rowid < :below ORDER BY rowid DESC LIMIT :limit"
        )
        written = list(conn.execute(text(query), values | {"match": match}).scalars())
        return sorted({*written, *_not_yet_written(conn, pieces, values)}, reverse=True)[:limit]
    for number, piece in enumerate(pieces):
        values |= {f"signs{number}": " ".join(piece), f"like{number}": f"%{_escaped(piece)}%"}
    return _among_the_newest(conn, pieces, values, limit) or _among_all(conn, pieces, values)


def _among_the_newest(conn: Connection, pieces: list[str], values: dict[str, Any], limit: int) -> list[int]:
    """A full page, if the names are so frequent that a walk from the newest on finds one; else nothing.

    The index has to look at everybody of the name before it can tell who is the newest: seconds for a common one.
    """
    newest = conn.exec_driver_sql("SELECT max(id) FROM person").scalar() or 0
    top = min(values["below"], newest + 1)
    walk = max(_FIRST_WALK, limit)
    while walk <= _LONGEST_WALK:
        found = _among_all(conn, pieces, values | {"from": top - walk}, by_index=False)
        if len(found) >= limit or walk >= top:
            return found
        if not found:
            return []
        # As far as it takes if they go on like this, and a bit.
        walk = max(walk * 2, walk * limit * 6 // (len(found) * 5))
    return []


def _among_all(conn: Connection, pieces: list[str], values: dict[str, Any], *, by_index: bool = True) -> list[int]:
    each = " INTERSECT ".join(f"({_called(number, piece, by_index)})" for number, piece in enumerate(pieces))
    found = conn.execute(text(f"SELECT found FROM ({each}) AS named ORDER BY found DESC LIMIT :limit"), values)
    return list(found.scalars())


def _not_yet_written(conn: Connection, pieces: list[str], values: dict[str, Any]) -> list[int]:
    has = " AND ".join(f"max(instr(lower(name), :piece{n}))" for n in range(len(pieces)))
    names = " UNION ALL ".join(
        f"SELECT {table}.{key} AS found, {column} AS name FROM {table} JOIN due ON due.person_id = {table}.{key}"
        for table, column, key in NAMES
    )
    query = text(
        f"WITH due AS (SELECT person_id FROM {_DUE} WHERE person_id < :below "
        f"ORDER BY person_id DESC LIMIT {_LOOKED_THROUGH}) "
        f"SELECT found FROM ({names}) GROUP BY found HAVING {has} ORDER BY found DESC LIMIT :limit"
    )
    return list(conn.execute(query, values | {f"piece{n}": piece for n, piece in enumerate(pieces)}).scalars())


def _called(number: int, piece: str, by_index: bool) -> str:
    """PostgreSQL: whoever has the piece in a name; the index leaves out what is neither letter nor digit.

    It only says that every sign is there: whether they follow each other LIKE tells faster than a phrase.
    """
    which = "" if by_index else "{key} >= :from AND "
    if by_index and any(map(str.isalnum, piece)):
        which = f"{{vector}} @@ plainto_tsquery('simple', :signs{number}) AND "
    return " UNION ".join(
        f"SELECT {key} AS found FROM {table} WHERE {key} < :below AND "
        f"{which.format(vector=_vector(column), key=key)}lower({column}) LIKE :like{number} ESCAPE '\\'"
        for table, column, key in NAMES
    )


def _vector(column: str) -> str:
    return rf"to_tsvector('simple', regexp_replace(lower({column}), '(.)', '\1 ', 'g'))"


def _escaped(piece: str) -> str:
    for sign in ("\\", "%", "_"):
        piece = piece.replace(sign, f"\\{sign}")
    return piece


def _install_sqlite(conn: Connection) -> None:
    conn.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {_DUE} (person_id INTEGER PRIMARY KEY)")
    made = conn.exec_driver_sql(f"SELECT 1 FROM sqlite_master WHERE name = '{_WORDS}'").first() is None
    if made:
        # Punctuation and pictures are words too; upper and lower case are one.
        conn.exec_driver_sql(
            f"CREATE VIRTUAL TABLE {_WORDS} USING fts5(words, "
            "tokenize = \"unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'\")"
        )
        conn.exec_driver_sql(f"INSERT OR IGNORE INTO {_DUE} (person_id) SELECT id FROM person")
    for statement in _triggers():
        conn.exec_driver_sql(statement)


def _triggers() -> Iterator[str]:
    for table, column, key in NAMES:
        occasions = {
            "insert": ("INSERT", ("new",)),
            "update": (f"UPDATE OF {column}, {key}", ("old", "new")),
            "delete": ("DELETE", ("old",)),
        }
        for kind, (occasion, rows) in occasions.items():
            name = f"{PREFIX}{table}_{kind}"
            noted = " ".join(
                # OR IGNORE would give way to the conflict clause of the statement that fires the trigger.
                f"INSERT INTO {_DUE} (person_id) SELECT {row}.{key} WHERE {row}.{key} IS NOT NULL "
                f"AND NOT EXISTS (SELECT 1 FROM {_DUE} WHERE person_id = {row}.{key});"
                for row in rows
            )
            yield f"DROP TRIGGER IF EXISTS {name}"
            yield f"CREATE TRIGGER {name} AFTER {occasion} ON {table} BEGIN {noted} END"


async def tick(db: Database) -> int:
    """Write the words that are due; asks first, because a write would stop others for nothing."""
    if not db.is_sqlite or not await db.read(
        lambda conn: conn.exec_driver_sql(f"SELECT 1 FROM {_DUE} LIMIT 1").first()
    ):
        return 0
    return await db.write(renew)


def renew(conn: Connection, limit: int = 5_000) -> int:
    """Write the words of persons whose names have changed; how many. On PostgreSQL there is nothing to do."""
    if conn.dialect.name != "sqlite":
        return 0
    due = list(
        conn.exec_driver_sql(f"SELECT person_id FROM {_DUE} ORDER BY person_id DESC LIMIT ?", (limit,)).scalars()
    )
    if not due:
        return 0
    names: dict[int, set[str]] = {}
    for table, column, key in NAMES:
        asked = text(
            f"SELECT {key}, {column} FROM {table} WHERE {key} IN (SELECT value FROM json_each(:due)) AND {column} <> ''"
        )
        for person_id, name in conn.execute(asked, {"due": json.dumps(due)}):
            names.setdefault(person_id, set()).add(name)
    # The driver's own lists: SQLAlchemy's would cost more than the words.
    conn.exec_driver_sql(f"DELETE FROM {_WORDS} WHERE rowid IN (SELECT value FROM json_each(?))", (json.dumps(due),))
    words = [(person_id, _BETWEEN.join(" ".join(name.casefold()) for name in of)) for person_id, of in names.items()]
    if words:
        conn.exec_driver_sql(f"INSERT INTO {_WORDS} (rowid, words) VALUES (?, ?)", words)
    conn.exec_driver_sql(f"DELETE FROM {_DUE} WHERE person_id IN (SELECT value FROM json_each(?))", (json.dumps(due),))
    return len(due)
