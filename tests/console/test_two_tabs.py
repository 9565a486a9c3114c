"""Two who have the same form open: the second is told before the first one's work is gone, and loses nothing of his."""

import json
import re

import pytest

from tests.console.conftest import Page, SignIn, Visitor
from tests.world import World

TREE = json.dumps({"field": "person.orders", "op": "gte", "value": 1})
CODE = {"title": "直播间", "kind": "直播", "userid": "lina"}
SEGMENT = {"title": "买过的", "tree": TREE}
SCRIPT = {"title": "打招呼", "text": "您好", "act": "draft"}
ASKED_FOR = "你打开之后，这里又被保存过一次"


def seen_in(page: Page, action: str) -> str:
    """What the form to change the thing was filled from; other forms of the page carry none."""
    found = [tag["value"] for name, tag in page.tags if name == "input" and tag.get("name") == "seen"]
    assert len(found) == 1, action
    return str(found[0])


@pytest.mark.parametrize(
    ("new", "fields", "form", "save"),
    [
        ("/console/contact-ways/new", CODE, "", ""),
        ("/console/segments/new", SEGMENT, "/edit", "/edit"),
        ("/console/library/new", SCRIPT, "", ""),
    ],
)
async def test_the_second_is_told_keeps_what_he_wrote_and_may_save_it_all_the_same(
    world: World, manager: Visitor, new: str, fields: dict[str, str], form: str, save: str
) -> None:
    made = await manager.send(new, **fields)
    assert made.status == 303
    at = made.headers["Location"].partition("?")[0]
    filled = seen_in(await manager.get(at + form), at)
    # A slip of his own is not what makes the form newer than it is.
    slip = await manager.send(at + save, **{**fields, "title": ""}, seen=filled)
    assert slip.status == 422
    mine = seen_in(Page(slip.status, await slip.text()), at)

    world.clock.advance(minutes=1)
    assert (await manager.send(at + save, **{**fields, "title": "先存的"}, seen=filled)).status == 303
    refused = await manager.send(at + save, **{**fields, "title": "后存的"}, seen=mine)
    told = Page(refused.status, await refused.text())
    assert (told.status, ASKED_FOR in told) == (409, True)
    assert 'value="后存的"' in told.html
    assert 'value="先存的"' in (await manager.get(at + form)).html

    assert (await manager.send(at + save, **{**fields, "title": "后存的"}, seen=seen_in(told, at))).status == 303
    assert 'value="后存的"' in (await manager.get(at + form)).html


async def test_the_rules_of_the_house_are_not_overwritten_unawares(world: World, sign_in: SignIn) -> None:
    manager = await sign_in("boss", "老板", "administrator")
    filled = seen_in(await manager.get("/console/guards"), "/console/guards")
    rules = {"after_sale_days": "7", "talk_hours": "24", "holdout_percent": "0"}
    assert (await manager.send("/console/guards", **rules, per_week="2", seen=filled)).status == 303
    world.clock.advance(minutes=1)
    refused = await manager.send("/console/guards", **rules, per_week="5", seen=filled)
    told = Page(refused.status, await refused.text())
    assert (told.status, ASKED_FOR in told) == (409, True)
    again = seen_in(told, "/console/guards")
    assert (await manager.send("/console/guards", **rules, per_week="5", seen=again)).status == 303
    assert 'name="per_week" value="5"' in (await manager.get("/console/guards")).html


async def test_a_plan_is_not_overwritten_unawares(manager: Visitor) -> None:
    source = """plan: weekly
title: 福利群日常
kind: group
to: {tags: [福利群]}
items:
  - {id: daily, title: 每日一品, on: daily, at: "10:00", ttl: 6h, content: {text: 今天看这一件}}
"""
    assert (await manager.send("/console/plans", source=source)).status == 303
    filled = seen_in(await manager.get("/console/plans/weekly/edit"), "/console/plans")
    slip = await manager.send("/console/plans", source=source.replace("on: daily, ", ""), key="weekly", seen=filled)
    assert (slip.status, seen_in(Page(slip.status, await slip.text()), "/console/plans")) == (422, filled)
    first, second = source.replace("这一件", "这两件"), source.replace("这一件", "这三件")
    assert (await manager.send("/console/plans", source=first, key="weekly", seen=filled)).status == 303
    refused = await manager.send("/console/plans", source=second, key="weekly", seen=filled)
    told = Page(refused.status, await refused.text())
    assert (told.status, ASKED_FOR in told, "这三件" in told) == (409, True, True)
    again = seen_in(told, "/console/plans")
    assert (await manager.send("/console/plans", source=second, key="weekly", seen=again)).status == 303
    assert "这三件" in await manager.get("/console/plans/weekly/edit")


async def test_a_role_is_not_overwritten_unawares(sign_in: SignIn) -> None:
    boss = await sign_in("boss", "老板", "administrator")
    role = {"title": "门店主管", "reach": "own", "rights": "customers:view"}
    assert (await boss.send("/console/access/roles/new", **role)).status == 303
    (at,) = set(re.findall(r"/console/access/roles/role-[0-9a-f]+", (await boss.get("/console/access/roles")).html))
    filled = seen_in(await boss.get(at), at)
    slip = await boss.send(at, **{**role, "title": ""}, seen=filled)
    assert (slip.status, seen_in(Page(slip.status, await slip.text()), at)) == (422, filled)
    assert (await boss.send(at, **{**role, "title": "店长"}, seen=filled)).status == 303
    refused = await boss.send(at, **{**role, "title": "督导"}, seen=filled)
    told = Page(refused.status, await refused.text())
    assert (told.status, ASKED_FOR in told) == (409, True)
    assert (await boss.send(at, **{**role, "title": "督导"}, seen=seen_in(told, at))).status == 303
    assert 'value="督导"' in (await boss.get(at)).html
