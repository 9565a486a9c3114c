"""员工与权限: who has which role, and the roles themselves."""

import secrets
from typing import Any

from aiohttp import web
from multidict import MultiMapping
from sqlalchemy import Connection

from scrm import sessions
from scrm.access import store
from scrm.access.modules import MODULES, RIGHTS
from scrm.access.roles import ADMINISTRATOR, BUILT_IN, FIELDS, OWN, REACHES, Role, made_of
from scrm.console import seen
from scrm.console.door import MANAGER, for_managers, page
from scrm.errors import Forbidden, Invalid, NotFound, ScrmError
from scrm.services import SERVICES

routes = web.RouteTableDef()

_ROLES = "/console/access/roles"
_KEY = "{key:[a-z][a-z0-9-]{0,19}}"
_MEMBER = "/console/access/members/{userid:[^/]{1,64}}"


# People ---------------------------------------------------------------------------------------------------------------


@routes.get("/console/access")
@for_managers
async def people(request: web.Request) -> web.StreamResponse:
    return await _show_people(request)


@routes.post(f"{_MEMBER}/role")
@for_managers
async def give_role(request: web.Request) -> web.StreamResponse:
    """The new role holds from the member's next click."""
    services, userid = request.app[SERVICES], request.match_info["userid"]
    role = str((await request.post()).get("role", ""))

    def write(conn: Connection) -> None:
        _require_may_give(conn, request, userid, role)
        store.give_role(conn, userid, role)

    try:
        await services.db.write(write)
    except ScrmError as problem:
        return await _show_people(request, problem=problem.text, status=problem.status)
    raise web.HTTPSeeOther(_back_to_people(request))


@routes.post(f"{_MEMBER}/end-sessions")
@for_managers
async def end_sessions(request: web.Request) -> web.StreamResponse:
    """For a phone that was lost: every login of the member ends."""
    userid = request.match_info["userid"]
    await request.app[SERVICES].db.write(sessions.close_all, userid)
    raise web.HTTPSeeOther(_back_to_people(request))


def _require_may_give(conn: Connection, request: web.Request, userid: str, role: str) -> None:
    """Only administrators make administrators, and take it from them."""
    if request[MANAGER].role == ADMINISTRATOR:
        return
    if ADMINISTRATOR in (role, store.role_of(conn, userid)):
        raise Forbidden("只有管理员可以设置或撤掉管理员，请联系管理员")


def _back_to_people(request: web.Request) -> str:
    return "/console/access" + (f"?{request.query_string}" if request.query_string else "")


async def _show_people(request: web.Request, *, problem: str = "", status: int = 200) -> web.StreamResponse:
    text, role = request.query.get("q", "").strip()[:40], request.query.get("role", "")[:20]
    after = request.query.get("after", "")[:64]

    def look(conn: Connection) -> dict[str, Any]:
        found, more = store.list_people(conn, text=text, role=role, after=after)
        return {"found": found, "more": more, "roles": store.list_roles(conn), "holders": store.count_holders(conn)}

    values = await request.app[SERVICES].db.read(look)
    response = await page(
        request, "access.html", active="access", text=text, role=role, after=after, problem=problem, **values
    )
    response.set_status(status)
    return response


# Roles ----------------------------------------------------------------------------------------------------------------


@routes.get(_ROLES)
@for_managers
async def roles(request: web.Request) -> web.StreamResponse:
    def look(conn: Connection) -> dict[str, Any]:
        return {"roles": store.list_roles(conn), "holders": store.count_holders(conn)}

    values = await request.app[SERVICES].db.read(look)
    return await page(request, "access_roles.html", active="access", reaches=REACHES, built_in=BUILT_IN, **values)


@routes.get(f"{_ROLES}/new")
@for_managers
async def new_role(request: web.Request) -> web.StreamResponse:
    """With `copy` it begins as that role."""
    copied = await request.app[SERVICES].db.read(store.find_role, request.query.get("copy", "")[:20])
    title = f"{copied.title}（副本）" if copied is not None else ""
    rights, reach, fields = (copied.rights, copied.reach, copied.fields) if copied else ((), OWN, ())
    return await _show_role(request, made_of("", title, rights, reach, fields))


@routes.post(f"{_ROLES}/new")
@for_managers
async def make_role(request: web.Request) -> web.StreamResponse:
    return await _save_role(request, "")


@routes.get(f"{_ROLES}/{_KEY}")
@for_managers
async def show_role(request: web.Request) -> web.StreamResponse:
    role = await request.app[SERVICES].db.read(store.find_role, request.match_info["key"])
    if role is None:
        raise NotFound("没有这个角色，可能已被删除")
    return await _show_role(request, role)


@routes.post(f"{_ROLES}/{_KEY}")
@for_managers
async def change_role(request: web.Request) -> web.StreamResponse:
    return await _save_role(request, request.match_info["key"])


@routes.post(f"{_ROLES}/{_KEY}/delete")
@for_managers
async def delete_role(request: web.Request) -> web.StreamResponse:
    await request.app[SERVICES].db.write(store.delete_role, request.match_info["key"])
    raise web.HTTPSeeOther(_ROLES)


async def _save_role(request: web.Request, key: str) -> web.StreamResponse:
    services, member = request.app[SERVICES], request[MANAGER]
    form = await request.post()
    role = _read_role(form, key or f"role-{secrets.token_hex(4)}")
    try:
        if not role.title:
            raise Invalid("请填写角色的名称")
        _require_own(member.allowed, role)

        def write(conn: Connection) -> None:
            known = store.find_role(conn, key) if key else None
            if key and known is None:
                raise NotFound("没有这个角色，可能已被删除")
            if known is not None:
                seen.require_unchanged(form, _mark(known))
            store.save_role(conn, role, by=member.userid, now=services.clock.now())

        await services.db.write(write)
    except ScrmError as problem:
        known = await services.db.read(store.find_role, key) if key else None
        marked = seen.mark_again(form, _mark(known) if known is not None else "", problem)
        return await _show_role(request, role, is_new=not key, problem=problem, marked=marked)
    raise web.HTTPSeeOther(_ROLES)


def _mark(role: Role) -> str:
    return seen.mark(role.title, role.note, sorted(role.rights), role.reach, sorted(role.fields))


def _read_role(form: MultiMapping[Any], key: str) -> Role:
    title, note = str(form.get("title", "")).strip()[:40], str(form.get("note", "")).strip()[:200]
    rights, fields = ([str(one) for one in form.getall(name, [])] for name in ("rights", "fields"))
    return made_of(key, title, rights, str(form.get("reach", OWN)), fields, note)


def _require_own(giver: Role, role: Role) -> None:
    """Nobody gives what they do not have: a role is no ladder."""
    if giver.key == ADMINISTRATOR:
        return
    if role.rights - giver.rights or role.fields - giver.fields or (role.reach != giver.reach and giver.reach != "all"):
        raise Forbidden("你只能给出自己已有的权限和数据范围，请联系管理员")


async def _show_role(
    request: web.Request,
    role: Role,
    *,
    is_new: bool | None = None,
    problem: ScrmError | None = None,
    marked: str | None = None,
) -> web.StreamResponse:
    groups: dict[str, list[Any]] = {}
    for module in MODULES:
        if module.url:
            groups.setdefault(module.group, []).append(module)
    return await page(
        request,
        "access_role.html",
        active="access",
        status=problem.status if problem else 200,
        seen=_mark(role) if marked is None else marked,
        role=role,
        is_new=not role.key if is_new is None else is_new,
        is_built_in=role.key in BUILT_IN,
        groups=groups,
        rights=RIGHTS,
        reaches=REACHES,
        fields=FIELDS,
        problem=problem.text if problem else "",
    )
