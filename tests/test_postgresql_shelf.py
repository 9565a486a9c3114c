"""Databases that are used again show nothing of the test before."""

import asyncpg

from tests.postgresql_shelf import Shelf

INSERT = "INSERT INTO person (name, created_at) VALUES ('小满', 1) RETURNING id"


async def run(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_what_comes_back_is_empty_and_numbers_begin_anew(postgresql_shelf: Shelf) -> None:
    name = postgresql_shelf.take()
    url = postgresql_shelf.server.url(name)
    assert await run(url, INSERT) == 1
    left_open = await asyncpg.connect(url)
    await left_open.execute("BEGIN; LOCK TABLE person")
    postgresql_shelf.give_back(name)
    assert postgresql_shelf.take() == name
    assert await run(url, "SELECT count(*) FROM person") == 0
    assert await run(url, INSERT) == 1
    assert await run(url, "SELECT count(*) FROM alembic_version") > 0
    postgresql_shelf.give_back(name)
    left_open.terminate()


async def test_a_database_with_other_tables_is_not_used_again(postgresql_shelf: Shelf) -> None:
    name = postgresql_shelf.take()
    await run(postgresql_shelf.server.url(name), "DROP TABLE work_item")
    postgresql_shelf.give_back(name)
    other = postgresql_shelf.take()
    assert other != name
    assert await run(postgresql_shelf.server.url(other), "SELECT count(*) FROM work_item") == 0
    postgresql_shelf.give_back(other)
