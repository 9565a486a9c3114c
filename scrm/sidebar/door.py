"""What every sidebar page needs: a signed-in member, and the values its layout shows."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from scrm.http import find_signed_in, signed_in
from scrm.login import BRIDGE_SCRIPT, login_url
from scrm.services import SERVICES
from scrm.sidebar.cards.visit import Visit
from scrm.sop.guards.recheck import Rules
from scrm.sop.shelf import house_of, playbooks_of
from web.render import render

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def for_members(handler: Handler) -> Handler:
    """A page for members: who is not signed in goes through WeCom's login and comes back."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        is_page = request.method == "GET" and not is_partial(request)
        if is_page and find_signed_in(request) is None:
            raise web.HTTPFound(login_url(request))
        signed_in(request)
        return await handler(request)

    return guarded


def is_partial(request: web.Request) -> bool:
    """htmx asks for a piece of the page it shows already."""
    return "HX-Request" in request.headers


def page(request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
    """A page or a piece of one, with the member, the moment, and what the JS-SDK wants to know."""
    services = request.app[SERVICES]
    return render(
        request,
        f"sidebar/{template}",
        status=status,
        member=signed_in(request),
        now=services.clock.now(),
        corp_id=services.settings.wecom.corp_id,
        agent_id=services.settings.wecom.agent_id,
        bridge_script=request.app[BRIDGE_SCRIPT],
        **values,
    )


def visit_of(request: web.Request, external_userid: str | None = None, task_id: int | None = None) -> Visit:
    """The member and the contact of the address; whether they belong together is decided where the cards are read."""
    services = request.app[SERVICES]
    return Visit(
        userid=signed_in(request).userid,
        external_userid=external_userid or request.match_info["external_userid"],
        now=services.clock.now(),
        zone=services.settings.shop.zone,
        settings=services.settings,
        rules=Rules(playbooks_of(services), house_of(services)),
        task_id=task_id,
    )
