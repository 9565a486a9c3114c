"""Several queries in one statement: each comes back as a column that holds its rows.

A statement costs the same overhead however little it finds; a page that shows six small things asks once. The rows
travel as JSON arrays, in the order of the query.
"""

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import JSON, Dialect, Label, Select, Text, TypeDecorator, cast, func, select, type_coerce

from scrm.db.tables import UtcDateTime, from_millis

_decode = msgspec.json.Decoder(list[list[Any]]).decode


def nested(dialect: str, query: Select[Any], name: str) -> Label[Any]:
    """The rows of `query` as one column: a list of named tuples, empty when there are none."""
    rows = query.subquery(f"{name}_rows")
    columns = list(rows.c)
    if dialect == "postgresql":
        packed: Any = cast(func.json_agg(func.json_build_array(*columns)), Text)
    else:
        values = [func.json(column) if isinstance(column.type, JSON) else column for column in columns]
        packed = func.json_group_array(func.json_array(*values))
    moments = tuple(place for place, column in enumerate(columns) if isinstance(column.type, UtcDateTime))
    kind = _RowList(tuple(column.name for column in columns), moments)
    return type_coerce(select(packed).select_from(rows).scalar_subquery(), kind).label(name)


class _RowList(TypeDecorator[list[Any]]):
    """JSON as the database gives it, rows with the columns' own types in Python."""

    impl = Text
    cache_ok = True

    def __init__(self, names: tuple[str, ...], moments: tuple[int, ...]) -> None:
        super().__init__()
        self.names, self.moments = names, moments

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], list[Any]]:
        kind_of: Any = namedtuple
        make = kind_of("Row", self.names, rename=True)._make
        moments = self.moments

        def read(value: str | None) -> list[Any]:
            rows = _decode(value) if value else []
            for row in rows:
                for place in moments:
                    if row[place] is not None:
                        row[place] = from_millis(row[place])
            return [make(row) for row in rows]

        return read
