"""/api/v1/webhooks: who is told of which events, the log of what was told, and telling it again."""

from typing import Annotated, Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta, Struct
from sqlalchemy import Row

from scrm.api.auth import CALLER
from scrm.api.parameters import MOST_DIGITS, read_number
from scrm.errors import Invalid, NotFound
from scrm.http import require_keepable
from scrm.services import SERVICES
from scrm.webhooks import store
from scrm.webhooks.wanted import new_secret, read_wanted

routes = web.RouteTableDef()

_MOST = 200
_STATES = ("waiting", "done", "failed")
_EXAMPLE = '{"title": "数据仓库", "url": "https://…", "events": ["order.paid", "refund.*"]}'

_Events = list[Annotated[str, Meta(max_length=48)]]


class Subscription(Struct, kw_only=True, forbid_unknown_fields=True):
    """A new one; events are names, "order.*" for a whole family, "*" for everything."""

    title: Annotated[str, Meta(min_length=1, max_length=80)]
    url: Annotated[str, Meta(max_length=500)]
    events: _Events


class Change(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is not named stays; `state`: on or paused."""

    title: str | None = None
    url: str | None = None
    events: _Events | None = None
    state: str | None = None


@routes.get("/api/v1/webhooks")
async def list_webhooks(request: web.Request) -> web.Response:
    """All of them, without their secrets."""
    rows = await request.app[SERVICES].db.read(store.list_webhooks)
    return web.json_response({"items": [_describe(row) for row in rows]})


@routes.post("/api/v1/webhooks")
async def add_webhook(request: web.Request) -> web.Response:
    """201 with the webhook and its secret, which is told this once."""
    services, asked = request.app[SERVICES], _decode(await request.read(), Subscription)
    allow_private = services.settings.webhooks.allow_private
    wanted = read_wanted(asked.title, asked.url, asked.events, allow_private=allow_private)
    secret, by = new_secret(), f"api:{request[CALLER].name}"
    sealed = services.vault.seal(secret)
    now = services.clock.now()
    webhook_id = await services.db.write(store.add_webhook, wanted, sealed, secret[-4:], by=by, now=now)
    row = await services.db.read(store.get_webhook, webhook_id)
    return web.json_response({**_describe(row), "secret": secret}, status=201)


@routes.get("/api/v1/webhooks/{id}")
async def get_webhook(request: web.Request) -> web.Response:
    row = await request.app[SERVICES].db.read(store.get_webhook, _number(request, "id"))
    return web.json_response(_describe(row))


@routes.patch("/api/v1/webhooks/{id}")
async def change_webhook(request: web.Request) -> web.Response:
    """What waits goes out, in its order, when `state` comes back to on."""
    services, webhook_id = request.app[SERVICES], _number(request, "id")
    asked = _decode(await request.read(), Change)
    if asked.state not in (None, "on", "paused"):
        raise Invalid(f"state：收到“{asked.state[:20]}”，应为 on 或 paused")
    row = await services.db.read(store.get_webhook, webhook_id)
    wanted = read_wanted(
        row.title if asked.title is None else asked.title,
        row.url if asked.url is None else asked.url,
        row.events if asked.events is None else asked.events,
        allow_private=services.settings.webhooks.allow_private,
    )
    values = {"title": wanted.title, "url": wanted.url, "events": list(wanted.events)}
    await services.db.write(store.change_webhook, webhook_id, **values)
    if asked.state == "paused" and row.state == "on":
        await services.db.write(store.change_webhook, webhook_id, state="paused", paused_why="接口暂停")
    elif asked.state == "on" and row.state == "paused":
        await services.db.write(store.resume, webhook_id, now=services.clock.now())
    return web.json_response(_describe(await services.db.read(store.get_webhook, webhook_id)))


@routes.delete("/api/v1/webhooks/{id}")
async def drop_webhook(request: web.Request) -> web.Response:
    """With its log and what waits for it."""
    await request.app[SERVICES].db.write(store.drop_webhook, _number(request, "id"))
    return web.Response(status=204)


@routes.get("/api/v1/webhooks/{id}/deliveries")
async def list_deliveries(request: web.Request) -> web.Response:
    """The newest first; `state` narrows (waiting, done, failed), `before` (an id) and `limit` <= 200 page."""
    services, webhook_id, state = request.app[SERVICES], _number(request, "id"), request.query.get("state", "")
    if state and state not in _STATES:
        raise Invalid(f"参数 state：收到“{state[:40]}”，可用的有 {'、'.join(_STATES)}")
    before, limit = read_number(request, "before"), read_number(request, "limit") or store.MOST
    await services.db.read(store.get_webhook, webhook_id)
    rows = await services.db.read(
        store.list_deliveries, webhook_id, state=state, before=before, limit=min(limit, _MOST)
    )
    return web.json_response({"items": [_describe_delivery(row) for row in rows]})


@routes.post("/api/v1/webhooks/{id}/deliveries/{delivery_id}/replay")
async def replay(request: web.Request) -> web.Response:
    """202: it goes out again, under the id it had."""
    services, webhook_id, delivery_id = (
        request.app[SERVICES],
        _number(request, "id"),
        _number(request, "delivery_id"),
    )
    await services.db.write(store.replay, webhook_id, delivery_id, now=services.clock.now())
    return web.json_response({"id": delivery_id, "state": "waiting"}, status=202)


def _number(request: web.Request, name: str) -> int:
    text = request.match_info[name]
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise NotFound("没有这个推送，可能已被删除")
    return int(text)


T = TypeVar("T")


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        asked = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"请求体应为 {_EXAMPLE}（{error}）") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid(f"请求体不是 JSON，应为 {_EXAMPLE}") from None
    require_keepable(msgspec.to_builtins(asked))
    return asked


def _describe(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "title": row.title,
        "url": row.url,
        "events": row.events,
        "state": row.state,
        "paused_why": row.paused_why,
        "failing_since": row.failing_since.isoformat() if row.failing_since else None,
        "created_at": row.created_at.isoformat(),
    }


def _describe_delivery(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "event_id": row.event_id,
        "name": row.name,
        "state": row.state,
        "attempts": row.attempts,
        "said": row.said,
        "created_at": row.created_at.isoformat(),
        "tried_at": row.tried_at.isoformat() if row.tried_at else None,
    }
