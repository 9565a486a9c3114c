"""我的账号: one's own password and logins; 本地账号: who comes in with a password, for those who give rights."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm import audit, sessions
from scrm.access import account_store as store
from scrm.access import passwords
from scrm.access.senders import sender_of
from scrm.access.store import list_roles
from scrm.console.door import ACCOUNT, MANAGER, for_managers, page
from scrm.errors import Conflict, Forbidden, Invalid, ScrmError
from scrm.http import COOKIE
from scrm.services import SERVICES

routes = web.RouteTableDef()

_NAME = r"{name:[a-z0-9][a-z0-9._\-]{1,31}}"
_ACCOUNTS = "/console/access/accounts"


# One's own ------------------------------------------------------------------------------------------------------------


@routes.get(ACCOUNT)
@for_managers
async def account(request: web.Request) -> web.StreamResponse:
    return await _show_own(request)


@routes.post(f"{ACCOUNT}/password")
@for_managers
async def change_password(request: web.Request) -> web.StreamResponse:
    """{old, new, again}: the other sessions of the account end."""
    member, form = request[MANAGER], await request.post()
    old, new, again = (str(form.get(field, "")) for field in ("old", "new", "again"))
    try:
        await _change_password(request, old, new, again)
    except (Invalid, Conflict) as problem:
        return await _show_own(request, problem=problem.text, status=422)
    raise web.HTTPSeeOther("/console/" if member.must_change else f"{ACCOUNT}?changed=1")


async def _change_password(request: web.Request, old: str, new: str, again: str) -> None:
    services, member = request.app[SERVICES], request[MANAGER]
    row = await services.db.read(store.find_account, member.userid)
    if not member.is_local or row is None:
        raise Conflict("你用企业微信登录，没有密码可以修改")
    now, address = services.clock.now(), sender_of(request)
    with audit.unkept():
        waits = await services.db.write(store.begin_attempt, row.userid.removeprefix("local:"), address, now=now)
    if waits:
        raise Conflict(f"失败次数过多，请 {int(-(-waits.total_seconds() // 60))} 分钟后再试")
    if not await passwords.is_right(row.password_hash, old):
        raise Invalid("现在的密码不对")
    if new != again:
        raise Invalid("两次输入的新密码不一样")
    passwords.require_good(new, name=row.userid.removeprefix("local:"), old=old)
    hashed = await passwords.hash_password(new)

    def change(conn: Connection) -> None:
        store.set_password(conn, row.userid, hashed, must_change=False, now=now)
        store.forgive_address(conn, address)
        sessions.close_all(conn, row.userid, but=request.cookies.get(COOKIE, ""))

    await services.db.write(change)


@routes.post(f"{ACCOUNT}/sessions/{{name:[0-9a-f]{{16}}}}/end")
@for_managers
async def end_session(request: web.Request) -> web.StreamResponse:
    db = request.app[SERVICES].db
    await db.write(sessions.close_one, request[MANAGER].userid, request.match_info["name"])
    raise web.HTTPSeeOther(ACCOUNT)


@routes.post(f"{ACCOUNT}/sessions/end-others")
@for_managers
async def end_others(request: web.Request) -> web.StreamResponse:
    db, token = request.app[SERVICES].db, request.cookies.get(COOKIE, "")
    await db.write(sessions.close_all, request[MANAGER].userid, but=token)
    raise web.HTTPSeeOther(ACCOUNT)


async def _show_own(request: web.Request, *, problem: str = "", status: int = 200) -> web.StreamResponse:
    services, member = request.app[SERVICES], request[MANAGER]
    found = await services.db.read(sessions.list_sessions, member.userid, now=services.clock.now())
    response = await page(
        request,
        "account.html",
        active="account",
        found=found,
        here=sessions.name_of(request.cookies.get(COOKIE, "")),
        problem=problem,
        is_changed="changed" in request.query,
        shortest=passwords.SHORTEST,
    )
    response.set_status(status)
    return response


# Everybody's ----------------------------------------------------------------------------------------------------------


@routes.get(_ACCOUNTS)
@for_managers
async def accounts(request: web.Request) -> web.StreamResponse:
    return await _show(request)


@routes.post(f"{_ACCOUNTS}/new")
@for_managers
async def add(request: web.Request) -> web.StreamResponse:
    """{name, role}: the password to begin with is shown on the page that answers, and never again."""
    services, form = request.app[SERVICES], await request.post()
    name, role, password = str(form.get("name", "")), str(form.get("role", "")), passwords.make_once()
    _require_may_give(request, role)
    hashed = await passwords.hash_password(password)
    try:
        await services.db.write(store.add_account, name, role, hashed, now=services.clock.now())
    except ScrmError as problem:
        return await _show(request, problem=problem.text, status=problem.status)
    return await _show(request, made=(name.strip().lower(), password))


@routes.post(f"{_ACCOUNTS}/{_NAME}/password")
@for_managers
async def reset(request: web.Request) -> web.StreamResponse:
    """A new password to begin with; whoever is signed in with the account is not any more."""
    services, name, password = request.app[SERVICES], request.match_info["name"], passwords.make_once()
    await _require_may_touch(request, name)
    hashed = await passwords.hash_password(password)

    def write(conn: Connection) -> None:
        store.set_password(conn, f"local:{name}", hashed, must_change=True, now=services.clock.now())
        sessions.close_all(conn, f"local:{name}")

    await services.db.write(write)
    return await _show(request, made=(name, password))


@routes.post(f"{_ACCOUNTS}/{_NAME}/role")
@for_managers
async def set_role(request: web.Request) -> web.StreamResponse:
    services, role = request.app[SERVICES], str((await request.post()).get("role", ""))
    await _require_may_touch(request, request.match_info["name"])
    _require_may_give(request, role)
    await services.db.write(store.change_account, f"local:{request.match_info['name']}", role=role)
    raise web.HTTPSeeOther(_ACCOUNTS)


@routes.post(f"{_ACCOUNTS}/{_NAME}/{{act:on|off}}")
@for_managers
async def turn(request: web.Request) -> web.StreamResponse:
    """Off: nobody comes in with it, and whoever is in is out."""
    userid, is_active = f"local:{request.match_info['name']}", request.match_info["act"] == "on"
    await _require_may_touch(request, request.match_info["name"])

    def write(conn: Connection) -> None:
        store.change_account(conn, userid, is_active=is_active)
        if not is_active:
            sessions.close_all(conn, userid)

    await request.app[SERVICES].db.write(write)
    raise web.HTTPSeeOther(_ACCOUNTS)


def _require_may_give(request: web.Request, role: str) -> None:
    """Nobody makes somebody mightier than oneself."""
    if role == "administrator" and request[MANAGER].role != "administrator":
        raise Forbidden("只有管理员可以设置管理员，请联系管理员")


async def _require_may_touch(request: web.Request, name: str) -> None:
    row = await request.app[SERVICES].db.read(store.find_account, name)
    _require_may_give(request, row.role if row is not None else "")


async def _show(
    request: web.Request, *, made: tuple[str, str] | None = None, problem: str = "", status: int = 200
) -> web.StreamResponse:
    def look(conn: Connection) -> dict[str, Any]:
        return {"found": store.list_accounts(conn), "roles": list_roles(conn)}

    values = await request.app[SERVICES].db.read(look)
    response = await page(request, "access_accounts.html", active="access", made=made, problem=problem, **values)
    response.set_status(status)
    return response
