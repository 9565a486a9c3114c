"""GET and POST /callbacks/wecom, and /callbacks/wecom/NAME of other apps: verify, decrypt, keep, answer; everything else happens later (doc 90930)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import structlog
from aiohttp import web

from scrm.callbacks import inbox
from scrm.callbacks.metrics import CALLBACK_SECONDS, CALLBACKS, KEPT, REPEATED
from scrm.callbacks.receivers import Receivers
from scrm.clock import monotonic
from scrm.db.away import why_away
from scrm.services import SERVICES, Services
from scrm.wecom.crypto import BadCallback, encrypted_part

log = structlog.get_logger()
routes = web.RouteTableDef()
RECEIVERS = web.AppKey("callback_receivers", Receivers)

_MOST_BYTES = 1_000_000


@web.middleware
async def straight_in(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """The outermost door: a callback bears no session, form or page, so what guards those is not asked."""
    if request.match_info.handler is receive:
        return await receive(request)
    return await handler(request)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What WeCom is answered; `text` is for whoever tries by hand."""

    status: int
    text: str = ""


@routes.get("/callbacks/wecom")
@routes.get("/callbacks/wecom/{name}")
async def verify_url(request: web.Request) -> web.Response:
    """The administrator pressed save: answer the decrypted echostr, bare, within a second."""
    try:
        signed = _signed(request.rel_url.raw_query_string)
        # A form-style decoder on the way may have turned + into a blank.
        echostr = _required(request.query, "echostr").replace(" ", "+").encode()
        name = request.match_info.get("name", "")
        plain = request.app[RECEIVERS].named(name).read(*signed, echostr)
    except BadCallback as error:
        return _response(refuse(error, request.remote))
    return web.Response(body=plain, content_type="text/plain")


@routes.post("/callbacks/wecom")
@routes.post("/callbacks/wecom/{name}")
async def receive(request: web.Request) -> web.Response:
    """200 means: it is on disk. A repeated or a strange event is a 200 too, WeCom would only send it again."""
    started = monotonic()
    try:
        if (request.content_length or 0) > _MOST_BYTES:
            raise BadCallback("size", f"the body has {request.content_length} bytes")
        name, query = request.match_info.get("name", ""), request.rel_url.raw_query_string
        plain = read(request.app[RECEIVERS], query, await _body(request), name)
    except BadCallback as error:
        return _response(refuse(error, request.remote))
    kept = keep(request.app[SERVICES], plain)
    await asyncio.wait([kept])
    return _response(settle(kept, started))


def read(receivers: Receivers, query: str, body: bytes, name: str = "") -> bytes:
    """The plain event of a POST; raises BadCallback."""
    return receivers.of(body, name).read(*_signed(query), encrypted_part(body))


def keep(services: Services, plain: bytes) -> "asyncio.Future[bool]":
    """Done once the event is on disk: True when it is new."""
    return inbox.accept(services.db, plain, services.clock.now())


def settle(kept: "asyncio.Future[bool]", started: float) -> Verdict:
    """What is answered when `keep` is done."""
    error = ConnectionError("stopped") if kept.cancelled() else kept.exception()
    if error is not None:
        # Not kept, so not acknowledged: WeCom sends it again.
        log.error("callback.not_kept", error=why_away(error) or type(error).__name__)
        return Verdict(503, "not kept\n")
    (KEPT if kept.result() else REPEATED).inc()
    CALLBACK_SECONDS.observe(monotonic() - started)
    return _KEPT


_KEPT = Verdict(200)
_STATUS = {"size": 413, "address": 404, "signature": 403, "receiveid": 403}


def refuse(error: BadCallback, remote: str | None) -> Verdict:
    """Counted, and one line in the log."""
    CALLBACKS.labels(error.step).inc()
    log.info("callback.refused", step=error.step, reason=str(error), remote=remote)
    return Verdict(_STATUS.get(error.step, 400), f"refused: {error}\n")


def _response(verdict: Verdict) -> web.Response:
    response = web.Response(status=verdict.status, text=verdict.text)
    if verdict.status == 413:
        response.force_close()  # nobody reads the rest
    return response


async def _body(request: web.Request) -> bytes:
    """Most bodies are one piece that is here already."""
    content = request.content
    body = await content.readany()
    while not content.at_eof():
        body += await content.readany()
        if len(body) > _MOST_BYTES:
            raise BadCallback("size", f"the body has more than {_MOST_BYTES} bytes")
    return body


def _signed(query: str) -> tuple[str, str, str]:
    # request.query would build what only pages need: this is asked a few thousand times a second.
    given = dict(part.partition("=")[::2] for part in query.split("&"))
    return _required(given, "msg_signature"), _required(given, "timestamp"), _required(given, "nonce")


def _required(given: Mapping[str, str], name: str) -> str:
    value = given.get(name)
    if not value:
        raise BadCallback("parameters", f"the address has no {name}")
    return unquote(value)
