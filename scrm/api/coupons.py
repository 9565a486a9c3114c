"""/api/v1/coupons and /api/v1/coupon_batches: issue, look, redeem once, withdraw; batches with their figures."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta, Struct
from sqlalchemy import Connection, select

from scrm.commerce import coupons, coupons_batches, coupons_figures, coupons_in_orders, coupons_lifecycle
from scrm.errors import Invalid, NotFound
from scrm.http import require_keepable
from scrm.profiles import redirects
from scrm.profiles.models import external_contact
from scrm.profiles.store import get_person
from scrm.services import SERVICES

routes = web.RouteTableDef()


class Redemption(Struct, kw_only=True):
    """What the till sends; `store` and `order_no` are kept with the redemption."""

    code: Annotated[str, Meta(min_length=1, max_length=64)]
    order_no: Annotated[str, Meta(max_length=80)] = ""
    store: Annotated[str, Meta(max_length=80)] = ""
    # What the goods cost before the coupon: checks the threshold.
    amount_fen: Annotated[int, Meta(ge=0, le=10**13)] | None = None


class Wanted(Struct, kw_only=True, forbid_unknown_fields=True):
    """One coupon for one customer; the same `reason` always gets the same coupon."""

    batch: Annotated[str, Meta(min_length=1, max_length=64)]
    reason: Annotated[str, Meta(min_length=1, max_length=160)]
    person_id: Annotated[int, Meta(ge=1, lt=10**18)] | None = None
    external_userid: Annotated[str, Meta(max_length=64)] = ""


@routes.post("/api/v1/coupons/issue")
async def issue(request: web.Request) -> web.Response:
    """200 with the coupon and its page, also the second time; 404 unknown batch or customer, 409 sold out."""
    services = request.app[SERVICES]
    wanted = _decode(
        await request.read(),
        Wanted,
        '{"batch": "批次", "reason": "唯一原因", "person_id": 1 或 "external_userid": "wm..."}',
    )
    given = await services.db.write(_issue, wanted, services.clock.now())
    page = f"{services.settings.server.public_url}/c/{given.token}"
    return web.json_response({**describe(given), "url": page})


def _issue(conn: Connection, wanted: Wanted, now: datetime) -> coupons.Issue:
    person_id = redirects.follow(conn, wanted.person_id) if wanted.person_id else None
    if wanted.external_userid:
        row = conn.execute(
            select(external_contact.c.person_id).where(external_contact.c.external_userid == wanted.external_userid)
        ).one_or_none()
        person_id = None if row is None else row.person_id
    if person_id is None or get_person(conn, person_id) is None:
        raise NotFound("没有这位客户：请给出 person_id 或 external_userid")
    given = coupons.issue(conn, batch_key=wanted.batch, person_id=person_id, reason_key=f"api:{wanted.reason}", now=now)
    # Who asks by the API hands it over.
    coupons_lifecycle.confirm(conn, [given.id], now=now)
    return coupons.get_issue(conn, given.id)


@routes.get("/api/v1/coupons/{code}")
async def look(request: web.Request) -> web.Response:
    """A coupon by its code, as people type it; 404 for an unknown one."""
    services = request.app[SERVICES]

    def find(conn: Connection) -> coupons.Issue:
        return coupons.get_issue(conn, coupons.find_code(conn, request.match_info["code"][:64]))

    found = await services.db.write(find)
    return web.json_response({**describe(found), "state": found.state_at(services.clock.now())})


@routes.post("/api/v1/coupons/{code}/void")
async def void(request: web.Request) -> web.Response:
    """Withdraw a coupon that nobody used; 409 for a used one."""
    services = request.app[SERVICES]
    voided = await services.db.write(
        coupons_lifecycle.void, request.match_info["code"][:64], now=services.clock.now(), by="api"
    )
    return web.json_response(describe(voided))


@routes.get("/api/v1/coupon_batches")
async def list_batches(request: web.Request) -> web.Response:
    """Every batch with its figures."""
    services = request.app[SERVICES]

    def look(conn: Connection) -> list[dict[str, Any]]:
        figures = coupons_figures.count(conn, services.clock.now())
        return [
            {**coupons_batches.describe(row), "figures": asdict(figures.get(row.key, coupons_figures.Figures()))}
            for row in coupons_figures.list_batches(conn)
        ]

    return web.json_response({"items": await services.db.read(look)})


@routes.post("/api/v1/coupon_batches")
async def save_batch(request: web.Request) -> web.Response:
    """Make a batch, or change one made here: coupons already issued stay as they are."""
    services = request.app[SERVICES]
    batch = _decode(
        await request.read(), coupons_batches.Batch, '{"key": "new72h", "title": "新人券", "face_fen": 3000, ...}'
    )

    def save(conn: Connection) -> dict[str, Any]:
        coupons_batches.save(conn, batch, origin="api", is_new=False, now=services.clock.now())
        return coupons_batches.describe(coupons_figures.find_batch(conn, batch.key))

    return web.json_response(await services.db.write(save))


T = TypeVar("T")


def _decode(body: bytes, kind: type[T], example: str) -> T:
    try:
        asked = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"请求体应为 {example}（{error}）") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid(f"请求体不是 JSON，应为 {example}") from None
    require_keepable(msgspec.to_builtins(asked))
    return asked


@routes.post("/api/v1/coupons/redeem")
async def redeem(request: web.Request) -> web.Response:
    """200 with the coupon; 404 unknown, 409 redeemed before (with `redemption`, the first one) or void, 410 expired."""
    services = request.app[SERVICES]
    asked = _read(await request.read())
    used = await services.db.write(
        coupons_in_orders.redeem_at_till,
        asked.code,
        now=services.clock.now(),
        by="api",
        order_no=asked.order_no,
        store=asked.store,
        amount_fen=asked.amount_fen,
    )
    return web.json_response(describe(used))


def _read(body: bytes) -> Redemption:
    try:
        asked = msgspec.json.decode(body, type=Redemption)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid('请求体应为 {"code": "券码", "order_no": "可选", "store": "可选"}，值都是文本') from None
    require_keepable(msgspec.structs.asdict(asked))
    return asked


def describe(coupon: coupons.Issue) -> dict[str, Any]:
    """A coupon as the API shows it; the page's token stays with the customer."""
    return {
        "code": coupon.code,
        "state": coupon.state,
        "batch": coupon.batch_key,
        "title": coupon.title,
        "benefit": coupon.benefit,
        "face_fen": coupon.face_fen,
        "percent_off": coupon.percent_off,
        "threshold_fen": coupon.threshold_fen,
        "person_id": coupon.person_id,
        "issued_at": coupon.issued_at.isoformat(),
        "expires_at": coupon.expires_at.isoformat() if coupon.expires_at else None,
        "redeemed_at": coupon.redeemed_at.isoformat() if coupon.redeemed_at else None,
        "redemption": coupon.redemption,
        "discount_fen": coupon.discount_fen,
    }
