"""POST /track: what visitors of the shop's pages do; tokens that say who they are; the seconds of radar links."""

from typing import Annotated, Any

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta, Struct

from scrm.access.senders import sender_of
from scrm.api import store as api_store
from scrm.api.operation import operation
from scrm.api.parameters import decode
from scrm.clock import monotonic
from scrm.errors import Forbidden, ScrmError, Unauthorized
from scrm.services import SERVICES, Services
from scrm.tracking import limits, reading, store, tokens
from web.assets import asset

log = structlog.get_logger()

routes = web.RouteTableDef()

# As much as a browser lets a beacon carry.
BODY_LIMIT = 64 * 1024


class _TooOften(ScrmError):
    status = 429
    code = "too_often"


class _TooLarge(ScrmError):
    status = 413
    code = "too_large"


@routes.options("/track")
async def may_i(request: web.Request) -> web.Response:
    """The browser's question before a post with a JSON content type."""
    try:
        return web.Response(status=204, headers=_cors(request))
    except ScrmError as error:
        return _refusal(error, {})


@routes.post("/track")
async def track(request: web.Request) -> web.Response:
    """Events of one visitor (docs/tracking.md): 200 with how many are new, once they are on disk.

    401 without a right key, 403 from a foreign page, 413 beyond 64 KB, 422 unreadable, 429 too often. The content type
    does not matter, so that `navigator.sendBeacon` needs no preflight.
    """
    headers: dict[str, str] = {}
    try:
        headers = _cors(request)
        return web.json_response(await _take(request), headers=headers)
    except ScrmError as error:
        return _refusal(error, headers)


async def _take(request: web.Request) -> dict[str, Any]:
    services = request.app[SERVICES]
    _check_rate(request, services)
    body = reading.read_body(await _body(request))
    is_trusted = await _check_key(request, body, services)
    if not is_trusted and limits.is_bot(request.headers.get("User-Agent", "")):
        listed = body.get("events")
        return {"accepted": 0, "ignored": len(listed) if isinstance(listed, list) else 0, "refused": []}
    now = services.clock.now()
    token, proven = body.get("token"), tuple[reading.Claim, ...]()
    notice: dict[str, str] = {}
    try:
        proven = tokens.read_token(services.vault, token, now=now) if isinstance(token, str) and token else ()
    except tokens.Expired as error:
        # What happened on a page that has been open since yesterday counts all the same.
        notice = {"notice": error.text}
    batch = reading.read_batch(body, now=now, vault=services.vault, is_trusted=is_trusted, proven=proven)
    saved = await services.db.together(store.save_batches, batch)
    return {
        "accepted": saved.accepted,
        "ignored": saved.ignored,
        "refused": list(batch.refused),
        "identified": saved.person_id is not None,
        **notice,
    }


class TokenIdentity(Struct, kw_only=True):
    """`kind` is one of docs/tracking.md; `scope` is the app of an openid."""

    kind: Annotated[str, Meta(extra_json_schema={"enum": list(reading.KINDS)})]
    value: Annotated[str, Meta(min_length=1, max_length=128)] | int
    scope: str = ""
    appid: str = ""


class TokenWanted(Struct, kw_only=True):
    """Who the visitor is, as the shop's own system knows it."""

    identities: Annotated[list[TokenIdentity], Meta(min_length=1)]


class Token(Struct):
    """Good for a day."""

    token: str


@routes.post("/api/v1/track/tokens")
@operation("签发访客身份令牌，网页上报时带上它就能认人", says="令牌，24 小时有效", body=TokenWanted)
async def make_token(request: web.Request) -> Token:
    services = request.app[SERVICES]
    asked = decode(await request.read(), TokenWanted, '{"identities": [{"kind": "wx_unionid", "value": "o6_bm…"}]}')
    listed = [msgspec.to_builtins(one) for one in asked.identities]
    return Token(tokens.make_token(services.vault, listed, now=services.clock.now()))


@routes.get("/track.js")
async def script(request: web.Request) -> web.StreamResponse:
    """The script for malls, under a name that stays; it is checked for a newer one every hour."""
    raise web.HTTPFound(asset("track.js"), headers={"Cache-Control": "public, max-age=3600"})


def _cors(request: web.Request) -> dict[str, str]:
    """Headers for a page of the shop's own; none for mini-programs and servers. Raises Forbidden for other pages."""
    origin = request.headers.get("Origin")
    if origin is None:
        return {}
    settings = request.app[SERVICES].settings
    if not limits.is_own_page(origin, settings.tracking.domains, settings.server.public_url):
        raise Forbidden(f"来自 {origin[:80]} 的页面不能上报：请把域名写进配置 tracking.domains")
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "Content-Type, X-Write-Key",
        "Access-Control-Max-Age": "86400",
        "Vary": "Origin",
    }


def _check_rate(request: web.Request, services: Services) -> None:
    limiter = services.memory.setdefault(limits.Limiter, limits.Limiter(services.settings.tracking.per_minute))
    sender = sender_of(request)
    if request.headers.get("Authorization"):
        return
    if waits := limiter.take(sender, monotonic()):
        raise _TooOften("上报太频繁，请稍后再试", retry_after=round(waits) + 1)


async def _check_key(request: web.Request, body: dict[str, Any], services: Services) -> bool:
    """True for a program with an API key, whose word counts; False for a page with the write key."""
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        role = await services.db.read(api_store.find_role, bearer.strip())
        if role is None or role == "readonly":
            raise Unauthorized("接口密钥无效或只能读取，不能上报")
        return True
    write_key = services.settings.tracking.write_key
    given = body.get("key") or body.get("write_key") or request.query.get("key") or request.headers.get("X-Write-Key")
    if not write_key:
        raise Unauthorized("没有开启行为采集：请在配置里填写 tracking.write_key")
    if given != write_key:
        raise Unauthorized("write key 不对：应与配置 tracking.write_key 相同")
    return False


async def _body(request: web.Request) -> bytes:
    if (request.content_length or 0) > BODY_LIMIT:
        raise _TooLarge(f"请求体超过 {BODY_LIMIT >> 10} KB，请分几次上报")
    body = bytearray()
    async for block in request.content.iter_any():
        body += block
        if len(body) > BODY_LIMIT:
            raise _TooLarge(f"请求体超过 {BODY_LIMIT >> 10} KB，请分几次上报")
    return bytes(body)


def _refusal(error: ScrmError, headers: dict[str, str]) -> web.Response:
    if error.status in (401, 403):
        log.info("track.refused", code=error.code)
    if waits := error.details.get("retry_after"):
        headers = {**headers, "Retry-After": str(waits)}
    return web.json_response(
        {"error": {"code": error.code, "message": error.text}}, status=error.status, headers=headers
    )
