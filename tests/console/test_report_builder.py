"""自定义报表: made, previewed, saved, shared and put on a board; counted by hand and by whoever opens it."""

import csv
import io
import json
import re
from html import unescape
from urllib.parse import quote

from sqlalchemy import Connection

from scrm.access.roles import made_of
from scrm.access.store import save_role
from scrm.commerce.models import order_line, orders
from scrm.profiles.models import department, member_department
from scrm.reports.models import report_pin, saved_report
from scrm.segments import store as segments
from tests.console.conftest import Page, SignIn, Visitor
from tests.console.test_reports import march
from tests.world import World

__all__ = ["march"]

BUILD = "/console/reports/build"


async def _send(visitor: Visitor, address: str, measures: list[str], **fields: str) -> Page:
    data = [("csrf", visitor.csrf), *(("measure", each) for each in measures), *fields.items()]
    response = await visitor.world.client.post(address, data=data, headers=visitor.cookie, allow_redirects=False)
    return Page(response.status, await response.text())


async def test_a_preview_says_what_a_count_by_hand_says(march: World, manager: Visitor) -> None:
    def furnish(conn: Connection) -> None:
        conn.execute(department.insert().values(id=3, name="门店部", parent_id=1, sort_order=1))
        (bought,) = conn.execute(orders.select().where(orders.c.order_no == "A1")).all()
        sold = {"order_id": bought.id, "title": "洁面乳", "qty": 2, "paid_fen": 10_000}
        conn.execute(order_line.insert().values(**sold, line_key="1"))
        conn.execute(order_line.insert().values(**sold | {"title": "小样"}, line_key="2", is_gift=True))
        conn.execute(member_department.insert().values(userid="lina", department_id=3))

        conn.execute(orders.update().where(orders.c.order_no == "A1").values(province="广东"))

    await march.services.db.write(furnish)
    for query, said in (
        # 新增 and 新增人数 by channel: TWICE came through both.
        ("measure=adds.added&measure=adds.people&by=channel&chart=bar&days=30", ["618 直播间 3 3", "=1+1 包裹卡 1 1"]),
        ("measure=adds.added&by=kind&days=30", ["直播 4"]),
        ("measure=adds.added&measure=adds.brought&by=member&days=30", ["李娜 3 ¥160.00", "王浩 1 ¥130.00"]),
        ("measure=adds.added&by=department&days=30", ["门店部 3", "没有部门 1"]),
        ("measure=adds.added&by=day&days=30", ["2026-03-20 2", "2026-03-21 1", "2026-03-22 0"]),
        ("measure=adds.added&by=week&days=30", ["2026-03-16 起一周 3", "2026-03-02 起一周 1"]),
        ("measure=orders.paid&measure=orders.orders&by=month&days=30", ["2026-03 ¥187.00 4"]),
        ("measure=orders.paid&measure=orders.buyers&by=shop&days=30", ["有赞 ¥180.00 2", "淘宝 ¥7.00 0"]),
        ("measure=orders.paid&measure=orders.per_buyer&by=product&days=30", ["洁面乳 ¥100.00 ¥100.00"]),
        ("measure=orders.paid&measure=orders.buyers&by=province&days=30", ["广东 ¥100.00 1", "不知道省份 ¥87.00 2"]),
        ("measure=adds.added&by=channel&days=30&who=m:wanghao", ["=1+1 包裹卡 1"]),
        ("measure=tasks.released&by=playbook&days=30", ["口径"]),
        ("measure=tasks.released&by=member&days=30", ["李娜"]),
    ):
        page = await manager.get(f"{BUILD}?{query}")
        assert page.status == 200
        for each in said:
            assert each in page, (query, each)
        assert " style=" not in page.html
    lines = await manager.get(f"{BUILD}?measure=adds.added&by=day&days=30&chart=line")
    assert "<polyline" in lines.html


async def test_what_does_not_fit_together_is_said_and_stays_chosen(march: World, manager: Visitor) -> None:
    for query, said in (
        ("by=day", "还没有选指标"),
        ("measure=adds.added&measure=orders.paid&by=day", "不能放在一张表里，请分成两张"),
        ("measure=orders.paid&by=member", "“实付金额”不能按员工拆分，可以按：天、周、月、平台、省份、商品"),
        ("measure=nonsense&by=day", "没有“nonsense”这个指标"),
        ("measure=adds.added&by=nonsense", "没有看懂按什么拆分"),
        ("measure=tasks.released&by=member&segment=x", "员工待办不能按人群包或条件筛选"),
        ('measure=adds.added&by=day&tree={"field":"no.such"}', "条件还没有写好："),
        ("measure=adds.added&by=day&tree={", "条件没有完整地传过来"),
        ('measure=adds.added&by=day&tree={"segment":"' + "长" * 600 + '"}', "条件太长了，请先保存成人群包"),
        ("measure=adds.added&by=day&who=x:1", "没有看懂要看谁的数据"),
    ):
        page = await manager.get(f"{BUILD}?{query}")
        assert page.status == 200
        assert said in page, query
    refused = await _send(manager, BUILD, ["orders.paid"], by="shop", title="  ")
    assert refused.status == 422
    # Above the form: on a phone nobody looks beneath it for why nothing was saved.
    assert refused.html.index("还没有起名字") < refused.html.index('id="builder"')
    assert 'value="orders.paid" checked' in refused.html
    assert not await march.rows(saved_report)
    gone = await manager.get(f"{BUILD}?measure=adds.added&by=day&segment=never-was")
    assert "这段时间没有数据" in gone


async def test_a_report_is_saved_changed_moved_deleted_and_put_back(march: World, manager: Visitor) -> None:
    for title, by in (("各渠道", "channel"), ("每天", "day")):
        saved = await _send(manager, BUILD, ["adds.added"], by=by, title=title, days="30", chart="bar")
        assert saved.status == 303
    board = await manager.get("/console/reports/mine")
    assert board.text.index("各渠道 近 30 天") < board.text.index("每天 近 30 天")
    assert "618 直播间 3" in board
    first, second = sorted(row.id for row in await march.rows(saved_report))
    await _send(manager, f"/console/reports/saved/{second}/up", [])
    moved = await manager.get("/console/reports/mine")
    assert moved.text.index("每天 近 30 天") < moved.text.index("各渠道 近 30 天")
    await _send(manager, f"/console/reports/saved/{second}/unpin", [])
    assert "每天 近 30 天" not in await manager.get("/console/reports/mine")
    await _send(manager, f"/console/reports/saved/{second}/pin", [])
    assert len(await march.rows(report_pin)) == 2
    changed = await _send(
        manager, f"/console/reports/saved/{first}", ["orders.paid"], by="shop", title="各平台", days="30"
    )
    assert changed.status == 303
    opened = await manager.get(f"/console/reports/saved/{first}")
    assert "有赞 ¥180.00" in opened
    assert 'value="各平台"' in opened.html
    gone = await _send(manager, f"/console/reports/saved/{first}/delete", [])
    assert "已删除“各平台”" in gone
    assert (await manager.get(f"/console/reports/saved/{first}")).status == 404
    # What 撤销 posts.
    assert 'name="measure" value="orders.paid"' in gone.html
    again = await _send(manager, BUILD, ["orders.paid"], by="shop", title="各平台", days="30", chart="bar", segment="")
    assert again.status == 303
    assert "有赞 ¥180.00" in await manager.get("/console/reports/mine")
    query = "measure=orders.paid&by=shop&days=30"
    response = await march.client.get(f"/console/reports/built.csv?{query}", headers=manager.cookie)
    rows = list(csv.DictReader(io.StringIO((await response.read()).decode("utf-8-sig"))))
    assert rows[0] == {"平台": "有赞", "实付金额（元）": "180.0"}


async def test_sharing_hands_over_the_question_and_never_the_answer(
    march: World, manager: Visitor, sign_in: SignIn
) -> None:
    role = made_of("own", "自己的", ("reports:view", "reports:edit"), "own", ())
    await march.services.db.write(save_role, role, by="boss", now=march.clock.now())
    asked = {"by": "member", "days": "30", "chart": "bar"}
    await _send(manager, BUILD, ["adds.added"], title="公开", shared="1", **asked)
    await _send(manager, BUILD, ["adds.added"], title="私有", **asked)
    rows = {row.title: row.id for row in await march.rows(saved_report)}
    wanghao = await sign_in("wanghao", "王浩", "own")
    board = await wanghao.get("/console/reports/mine")
    assert "公开" in board
    assert "私有" not in board
    assert (await wanghao.get(f"/console/reports/saved/{rows['私有']}")).status == 404
    shared = await wanghao.get(f"/console/reports/saved/{rows['公开']}")
    assert "王浩 1" in shared
    assert "李娜 3" not in shared
    # Nor by asking for others, by an address or by the shop's orders nobody follows.
    assert "李娜 3" not in await wanghao.get(f"{BUILD}?measure=adds.added&by=member&days=30&who=m:lina")
    assert (
        "淘宝"
        not in (await wanghao.get(f"{BUILD}?measure=orders.paid&by=shop&days=30")).html.partition('id="preview"')[2]
    )
    # They may not change it, but pin it and keep one of their own.
    assert (
        await _send(wanghao, f"/console/reports/saved/{rows['公开']}", ["adds.added"], title="改", **asked)
    ).status == 403
    assert (await _send(wanghao, f"/console/reports/saved/{rows['公开']}/delete", [])).status == 403
    assert (await _send(wanghao, f"/console/reports/saved/{rows['公开']}/pin", [])).status == 303
    assert "王浩 1" in await wanghao.get("/console/reports/mine")
    assert (await _send(wanghao, BUILD, ["adds.added"], title="我的", **asked)).status == 303
    # What is no longer shared is gone from their board.
    await _send(manager, f"/console/reports/saved/{rows['公开']}", ["adds.added"], title="公开", **asked)
    assert "公开" not in await wanghao.get("/console/reports/mine")


def _links(page: Page) -> list[tuple[str, str]]:
    """(what it says, where it leads) of each number of the preview."""
    shown = page.html.partition('id="preview"')[2]
    return [
        (said, unescape(url))
        for url, said in re.findall(r'<a href="(/console/reports/built/people[^"]+)">([^<]+)<', shown)
    ]


async def test_every_number_leads_to_its_people_and_they_are_as_many(march: World, manager: Visitor) -> None:
    async def follow(query: str) -> list[tuple[str, list[str]]]:
        found = []
        for said, url in _links(await manager.get(f"{BUILD}?{query}&days=30")):
            people = await manager.get(url)
            assert people.status == 200, url
            found.append((said, sorted(re.findall(r"<span><b>([^<]+)</b>", people.html))))
        return found

    assert await follow("measure=adds.added&measure=adds.people&measure=adds.ended&by=channel") == [
        ("3", ["双双", "早早", "走走"]),
        ("3", ["双双", "早早", "走走"]),
        ("1", ["走走"]),
        ("1", ["双双"]),
        ("1", ["双双"]),
    ]
    assert await follow("measure=adds.bought&measure=adds.first_rate&measure=adds.talk_rate&by=member") == [
        ("2", ["双双", "早早"]),
        ("66.7%", ["双双", "早早"]),
        ("33.3%", ["走走"]),
        ("1", ["双双"]),
        ("100%", ["双双"]),
    ]
    assert await follow("measure=orders.buyers&measure=orders.refunded&by=shop") == [
        ("2", ["双双", "早早"]),
        ("¥20.00", ["双双"]),
    ]
    assert await follow("measure=orders.buyers&by=day") == [("1", ["双双"]), ("1", ["早早"]), ("1", ["双双"])]
    # A condition and a member narrow the list as they narrow the number.
    tree = quote('{"field":"person.paid_orders","op":"gte","value":2}')
    assert await follow(f"measure=adds.people&by=channel&tree={tree}") == [("1", ["双双"]), ("1", ["双双"])]
    assert await follow(f"measure=adds.people&by=channel&who=m:lina&tree={tree}") == [("1", ["双双"])]
    # Tasks are about members, and an address that was made up is refused in words.
    assert not _links(await manager.get(f"{BUILD}?measure=tasks.released&by=member&days=30"))
    for made_up in ("by=day&line=yesterday&of=adds.added", "by=day&line=2026-03-20&of=adds.people"):
        refused = await manager.get(f"/console/reports/built/people?measure=adds.added&{made_up}")
        assert refused.status == 404
        assert "请从报表页面重新点进来" in refused


async def test_a_condition_and_a_member_are_kept_with_the_report(march: World, manager: Visitor) -> None:
    tree = '{"field":"person.paid_orders","op":"gte","value":2}'
    told = {"by": "channel", "title": "回头客", "days": "30", "chart": "bar", "who": "m:lina", "tree": tree}
    assert (await _send(manager, BUILD, ["adds.people"], **told)).status == 303
    board = await manager.get("/console/reports/mine")
    assert "近 30 天 · 部分客户 · 一位员工" in board
    assert "618 直播间 1" in board
    assert "包裹卡 1" not in board
    (row,) = await march.rows(saved_report)
    opened = await manager.get(f"/console/reports/saved/{row.id}")
    assert 'value="m:lina" selected' in opened.html
    assert json.loads(unescape(opened.html.partition("<textarea")[2].partition(">")[2].partition("<")[0])) == {
        "field": "person.paid_orders",
        "op": "gte",
        "value": 2,
    }


async def test_a_segment_narrows_a_report(march: World, manager: Visitor) -> None:
    def furnish(conn: Connection) -> None:
        tree = {"field": "person.paid_orders", "op": "gte", "value": 2}
        segments.save_segment(conn, segments.Draft("two", "买过两次", tree), by="boss", now=march.clock.now())

    await march.services.db.write(furnish)
    page = await manager.get(f"{BUILD}?measure=orders.paid&measure=orders.buyers&by=shop&days=30&segment=two")
    assert "有赞 ¥150.00 1" in page
    assert "淘宝 ¥7.00" not in page
    adds = await manager.get(f"{BUILD}?measure=adds.added&by=channel&days=30&segment=two")
    assert "618 直播间 1" in adds
