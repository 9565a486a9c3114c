"""雷达内容: what members send and want to know who reads: the links, and who opened them for how long."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection, select

from scrm import audit
from scrm.console.door import MANAGER, before_of, for_managers, page
from scrm.errors import Invalid
from scrm.profiles.models import member
from scrm.profiles.store import find_member
from scrm.services import SERVICES
from scrm.tracking import radar, said_links
from web.render import render

routes = web.RouteTableDef()

KEY = r"{key:[^/]{1,64}}"
SHOWN = 50


@routes.get("/console/radar")
@for_managers
async def contents(request: web.Request) -> web.StreamResponse:
    return await _list(request)


async def _list(request: web.Request, problem: str = "", **filled: str) -> web.Response:
    services = request.app[SERVICES]
    found = await services.db.read(lambda conn: radar.list_contents(conn, before=before_of(request), limit=SHOWN + 1))
    rows = found[:SHOWN]
    values = {
        "rows": rows,
        "before": rows[-1].id if len(found) > SHOWN else None,
        "is_first": before_of(request) is None,
        "domains": services.settings.tracking.domains,
        "problem": problem,
        "filled": filled,
        "reading": reading,
    }
    return await page(request, "radar.html", active="radar", **values)


@routes.post("/console/radar")
@for_managers
async def add(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    filled = {name: str(form.get(name, "")) for name in ("title", "url")}
    try:
        row = await services.db.write(
            radar.save_content,
            domains=services.settings.tracking.domains,
            by=request[MANAGER].userid,
            now=services.clock.now(),
            **filled,
        )
    except Invalid as error:
        return await _list(request, error.text, **filled)
    raise web.HTTPSeeOther(f"/console/radar/{row.key}")


@routes.get(f"/console/radar/{KEY}")
@for_managers
async def content(request: web.Request) -> web.StreamResponse:
    public_url, after = request.app[SERVICES].settings.server.public_url, _after(request)

    def look(conn: Connection) -> dict[str, Any]:
        row = radar.find_content(conn, request.match_info["key"])
        readers = radar.list_readers(conn, row.id, after=after, limit=SHOWN + 1)
        return {
            "row": row,
            **_paged("readers", readers, "last_opened_at"),
            "variable": f"radar.{said_links.name_of(row.key)}",
            "open_links": radar.list_open_links(conn, row.id),
            "members": conn.execute(
                select(member.c.userid, member.c.name).where(member.c.is_active).order_by(member.c.name).limit(500)
            ).all(),
        }

    values = await request.app[SERVICES].db.read(look)
    return await page(
        request,
        "radar_content.html",
        active="radar",
        public_url=public_url,
        reading=reading,
        is_first=after is None,
        **values,
    )


@routes.get(f"/console/radar/{KEY}/members")
@for_managers
async def members(request: web.Request) -> web.StreamResponse:
    """The figures of each member; asked for by the page when it is there, because all links are added up."""
    services = request.app[SERVICES]

    def look(conn: Connection) -> list[Any]:
        return radar.count_by_member(conn, radar.find_content(conn, request.match_info["key"]).id)

    return render(
        request,
        "console/radar_members.html",
        by_member=await services.db.read(look),
        reading=reading,
        zone=services.settings.shop.zone,
        now=services.clock.now(),
    )


def _after(request: web.Request) -> radar.Place | None:
    return radar.Place.read(request.query.get("after", ""))


def _paged(name: str, rows: list[Any], at: str) -> dict[str, Any]:
    """What is shown of the rows, and where the next page goes on; None when that is all."""
    shown = rows[:SHOWN]
    return {name: shown, "after": radar.Place(getattr(shown[-1], at), shown[-1].id) if len(rows) > SHOWN else None}


@routes.get(f"/console/radar/{KEY}/readers/{{link:[0-9]{{1,18}}}}")
@for_managers
async def reader(request: web.Request) -> web.StreamResponse:
    """Each time that one person, or whoever has a link for all, opened it."""
    after = _after(request)

    def look(conn: Connection) -> dict[str, Any]:
        row = radar.find_content(conn, request.match_info["key"])
        link = radar.find_reader(conn, row.id, int(request.match_info["link"]))
        openings = radar.list_openings(conn, link, after=after, limit=SHOWN + 1)
        return {"row": row, "link": link, **_paged("openings", openings, "opened_at")}

    values = await request.app[SERVICES].db.read(look)
    return await page(request, "radar_reader.html", active="radar", reading=reading, is_first=after is None, **values)


@routes.post(f"/console/radar/{KEY}/links")
@for_managers
async def make_link(request: web.Request) -> web.StreamResponse:
    """A link of one member for whoever gets it: groups, moments, posters."""
    services, form = request.app[SERVICES], await request.post()
    key, userid = request.match_info["key"], str(form.get("userid", ""))[:64]

    def make(conn: Connection) -> None:
        row = radar.find_content(conn, key)
        known = find_member(conn, userid)
        if known is None:
            raise Invalid("请选择一位员工")
        audit.changed(conn, "radar_content", key, None, {"link_of": known.userid})
        radar.ensure_link(conn, row.id, userid=known.userid, person_id=0, external_userid="", now=services.clock.now())

    await services.db.write(make)
    raise web.HTTPSeeOther(f"/console/radar/{key}#links")


@routes.post(f"/console/radar/{KEY}/archive")
@for_managers
async def archive(request: web.Request) -> web.StreamResponse:
    form, key = await request.post(), request.match_info["key"]
    await request.app[SERVICES].db.write(radar.archive, key, form.get("archived") == "1")
    raise web.HTTPSeeOther(f"/console/radar/{key}")


def reading(seconds: int) -> str:
    """「2 分 5 秒」, for people."""
    seconds = int(seconds or 0)
    if seconds < 60:
        return f"{seconds} 秒"
    return (
        f"{seconds // 60} 分 {seconds % 60} 秒" if seconds < 3600 else f"{seconds // 3600} 时 {seconds % 3600 // 60} 分"
    )
