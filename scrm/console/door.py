"""Who may come into the console, and the frame that every page of it stands in."""

from typing import Any
from urllib.parse import quote

from aiohttp import web

from scrm.http import find_signed_in
from scrm.services import SERVICES
from scrm.sessions import SignedIn
from web.render import render

ROLES = frozenset({"manager", "administrator"})

MANAGER = web.RequestKey("manager", SignedIn)


def opened(handler: Any) -> Any:
    """A page for managers: others are sent to the login, or told whom to ask."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        member = find_signed_in(request)
        if member is None:
            raise web.HTTPFound(f"/login?next={quote(request.path_qs, safe='')}")
        if member.role not in ROLES:
            return render(request, "console/refused.html", status=403, member=member)
        request[MANAGER] = member
        response: web.StreamResponse = await handler(request)
        return response

    return guarded


def page(request: web.Request, template: str, *, active: str, **values: Any) -> web.Response:
    """A page inside the frame; `active` is the menu entry it belongs to."""
    services = request.app[SERVICES]
    return render(
        request,
        f"console/{template}",
        member=request[MANAGER],
        active=active,
        now=services.clock.now(),
        **values,
    )
