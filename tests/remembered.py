"""What a whole run of the suite works out once: compiled SQL, playbooks read from a text, and their publication."""

from collections.abc import Iterator, MutableMapping
from typing import Any

from sqlalchemy import Connection, Engine, Table, event, insert, select

from scrm.app import publish_playbooks
from scrm.db import metadata
from scrm.services import Services
from scrm.sop.life import published
from scrm.sop.schema import Playbook
from scrm.sop.shelf import house_of, playbooks_of
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import Known


class Statements(MutableMapping[tuple[Any, ...], Any]):
    """SQLAlchemy's cache of compiled statements for every engine of the run.

    Each test opens a database of its own, and an engine that starts with nothing spends most of a short test compiling.
    SQLAlchemy's key begins with the engine's dialect, an object per engine; here engines of one driver are the same.
    """

    def __init__(self) -> None:
        self._compiled: dict[tuple[Any, ...], Any] = {}

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        return self._compiled[_of_driver(key)]

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        self._compiled[_of_driver(key)] = compiled

    def __delitem__(self, key: tuple[Any, ...]) -> None:
        del self._compiled[_of_driver(key)]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._compiled)

    def __len__(self) -> int:
        return len(self._compiled)


def _of_driver(key: tuple[Any, ...]) -> tuple[Any, ...]:
    dialect, *statement = key
    return (dialect.name, dialect.driver, *statement)


_statements = Statements()


@event.listens_for(Engine, "engine_connect")
def share_statements(conn: Connection) -> None:
    conn.execution_options(compiled_cache=_statements)


_playbooks: dict[tuple[Any, ...], Playbook] = {}


def parse_once(text: str, *, file_name: str, known: Known | None = None) -> Playbook:
    """`parse_playbook`, whose result depends on its arguments alone and is never changed; failures are not kept."""
    key = (text, file_name, known and (frozenset(known.coupons), repr(known.contents), known.quiet))
    if key not in _playbooks:
        _playbooks[key] = parse_playbook(text, file_name=file_name, known=known)
    return _playbooks[key]


published.parse_playbook = parse_once  # type: ignore[attr-defined]


_Rows = list[tuple[Table, list[dict[str, Any]]]]
_publications: dict[tuple[Any, ...], _Rows] = {}


async def publish_once(services: Services) -> None:
    """`publish_playbooks` into an empty database; from the second on its rows are put there as they came out."""
    directory, quiet = services.settings.playbooks.dir, house_of(services).quiet
    key = (services.db.is_sqlite, services.clock.now(), str(directory), repr(quiet))
    if (rows := _publications.get(key)) is None:
        before = {table for table, _ in await services.db.read(every_row)}
        assert await publish_playbooks(services) == []
        after = await services.db.read(every_row)
        _publications[key] = [(table, kept) for table, kept in after if table not in before]
        return
    await services.db.write(lambda conn: _put_back(conn, rows))
    await services.db.read(playbooks_of(services).load)


def every_row(conn: Connection) -> _Rows:
    # PostgreSQL gives back what an UPDATE touched behind all others.
    every = (
        (table, conn.execute(select(table).order_by(*table.primary_key)).mappings().all())
        for table in metadata.sorted_tables
    )
    return [(table, [dict(row) for row in rows]) for table, rows in every if rows]


def _put_back(conn: Connection, rows: _Rows) -> None:
    for table, kept in rows:
        # The database counts by itself; a number it was told it would give out a second time.
        counted = table.autoincrement_column
        given = [column.name for column in table.columns if column is not counted]
        conn.execute(insert(table), [{name: row[name] for name in given} for row in kept])
