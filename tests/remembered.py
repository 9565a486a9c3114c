"""What a whole run of the suite works out once: compiled SQL, and playbooks read from the same text."""

from collections.abc import Iterator, MutableMapping
from typing import Any

from sqlalchemy import Connection, Engine, event

from scrm.sop import published
from scrm.sop.parse import parse_playbook
from scrm.sop.reading import Known
from scrm.sop.schema import Playbook


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
