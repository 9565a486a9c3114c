"""Customer groups for other programs."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from scrm.group_chats import tag_store
from scrm.group_chats.keep import keep
from scrm.services import Services
from scrm.wecom.group_chats import read_group_chat


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def test_groups_are_listed_page_by_page_and_shown_with_their_people(
    api: "TestClient[Any, Any]", services: Services
) -> None:
    now = services.clock.now()
    for number in range(5):
        people = [{"userid": "lina", "type": 1, "join_time": 1772416800}, {"userid": f"wm{number:030}", "type": 2}]
        told = {"chat_id": f"wr{number}", "owner": "lina", "create_time": 1772416800, "member_list": people}
        await services.db.write(keep, read_group_chat(told), now=now)
    await services.db.write(tag_store.set_tags, "wr3", ["老客"])
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = await (await api.get("/api/v1/group_chats", params=query)).json()
        seen += [item["chat_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["wr4", "wr3", "wr2", "wr1", "wr0"]
    tagged = await (await api.get("/api/v1/group_chats", params={"tag": "老客", "owner": "LINA"})).json()
    assert [(item["chat_id"], item["tags"], item["customers"]) for item in tagged["items"]] == [("wr3", ["老客"], 1)]
    group = await (await api.get("/api/v1/group_chats/wr2")).json()
    assert {(one["userid"], one["type"]) for one in group["member_list"]} == {("lina", 1), (f"wm{2:030}", 2)}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/group_chats/wrNobody", 404),
        ("/api/v1/group_chats?state=x", 422),
        ("/api/v1/group_chats?limit=-1", 422),
    ],
)
async def test_wrong_questions_are_told_so(api: "TestClient[Any, Any]", path: str, status: int) -> None:
    response = await api.get(path)
    assert response.status == status
    assert (await response.json())["error"]["message"]
