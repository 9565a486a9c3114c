"""Both stores of a bench, one after the other: a file of SQLite, and a PostgreSQL of its own where there is one."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.figures import say
from tests import postgresql_server


class Store(NamedTuple):
    """`title` is how its figures are called; `folder` is there for whatever else the bench writes."""

    title: str
    url: str
    folder: Path


def both(name: str) -> Iterator[Store]:
    """Empty databases, which keep what they said they kept; gone when the next one is asked for."""
    with tempfile.TemporaryDirectory(prefix="scrm-bench-") as folder:
        yield Store("SQLite FULL", f"sqlite:///{Path(folder) / name}.db", Path(folder))
    if postgresql_server.find_binaries() is None:
        say(f"{name}: PostgreSQL left out. {postgresql_server.HOW_TO_GET_IT}")
        return
    with (
        tempfile.TemporaryDirectory(prefix="scrm-bench-") as folder,
        postgresql_server.running(postgresql_server.DURABLE) as server,
    ):
        server.execute(f"CREATE DATABASE {name}")
        yield Store("PostgreSQL", server.url(name), Path(folder))
