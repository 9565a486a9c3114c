"""Sessions as both databases keep them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, select

from scrm import sessions
from scrm.db import Database
from scrm.profiles import store as profiles
from scrm.profiles.models import member

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
LIVES = timedelta(hours=12)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = Database(database_url)
    await db.write(profiles.save_member, "lina", name="李娜", alias="", avatar="", now=NOW)
    yield db
    await db.close()


async def test_a_session_lives_until_its_end_and_no_longer(db: Database) -> None:
    token = await db.write(sessions.open_session, "lina", now=NOW, lives=LIVES)
    found = await db.read(sessions.find_session, token, now=NOW + LIVES - timedelta(seconds=1))
    assert found is not None
    assert (found.userid, found.name, found.role) == ("lina", "李娜", "member")
    assert await db.read(sessions.find_session, token, now=NOW + LIVES) is None


async def test_two_sessions_of_one_member_share_neither_token_nor_proof(db: Database) -> None:
    tokens = [await db.write(sessions.open_session, "lina", now=NOW, lives=LIVES) for _ in range(2)]
    found = [await db.read(sessions.find_session, token, now=NOW) for token in tokens]
    assert len({*tokens, *(one.csrf for one in found if one is not None)}) == 4


async def test_only_a_hash_of_the_token_is_kept(db: Database) -> None:
    token = await db.write(sessions.open_session, "lina", now=NOW, lives=LIVES)
    rows = await db.read(lambda conn: conn.execute(select(sessions.session)).all())
    assert len(rows) == 1
    assert token not in str(rows)


async def test_a_login_sweeps_sessions_that_have_ended(db: Database) -> None:
    await db.write(sessions.open_session, "lina", now=NOW, lives=LIVES)
    await db.write(sessions.open_session, "lina", now=NOW + timedelta(hours=13), lives=LIVES)
    assert len(await db.read(lambda conn: conn.execute(select(sessions.session)).all())) == 1


async def test_a_member_who_was_stopped_has_no_session(db: Database) -> None:
    def stop(conn: Connection) -> None:
        conn.execute(member.update().values(is_active=False))

    token = await db.write(sessions.open_session, "lina", now=NOW, lives=LIVES)
    await db.write(stop)
    assert await db.read(sessions.find_session, token, now=NOW) is None


async def test_a_closed_session_is_gone_and_the_others_are_not(db: Database) -> None:
    first, second = [await db.write(sessions.open_session, "lina", now=NOW, lives=LIVES) for _ in range(2)]
    await db.write(sessions.close_session, first)
    assert await db.read(sessions.find_session, first, now=NOW) is None
    assert await db.read(sessions.find_session, second, now=NOW) is not None
