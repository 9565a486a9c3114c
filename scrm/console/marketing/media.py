"""素材库: the shop's own pictures, films and files, and where WeCom's ids for them stand."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.door import MANAGER, for_managers, page
from scrm.content.media import copies, library, store
from scrm.errors import Conflict, Invalid, NotFound
from scrm.services import SERVICES

routes = web.RouteTableDef()

_NAME = r"{sha256:[0-9a-f]{64}}"


@routes.get("/console/media")
@for_managers
async def media(request: web.Request) -> web.StreamResponse:
    kind = request.query.get("kind", "")
    kind, hidden = kind if kind in library.KINDS else "", request.query.get("hidden", "")[:64]

    def look(conn: Connection) -> dict[str, Any]:
        rows = store.list_originals(conn, kind=kind)
        found: dict[str, list[Any]] = {}
        for each in store.list_copies(conn, [row.sha256 for row in rows]):
            found.setdefault(each.sha256, []).append(each)
        return {
            "rows": rows,
            "copies": found,
            "wished": store.wished(conn, found),
            "failing": sum(any(each.reason for each in copies) for copies in found.values()),
            "hidden": store.find_original(conn, hidden) if hidden else None,
        }

    values = await request.app[SERVICES].db.read(look)
    return await page(request, "media.html", active="media", kind=kind, kinds=library.KINDS, uses=copies.USES, **values)


@routes.put("/console/media")
@for_managers
async def add(request: web.Request) -> web.StreamResponse:
    """The file is the body, its name in the query; read piece by piece, and never more than WeCom takes."""
    name, content = request.query.get("name", ""), bytearray()
    async for piece in request.content.iter_chunked(256 * 1024):
        content += piece
        if len(content) > library.MOST_BYTES:
            raise Invalid(f"“{library.clean_name(name)}”超过 20 MB，企业微信不支持，请压缩后再上传。")
    services = request.app[SERVICES]
    sha256 = await library.add_original(services, name, bytes(content), added_by=request[MANAGER].userid)
    return web.json_response({"sha256": sha256})


@routes.get(f"/console/media/{_NAME}")
@for_managers
async def show(request: web.Request) -> web.StreamResponse:
    """The bytes: pictures to be looked at, everything else only to be saved."""
    services, sha256 = request.app[SERVICES], request.match_info["sha256"]
    row = await services.db.read(store.find_original, sha256)
    path = library.path_of(services.settings.content.media_dir, sha256)
    if row is None or not path.is_file():
        raise NotFound("没有这个素材。")
    headers = {
        "Content-Type": row.content_type,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=86400, immutable",
        "Content-Disposition": "inline" if row.kind == "image" else "attachment",
    }
    return web.FileResponse(path, headers=headers)


@routes.post(f"/console/media/{_NAME}/hide")
@for_managers
async def hide(request: web.Request) -> web.StreamResponse:
    if not await request.app[SERVICES].db.write(store.hide_original, request.match_info["sha256"]):
        raise Conflict("这个素材正在被使用，先把它从用到的内容里去掉。")
    raise web.HTTPSeeOther(f"/console/media?hidden={request.match_info['sha256']}")


@routes.post(f"/console/media/{_NAME}/show")
@for_managers
async def bring_back(request: web.Request) -> web.StreamResponse:
    """What was deleted by mistake is there again."""
    await request.app[SERVICES].db.write(store.show_original, request.match_info["sha256"])
    raise web.HTTPSeeOther("/console/media")
