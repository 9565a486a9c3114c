"""Transactions, group commit and migrations, the same on SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from scrm.db import Database, Priority, signal
from scrm.db.bulk import insert_new, insert_rows, update_rows
from scrm.db.migrate import current_revision, differences, migrate, newest_revision
from scrm.profiles.models import member, person
from scrm.work.models import work_item
from tests.waiting import eventually

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


def add_person(conn: Connection, name: str, at: datetime = NOW) -> int:
    return conn.execute(insert(person).values(name=name, created_at=at).returning(person.c.id)).scalar_one()


def names(conn: Connection) -> list[str]:
    return list(conn.scalars(select(person.c.name).order_by(person.c.id)))


def add_many(conn: Connection, rows: list[str]) -> list[int]:
    if "bad" in rows:
        raise ValueError("a bad row")
    return [add_person(conn, row) for row in rows]


async def test_the_migrations_make_exactly_the_tables_of_the_code(db: Database) -> None:
    assert await db.read(current_revision) == newest_revision()
    assert await db.read(differences) == []


async def test_migrating_twice_changes_nothing(db: Database, database_url: str) -> None:
    await db.write(add_person, "小满")
    await asyncio.to_thread(migrate, database_url)
    assert await db.read(names) == ["小满"]


async def test_a_write_that_raises_leaves_nothing(db: Database) -> None:
    def half(conn: Connection) -> None:
        add_person(conn, "half")
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        await db.write(half)
    assert await db.read(names) == []


async def test_a_bad_row_in_a_group_fails_alone(db: Database) -> None:
    answers = await asyncio.gather(
        *(db.together(add_many, row) for row in ("a", "bad", "b", "c")), return_exceptions=True
    )
    assert isinstance(answers[1], ValueError)
    assert sorted(await db.read(names)) == ["a", "b", "c"]
    assert len({answers[0], answers[2], answers[3]}) == 3


async def test_no_update_is_lost_when_many_read_and_write_at_once(db: Database) -> None:
    person_id = await db.write(add_person, "0")

    def increment(conn: Connection) -> None:
        row = conn.execute(select(person.c.name).where(person.c.id == person_id).with_for_update()).one()
        conn.execute(update(person).where(person.c.id == person_id).values(name=str(int(row.name) + 1)))

    await asyncio.gather(*(db.write(increment) for _ in range(60)))
    assert await db.read(names) == ["60"]


async def test_times_come_back_as_the_same_moment_in_utc(db: Database) -> None:
    shanghai = datetime(2026, 3, 2, 12, 0, tzinfo=timezone(timedelta(hours=8)))
    await db.write(add_person, "x", shanghai)

    def moments(conn: Connection) -> list[Any]:
        return list(conn.scalars(select(person.c.created_at).where(person.c.created_at <= shanghai)))

    assert await db.read(moments) == [datetime(2026, 3, 2, 4, 0, tzinfo=UTC)]


async def test_a_naive_time_is_refused(db: Database) -> None:
    with pytest.raises(Exception, match="naive"):
        await db.write(add_person, "x", datetime(2026, 3, 2))  # noqa: DTZ001


async def test_many_rows_are_written_at_once_and_what_is_known_is_left_alone(db: Database) -> None:
    def item(number: int, **changed: Any) -> dict[str, Any]:
        row = {"lane": "event", "kind": "k", "payload": {"名": [number, None]}, "due_at": NOW, "created_at": NOW}
        return row | {"dedupe_key": f"d{number}", "correlation": "", **changed}

    def play(conn: Connection) -> list[Any]:
        insert_rows(conn, work_item, [item(number) for number in range(3)])
        insert_rows(conn, work_item, [item(0), item(3, dedupe_key=None)], skip_known=True)
        update_rows(
            conn,
            work_item,
            [{"id": each, "payload": {"n": each}, "due_at": NOW + timedelta(seconds=each)} for each in (1, 2, 99)],
            ["payload", "due_at"],
            only="kind = 'k'",
        )
        return list(conn.execute(select(work_item).order_by(work_item.c.due_at, work_item.c.id)))

    rows = await db.write(play)
    assert [row.payload for row in rows] == [{"名": [2, None]}, {"名": [3, None]}, {"n": 1}, {"n": 2}]
    assert [row.dedupe_key for row in rows] == ["d2", None, "d0", "d1"]
    assert rows[-1].due_at == NOW + timedelta(seconds=2)


async def test_of_many_rows_only_the_new_ones_come_back(db: Database) -> None:
    def rows(start: int) -> list[dict[str, Any]]:
        return [{"userid": f"m{n}", "folded": f"m{n}", "name": "员工"} for n in range(start, start + 12_000)]

    def play(conn: Connection) -> tuple[int, list[str]]:
        first = insert_new(conn, member, rows(0), ["userid"], ["userid"])
        return len(first), [row.userid for row in insert_new(conn, member, rows(2), ["userid"], ["userid"])]

    assert await db.write(play) == (12_000, ["m12000", "m12001"])
    assert await db.write(insert_new, member, [], ["userid"], ["userid"]) == []


async def test_a_text_that_is_too_long_is_refused_not_cut(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    try:
        with pytest.raises(DBAPIError, match="too long"):
            await database.write(insert_rows, member, [{"userid": "m" * 65, "folded": "m", "name": "员工"}])
    finally:
        await database.close()


async def test_signals_are_told_after_the_commit_and_not_after_a_rollback(db: Database) -> None:
    told: list[set[str]] = []
    db.on_commit(told.append)

    def work(conn: Connection, name: str, fails: bool) -> None:
        signal(conn, name)
        if fails:
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        await db.write(work, "lost", True)
    await db.write(work, "kept", False)
    await db.write(names)
    assert told == [{"kept"}]


async def test_callbacks_write_before_imports_that_waited_longer(sqlite_url: str) -> None:
    db = Database(sqlite_url)
    order: list[str] = []

    def note(conn: Connection, name: str) -> None:
        order.append(name)

    waiting = [asyncio.create_task(db.write_as(Priority.IMPORT, note, f"import {n}")) for n in range(3)]
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(db.write_as(Priority.CALLBACK, note, "callback")))
    await asyncio.gather(*waiting)
    await db.close()
    assert order.index("callback") <= 1


async def test_sqlite_is_opened_for_safety(sqlite_url: str) -> None:
    db = Database(sqlite_url)

    def pragmas(conn: Connection) -> tuple[Any, ...]:
        ask = ("journal_mode", "synchronous", "foreign_keys")
        return tuple(conn.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ask)

    assert await db.write(pragmas) == ("wal", 2, 1)
    with pytest.raises(Exception, match="readonly"):
        await db.read(add_person, "readers only read")
    await db.close()


async def test_a_reader_does_not_see_what_is_not_committed(db: Database) -> None:
    assert await db.read(lambda conn: conn.execute(select(work_item)).all()) == []


async def test_readers_that_are_given_up_give_their_connections_back(postgresql_url: str) -> None:
    db = Database(postgresql_url, pool_size=2)
    asleep = text("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'")
    # One more than there are.
    for _ in range(3):
        reading = asyncio.create_task(db.read(lambda conn: conn.scalar(text("SELECT pg_sleep(600)"))))
        await eventually(lambda: db.read(lambda conn: conn.scalar(asleep) == 1), 20)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await eventually(lambda: db.read(lambda conn: conn.scalar(asleep) == 0), 20)
    assert await db.write(add_person, "still here")
    await db.close()


async def test_of_two_writers_that_wait_for_each_other_crosswise_one_begins_anew(postgresql_url: str) -> None:
    db = Database(postgresql_url)
    first, second = await db.write(add_person, "a"), await db.write(add_person, "b")
    begun = []

    def mark(conn: Connection, one: int, other: int, word: str) -> None:
        begun.append(word)
        conn.exec_driver_sql("SET LOCAL deadlock_timeout = '20ms'")
        for person_id in (one, other):
            conn.execute(update(person).where(person.c.id == person_id).values(name=person.c.name + word))
            conn.exec_driver_sql("SELECT pg_sleep(0.1)")

    await asyncio.gather(db.write(mark, first, second, "x"), db.write(mark, second, first, "y"))
    assert {"".join(sorted(name[1:])) for name in await db.read(names)} == {"xy"}
    assert len(begun) == 3
    await db.close()
