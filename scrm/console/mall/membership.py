"""会员: the rules of points and growth, the levels, what waits for approval; and one customer's points."""

import secrets
from dataclasses import replace
from typing import Any

import msgspec
from aiohttp import web
from sqlalchemy import Connection

from scrm.access.modules import APPROVE
from scrm.console.door import MANAGER, before_of, for_managers, page
from scrm.errors import Invalid, NotFound
from scrm.membership import points, store
from scrm.membership.rules import REASONS, Level, Rules
from scrm.profiles import redirects
from scrm.profiles.store import get_person
from scrm.services import SERVICES

routes = web.RouteTableDef()

SHOWN = 50
FALLS = {"anew": "按周期内的成长值重新定级", "step": "降一级"}
STATES = {"waiting": ("待批准", "warn"), "approved": ("已批准", "good"), "refused": ("已拒绝", "")}


@routes.get("/console/membership")
@for_managers
async def overview(request: web.Request) -> web.StreamResponse:
    def look(conn: Connection) -> dict[str, Any]:
        return {
            "rules": store.load_rules(conn),
            "levels": store.list_levels(conn),
            "members": store.count_members(conn),
            "requests": store.list_requests(conn),
        }

    found = await request.app[SERVICES].db.read(look)
    return await page(
        request, "membership.html", active="membership", falls=FALLS, states=STATES, reasons=REASONS, **found
    )


@routes.post("/console/membership/rules")
@for_managers
async def save_rules(request: web.Request) -> web.StreamResponse:
    """The whole form; orders that were paid before it was first switched on bring nothing."""
    services, form = request.app[SERVICES], await request.post()
    now, by = services.clock.now(), request[MANAGER].userid
    numbers = {
        "points_per_yuan": _number(form, "points_per_yuan", "每元积分", 1000, 1000),
        "growth_per_yuan": _number(form, "growth_per_yuan", "每元成长值", 1000, 1000),
        "points_live_days": _number(form, "points_live_days", "积分有效天数", 36_500),
        "points_told_days": _number(form, "points_told_days", "到期提醒", 365),
        "approval_limit": _number(form, "approval_limit", "审批上限", 10**9),
        "period_days": _number(form, "period_days", "等级周期", 36_500),
    }
    fall = str(form.get("fall", ""))
    if fall not in FALLS:
        raise Invalid("请选择降级方式")

    def save(conn: Connection) -> None:
        before = store.load_rules(conn)
        since = (before.since or now) if form.get("is_on") else None
        after = msgspec.structs.replace(
            before, since=since, fall=fall, may_go_negative=bool(form.get("may_go_negative")), **numbers
        )
        store.save_rules(conn, msgspec.convert(msgspec.to_builtins(after), Rules), by=by, now=now)

    await services.db.write(save)
    raise web.HTTPSeeOther("/console/membership")


def _number(form: Any, name: str, title: str, most: int, times: int = 1) -> int:
    text = str(form.get(name, "")).strip() or "0"
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most or (times == 1 and number != int(number)):
        raise Invalid(f"{title}：收到“{text[:20]}”，应为 0 到 {most:,} 的{'数字' if times > 1 else '整数'}")
    return round(number * times)


@routes.post("/console/membership/levels")
@for_managers
async def save_level(request: web.Request) -> web.StreamResponse:
    form = await request.post()
    title = str(form.get("title", "")).strip()
    if not 1 <= len(title) <= 40:
        raise Invalid("等级名称要有 1 到 40 个字")
    level = Level(
        key=str(form.get("key", "")).strip()[:32] or f"level-{secrets.token_hex(4)}",
        title=title,
        reach=_number(form, "reach", "升级成长值", 10**9),
        keep=_number(form, "keep", "保级成长值", 10**9),
        points_rate=_number(form, "rate", "积分倍数", 100, 1000) or 1000,
        benefits=str(form.get("benefits", "")).strip()[:1000],
    )
    if level.keep > level.reach:
        raise Invalid("保级成长值不能高于升级成长值")

    def save(conn: Connection) -> None:
        others = [replace(one) for one in store.list_levels(conn) if one.key != level.key]
        store.require_levels([*others, level])
        store.save_level(conn, level)

    await request.app[SERVICES].db.write(save)
    raise web.HTTPSeeOther("/console/membership")


@routes.post("/console/membership/levels/{key}/delete")
@for_managers
async def delete_level(request: web.Request) -> web.StreamResponse:
    await request.app[SERVICES].db.write(store.delete_level, request.match_info["key"])
    raise web.HTTPSeeOther("/console/membership")


@routes.post(r"/console/membership/requests/{id:\d{1,18}}")
@for_managers
async def decide(request: web.Request) -> web.StreamResponse:
    """{approve: 1 or nothing}."""
    services, member = request.app[SERVICES], request[MANAGER]
    approve = str((await request.post()).get("approve", "")) == "1"
    await services.db.write(
        points.decide_request,
        int(request.match_info["id"]),
        approve=approve,
        by=member.userid,
        now=services.clock.now(),
    )
    raise web.HTTPSeeOther("/console/membership")


@routes.get(r"/console/customers/{person_id:\d{1,18}}/points")
@for_managers
async def ledger(request: web.Request) -> web.StreamResponse:
    asked, before = int(request.match_info["person_id"]), before_of(request)

    def look(conn: Connection) -> dict[str, Any]:
        person_id = redirects.follow(conn, asked)
        person = get_person(conn, person_id)
        if person is None:
            raise NotFound("没有这位客户，可能已被删除")
        row = store.find_account(conn, person_id)
        lines = store.list_movements(conn, person_id, before=before, limit=SHOWN + 1)
        levels = {level.key: level for level in store.list_levels(conn)}
        return {
            "person": person,
            "account": row,
            "level": levels.get(row.level_key) if row is not None else None,
            "lines": lines[:SHOWN],
            "has_more": len(lines) > SHOWN,
            "ending": store.next_end(conn, person_id),
            "limit": store.load_rules(conn).approval_limit,
        }

    found = await request.app[SERVICES].db.read(look)
    return await page(
        request,
        "points.html",
        active="customers",
        reasons=REASONS,
        form_key=secrets.token_hex(8),
        waits=request.query.get("waits") == "1",
        **found,
    )


@routes.post(r"/console/customers/{person_id:\d{1,18}}/points")
@for_managers
async def adjust(request: web.Request) -> web.StreamResponse:
    """{points, note, form_key}: the same form sent twice moves once."""
    services, member, form = request.app[SERVICES], request[MANAGER], await request.post()
    text, person_id = str(form.get("points", "")).strip(), int(request.match_info["person_id"])
    if not text.lstrip("+-").isdigit() or not text.isascii() or len(text) > 11:
        raise Invalid(f"积分：收到“{text[:20]}”，应为整数，扣减用负数，例如 100 或 -50")
    outcome = await services.db.write(
        points.adjust,
        person_id,
        int(text),
        str(form.get("note", "")),
        by=member.userid,
        may_approve=member.may("membership", APPROVE),
        form_key=str(form.get("form_key", ""))[:40] or secrets.token_hex(8),
        now=services.clock.now(),
    )
    waits = "?waits=1" if outcome == "waiting" else ""
    raise web.HTTPSeeOther(f"/console/customers/{person_id}/points{waits}")
