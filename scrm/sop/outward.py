"""Calls systems outside WeCom for steps of channel K: signed, repeated with a key, and never into our own network.

Every call is POST with JSON and these headers:
`Idempotency-Key` the step's key, the same at every try; `X-Scrm-Timestamp` seconds since 1970;
`X-Scrm-Signature` "v1=" and HMAC-SHA256(secret, timestamp + "." + body) in hex.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
import msgspec
import structlog
from sqlalchemy import Connection
from yarl import URL

from scrm import addresses
from scrm.errors import ScrmError
from scrm.services import Services
from scrm.settings import Settings
from scrm.sop import exits, guards, store, timing
from scrm.sop.channels.outward import KIND, once
from scrm.sop.shelf import find_version, house_of, playbooks_of
from scrm.work import queue
from scrm.work.retry import TryAgain, next_try

log = structlog.get_logger()

# Five minutes, an hour, some hours; the step's own time ends it.
DELAYS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 3600.0, 7200.0, 14400.0)
MOST_ANSWER = 64 * 1024
_PASSING = frozenset({408, 425, 429}) | frozenset(range(500, 600))
_RECEIPT_CHARS = 120


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes, and what it is signed with."""

    url: URL
    secret: str
    allow_private: bool = False
    timeout_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call that is to be made now."""

    target: Target
    key: str
    body: bytes


class Refused(ScrmError):
    """The other side, or our own rules, say no; trying again does not help."""


async def run_outward(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.outward": call, and write down how it went; raises TryAgain while trying again helps."""
    step_run_id = int(item.payload["step_run_id"])
    try:
        call = await services.db.write(_prepare, item, services)
        if call is None:
            return
        receipt = await post(services.http, call, services.clock.now())
    except Refused as refusal:
        await services.db.write(note_end, step_run_id, "failed", refusal.text, services.clock.now())
    except TryAgain as trouble:
        now = services.clock.now()
        if next_try(trouble, item.attempts, now, item.give_up_at) is None:
            await services.db.write(note_end, step_run_id, "failed", f"多次重试仍失败：{trouble}", now)
            return
        await services.db.write(_note_trouble, step_run_id, str(trouble))
        raise
    else:
        await services.db.write(note_end, step_run_id, "done", receipt, services.clock.now())


def _prepare(conn: Connection, item: queue.Claimed, services: Services) -> Call | None:
    """What to send, if it still may be sent; raises TryAgain in the quiet hours, Refused without a target."""
    step_run_id = int(item.payload["step_run_id"])
    row = store.find_send(conn, once(step_run_id))
    if row is None or row.outcome in ("sent", "none"):
        return None
    now = services.clock.now()
    if item.attempts > 1 and (why := _stale(conn, item, services, now)):
        store.change_send(conn, once(step_run_id), outcome="none", reason=why[:300])
        store.end_step_runs(conn, [step_run_id], "skipped", why, now=now)
        return None
    return Call(target_of(services.settings, row.content), once(step_run_id), msgspec.json.encode(row.content["body"]))


def _stale(conn: Connection, item: queue.Claimed, services: Services, now: datetime) -> str:
    """Why a call that did not get through may not be tried again: hours have passed since it was decided."""
    run = store.find_run(conn, int(item.payload["enrolment_id"]))
    if run is None or run.state in ("exited", "goal", "merged", "failed", "paused"):
        return exits.withdrawn_words(run.ended_reason if run is not None else "流程已结束")
    playbook = find_version(conn, playbooks_of(services), run.playbook_key, run.version)
    row = store.find_send(conn, once(int(item.payload["step_run_id"])))
    step = playbook.step(row.step_id) if playbook is not None and row is not None else None
    if playbook is None or step is None:
        return ""
    optout = store.lock_persons(conn, [run.person_id]).get(run.person_id, {})
    if refused := guards.refused(playbook, optout, step):
        return refused
    house = house_of(services)
    quiet = guards.quiet_hours(playbook, step, house)
    ends = timing.quiet_until(now, quiet, house.zone) if quiet is not None else None
    if ends is not None:
        raise TryAgain("勿扰时段，稍后再试", delays=DELAYS, retry_after=(ends - now).total_seconds())
    return ""


def target_of(settings: Settings, content: Mapping[str, Any]) -> Target:
    """Raises Refused when the settings have no such endpoint."""
    if "url" in content:
        url = URL(str(content["url"]))
        return Target(url, secret_for(settings, url.host or ""))
    endpoint = settings.outward.get(str(content.get("to")))
    if endpoint is None:
        raise Refused(f"设置里没有 [outward.{content.get('to')}]，请写上 url 和 secret")
    return Target(
        URL(endpoint.url), endpoint.secret.get_secret_value(), endpoint.allow_private, endpoint.timeout_seconds
    )


def secret_for(settings: Settings, host: str) -> str:
    """What calls of a plain `url` are signed with: one secret for each host, never ours."""
    key = settings.security.secret_key.get_secret_value().encode()
    return hmac.new(key, f"outward:{host.lower()}".encode(), hashlib.sha256).hexdigest()


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The value of X-Scrm-Signature. Pure."""
    return "v1=" + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


async def post(http: aiohttp.ClientSession, call: Call, now: datetime) -> str:
    """The other side's receipt, or ""; raises Refused or TryAgain. Redirects are not followed."""
    target = call.target
    try:
        found = await addresses.resolve(target.url, allow_private=target.allow_private)
    except addresses.Unreachable as error:
        raise TryAgain(error.text, delays=DELAYS) from None
    except addresses.NotPublic as error:
        raise Refused(error.text) from None
    timestamp = int(now.timestamp())
    headers = {
        "Host": target.url.authority if not target.url.is_default_port() else str(target.url.host),
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "scrm",
        # The next call may be of another name at the same address.
        "Connection": "close",
        "Idempotency-Key": call.key,
        "X-Scrm-Timestamp": str(timestamp),
        "X-Scrm-Signature": signature(target.secret, timestamp, call.body),
    }
    try:
        async with http.post(
            target.url.with_host(found[0]),
            data=call.body,
            headers=headers,
            allow_redirects=False,
            server_hostname=target.url.host if target.url.scheme == "https" else None,
            timeout=aiohttp.ClientTimeout(total=target.timeout_seconds),
        ) as answer:
            return _receipt(answer.status, answer.headers, await _start_of(answer))
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise TryAgain(f"对方没有回应（{type(error).__name__}）", delays=DELAYS) from None


async def _start_of(answer: aiohttp.ClientResponse) -> bytes:
    """A longer answer is cut: nobody fills our memory."""
    read = bytearray()
    async for chunk in answer.content.iter_chunked(8192):
        read += chunk
        if len(read) > MOST_ANSWER:
            break
    return bytes(read[:MOST_ANSWER])


def _receipt(status: int, headers: Mapping[str, str], body: bytes) -> str:
    if 200 <= status < 300:
        return _said(body)
    if status in _PASSING:
        after = headers.get("Retry-After", "")
        wait = float(after) if after.isascii() and after.isdigit() and len(after) <= 5 else None
        raise TryAgain(f"对方返回 HTTP {status}", delays=DELAYS, retry_after=wait)
    if 300 <= status < 400:
        raise Refused(f"对方要求转到别的地址（HTTP {status}），推送不跟随跳转，请填最终地址")
    raise Refused(f"对方拒收（HTTP {status}）")


def _said(body: bytes) -> str:
    """{"receipt": "..."} of the answer; whatever else it says is not kept."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    receipt = answer.get("receipt") if isinstance(answer, dict) else None
    return f"回执 {receipt[:_RECEIPT_CHARS]}" if isinstance(receipt, str) and receipt.isprintable() else ""


def note_end(conn: Connection, step_run_id: int, state: str, words: str, now: datetime) -> None:
    """How it ended, in the ledger and at the step."""
    is_done = state == "done"
    store.change_send(
        conn,
        once(step_run_id),
        outcome="sent" if is_done else "failed",
        sent_at=now if is_done else None,
        reason=words[:300],
    )
    store.end_step_runs(conn, [step_run_id], state, words, now=now)
    if not is_done:
        log.warning("sop.outward_failed", step_run=step_run_id)


def _note_trouble(conn: Connection, step_run_id: int, words: str) -> None:
    """Until a later try succeeds, this is how it stands; whether the other side has it already nobody knows."""
    store.change_send(conn, once(step_run_id), outcome="unknown", reason=f"{words}，将自动重试"[:300])


EXECUTORS = {KIND: run_outward}
