"""/sidebar/scan: a member in a store scans or types a customer's coupon, looks at it, and redeems it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, select

from scrm.commerce.connectors.reader import read_fen
from scrm.commerce.coupons import in_orders as coupons_in_orders
from scrm.commerce.coupons import store as coupons
from scrm.commerce.coupons.pages import describe_condition, describe_expiry, describe_value
from scrm.errors import Conflict, Invalid, ScrmError
from scrm.http import require_keepable, signed_in
from scrm.profiles.models import person
from scrm.profiles.phones import mask_name
from scrm.services import SERVICES
from scrm.sidebar.door import for_members, page
from web.texts import _

routes = web.RouteTableDef()


@dataclass(frozen=True, slots=True)
class Found:
    """A coupon as it lies on the counter; the customer's name is masked."""

    coupon: coupons.Issue
    customer: str


@routes.get("/sidebar/scan")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """`?code=` looks a coupon up; without it there is only the field."""
    code = request.query.get("code", "").strip()[:200]
    if not code:
        return _page(request)
    try:
        found = await request.app[SERVICES].db.write(_find, _code_of(code))
    except ScrmError as error:
        return _page(request, code=code, problem=error.text)
    return _page(request, code=found.coupon.code, found=found)


@routes.post("/sidebar/scan")
@for_members
async def redeem(request: web.Request) -> web.StreamResponse:
    """{code, amount?, store?, order_no?}: used, or the reason why not; done twice it is used once."""
    services, form = request.app[SERVICES], await request.post()
    fields = {name: str(form.get(name) or "").strip() for name in ("code", "amount", "store", "order_no")}
    require_keepable(fields)
    now, userid = services.clock.now(), signed_in(request).userid
    try:
        found = await services.db.write(_redeem, fields, userid, now)
    except ScrmError as error:
        return _page(request, code=fields["code"], problem=_words(error), fields=fields)
    return _page(request, done=found)


def _words(error: ScrmError) -> str:
    """Who was first is what the customer will ask."""
    first = error.details.get("redemption") if isinstance(error, Conflict) else None
    if isinstance(first, dict) and first.get("store"):
        return f"{error.text}（{first['store']}）"
    return error.text


def _find(conn: Connection, code: str) -> Found:
    return _found(conn, coupons.get_issue(conn, coupons.find_code(conn, code)))


def _found(conn: Connection, coupon: coupons.Issue) -> Found:
    name = conn.execute(select(person.c.name).where(person.c.id == coupon.person_id)).scalar_one()
    return Found(coupon, mask_name(name) if name else _("微信用户"))


def _redeem(conn: Connection, fields: dict[str, str], userid: str, now: datetime) -> Found:
    used = coupons_in_orders.redeem_at_till(
        conn,
        _code_of(fields["code"])[:64],
        now=now,
        by=userid,
        order_no=fields["order_no"][:80],
        store=fields["store"][:80],
        amount_fen=_fen(fields["amount"]),
    )
    return _found(conn, used)


def _code_of(text: str) -> str:
    """A scanner says "CODE_128,ABC" of a bar code."""
    kind, comma, rest = text.partition(",")
    return rest if comma and kind.isascii() and kind.isupper() and "_" in kind else text


def _fen(text: str) -> int | None:
    try:
        amount = read_fen(text)
    except ValueError:
        amount = -1
    if amount is not None and amount < 0:
        raise Invalid(_("订单金额：收到“{text}”，请填写数字，例如 199 或 199.50", text=text[:20]))
    return amount


def _page(request: web.Request, **values: Any) -> web.Response:
    services = request.app[SERVICES]
    now, zone = services.clock.now(), services.settings.shop.zone
    shown: Found | None = values.get("found") or values.get("done")
    if shown is not None:
        coupon = shown.coupon
        values |= {
            "state": coupon.state_at(now),
            "word": coupon.word_at(now),
            "worth": "".join(describe_value(coupon)),
            "condition": describe_condition(coupon),
            "expiry": describe_expiry(coupon.expires_at, now, zone),
        }
    defaults: dict[str, Any] = {"code": "", "problem": "", "found": None, "done": None, "fields": {}}
    response = page(request, "scan.html", **{**defaults, **values})
    response.headers["Cache-Control"] = "no-store"
    return response
