"""Many rows in one statement, and look-ups by many keys, as fast as either database takes them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    DefaultClause,
    Integer,
    String,
    Table,
    Text,
    any_,
    bindparam,
    column,
    func,
    select,
    text,
    true,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY

from scrm.db.tables import UtcDateTime

_dumps = msgspec.json.Encoder().encode
_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]


def insert_rows(conn: Connection, table: Table, rows: Sequence[dict[str, Any]], *, skip_known: bool = False) -> None:
    """Insert rows that all have the same keys; `skip_known` leaves rows alone that break a unique key."""
    if not rows:
        return
    columns = [table.columns[name] for name in rows[0]]
    end = " ON CONFLICT DO NOTHING" if skip_known else ""
    if _takes_lists(conn):
        conn.exec_driver_sql(f"{_insert_lists(table, columns)}{end}", _parameters(columns, rows))
    else:
        statement = f"{_insert(table, columns)} VALUES {_places(columns)}{end}"
        conn.exec_driver_sql(statement, list(zip(*_lists(columns, rows), strict=True)))


def insert_columns(conn: Connection, table: Table, columns: Mapping[str, Sequence[Any]], *, end: str = "") -> None:
    """Insert rows that come column by column, as the driver takes them (milliseconds for times, text for JSON).

    What a column's default says anyway is left out; `end` is SQL behind the rows, such as ON CONFLICT.
    """
    told = {name: values for name, values in columns.items() if not _is_default(table.columns[name], values)}
    into = [table.columns[name] for name in told]
    if _takes_lists(conn):
        conn.exec_driver_sql(f"{_insert_lists(table, into)} {end}", _written(into, told.values()))
    else:
        statement = f"{_insert(table, into)} VALUES {_places(into)} {end}"
        conn.exec_driver_sql(statement, list(zip(*told.values(), strict=True)))


def _is_default(column: Column[Any], values: Sequence[Any]) -> bool:
    known, default = _default_of(column)
    return known and values.count(default) == len(values)


@lru_cache(maxsize=512)
def _default_of(column: Column[Any]) -> tuple[bool, Any]:
    """Whether the column has a plain default, and which."""
    if isinstance(column.server_default, DefaultClause):
        said = str(column.server_default.arg)
        return (True, _WORDS[said]) if said in _WORDS else (False, None)
    return bool(column.nullable), None


_WORDS = {"''": "", "0": 0, "1": 1, "false": False, "'CNY'": "CNY", "'{}'": "{}", "'[]'": "[]"}


def insert_new(
    conn: Connection, table: Table, rows: Sequence[dict[str, Any]], unique: Collection[str], wanted: Collection[str]
) -> list[Any]:
    """Insert those rows (all with the same keys) whose columns `unique` are new; returns what is `wanted` of them."""
    if not rows:
        return []
    columns = [table.columns[name] for name in rows[0]]
    end = f" ON CONFLICT ({', '.join(unique)}) DO NOTHING RETURNING {', '.join(wanted)}"
    if _takes_lists(conn):
        made = conn.exec_driver_sql(f"{_insert_lists(table, columns)}{end}", _parameters(columns, rows))
        return list(made.all())
    found: list[Any] = []
    at_once = _MOST_PLACES // len(columns)
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        statement = f"{_insert(table, columns)} VALUES {', '.join([_places(columns)] * len(part))}{end}"
        values = chain.from_iterable(zip(*_lists(columns, part), strict=True))
        found += conn.exec_driver_sql(statement, tuple(values)).all()
    return found


def update_rows(
    conn: Connection,
    table: Table,
    rows: Sequence[dict[str, Any]],
    names: Collection[str],
    *,
    key: str = "id",
    only: str = "",
) -> None:
    """Set the columns `names` of each row, found by `key`; `only` is a condition in SQL on the rows that may change."""
    if not rows or not names:
        return
    columns = [*(table.columns[name] for name in sorted(names)), table.columns[key]]
    rest = f" AND {only}" if only else ""
    if _takes_lists(conn):
        *given, last = _given(columns)
        settings = ", ".join(f"{column.name} = {each}" for column, each in zip(columns, given, strict=False))
        which = f"{_unnested(columns)} WHERE {table.name}.{key} = {last}{rest}"
        conn.exec_driver_sql(f"UPDATE {table.name} SET {settings} FROM {which}", _parameters(columns, rows))  # noqa: S608 - own names
    else:
        settings = ", ".join(f"{column.name} = ?" for column in columns[:-1])
        statement = f"UPDATE {table.name} SET {settings} WHERE {key} = ?{rest}"  # noqa: S608 - own names
        conn.exec_driver_sql(statement, list(zip(*_lists(columns, rows), strict=True)))


# SQLite takes so many values in one statement (32,766 since 3.32).
_MOST_PLACES = 32_000


def _takes_lists(conn: Connection) -> bool:
    """PostgreSQL takes a list for each column, and is twice as fast with that as with one statement for each row."""
    return conn.dialect.name == "postgresql"


def _insert(table: Table, columns: Sequence[Column[Any]]) -> str:
    return f"INSERT INTO {table.name} ({', '.join(column.name for column in columns)})"


def _insert_lists(table: Table, columns: Sequence[Column[Any]]) -> str:
    return f"{_insert(table, columns)} SELECT {', '.join(_given(columns))} FROM {_unnested(columns)}"  # noqa: S608 - own names


def _places(columns: Sequence[Column[Any]]) -> str:
    return f"({', '.join('?' * len(columns))})"


def _given(columns: Sequence[Column[Any]]) -> list[str]:
    """The values of one row of the lists, as the columns take them."""
    return [
        f"given.v{number}::jsonb" if isinstance(column.type, JSON) else f"given.v{number}"
        for number, column in enumerate(columns)
    ]


def _unnested(columns: Sequence[Column[Any]]) -> str:
    lists = ", ".join(f"${number}::{_list_cast(column)}" for number, column in enumerate(columns, 1))
    return f"unnest({lists}) AS given({', '.join(f'v{number}' for number in range(len(columns)))})"


def _list_cast(column: Column[Any]) -> str:
    """As text what has a length, too: a cast would cut it without a word."""
    if isinstance(column.type, String | JSON):
        return "text[]"
    cast = f"{column.type.compile(dialect=_POSTGRESQL)}[]"
    return f"text::{cast}" if _is_written_out(column) else cast


def _is_written_out(column: Column[Any]) -> bool:
    return isinstance(column.type, Integer | UtcDateTime)


def _parameters(columns: Sequence[Column[Any]], rows: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
    return _written(columns, _lists(columns, rows))


def _written(columns: Sequence[Column[Any]], lists: Iterable[Sequence[Any]]) -> tuple[Any, ...]:
    """asyncpg asks of each number of a list whether it is a list itself: numbers go as one text, {1,2,NULL}."""
    return tuple(
        f"{{{_dumps(values)[1:-1].decode()}}}" if _is_written_out(column) else values
        for column, values in zip(columns, lists, strict=True)
    )


def _lists(columns: Sequence[Column[Any]], rows: Sequence[dict[str, Any]]) -> list[Sequence[Any]]:
    """The values of each column, as the driver takes them."""
    names = [column.name for column in columns]
    if len(names) == 1:
        return [_prepared(columns[0], [row[names[0]] for row in rows])]
    table = zip(*map(itemgetter(*names), rows), strict=True)
    return [_prepared(column, values) for column, values in zip(columns, table, strict=True)]


def _prepared(column: Column[Any], values: Sequence[Any]) -> Sequence[Any]:
    """A column's values as the driver takes them."""
    convert = _converter(column)
    if convert is None or values.count(None) == len(values):
        return values
    return [None if value is None else convert(value) for value in values]


def _converter(column: Column[Any]) -> Callable[[Any], Any] | None:
    if isinstance(column.type, UtcDateTime):
        return _millis
    if isinstance(column.type, JSON):
        return _json
    return None


def _millis(value: datetime) -> int:
    """As UtcDateTime keeps it, four times as fast; whole milliseconds are exact."""
    if value.tzinfo is None:
        raise ValueError(f"naive datetime {value!r}: give it a zone")
    return round(value.timestamp() * 1000)


def _json(value: Any) -> str:
    return _dumps(value).decode()


def among(conn: Connection, column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """`column IN values` with one parameter, however many values there are (texts or integers)."""
    if conn.dialect.name == "postgresql":
        return column == any_(bindparam(None, list(values), type_=ARRAY(column.type)))
    listed = func.json_each(bindparam(None, _dumps(list(values)).decode(), type_=Text())).table_valued("value")
    return column.in_(select(listed.c.value))


def each_of(conn: Connection, key: Column[Any], wanted: Column[Any], values: Collection[Any], *where: Any) -> Any:
    """(key, wanted) of the rows with one of many keys, which with `where` are unique.

    PostgreSQL looks each value up in the index. Without fresh statistics, as after a first import, it would rather read
    all that `where` leaves, for each list anew.
    """
    if conn.dialect.name != "postgresql":
        return select(key, wanted).where(*where, among(conn, key, values))
    listed_values = func.unnest(bindparam(None, list(values), type_=ARRAY(key.type)))
    given = listed_values.table_valued(column("value", key.type), name="given").render_derived()
    found = select(wanted).where(*where, key == given.c.value).limit(1).lateral("found")
    return select(given.c.value, found.c[wanted.name]).select_from(given.join(found, true()))


def among_given(dialect: str, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """`among` for a statement that is built once: run it with `{name: listed(conn, values)}`."""
    if dialect == "postgresql":
        return column == any_(bindparam(name, type_=ARRAY(column.type)))
    rows = func.json_each(bindparam(name, type_=Text())).table_valued("value")
    return column.in_(select(rows.c.value))


def listed(conn: Connection, values: Collection[Any]) -> Any:
    """Many values as the one parameter of `among_given`."""
    return list(values) if conn.dialect.name == "postgresql" else _dumps(list(values)).decode()


def new_ids(conn: Connection, table: Table, count: int) -> Iterable[int]:
    """`count` unused ids of a table; the caller holds the database's only right to insert there."""
    if conn.dialect.name == "postgresql":
        sequence = f"SELECT nextval('{table.name}_id_seq') FROM generate_series(1, :count)"  # noqa: S608 - own name
        rows = conn.execute(text(sequence), {"count": count})
        return list(rows.scalars())
    highest = conn.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one()
    if table.dialect_options["sqlite"]["autoincrement"]:  # ids of deleted rows are never given again
        given = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        highest = max(highest, conn.execute(given, {"name": table.name}).scalar_one_or_none() or 0)
    return range(highest + 1, highest + 1 + count)
