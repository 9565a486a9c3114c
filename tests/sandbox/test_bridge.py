"""The sidebar's frame with WeCom's own SDK against the sandbox's bridge, in a real browser."""

import hashlib
import json
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import Browser, Page, expect

from tests.fixtures_browser import OpenPage
from tests.sandbox.conftest import AGENT_ID, CORP_ID, Wecom
from web import build

SDK: Path = build.WEB / "node_modules/@wecom/jssdk/dist/wecom.global.prod.js"

SIDEBAR = """<!doctype html><meta charset="utf-8"><script src="/sandbox/bridge.js"></script><script src="/sdk.js"></script>
<script>
  const sign = (kind) => (url) => fetch(`/sign?kind=${kind}&url=${encodeURIComponent(url)}`).then((r) => r.json());
  ww.register({ corpId: "CORP", agentId: "AGENT",
    jsApiList: NAMES, getConfigSignature: sign("jsapi"),
    getAgentConfigSignature: sign("KIND") });
  const settle = (promise) => promise.then((value) => value, (problem) => ({ errMsg: problem.errMsg }));
  window.story = async () => [
    await settle(ww.getContext()), await settle(ww.getCurExternalContact()),
    await settle(ww.sendChatMessage({ msgtype: "text", text: { content: "三天啦，用得怎么样？" } })),
    await settle(ww.sendChatMessage({ msgtype: "news", news: { link: "https://shop.example/c/1", title: "新人券", desc: "满减" } })),
    await settle(ww.sendChatMessage({ msgtype: "image", image: { mediaid: "unknown" } })),
    await settle(ww.getCurExternalChat()), navigator.userAgent];
</script>"""


def serve_sidebar(wecom: Wecom, kind: str, *more_names: str) -> None:
    """A sidebar as an app would serve it, signing with the ticket of `kind`; `more_names` it asks for too."""
    names = json.dumps(["getContext", "getCurExternalContact", "sendChatMessage", *more_names])
    page = SIDEBAR.replace("NAMES", names)
    page = page.replace("CORP", CORP_ID).replace("AGENT", str(AGENT_ID)).replace("KIND", kind)

    def sign(request: web.Request) -> web.Response:
        ticket, _ = wecom.sandbox.identity.ticket(request.query["kind"], wecom.clock.now())
        text = f"jsapi_ticket={ticket}&noncestr=n0nce&timestamp=1767225600&url={request.query['url']}"
        digest = hashlib.sha1(text.encode()).hexdigest()
        return web.json_response({"timestamp": "1767225600", "nonceStr": "n0nce", "signature": digest})

    wecom.app.pages |= {
        "/sidebar/": lambda _: web.Response(text=page, content_type="text/html"),
        "/sdk.js": lambda _: web.Response(text=SDK.read_text(), content_type="text/javascript"),
        "/sign": sign,
    }


async def tell_story(wecom: Wecom, page: Page, external_userid: str) -> list[Any]:
    await page.goto(f"{wecom.base}/desk?member=lina&with={external_userid}")
    frame = page.frame("sandbox-sidebar")
    assert frame
    await frame.wait_for_function("() => Boolean(window.story)")
    story: list[Any] = await frame.evaluate("window.story()")
    return story


async def test_the_sdk_finds_the_customer_and_sends_into_the_chat(wecom: Wecom, open_page: OpenPage) -> None:
    serve_sidebar(wecom, "agent_config")
    external_userid, _ = await wecom.scan()
    context, contact, text, news, image, group, agent = await tell_story(wecom, await open_page(), external_userid)
    assert context["entry"] == "single_chat_tools"
    assert contact["userId"] == external_userid
    assert (text["errMsg"], news["errMsg"]) == ("sendChatMessage:ok", "sendChatMessage:ok")
    assert image["errMsg"] == "sendChatMessage:fail invalid mediaid"
    assert group["errMsg"] == "getCurExternalChat:permission denied"
    assert "wxwork/4.1" in agent
    sent = [m for m in wecom.sandbox.chat("lina", external_userid) if m.via == "sidebar"]
    assert [m.kind for m in sent] == ["text", "link"]
    assert "三天啦，用得怎么样？" in await wecom.page("/phone?user=xiaoman&with=lina")


async def test_beside_a_customer_group_the_sdk_finds_the_group_and_sends_into_it(
    wecom: Wecom, open_page: OpenPage
) -> None:
    serve_sidebar(wecom, "agent_config", "getCurExternalChat")
    _, made = await wecom.control("group_create", owner="lina", name="会员群", people=["xiaoman"])
    page = await open_page()
    context, contact, text, _, _, group, _ = await tell_story(wecom, page, made["chat_id"])
    assert context["entry"] == "group_chat_tools"
    assert contact["errMsg"] == "getCurExternalContact:fail without context of external contact"
    assert (group["chatId"], text["errMsg"]) == (made["chat_id"], "sendChatMessage:ok")
    await expect(page.locator(".talk-chat").get_by_text("三天啦，用得怎么样？")).to_be_visible()
    # Who is not in the group has no chat to stand beside.
    assert made["chat_id"] not in await wecom.page("/desk?member=WuHao")
    await wecom.control("group_dismiss", chat_id=made["chat_id"])
    assert made["chat_id"] not in await wecom.page("/desk?member=lina")


async def test_a_late_bridge_is_waited_for(wecom: Wecom, open_page: OpenPage) -> None:
    wecom.sandbox.faults.bridge_delay_ms = 800
    serve_sidebar(wecom, "agent_config")
    external_userid, _ = await wecom.scan()
    _, contact, *_ = await tell_story(wecom, await open_page(), external_userid)
    assert contact["userId"] == external_userid


async def test_the_other_ticket_signs_nothing(wecom: Wecom, browser: Browser) -> None:
    # Not open_page: the SDK leaves the refusal of its config unhandled, which is no fault of the page.
    serve_sidebar(wecom, "jsapi")
    external_userid, _ = await wecom.scan()
    context, contact, *_ = await tell_story(wecom, await browser.new_page(), external_userid)
    assert "42012" in context["errMsg"] or "signature" in context["errMsg"]
    assert "userId" not in contact
