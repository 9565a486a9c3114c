"""Databases: every test that asks gets its own, empty and migrated; SQLite as a copied file, PostgreSQL by template."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from scrm.db.migrate import migrate
from tests import postgresql_server
from tests.postgresql_server import Server

TEMPLATE = "scrm_template"
_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of this test's own migrated database, once for each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite file of this test's own."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'scrm.db')}"


@pytest.fixture
def postgresql_url(postgresql_template: Server) -> Iterator[str]:
    """A migrated PostgreSQL database of this test's own, dropped afterwards."""
    name = f"scrm_{next(_numbers)}"
    postgresql_template.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield postgresql_template.url(name)
    postgresql_template.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_postgresql_url(postgresql_server: Server) -> Iterator[str]:
    """A PostgreSQL database without tables, for tests of the migrations themselves."""
    name = f"empty_{next(_numbers)}"
    postgresql_server.execute(f"CREATE DATABASE {name}")
    yield postgresql_server.url(name)
    postgresql_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that the migrations have run on once."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: Server) -> Server:
    """The server, with a migrated database to copy from."""
    postgresql_server.execute(f"CREATE DATABASE {TEMPLATE}")
    migrate(postgresql_server.url(TEMPLATE))
    return postgresql_server


@pytest.fixture(scope="session", name="postgresql_server")
def running_postgresql_server() -> Iterator[Server]:
    """One real PostgreSQL for the whole run."""
    if postgresql_server.find_binaries() is None:
        pytest.skip(postgresql_server.HOW_TO_GET_IT)
    with postgresql_server.running() as server:
        yield server
