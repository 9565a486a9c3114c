"""A migrated database of each kind, a vault, and persons to whom orders may belong."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection

from scrm.db import Database
from scrm.db.vault import Vault
from scrm.profiles.models import identity, person

NOW = datetime(2026, 6, 18, 12, 0, tzinfo=UTC)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
def vault() -> Vault:
    return Vault("a secret that is long enough for tests")


def add_person(conn: Connection, name: str = "林晓晓", **identities: str) -> int:
    """A person known by these identities (kind=value)."""
    person_id = conn.execute(person.insert().values(name=name, created_at=NOW).returning(person.c.id)).scalar_one()
    for kind, value in identities.items():
        conn.execute(
            identity.insert().values(person_id=person_id, kind=kind, value=value, source="test", created_at=NOW)
        )
    return int(person_id)
