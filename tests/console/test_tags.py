"""企业标签 as a manager makes, sorts, renames and deletes them."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.async_api import Page, expect

from scrm.http import COOKIE
from scrm.profiles import tag_library, tags
from scrm.profiles.models import corp_tag, follow_user_tag
from tests.console.conftest import Visitor
from tests.fixtures_browser import OpenPage
from tests.world import XIAOMAN, World

Screenshot = Callable[[Page, str], Awaitable[Any]]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def post(visitor: Visitor, path: str, **fields: str) -> tuple[int, str]:
    data = {"csrf": visitor.csrf, **fields}
    response = await visitor.world.client.post(path, data=data, headers=visitor.cookie, allow_redirects=False)
    return response.status, await response.text()


async def living(world: World) -> set[str]:
    return {row.tag_name for row in await world.rows(corp_tag, corp_tag.c.is_deleted.is_(False))}


async def test_tags_are_made_renamed_and_deleted_in_wecom_and_here(world: World, manager: Visitor) -> None:
    assert "还没有企业标签" in await manager.get("/console/tags")
    assert (await post(manager, "/console/tags", group="肤质", names="油皮，干皮, 油皮"))[0] == 303
    (call,) = world.wecom.called("externalcontact/add_corp_tag")
    assert call == {"tag": [{"name": "油皮"}, {"name": "干皮"}], "group_name": "肤质"}
    assert (await post(manager, "/console/tags", group="肤质", names="油皮"))[0] == 303  # there already: no call
    assert len(world.wecom.called("externalcontact/add_corp_tag")) == 1

    def carry(conn: Any) -> None:
        row = {"userid": "lina", "external_userid": XIAOMAN, "tag_id": "et油皮", "tag_name": "油皮"}
        conn.execute(follow_user_tag.insert().values(**row))
        conn.execute(corp_tag.update().where(corp_tag.c.tag_name == "油皮").values(tag_id="etOily"))
        conn.execute(follow_user_tag.update().values(tag_id="etOily"))

    await world.services.db.write(carry)
    assert (await post(manager, "/console/tags/etOily", name="大油皮"))[0] == 303
    assert world.wecom.called("externalcontact/edit_corp_tag") == [{"id": "etOily", "name": "大油皮"}]
    assert [row.tag_name for row in await world.rows(follow_user_tag)] == ["大油皮"]
    world.wecom.say("externalcontact/del_corp_tag", 81011)
    assert (await post(manager, "/console/tags/etOily/delete"))[0] == 503
    assert await living(world) == {"大油皮", "干皮"}
    assert (await post(manager, "/console/tags/etOily/delete"))[0] == 303
    assert (await living(world), await world.rows(follow_user_tag)) == ({"干皮"}, [])


async def test_groups_are_moved_in_wecom_with_as_few_calls_as_it_takes(world: World, manager: Visitor) -> None:
    def make(conn: Any) -> None:
        for name, order in (("肤质", 5), ("来源", 0), ("阶段", 0), ("活动", 0)):
            row = {"tag_id": f"et{name}", "tag_name": name, "group_name": name, "group_order": order}
            conn.execute(corp_tag.insert().values(group_id=f"g{ord(name[0])}", **row))

    async def shown() -> list[str]:
        orders = await world.services.db.read(tags.list_library)
        return [row.group_name for row in orders]

    await world.services.db.write(make)
    before = await shown()
    assert before == ["肤质", *sorted(before[1:])]
    last, first = f"g{ord(before[3][0])}", f"g{ord(before[0][0])}"
    page = await manager.get("/console/tags")
    assert page.html.count('/up"') == page.html.count('/down"') == 3
    assert (await post(manager, f"/console/tags/groups/{last}/up"))[0] == 303
    assert await shown() == [before[0], before[1], before[3], before[2]]
    assert (await post(manager, f"/console/tags/groups/{first}/down"))[0] == 303
    assert await shown() == [before[1], before[0], before[3], before[2]]
    calls = world.wecom.called("externalcontact/edit_corp_tag")
    assert calls[-1] == {"id": f"g{ord(before[1][0])}", "order": 6}
    told = len(calls)
    # At the end it stays where it is, and what another app made stays as it was.
    assert (await post(manager, f"/console/tags/groups/g{ord(before[1][0])}/up"))[0] == 303
    assert len(world.wecom.called("externalcontact/edit_corp_tag")) == told
    world.wecom.say("externalcontact/edit_corp_tag", 81011)
    status, words = await post(manager, f"/console/tags/groups/{first}/up")
    assert (status, await shown()) == (503, [before[1], before[0], before[3], before[2]])
    assert "标签" in words
    assert (await post(manager, "/console/tags/groups/gNobody/up"))[0] == 404
    assert (await post(manager, f"/console/tags/groups/{first}/place", before="gNobody"))[0] == 404
    assert (await post(manager, f"/console/tags/groups/{first}/place", before=""))[0] == 303
    assert (await shown())[-1] == before[0]


@pytest.mark.parametrize(
    ("path", "fields", "status", "words"),
    [
        ("/console/tags", {"group": "", "names": "油皮"}, 422, "标签组名要有 1 到 30 个字"),
        ("/console/tags", {"group": "肤质", "names": "，"}, 422, "请填写标签名"),
        ("/console/tags", {"group": "肤质", "names": "一" * 31}, 422, "标签名要有 1 到 30 个字"),
        ("/console/tags", {"group": "肤质", "names": ",".join(map(str, range(101)))}, 422, "一次最多新建 100 个"),
        ("/console/tags/etNobody", {"name": "油皮"}, 404, "没有这个标签"),
    ],
)
async def test_what_wecom_would_refuse_is_refused_first(
    world: World, manager: Visitor, path: str, fields: dict[str, str], status: int, words: str
) -> None:
    found, body = await post(manager, path, **fields)
    assert (found, words in body) == (status, True)
    assert not world.wecom.calls


async def test_a_group_is_made_exclusive_and_open_again(world: World, manager: Visitor) -> None:
    await post(manager, "/console/tags", group="肤质", names="油皮，干皮")
    path = "/console/tags/groups/etGroup/exclusive"
    assert "设为互斥" in await manager.get("/console/tags")
    assert (await post(manager, path, on="1"))[0] == 303
    assert "改为可多选" in await manager.get("/console/tags")
    assert await world.services.db.read(tags.list_exclusive) == {"etGroup"}
    assert (await post(manager, path, on="0"))[0] == 303
    assert await world.services.db.read(tags.list_exclusive) == set()
    assert (await post(manager, "/console/tags/groups/etNobody/exclusive", on="1"))[0] == 404


@given(st.lists(st.integers(0, 6), min_size=1, max_size=6), st.data())
def test_a_place_takes_few_new_orders_and_leaves_all_others_in_theirs(found: list[int], data: st.DataObject) -> None:
    orders = {f"t{number}": order for number, order in enumerate(sorted(found, reverse=True))}
    moved, before = data.draw(st.sampled_from([*orders])), data.draw(st.sampled_from([*orders, ""]))
    changed = tag_library.placed(orders, moved, before)
    wanted = [key for key in orders if key != moved]
    at = wanted.index(before) if before in wanted else len(wanted) if before == "" else [*orders].index(moved)
    wanted.insert(at, moved)
    new, places = {**orders, **changed}, [*orders]
    # Equal orders are told apart by their names, as they stood before.
    assert sorted(orders, key=lambda key: (-new[key], places.index(key))) == wanted
    assert not changed or wanted != places
    assert all(order >= 0 and order != orders[key] for key, order in changed.items())


def test_where_there_is_room_only_one_is_told() -> None:
    assert tag_library.placed({"a": 9, "b": 5, "c": 0}, "c", "b") == {"c": 6}
    assert tag_library.placed({"a": 9, "b": 5, "c": 2}, "a", "") == {"a": 0}
    assert tag_library.placed({"a": 0, "b": 0, "c": 0}, "c", "a") == {"c": 1}


async def test_tags_and_groups_are_sorted_by_mouse_and_by_keys(
    world: World, manager: Visitor, open_page: OpenPage, screenshot: Screenshot
) -> None:
    def make(conn: Any) -> None:
        for name, order in (("油皮", 3), ("干皮", 2), ("混合皮", 1)):
            row = {"tag_id": f"et{order}", "tag_name": name, "group_name": "肤质", "group_id": "g1", "group_order": 5}
            conn.execute(corp_tag.insert().values(sort_order=order, **row))
        row = {"tag_id": "et9", "tag_name": "老客", "group_name": "阶段", "group_id": "g2", "group_order": 1}
        conn.execute(corp_tag.insert().values(**row))

    await world.services.db.write(make)
    base = str(world.client.make_url("")).rstrip("/")
    page = await open_page(width=1280)
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
    await page.goto(base + "/console/tags")
    grip = page.get_by_role("button", name="排序：混合皮")
    await grip.press("ArrowUp")
    first = page.locator("[data-group=g1] [data-tag]")
    await expect(first).to_have_text([re.compile(name) for name in ("油皮", "混合皮", "干皮")])
    await expect(grip).to_be_focused()
    start, end = await grip.bounding_box(), await page.locator("[data-tag=et3]").bounding_box()
    assert start is not None
    assert end is not None
    await page.mouse.move(start["x"] + 8, start["y"] + 8)
    await page.mouse.down()
    await page.mouse.move(end["x"] + 40, end["y"] + 4, steps=15)
    await expect(first).to_have_text([re.compile(name) for name in ("混合皮", "油皮", "干皮")])
    async with page.expect_response("**/console/tags/et1/place"):
        await page.mouse.up()
    # The page is the server's again: the grip that was held has the focus.
    await expect(grip).to_be_focused()
    await page.get_by_role("button", name="排序：阶段").press("ArrowUp")
    await expect(page.locator("[data-group] header h2")).to_have_text([re.compile("阶段"), re.compile("肤质")])
    orders = await world.services.db.read(tags.list_library)
    assert [row.tag_name for row in orders] == ["老客", "混合皮", "油皮", "干皮"]
    # What WeCom does not take stays as it was, and says why.
    world.wecom.say("externalcontact/edit_corp_tag", 81011)
    await page.get_by_role("button", name="排序：干皮").press("ArrowUp")
    await expect(page.locator("[data-said]")).to_contain_text("企业微信没有接受")
    await expect(first).to_have_text([re.compile(name) for name in ("混合皮", "油皮", "干皮")])
    await screenshot(page, "tags-1280")
