"""群发, 朋友圈 and 素材库: made by forms, followed on their pages, on a desk and on a phone."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page as BrowserPage
from playwright.async_api import expect

from scrm.app import open_services
from scrm.content.media import store as media_store
from scrm.content.media.models import media_original
from scrm.http import COOKIE
from scrm.mass_messages import results
from scrm.mass_messages.models import mass_message
from scrm.moments.models import moment
from scrm.services import Services
from tests.console.conftest import Visitor
from tests.content.media.test_library import PNG
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.fixtures_browser import OpenPage
from tests.world import ANING, XIAOMAN, World, make_settings


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


@pytest.fixture
async def services(database_url: str, clock: FakeClock, wecom: FakeWeCom, tmp_path: Path) -> AsyncIterator[Services]:
    """With a folder of this test's own for originals."""
    settings = make_settings(database_url, wecom.url, content={"media_dir": str(tmp_path / "media")})  # type: ignore[attr-defined]
    async with open_services(settings, clock) as services:
        yield services


OK = {"errcode": 0, "errmsg": "ok"}


async def post(visitor: Visitor, path: str, **fields: Any) -> Any:
    data = {"csrf": visitor.csrf, **fields}
    return await visitor.world.client.post(path, data=data, headers=visitor.cookie, allow_redirects=False)


async def upload(visitor: Visitor, name: str, content: bytes) -> Any:
    headers = {**visitor.cookie, "X-CSRF": visitor.csrf, "Content-Type": "application/octet-stream"}
    return await visitor.world.client.put("/console/media", params={"name": name}, data=content, headers=headers)


async def prepare(world: World, manager: Visitor) -> str:
    """Two customers, of whom one confirmed message reaches one; returns the page of the message."""
    await world.add(XIAOMAN)
    await world.add(ANING)
    world.wecom.say("externalcontact/add_msg_template", {**OK, "msgid": "msg1", "fail_list": [ANING]})
    response = await post(
        manager, "/console/mass-messages", userid="lina", text="秋季上新，老客专享", title="双 11 预热", once="f1"
    )
    assert response.status == 303
    await world.settle()
    return str(response.headers["Location"])


async def test_a_message_is_made_followed_reminded_and_stopped(manager: Visitor, world: World) -> None:
    path = await prepare(world, manager)
    (body,) = world.wecom.called("externalcontact/add_msg_template")
    assert (body["sender"], sorted(body["external_userid"])) == ("lina", sorted([XIAOMAN, ANING]))
    page = await manager.get(path)
    assert "双 11 预热 进行中" in page
    assert "无法送达 1" in page
    assert (await post(manager, path + "/remind")).status == 303
    assert world.wecom.called("externalcontact/remind_groupmsg_send") == [{"msgid": "msg1"}]
    sent = {**OK, "send_list": [{"external_userid": XIAOMAN, "userid": "lina", "status": 1, "send_time": 1772420000}]}
    world.wecom.say("externalcontact/get_groupmsg_task", {**OK, "task_list": [{"userid": "lina", "status": 2}]})
    world.wecom.say("externalcontact/get_groupmsg_send_result", sent)
    world.clock.advance(minutes=2)
    await results.poll(world.services)
    page = await manager.get(path)
    assert "已结束" in page
    assert "已发送 1" in page
    course = await manager.get(path + "/course")
    assert "送达过程 已发送 未送达" in course
    assert "已确认员工 已发送 未送达" in course
    assert ("polyline", "good") in [(tag, found.get("data-tone")) for tag, found in course.tags]
    assert (await post(manager, path + "/cancel")).status == 409
    assert "双 11 预热" in await manager.get("/console/mass-messages")


async def test_the_forecast_lists_who_had_enough_and_nothing_is_sent_for_it(manager: Visitor, world: World) -> None:
    await prepare(world, manager)
    calls = len(world.wecom.calls)
    headers = {**manager.cookie, "X-CSRF": manager.csrf, "HX-Request": "true"}
    response = await world.client.post("/console/mass-messages/forecast", data={"userid": "lina"}, headers=headers)
    text = await response.text()
    assert "小满" in text
    left = [f'{words}</dt><dd class="num">1 人<' for words in ("还能收 1 次的", "还能收 0 次的（已达上限，跳过）")]
    assert all(each in text for each in left)
    assert len(world.wecom.calls) == calls
    empty = await world.client.post("/console/mass-messages/forecast", data={"text": "x"}, headers=headers)
    assert "选人群包，或勾选员工、标签、渠道" in await empty.text()


async def test_a_wrong_form_says_why_and_keeps_what_was_written(manager: Visitor, world: World) -> None:
    await world.add(XIAOMAN)
    for fields, words in (
        ({"text": "你好"}, "还没有选择发给谁"),
        ({"userid": "lina"}, "内容是空的"),
        ({"userid": "lina", "text": "字" * 1400}, "文字太长"),
        ({"userid": "lina", "text": "a", "link_title": "t", "link_url": "javascript:1"}, "http://"),
        ({"userid": "lina", "text": "a", "media": "f" * 64}, "素材已被删除"),
    ):
        response = await post(manager, "/console/mass-messages", **fields)
        text = await response.text()
        assert response.status == 422, words
        assert words in text
        assert str(fields.get("text", "")) in text
    assert await world.rows(mass_message) == []


async def test_a_message_is_seen_on_a_phone_scheduled_outside_quiet_hours_and_copied(
    manager: Visitor, world: World
) -> None:
    await world.add(XIAOMAN)
    words = {"text": "国家级面霜，我是{{ 员工姓名 }}", "link_title": "新品", "link_url": "https://example.com/"}
    preview = await (await post(manager, "/console/mass-messages/preview", **words)).text()
    assert all(each in preview for each in ("我是李娜", "新品", "敏感词“国家级”"))
    fields = {**words, "text": "上新啦，我是{{ 员工姓名 }}", "userid": "lina", "rested": "7"}
    tomorrow = world.clock.now().astimezone(world.services.settings.shop.zone) + timedelta(days=1)
    night = await post(manager, "/console/mass-messages", **fields, at=f"{tomorrow:%Y-%m-%d}T22:00")
    assert (night.status, "勿扰时段 21:30-09:00" in await night.text()) == (422, True)
    made = await post(manager, "/console/mass-messages", **fields, at=f"{tomorrow:%Y-%m-%d}T10:00")
    await world.settle()
    page = await manager.get(made.headers["Location"])
    assert all(each in page for each in ("待发送", "10:00", "7 天内收到过营销消息的", "〔员工姓名〕"))
    assert world.wecom.called("externalcontact/add_msg_template") == []
    copy = await manager.get("/console/mass-messages/new?from=" + made.headers["Location"].rsplit("/", 1)[1])
    assert "上新啦，我是{{ 员工姓名 }}" in copy
    assert 'value="7" selected' in copy.html
    assert (await post(manager, made.headers["Location"] + "/cancel")).status == 303
    stopped = await manager.get(made.headers["Location"])
    assert all(words in stopped for words in ("已停止", "谁也没有收到", "恢复"))
    assert (await post(manager, made.headers["Location"] + "/restore")).status == 303
    assert "待发送" in await manager.get(made.headers["Location"])


async def test_a_mini_program_is_written_seen_sent_and_copied(manager: Visitor, world: World) -> None:
    await world.add(XIAOMAN)
    sha256 = (await (await upload(manager, "封面.png", PNG)).json())["sha256"]
    card = {"program_appid": "wx0123456789abcdef", "program_page": "pages/new.html?id=1", "program_media": sha256}
    good = {**card, "program_title": "秋季上新", "userid": "lina"}
    preview = await (await post(manager, "/console/mass-messages/preview", **good)).text()
    assert all(each in preview for each in ("秋季上新", "小程序", f"/console/media/{sha256}"))
    paper = (await (await upload(manager, "说明.pdf", b"%PDF-1.4 a")).json())["sha256"]
    for wrong, words in (
        ({"program_title": "国家级面霜"}, "敏感词“国家级”"),
        ({"program_title": ""}, "请补齐"),
        ({"program_appid": "wx1"}, "AppID 是 wx"),
        ({"program_page": "pages/new"}, "以 .html 结尾"),
        ({"program_media": paper}, "封面要选一张图片"),
    ):
        refused = await post(manager, "/console/mass-messages", **{**good, **wrong})
        assert (refused.status, words in await refused.text()) == (422, True), words
    now = world.clock.now()
    living: dict[str, Any] = {"made_at": now, "renew_at": None, "expires_at": now + timedelta(days=3)}
    await world.services.db.write(media_store.save_copy, sha256, "message", media_id="cover", **living)
    world.wecom.say("externalcontact/add_msg_template", {**OK, "msgid": "msg1", "fail_list": []})
    made = await post(manager, "/console/mass-messages", **good)
    await world.settle()
    (body,) = world.wecom.called("externalcontact/add_msg_template")
    sent = {"title": "秋季上新", "pic_media_id": "cover", "appid": card["program_appid"], "page": "pages/new?id=1"}
    assert body["attachments"] == [{"msgtype": "miniprogram", "miniprogram": sent}]
    assert "小程序：秋季上新" in await manager.get(made.headers["Location"])
    copy = await manager.get("/console/mass-messages/new?from=" + made.headers["Location"].rsplit("/", 1)[1])
    assert 'value="pages/new.html?id=1"' in copy.html
    assert f'<option value="{sha256}" selected>' in copy.html


async def test_the_library_takes_files_of_any_name_and_shows_them_only_to_managers(
    manager: Visitor, world: World
) -> None:
    response = await upload(manager, "../封面.png", PNG)
    sha256 = (await response.json())["sha256"]
    refused = await upload(manager, "a.png", b"GIF89a....")
    assert refused.status == 422
    assert "请转成 JPG 或 PNG" in await refused.text()
    big = await upload(manager, "a.zip", b"P" * (20 * 1024 * 1024 + 1))
    assert "超过 20 MB" in await big.text()
    (row,) = await world.rows(media_original)
    assert (row.filename, row.added_by) == ("封面.png", "chenlan")
    shown = await world.client.get(f"/console/media/{sha256}", headers=manager.cookie)
    assert (await shown.read(), shown.headers["X-Content-Type-Options"]) == (PNG, "nosniff")
    stranger = await world.client.get(f"/console/media/{sha256}", allow_redirects=False)
    assert stranger.status == 302
    hidden = await post(manager, f"/console/media/{sha256}/hide")
    assert "封面.png" not in await manager.get("/console/media")
    assert "已删除“封面.png”。 撤销" in await manager.get(hidden.headers["Location"])
    assert (await post(manager, f"/console/media/{sha256}/show")).status == 303
    assert "用到时自动上传" in await manager.get("/console/media")
    made: dict[str, Any] = {
        "made_at": world.clock.now(),
        "renew_at": None,
        "expires_at": world.clock.now() + timedelta(days=3),
    }
    await world.services.db.write(media_store.save_copy, sha256, "message", media_id="m1", **made)
    assert "到期，用到时再上传" in await manager.get("/console/media")
    again: dict[str, Any] = {
        "errcode": 45009,
        "reason": "今天的次数用完了",
        "again_at": world.clock.now() + timedelta(hours=1),
    }
    await world.services.db.write(media_store.note_failure, sha256, "message", **again)
    page = await manager.get("/console/media")
    assert all(words in page for words in ("有 1 个素材没能上传", "今天的次数用完了"))


async def test_a_moment_is_made_by_its_form(manager: Visitor, world: World) -> None:
    await world.add(XIAOMAN)
    assert (await post(manager, "/console/moments", text="")).status == 422
    world.wecom.say("externalcontact/add_moment_task", {**OK, "jobid": "job1"})
    response = await post(manager, "/console/moments", text="新品到店", userid="lina", once="m1")
    await world.settle()
    (row,) = await world.rows(moment)
    assert (row.state, row.jobid) == ("job", "job1")
    assert "新品到店" in await manager.get(response.headers["Location"])
    assert "创建中" in await manager.get("/console/moments")


async def enter(page: BrowserPage, base: str, manager: Visitor) -> None:
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])


async def test_attachments_are_sorted_by_key_and_by_hand_and_the_page_of_a_message_refreshes_itself(
    manager: Visitor, world: World, open_page: OpenPage
) -> None:
    await world.add(XIAOMAN)
    base, now = str(world.client.make_url("")).rstrip("/"), world.clock.now()
    sha256 = (await (await upload(manager, "封面.png", PNG)).json())["sha256"]
    living: dict[str, Any] = {"made_at": now, "renew_at": None, "expires_at": now + timedelta(days=3)}
    await world.services.db.write(media_store.save_copy, sha256, "message", media_id="cover", **living)
    world.wecom.say("externalcontact/add_msg_template", {**OK, "msgid": "msg1", "fail_list": []})
    page = await open_page(height=2000)
    await page.emulate_media(reduced_motion="reduce")
    await enter(page, base, manager)
    await page.goto(base + "/console/mass-messages/new")
    await page.locator('input[name="userid"]').first.check()
    await page.locator('input[name="media"]').check()
    await page.get_by_text("加一个链接").click()
    await page.locator('input[name="link_title"]').fill("新品")
    await page.locator('input[name="link_url"]').fill("https://example.com/")
    await page.get_by_text("加一个小程序").click()
    await page.locator('input[name="program_title"]').fill("商城")
    await page.locator('input[name="program_appid"]').fill("wx0123456789abcdef")
    await page.locator('input[name="program_page"]').fill("pages/new.html")
    await page.locator('select[name="program_media"]').select_option(sha256)
    rows = page.locator("attachment-order li span")
    await expect(rows).to_have_text(["封面.png", "链接：新品", "小程序：商城"])
    await page.get_by_role("button", name="排序：小程序：商城").press("ArrowUp")
    await expect(rows).to_have_text(["封面.png", "小程序：商城", "链接：新品"])
    grip = page.get_by_role("button", name="排序：封面.png")
    held, last = await grip.bounding_box(), await page.locator("attachment-order li").last.bounding_box()
    assert held is not None
    assert last is not None
    await page.mouse.move(held["x"] + 8, held["y"] + 8)
    await page.mouse.down()
    await page.mouse.move(held["x"] + 40, last["y"] + last["height"] - 4, steps=15)
    await expect(page.locator("attachment-order li[data-key]:not(.sortable-fallback)").nth(2)).to_contain_text(
        "封面.png"
    )
    await page.mouse.up()
    await expect(page.locator("#preview .phone-card").first).to_contain_text("商城")
    await page.get_by_role("button", name="创建群发").click()
    await expect(page.locator("#live")).to_be_visible()
    await world.settle()
    (body,) = world.wecom.called("externalcontact/add_msg_template")
    assert [each["msgtype"] for each in body["attachments"]] == ["miniprogram", "link", "image"]
    # The page looks every ten seconds by itself: the browser's clock is moved, nobody waits.
    await page.clock.install()
    await page.reload()
    await expect(page.locator("#live")).to_contain_text("已确认 0 / 1")
    await expect(page.get_by_text("还没有员工确认")).to_be_visible()
    sent = {**OK, "send_list": [{"external_userid": XIAOMAN, "userid": "lina", "status": 1, "send_time": 1772420000}]}
    world.wecom.say("externalcontact/get_groupmsg_task", {**OK, "task_list": [{"userid": "lina", "status": 2}]})
    world.wecom.say("externalcontact/get_groupmsg_send_result", sent)
    world.clock.advance(minutes=2)
    await results.poll(world.services)
    await page.clock.fast_forward(31_000)
    await expect(page.locator("#live")).to_contain_text("已确认 1 / 1")
    await expect(page.get_by_role("img", name="送达过程")).to_be_visible()
    await expect(page.locator(".code-first table")).to_contain_text("已发送")


@pytest.mark.parametrize("width", [390, 1280])
async def test_the_pages_fit_and_work_in_a_browser(
    manager: Visitor,
    world: World,
    open_page: OpenPage,
    screenshot: Callable[[BrowserPage, str], Awaitable[Any]],
    tmp_path: Path,
    width: int,
) -> None:
    path = await prepare(world, manager)
    base = str(world.client.make_url("")).rstrip("/")
    page = await open_page(width=width, phone=width < 500)
    await enter(page, base, manager)
    picture = tmp_path / "秋季封面.png"
    picture.write_bytes(PNG)
    await page.goto(base + "/console/media")
    await page.set_input_files('input[type="file"]', str(picture))
    await page.locator(".table").get_by_text("秋季封面.png").wait_for()
    for name, place in (
        ("list", "/console/mass-messages"),
        ("new", "/console/mass-messages/new"),
        ("one", path),
        ("media", "/console/media"),
        ("moments", "/console/moments"),
        ("moment-new", "/console/moments/new"),
    ):
        await page.goto(base + place)
        if name == "new":
            await page.get_by_label("文字").fill("今晚八点直播，老客多一份小样")
            await page.get_by_label("lina").or_(page.locator('input[name="userid"]')).first.check()
            await page.get_by_text("位客户会收到").wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, place
        await screenshot(page, f"sending-{name}-{width}")
