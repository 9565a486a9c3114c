"""Whose customers a role reaches."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, insert, select

from scrm.access.roles import ALL, DEPARTMENT, OWN
from scrm.access.scope import (
    EVERYONE,
    Scope,
    reaches,
    reaches_contact,
    reaches_member,
    require_contact,
    require_person,
    scope_for,
)
from scrm.db import Database
from scrm.errors import Forbidden
from scrm.profiles import store as profiles
from scrm.profiles.models import department, external_contact, follow_user, member, member_department, person

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)

# 1 总部 > 2 华东 > 3 徐汇店, 4 杭州店; 5 华南 stands beside them.
DEPARTMENTS = {1: 0, 2: 1, 3: 2, 4: 2, 5: 1}
MEMBERS = {"head": 2, "lina": 3, "wanghao": 4, "south": 5}
# person: who follows them, and whether the member has ended it
FOLLOWED = {1: ("lina", ""), 2: ("wanghao", "customer"), 3: ("south", ""), 4: ("lina", "member"), 5: ("head", "")}
NOT_FOLLOWED = 6


def furnish(conn: Connection) -> None:
    for id_, parent in DEPARTMENTS.items():
        conn.execute(insert(department).values(id=id_, name=f"部门{id_}", parent_id=parent))
    for userid, place in MEMBERS.items():
        profiles.save_member(conn, userid, name=userid, now=NOW)
        conn.execute(insert(member_department).values(userid=userid, department_id=place))
    for id_ in (*FOLLOWED, NOT_FOLLOWED):
        conn.execute(insert(person).values(id=id_, name=f"客户{id_}", created_at=NOW))
        conn.execute(insert(external_contact).values(external_userid=f"wm{id_}", person_id=id_, created_at=NOW))
    for id_, (userid, ended_by) in FOLLOWED.items():
        conn.execute(
            insert(follow_user).values(
                userid=userid, external_userid=f"wm{id_}", person_id=id_, followed_at=NOW, ended_by=ended_by
            )
        )


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = Database(database_url)
    await db.write(furnish)
    yield db
    await db.close()


EXPECTED = [
    (Scope("lina", OWN), {1}),
    (Scope("lina", DEPARTMENT), {1}),
    (Scope("head", OWN), {5}),
    (Scope("head", DEPARTMENT), {1, 2, 5}),
    (Scope("south", DEPARTMENT), {3}),
    # Who leads a department reaches it without belonging to it.
    (Scope("south", DEPARTMENT, leads=(3,)), {1, 3}),
    (Scope("stranger", OWN), set()),
    (Scope("stranger", DEPARTMENT), set()),
    (Scope("stranger", "nonsense"), set()),
    (EVERYONE, {1, 2, 3, 4, 5, 6}),
]


@pytest.mark.parametrize(("scope", "persons"), EXPECTED)
async def test_a_list_has_the_persons_within_the_reach_and_each_page_agrees(
    db: Database, scope: Scope, persons: set[int]
) -> None:
    def look(conn: Connection) -> tuple[set[int], set[str]]:
        by_person = set(conn.scalars(select(person.c.id).where(reaches(scope, person.c.id))))
        contact = external_contact.c.external_userid
        return by_person, set(conn.scalars(select(contact).where(reaches_contact(scope, contact))))

    found, contacts = await db.read(look)
    assert found == persons
    assert contacts == {f"wm{id_}" for id_ in persons}
    for id_ in (*FOLLOWED, NOT_FOLLOWED):
        for check, asked in ((require_person, id_), (require_contact, f"wm{id_}")):
            if id_ in persons:
                await db.read(check, scope, asked)  # type: ignore[arg-type]
            else:
                with pytest.raises(Forbidden, match="数据范围"):
                    await db.read(check, scope, asked)  # type: ignore[arg-type]


async def test_members_within_the_reach_are_oneself_or_the_departments(db: Database) -> None:
    def look(conn: Connection, scope: Scope) -> set[str]:
        return set(conn.scalars(select(member.c.userid).where(reaches_member(scope, member.c.userid))))

    assert await db.read(look, Scope("head", OWN)) == {"head"}
    assert await db.read(look, Scope("head", DEPARTMENT)) == {"head", "lina", "wanghao"}
    assert await db.read(look, EVERYONE) == set(MEMBERS)


async def test_departments_in_a_circle_end(db: Database) -> None:
    await db.write(lambda conn: conn.execute(department.update().where(department.c.id == 2).values(parent_id=3)))
    await db.read(require_person, Scope("lina", DEPARTMENT), 2)


async def test_two_conditions_stand_in_one_statement(db: Database) -> None:
    scope = Scope("head", DEPARTMENT)

    def look(conn: Connection) -> list[int]:
        both = select(follow_user.c.person_id).where(
            reaches(scope, follow_user.c.person_id), reaches_member(scope, follow_user.c.userid)
        )
        return sorted(conn.scalars(both))

    assert await db.read(look) == [1, 2, 5]


async def test_the_scope_of_a_leader_comes_from_the_address_book(db: Database) -> None:
    await db.write(profiles.save_member, "South", name="南", leads=[3], now=NOW)
    assert await db.read(scope_for, "south", DEPARTMENT) == Scope("south", DEPARTMENT, (3,))
    assert await db.read(scope_for, "south", ALL) == Scope("south", ALL)
