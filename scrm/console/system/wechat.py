"""微信客服, 公众号 and 关键词回复: what customers wrote beyond WeCom, and the answers prepared for them."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.console.door import for_managers, page
from scrm.content.media import store as media
from scrm.errors import Invalid, NotFound
from scrm.services import SERVICES
from scrm.wechat import store
from scrm.wechat.keywords import MOST_CHARS, fold
from scrm.wechat.kf_sync import accounts_work
from scrm.wechat.saying import IMAGE, LINK, MINIPROGRAM, NOTHING, most_bytes
from scrm.wecom.errors import WeComError
from scrm.wecom.kf import SCENE_BYTES, TEXT_BYTES
from scrm.work import queue

routes = web.RouteTableDef()

MATCHES = {"contains": "包含", "exact": "完全一致"}
CHANNELS = {"both": "客服和公众号", "kf": "微信客服", "oa": "公众号"}
UNANSWERED = {"pool": "转给接待人员", "none": "不处理"}
STATES = {0: "未处理", 1: "自动接待", 2: "等待接待", 3: "人工接待", 4: "已结束"}
_SCENE = re.compile(rf"[0-9a-zA-Z_-]{{1,{SCENE_BYTES}}}")


# What goes with an answer ---------------------------------------------------------------------------------------------------

ATTACHED = ("attach", "title", "url", "appid", "pagepath", "picture")
KINDS = {NOTHING: "没有", LINK: "链接", MINIPROGRAM: "小程序", IMAGE: "图片"}
_TITLE_CHARS, _URL_CHARS = 40, 2048
_APPID = re.compile(r"wx[0-9a-f]{16}")


def _attachment(filled: Mapping[str, str], pictures: Collection[str]) -> dict[str, str]:
    """What was chosen to go with the words; raises Invalid in words."""
    kind, title = filled["attach"], filled["title"]
    if kind not in KINDS or (kind == IMAGE and not pictures):
        raise Invalid("附带的内容不认识，请重新选择")
    if kind in (LINK, MINIPROGRAM) and not 0 < len(title) <= _TITLE_CHARS:
        raise Invalid(f"请填写客户看到的标题，1 到 {_TITLE_CHARS} 个字，例如“查看退货流程”")
    if kind == LINK:
        if not filled["url"].startswith(("https://", "http://")) or len(filled["url"]) > _URL_CHARS:
            raise Invalid("网址不对：要以 https:// 或 http:// 开头，请从浏览器里完整复制")
        return {"kind": kind, "title": title, "url": filled["url"]}
    if kind == MINIPROGRAM:
        if not _APPID.fullmatch(filled["appid"]):
            raise Invalid("小程序 AppID 不对：是 wx 开头的 18 位，在小程序后台 → 开发管理 里复制")
        if not filled["pagepath"]:
            raise Invalid("请填写小程序的页面路径，例如 pages/index/index.html")
        return {"kind": kind, "title": title, "appid": filled["appid"], "pagepath": filled["pagepath"][:1024]}
    if kind == IMAGE:
        if filled["picture"] not in pictures:
            raise Invalid("请选一张图片；还没有的话，先到“素材”上传")
        return {"kind": kind, "sha256": filled["picture"]}
    return {}


def _check_length(words: str, attachment: Mapping[str, Any], name: str) -> None:
    most = most_bytes(attachment)
    if len(words.encode()) > most:
        beside = "带链接或小程序时" if most < TEXT_BYTES else "微信"
        raise Invalid(f"{name}太长：{beside}最多 {most} 字节（约 {most // 3} 个汉字），请缩短")


def _pictures(conn: Connection) -> list[Row[Any]]:
    return media.list_originals(conn, kind="image")


def _filled(form: Mapping[str, Any], *names: str) -> dict[str, str]:
    return {name: str(form.get(name, "")).strip() for name in (*names, *ATTACHED)}


# Replies by keyword -------------------------------------------------------------------------------------------------------


@routes.get("/console/replies")
@for_managers
async def replies(request: web.Request) -> web.StreamResponse:
    return await _replies(request)


async def _replies(request: web.Request, problem: str = "", filled: dict[str, str] | None = None) -> web.Response:
    rows, pictures = await request.app[SERVICES].db.read(lambda conn: (store.list_replies(conn), _pictures(conn)))
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
        kinds=KINDS,
        pictures=pictures,
        most_chars=MOST_CHARS,
    )


@routes.post("/console/replies")
@for_managers
async def save_reply(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    filled = _filled(form, "keyword", "match", "channel", "answer")
    pictures = {row.sha256 for row in await services.db.read(_pictures)}
    try:
        attachment = _attachment(filled, pictures)
        keyword = _checked_reply(filled, attachment)
    except Invalid as error:
        return await _replies(request, error.text, filled)
    await services.db.write(
        store.save_reply,
        keyword,
        filled["match"],
        filled["answer"],
        filled["channel"],
        attachment=attachment,
        now=services.clock.now(),
    )
    raise web.HTTPSeeOther("/console/replies")


def _checked_reply(filled: dict[str, str], attachment: Mapping[str, Any]) -> str:
    """The keyword as it is compared."""
    keyword = fold(filled["keyword"])
    if not keyword:
        raise Invalid("关键词是空的，请填写客户会说的词，例如“退货”")
    if len(keyword) > MOST_CHARS:
        raise Invalid(f"关键词有 {len(keyword)} 个字，最多 {MOST_CHARS} 个字，请缩短")
    if not filled["answer"]:
        raise Invalid("回复是空的，请填写要回复客户的话")
    _check_length(filled["answer"], attachment, "回复")
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
        kinds={key: text for key, text in KINDS.items() if key != IMAGE},
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
    filled, unanswered = _filled(form, "welcome"), str(form.get("unanswered", ""))
    welcome = filled["welcome"]
    try:
        attachment = _attachment(filled, ())
        _check_length(welcome, attachment, "欢迎语")
        if attachment and not welcome:
            raise Invalid("欢迎语是空的：链接和小程序要跟着一句话一起发，请先填写欢迎语")
    except Invalid as error:
        return await _kf(request, error.text)
    if unanswered not in UNANSWERED:
        return await _kf(request, "没有匹配时的处理方式不认识，请重新选择")
    if await services.db.read(store.find_account, open_kfid) is None:
        raise NotFound("没有这个客服账号，请重新读取账号列表")
    await services.db.write(
        store.change_account, open_kfid, welcome=welcome, attachment=attachment, unanswered=unanswered
    )
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
