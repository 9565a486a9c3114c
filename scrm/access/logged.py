"""A request that may change something, kept in the log whatever becomes of it."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from scrm import audit
from scrm.access.modules import EXPORT
from scrm.access.routes import SAFE, Need, object_of, words_of
from scrm.errors import ScrmError
from scrm.services import SERVICES

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def pattern_of(request: web.Request) -> str:
    """The address as the route writes it, with {names}; empty for one that there is not."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def deed_of(request: web.Request, actor: audit.Actor, need: Need) -> audit.Deed:
    pattern, params = pattern_of(request), request.match_info
    return audit.Deed(
        actor,
        request.app[SERVICES].clock,
        need.module,
        need.right or "edit",
        words_of(request.method, pattern, params),
        f"{request.method} {request.path}",
        object_of(params),
    )


async def carry_out(request: web.Request, handler: Handler, deed: audit.Deed) -> web.StreamResponse:
    """Run the handler; its first transaction keeps the deed, and what wrote nothing or failed is kept afterwards."""
    db = request.app[SERVICES].db
    with audit.doing(deed):
        if deed.act == EXPORT and request.method in SAFE:
            # Rows may go out one by one: that somebody asked for them is kept before the first of them.
            await audit.finish(db, deed, "done")
        try:
            response = await handler(request)
        except ScrmError as error:
            await audit.finish(db, deed, "refused", error.text)
            raise
        except web.HTTPException as answer:
            await audit.finish(db, deed, "refused" if answer.status >= 400 else "done")
            raise
        except Exception:
            await audit.finish(db, deed, "failed")
            raise
        await audit.finish(db, deed, _outcome(request, response))
    return response


def _outcome(request: web.Request, response: web.StreamResponse) -> str:
    """A page that comes back instead of leading on has not done what was asked."""
    if response.status >= 400:
        return "refused"
    is_page = response.content_type == "text/html" and response.status == 200
    return "none" if is_page and request.method not in SAFE else "done"
