"""优惠券: batches with what became of them, the form that makes one, codes for a pool, stop and go on."""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.commerce import words
from scrm.commerce.coupons import batches as coupons_batches
from scrm.commerce.coupons import figures as coupons_figures
from scrm.commerce.coupons import store as coupons
from scrm.commerce.coupons.batches import Batch
from scrm.commerce.coupons.figures import Figures
from scrm.commerce.models import coupon_issue
from scrm.console.door import for_managers, page
from scrm.errors import Invalid, NotFound, ScrmError
from scrm.profiles.models import person
from scrm.services import SERVICES

routes = web.RouteTableDef()

KEY = r"{key:[^/]{1,64}}"
SHOWN = 50
KINDS = {"generated": "系统生成券码", "pool": "导入券码", "link": "平台领券链接"}
BENEFITS = {"amount": "满减", "percent": "折扣", "gift": "兑换", "freight": "包邮"}


@routes.get("/console/coupons")
@for_managers
async def batches(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]

    def look(conn: Connection) -> dict[str, Any]:
        rows = coupons_figures.list_batches(conn)
        return {
            "rows": rows,
            "figures": coupons_figures.count(conn, services.clock.now()),
            "pools": coupons_figures.count_pool(conn, [row.key for row in rows if row.kind == "pool"]),
        }

    return await _page(request, "coupons.html", **await services.db.read(look))


async def _page(request: web.Request, template: str, **values: Any) -> web.Response:
    return await page(request, template, active="coupons", none_yet=Figures(), kinds=KINDS, benefits=BENEFITS, **values)


@routes.get("/console/coupons/new")
@for_managers
async def new(request: web.Request) -> web.StreamResponse:
    return await _page(request, "coupon_form.html", form={}, problem="")


@routes.post("/console/coupons/new")
@for_managers
async def create(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], {name: str(value) for name, value in (await request.post()).items()}
    try:
        batch = _read(form, services.settings.shop.zone)
        await services.db.write(coupons_batches.save, batch, origin="console", is_new=True, now=services.clock.now())
    except ScrmError as error:
        response = await _page(request, "coupon_form.html", form=form, problem=error.text)
        response.set_status(error.status)
        return response
    raise web.HTTPSeeOther(f"/console/coupons/{batch.key}")


@routes.get(f"/console/coupons/{KEY}")
@for_managers
async def batch(request: web.Request) -> web.StreamResponse:
    services, key = request.app[SERVICES], request.match_info["key"]

    def look(conn: Connection) -> dict[str, Any]:
        row = coupons_figures.find_batch(conn, key)
        if row is None:
            raise NotFound("没有这个券批次")
        issues = conn.execute(
            coupons.ISSUES.add_columns(person.c.name.label("person_name"))
            .join(person, person.c.id == coupon_issue.c.person_id)
            .where(coupon_issue.c.batch_key == key)
            .order_by(coupon_issue.c.id.desc())
            .limit(SHOWN)
        )
        return {
            "batch": row,
            "figure": coupons_figures.count(conn, services.clock.now(), key).get(key, Figures()),
            "pool": coupons_figures.count_pool(conn, [key]).get(key, (0, 0)),
            "issues": [(issue, _word(issue, services.clock.now())) for issue in issues],
        }

    added = request.query.get("added", "")
    return await _page(request, "coupon.html", added=added if added.isdigit() else "", **await services.db.read(look))


def _word(issue: Any, now: datetime) -> Any:
    is_over = issue.state == "issued" and issue.expires_at is not None and issue.expires_at <= now
    return words.COUPON_STATES["expired" if is_over else issue.state]


@routes.post(f"/console/coupons/{KEY}/codes")
@for_managers
async def add_codes(request: web.Request) -> web.StreamResponse:
    """A code a line, up to 10,000; files are for `scrm import coupons`."""
    services, key = request.app[SERVICES], request.match_info["key"]
    lines = [line.strip() for line in str((await request.post()).get("codes", "")).splitlines() if line.strip()]
    if not lines:
        raise Invalid("请填写券码，每行一个")
    if len(lines) > 10_000:
        raise Invalid(f"一次最多 10,000 个券码，收到 {len(lines)} 个；更多请用 scrm import coupons 导入文件")
    for line in lines:
        if not 4 <= len(line) <= 64 or any(mark.isspace() for mark in line):
            raise Invalid(f"券码应为 4 到 64 个字符、没有空格，收到“{line[:40]}”")

    def add(conn: Connection) -> int:
        if coupons.find_batch_kind(conn, key) != "pool":
            raise Invalid("只有“导入券码”的批次可以加券码")
        return coupons.add_codes(conn, key, lines)

    raise web.HTTPSeeOther(f"/console/coupons/{key}?added={await services.db.write(add)}")


@routes.post(f"/console/coupons/{KEY}/stop")
@for_managers
async def stop(request: web.Request) -> web.StreamResponse:
    """Stop, or go on with `?on=1`."""
    services, key = request.app[SERVICES], request.match_info["key"]
    now = None if request.query.get("on") else services.clock.now()
    await services.db.write(coupons_batches.stop, key, now=now)
    raise web.HTTPSeeOther(f"/console/coupons/{key}")


def _read(form: dict[str, str], zone: Any) -> Batch:
    def chosen(name: str, among: dict[str, str]) -> Any:
        value = form.get(name, "")
        if value not in among:
            raise Invalid("请从列表中选择")
        return value

    until = form.get("valid_until", "").strip()
    try:
        ends = datetime.fromisoformat(until).replace(tzinfo=zone) if until else None
    except ValueError:
        raise Invalid(f"截止时间：没有看懂“{until[:30]}”") from None
    # What the form does not show for this benefit was filled in for another one before.
    benefit = chosen("benefit", BENEFITS)
    rate = _decimal(form, "rate", "折扣") if benefit == "percent" else None
    if rate is not None and rate * 10 % 1:
        raise Invalid(f"折扣：收到“{rate}”，最多一位小数，例如 9.5")
    return Batch(
        key=form.get("key", "").strip(),
        title=form.get("title", "").strip()[:80],
        kind=chosen("kind", KINDS),
        benefit=benefit,
        face_fen=_fen(form, "face", "面额") if benefit != "percent" else 0,
        percent_off=0 if rate is None else int(100 - rate * 10),
        threshold_fen=_fen(form, "threshold", "使用门槛"),
        valid_hours=_whole(form, "valid_days", "有效天数", 24),
        valid_until=ends,
        budget=_whole(form, "budget", "总量"),
        per_person=_whole(form, "per_person", "每人限领"),
        url=form.get("url", "").strip()[:500],
        rules=form.get("rules", "").strip()[:1000],
        gives_back=form.get("gives_back") == "1",
    )


def _decimal(form: dict[str, str], name: str, title: str) -> Decimal | None:
    text = form.get(name, "").strip()
    if not text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal(-1)
    if not number.is_finite() or not 0 <= number <= 10**7:
        raise Invalid(f"{title}：收到“{text[:20]}”，请填写数字")
    return number


def _fen(form: dict[str, str], name: str, title: str) -> int:
    number = _decimal(form, name, title)
    return 0 if number is None else int((number * 100).to_integral_value())


def _whole(form: dict[str, str], name: str, title: str, times: int = 1) -> int | None:
    number = _decimal(form, name, title)
    if number is None or number == 0:
        return None
    if number != number.to_integral_value() or number > 3650 * 100:
        raise Invalid(f"{title}：收到“{number}”，请填写整数")
    return int(number) * times
