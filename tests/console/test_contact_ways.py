"""渠道活码 and 获客链接 as a manager makes, changes and ends them."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from multidict import MultiDict
from playwright.async_api import Locator, expect
from playwright.async_api import Page as BrowserPage

from scrm.contact_ways import acquisition, link_figures
from scrm.contact_ways.forms import read_draft
from scrm.contact_ways.models import contact_way
from scrm.contact_ways.plan import Period, Plan, Shift, Welcome, plan_of
from scrm.errors import Invalid
from scrm.http import COOKIE
from scrm.profiles import store as profiles
from scrm.profiles.models import department
from tests.console.conftest import Visitor
from tests.fixtures_browser import OpenPage
from tests.world import XIAOMAN, World

STATISTIC = "externalcontact/customer_acquisition/statistic"
MADE = {"errcode": 0, "config_id": "cfg1", "qr_code": "https://wework.qpic.cn/cfg1"}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def post(visitor: Visitor, path: str, *fields: tuple[str, str]) -> tuple[int, str]:
    data = MultiDict([("csrf", visitor.csrf), *fields])
    response = await visitor.world.client.post(path, data=data, headers=visitor.cookie, allow_redirects=False)
    return response.status, response.headers.get("Location", "") or await response.text()


async def test_the_form_shows_the_week_and_each_welcome_while_it_is_written(manager: Visitor) -> None:
    path = "/console/contact-ways/new/week"
    status, html = await post(
        manager, path, ("userid", "lina"), ("shift0_userid", "lina"), ("shift0_start", "22:00"), ("shift0_end", "02:00"),
        ("shift1_userid", "wuhao"), ("shift1_day", "4"), ("shift1_start", "23:00"), ("shift1_end", "24:00"),
        ("welcome", "{{ 客户昵称 }}你好，国家级面霜"), ("welcome0_text", "夜深了"), ("welcome0_start", "22:00"),
        ("welcome0_end", "02:00"),
    )  # fmt: skip
    assert status == 200
    for words in (
        "没人当班：<span class=\"num\">每天 02:00–22:00", "仍由原来的员工接待", "周五 23:00–24:00", "小满你好", "国家级</mark>",
        "22:00–02:00", "用不分时段的那条", "其余时间（<span class=\"num\">每天 02:00–22:00",
    ):  # fmt: skip
        assert words in html, words
    assert "不是数字" in (await post(manager, path, ("cap", "多")))[1]
    assert "没有排班" in (await post(manager, path))[1]
    status, html = await post(
        manager, "/console/contact-ways/new", ("title", "x"), ("userid", "lina"), ("welcome", "{{ 没有 }}")
    )
    assert (status, "不认识的变量" in html) == (422, True)


async def test_a_code_is_made_counted_changed_and_ended_by_its_pages(world: World, manager: Visitor) -> None:
    world.wecom.say("externalcontact/add_contact_way", MADE)
    status, where = await post(
        manager, "/console/contact-ways/new", ("title", "3 月直播间"), ("kind", "直播"), ("state", "live-3"),
        ("userid", "lina"), ("skip_verify", "1"), ("shift0_userid", "lina"), ("shift0_day", "0"),
        ("shift0_start", "22:00"), ("shift0_end", "02:00"), ("backup", "wuhao"), ("cap", "20"),
        ("tags", "直播三月，油皮"), ("remark", "{昵称}-直播"), ("welcome0_text", "夜深了"), ("welcome0_start", "22:00"),
    )  # fmt: skip
    assert (status, where) == (303, "/console/contact-ways/live-3")
    assert "正在向企业微信申请二维码" in await manager.get(where)
    await world.settle()
    await world.add(XIAOMAN, State="live-3")
    await world.settle()
    page = await manager.get(where)
    assert all(word in page for word in ("22:00–02:00", "今日新增 1", "下载企业微信原图", "live-3"))
    assert page.status == 200
    svg = await world.client.get(f"{where}/qr.svg", headers=manager.cookie)
    assert svg.content_type == "image/svg+xml"
    assert "晴" in await svg.text()
    assert (await (await world.client.get(f"{where}/qr.png", headers=manager.cookie)).read())[:4] == b"\x89PNG"
    printed = await world.client.get(f"{where}/qr.svg?cm=5", headers=manager.cookie)
    assert 'width="50mm"' in await printed.text()
    public = await world.client.get("/w/live-3")
    assert "https://wework.qpic.cn/cfg1" in await public.text()
    status, body = await post(manager, where, ("title", ""), ("userid", "lina"), ("cap", "abc"))
    assert (status, "每日上限“abc”不是数字" in body) == (422, True)
    status, body = await post(manager, where, ("title", "一" * 31), ("userid", "wuhao"))
    assert (status, "最多 30 个字" in body) == (422, True)
    status, where_to = await post(manager, where, ("title", "直播间"), ("userid", "wuhao"))
    assert (status, where_to) == (303, "/console/contact-ways/live-3?saved")
    await world.pass_time(seconds=6)  # after the count that the add asked for
    assert world.wecom.called("externalcontact/update_contact_way")[-1] == {
        "config_id": "cfg1", "user": ["wuhao"], "party": [], "skip_verify": False, "remark": "直播间",
    }  # fmt: skip
    assert "直播间" in await manager.get("/console/contact-ways")
    assert (await post(manager, f"{where}/delete"))[0] == 303
    await world.settle()
    assert world.wecom.called("externalcontact/del_contact_way") == [{"config_id": "cfg1"}]
    assert (await manager.get(where)).status == 404
    assert (await world.client.get("/w/live-3")).status == 404
    assert "live-3" in await manager.get("/console/contact-ways")  # who came by it still counts


async def test_a_link_is_made_given_a_channel_and_ended(world: World, manager: Visitor) -> None:
    link = {"link_id": "caA", "link_name": "抖音", "url": "https://work.weixin.qq.com/ca/caA", "create_time": 1}
    world.wecom.say("externalcontact/customer_acquisition/create_link", 48002, {"errcode": 0, "link": link})
    status, body = await post(manager, "/console/acquisition", ("title", "抖音"), ("userid", "lina"))
    assert (status, "企业微信没有接受" in body) == (503, True)
    assert (await post(manager, "/console/acquisition", ("title", "抖音"), ("userid", "lina")))[0] == 303
    path = "/console/acquisition/caA"
    assert (await post(manager, f"{path}/channels", ("title", "达人 A"), ("state", "dy-a")))[0] == 303
    assert (await post(manager, f"{path}/channels", ("title", "达人 B"), ("state", "dy-a")))[0] == 409
    page = await manager.get("/console/acquisition")
    assert "https://work.weixin.qq.com/ca/caA?customer_channel=dy-a" in page
    assert (await post(manager, path, ("title", "抖音 2"), ("userid", "lina"), ("userid", "wuhao")))[0] == 303
    assert (await post(manager, f"{path}/delete"))[0] == 303
    assert "还没有获客链接" in await manager.get("/console/acquisition")
    assert all(row.deleted_at for row in await world.rows(contact_way, contact_way.c.link_id == "caA"))


async def test_a_link_has_a_page_of_its_figures(world: World, manager: Visitor) -> None:
    now = world.clock.now()
    created = int((now - timedelta(days=2)).timestamp())
    link = {
        "link_id": "caA",
        "link_name": "抖音投放",
        "url": "https://work.weixin.qq.com/ca/caA",
        "create_time": created,
    }
    world.wecom.say("externalcontact/customer_acquisition/create_link", {"errcode": 0, "link": link})
    await acquisition.make_link(world.services, "抖音投放", ["lina"])
    await world.services.db.write(
        lambda conn: acquisition.add_channel(conn, "caA", title="达人 A", kind="投放", state="dy-a", now=now)
    )
    page = await manager.get("/console/acquisition/caA")
    assert "还没有读取" in page
    await world.add(State="dy-a")
    await world.settle()
    world.wecom.say("externalcontact/customer_acquisition_quota", {"errcode": 0, "total": 100, "balance": 7})
    await acquisition.refresh_quota(world.services)
    told = {"click_link_customer_cnt": 40, "new_customer_cnt": 3}
    world.wecom.say(STATISTIC, {"errcode": 0, **told}, {"errcode": 0, **told})
    assert (await manager.send("/console/acquisition/caA/refresh", days="7")).status == 303
    # Only whole days since the link was made, each asked for once, in China's days.
    asked = world.wecom.called(STATISTIC)
    days = [datetime.fromtimestamp(each["start_time"], ZoneInfo("Asia/Shanghai")).isoformat() for each in asked]
    assert days == ["2026-02-28T00:00:00+08:00", "2026-03-01T00:00:00+08:00"]
    assert all(each["start_time"] == each["end_time"] for each in asked)
    await link_figures.read_days(world.services, "caA", days=30)
    assert len(world.wecom.called(STATISTIC)) == 2
    page = await manager.get("/console/acquisition/caA?days=7")
    for words in (
        "达人 A",
        "额度不足 20 次",
        "剩余额度 7 次",
        "企业微信 6，这里 0",
        "点开链接 80 企业微信统计，2 天",
        "新增 1",
    ):
        assert words in page, words
    assert (await manager.get("/console/acquisition/caNobody")).status == 404
    await world.pass_time(hours=24)
    world.wecom.say(STATISTIC, 48002)
    assert (await manager.send("/console/acquisition/caA/refresh", days="7")).status == 503


def test_a_form_is_read_as_it_was_meant() -> None:
    form = MultiDict(
        [
            ("title", " 直播 "), ("userid", "lina"), ("userid", "lina"), ("shift0_start", "09:00"),
            ("shift2_userid", "wuhao"), ("shift2_day", "5"), ("shift2_day", "6"), ("shift2_end", "18:00"),
            ("verify0_end", "08:00"), ("verify1_day", "1"), ("verify4_start", "22:00"), ("verify4_end", "02:00"),
            ("verify4_day", "4"), ("welcome1_text", "早"), ("tags", "a,b，a、 c"), ("tag_days", "7"),
            ("party", "3"), ("party", "x"), ("shift3_party", "8"), ("cap0_userid", "lina"), ("cap0_most", "5"),
            ("cap1_userid", "wuhao"), ("cap2_most", "9"), ("cap4_userid", "xuyi"), ("cap4_most", "0"),
        ]
    )  # fmt: skip
    draft = read_draft(form)
    assert (draft.title, draft.userids, draft.skip_verify) == ("直播", ("lina",), False)
    assert draft.plan == Plan(
        party=(3,), caps={"lina": 5, "xuyi": 0},
        shifts=(Shift(end="18:00", days=(5, 6), userids=("wuhao",)), Shift(party=(8,))),
        skip_verify=(Period(end="08:00"), Period(start="22:00", end="02:00", days=(4,))), welcomes=(Welcome(text="早"),), tags=("a", "b", "c"), tag_days=7,
    )  # fmt: skip
    for name in ("cap", "tag_days"):
        with pytest.raises(Invalid, match="不是数字"):
            read_draft(MultiDict([(name, "-1")]))
    with pytest.raises(Invalid, match="单独的每日上限“多”不是数字"):
        read_draft(MultiDict([("cap0_userid", "lina"), ("cap0_most", "多")]))
    assert plan_of({}) == Plan()


@pytest.mark.parametrize("width", [390, 1280])
async def test_the_form_is_filled_in_by_hand(
    world: World,
    manager: Visitor,
    open_page: OpenPage,
    screenshot: Callable[[BrowserPage, str], Awaitable[Any]],
    width: int,
) -> None:
    world.wecom.say("externalcontact/add_contact_way", MADE)
    for userid, name in (("lina", "李娜"), ("wuhao", "吴昊"), ("xuyi", "徐怡")):
        await world.services.db.write(profiles.save_member, userid, name=name, now=world.clock.now())
    shops = [{"id": number, "name": name} for number, name in ((3, "门店一部"), (8, "门店二部"))]
    await world.services.db.write(lambda conn: conn.execute(department.insert(), shops) and None)
    base = str(world.client.make_url("")).rstrip("/")
    page = await open_page(width=width, phone=width < 500)
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
    await page.goto(base + "/console/contact-ways/new")
    await page.get_by_label("渠道名称").fill("3 月直播间")
    await page.get_by_role("checkbox", name="李娜").first.check()
    await page.get_by_text("按部门接待：").click()
    await page.get_by_role("checkbox", name="门店二部").first.check()
    await page.get_by_text("加一个免验证时段").click()
    await page.locator("[name=verify0_start]").fill("22:00")
    await page.locator("[name=verify0_end]").fill("02:00")
    await page.get_by_text("给个别员工单独设上限").click()
    await page.locator("[name=cap0_userid]").select_option("lina")
    await page.locator("[name=cap0_most]").fill("5")
    await paint_a_week(page)
    await screenshot(page, f"way-new-{width}")
    await page.screenshot(path=f"var/screenshots/way-new-full-{width}.png", full_page=True)
    await page.get_by_role("button", name="创建").click()
    await page.wait_for_url("**/console/contact-ways/*")
    await world.settle()
    await page.get_by_role("link", name="下载企业微信原图").wait_for()
    await page.screenshot(path=f"var/screenshots/way-{width}.png", full_page=True)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    (row,) = await world.rows(contact_way)
    plan = plan_of(row.plan)
    assert (plan.party, plan.caps) == ((8,), {"lina": 5})
    assert plan.skip_verify == (Period(start="22:00", end="02:00"),)
    assert plan.shifts == (
        Shift(start="09:00", days=(0, 1), userids=("wuhao",)),
        Shift(start="22:00", end="02:30", days=(4,), userids=("wuhao",)),
    )
    await page.locator("week-editor .week-shift").nth(3).wait_for()  # the night is on both its days
    await page.get_by_role("gridcell", name="周六 1 点，吴昊").press("Delete")
    await expect(page.get_by_role("gridcell", name="周五 22 点，没人当班")).to_have_count(1)
    await page.get_by_role("button", name="撤销").click()
    await expect(page.get_by_role("gridcell", name="周五 22 点，吴昊")).to_have_count(1)
    await page.goto(base + "/console/contact-ways")
    await screenshot(page, f"ways-{width}")


async def paint_a_week(page: BrowserPage) -> None:
    """Three shifts by mouse and keys before one save: one over two days, one over midnight, one taken away again."""
    said = page.locator("week-editor [role=status]")
    await page.get_by_text("画给谁").click()
    await page.locator("week-editor").get_by_role("checkbox", name="吴昊").check()

    def cell(day: int, hour: int) -> Locator:
        return page.locator(f"week-editor [data-day='{day}'][data-hour='{hour}']")

    await drag(page, cell(0, 9), cell(1, 17))
    await expect(said).to_have_text("已排 周一、二 09:00–18:00，保存后生效")
    await expect(page.get_by_text("没人当班：")).to_be_visible()  # the server has read the rows
    await drag(page, page.locator("week-editor [data-edge=end]").first, cell(0, 23), to=0.95)
    await expect(said).to_have_text("改为 09:00–24:00，保存后生效")
    await cell(4, 21).focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Shift+ArrowRight")
    await page.keyboard.press("Enter")
    await expect(said).to_have_text("已排 周五 22:00–24:00，保存后生效")
    for _ in range(5):
        await page.keyboard.press("+")
    await expect(said).to_have_text("改为 22:00–02:30，保存后生效")
    await cell(6, 12).click()
    await expect(said).to_have_text("已排 周日 12:00–13:00，保存后生效")
    await page.locator("week-editor .week-shift[title^='12:00']").click(position={"x": 6, "y": 15})
    await expect(said).to_have_text("已去掉 周日 12:00–13:00，保存后生效")


async def drag(page: BrowserPage, start: Locator, end: Locator, *, to: float = 0.5) -> None:
    await start.scroll_into_view_if_needed()
    first, last = await start.bounding_box(), await end.bounding_box()
    assert first
    assert last
    await page.mouse.move(first["x"] + first["width"] / 2, first["y"] + first["height"] / 2)
    await page.mouse.down()
    await page.mouse.move(last["x"] + last["width"] * to, last["y"] + last["height"] / 2, steps=4)
    await page.mouse.up()
