"""The door of the server API: reads a call, applies the rules that hold for every endpoint, answers and records."""

import hashlib
import json
import re
import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aiohttp import BodyPartReader, web

from scrm.clock import Clock, SystemClock, monotonic

from .call import Call, Upload
from .config import SandboxConfig
from .endpoints.listing import ENDPOINTS, Endpoint
from .errors import Refusal
from .faults import INSTEAD_OF_WORK, Faults, Trouble
from .identity import Identity
from .world import Json, World

ESCAPED_CHARACTER = re.compile(rb"(?<!\\)(?:\\\\)*\\u[0-9a-fA-F]{4}")
# A control character cannot be written in JSON without an escape.
ESCAPED_CONTROL = re.compile(rb"\\u00[01][0-9a-fA-F]")
# A little more than any endpoint takes, so that the endpoint itself refuses it.
MOST_UPLOADED = 21 * 1024 * 1024
WRONG_JSON = "Warning: wrong json format. "
DROPS = 20
IP_CALLS_PER_HOUR = 600_000


@dataclass(frozen=True)
class CallRecord:
    """One finished call, for the console and for tests; `body` and `answer` hold no files and no tokens."""

    at: datetime
    endpoint: str
    errcode: int
    milliseconds: float
    body: Json
    query: dict[str, str]
    answer: Json
    trouble: str = ""


@dataclass
class Usage:
    """How hard one endpoint was driven; a minute is any sixty seconds of the sandbox's clock."""

    calls: int = 0
    refused: int = 0
    most_in_a_minute: int = 0
    most_at_once: int = 0
    latest: deque[float] = field(default_factory=deque, repr=False)

    def count(self, now: datetime) -> None:
        self.calls += 1
        at = now.timestamp()
        self.latest.append(at)
        while self.latest[0] <= at - 60:
            self.latest.popleft()
        self.most_in_a_minute = max(self.most_in_a_minute, len(self.latest))


@dataclass
class _Window:
    """How often one endpoint was called, and until when it is blocked."""

    minute: datetime
    hour: datetime
    in_minute: int = 0
    in_hour: int = 0
    blocked_until: datetime | None = None

    def count(self, now: datetime, per_minute: int, per_hour: int) -> bool:
        """One call more; True when it is one too many, or comes while the block lasts."""
        if self.blocked_until and now < self.blocked_until:
            return True
        if now - self.minute >= timedelta(minutes=1):
            self.minute, self.in_minute = now, 0
        if now - self.hour >= timedelta(hours=1):
            self.hour, self.in_hour = now, 0
        self.in_minute += 1
        self.in_hour += 1
        if self.in_hour > per_hour:
            self.blocked_until = now + timedelta(hours=1)
        elif self.in_minute > per_minute:
            self.blocked_until = now + timedelta(minutes=1)
        else:
            return False
        return True


@dataclass
class Gateway:
    """Answers everything under /cgi-bin/."""

    world: World
    identity: Identity
    faults: Faults
    config: SandboxConfig
    clock: Clock
    calls: deque[CallRecord] = field(default_factory=lambda: deque(maxlen=200))
    usage: dict[str, Usage] = field(default_factory=dict)
    # What follows a call that was carried out.
    after: Callable[[], None] = lambda: None
    _windows: dict[str, _Window] = field(default_factory=dict)
    _running: Counter[str] = field(default_factory=Counter)
    _busy: set[tuple[str, ...]] = field(default_factory=set)
    _hints: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """HTTP 200 with an errcode, also for refusals; an unknown path is 404 and empty (doc 90664)."""
        path = request.match_info["path"]
        endpoint = ENDPOINTS.get(path)
        if endpoint is None:
            return web.Response(status=404)
        started = monotonic()
        self.usage.setdefault(path, Usage()).count(self.clock.now())
        call, warning = await self._read(request)
        trouble = self.faults.take_trouble(path)
        answer: Json | web.Response
        try:
            if trouble and trouble.kind in INSTEAD_OF_WORK:
                answer = _instead_of_work(request, trouble)
            else:
                answer = await self._run(path, endpoint, call, request.remote or "127.0.0.1")
        except Refusal as refusal:
            self.usage[path].refused += 1
            if path == "gettoken" and refusal.errcode == 40001:
                self._count_wrong_secret(request.remote or "127.0.0.1", call.now)
            answer = self._refusal(refusal, endpoint, request.remote or "127.0.0.1")
        named = trouble.kind if trouble else ""
        if isinstance(answer, web.Response):
            self._record(path, call, {"errcode": 0}, started, named)
            return answer
        answer = {"errcode": 0, "errmsg": "ok"} | answer
        if warning:
            answer["errmsg"] = WRONG_JSON + str(answer["errmsg"])
        self._record(path, call, answer, started, named)
        body = json.dumps(answer, ensure_ascii=False)
        if trouble and trouble.kind not in INSTEAD_OF_WORK:
            return await _send_badly(request, trouble, body.encode())
        return web.json_response(text=body)

    async def _read(self, request: web.Request) -> tuple[Call, bool]:
        body: Json = {}
        upload: Upload | None = None
        raw = b""
        warning = False
        if request.content_type == "multipart/form-data":
            upload = await _read_upload(request)
        elif raw := await request.read():
            try:
                parsed = json.loads(raw)
                body, warning = (parsed, False) if isinstance(parsed, dict) else ({}, True)
            except ValueError:
                warning = True
        now = self.clock.now()
        query = dict(request.query)
        of = self.world, self.identity, self.faults, self.config
        call = Call(*of, now, query, body, raw, upload, request.headers.get("Range", ""))
        return call, warning

    async def _run(self, path: str, endpoint: Endpoint, call: Call, remote: str) -> Json | web.Response:
        if endpoint.needs_token:
            self.identity.check_token(call.query.get("access_token", ""), call.now)
            self._check_rights(endpoint)
        self._check_rates(path, endpoint, remote, call.now)
        with self._seat(path), self._exclusive(path, endpoint, call):
            await SystemClock().sleep(self.faults.answer_delay_ms / 1000)
            if errcode := self.faults.take_errcode(path):
                raise Refusal(errcode)
            if ESCAPED_CHARACTER.search(call.raw) and not ESCAPED_CONTROL.search(call.raw):
                raise Refusal(40033)
            answer = endpoint.answer(call)
            self.after()
            return answer

    def _check_rights(self, endpoint: Endpoint) -> None:
        if self.faults.untrusted_ip:
            raise Refusal(60020)
        if endpoint.is_about_contacts and self.faults.no_contact_permission:
            raise Refusal(48002)

    def _check_rates(self, path: str, endpoint: Endpoint, remote: str, now: datetime) -> None:
        """Those of the corp and of the address; whoever goes beyond one is shut out for as long (doc 90312)."""
        corp = self._window(path, now).count(now, self.faults.calls_per_minute, endpoint.calls_per_hour)
        address = self._window(f"{path} {remote}", now).count(now, self.faults.ip_calls_per_minute, IP_CALLS_PER_HOUR)
        if (corp or address) and self.faults.limits_enforced:
            raise Refusal(45009)

    def _window(self, key: str, now: datetime) -> _Window:
        return self._windows.setdefault(key, _Window(now, now))

    def _count_wrong_secret(self, remote: str, now: datetime) -> None:
        """Wrong secrets many times, and the address is shut out for an hour (doc 90313)."""
        window = self._window(f"wrong secret {remote}", now)
        if window.count(now, self.faults.wrong_secrets_until_ban, self.faults.wrong_secrets_until_ban):
            self._window(f"gettoken {remote}", now).blocked_until = now + timedelta(hours=1)

    @contextmanager
    def _seat(self, path: str) -> Iterator[None]:
        usage = self.usage[path]
        usage.most_at_once = max(usage.most_at_once, self._running[path] + 1)
        if self._running[path] >= self.faults.parallel_calls and self.faults.limits_enforced:
            raise Refusal(45033)
        self._running[path] += 1
        try:
            yield
        finally:
            self._running[path] -= 1

    @contextmanager
    def _exclusive(self, path: str, endpoint: Endpoint, call: Call) -> Iterator[None]:
        if endpoint.exclusive is None:
            yield
            return
        key = (path, *endpoint.exclusive(call))
        if key in self._busy:
            raise Refusal(endpoint.conflict)
        self._busy.add(key)
        try:
            yield
        finally:
            self._busy.discard(key)

    def _refusal(self, refusal: Refusal, endpoint: Endpoint, remote: str) -> Json:
        self._hints += 1
        seconds = int(self.clock.now().timestamp())
        digest = hashlib.sha256(secrets.token_bytes(8)).hexdigest()[:16]
        errmsg = (
            f"{refusal.text}, hint: [{seconds}_{self._hints}_{digest}], from ip: {remote}, "
            f"more info at https://open.work.weixin.qq.com/devtool/query?e={refusal.errcode}"
        )
        return {"errcode": refusal.errcode, "errmsg": errmsg, **endpoint.empty}

    def _record(self, path: str, call: Call, answer: Json, started: float, trouble: str) -> None:
        milliseconds = (monotonic() - started) * 1000
        secret = ("access_token", "corpsecret", "ticket", "code")
        query = {name: value for name, value in call.query.items() if name not in secret}
        shown = {name: value for name, value in answer.items() if name not in secret}
        errcode = int(answer["errcode"])
        self.calls.append(CallRecord(call.now, path, errcode, milliseconds, call.body, query, shown, trouble))
        self.world.touch()


def _instead_of_work(request: web.Request, trouble: Trouble) -> web.Response:
    """The answer of a WeCom that did nothing; raises Refusal for an errcode."""
    if trouble.kind == "errcode":
        raise Refusal(trouble.value)
    if trouble.kind == "hang_up":
        _hang_up(request)
    status = trouble.value if trouble.kind == "status" else 200
    return web.Response(status=status, text=f"<html><h1>{status} upstream</h1></html>", content_type="text/html")


async def _send_badly(request: web.Request, trouble: Trouble, body: bytes) -> web.StreamResponse:
    """An answer that is true, but comes late, in drops, by half or not at all."""
    if trouble.kind == "lost":
        _hang_up(request)
        return web.Response()
    if trouble.kind == "latency":
        await SystemClock().sleep(trouble.value / 1000)
        return web.Response(body=body, content_type="application/json")
    response = web.StreamResponse(headers={"Content-Type": "application/json; charset=UTF-8"})
    response.content_length = len(body)
    await response.prepare(request)
    if trouble.kind == "cut":
        await response.write(body[: len(body) // 2])
        _hang_up(request)
        return response
    for start in range(0, len(body), drop := -(-len(body) // DROPS)):
        await response.write(body[start : start + drop])
        await SystemClock().sleep(trouble.value / 1000 / DROPS)
    return response


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


async def _read_upload(request: web.Request) -> Upload | None:
    """The first part that has a file name, piece by piece: files are bigger than what the server takes otherwise."""
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader) and part.filename:
            content = bytearray()
            while len(content) <= MOST_UPLOADED and (piece := await part.read_chunk(256 * 1024)):
                content += piece
            kind = part.headers.get("Content-Type", "application/octet-stream")
            return Upload(part.filename, kind, bytes(content))
    return None
