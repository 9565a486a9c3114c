"""微信客服, 公众号, 关键词回复: the library is kept in order, and the pages fit."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page as BrowserPage

from scrm.http import COOKIE
from scrm.wechat import store
from scrm.wechat.models import keyword_reply, kf_account
from tests.console.conftest import Visitor
from tests.fixtures_browser import OpenPage
from tests.world import XIAOMAN, World

KF = "wkTestAccount0000000000001"
PAGES = ("/console/kf", "/console/replies", "/console/official-account")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def post(manager: Visitor, path: str, **fields: str) -> Any:
    data = {"csrf": manager.csrf, **fields}
    return await manager.world.client.post(path, data=data, headers=manager.cookie, allow_redirects=False)


async def test_a_keyword_is_added_changed_switched_off_and_deleted(manager: Visitor, world: World) -> None:
    reply = {"keyword": " 退 货 ", "match": "contains", "channel": "both", "answer": "7 天无理由"}
    assert (await post(manager, "/console/replies", **reply)).status == 303
    assert (await post(manager, "/console/replies", **reply | {"answer": "15 天无理由"})).status == 303
    (row,) = await world.rows(keyword_reply)
    assert (row.keyword, row.answer) == ("退货", "15 天无理由")
    assert (await post(manager, f"/console/replies/{row.id}/off")).status == 303
    assert "已停用" in await manager.get("/console/replies")
    assert (await post(manager, f"/console/replies/{row.id}/delete")).status == 303
    assert await world.rows(keyword_reply) == []
    assert (await post(manager, f"/console/replies/{row.id}/delete")).status == 404


async def test_an_answer_keeps_the_link_that_was_chosen_and_shows_it(manager: Visitor, world: World) -> None:
    reply = {"keyword": "退货", "match": "contains", "channel": "both", "answer": "7 天无理由"}
    link = {"attach": "link", "title": "退货流程", "url": "https://crm.example.test/return"}
    assert (await post(manager, "/console/replies", **reply, **link)).status == 303
    (row,) = await world.rows(keyword_reply)
    assert row.attachment == {"kind": "link", "title": "退货流程", "url": "https://crm.example.test/return"}
    assert "退货流程" in await manager.get("/console/replies")
    answer = await post(manager, "/console/replies", **reply, **link | {"url": "nowhere"})
    assert 'value="退货流程"' in await answer.text()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"keyword": " 　 "}, "关键词是空的"),
        ({"keyword": "长" * 61}, "最多 60 个字"),
        ({"answer": "  "}, "回复是空的"),
        ({"answer": "好" * 683}, "回复太长"),
        ({"match": "regex"}, "不认识"),
        ({"attach": "link", "title": "退货", "url": "www.x.com"}, "网址不对"),
        ({"attach": "link", "url": "https://x.test"}, "标题"),
        (
            {"attach": "link", "title": "退货", "url": "https://x.test", "answer": "好" * 342},
            "带链接或小程序时最多 1024 字节",
        ),
        ({"attach": "miniprogram", "title": "商城", "appid": "wx1", "pagepath": "a"}, "AppID 不对"),
        ({"attach": "image", "picture": "nothing"}, "附带的内容不认识"),
    ],
)
async def test_a_wrong_reply_says_what_to_do_and_keeps_what_was_typed(
    manager: Visitor, world: World, wrong: dict[str, str], words: str
) -> None:
    fields = {"keyword": "退货", "match": "contains", "channel": "both", "answer": "好的", **wrong}
    answer = await post(manager, "/console/replies", **fields)
    assert answer.status == 422
    assert words in await answer.text()
    assert await world.rows(keyword_reply) == []


async def test_an_account_gets_its_welcome_and_its_link(manager: Visitor, world: World) -> None:
    world.wecom.say(
        "kf/account/list",
        {"errcode": 0, "account_list": [{"open_kfid": KF, "name": "晴屿客服", "manage_privilege": True}]},
    )
    world.wecom.say("kf/add_contact_way", {"errcode": 0, "url": "https://work.weixin.qq.com/kf/kfcabc?enc_scene=ENC1"})
    await post(manager, "/console/kf/accounts")
    await world.settle()
    assert (await post(manager, f"/console/kf/{KF}", welcome="您好", unanswered="none")).status == 303
    assert (await post(manager, f"/console/kf/{KF}/link", scene="海报")).status == 422
    assert (await post(manager, f"/console/kf/{KF}/link", scene="poster_618")).status == 303
    (row,) = await world.rows(kf_account)
    assert (row.name, row.welcome, row.unanswered) == ("晴屿客服", "您好", "none")
    assert row.link.endswith("ENC1")


@pytest.mark.parametrize("width", [390, 1280])
async def test_the_pages_fit_the_screen(
    manager: Visitor,
    world: World,
    open_page: OpenPage,
    screenshot: Callable[[BrowserPage, str], Awaitable[Any]],
    width: int,
) -> None:
    await world.add()
    now = world.clock.now()

    def fill(conn: Any) -> None:
        store.ensure_account(conn, KF, now=now)
        store.change_account(conn, KF, name="晴屿客服", welcome="您好，请问有什么可以帮您？")
        store.ensure_visitor(conn, KF, XIAOMAN, 1, now=now)
        store.customer_spoke(conn, KF, XIAOMAN, now, now=now)
        store.save_reply(conn, "退货", "contains", "7 天无理由，运费我们出，包装完好即可。", "both", now=now)

    await world.services.db.write(fill)
    base = str(world.client.make_url("")).rstrip("/")
    page = await open_page(width=width, phone=width < 500)
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
    for path in PAGES:
        await page.goto(base + path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        await screenshot(page, f"wechat-{path.rpartition('/')[2]}-{width}")
