"""Many rows in one statement, and look-ups by many keys, as fast as either database takes them."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import JSON, Column, ColumnElement, Connection, Table, Text, any_, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from scrm.db.tables import UtcDateTime

_dumps = msgspec.json.Encoder().encode


def insert_rows(conn: Connection, table: Table, rows: Sequence[dict[str, Any]], *, skip_known: bool = False) -> None:
    """Insert rows that all have the same keys; `skip_known` leaves rows alone that break a unique key."""
    if not rows:
        return
    columns = [table.columns[name] for name in rows[0]]
    places = ", ".join(_places(conn, len(columns)))
    names = ", ".join(column.name for column in columns)
    end = " ON CONFLICT DO NOTHING" if skip_known else ""
    _run(conn, f"INSERT INTO {table.name} ({names}) VALUES ({places}){end}", columns, rows)  # noqa: S608 - own names


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
    columns = [table.columns[name] for name in sorted(names)]
    *places, last = _places(conn, len(columns) + 1)
    settings = ", ".join(f"{column.name} = {place}" for column, place in zip(columns, places, strict=True))
    columns.append(table.columns[key])
    where = f"{key} = {last} AND {only}" if only else f"{key} = {last}"
    _run(conn, f"UPDATE {table.name} SET {settings} WHERE {where}", columns, rows)  # noqa: S608 - own names


def _run(conn: Connection, statement: str, columns: list[Column[Any]], rows: Sequence[dict[str, Any]]) -> None:
    table = list(zip(*map(itemgetter(*(column.name for column in columns)), rows), strict=True))
    lists = [_prepared(column, values) for column, values in zip(columns, table, strict=True)]
    conn.exec_driver_sql(statement, list(zip(*lists, strict=True)))


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


def _places(conn: Connection, count: int) -> list[str]:
    if conn.dialect.name == "postgresql":
        return [f"${number}" for number in range(1, count + 1)]
    return ["?"] * count


def among(conn: Connection, column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """`column IN values` with one parameter, however many values there are (texts or integers)."""
    if conn.dialect.name == "postgresql":
        return column == any_(bindparam(None, list(values), type_=ARRAY(column.type)))
    listed = func.json_each(bindparam(None, _dumps(list(values)).decode(), type_=Text())).table_valued("value")
    return column.in_(select(listed.c.value))


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
