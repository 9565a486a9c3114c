"""One value inside a JSON column, as text or as a number, the same on both databases."""

from typing import Any

from sqlalchemy import ColumnElement, Double, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class json_text(FunctionElement[str]):  # noqa: N801 - reads as the SQL function it is
    """`json_text(column, "a", "b")` of {"a": {"b": ...}}, `json_text(column)` of the whole; NULL when absent.

    Texts come without quotes, numbers as written, booleans as `true` and `false`.
    """

    inherit_cache = True
    type = Text()

    def __init__(self, column: ColumnElement[Any], *path: str) -> None:
        super().__init__(column, *_keys(path))


class json_number(FunctionElement[float]):  # noqa: N801
    """Like `json_text`, for numbers; NULL when the value is anything else."""

    inherit_cache = True
    type = Double()

    def __init__(self, column: ColumnElement[Any], *path: str) -> None:
        super().__init__(column, *_keys(path))


def _keys(path: tuple[str, ...]) -> tuple[ColumnElement[Any], ...]:
    for key in path:
        if '"' in key or "\\" in key:
            raise ValueError(f"a key of JSON cannot be {key!r} here")
    return tuple(bindparam(None, key, type_=Text()) for key in path)


@compiles(json_text, "sqlite")
def _text_sqlite(element: json_text, compiler: Any, **kw: Any) -> str:
    place = _place_sqlite(element, compiler, kw)
    extracted = f"CAST(json_extract({place}) AS TEXT)"
    return f"(CASE json_type({place}) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE {extracted} END)"


@compiles(json_text, "postgresql")
def _text_postgresql(element: json_text, compiler: Any, **kw: Any) -> str:
    return f"({_place_postgresql(element, compiler, kw)} #>> '{{}}')"


@compiles(json_number, "sqlite")
def _number_sqlite(element: json_number, compiler: Any, **kw: Any) -> str:
    place = _place_sqlite(element, compiler, kw)
    kind = f"json_type({place}) IN ('integer', 'real')"
    return f"(CASE WHEN {kind} THEN CAST(json_extract({place}) AS REAL) END)"


@compiles(json_number, "postgresql")
def _number_postgresql(element: json_number, compiler: Any, **kw: Any) -> str:
    value = _place_postgresql(element, compiler, kw)
    return f"(CASE WHEN jsonb_typeof({value}) = 'number' THEN ({value} #>> '{{}}')::double precision END)"


def _place_sqlite(element: FunctionElement[Any], compiler: Any, kw: dict[str, Any]) -> str:
    column, *keys = (compiler.process(clause, **kw) for clause in element.clauses)
    path = "".join(f""" || '."' || {key} || '"'""" for key in keys)
    return f"{column}, '$'{path}"


def _place_postgresql(element: FunctionElement[Any], compiler: Any, kw: dict[str, Any]) -> str:
    column, *keys = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({' -> '.join((column, *keys))})"
