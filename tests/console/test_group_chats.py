"""客户群 in the console: lists, one group, people in several, codes that roll, and what WeCom refuses told in words."""

import csv
import io
from typing import Any

import pytest

from scrm.console.channels.group_chats import harmless
from scrm.events import event
from scrm.group_chats import duplicate_store
from scrm.group_chats.models import group_join_code, group_join_slot, group_welcome
from tests.console.conftest import Visitor
from tests.fakes.group_chats import FakeGroups
from tests.fixtures_browser import OpenPage
from tests.world import ANING, XIAOMAN, World

TEA, MILK = "wrTea0000000000000000000000000001", "wrMilk000000000000000000000000002"
WAYS = "externalcontact/groupchat/{}_join_way"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
async def groups(world: World) -> FakeGroups:
    """Two groups of lina with 小满 in both."""
    groups = FakeGroups(world.wecom)
    await world.add()
    now = int(world.clock.now().timestamp())
    groups.create(TEA, "lina", now, name="茶友 1 群")
    groups.create(MILK, "lina", now, name="奶茶 2 群")
    groups.join(TEA, now, XIAOMAN, name="小满")
    groups.join(TEA, now, ANING, name='=HYPERLINK("http://evil")')
    groups.join(MILK, now, XIAOMAN, ANING)
    await tell(world, groups)
    return groups


async def tell(world: World, groups: FakeGroups) -> None:
    for xml in groups.take():
        assert (await world.tell(xml)).status == 200
    await world.settle()
    await world.pass_time(seconds=6)


async def send(visitor: Visitor, path: str, **fields: Any) -> Any:
    data = [("csrf", visitor.csrf)]
    for name, value in fields.items():
        data += [(name, one) for one in (value if isinstance(value, list) else [value])]
    return await visitor.world.client.post(path, data=data, headers=visitor.cookie, allow_redirects=False)


async def test_groups_are_found_by_name_owner_and_tag_and_show_who_is_in_them(
    manager: Visitor, world: World, groups: FakeGroups
) -> None:
    page = await manager.get("/console/group-chats")
    assert "茶友 1 群" in page
    assert "奶茶 2 群" in page
    assert "+2" in page
    assert (await send(manager, f"/console/group-chats/{TEA}/tags", tags="老客，福利群 老客")).status == 303
    page = await manager.get("/console/group-chats", params={"tag": "福利群"})
    assert [link for link in page.links if link.endswith((TEA, MILK))] == [f"/console/group-chats/{TEA}"]
    page = await manager.get("/console/group-chats", params={"q": "奶茶"})
    assert [link for link in page.links if link.endswith((TEA, MILK))] == [f"/console/group-chats/{MILK}"]
    page = await manager.get(f"/console/group-chats/{TEA}")
    assert "小满" in page
    assert "老客" in page
    assert any(link.startswith("/console/customers/") for link in page.links)
    assert "没有这个客户群" in await manager.get("/console/group-chats/wrNobody")


async def test_the_customers_own_page_tells_of_joining_and_leaving(
    manager: Visitor, world: World, groups: FakeGroups
) -> None:
    groups.leave(TEA, int(world.clock.now().timestamp()), XIAOMAN)
    await tell(world, groups)
    (left,) = await world.rows(event, event.c.name == "group.left")
    page = await manager.get(f"/console/customers/{left.person_id}")
    assert "加入客户群 茶友 1 群" in page
    assert "退出客户群 茶友 1 群" in page


async def test_people_in_several_groups_are_listed_and_exported_without_formulas(
    manager: Visitor, world: World, groups: FakeGroups
) -> None:
    page = await manager.get("/console/group-chats/duplicates")
    assert "共 2 位客户在不止一个群里" in page
    response = await world.client.get("/console/group-chats/duplicates.csv", headers=manager.cookie)
    rows = list(csv.reader(io.StringIO((await response.read()).decode("utf-8-sig"))))
    assert len(rows) == 5
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
    # Page by page nobody is lost or shown twice.
    seen: list[str] = []
    after = None
    while True:
        found, after = await world.services.db.read(duplicate_store.list_duplicates, after=after, limit=1)
        seen += [one.userid for one in found]
        if after is None:
            break
    assert sorted(seen) == sorted([XIAOMAN, ANING])


@pytest.mark.parametrize(
    ("cell", "safe"),
    [("=1+1", "'=1+1"), ("  @SUM(A1)", "'  @SUM(A1)"), ("\t=1", "'\t=1"), ("＝1", "'＝1"), ("小满", "小满"), ("", "")],
)
def test_a_cell_that_a_spreadsheet_would_calculate_stays_a_text(cell: str, safe: str) -> None:
    assert harmless(cell) == safe


async def test_figures_come_from_our_ledger_and_stand_beside_wecoms(
    manager: Visitor, world: World, groups: FakeGroups
) -> None:
    data = {"chat_total": 2, "member_total": 4321}
    world.wecom.always(
        "externalcontact/groupchat/statistic",
        lambda _: {"items": [{"owner": "lina", "data": data}], "total": 1, "next_offset": 1},
    )
    page = await manager.get("/console/group-chats/figures", params={"wecom": "1"})
    assert "4,321" in page
    world.wecom.say("externalcontact/groupchat/statistic", 48002)
    assert "读取企业微信的统计失败" in await manager.get("/console/group-chats/figures", params={"wecom": "1"})


async def test_a_code_rolls_to_the_next_group_when_one_is_full_or_over(
    manager: Visitor, world: World, groups: FakeGroups
) -> None:
    made: list[dict[str, Any]] = []

    def add(body: dict[str, Any]) -> dict[str, Any]:
        made.append(body)
        return {"config_id": f"config{len(made)}"}

    world.wecom.always(WAYS.format("add"), add)
    world.wecom.always(
        WAYS.format("get"),
        lambda body: {"join_way": {**body, "qr_code": f"https://wework.example/{body['config_id']}.png"}},
    )
    fields = {"title": "会员福利群", "guidance": "进群领新人礼", "most_members": "10", "chat_id": [TEA, MILK]}
    response = await send(manager, "/console/group-codes/new", **fields)
    assert response.status == 303, await response.text()
    (code,) = await world.rows(group_join_code)
    assert [(body["chat_id_list"], body["state"], body["auto_create_room"]) for body in made] == [
        ([TEA], code.state, 0),
        ([MILK], code.state, 0),
    ]

    async def shown() -> str:
        return await (await world.client.get(f"/g/{code.token}")).text()

    assert "config1.png" in await shown()
    now = int(world.clock.now().timestamp())
    groups.join(TEA, now, *(f"wm{number:030}" for number in range(9)), state=code.state)
    await tell(world, groups)
    assert "config2.png" in await shown()
    page = await manager.get(f"/console/group-codes/{code.state}")
    assert "已满" in page
    assert "展示中" in page
    assert "扫码入群 9" in page
    groups.dismiss(MILK, now)
    await tell(world, groups)
    assert "群暂时满员了" in await shown()
    assert "没有可加入的群" in await manager.get("/console/group-codes")
    # Now WeCom may make new groups: the last full code leads to one.
    fields = {"title": "会员福利群", "most_members": "10", "auto_create_room": "1", "room_base_name": "福利群"}
    assert (await send(manager, f"/console/group-codes/{code.state}", **fields)).status == 303
    assert world.wecom.called(WAYS.format("update"))[0]["room_base_name"] == "福利群"
    assert "config1.png" in await shown()

    picture = await world.client.get(f"/console/group-codes/{code.state}/qr.svg", headers=manager.cookie)
    assert (picture.status, picture.content_type) == (200, "image/svg+xml")
    world.wecom.say(WAYS.format("del"), 41044)  # somebody deleted it at WeCom: it is gone all the same
    assert (await send(manager, f"/console/group-codes/{code.state}/drop")).status == 303
    assert await world.rows(group_join_slot) == []
    assert (await world.client.get(f"/g/{code.token}")).status == 404


async def test_a_refusal_of_wecom_leaves_no_code_without_groups(
    manager: Visitor, world: World, groups: FakeGroups
) -> None:
    world.wecom.say(WAYS.format("add"), 48002)
    response = await send(manager, "/console/group-codes/new", title="福利群", chat_id=TEA)
    assert response.status == 503
    assert "没有权限" in await response.text() or "没有调用" in (await response.text())
    assert await world.rows(group_join_code) == []
    response = await send(manager, "/console/group-codes/new", title="福利群")
    assert "请至少选择一个客户群" in await response.text()


async def test_welcome_materials_are_made_edited_and_deleted_at_wecom_too(
    manager: Visitor, world: World, groups: FakeGroups
) -> None:
    path = "externalcontact/group_welcome_template/{}"
    world.wecom.always(path.format("add"), lambda _: {"template_id": "msgOne"})
    fields = {
        "title": "新人礼",
        "content": "欢迎 %NICKNAME%\r\n先看群公告",
        "url": "https://a.example",
        "link_title": "领券",
    }
    assert (await send(manager, "/console/group-welcomes", **fields)).status == 303
    assert world.wecom.called(path.format("add"))[0] == {
        "text": {"content": "欢迎 %NICKNAME%\n先看群公告"},
        "link": {"title": "领券", "url": "https://a.example"},
        "notify": 0,
    }
    assert "新人礼" in await manager.get("/console/group-welcomes", params={"edit": "msgOne"})
    fields = {"template_id": "msgOne", "title": "新人礼", "content": "字" * 1001}
    assert "最多 3000 字节" in await (await send(manager, "/console/group-welcomes", **fields)).text()
    assert (await send(manager, "/console/group-welcomes", **{**fields, "content": "你好"})).status == 303
    (row,) = await world.rows(group_welcome)
    assert (row.content, row.attachment) == ("你好", None)
    assert (await send(manager, "/console/group-welcomes/msgOne/drop")).status == 303
    assert await world.rows(group_welcome) == []


@pytest.mark.parametrize(("width", "name"), [(1280, "desk"), (390, "phone")])
async def test_the_pages_fit_a_desk_and_a_phone(
    manager: Visitor, world: World, groups: FakeGroups, open_page: OpenPage, screenshot: Any, width: int, name: str
) -> None:
    world.wecom.always(WAYS.format("add"), lambda _: {"config_id": "config1"})
    world.wecom.always(
        WAYS.format("get"),
        lambda body: {"join_way": {**body, "qr_code": f"/console/group-codes/{body['config_id']}/none.png"}},
    )
    await send(manager, "/console/group-codes/new", title="会员福利群", guidance="进群领新人礼", chat_id=[TEA, MILK])
    (code,) = await world.rows(group_join_code)
    page = await open_page(width=width, height=844, phone=width < 500)
    base = str(world.client.make_url("")).rstrip("/")
    await page.context.set_extra_http_headers(manager.cookie)
    paths = {
        "list": "/console/group-chats",
        "one": f"/console/group-chats/{TEA}",
        "duplicates": "/console/group-chats/duplicates",
        "figures": "/console/group-chats/figures",
        "codes": "/console/group-codes",
        "code": f"/console/group-codes/{code.state}",
        "welcomes": "/console/group-welcomes",
        "customer": f"/g/{code.token}",
    }
    now = int(world.clock.now().timestamp())
    for day in range(20):  # something to see in the pictures
        groups.join(TEA, now, *(f"wm{day:015}{number:015}" for number in range(day % 5 + 1)))
        if day % 3 == 2:
            groups.leave(TEA, now, f"wm{day:015}{0:015}")
        await tell(world, groups)
        world.clock.advance(days=1)
        now = int(world.clock.now().timestamp())
    for key, path in paths.items():
        await page.goto(base + path)
        if key == "customer":  # WeCom's picture is not there: ours stands in for it
            await page.evaluate("src => { document.querySelector('.group-qr').src = src }", f"{paths['code']}/qr.svg")
            await page.wait_for_timeout(200)
        wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        await screenshot(page, f"groups-{key}-{name}")
        assert wide <= 0, f"{path} is {wide} px too wide at {width}"
