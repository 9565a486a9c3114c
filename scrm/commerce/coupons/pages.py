"""GET /c/{token}: the customer's own page for one coupon."""

from datetime import datetime
from zoneinfo import ZoneInfo

import segno
from aiohttp import web
from markupsafe import Markup

from scrm.commerce.coupons import store as coupons
from scrm.services import SERVICES
from web.render import render

routes = web.RouteTableDef()

_WEEKDAYS = "一二三四五六日"


@routes.get("/c/{token}")
async def show_coupon(request: web.Request) -> web.Response:
    """The coupon with its code as text and QR while it can be used; what became of it otherwise."""
    services = request.app[SERVICES]
    now = services.clock.now()
    token = request.match_info["token"]
    coupon = await services.db.read(coupons.find_by_token, token) if token.isascii() and token.isprintable() else None
    if coupon is None:
        return _hidden(render(request, "customer/no_coupon.html", status=404))
    if coupon.opened_at is None:
        await services.db.write(coupons.mark_opened, coupon.id, now=now)
    state = coupon.state_at(now)
    zone = services.settings.shop.zone
    page = render(
        request,
        "customer/coupon.html",
        coupon=coupon,
        state=state,
        word=_WORDS[state],
        value=describe_value(coupon),
        condition=describe_condition(coupon),
        expiry=describe_expiry(coupon.expires_at, now, zone),
        groups=group(coupon.code),
        qr=qr_code(coupon.code) if state == "issued" else "",
        used_at=None if coupon.redeemed_at is None else _on(coupon.redeemed_at, zone),
    )
    return _hidden(page)


# For the customer; members read state words of their own.
_WORDS = {"issued": "可使用", "redeemed": "已使用", "expired": "已过期", "void": "已失效", "released": "已失效"}


def _hidden(page: web.Response) -> web.Response:
    page.headers["Cache-Control"] = "no-store"
    page.headers["X-Robots-Tag"] = "noindex, nofollow"
    page.headers["Referrer-Policy"] = "no-referrer"
    return page


def describe_value(coupon: coupons.Issue) -> tuple[str, str, str]:
    """What is printed large: (before, figure, after), as ("¥", "30", ""), ("", "8.5", "折") or ("", "礼品", "")."""
    if coupon.benefit == "amount":
        return "¥", _yuan(coupon.face_fen), ""
    if coupon.benefit == "percent":
        rate = f"{(100 - coupon.percent_off) / 10:g}"
        return "", rate, "折"
    return "", {"gift": "礼品", "freight": "包邮"}.get(coupon.benefit, "优惠"), ""


def describe_condition(coupon: coupons.Issue) -> str:
    """满 199 元可用, or 无门槛."""
    return f"满 {_yuan(coupon.threshold_fen)} 元可用" if coupon.threshold_fen else "无门槛"


def describe_expiry(expires_at: datetime | None, now: datetime, zone: ZoneInfo) -> tuple[str, str]:
    """How long it lasts in words, and the exact moment: ("还剩 2 天 5 小时", "6月21日 周日 20:00 前有效")."""
    if expires_at is None:
        return "长期有效", ""
    left = int((expires_at - now).total_seconds())
    exact = f"{_on(expires_at, zone)} 前有效"
    if left <= 0:
        return "已过期", f"有效期至 {_on(expires_at, zone)}"
    days, hours, minutes = left // 86400, left % 86400 // 3600, left % 3600 // 60
    if days:
        return f"还剩 {days} 天" + (f" {hours} 小时" if hours and days < 7 else ""), exact
    if hours:
        return f"还剩 {hours} 小时" + (f" {minutes} 分钟" if minutes else ""), exact
    return f"还剩 {max(minutes, 1)} 分钟", exact


def _on(moment: datetime, zone: ZoneInfo) -> str:
    local = moment.astimezone(zone)
    return f"{local.month}月{local.day}日 周{_WEEKDAYS[local.weekday()]} {local:%H:%M}"


def _yuan(fen: int) -> str:
    return f"{fen // 100:,}" if fen % 100 == 0 else f"{fen / 100:,.2f}"


def group(code: str) -> list[str]:
    """A code in pieces that can be read aloud: 4, 4 and the rest."""
    if len(code) > 16 or not code.isalnum():
        return [code]
    if len(code) == 10:
        return [code[:3], code[3:6], code[6:]]
    return [code[start : start + 4] for start in range(0, len(code), 4)]


def qr_code(code: str) -> Markup:
    """The code as an SVG that scales with its box; no style in it, as the page's policy wants."""
    svg = segno.make_qr(code, error="m").svg_inline(scale=1, border=0, omitsize=True, svgclass="qr", lineclass=None)
    return Markup(svg)  # noqa: S704 - drawn by us, and the code stands in no text of it
