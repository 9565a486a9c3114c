"""/api/v1/coupons and /api/v1/coupon_batches: issue, look, redeem once, withdraw; batches with their figures."""

from datetime import datetime
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct
from sqlalchemy import Connection, select

from scrm import audit
from scrm.api.operation import operation
from scrm.api.parameters import (
    LIMIT,
    PAGED_BY_KEY,
    PAGED_BY_PLACE,
    PLACE,
    Moment,
    Page,
    decode,
    page_of,
    page_of_few,
    person_id_of,
)
from scrm.commerce.coupons import batches as coupons_batches
from scrm.commerce.coupons import figures as coupons_figures
from scrm.commerce.coupons import in_orders as coupons_in_orders
from scrm.commerce.coupons import lifecycle as coupons_lifecycle
from scrm.commerce.coupons import store as coupons
from scrm.db.tables import to_millis
from scrm.errors import NotFound
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


class CouponWanted(Struct, kw_only=True, forbid_unknown_fields=True):
    """One coupon for one customer; the same `reason` always gets the same coupon."""

    batch: Annotated[str, Meta(min_length=1, max_length=64)]
    reason: Annotated[str, Meta(min_length=1, max_length=160)]
    person_id: Annotated[int, Meta(ge=1, lt=10**18)] | None = None
    external_userid: Annotated[str, Meta(max_length=64)] = ""


class Coupon(Struct, kw_only=True):
    """A customer's coupon; the page's token stays with the customer."""

    code: str
    state: str
    batch: str
    title: str
    benefit: str
    face_fen: int
    percent_off: int
    threshold_fen: int
    person_id: int
    issued_at: Moment
    expires_at: Moment | None
    redeemed_at: Moment | None
    redemption: dict[str, Any] | None
    discount_fen: int


class CouponWithPage(Coupon, kw_only=True):
    """`url` is the customer's page of it."""

    url: str


class CouponBatch(Struct, kw_only=True):
    """Money in fen; null: no limit."""

    key: str
    kind: str
    title: str
    benefit: str
    face_fen: int
    percent_off: int
    threshold_fen: int
    valid_hours: int | None
    valid_until: Moment | None
    budget: int | None
    per_person: int | None
    url: str
    rules: str
    gives_back: bool
    origin: str
    stopped: bool


class CouponBatchWithFigures(CouponBatch, kw_only=True):
    """With what became of its coupons."""

    figures: coupons_figures.Figures


@routes.post("/api/v1/coupons/issue")
@operation("给一位客户发一张券；同一原因总是同一张", says="券和它的页面", body=CouponWanted, errors=(404, 409))
async def issue(request: web.Request) -> CouponWithPage:
    """Also the second time; 404 unknown batch or customer, 409 sold out."""
    services = request.app[SERVICES]
    wanted = decode(
        await request.read(),
        CouponWanted,
        '{"batch": "批次", "reason": "唯一原因", "person_id": 1 或 "external_userid": "wm..."}',
    )
    given = await services.db.write(_issue, wanted, services.clock.now())
    return CouponWithPage(**_parts(given), url=f"{services.settings.server.public_url}/c/{given.token}")


def _issue(conn: Connection, wanted: CouponWanted, now: datetime) -> coupons.Issue:
    person_id = redirects.follow(conn, wanted.person_id) if wanted.person_id else None
    if wanted.external_userid:
        row = conn.execute(
            select(external_contact.c.person_id).where(external_contact.c.external_userid == wanted.external_userid)
        ).one_or_none()
        person_id = None if row is None else row.person_id
    if person_id is None or get_person(conn, person_id) is None:
        raise NotFound("没有这位客户：请给出 person_id 或 external_userid")
    given = coupons.issue(conn, batch_key=wanted.batch, person_id=person_id, reason_key=f"api:{wanted.reason}", now=now)
    audit.changed(conn, "coupon", given.id, None, {"batch": wanted.batch, "person_id": person_id})
    # Who asks by the API hands it over.
    coupons_lifecycle.confirm(conn, [given.id], now=now)
    return coupons.get_issue(conn, given.id)


# The names of what is done with coupons are no codes: asked for by GET they are known, and not to be had that way.
@routes.get(r"/api/v1/coupons/{code:(?!(?:issue|redeem)$)[^/]+}")
@operation("按券码查券", errors=(404,))
async def look(request: web.Request) -> Coupon:
    """As people type it."""
    services = request.app[SERVICES]

    def find(conn: Connection) -> coupons.Issue:
        return coupons.get_issue(conn, coupons.find_code(conn, request.match_info["code"][:64]))

    found = await services.db.write(find)
    return Coupon(**{**_parts(found), "state": found.state_at(services.clock.now())})


@routes.get(r"/api/v1/customers/{person_id:\d+}/coupons")
@operation("客户的券，新的在前", query=PAGED_BY_PLACE, errors=(404,))
async def list_of_customer(request: web.Request) -> Page[Coupon]:
    person_id, limit = person_id_of(request), LIMIT.read_size(request)
    before, now = PLACE.read(request), request.app[SERVICES].clock.now()

    def find(conn: Connection) -> list[coupons.Issue]:
        return coupons.list_coupons(conn, redirects.follow(conn, person_id), before=before, limit=limit + 1)

    rows = await request.app[SERVICES].db.read(find)
    return page_of(
        rows,
        limit,
        lambda row: Coupon(**{**_parts(row), "state": row.state_at(now)}),
        lambda row: f"{to_millis(row.issued_at)}.{row.id}",
    )


@routes.post("/api/v1/coupons/{code}/void")
@operation("作废一张没有用过的券", errors=(404, 409))
async def void(request: web.Request) -> Coupon:
    """409 for a used one."""
    services = request.app[SERVICES]
    voided = await services.db.write(
        coupons_lifecycle.void, request.match_info["code"][:64], now=services.clock.now(), by="api"
    )
    return Coupon(**_parts(voided))


@routes.get("/api/v1/coupon_batches")
@operation("券批次和它们的数据，按批次的编号排", query=PAGED_BY_KEY)
async def list_batches(request: web.Request) -> Page[CouponBatchWithFigures]:
    services = request.app[SERVICES]

    def look(conn: Connection) -> Page[CouponBatchWithFigures]:
        figures = coupons_figures.count(conn, services.clock.now())

        def shown(row: Any) -> CouponBatchWithFigures:
            return CouponBatchWithFigures(**_batch_parts(row), figures=figures.get(row.key, coupons_figures.Figures()))

        return page_of_few(request, coupons_figures.list_batches(conn), shown, lambda row: str(row.key))

    return await services.db.read(look)


@routes.post("/api/v1/coupon_batches")
@operation("新建或修改券批次", body=coupons_batches.Batch, errors=(409,))
async def save_batch(request: web.Request) -> CouponBatch:
    """Make a batch, or change one made here: coupons already issued stay as they are."""
    services = request.app[SERVICES]
    batch = decode(
        await request.read(), coupons_batches.Batch, '{"key": "new72h", "title": "新人券", "face_fen": 3000, ...}'
    )

    def save(conn: Connection) -> CouponBatch:
        coupons_batches.save(conn, batch, origin="api", is_new=False, now=services.clock.now())
        return CouponBatch(**_batch_parts(coupons_figures.find_batch(conn, batch.key)))

    return await services.db.write(save)


@routes.post("/api/v1/coupons/redeem")
@operation("核销一张券；第二次返回 409 和第一次核销的详情", says="核销后的券", body=Redemption, errors=(404, 409, 410))
async def redeem(request: web.Request) -> Coupon:
    """404 unknown, 409 redeemed before (with `redemption`, the first one) or void, 410 expired."""
    services = request.app[SERVICES]
    asked = decode(
        await request.read(), Redemption, '{"code": "券码", "order_no": "可选", "store": "可选"}，值都是文本'
    )
    used = await services.db.write(
        coupons_in_orders.redeem_at_till,
        asked.code,
        now=services.clock.now(),
        by="api",
        order_no=asked.order_no,
        store=asked.store,
        amount_fen=asked.amount_fen,
    )
    return Coupon(**_parts(used))


def _parts(coupon: coupons.Issue) -> dict[str, Any]:
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
        "issued_at": coupon.issued_at,
        "expires_at": coupon.expires_at,
        "redeemed_at": coupon.redeemed_at,
        "redemption": coupon.redemption,
        "discount_fen": coupon.discount_fen,
    }


def _batch_parts(row: Any) -> dict[str, Any]:
    return {
        "key": row.key,
        "kind": row.kind,
        "title": row.title,
        "benefit": row.benefit,
        "face_fen": row.face_fen,
        "percent_off": row.percent_off,
        "threshold_fen": row.threshold_fen,
        "valid_hours": None if row.valid_seconds is None else row.valid_seconds // 3600,
        "valid_until": row.valid_until,
        "budget": row.budget_count,
        "per_person": row.per_person,
        "url": row.url,
        "rules": row.rules,
        "gives_back": row.gives_back,
        "origin": row.origin,
        "stopped": row.stopped_at is not None,
    }
