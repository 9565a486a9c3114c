"""Who may come into the console, and the frame that every page of it stands in."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from scrm.console import store, words
from scrm.errors import ScrmError
from scrm.http import find_signed_in
from scrm.login import login_url
from scrm.services import SERVICES
from scrm.sessions import SignedIn
from web.render import render

ROLES = frozenset({"manager", "administrator"})

MANAGER = web.RequestKey("manager", SignedIn)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def for_managers(handler: Handler) -> Handler:
    """A page for managers: strangers are sent to the login, other members are told whom to ask."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        member = find_signed_in(request)
        if member is None:
            raise web.HTTPFound(login_url(request))
        if member.role not in ROLES:
            administrators = await request.app[SERVICES].db.read(store.list_administrators)
            return render(request, "console/refused.html", status=403, member=member, administrators=administrators)
        request[MANAGER] = member
        try:
            return await handler(request)
        except ScrmError as error:
            if request.headers.get("HX-Request"):
                raise
            return await page(request, "problem.html", active="", status=error.status, problem=error.text)

    return guarded


async def page(request: web.Request, template: str, *, active: str, **values: Any) -> web.Response:
    """A page inside the frame; `active` is the menu entry it belongs to."""
    services = request.app[SERVICES]
    needs = await services.db.read(store.count_needs)
    return render(
        request,
        f"console/{template}",
        member=request[MANAGER],
        active=active,
        needs=needs,
        words=words,
        now=services.clock.now(),
        **values,
    )


def before_of(request: web.Request) -> int | None:
    """The key that a list goes on from; what is no number starts at the top."""
    text = request.query.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
