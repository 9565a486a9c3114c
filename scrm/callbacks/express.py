"""The fast lane of callbacks: a whole, plain POST is answered on the connection itself; aiohttp gets everything else.

aiohttp needs as long for a request as the rest of a callback takes. What it would do for one that arrives in one
piece, with nothing unusual in its head, is little; where a request differs in any way, aiohttp reads it from its first
byte on, and keeps the connection.
"""

import asyncio
import re
from functools import partial
from typing import cast

from aiohttp import web

from scrm.callbacks import endpoint
from scrm.callbacks.endpoint import Verdict
from scrm.callbacks.receivers import Receivers
from scrm.clock import monotonic
from scrm.services import Services
from scrm.wecom.crypto import BadCallback

IDLE_SECONDS = 75.0
_MOST_WAITING = 65_536

# One head without folded lines or control characters; the body's length follows from its one Content-Length.
_HEAD = re.compile(rb"POST /callbacks/wecom\?([!-~]*) HTTP/1\.1\r\n((?:[A-Za-z0-9-]+:[ -~]*\r\n)+)\r\n")
_LENGTH = re.compile(rb"(?:^|\n)content-length:[ ]*([0-9]{1,7})[ ]*\r")
# Whoever says one of these wants something of the connection that only aiohttp knows.
_UNUSUAL = re.compile(
    rb"(?:^|\n)(?:(?:transfer-encoding|expect|upgrade|content-encoding):|connection:(?![ ]*keep-alive[ ]*\r))"
)


class Express:
    """What the connections of one server share; `aiohttp` is the server that takes what is not for the fast lane."""

    def __init__(self, services: Services, receivers: Receivers, aiohttp: web.Server) -> None:
        self.services, self.receivers, self.aiohttp = services, receivers, aiohttp
        self.open: set[_Connection] = set()

    def __call__(self) -> asyncio.Protocol:
        """A new connection's protocol."""
        return _Connection(self)

    async def close(self) -> None:
        """Answer what is being kept, then close; new connections must have been stopped before."""
        answers = [connection.kept for connection in self.open if connection.kept is not None]
        if answers:
            await asyncio.wait(answers)
        for connection in list(self.open):
            connection.close()


class _Connection(asyncio.Protocol):
    """Brings one callback after another; what comes before the answer of the one before waits."""

    def __init__(self, express: Express) -> None:
        self._express = express
        self._transport: asyncio.Transport | None = None
        self._waiting = b""
        self._used_at = monotonic()
        self.kept: asyncio.Future[bool] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._express.open.add(self)
        self._look_for_idleness()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._express.open.discard(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self.kept is not None:
            self._waiting += data
            if len(self._waiting) > _MOST_WAITING and self._transport is not None:
                self._transport.pause_reading()
            return
        told = _whole_callback(data)
        if told is None:
            self._hand_over(data)
        else:
            self._receive(*told)

    def _receive(self, query: str, body: bytes) -> None:
        started = self._used_at = monotonic()
        try:
            plain = endpoint.read(self._express.receivers, query, body)
        except BadCallback as error:
            self._answer(endpoint.refuse(error, self._peer()))
            return
        self.kept = endpoint.keep(self._express.services, plain)
        self.kept.add_done_callback(partial(self._settle, started))

    def _settle(self, started: float, kept: "asyncio.Future[bool]") -> None:
        self.kept = None
        self._answer(endpoint.settle(kept, started))
        if self._waiting and self._transport is not None:
            data, self._waiting = self._waiting, b""
            self._transport.resume_reading()
            self.data_received(data)

    def _answer(self, verdict: Verdict) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_OK if verdict.status == 200 else _written(verdict))

    def _hand_over(self, data: bytes) -> None:
        """From here on the connection is aiohttp's."""
        transport, self._transport = self._transport, None
        self._express.open.discard(self)
        if transport is not None:
            protocol = self._express.aiohttp()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            protocol.data_received(data)

    def _peer(self) -> str:
        peer = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(peer[0]) if peer else ""

    def _look_for_idleness(self) -> None:
        if self._transport is None:
            return
        left = self._used_at + IDLE_SECONDS - monotonic()
        if left <= 0 and self.kept is None:
            self._transport.close()
            return
        asyncio.get_running_loop().call_later(max(left, 1.0), self._look_for_idleness)


def _whole_callback(data: bytes) -> tuple[str, bytes] | None:
    """Query and body of a request that is all there and has nothing unusual; None for any other beginning."""
    head = _HEAD.match(data)
    if head is None:
        return None
    fields = head[2].lower()
    lengths = _LENGTH.findall(fields)
    if len(lengths) != 1 or fields.count(b"content-length") != 1 or _UNUSUAL.search(fields):
        return None
    if int(lengths[0]) != len(data) - head.end():
        return None
    return head[1].decode("ascii"), data[head.end() :]


_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def _written(verdict: Verdict) -> bytes:
    text = verdict.text.encode()
    head = f"HTTP/1.1 {verdict.status} {_REASONS[verdict.status]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
    return f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text


_REASONS = {400: "Bad Request", 403: "Forbidden", 413: "Content Too Large", 503: "Service Unavailable"}
