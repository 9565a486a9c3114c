"""微信客服, 公众号 and 关键词回复: what customers wrote beyond WeCom, and the answers prepared for them."""

import re
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.door import for_managers, page
from scrm.errors import Invalid, NotFound
from scrm.services import SERVICES
from scrm.wechat import store
from scrm.wechat.keywords import MOST_CHARS, fold
from scrm.wechat.kf_sync import accounts_work
from scrm.wecom.errors import WeComError
from scrm.wecom.kf import SCENE_BYTES, TEXT_BYTES
from scrm.work import queue

routes = web.RouteTableDef()

MATCHES = {"contains": "包含", "exact": "完全一致"}
CHANNELS = {"both": "客服和公众号", "kf": "微信客服", "oa": "公众号"}
UNANSWERED = {"pool": "转给接待人员", "none": "不处理"}
STATES = {0: "未处理", 1: "自动接待", 2: "等待接待", 3: "人工接待", 4: "已结束"}
_SCENE = re.compile(rf"[0-9a-zA-Z_-]{{1,{SCENE_BYTES}}}")


# Replies by keyword -------------------------------------------------------------------------------------------------------


@routes.get("/console/replies")
@for_managers
async def replies(request: web.Request) -> web.StreamResponse:
    return await _replies(request)


async def _replies(request: web.Request, problem: str = "", filled: dict[str, str] | None = None) -> web.Response:
    rows = await request.app[SERVICES].db.read(store.list_replies)
    return await page(
        request,
        "replies.html",
        active="replies",
        status=422 if problem else 200,
        rows=rows,
        problem=problem,
        filled=filled or {},
        matches=MATCHES,
        channels=CHANNELS,
        most_chars=MOST_CHARS,
    )


@routes.post("/console/replies")
@for_managers
async def save_reply(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    filled = {name: str(form.get(name, "")).strip() for name in ("keyword", "match", "channel", "answer")}
    try:
        keyword = _checked_reply(filled)
    except Invalid as error:
        return await _replies(request, error.text, filled)
    await services.db.write(
        store.save_reply, keyword, filled["match"], filled["answer"], filled["channel"], now=services.clock.now()
    )
    raise web.HTTPSeeOther("/console/replies")


def _checked_reply(filled: dict[str, str]) -> str:
    """The keyword as it is compared."""
    keyword = fold(filled["keyword"])
    if not keyword:
        raise Invalid("关键词是空的，请填写客户会说的词，例如“退货”")
    if len(keyword) > MOST_CHARS:
        raise Invalid(f"关键词有 {len(keyword)} 个字，最多 {MOST_CHARS} 个字，请缩短")
    if not filled["answer"]:
        raise Invalid("回复是空的，请填写要回复客户的话")
    if len(filled["answer"].encode()) > TEXT_BYTES:
        raise Invalid(f"回复太长：微信最多 {TEXT_BYTES} 字节（约 {TEXT_BYTES // 3} 个汉字），请缩短")
    if filled["match"] not in MATCHES or filled["channel"] not in CHANNELS:
        raise Invalid("匹配方式或使用范围不认识，请重新选择")
    return keyword


@routes.post(r"/console/replies/{id:\d{1,18}}/{act:on|off|delete}")
@for_managers
async def change_reply(request: web.Request) -> web.StreamResponse:
    services, reply_id, act = request.app[SERVICES], int(request.match_info["id"]), request.match_info["act"]
    if act == "delete":
        done = await services.db.write(store.delete_reply, reply_id)
    else:
        done = await services.db.write(store.switch_reply, reply_id, act == "on")
    if not done:
        raise NotFound("这条关键词回复已经不在了，请刷新列表")
    raise web.HTTPSeeOther("/console/replies")


# Customer service ---------------------------------------------------------------------------------------------------------


@routes.get("/console/kf")
@for_managers
async def kf(request: web.Request) -> web.StreamResponse:
    return await _kf(request)


async def _kf(request: web.Request, problem: str = "") -> web.Response:
    def look(conn: Connection) -> dict[str, Any]:
        return {"accounts": store.list_accounts(conn), "visitors": store.list_visitors(conn)}

    return await page(
        request,
        "kf.html",
        active="kf",
        status=422 if problem else 200,
        problem=problem,
        asked=request.query.get("asked") == "1",
        unanswered=UNANSWERED,
        session_states=STATES,
        **await request.app[SERVICES].db.read(look),
    )


@routes.post("/console/kf/accounts")
@for_managers
async def read_accounts(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    await services.db.write(queue.add, accounts_work(), now=services.clock.now())
    raise web.HTTPSeeOther("/console/kf?asked=1")


@routes.post(r"/console/kf/{open_kfid:[\w-]{1,64}}")
@for_managers
async def change_account(request: web.Request) -> web.StreamResponse:
    services, form, open_kfid = request.app[SERVICES], await request.post(), request.match_info["open_kfid"]
    welcome, unanswered = str(form.get("welcome", "")).strip(), str(form.get("unanswered", ""))
    if len(welcome.encode()) > TEXT_BYTES:
        return await _kf(request, f"欢迎语太长：微信最多 {TEXT_BYTES} 字节（约 {TEXT_BYTES // 3} 个汉字），请缩短")
    if unanswered not in UNANSWERED:
        return await _kf(request, "没有匹配时的处理方式不认识，请重新选择")
    if await services.db.read(store.find_account, open_kfid) is None:
        raise NotFound("没有这个客服账号，请重新读取账号列表")
    await services.db.write(store.change_account, open_kfid, welcome=welcome, unanswered=unanswered)
    raise web.HTTPSeeOther("/console/kf")


@routes.post(r"/console/kf/{open_kfid:[\w-]{1,64}}/link")
@for_managers
async def make_link(request: web.Request) -> web.StreamResponse:
    """The link that customers open; the scene comes back when they enter."""
    services, form, open_kfid = request.app[SERVICES], await request.post(), request.match_info["open_kfid"]
    scene = str(form.get("scene", "")).strip()
    if scene and not _SCENE.fullmatch(scene):
        return await _kf(request, f"场景值只能用字母、数字、下划线和短横线，最多 {SCENE_BYTES} 位，例如 poster_618")
    if await services.db.read(store.find_account, open_kfid) is None:
        raise NotFound("没有这个客服账号，请重新读取账号列表")
    try:
        url = await services.wecom.kf.add_contact_way(open_kfid, scene)
    except WeComError as error:
        return await _kf(request, error.text)
    await services.db.write(store.change_account, open_kfid, link=url[:512])
    raise web.HTTPSeeOther("/console/kf")


# The Official Account -----------------------------------------------------------------------------------------------------


@routes.get("/console/official-account")
@for_managers
async def official_account(request: web.Request) -> web.StreamResponse:
    settings = request.app[SERVICES].settings
    app_id = settings.official_account.app_id

    def look(conn: Connection) -> dict[str, Any]:
        return {"rows": store.list_oa_messages(conn), "followers": store.count_followers(conn, app_id)}

    return await page(
        request,
        "official_account.html",
        active="official_account",
        app_id=app_id,
        callback_url=f"{settings.server.public_url}/callbacks/oa",
        **await request.app[SERVICES].db.read(look),
    )
