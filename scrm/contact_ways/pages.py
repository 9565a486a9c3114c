"""GET /w/{state}: the page behind our own QR pictures, where WeCom's picture is pressed to add the member."""

from aiohttp import web

from scrm.contact_ways import store
from scrm.services import SERVICES
from web.render import render

routes = web.RouteTableDef()


@routes.get(r"/w/{state:[0-9A-Za-z][0-9A-Za-z_\-]{0,29}}")
async def show_way(request: web.Request) -> web.Response:
    """WeCom tells an app the picture of a code and never its content, so ours leads to a page with the picture."""
    row = await request.app[SERVICES].db.read(store.find_contact_way, request.match_info["state"])
    is_alive = row is not None and row.deleted_at is None and bool(row.qr_code)
    page = render(request, "customer/way.html", status=200 if is_alive else 404, row=row if is_alive else None)
    page.headers["Cache-Control"] = "no-store"
    page.headers["X-Robots-Tag"] = "noindex, nofollow"
    return page
