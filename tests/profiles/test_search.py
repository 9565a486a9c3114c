"""Names are found by any piece of them, as soon as they are written, and are not found when they are gone."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from sqlalchemy import Connection, delete, insert, update

from scrm.db import Database
from scrm.profiles import search
from scrm.profiles.models import external_contact, follow_user, person
from scrm.profiles.search import find_named, renew, tick

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
SIGNS = "王李小满雨芳 Ab1_%🌸·-\"'"


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


def _meet(conn: Connection, name: str, remark: str = "") -> int:
    number = int(conn.execute(insert(person).values(name="", created_at=NOW).returning(person.c.id)).scalar_one())
    contact = {"external_userid": f"wm{number}", "person_id": number}
    conn.execute(insert(external_contact).values(name=name, type=1, created_at=NOW, **contact))
    conn.execute(insert(follow_user).values(userid="lina", followed_at=NOW, remark=remark, **contact))
    return number


async def _found(db: Database, text: str, **more: int) -> list[int]:
    return await db.read(lambda conn: find_named(conn, text, limit=more.pop("limit", 50), **more))


async def test_a_name_is_found_by_one_sign_or_more_before_and_after_its_words_are_written(db: Database) -> None:
    first = await db.write(_meet, "陈小满", "618 油皮 Amy")
    second = await db.write(_meet, "小满妈妈")
    for _ in range(2):
        assert await _found(db, "满") == await _found(db, "小满") == [second, first]
        assert await _found(db, "陈小满") == await _found(db, "amy 小满") == await _found(db, "618") == [first]
        assert await _found(db, "满小") == await _found(db, "查无此人") == await _found(db, "  ") == []
        # Two names of one person are two names: no piece reaches from one into the other.
        assert await _found(db, "满6") == []
        await tick(db)


async def test_a_name_that_changes_or_goes_is_found_as_it_is_now(db: Database) -> None:
    who = await db.write(_meet, "陈小满")
    other = await db.write(_meet, "老周")
    await tick(db)
    await db.write(
        lambda conn: conn.execute(
            update(external_contact).where(external_contact.c.person_id == who).values(name="陈大满")
        )
    )
    await tick(db)
    assert (await _found(db, "小满"), await _found(db, "大满")) == ([], [who])
    # Merged: the contact is somebody else's now.
    await db.write(
        lambda conn: conn.execute(
            update(external_contact).where(external_contact.c.person_id == who).values(person_id=other)
        )
    )
    await tick(db)
    assert await _found(db, "大满") == [other]
    await db.write(lambda conn: conn.execute(delete(follow_user)))
    await db.write(lambda conn: conn.execute(delete(external_contact)))
    await tick(db)
    assert await _found(db, "大满") == await _found(db, "老周") == []


async def test_pages_follow_each_other(db: Database) -> None:
    everybody = [await db.write(_meet, "顾客") for _ in range(7)]
    await tick(db)
    first = await _found(db, "顾客", limit=3)
    assert first == everybody[:-4:-1]
    assert await _found(db, "顾客", below=first[-1], limit=50) == everybody[3::-1]


async def test_a_frequent_name_is_found_from_the_newest_on_and_a_rare_one_among_all(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_FIRST_WALK", 4)
    monkeypatch.setattr(search, "_LONGEST_WALK", 20)
    names = ["常客" if number % 2 else "稀客" if number == 10 else "路人" for number in range(40)]
    numbers = await db.write(lambda conn: [_meet(conn, name) for name in names])
    await tick(db)
    frequent = [each for each, name in zip(numbers, names, strict=True) if name == "常客"][::-1]
    assert await _found(db, "常客", limit=2) == frequent[:2]
    assert await _found(db, "常客", limit=7) == frequent[:7]
    assert await _found(db, "常客", limit=7, below=frequent[6]) == frequent[7:14]
    assert await _found(db, "常客") == frequent
    assert await _found(db, "稀客") == [numbers[10]]
    assert await _found(db, "没有") == []


@pytest.mark.parametrize("seed", range(3))
async def test_any_piece_of_any_name_finds_its_persons(
    db: Database, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if seed:
        monkeypatch.setattr(search, "_LONGEST_WALK", 0)  # so that PostgreSQL asks its index
    dice = random.Random(seed)
    names = ["".join(dice.choices(SIGNS, k=dice.randint(1, 8))) for _ in range(30)]
    numbers = await db.write(lambda conn: [_meet(conn, name) for name in names])
    if seed:
        await db.write(renew)
    for name in names:
        start = dice.randrange(len(name))
        piece = name[start : start + dice.randint(1, 4)]
        wanted = piece.casefold().split()
        if not any(sign.isalnum() for sign in piece):
            continue  # PostgreSQL has only letters and digits in its index
        expected = [
            number
            for number, each in zip(numbers, names, strict=True)
            if all(part in each.casefold() for part in wanted)
        ]
        assert await _found(db, piece) == expected[::-1], piece


async def test_a_name_of_signs_only_is_nothing_to_trip_over(db: Database) -> None:
    await db.write(_meet, "🌸🌸")
    for text in ("🌸", '"', "'", "%", "\\", "*", "AND", "NEAR(", "-", "^"):
        await _found(db, text)
