"""POST /api/v1/coupons/redeem: a till or shop system uses a customer's coupon, once."""

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from scrm.commerce import coupons
from scrm.errors import Invalid
from scrm.http import require_keepable
from scrm.services import SERVICES

routes = web.RouteTableDef()


class Redemption(Struct, kw_only=True):
    """What the till sends; `store` and `order_no` are kept with the redemption."""

    code: Annotated[str, Meta(min_length=1, max_length=64)]
    order_no: Annotated[str, Meta(max_length=80)] = ""
    store: Annotated[str, Meta(max_length=80)] = ""


@routes.post("/api/v1/coupons/redeem")
async def redeem(request: web.Request) -> web.Response:
    """200 with the coupon; 404 unknown, 409 redeemed before (with `redemption`, the first one) or void, 410 expired."""
    services = request.app[SERVICES]
    asked = _read(await request.read())
    used = await services.db.write(
        coupons.redeem,
        asked.code,
        now=services.clock.now(),
        by="api",
        order_no=asked.order_no,
        store=asked.store,
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
    }
