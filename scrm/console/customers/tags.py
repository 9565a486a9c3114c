"""企业标签: the library, how many carry each tag, and the forms that add, rename and delete."""

from itertools import groupby
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.door import for_managers, page, with_wecom
from scrm.contact_ways.forms import read_words
from scrm.errors import NotFound
from scrm.profiles import mark_tags, tag_library, tags
from scrm.services import SERVICES

routes = web.RouteTableDef()

TAG = r"{tag_id:[0-9A-Za-z_\-]{1,64}}"
GROUP = r"{group_id:[0-9A-Za-z_\-]{1,64}}"


@routes.get("/console/tags")
@for_managers
async def library(request: web.Request) -> web.StreamResponse:
    def look(conn: Connection) -> dict[str, Any]:
        rows = tags.list_library(conn)
        groups = [(name, list(members)) for name, members in groupby(rows, key=lambda row: row.group_name)]
        return {"groups": groups, "carriers": tags.count_carriers(conn), "exclusive": tags.list_exclusive(conn)}

    return await page(request, "tags.html", active="tags", **await request.app[SERVICES].db.read(look))


@routes.post("/console/tags")
@for_managers
@with_wecom
async def add(request: web.Request) -> web.StreamResponse:
    form = await request.post()
    names = read_words(str(form.get("names", "")))
    await tag_library.add_tags(request.app[SERVICES], str(form.get("group", "")), names)
    raise web.HTTPSeeOther("/console/tags")


@routes.post("/console/tags-library")
@for_managers
@with_wecom
async def fetch(request: web.Request) -> web.StreamResponse:
    await mark_tags.refresh_library(request.app[SERVICES])
    raise web.HTTPSeeOther("/console/tags")


@routes.post(f"/console/tags/groups/{GROUP}/exclusive")
@for_managers
async def set_exclusive(request: web.Request) -> web.StreamResponse:
    """{on: 1 or 0}: whether a customer carries one tag of the group at most; WeCom itself knows no such rule."""
    group_id, is_exclusive = request.match_info["group_id"], (await request.post()).get("on") == "1"

    def write(conn: Connection) -> None:
        if not any(row.group_id == group_id for row in tags.list_library(conn)):
            raise NotFound("没有这个标签组，可能已被删除，请刷新页面")
        tags.set_exclusive(conn, group_id, is_exclusive)

    await request.app[SERVICES].db.write(write)
    raise web.HTTPSeeOther("/console/tags")


@routes.post(f"/console/tags/groups/{GROUP}/{{way:up|down}}")
@for_managers
@with_wecom
async def move_group(request: web.Request) -> web.StreamResponse:
    """One place up or down; WeCom's own pages show the same order."""
    found = request.match_info
    await tag_library.move_group(request.app[SERVICES], found["group_id"], up=found["way"] == "up")
    raise web.HTTPSeeOther(f"/console/tags#group-{found['group_id']}")


@routes.post(f"/console/tags/groups/{GROUP}/place")
@for_managers
@with_wecom
async def place_group(request: web.Request) -> web.StreamResponse:
    """{before: the group that it was dropped in front of, empty at the end}."""
    before = str((await request.post()).get("before", ""))
    await tag_library.place_group(request.app[SERVICES], request.match_info["group_id"], before)
    raise web.HTTPSeeOther("/console/tags")


@routes.post(f"/console/tags/{TAG}/{{way:up|down}}")
@for_managers
@with_wecom
async def move_tag(request: web.Request) -> web.StreamResponse:
    found = request.match_info
    await tag_library.move_tag(request.app[SERVICES], found["tag_id"], up=found["way"] == "up")
    raise web.HTTPSeeOther(f"/console/tags#row-{found['tag_id']}")


@routes.post(f"/console/tags/{TAG}/place")
@for_managers
@with_wecom
async def place_tag(request: web.Request) -> web.StreamResponse:
    """{before: the tag of the same group that it was dropped in front of, empty at the end}."""
    before = str((await request.post()).get("before", ""))
    await tag_library.place_tag(request.app[SERVICES], request.match_info["tag_id"], before)
    raise web.HTTPSeeOther("/console/tags")


@routes.post(f"/console/tags/{TAG}")
@for_managers
@with_wecom
async def rename(request: web.Request) -> web.StreamResponse:
    form = await request.post()
    await tag_library.change_tag(request.app[SERVICES], request.match_info["tag_id"], str(form.get("name", "")))
    raise web.HTTPSeeOther("/console/tags")


@routes.post(f"/console/tags/{TAG}/delete")
@for_managers
@with_wecom
async def delete(request: web.Request) -> web.StreamResponse:
    await tag_library.delete_tag(request.app[SERVICES], request.match_info["tag_id"])
    raise web.HTTPSeeOther("/console/tags")
