"""/api/v1/webhooks: who is told of which events, the log of what was told, and telling it again."""

from typing import Annotated, Any, Literal

from aiohttp import web
from msgspec import Meta, Struct
from sqlalchemy import Row

from scrm.api.auth import CALLER
from scrm.api.operation import operation
from scrm.api.parameters import (
    CURSOR,
    LIMIT,
    MOST_DIGITS,
    PAGED,
    PAGED_BY_KEY,
    SAYS_SOMETHING,
    Choice,
    Moment,
    Page,
    decode,
    page_of,
    page_of_few,
)
from scrm.errors import NotFound
from scrm.profiles.conditions.leaves_events import EVENTS, OWN_EVENT
from scrm.services import SERVICES
from scrm.webhooks import deliver, store
from scrm.webhooks.deliver import Trial
from scrm.webhooks.wanted import WHOLE, new_secret, read_wanted

routes = web.RouteTableDef()

_ONE = r"/api/v1/webhooks/{id:\d+}"
_STATES = ("waiting", "done", "failed")
_EXAMPLE = '{"title": "数据仓库", "url": "https://…", "events": ["order.paid", "refund.*"]}'

_Url = Annotated[str, Meta(max_length=500, extra_json_schema={"pattern": r"^https://[a-z0-9]{1,60}(/[!-~]*)?$"})]
# The same rules in words are read_wanted's.
_EVENT = {"anyOf": [{"enum": [*WHOLE, *EVENTS]}, {"pattern": f"^{OWN_EVENT.pattern}$"}]}
_Events = Annotated[
    list[Annotated[str, Meta(extra_json_schema=_EVENT)]], Meta(extra_json_schema={"minItems": 1, "maxItems": 60})
]


State = Literal["on", "paused"]


class Subscription(Struct, kw_only=True, forbid_unknown_fields=True):
    """A new one; events are names, "order.*" for a whole family, "*" for everything."""

    title: Annotated[str, Meta(max_length=80, extra_json_schema=SAYS_SOMETHING)]
    url: _Url
    events: _Events


class WebhookChange(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is not named stays."""

    title: Annotated[str, Meta(max_length=80, extra_json_schema=SAYS_SOMETHING)] | None = None
    url: _Url | None = None
    events: _Events | None = None
    state: State | None = None


class Webhook(Struct, kw_only=True):
    """A subscription without its secret; `failing_since`: nothing has arrived from then on."""

    id: int
    title: str
    url: str
    events: list[str]
    state: State
    paused_why: str
    failing_since: Moment | None
    created_at: Moment


class NewWebhook(Webhook, kw_only=True):
    """`secret` signs all that is sent, and is told this once."""

    secret: str


class Delivery(Struct, kw_only=True):
    """What became of one event; `said` is the other side's answer or the reason."""

    id: int
    event_id: int
    name: str
    state: str
    attempts: int
    said: str
    created_at: Moment
    tried_at: Moment | None


class Replayed(Struct):
    """It waits to go out again, under the id it had."""

    id: int
    state: str


STATE = Choice("state", "waiting 等待，done 已送达，failed 失败", _STATES)


@routes.get("/api/v1/webhooks")
@operation("事件推送的订阅，没有签名密钥", query=PAGED_BY_KEY)
async def list_webhooks(request: web.Request) -> Page[Webhook]:
    rows = await request.app[SERVICES].db.read(store.list_webhooks)
    return page_of_few(request, rows, _describe, lambda row: f"{row.id:018d}")


@routes.post("/api/v1/webhooks")
@operation(
    "新建订阅；events 是事件名、整类（order.*）或全部（*）",
    says="订阅和签名密钥 secret，只给这一次",
    body=Subscription,
    status=201,
)
async def add_webhook(request: web.Request) -> NewWebhook:
    services, asked = request.app[SERVICES], decode(await request.read(), Subscription, _EXAMPLE)
    allow_private = services.settings.webhooks.allow_private
    wanted = read_wanted(asked.title, asked.url, asked.events, allow_private=allow_private)
    secret, by = new_secret(), f"api:{request[CALLER].name}"
    sealed = services.vault.seal(secret)
    now = services.clock.now()
    webhook_id = await services.db.write(store.add_webhook, wanted, sealed, secret[-4:], by=by, now=now)
    row = await services.db.read(store.get_webhook, webhook_id)
    return NewWebhook(**_parts(row), secret=secret)


@routes.get(_ONE)
@operation("一个订阅", errors=(404,))
async def get_webhook(request: web.Request) -> Webhook:
    return _describe(await request.app[SERVICES].db.read(store.get_webhook, _number(request, "id")))


@routes.patch(_ONE)
@operation("修改订阅，没写的不变；state 改回 on 时按顺序补发积压", body=WebhookChange, errors=(404,))
async def change_webhook(request: web.Request) -> Webhook:
    services, webhook_id = request.app[SERVICES], _number(request, "id")
    asked = decode(await request.read(), WebhookChange, f'{_EXAMPLE}，可加 "state": "on" 或 "paused"')
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
    return _describe(await services.db.read(store.get_webhook, webhook_id))


@routes.delete(_ONE)
@operation("删除订阅、它的记录和积压", status=204, errors=(404,))
async def drop_webhook(request: web.Request) -> None:
    await request.app[SERVICES].db.write(store.drop_webhook, _number(request, "id"))


@routes.get(f"{_ONE}/deliveries")
@operation("推送记录，新的在前", query=(STATE, *PAGED), errors=(404,))
async def list_deliveries(request: web.Request) -> Page[Delivery]:
    services, webhook_id, state = request.app[SERVICES], _number(request, "id"), STATE.read(request)
    before, limit = CURSOR.read(request), LIMIT.read_size(request)
    await services.db.read(store.get_webhook, webhook_id)
    rows = await services.db.read(store.list_deliveries, webhook_id, state=state, before=before, limit=limit + 1)
    return page_of(rows, limit, _delivery)


@routes.post(_ONE + r"/deliveries/{delivery_id:\d+}/replay")
@operation("重发一条，编号不变", says="已重新排队", status=202, errors=(404,))
async def replay(request: web.Request) -> Replayed:
    services, webhook_id = request.app[SERVICES], _number(request, "id")
    delivery_id = _number(request, "delivery_id")
    await services.db.write(store.replay, webhook_id, delivery_id, now=services.clock.now())
    return Replayed(delivery_id, "waiting")


@routes.post(f"{_ONE}/test")
@operation("马上发一条签名的测试（webhook.test），看对方怎么回答", errors=(404,))
async def try_out(request: web.Request) -> Trial:
    return await deliver.try_out(request.app[SERVICES], _number(request, "id"))


def _number(request: web.Request, name: str) -> int:
    digits = request.match_info[name]
    if len(digits) > MOST_DIGITS:
        raise NotFound("没有这个推送，可能已被删除")
    return int(digits)


def _describe(row: Row[Any]) -> Webhook:
    return Webhook(**_parts(row))


def _parts(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "title": row.title,
        "url": row.url,
        "events": row.events,
        "state": row.state,
        "paused_why": row.paused_why,
        "failing_since": row.failing_since,
        "created_at": row.created_at,
    }


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        event_id=row.event_id,
        name=row.name,
        state=row.state,
        attempts=row.attempts,
        said=row.said,
        created_at=row.created_at,
        tried_at=row.tried_at,
    )
