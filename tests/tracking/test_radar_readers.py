"""Who opened a content, page by page, and each single opening of one person: on both databases, by an index."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from scrm.errors import NotFound
from scrm.profiles.store import ensure_contact, save_member
from scrm.tracking import radar
from scrm.tracking.models import radar_link, radar_open
from tests.plans import plans_of
from tests.tracking.conftest import Visitor
from tests.world import World

ANYTHING = ("https://mall.example.com/",)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


async def test_every_reader_and_every_opening_is_reached_by_going_on(world: World, manager: Visitor) -> None:
    now = world.clock.now()

    def furnish(conn: Connection) -> tuple[str, int, int]:
        for userid, name in (("lina", "李娜"), ("WuHao", "吴昊")):
            save_member(conn, userid, name=name, now=now)
        made = [
            radar.save_content(
                conn, title=f"内容 {number}", url=ANYTHING[0], domains=["mall.example.com"], by="", now=now
            )
            for number in range(52)
        ]
        content, person = made[-1], ensure_contact(conn, "wmReader", now=now).person_id
        links = [
            {"token": f"t{number}", "content_id": content.id, "userid": "lina", "person_id": 10_000 + number, "opens": 1,
             # Three at the same moment: the id decides.
             "last_opened_at": now - timedelta(minutes=number // 3), "created_at": now}
            for number in range(60)
        ]  # fmt: skip
        conn.execute(radar_link.insert(), [*links, {**links[0], "token": "unread", "person_id": 9_999, "opens": 0}])
        ours = [
            conn.execute(
                radar_link.insert().values(**{**links[0], "token": userid, "userid": userid, "person_id": person,
                                              "external_userid": "wmReader", "opens": 30}).returning(radar_link.c.id)
            ).scalar_one()
            for userid in ("lina", "WuHao")
        ]  # fmt: skip
        opens = [
            {"link_id": ours[number % 2], "view": f"v{number}", "opened_at": now - timedelta(hours=number // 4),
             "seconds": number}
            for number in range(60)
        ]  # fmt: skip
        conn.execute(radar_open.insert(), opens)
        return content.key, content.id, ours[0]

    key, content_id, link_id = await world.services.db.write(furnish)

    def walk(conn: Connection, ask: Any, at: str) -> list[Any]:
        found: list[Any] = []
        place = None
        while rows := ask(conn, place):
            found += rows
            place = radar.Place.read(str(radar.Place(getattr(rows[-1], at), rows[-1].id)))
        return found

    def look(conn: Connection) -> tuple[list[Any], list[Any]]:
        link = radar.find_reader(conn, content_id, link_id)
        readers = walk(conn, lambda conn, at: radar.list_readers(conn, content_id, after=at, limit=7), "last_opened_at")
        opened = walk(conn, lambda conn, at: radar.list_openings(conn, link, after=at, limit=7), "opened_at")
        return readers, opened

    readers, opened = await world.services.db.read(look)
    assert len(readers) == len({row.id for row in readers}) == 62
    assert [row.last_opened_at for row in readers] == sorted((row.last_opened_at for row in readers), reverse=True)
    assert sorted(row.seconds for row in opened) == list(range(60))
    assert {row.member_name for row in opened} == {"李娜", "吴昊"}
    with pytest.raises(NotFound):
        await world.services.db.read(radar.find_reader, content_id - 1, link_id)

    first = await manager.get("/console/radar")
    assert ("内容 51" in first, "内容 1 " in first) == (True, False)
    (more,) = [link for link in first.links if "before=" in link]
    assert "内容 1 " in await manager.get(more)
    page = await manager.get(f"/console/radar/{key}")
    (more,) = [link for link in page.links if "after=" in link]
    assert sum("/readers/" in link for link in page.links) == 50
    rest = await manager.get(more)
    assert (sum("/readers/" in link for link in rest.links), [link for link in rest.links if "after=" in link]) == (
        12,
        [],
    )
    one = await manager.get(f"/console/radar/{key}/readers/{link_id}")
    assert ("50 秒" in one, "49 秒" in one, "吴昊" in one, len([link for link in one.links if "after=" in link])) == (
        True,
        False,
        True,
        1,
    )
    assert "李娜 62 61 90" in await manager.get(f"/console/radar/{key}/members")
    assert (await manager.get(f"/console/radar/nothing/readers/{link_id}")).status == 404

    def plans(conn: Connection) -> list[str]:
        place = radar.Place(now, 10**6)

        def ask(conn: Connection) -> None:
            radar.list_readers(conn, content_id, after=place)
            radar.list_openings(conn, radar.find_reader(conn, content_id, link_id), after=place)

        return plans_of(conn, ask)

    readers_plan, _, openings_plan = await world.services.db.write(plans)
    assert "ix_radar_link_opened" in readers_plan
    assert "ix_radar_open_link_id" in openings_plan
