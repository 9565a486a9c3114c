"""Suggestions beside the chat: one may be sent, a hint is for the member's eyes, neither pings."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from scrm.profiles.models import external_contact
from scrm.sop.models import task
from tests.sidebar.conftest import Member, words
from tests.world import ANING, World

PAGE = f"/sidebar/contacts/{ANING}"


@pytest.fixture
async def suggested(world: World, lina: Member) -> tuple[int, int]:
    """A suggestion and a hint for Aning."""
    await world.add(ANING, "lina")
    now = world.clock.now()

    def save(conn: object) -> tuple[int, int]:
        person_id = conn.execute(  # type: ignore[attr-defined]
            select(external_contact.c.person_id).where(external_contact.c.external_userid == ANING)
        ).scalar_one()
        row = {
            "userid": "lina",
            "external_userid": ANING,
            "person_id": person_id,
            "playbook_title": "到货关怀",
            "reminder": "none",
            "open_at": now,
            "expires_at": now + timedelta(days=7),
            "created_at": now,
        }
        said = {"title": "问问用得怎么样", "text": "最近用得怎么样？有问题随时找我", "kind": "suggestion"}
        hint = {"title": "补收货地址", "text": "聊到时问一句收货地址，生日礼要寄", "kind": "hint"}
        ids = [
            conn.execute(insert(task).values(**row, **each).returning(task.c.id)).scalar_one()  # type: ignore[attr-defined]
            for each in (said, hint)
        ]
        return ids[0], ids[1]

    return await world.services.db.write(save)


async def test_suggestions_stand_apart_and_are_used_or_put_away(
    world: World, lina: Member, suggested: tuple[int, int]
) -> None:
    said, hint = suggested
    page = words(await lina.page(PAGE))
    assert "建议 · 聊到时可以用" in page
    assert "补收货地址" in page
    assert "还有" not in page
    top = await lina.page(f"{PAGE}/now?task={said}")
    assert "建议 · 到货关怀" in words(top)
    response = await lina.tap(f"/sidebar/tasks/{said}/release")
    assert (await response.json())["messages"][0]["text"] == {"content": "最近用得怎么样？有问题随时找我"}
    assert "已采用" in words(await lina.press(f"/sidebar/tasks/{hint}/used"))
    await lina.press(f"/sidebar/tasks/{said}/sending", ok="true")
    (first, second) = await world.rows(task, task.c.id.in_(suggested))
    assert (first.state, second.state) == ("sent", "sent")
