"""POST /hooks/{source}: what platforms push is verified, kept and acknowledged; everything else happens later."""

import asyncio

import structlog
from aiohttp import web

from scrm.commerce.connectors.hook import Answer, Hook, Incoming, Refused
from scrm.commerce.hooks import inbox
from scrm.commerce.hooks.inbox import Kept
from scrm.commerce.hooks.kinds import hooks_of
from scrm.commerce.hooks.metrics import HOOK_REQUESTS
from scrm.errors import Conflict, NotFound, ScrmError, Unavailable
from scrm.services import SERVICES

log = structlog.get_logger()
routes = web.RouteTableDef()

BODY_LIMIT = 2_000_000


class TooLarge(ScrmError):
    """The body is beyond the limit."""

    status = 413
    code = "too_large"


@routes.get("/hooks/{source}")
async def verify_url(request: web.Request) -> web.Response:
    """Somebody pressed save in the platform's console; most platforms never ask."""
    hook = _hook(request)
    try:
        return _response(hook.verify_url(_incoming(request, b"")))
    except Refused as error:
        raise _noted(hook, error, request) from None


@routes.post("/hooks/{source}")
async def receive(request: web.Request) -> web.Response:
    """200 means: it is on disk. What is rightly signed and cannot be read is a 200 too, sending it again is no help."""
    hook = _hook(request)
    services = request.app[SERVICES]
    try:
        incoming = _incoming(request, await _body(request))
        delivery = hook.receive(incoming)
    except (Refused, TooLarge) as error:
        raise _noted(hook, error, request) from None
    if isinstance(delivery, Answer):
        HOOK_REQUESTS.labels(hook.key, "probe").inc()
        return _response(delivery)
    kept = inbox.accept(services.db, services.vault, hook.key, delivery, incoming.now)
    await asyncio.wait([kept])
    failure = ConnectionError("stopped") if kept.cancelled() else kept.exception()
    if failure is not None:
        # Not kept, so not acknowledged: the platform sends it again.
        log.error("hook.not_kept", source=hook.key, error=type(failure).__name__)
        HOOK_REQUESTS.labels(hook.key, "not_kept").inc()
        raise Unavailable("暂时无法保存，请稍后重新推送")
    outcome = kept.result()
    HOOK_REQUESTS.labels(hook.key, outcome.name.lower()).inc()
    if outcome is Kept.CLASH and delivery.is_nonce:
        log.info("hook.refused", source=hook.key, reason="nonce", remote=request.remote)
        raise Conflict("这个 X-Scrm-Nonce 已经用过：每次请求都要换一个随机串")
    return _response(delivery.answer)


def _hook(request: web.Request) -> Hook:
    """Raises NotFound for a source that the settings do not name."""
    key = request.match_info["source"]
    hook = hooks_of(request.app[SERVICES]).get(key)
    if hook is None:
        log.info("hook.unknown_source", remote=request.remote)
        raise NotFound("没有这个来源：请在设置里加一节 [sources.名称]，并用同样的名称作为推送地址的最后一段")
    return hook


def _incoming(request: web.Request, body: bytes) -> Incoming:
    now = request.app[SERVICES].clock.now()
    return Incoming(request.headers, request.query, body, request.content_type, now)


async def _body(request: web.Request) -> bytes:
    """Most bodies are one piece that is here already."""
    if (request.content_length or 0) > BODY_LIMIT:
        raise _too_large()
    content = request.content
    body = await content.readany()
    while not content.at_eof():
        body += await content.readany()
        if len(body) > BODY_LIMIT:
            raise _too_large()
    return body


def _too_large() -> TooLarge:
    return TooLarge(f"请求体超过 {BODY_LIMIT // 1_000_000} MB")


def _noted(hook: Hook, error: ScrmError, request: web.Request) -> ScrmError:
    """Counted, and one line in the log."""
    HOOK_REQUESTS.labels(hook.key, error.code).inc()
    log.info("hook.refused", source=hook.key, reason=error.code, remote=request.remote)
    return error


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, text=answer.body, content_type=answer.content_type)
