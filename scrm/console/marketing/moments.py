"""朋友圈: what members are to publish, who has, and what customers made of it."""

import secrets
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.door import MANAGER, before_of, for_managers, page
from scrm.content.media import store as media
from scrm.errors import Invalid, NotFound
from scrm.mass_messages import choices
from scrm.moments import publish, store
from scrm.profiles.words import Word
from scrm.services import SERVICES

routes = web.RouteTableDef()

SHOWN = 30
STATES = {
    "planned": Word("等待创建", "info"),
    "intent": Word("核对中", "warn"),
    "job": Word("创建中", "info"),
    "created": Word("待员工发表", "warn"),
    "done": Word("已结束"),
    "failed": Word("创建失败", "bad"),
    "cancelled": Word("已停止"),
}


@routes.get("/console/moments")
@for_managers
async def moments(request: web.Request) -> web.StreamResponse:
    rows = await request.app[SERVICES].db.read(store.list_moments, before=before_of(request), limit=SHOWN)
    before = rows[-1].id if len(rows) == SHOWN else None
    return await page(request, "moments.html", active="moments", rows=rows, states=STATES, before=before)


@routes.get("/console/moments/new")
@for_managers
async def new_moment(request: web.Request) -> web.StreamResponse:
    return await _form(request)


async def _form(
    request: web.Request, *, status: int = 200, problem: str = "", text: str = "", **given: Any
) -> web.Response:
    def look(conn: Connection) -> dict[str, Any]:
        originals = [row for row in media.list_originals(conn, limit=60) if row.kind in ("image", "video")]
        return {"choices": choices.list_choices(conn), "originals": originals}

    values = await request.app[SERVICES].db.read(look)
    chosen = given.get("chosen", set())
    return await page(
        request,
        "moment_new.html",
        active="moments",
        status=status,
        problem=problem,
        text=text,
        chosen=chosen,
        once=secrets.token_hex(16),
        **values,
    )


@routes.post("/console/moments")
@for_managers
async def create(request: web.Request) -> web.StreamResponse:
    form = await request.post()
    text = str(form.get("text", "")).replace("\r\n", "\n")
    try:
        number = await publish.create(
            request.app[SERVICES],
            text=text,
            attachments=[{"media": str(name)} for name in form.getall("media", [])],
            userids=[str(value) for value in form.getall("userid", [])],
            tag_ids=[str(value) for value in form.getall("tag", [])],
            once=str(form.get("once", ""))[:64] or None,
            created_by=request[MANAGER].userid,
        )
    except Invalid as error:
        chosen = {str(value) for name in ("userid", "tag", "media") for value in form.getall(name, [])}
        return await _form(request, status=422, problem=error.text, text=text, chosen=chosen)
    raise web.HTTPSeeOther(f"/console/moments/{number}")


@routes.get(r"/console/moments/{id:\d{1,18}}")
@for_managers
async def moment(request: web.Request) -> web.StreamResponse:
    number = int(request.match_info["id"])

    def look(conn: Connection) -> dict[str, Any] | None:
        row = store.find_moment(conn, number)
        if row is None:
            return None
        names = [str(each["media"]) for each in row.attachments if "media" in each]
        return {
            "row": row,
            "publishers": store.list_publishers(conn, number),
            "originals": media.find_originals(conn, names),
        }

    values = await request.app[SERVICES].db.read(look)
    if values is None:
        raise NotFound("没有这条朋友圈。")
    return await page(request, "moment.html", active="moments", states=STATES, **values)


@routes.post(r"/console/moments/{id:\d{1,18}}/cancel")
@for_managers
async def cancel(request: web.Request) -> web.StreamResponse:
    number = int(request.match_info["id"])
    await publish.cancel(request.app[SERVICES], number)
    raise web.HTTPSeeOther(f"/console/moments/{number}")
