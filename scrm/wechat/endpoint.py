"""GET and POST /callbacks/oa: the Official Account's messages, kept first and answered within its five seconds."""

import structlog
from aiohttp import web

from scrm.services import SERVICES, Services
from scrm.wechat.oa_keep import keep
from scrm.wechat.oa_messages import Envelope, read_message
from scrm.wecom.crypto import BadCallback

log = structlog.get_logger()
routes = web.RouteTableDef()

_MOST_BYTES = 1_000_000
_STATUS = {"size": 413, "signature": 403, "receiveid": 403}


@routes.get("/callbacks/oa")
async def verify_url(request: web.Request) -> web.Response:
    """The administrator pressed save: the echostr comes back as it is."""
    envelope = _envelope(request.app[SERVICES])
    try:
        envelope.check(_required(request, "signature"), _required(request, "timestamp"), _required(request, "nonce"))
        return web.Response(text=_required(request, "echostr"), content_type="text/plain")
    except BadCallback as error:
        return _refuse(request, error)


@routes.post("/callbacks/oa")
async def receive(request: web.Request) -> web.Response:
    """200 means: it is on disk. The body is the answer, sealed, or "success" for none."""
    services = request.app[SERVICES]
    envelope = _envelope(services)
    try:
        if request.query.get("encrypt_type") != "aes":
            raise BadCallback("mode", "the message is not encrypted: choose 安全模式 in the account's console")
        signature, timestamp = _required(request, "msg_signature"), _required(request, "timestamp")
        nonce = _required(request, "nonce")
        message = read_message(envelope.open(await _read(request), signature, timestamp, nonce), envelope.app_id)
    except BadCallback as error:
        return _refuse(request, error)
    now = services.clock.now()
    reads_unionid = bool(services.settings.official_account.secret.get_secret_value())
    answer = await services.db.write(keep, message, envelope.app_id, reads_unionid, now)
    if not answer:
        return web.Response(text="success")
    return web.Response(text=envelope.seal(message, answer, nonce, now), content_type="text/xml")


def _envelope(services: Services) -> Envelope:
    """Built once; an account that is not set up has no endpoint."""
    account = services.settings.official_account
    if not account.app_id:
        raise web.HTTPNotFound(text="no Official Account is set up\n")
    envelope = services.memory.get(Envelope)
    if envelope is None:
        token, key = account.token.get_secret_value(), account.encoding_aes_key.get_secret_value()
        envelope = services.memory[Envelope] = Envelope(account.app_id, token, key)
    assert isinstance(envelope, Envelope)  # noqa: S101 - kept under its type
    return envelope


async def _read(request: web.Request) -> bytes:
    if (request.content_length or 0) > _MOST_BYTES:
        raise BadCallback("size", f"the body has {request.content_length} bytes")
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise BadCallback("size", f"the body has more than {_MOST_BYTES} bytes")
    return bytes(body)


def _required(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise BadCallback("parameters", f"the address has no {name}")
    return value


def _refuse(request: web.Request, error: BadCallback) -> web.Response:
    log.info("oa.refused", step=error.step, reason=str(error), remote=request.remote)
    response = web.Response(status=_STATUS.get(error.step, 400), text=f"refused: {error}\n")
    if error.step == "size":
        response.force_close()  # nobody reads the rest
    return response
