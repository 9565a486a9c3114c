"""Who may come into the console, what they may do there, and the frame that every page of it stands in."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm import audit
from scrm.access.logged import carry_out, deed_of, pattern_of
from scrm.access.modules import APPROVE, MODULES
from scrm.access.routes import Need, need_of
from scrm.access.scope import Scope, require_person
from scrm.access.senders import sender_of
from scrm.access.store import list_administrators
from scrm.console import store, words
from scrm.errors import Forbidden, ScrmError, Unavailable
from scrm.http import find_signed_in
from scrm.login import login_url
from scrm.profiles.redirects import follow
from scrm.referrals.lists import count_waiting
from scrm.services import SERVICES
from scrm.sessions import SignedIn
from scrm.wecom.errors import WeComError
from web.render import render

MANAGER = web.RequestKey("manager", SignedIn)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HOME = "/console/"
# Where somebody chooses a password of their own, and the way out.
ACCOUNT = "/console/account"
_BEFORE_ANYTHING = (ACCOUNT, "/console/account/password", "/console/logout")


def for_managers(handler: Handler) -> Handler:
    """A page of the console: strangers are sent to the login, others need the right that scrm.access.routes names."""

    @wraps(handler)
    async def guarded(request: web.Request) -> web.StreamResponse:
        member = find_signed_in(request)
        if member is None:
            raise web.HTTPFound(login_url(request))
        if member.must_change and pattern_of(request) not in _BEFORE_ANYTHING:
            raise web.HTTPSeeOther(ACCOUNT)
        request[MANAGER] = member
        need = need_of(request.method, pattern_of(request))
        if need is None or not need.is_logged:
            return await _answer(request, handler, need)
        actor = audit.Actor(member.userid, member.name, sender_of(request))

        async def logged(request: web.Request) -> web.StreamResponse:
            return await carry_out(
                request, lambda request: _admit(request, handler, need), deed_of(request, actor, need)
            )

        return await _answer(request, logged, need, is_asked=True)

    return guarded


class _Refused(Forbidden):
    """The right is missing; the page says which, and whom to ask."""

    def __init__(self, need: Need | None) -> None:
        title = need.title if need is not None else ""
        super().__init__(f"没有“{title}”的权限，请联系管理员" if title else "这个页面还没有登记权限，请联系管理员")
        self.title = title


async def _admit(request: web.Request, handler: Handler, need: Need | None) -> web.StreamResponse:
    """The handler, for whom the role lets through, about whom it reaches."""
    member = request[MANAGER]
    if need is None or (need.module and not member.may(need.module, need.right)):
        raise _Refused(need)
    if need.is_whole and not member.scope.is_whole:
        raise Forbidden("这里展示全店的客户，你的角色只能查看一部分。需要查看请联系管理员")
    if "person_id" in request.match_info and not member.scope.is_whole:
        await request.app[SERVICES].db.read(_require_reached, member.scope, int(request.match_info["person_id"]))
    return await handler(request)


def _require_reached(conn: Connection, scope: Scope, person_id: int) -> None:
    require_person(conn, scope, follow(conn, person_id))


async def _answer(
    request: web.Request, handler: Handler, need: Need | None, *, is_asked: bool = False
) -> web.StreamResponse:
    """What goes wrong is told on a page of the console, to scripts in one line."""
    try:
        return await handler(request) if is_asked else await _admit(request, handler, need)
    except _Refused as error:
        if request.headers.get("HX-Request"):
            raise
        return await _refuse(request, error.title)
    except ScrmError as error:
        if request.headers.get("HX-Request"):
            raise
        return await page(request, "problem.html", active="", status=error.status, code=error.code, problem=error.text)


async def _refuse(request: web.Request, missing: str) -> web.Response:
    """Which right is missing and whom to ask; who asked for nothing in particular is led to what there is."""
    member = request[MANAGER]
    if pattern_of(request) == HOME and (menu := menu_of(member)):
        raise web.HTTPSeeOther(menu[0][1][0][1])
    administrators = await request.app[SERVICES].db.read(list_administrators)
    values: dict[str, Any] = {"member": member, "administrators": administrators, "missing": missing}
    if member.allowed.may_enter:
        return await page(request, "refused.html", active="", status=403, **values)
    return render(request, "console/refused_staff.html", status=403, **values)


def with_wecom(handler: Handler) -> Handler:
    """What WeCom refuses is told in words on the page."""

    @wraps(handler)
    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except WeComError as error:
            raise Unavailable(f"企业微信没有接受：{error.text}") from error

    return guarded


def scope_of(request: web.Request) -> Scope:
    """Whose customers the reader reaches; see scrm.access.scope."""
    return request[MANAGER].scope


async def page(request: web.Request, template: str, *, active: str, **values: Any) -> web.Response:
    """A page inside the frame; `active` is the menu entry it belongs to."""
    services = request.app[SERVICES]
    needs = await services.db.read(_count_needs, request[MANAGER])
    frame: dict[str, Any] = {"member": request[MANAGER], "active": active, "menu": menu_of(request[MANAGER])}
    frame |= {"needs": needs, "words": words, "now": services.clock.now()}
    return render(request, f"console/{template}", **(frame | values))


def _count_needs(conn: Connection, member: SignedIn) -> dict[str, int]:
    """What waits for a hand, by menu entry; only where the reader could lend one."""
    counts = {"referrals": count_waiting(conn)} if member.may("referrals", APPROVE) else {}
    if member.may("callbacks") or member.may("work"):
        needs = store.count_needs(conn)
        told = {"callbacks": needs.callbacks, "work": needs.work}
        counts |= {key: count for key, count in told.items() if member.may(key)}
    return counts


def menu_of(member: SignedIn) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Groups of (key, address, title) of what the reader may see."""
    groups: dict[str, list[tuple[str, str, str]]] = {}
    if member.must_change:
        return []
    for module in MODULES:
        if module.url and member.may(module.key):
            groups.setdefault(module.group, []).append((module.key, module.url, module.title))
    return list(groups.items())


def before_of(request: web.Request) -> int | None:
    """The key that a list goes on from; what is no number starts at the top."""
    text = request.query.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
