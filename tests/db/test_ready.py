"""A statement that is made ready once says what SQLAlchemy would have said, on both databases."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, Select, Text, bindparam, event, literal, select, table
from sqlalchemy.exc import DBAPIError

from scrm.db import Database, UtcDateTime
from scrm.db.nested import nested
from scrm.db.ready import Ready

NOON = datetime(2026, 6, 18, 12, 0, 0, 5000, tzinfo=UTC)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


def _query(dialect: str) -> Select[Any]:
    """Each parameter twice, one of the statement's own, and rows in a column."""
    words, at = bindparam("words", type_=Text), bindparam("at", type_=UtcDateTime)
    seen: list[Any] = [words.label("words"), at.label("at")]
    own: Any = literal("its own", Text).label("own")
    return select(*seen, nested(dialect, select(*seen, own).limit(3), "inside"))


READY = Ready(_query)


async def test_it_says_what_sqlalchemy_would_have_said(db: Database) -> None:
    def look(conn: Connection, words: str) -> tuple[Any, Any]:
        values = {"words": words, "at": NOON}
        (ready,) = READY.rows(conn, values)
        return ready, conn.execute(_query(conn.dialect.name), values).one()

    for words in ("第一次", 'it\'s "two" %s :at ?'):
        ready, plain = await db.read(look, words)
        assert (ready.words, ready.at, ready.inside) == tuple(plain)
        assert (ready.words, ready.at) == (words, NOON)
        assert (ready.inside[0].words, ready.inside[0].at, ready.inside[0].own) == (words, NOON, "its own")


async def test_a_parameter_that_nobody_gives_is_an_error(db: Database) -> None:
    with pytest.raises(KeyError, match="at"):
        await db.read(READY.rows, {"words": "x"})


GONE = Ready(lambda dialect: select(literal(1).label("one")).select_from(table("gone")))


async def test_what_fails_is_named_as_everywhere_else_and_the_connection_reads_on(db: Database) -> None:
    with pytest.raises(DBAPIError, match="gone"):
        await db.read(GONE.rows, {})
    assert await db.read(READY.rows, {"words": "x", "at": NOON})


async def test_whoever_listens_to_statements_hears_these(db: Database) -> None:
    heard: list[str] = []

    def look(conn: Connection) -> None:
        event.listen(conn, "before_cursor_execute", lambda *told: heard.append(told[2]))
        READY.rows(conn, {"words": "x", "at": NOON})

    await db.read(look)
    assert [text for text in heard if text.startswith("SELECT")]
