"""Where everything of the sandbox is found."""

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from . import group_pages, wechat_pages
from .control import Control
from .jsapi import JsApi
from .login import LoginPages
from .pages import SandboxPages
from .rendering import FOLDER, Pages
from .sandbox import Sandbox

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_routes(sandbox: Sandbox) -> Sequence[web.AbstractRouteDef]:
    """Everything under `config.base_path`: the server API, login pages, the three pages and their controls."""
    base = sandbox.config.base_path
    pages = Pages(sandbox)
    shown, login = SandboxPages(sandbox, pages), LoginPages(sandbox, pages)
    control, jsapi = Control(sandbox), JsApi(sandbox)

    def at_home(handler: Handler) -> Handler:
        """Frames and cookies need one host name: localhost and 127.0.0.1 are sent to the one of public_url."""

        async def show(request: web.Request) -> web.StreamResponse:
            home = sandbox.public_host
            if request.host != home and {request.url.host, home.partition(":")[0]} == {"localhost", "127.0.0.1"}:
                return web.Response(status=302, headers={"Location": sandbox.config.public_url + request.path_qs})
            return await handler(request)

        return show

    async def to_index(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{base}/"})

    return [
        web.route("*", base + "/cgi-bin/{path:.*}", sandbox.gateway.answer),
        web.get(base + "/connect/oauth2/authorize", login.authorize),
        web.get(base + "/wwlogin/sso/login", login.sso),
        web.post(base + "/jsapi/verify", jsapi.verify),
        web.post(base + "/jsapi/send", jsapi.send),
        web.get(base + "/bridge.js", shown.bridge),
        web.get(base + "/api", control.index),
        web.get(base + "/api/{name}", control.view),
        web.post(base + "/api/{name}", control.act),
        # The name of the API's first days, which scripts may still call.
        web.get(base + "/control/{name}", control.view),
        web.post(base + "/control/{name}", control.act),
        web.get(base, to_index),
        web.get(base + "/", at_home(shown.console)),
        web.get(base + "/screen", shown.console_screen),
        web.get(base + "/phone", at_home(shown.phone)),
        web.get(base + "/phone/screen", shown.phone_screen),
        web.get(base + "/desk", at_home(shown.desk)),
        web.get(base + "/desk/screen", shown.desk_screen),
        web.get(base + "/qr/{config_id}.png", shown.qr),
        *group_pages.routes(sandbox),
        *wechat_pages.routes(sandbox, pages),
        web.get(base + "/avatar/{key}.svg", shown.avatar),
        web.get(base + "/media/{media_id}", shown.media),
        web.static(base + "/static", FOLDER / "static"),
    ]
