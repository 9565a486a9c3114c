"""The picture of a group's join code."""

import io

import segno
from aiohttp import web

from .sandbox import Sandbox


def routes(sandbox: Sandbox) -> list[web.AbstractRouteDef]:
    """GET {base}/group-qr/{config_id}.png: 404 when the code has been deleted."""

    async def qr(request: web.Request) -> web.Response:
        config_id = request.match_info["config_id"]
        if config_id not in sandbox.world.group_chats.join_ways:
            return web.Response(status=404)
        out = io.BytesIO()
        address = f"{sandbox.config.base_url}/phone?join={config_id}"
        segno.make(address, error="m").save(out, kind="png", scale=8, border=2)
        return web.Response(body=out.getvalue(), content_type="image/png")

    return [web.get(sandbox.config.base_path + "/group-qr/{config_id}.png", qr)]
