"""One feed for sidebar, console and API: every event has its sentence, and other programs tell their own kinds."""

import ast
from pathlib import Path
from typing import Any

import pytest

from scrm.api.store import make_key
from scrm.profiles import timeline
from scrm.profiles.conditions import tree as conditions
from scrm.tracking import names
from tests.world import XIAOMAN, World

SCRM = Path(timeline.__file__).parent.parent


def published_names() -> set[str]:
    """Every name that stands as the name of an Event anywhere in the product."""
    found = set()
    for path in SCRM.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Event":
                given = [keyword.value for keyword in node.keywords if keyword.arg == "name"] + node.args[:1]
                found |= {str(one.value) for one in given if isinstance(one, ast.Constant) and one.value}
    return found


# Of a customer group, not of a person.
NOBODYS = {"group.created", "group.dismissed"}


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def test_every_event_has_a_chinese_sentence_a_kind_and_somebody_who_did_it() -> None:
    told = published_names() - NOBODYS | set(conditions.EVENTS) | set(names.NAMES) - names.UNTOLD | set(names.DERIVED)
    assert len(told) > 40
    for name in sorted(told):
        line = timeline.tell(name, {}, "")
        assert is_chinese(line.title), name
        assert name in conditions.EVENTS, f"{name} has no title in conditions.EVENTS"
        assert line.title != "有新动态"
        assert timeline.kind_of(name) != "other", name
        assert timeline.actor_of(name) in ("customer", "member", "system")
    assert timeline.tell("custom.trial", {"title": "面霜"}, "").title == "自定义事件 trial"


class Api:
    def __init__(self, world: World, key: str) -> None:
        self.world, self.headers = world, {"Authorization": f"Bearer {key}"}

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        response = await self.world.client.request(method, path, json=body, headers=self.headers)
        return response.status, await response.json()


@pytest.fixture
async def api(world: World) -> Api:
    return Api(world, await world.services.db.write(make_key, "mall", "manager", now=world.clock.now()))


async def test_a_program_tells_events_of_its_own_kind(world: World, api: Api) -> None:
    await world.add()
    kind = {"title": "预约试用", "sentence": "预约了{product}的试用，押金{deposit}"}
    kind |= {"facts": {"product": "text", "deposit": "money"}}  # type: ignore[dict-item]
    assert (await api.call("PUT", "/api/v1/event_types/custom.trial_booked", kind))[0] == 200
    for name in ("order.paid", "custom.", "Custom.x", "custom.a-b", "x"):
        assert (await api.call("PUT", f"/api/v1/event_types/{name}", kind))[0] == 422
    told = {"name": "custom.trial_booked", "event_id": "b-1", "facts": {"product": "面霜", "deposit": 990}}
    person = {"person": {"unionid": "oUnionXiaoman"}}
    items = [
        told | person,
        told | person,
        told | {"event_id": "b-2", "person": {"unionid": "oNobody123"}},
        told | person | {"event_id": "b-3", "facts": {"product": 7}},
        told | person | {"event_id": "b-4", "facts": {"colour": "red"}},
        told | person | {"name": "order.paid"},
        told | {"event_id": "b-5", "person": {"external_userid": XIAOMAN}},
        "nothing",
    ]
    status, answer = await api.call("POST", "/api/v1/events", items)
    assert (status, answer["counts"]) == (200, {"created": 2, "known": 1, "rejected": 5})
    assert "系统自己的事件" in answer["items"][5]["error"]
    person_id = answer["items"][0]["person_id"]
    _, feed = await api.call("GET", f"/api/v1/customers/{person_id}/timeline?kind=custom")
    assert [item["text"] for item in feed["items"]] == ["预约了面霜的试用，押金¥9.90"] * 2
    assert (feed["items"][0]["source"], feed["items"][0]["actor"]) == ("api", "customer")
    tree = {"event": "custom.trial_booked", "count": {"gte": 2}, "where": {"product": "面霜"}}
    assert await world.services.db.read(conditions.holds, tree, person_id, world.clock.now())


async def test_pages_of_the_timeline_miss_nothing_that_was_told_late(world: World, api: Api) -> None:
    await world.add()
    now = world.clock.now()
    minutes = [5, 3, 9, 1, 7, 7, 7, 2]
    items = [
        {"name": "custom.step", "facts": {"n": n}, "person": {"unionid": "oUnionXiaoman"}}
        | {"occurred_at": now.replace(hour=1, minute=minute).isoformat()}
        for n, minute in enumerate(minutes)
    ]
    _, answer = await api.call("POST", "/api/v1/events", items)
    person_id = answer["items"][0]["person_id"]
    seen, cursor = [], ""
    while True:
        _, page = await api.call("GET", f"/api/v1/customers/{person_id}/timeline?kind=custom&limit=3&cursor={cursor}")
        seen += [item["facts"]["n"] for item in page["items"]]
        if not (cursor := page["next_cursor"]):
            break
    assert seen == [2, 6, 5, 4, 0, 1, 7, 3]
    status, refused = await api.call("GET", f"/api/v1/customers/{person_id}/timeline?cursor=x")
    assert (status, "next_cursor" in refused["error"]["message"]) == (422, True)
    assert (await api.call("GET", f"/api/v1/customers/{person_id}/timeline?kind=order"))[1]["items"] == []
