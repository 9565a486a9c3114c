"""Where everything of the sandbox is found."""

from collections.abc import Sequence

from aiohttp import web

from .control import Control
from .jsapi import JsApi
from .login import LoginPages
from .pages import SandboxPages
from .rendering import FOLDER, Pages
from .sandbox import Sandbox


def make_routes(sandbox: Sandbox) -> Sequence[web.AbstractRouteDef]:
    """All routes under the sandbox's base path."""
    base = sandbox.config.base_path
    pages = Pages(sandbox)
    shown, login = SandboxPages(sandbox, pages), LoginPages(sandbox, pages)
    control, jsapi = Control(sandbox), JsApi(sandbox)

    async def to_index(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{base}/"})

    return [
        web.route("*", base + "/cgi-bin/{path:.*}", sandbox.gateway.answer),
        web.get(base + "/connect/oauth2/authorize", login.authorize),
        web.get(base + "/wwlogin/sso/login", login.sso),
        web.post(base + "/jsapi/verify", jsapi.verify),
        web.post(base + "/jsapi/send", jsapi.send),
        web.get(base + "/bridge.js", shown.bridge),
        web.get(base + "/control/{name}", control.view),
        web.post(base + "/control/{name}", control.act),
        web.get(base, to_index),
        web.get(base + "/", shown.console),
        web.get(base + "/screen", shown.console_screen),
        web.get(base + "/phone", shown.phone),
        web.get(base + "/phone/screen", shown.phone_screen),
        web.get(base + "/desk", shown.desk),
        web.get(base + "/desk/screen", shown.desk_screen),
        web.get(base + "/qr/{config_id}.png", shown.qr),
        web.get(base + "/avatar/{key}.svg", shown.avatar),
        web.get(base + "/media/{media_id}", shown.media),
        web.static(base + "/static", FOLDER / "static"),
    ]
