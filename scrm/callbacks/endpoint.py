"""GET and POST /callbacks/wecom: verify, decrypt, keep, answer; everything else happens later (doc 90930)."""

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


@routes.get("/callbacks/wecom")
async def verify_url(request: web.Request) -> web.Response:
    """The administrator pressed save: answer the decrypted echostr, bare, within a second."""
    try:
        signature, timestamp, nonce = _signed(request)
        # A form-style decoder on the way may have turned + into a blank.
        echostr = _required(request, "echostr").replace(" ", "+").encode()
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
    is_new = await inbox.accept(services.db, plain, services.clock.now())
    (KEPT if is_new else REPEATED).inc()
    CALLBACK_SECONDS.observe(monotonic() - started)
    return web.Response()


async def _read(request: web.Request) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise BadCallback("size", f"the body has more than {_MOST_BYTES} bytes")
    return bytes(body)


def _signed(request: web.Request) -> tuple[str, str, str]:
    return _required(request, "msg_signature"), _required(request, "timestamp"), _required(request, "nonce")


def _required(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise BadCallback("parameters", f"the address has no {name}")
    return value


_STATUS = {"size": 413, "signature": 403, "receiveid": 403}


def _refuse(request: web.Request, error: BadCallback) -> web.Response:
    CALLBACKS.labels(error.step).inc()
    log.info("callback.refused", step=error.step, reason=str(error), remote=request.remote)
    response = web.Response(status=_STATUS.get(error.step, 400), text=f"refused: {error}\n")
    if error.step == "size":
        response.force_close()  # nobody reads the rest
    return response
