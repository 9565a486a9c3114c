"""Statements of the hottest pages, made ready once for each dialect.

SQLAlchemy takes several times as long to prepare a kept statement's parameters and rows as SQLite takes to answer it.
What it knows about both is asked once here; each run hands the driver's own cursor a text and a tuple.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Select

Build = Callable[[str], Select[Any]]
_Read = Callable[[Any], Any]


class Ready:
    """A SELECT with named parameters, as `build(dialect)` says it; rows are named tuples of the columns' own types."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._made: dict[str, _Made] = {}

    def rows(self, conn: Connection, values: Mapping[str, Any]) -> list[Any]:
        """All rows; a parameter without a value is a KeyError."""
        made = self._made.get(conn.dialect.name)
        if made is None:
            made = self._made[conn.dialect.name] = _Made(self._build(conn.dialect.name), conn.dialect)
        return made.rows(conn, values)


class _Made:
    def __init__(self, query: Select[Any], dialect: Dialect) -> None:
        compiled = query.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        self.text = compiled.string
        given = compiled.construct_params(_check=False)
        writers = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in compiled.binds.items()
        }
        # Parameters that the statement brings itself are written once, those of the caller at each run.
        self.fixed = {
            name: _written(writers[name], value) for name, value in given.items() if not compiled.binds[name].required
        }
        self.asked = [(name, writers[name]) for name in given if compiled.binds[name].required]
        self.order = tuple(compiled.positiontup or ())
        columns = query.selected_columns
        kind_of: Any = namedtuple
        self.make = kind_of("Row", [column.key for column in columns], rename=True)._make
        readers = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self.readers: list[tuple[int, _Read]] = [
            (place, read) for place, read in enumerate(readers) if read is not None
        ]

    def rows(self, conn: Connection, values: Mapping[str, Any]) -> list[Any]:
        known = {**self.fixed, **{name: _written(write, values[name]) for name, write in self.asked}}
        found = _fetch(conn, self.text, tuple([known[name] for name in self.order]))
        return [self._row(row) for row in found]

    def _row(self, row: Any) -> Any:
        cells = list(row)
        for place, read in self.readers:
            cells[place] = read(cells[place])
        return self.make(cells)


def _fetch(conn: Connection, text: str, given: tuple[Any, ...]) -> Sequence[Any]:
    """SQLAlchemy does it only where somebody listens to statements, and once more where the driver fails: it knows errors
    by their names, and gives up a lost connection.
    """
    if conn.dispatch.before_cursor_execute:
        return conn.exec_driver_sql(text, given).fetchall()
    if not conn.in_transaction():
        conn.begin()
    cursor = conn.connection.cursor()
    try:
        cursor.execute(text, given)
        return cursor.fetchall()
    except conn.dialect.loaded_dbapi.Error:
        return conn.exec_driver_sql(text, given).fetchall()
    finally:
        cursor.close()


def _written(write: Callable[[Any], Any] | None, value: Any) -> Any:
    return value if write is None else write(value)
