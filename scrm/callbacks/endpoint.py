"""GET and POST /callbacks/wecom: verify, decrypt, keep, answer; everything else happens later (doc 90930)."""

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote

import structlog
from aiohttp import web

from scrm.callbacks import inbox
from scrm.callbacks.metrics import CALLBACK_SECONDS, CALLBACKS, KEPT, REPEATED
from scrm.clock import monotonic
from scrm.services import SERVICES
from scrm.wecom.crypto import BadCallback, CallbackCrypto, encrypted_part

log = structlog.get_logger()
routes = web.RouteTableDef()
CRYPTO = web.AppKey("callback_crypto", CallbackCrypto)

_MOST_BYTES = 1_000_000


@web.middleware
async def straight_in(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """The outermost door: a callback bears no session, form or page, so what guards those is not asked."""
    if request.match_info.handler is receive:
        return await receive(request)
    return await handler(request)


@routes.get("/callbacks/wecom")
async def verify_url(request: web.Request) -> web.Response:
    """The administrator pressed save: answer the decrypted echostr, bare, within a second."""
    try:
        signature, timestamp, nonce = _signed(request)
        # A form-style decoder on the way may have turned + into a blank.
        echostr = _required(request.query, "echostr").replace(" ", "+").encode()
        plain = request.app[CRYPTO].read(signature, timestamp, nonce, echostr)
    except BadCallback as error:
        return _refuse(request, error)
    return web.Response(body=plain, content_type="text/plain")


@routes.post("/callbacks/wecom")
async def receive(request: web.Request) -> web.Response:
    """200 means: it is on disk. A repeated or a strange event is a 200 too, WeCom would only send it again."""
    started = monotonic()
    try:
        signature, timestamp, nonce = _signed(request)
        if (request.content_length or 0) > _MOST_BYTES:
            raise BadCallback("size", f"the body has {request.content_length} bytes")
        plain = request.app[CRYPTO].read(signature, timestamp, nonce, encrypted_part(await _read(request)))
    except BadCallback as error:
        return _refuse(request, error)
    services = request.app[SERVICES]
    try:
        is_new = await inbox.accept(services.db, plain, services.clock.now())
    except Exception as error:
        # Not kept, so not acknowledged: WeCom sends it again.
        log.error("callback.not_kept", error=type(error).__name__)
        return web.Response(status=503, text="not kept\n")
    (KEPT if is_new else REPEATED).inc()
    CALLBACK_SECONDS.observe(monotonic() - started)
    return web.Response()


async def _read(request: web.Request) -> bytes:
    """Most bodies are one piece that is here already."""
    content = request.content
    body = await content.readany()
    while not content.at_eof():
        body += await content.readany()
        if len(body) > _MOST_BYTES:
            raise BadCallback("size", f"the body has more than {_MOST_BYTES} bytes")
    return body


def _signed(request: web.Request) -> tuple[str, str, str]:
    # request.query would build what only pages need: this is asked a few thousand times a second.
    given = dict(part.partition("=")[::2] for part in request.rel_url.raw_query_string.split("&"))
    return _required(given, "msg_signature"), _required(given, "timestamp"), _required(given, "nonce")


def _required(given: Mapping[str, str], name: str) -> str:
    value = given.get(name)
    if not value:
        raise BadCallback("parameters", f"the address has no {name}")
    return unquote(value)


_STATUS = {"size": 413, "signature": 403, "receiveid": 403}


def _refuse(request: web.Request, error: BadCallback) -> web.Response:
    CALLBACKS.labels(error.step).inc()
    log.info("callback.refused", step=error.step, reason=str(error), remote=request.remote)
    response = web.Response(status=_STATUS.get(error.step, 400), text=f"refused: {error}\n")
    if error.step == "size":
        response.force_close()  # nobody reads the rest
    return response
