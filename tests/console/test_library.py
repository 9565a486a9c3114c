"""素材与话术 as managers keep it: written, approved, brought back, brought in as a table; and who may not."""

from datetime import timedelta
from typing import Any

import aiohttp

from scrm.access.modules import VIEW, right
from scrm.access.roles import Role
from scrm.access.store import save_role
from scrm.content.library import keep, store
from scrm.content.library.models import script, script_version
from scrm.content.library.said import Said
from tests.console.conftest import SignIn, Visitor
from tests.world import World

HOME = "/console/library"


async def post(visitor: Visitor, path: str, **fields: Any) -> tuple[int, str]:
    data = {"csrf": visitor.csrf, **fields}
    response = await visitor.world.client.post(path, data=data, headers=visitor.cookie, allow_redirects=False)
    return response.status, response.headers.get("Location", "") or await response.text()


async def test_a_script_is_written_changed_compared_and_brought_back(world: World, manager: Visitor) -> None:
    assert "还没有话术" in await manager.get(HOME)
    status, where = await post(manager, f"{HOME}/folders", title="售前")
    assert status == 303
    top = where.partition("=")[2]
    status, where = await post(manager, f"{HOME}/folders", title="新客", parent=top)
    inside = where.partition("=")[2]
    status, text = await post(manager, f"{HOME}/folders", title="太深", parent=inside)
    assert (status, "分组最多两级" in text) == (422, True)
    said = {
        "title": "新客打招呼",
        "text": "{{ 客户昵称 }}你好",
        "folder": inside,
        "key": "hello",
        "until": "2030-12-31",
    }
    for wrong, why in (
        ({"text": "五星好评返现"}, "以利益换取指定评价"),
        ({"text": "{{ 昵称呼 }}"}, "不认识的变量"),
        ({"key": "有中文"}, "编号只能用"),
        ({"until": "明年"}, "请写成 2026-12-31"),
        ({"kind_0": "image", "name_0": "没有.png"}, "素材库里没有“没有.png”"),
    ):
        status, text = await post(manager, f"{HOME}/new", **{**said, **wrong}, act="publish")
        assert (status, why in text) == (422, True)
        assert "新客打招呼" in text
    status, where = await post(manager, f"{HOME}/new", **said, act="publish")
    assert (status, where.endswith("done=published")) == (303, True)
    one = where.partition("?")[0]
    page = await manager.get(one)
    assert "第 1 版 当前" in page
    assert 'value="2030-12-31"' in page.html
    link = {"kind_0": "link", "title_0": "会员日", "url_0": "https://shop.example.com", "cover_0": "https://x.cn/a.png"}
    assert (await post(manager, one, **{**said, "text": "您好呀"}, **link, act="draft"))[1].endswith("done=draft")
    (row,) = await world.rows(script)
    assert (row.version, row.draft, row.text) == (1, "draft", "{{ 客户昵称 }}你好")
    assert "员工现在用的是第 1 版" in await manager.get(one)
    assert (await post(manager, one, **{**said, "text": "您好呀"}, **link, act="publish"))[1].endswith("published")
    diff = await manager.get(f"{one}/diff?from=1&to=2")
    assert "您好呀" in diff
    assert "链接：会员日 | https://shop.example.com" in diff
    assert (await post(manager, f"{one}/restore", version="1"))[1].endswith("published")
    (row,) = await world.rows(script)
    assert (row.version, row.text, row.attachments) == (3, "{{ 客户昵称 }}你好", [])
    assert "恢复自第 1 版" in await manager.get(one)
    for typed in ("xkd", "xinke", "打招呼", "hello"):
        assert "新客打招呼" in await manager.get(f"{HOME}?q={typed}")
    assert "没有找到" in await manager.get(f"{HOME}?q=zzz")
    assert (await post(manager, f"{one}/stop"))[0] == 303
    assert "新客打招呼" not in await manager.get(HOME)
    assert "新客打招呼" in await manager.get(f"{HOME}?state=stopped")
    assert (await post(manager, f"{HOME}/folders/{inside}/delete"))[0] == 409


async def test_a_script_is_put_into_a_folder_and_back_and_its_last_days_are_told(
    world: World, manager: Visitor
) -> None:
    folder = (await post(manager, f"{HOME}/folders", title="售前"))[1].partition("=")[2]
    last_day = f"{world.clock.now() + timedelta(days=5):%Y-%m-%d}"
    for title, until in (("快到期", last_day), ("一直有效", "")):
        await post(manager, f"{HOME}/new", title=title, text="你好", until=until, act="publish")
    assert "有 1 条话术 14 天内到期" in await manager.get(HOME)
    soon = await manager.get(f"{HOME}?state=soon")
    # The day that was written, though it ends at the midnight after it.
    assert (f"有效期至 {last_day[5:]}" in soon, "一直有效" in soon) == (True, False)
    row = (await world.rows(script, script.c.title == "快到期"))[0]
    moved = (await post(manager, f"{HOME}/{row.id}/folder", to=folder))[1]
    assert "已把“快到期”移到“售前”。 撤销" in await manager.get(moved)
    assert "快到期" in await manager.get(f"{HOME}?folder={folder}")
    back = (await post(manager, f"{HOME}/{row.id}/folder", to="", folder=folder))[1]
    assert "移到“不分组”" in await manager.get(back)
    assert (await world.rows(script, script.c.id == row.id))[0].folder_id is None
    status, text = await post(manager, f"{HOME}/{row.id}/folder", to="999")
    assert (status, "没有这个分组" in text) == (422, True)
    world.clock.advance(days=7)
    assert "快到期 已过期" in (await manager.get(f"{HOME}?state=expired")).text.replace("你好", "").replace("  ", " ")


async def test_a_preview_shows_the_phone_and_what_to_mend(manager: Visitor) -> None:
    status, html = await post(manager, f"{HOME}/preview", title="会员日", text="{{ 客户昵称 }}，全网最低，好评返现")
    assert status == 200
    assert "小满，<mark" in html
    assert ">全网最低</mark>，" in html
    assert "要改：文字里有“好评返现”" in html
    assert "建议：“全网最低”" in html
    status, html = await post(manager, f"{HOME}/preview", title="半截", text="{{ 客户昵")
    assert (status, "{{ 客户昵" in html) == (200, True)


async def test_where_approval_is_wanted_nobody_uses_what_no_other_has_read(
    world: World, manager: Visitor, sign_in: SignIn
) -> None:
    other = await sign_in("zhouqi", "周琦", "manager")
    assert (await post(manager, f"{HOME}/rules", needs_approval="1", banned="内部价\n刷单", doubtful="最佳"))[0] == 303
    assert "内部价" in (await manager.get(f"{HOME}/rules")).html
    status, text = await post(manager, f"{HOME}/new", title="价", text="给你内 部 价", act="publish")
    assert (status, "敏感词“内部价”" in text) == (422, True)
    status, where = await post(manager, f"{HOME}/new", title="会员日", text="全场 88 折", act="publish")
    assert where.endswith("done=pending")
    one = where.partition("?")[0]
    assert "自己提交的要由另一位主管" in await manager.get(one)
    assert (await post(manager, f"{one}/approve"))[0] == 403
    now = world.clock.now()
    assert await world.services.db.read(store.list_usable, "lina", now, limit=9) == []
    assert "有 1 条话术在等审批" in await other.get(HOME)
    assert (await post(other, f"{one}/refuse", why="写清楚日期"))[0] == 303
    assert "周琦 退回了这份草稿：写清楚日期" in await manager.get(one)
    assert (await post(manager, one, title="会员日", text="28 号全场 88 折", act="publish"))[1].endswith("pending")
    assert (await post(other, f"{one}/approve"))[1].endswith("published")
    (row,) = await world.services.db.read(store.list_usable, "lina", now, limit=9)
    assert row.text == "28 号全场 88 折"
    (version,) = await world.rows(script_version)
    assert (version.saved_by, version.decided_by) == ("chenlan", "zhouqi")


async def test_a_table_goes_out_and_comes_in_again(world: World, manager: Visitor) -> None:
    table = (
        "一级分组,二级分组,标题,内容,编号,有效期至,附件\n"
        "售后,退换,怎么退货,七天内都能退,return,2030-12-31,\n"
        "售后,,会员日,28 号,,,链接：会员日 | https://shop.example.com/a | 88 折\n"
        ",,坏的,{{ 不认识 }},,,\n"
        "售后,退换,坏日期,你好,,下周,\n"
    ).encode("gb18030")

    async def bring(content: bytes, name: str) -> str:
        data = aiohttp.FormData({"csrf": manager.csrf})
        data.add_field("file", content, filename=name)
        response = await world.client.post(f"{HOME}/import", data=data, headers=manager.cookie)
        return " ".join((await response.text()).split())

    told = await bring(table, "话术.csv")
    assert "新增 2 条，更新 0 条，没有变化 0 条，没能导入 2 条" in told
    assert "第 4 行“坏的”：内容：不认识的变量" in told
    assert "第 5 行“坏日期”：有效期写的是“下周”" in told
    for suffix in ("csv", "xlsx"):
        response = await world.client.get(f"{HOME}/export.{suffix}", headers=manager.cookie)
        assert response.status == 200
        assert "没有变化 2 条" in await bring(await response.read(), f"again.{suffix}")
    changed = table.decode("gb18030").replace("七天内都能退", "签收七天内都能退").encode()
    assert "更新 1 条，没有变化 1 条" in await bring(changed, "改.csv")
    (row,) = await world.rows(script, script.c.key == "return")
    assert (row.version, row.text) == (2, "签收七天内都能退")
    for content, name, why in (
        (b"a,b\n1,2\n", "x.csv", "没有找到表头"),
        (b"PK nothing", "x.xlsx", "x"),
        (b"", "x.csv", "文件是空的"),
        (b"hi", "x.pdf", "请用 CSV 或 XLSX"),
    ):
        told = await bring(content, name)
        assert 'role="alert"' in told
        assert why in told


async def test_figures_count_who_sent_what_and_hide_what_is_a_members_own(world: World, manager: Visitor) -> None:
    now = world.clock.now()

    def use(conn: Any) -> None:
        mine = keep.save_mine(conn, "lina", None, Said("我的悄悄话", "嗨"), now=now).script_id
        placed = keep.Placed()
        both = keep.save(conn, None, Said("会员日", "28 号"), placed, "chenlan", publish=True, now=now).script_id
        for number, (script_id, userid) in enumerate(((mine, "lina"), (both, "lina"), (both, "wanghao"))):
            store.note_use(conn, f"u{number}", script_id, version=1, userid=userid, is_edited=number == 1, now=now)

    await world.services.db.write(use)
    page = await manager.get(f"{HOME}/figures")
    assert "会员日 2 2 50%" in page
    assert "员工个人话术" in page
    assert "我的悄悄话" not in page.html
    assert "我的悄悄话" not in (await manager.get(f"{HOME}?q=wdqqh")).html.replace('value="wdqqh"', "")


async def test_who_may_only_look_sees_everything_and_nothing_to_press(
    world: World, manager: Visitor, sign_in: SignIn
) -> None:
    await post(manager, f"{HOME}/rules", needs_approval="1", banned="", doubtful="")
    await post(manager, f"{HOME}/folders", title="售前")
    one = (await post(manager, f"{HOME}/new", title="会员日", text="全场 88 折", until="2030-12-31", act="publish"))[1]
    one = one.partition("?")[0]
    looks = Role("reader", "内容只读", frozenset({right("library", VIEW)}))
    await world.services.db.write(save_role, looks, by="chenlan", now=world.clock.now())
    reader = await sign_in("lina", "李娜", "reader")
    for path, words in ((HOME, "会员日"), (one, "你的角色只能查看"), (f"{HOME}/rules", "上次修改：陈岚")):
        page = await reader.get(path)
        assert words in page, path
        written = [
            found.get("action") or path
            for tag, found in page.tags
            if tag == "form" and found.get("method") == "post" and found.get("action") != "/console/logout"
        ]
        # The two forms stay, to be read; nothing sends them.
        assert set(written) <= {one, f"{HOME}/rules"}, path
        assert not [found for tag, found in page.tags if tag == "button" and found.get("name") == "act"]
        assert not [link for link in page.links if link.endswith(("/new", "/import", "/export.csv"))]
    for path in (f"{one}/approve", f"{one}/refuse", one, f"{HOME}/rules", f"{HOME}/folders"):
        assert (await post(reader, path, title="x", why="x"))[0] == 403


async def test_staff_and_strangers_have_no_way_in(world: World, sign_in: SignIn) -> None:
    lina = await sign_in("lina", "李娜", "staff")
    for path in ("", "/new", "/rules", "/figures", "/import", "/export.csv"):
        assert (await lina.get(HOME + path)).status == 403
    for path in ("/new", "/rules", "/folders", "/import"):
        assert (await post(lina, HOME + path, title="x"))[0] == 403
    assert (await world.client.post(f"{HOME}/new", data={"title": "x"}, allow_redirects=False)).status in (302, 401)
