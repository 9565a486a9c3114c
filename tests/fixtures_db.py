"""Databases: every test that asks gets its own, empty and migrated; SQLite as a copied file, PostgreSQL by template."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scrm.db.migrate import migrate
from tests import postgresql_server
from tests.postgresql_server import Server
from tests.postgresql_shelf import Shelf

_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of this test's own migrated database, once for each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def sqlite_url(sqlite_file: Path) -> str:
    return f"sqlite:///{sqlite_file}"


@pytest.fixture
def sqlite_file(sqlite_template: Path, sqlite_folder: Path) -> Iterator[Path]:
    """A migrated SQLite file of this test's own."""
    folder = sqlite_folder / str(next(_numbers))
    folder.mkdir()
    yield Path(shutil.copy(sqlite_template, folder / "scrm.db"))
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_url(postgresql_shelf: Shelf) -> Iterator[str]:
    """A migrated and empty PostgreSQL database that nobody else uses meanwhile."""
    name = postgresql_shelf.take()
    yield postgresql_shelf.server.url(name)
    postgresql_shelf.give_back(name)


@pytest.fixture
def empty_postgresql_url(postgresql_server: Server) -> Iterator[str]:
    """A PostgreSQL database without tables, for tests of the migrations themselves."""
    name = f"empty_{next(_numbers)}"
    postgresql_server.execute(f"CREATE DATABASE {name}")
    yield postgresql_server.url(name)
    postgresql_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def sqlite_folder() -> Iterator[Path]:
    """Where databases live that nobody keeps: in memory where there is room, as each COMMIT waits for its disk."""
    folder = Path(tempfile.mkdtemp(prefix="scrm-sqlite-", dir=postgresql_server.throwaway_place()))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that the migrations have run on once."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_shelf(postgresql_server: Server) -> Iterator[Shelf]:
    """Migrated databases of the run's server, emptied after each use."""
    with Shelf(postgresql_server) as shelf:
        migrate(postgresql_server.url(shelf.template))
        yield shelf


@pytest.fixture(scope="session", name="postgresql_server")
def running_postgresql_server() -> Iterator[Server]:
    """One real PostgreSQL for the whole run, or for each of its processes."""
    if postgresql_server.find_binaries() is None:
        pytest.skip(postgresql_server.HOW_TO_GET_IT)
    with postgresql_server.running(place=postgresql_server.throwaway_place()) as server:
        yield server
