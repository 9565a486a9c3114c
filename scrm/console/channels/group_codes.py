"""群活码 and 入群欢迎语: the addresses that lead into groups, and what greets people there."""

import asyncio
from datetime import timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.door import MANAGER, for_managers, page, with_wecom
from scrm.contact_ways import logo
from scrm.contact_ways.qr import picture
from scrm.errors import Invalid
from scrm.group_chats import code_store, figure_store, join_codes, list_store, welcome_store, welcomes
from scrm.services import SERVICES

routes = web.RouteTableDef()

STATE = r"{state:[0-9A-Za-z][0-9A-Za-z_\-]{0,29}}"
GROUPS_OFFERED = 300
WHY_NOT = {"dismissed": "已解散", "expired": "即将过期", "full": "已满"}


@routes.get("/console/group-codes")
@for_managers
async def codes(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    now = services.clock.now()

    def look(conn: Connection) -> dict[str, Any]:
        rows = code_store.list_codes(conn)
        states = [row.state for row in rows]
        slots: dict[str, list[Any]] = {}
        for slot in code_store.list_slots(conn, states):
            slots.setdefault(slot.state, []).append(slot)
        shown = {
            row.state: join_codes.choose_slot(
                slots.get(row.state, []), row.most_members, now, auto_create_room=row.auto_create_room
            )
            for row in rows
        }
        joins = code_store.count_joins_by_state(conn, states, now - timedelta(days=7))
        return {"rows": rows, "slots": slots, "shown": shown, "joins": joins}

    return await page(request, "group_codes.html", active="group_codes", **await services.db.read(look))


@routes.get("/console/group-codes/new")
@for_managers
async def new_code(request: web.Request) -> web.StreamResponse:
    return await _form(request, None)


@routes.post("/console/group-codes/new")
@for_managers
@with_wecom
async def make_code(request: web.Request) -> web.StreamResponse:
    form = await request.post()
    chat_ids = list(dict.fromkeys(str(value) for value in form.getall("chat_id", [])))
    state = await join_codes.make_code(request.app[SERVICES], _settings(form), chat_ids)
    raise web.HTTPSeeOther(f"/console/group-codes/{state}")


@routes.get(f"/console/group-codes/{STATE}")
@for_managers
async def code(request: web.Request) -> web.StreamResponse:
    return await _form(request, request.match_info["state"])


async def _form(request: web.Request, state: str | None) -> web.Response:
    services = request.app[SERVICES]
    now = services.clock.now()

    def look(conn: Connection) -> dict[str, Any]:
        code = None if state is None else join_codes.get_code(conn, state)
        slots = [] if state is None else code_store.list_slots(conn, [state])
        inside = {slot.chat_id for slot in slots}
        groups = list_store.list_groups(conn, is_dismissed=False, limit=GROUPS_OFFERED).rows
        offered = [group for group in groups if group.chat_id not in inside]
        joins = {} if state is None else code_store.count_joins_by_state(conn, [state], now - timedelta(days=7))
        zone = services.settings.shop.zone
        days = [] if state is None else figure_store.count_days(conn, now, zone, state=state)
        return {"code": code, "slots": slots, "groups": offered, "joins": joins.get(state or "", (0, 0)), "days": days}

    values = await services.db.read(look)
    code, slots = values["code"], values["slots"]
    most = code.most_members if code else 0
    shown = join_codes.choose_slot(slots, most, now, auto_create_room=bool(code and code.auto_create_room))
    return await page(
        request,
        "group_code.html",
        active="group_codes",
        reasons={slot.id: WHY_NOT.get(join_codes.why_not(slot, most, now), "") for slot in slots},
        shown=shown,
        address=_address(request, code.token) if code else "",
        **values,
    )


def _settings(form: Any) -> join_codes.Settings:
    def text(name: str) -> str:
        return " ".join(str(form.get(name, "")).split())

    def number(name: str, title: str, default: int) -> int:
        given = text(name)
        if given and not (given.isascii() and given.isdigit() and len(given) < 8):
            raise Invalid(f"{title}：收到“{given[:20]}”，需要一个整数")
        return int(given) if given else default

    return join_codes.Settings(
        title=text("title"),
        guidance=text("guidance"),
        most_members=number("most_members", "满员人数", 200),
        auto_create_room=form.get("auto_create_room") == "1",
        room_base_name=text("room_base_name"),
        room_base_id=number("room_base_id", "起始序号", 1),
    )


@routes.post(f"/console/group-codes/{STATE}")
@for_managers
@with_wecom
async def change_code(request: web.Request) -> web.StreamResponse:
    state = request.match_info["state"]
    await request.app[SERVICES].db.read(join_codes.get_code, state)
    await join_codes.change_code(request.app[SERVICES], state, _settings(await request.post()))
    raise web.HTTPSeeOther(f"/console/group-codes/{state}")


@routes.post(f"/console/group-codes/{STATE}/groups")
@for_managers
@with_wecom
async def add_groups(request: web.Request) -> web.StreamResponse:
    state = request.match_info["state"]
    for chat_id in dict.fromkeys(str(value) for value in (await request.post()).getall("chat_id", [])):
        await join_codes.add_group(request.app[SERVICES], state, chat_id)
    raise web.HTTPSeeOther(f"/console/group-codes/{state}")


@routes.post(f"/console/group-codes/{STATE}" r"/groups/{slot:\d{1,18}}/drop")
@for_managers
@with_wecom
async def drop_group(request: web.Request) -> web.StreamResponse:
    state = request.match_info["state"]
    await join_codes.drop_group(request.app[SERVICES], state, int(request.match_info["slot"]))
    raise web.HTTPSeeOther(f"/console/group-codes/{state}")


@routes.post(f"/console/group-codes/{STATE}/drop")
@for_managers
@with_wecom
async def drop_code(request: web.Request) -> web.StreamResponse:
    await join_codes.drop_code(request.app[SERVICES], request.match_info["state"])
    raise web.HTTPSeeOther("/console/group-codes")


@routes.get(f"/console/group-codes/{STATE}" r"/qr.{kind:png|svg}")
@for_managers
async def qr(request: web.Request) -> web.StreamResponse:
    """Our own code for print: it leads to the stable address, so it never has to be printed again."""
    found = await request.app[SERVICES].db.read(join_codes.get_code, request.match_info["state"])
    kind = request.match_info["kind"]
    services = request.app[SERVICES]
    drawn = {"logo": await logo.find(services), "letter": services.settings.shop.name[:1], "title": found.title}
    body = await asyncio.to_thread(picture, _address(request, found.token), kind, **drawn)
    content_type = {"png": "image/png", "svg": "image/svg+xml"}[kind]
    return web.Response(body=body, content_type=content_type, headers={"Cache-Control": "no-store"})


def _address(request: web.Request, token: str) -> str:
    return f"{request.app[SERVICES].settings.server.public_url}/g/{token}"


# Welcome materials


@routes.get("/console/group-welcomes")
@for_managers
async def materials(request: web.Request) -> web.StreamResponse:
    """?edit=ID opens one in the form."""
    rows = await request.app[SERVICES].db.read(welcome_store.list_welcomes)
    chosen = next((row for row in rows if row.template_id == request.query.get("edit")), None)
    return await page(request, "group_welcomes.html", active="group_welcomes", rows=rows, chosen=chosen)


@routes.post("/console/group-welcomes")
@for_managers
@with_wecom
async def save_material(request: web.Request) -> web.StreamResponse:
    services, by = request.app[SERVICES], request[MANAGER].userid
    form = await request.post()
    material = welcomes.Material(
        title=str(form.get("title", "")).strip(),
        content=str(form.get("content", "")).replace("\r\n", "\n").strip(),
        link_title=str(form.get("link_title", "")).strip(),
        url=str(form.get("url", "")).strip(),
        desc=str(form.get("desc", "")).strip(),
        picurl=str(form.get("picurl", "")).strip(),
    )
    if template_id := str(form.get("template_id", "")):
        await welcomes.edit_material(services, template_id, material, by=by)
    else:
        await welcomes.add_material(services, material, by=by, notify=form.get("notify") == "1")
    raise web.HTTPSeeOther("/console/group-welcomes")


@routes.post(r"/console/group-welcomes/{template_id:[0-9A-Za-z_\-]{1,64}}/drop")
@for_managers
@with_wecom
async def drop_material(request: web.Request) -> web.StreamResponse:
    await welcomes.drop_material(request.app[SERVICES], request.match_info["template_id"])
    raise web.HTTPSeeOther("/console/group-welcomes")
