"""Radar links as members send them, customers open them and pages tell how long they were read."""

import json
from typing import Any

import pytest

from scrm.api.store import make_key
from scrm.events import event
from scrm.profiles.store import save_member
from scrm.sop.models import send
from scrm.tracking import radar
from tests.tracking.conftest import KEY
from tests.world import XIAOMAN, World

PHONE = {"User-Agent": "Mozilla/5.0 (iPhone) MicroMessenger/8.0"}


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://mall.example.com/p/1?a=1#top", True),
        ("http://MALL.example.com", True),
        ("https://a.shop.cn:8443/x", True),
        ("https://a.shop.cn/x", False),
        ("//mall.example.com/x", False),
        ("javascript:alert(1)//mall.example.com", False),
        ("https://mall.example.com.evil.test/", False),
        ("https://mall.example.com@evil.test/", False),
        ("https://evil.test\\@mall.example.com/", False),
        ("https://evil.test/?mall.example.com", False),
        ("https://mall.example.com\t.evil.test/", False),
        ("https://[bad/", False),
        ("", False),
    ],
)
def test_links_lead_only_to_the_shops_own_pages(url: str, allowed: bool) -> None:
    assert radar.is_allowed(url, ("mall.example.com", "*.shop.cn:8443")) is allowed


async def call(world: World, path: str, body: Any = None) -> tuple[int, Any]:
    key = await world.services.db.write(make_key, "mall", "manager", now=world.clock.now())
    headers = {"Authorization": f"Bearer {key}"}
    response = await world.client.request("POST" if body else "GET", path, json=body, headers=headers)
    return response.status, await response.json()


async def make_link(world: World, **more: str) -> str:
    await world.services.db.write(save_member, "lina", name="李娜", now=world.clock.now())
    target = {"key": "guide", "title": "敏感肌护理指南", "url": "https://mall.example.com/guide?from=a&b=%20#how"}
    status, made = await call(world, "/api/v1/radar/links", target | {"userid": "lina"} | more)
    assert status == 200, made
    return str(made["url"].removeprefix("https://crm.example.test"))


async def visit(world: World, link: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    response = await world.client.request(method, link, headers={**PHONE, **headers}, allow_redirects=False)
    return response.status, response.headers.get("Location", "")


async def test_an_opening_is_counted_told_once_and_read_for_some_seconds(world: World) -> None:
    await world.add()
    link = await make_link(world, external_userid=XIAOMAN)
    assert await make_link(world, external_userid=XIAOMAN) == link
    for quiet in ({"User-Agent": "WeChat LinkPreview"}, {"Sec-Purpose": "prefetch;prerender"}):
        assert (await visit(world, link, **quiet))[1] == "https://mall.example.com/guide?from=a&b=%20#how"
    assert (await visit(world, link, "HEAD"))[0] == 302
    assert await world.rows(event, event.c.name == "message.radar_opened") == []

    views = []
    for _ in range(3):
        status, target = await visit(world, link)
        assert status == 302
        assert target.startswith("https://mall.example.com/guide?from=a&b=%20&scrm_r=")
        views.append(target.partition("scrm_r=")[2].removesuffix("#how"))
        await world.settle()
    (told,) = await world.rows(event, event.c.name == "message.radar_opened")
    assert (told.userid, told.facts["title"]) == ("lina", "敏感肌护理指南")
    (message,) = [one for one in world.wecom.called("message/send") if one["msgtype"] == "textcard"]
    assert message["textcard"]["title"] == "小满刚刚看过你发的内容"
    (kept,) = await world.rows(send, send.c.kind == "app_message")
    assert kept.outcome == "sent"
    await world.pass_time(hours=1)
    await visit(world, link)
    await world.settle()
    assert len(await world.rows(event, event.c.name == "message.radar_opened")) == 2
    assert len([one for one in world.wecom.called("message/send") if one["msgtype"] == "textcard"]) == 1

    for seconds in (12, 40, 30, 99_999):
        read = {"name": "content.read", "radar": views[0], "seconds": seconds if seconds < 99 else 41}
        await world.client.post("/track", data=json.dumps({"key": KEY, "events": [read]}))
    await world.client.post("/track", data=json.dumps({"key": KEY, "events": [read | {"radar": "nobody"}]}))
    _, figures = await call(world, "/api/v1/radar/contents")
    (guide,) = figures["items"]
    assert {name: guide[name] for name in ("links", "persons", "readers", "opens", "seconds")} == {
        "links": 1,
        "persons": 1,
        "readers": 1,
        "opens": 4,
        "seconds": 41,
    }
    _, one = await call(world, "/api/v1/radar/contents/guide")
    assert [(row["name"], row["opens"]) for row in one["members"]] == [("李娜", 4)]


async def test_a_link_without_a_person_is_only_counted(world: World) -> None:
    link = await make_link(world)
    assert (await visit(world, link))[0] == 302
    await world.settle()
    assert await world.rows(event, event.c.name == "message.radar_opened") == []
    assert world.wecom.called("message/send") == []


async def test_what_is_unknown_foreign_or_taken_down_leads_nowhere(world: World) -> None:
    foreign = {"title": "坏", "url": "https://evil.test/"}
    status, refused = await call(world, "/api/v1/radar/links", foreign)
    assert (status, "tracking.domains" in refused["error"]["message"]) == (422, True)
    assert (await call(world, "/api/v1/radar/links", {"key": "nothing"}))[0] == 404
    assert (await visit(world, "/r/nobody"))[0] == 404
    link = await make_link(world)
    await world.services.db.write(radar.archive, "guide", True)
    assert (await visit(world, link)) == (404, "")
