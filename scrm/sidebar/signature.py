"""Signatures for the JS-SDK's config and agentConfig (doc 90506)."""

import hashlib
import secrets
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from scrm.errors import Invalid, Unavailable
from scrm.http import signed_in
from scrm.services import SERVICES
from scrm.wecom.errors import WeComError
from web.texts import _

routes = web.RouteTableDef()

_KINDS = ("agent_config", "config")


def sign(ticket: str, nonce: str, timestamp: int, url: str) -> str:
    """40 hex characters over the raw values in this order; the fragment of the address is left out."""
    address = url.split("#", 1)[0]
    text = f"jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={address}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@routes.get("/sidebar/signature")
async def show_signature(request: web.Request) -> web.Response:
    """`?url=` as the page sees it, `&kind=agent_config|config`; only addresses of our own host are signed."""
    signed_in(request)
    services = request.app[SERVICES]
    url, kind = request.query.get("url", ""), request.query.get("kind", "agent_config")
    if kind not in _KINDS:
        raise Invalid(_("kind 是“{kind}”，应为 agent_config 或 config", kind=kind[:40]))
    ours, given = urlsplit(services.settings.server.public_url), _split(url)
    if (given.scheme, given.netloc) != (ours.scheme, ours.netloc):
        raise Invalid(
            _(
                "只能为 {origin} 下的页面签名，请检查 server.public_url 与访问地址是否一致",
                origin=f"{ours.scheme}://{ours.netloc}",
            )
        )
    try:
        ticket = await (
            services.wecom.tickets.agent_ticket() if kind == "agent_config" else services.wecom.tickets.jsapi_ticket()
        )
    except WeComError as error:
        raise Unavailable(_("取不到企业微信票据：{reason}", reason=error.text)) from None
    nonce, timestamp = secrets.token_hex(8), int(services.clock.now().timestamp())
    return web.json_response(
        {
            "corpId": services.settings.wecom.corp_id,
            "agentId": services.settings.wecom.agent_id,
            "timestamp": timestamp,
            "nonceStr": nonce,
            "signature": sign(ticket, nonce, timestamp, url),
        },
        headers={"Cache-Control": "no-store"},
    )


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise Invalid(_("url 不是一个网址，应为当前页面的完整地址")) from None
