"""The client's side of the JS-SDK: signature checks and messages sent from the sidebar."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from .sandbox import Sandbox
from .world import Json, PairState

ENTRIES_THAT_CHAT = ("single_chat_tools", "single_kf_tools")
BESIDE_A_GROUP = "group_chat_tools"
WRONG_ENTRY = "fail without context of external contact"
MORE = "more info at https://open.work.weixin.qq.com/devtool/query?e="


class JsApi:
    """What the bridge in the page asks for; answers are raw err_msg objects, as the native client gives them."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    async def verify(self, request: web.Request) -> web.Response:
        """POST {kind, params, url}: whether config or agentConfig is signed rightly for this address (doc 90506)."""
        body = await _read(request)
        kind, params, url = str(body.get("kind")), body.get("params"), str(body.get("url", ""))
        if kind not in ("agentConfig", "preVerifyJSAPI") or not isinstance(params, dict):
            raise web.HTTPBadRequest(text="kind must be agentConfig or preVerifyJSAPI, params an object")
        problem = self._problem(kind, params, url)
        return self._answer(request, {"err_msg": f"{kind}:{problem or 'ok'}"})

    def _problem(self, kind: str, params: Json, url: str) -> str:
        config = self.sandbox.config
        is_agent = kind == "agentConfig"
        corp_id = params.get("corpid" if is_agent else "verifyAppId")
        if corp_id != config.corp_id:
            return f"invalid corpId, {MORE}40013"
        if is_agent and str(params.get("agentid")) != str(config.agent_id):
            return f"invalid agentid, {MORE}40056"
        if not config.trusts(url):
            return f"invalid url domain, {MORE}50001"
        names = ("timestamp", "nonceStr", "signature")
        if not is_agent:
            names = ("verifyTimestamp", "verifyNonceStr", "verifySignature")
        timestamp, nonce, signature = (str(params.get(name, "")) for name in names)
        now = self.sandbox.clock.now()
        signed_by = self.sandbox.identity.ticket_that_signed(nonce, timestamp, url.split("#")[0], signature, now)
        if signed_by is None:
            return f"invalid signature, {MORE}40093"
        if signed_by != ("agent_config" if is_agent else "jsapi"):
            return f"invalid signature, {MORE}42012"
        return ""

    async def send(self, request: web.Request) -> web.Response:
        """POST {member, external_userid or chat_id, entry, params}: sendChatMessage puts one message into the chat."""
        body = await _read(request)
        params = body.get("params")
        if not isinstance(params, dict):
            raise web.HTTPBadRequest(text="params must be an object")
        return self._answer(request, {"err_msg": f"sendChatMessage:{self._send(body, params) or 'ok'}"})

    def _send(self, body: Json, params: Json) -> str:
        put = self._place(body)
        if put is None:
            return WRONG_ENTRY
        kind = str(params.get("msgtype"))
        given = params.get(kind)
        content = given if isinstance(given, dict) else {}
        problem, kind, content = self._content(kind, content)
        if problem:
            return problem
        put(kind, content)
        return ""

    def _place(self, body: Json) -> Callable[[str, Json], object] | None:
        """What puts a message into the chat that the sidebar stands beside; None when it stands beside none."""
        world, now, userid = self.sandbox.world, self.sandbox.clock.now(), str(body.get("member", ""))
        if body.get("entry") == BESIDE_A_GROUP:
            group = world.find_group(userid, str(body.get("chat_id", "")))
            return partial(world.append_to_group, group, userid, now) if group else None
        pair = world.find_pair(userid, str(body.get("external_userid", "")))
        if body.get("entry") not in ENTRIES_THAT_CHAT or pair is None or pair.state == PairState.DELETED:
            return None
        return partial(world.append, pair, now, "member", via="sidebar")

    def _content(self, kind: str, content: Json) -> tuple[str, str, Json]:
        if kind == "text":
            text = content.get("content")
            return ("" if isinstance(text, str) and text else "fail invalid content"), kind, {"content": text}
        if kind == "news":
            if not _is_url(content.get("link")):
                return "fail invalid link", kind, {}
            link = {"title": content.get("title", ""), "desc": content.get("desc", ""), "url": content["link"]}
            return "", "link", link | {"picurl": content.get("imgUrl", "")}
        if kind == "miniprogram":
            return ("" if _is_url(content.get("imgUrl")) else "fail invalid imgUrl"), kind, content
        if kind in ("image", "video", "file"):
            media = self.sandbox.world.find_media(str(content.get("mediaid")), self.sandbox.clock.now())
            if media is None or media.door != "upload":
                return "fail invalid mediaid", kind, {}
            return "", kind, {"media_id": media.id, "filename": media.filename, "size": len(media.content)}
        return "fail unsupported msgtype", kind, {}

    def _answer(self, request: web.Request, answer: Json) -> web.Response:
        headers = {"Cache-Control": "no-store"}
        origin = request.headers.get("Origin", "")
        if origin and self.sandbox.config.trusts(origin):
            headers |= {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        return web.json_response(answer, headers=headers)


def _is_url(value: object) -> bool:
    return isinstance(value, str) and urlsplit(value).scheme in ("http", "https")


async def _read(request: web.Request) -> dict[str, Any]:
    # The bridge posts as text/plain, so that a page on another origin needs no preflight.
    try:
        body = json.loads(await request.text())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object")
    return body
