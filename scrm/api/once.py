"""`Idempotency-Key`: a POST that is sent again within a day is answered as the first time, and done once.

Only what was done is kept. A refusal changed nothing, so the same key may try again once its reason is gone.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row, delete, select, update

from scrm import audit
from scrm.api.models import api_answer
from scrm.db import insert_for
from scrm.errors import Conflict, Invalid
from scrm.services import SERVICES, Services

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADER = "Idempotency-Key"
KEPT = timedelta(hours=24)
# Longer than any request takes: whoever began it has died.
_ABANDONED = timedelta(minutes=2)
_READABLE = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request under its key."""

    key_hash: str
    request_hash: str


async def carry_out_once(request: web.Request, handler: Handler, key: str) -> web.StreamResponse:
    """The handler's answer, or the one that was given before; raises Conflict while the first is under way.

    `key` is the caller's own, so that two programs may use the same Idempotency-Key.
    """
    if request.method != "POST" or HEADER not in request.headers:
        return await handler(request)
    services, asked = request.app[SERVICES], await _read(request, key)
    with audit.unkept():
        known = await services.db.write(_begin, asked, services.clock.now())
    if known is not None:
        return _again(services, asked, known)
    try:
        response = await handler(request)
    except BaseException:
        with audit.unkept():
            await services.db.write(_forget, asked.key_hash)
        raise
    with audit.unkept():
        await _keep(services, asked, response)
    return response


async def _read(request: web.Request, key: str) -> _Asked:
    given = request.headers[HEADER]
    if not _READABLE.fullmatch(given):
        raise Invalid(f"请求头 {HEADER} 应为 1 到 200 个可见的 ASCII 字符，例如一个 UUID")
    head = f"{request.method} {request.path_qs}\n".encode()
    return _Asked(_hash(f"{key}\n{given}".encode()), _hash(head + await request.read()))


def _again(services: Services, asked: _Asked, known: Row[Any]) -> web.Response:
    if known.request_hash != asked.request_hash:
        raise Invalid(f"这个 {HEADER} 已用于另一个请求：内容不同要换一个编号，重发要原样再发")
    if known.status is None:
        raise Conflict(f"同一个 {HEADER} 的请求还在处理，请稍后再试", retry_after=1)
    return web.Response(
        status=known.status,
        text=services.vault.open(known.body_sealed),
        content_type=known.content_type,
        headers={"Idempotent-Replayed": "true"},
    )


async def _keep(services: Services, asked: _Asked, response: web.StreamResponse) -> None:
    if not isinstance(response, web.Response) or response.status >= 400:
        await services.db.write(_forget, asked.key_hash)
        return
    sealed = services.vault.seal(response.text or "")
    await services.db.write(_finish, asked.key_hash, response.status, sealed, response.content_type)


def _begin(conn: Connection, asked: _Asked, now: datetime) -> Row[Any] | None:
    """None when it is ours to do, else what is known of it."""
    mine = api_answer.c.key_hash == asked.key_hash
    over = api_answer.c.created_at <= now - KEPT
    abandoned = api_answer.c.status.is_(None) & (api_answer.c.created_at <= now - _ABANDONED)
    conn.execute(delete(api_answer).where(mine, over | abandoned))
    row = {"key_hash": asked.key_hash, "request_hash": asked.request_hash, "created_at": now}
    added = insert_for(conn.dialect.name, api_answer).on_conflict_do_nothing().returning(api_answer.c.key_hash)
    if conn.execute(added, row).first() is not None:
        return None
    return conn.execute(select(api_answer).where(mine)).one_or_none()


def _finish(conn: Connection, key_hash: str, status: int, sealed: str, content_type: str) -> None:
    values = {"status": status, "body_sealed": sealed, "content_type": content_type}
    conn.execute(update(api_answer).where(api_answer.c.key_hash == key_hash).values(**values))


def _forget(conn: Connection, key_hash: str) -> None:
    conn.execute(delete(api_answer).where(api_answer.c.key_hash == key_hash))


async def tick(services: Services) -> None:
    """Answers older than a day go."""
    await services.db.write(clear, services.clock.now() - KEPT)


def clear(conn: Connection, before: datetime) -> int:
    """How many went."""
    return conn.execute(delete(api_answer).where(api_answer.c.created_at <= before)).rowcount


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
