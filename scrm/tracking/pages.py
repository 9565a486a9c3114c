"""GET /r/{token}: counts who opens what a member sent, and leads on to the shop's own pages."""

import structlog
from aiohttp import web

from scrm.services import SERVICES
from scrm.tracking import limits, radar
from web.render import render

log = structlog.get_logger()

routes = web.RouteTableDef()


@routes.get("/r/{token}")
async def open_link(request: web.Request) -> web.Response:
    """302 to the content; an opening counts only when a person's browser asks. 404 for what is unknown or taken down."""
    services = request.app[SERVICES]
    token = request.match_info["token"]
    known = token.isascii() and token.isprintable() and len(token) <= 32
    url = await services.db.read(radar.find_target, token) if known else None
    # Content may be older than the list of domains: what is no longer ours is not led to either.
    if url is None or not radar.is_allowed(url, services.settings.tracking.domains):
        return render(request, "customer/no_content.html", status=404)
    if _is_person(request):
        opened = await services.db.write(radar.note_open, token, now=services.clock.now())
        url = opened.url if opened is not None else url
    headers = {
        "Location": url,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
    }
    return web.Response(status=302, headers=headers)


def _is_person(request: web.Request) -> bool:
    """Previews in chats, crawlers and browsers that fetch ahead have read nothing."""
    ahead = f"{request.headers.get('Purpose', '')}{request.headers.get('Sec-Purpose', '')}".lower()
    agent = request.headers.get("User-Agent", "")
    return request.method == "GET" and "prefetch" not in ahead and not limits.is_bot(agent)
