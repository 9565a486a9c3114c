"""公海: who is in it and why, picking and assigning, and the rules."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.door import MANAGER, for_managers, page
from scrm.customer_lists import pool, pool_store
from scrm.customer_lists.people import list_these
from scrm.db.tables import from_millis, to_millis
from scrm.errors import Invalid, ScrmError
from scrm.profiles.members import member_names
from scrm.services import SERVICES, Services
from scrm.transfers.list_store import list_takers

routes = web.RouteTableDef()

_SHOWN = 50
_MOST_COUNTED = 9_999


@routes.get("/console/pool")
@for_managers
async def show(request: web.Request) -> web.StreamResponse:
    return await _show(request)


async def _show(request: web.Request, *, problem: str = "", status: int = 200) -> web.Response:
    services, member = request.app[SERVICES], request[MANAGER]
    reason = request.query.get("reason", "")
    reason = reason if reason in pool.REASONS else ""
    before = _place(request.query.get("before", ""))
    now = services.clock.now()
    notice, left = _told(request.query)

    def look(conn: Connection) -> dict[str, Any]:
        entries = pool_store.list_entries(conn, reason=reason, before=before, limit=_SHOWN + 1)
        ids = [each.person_id for each in entries[:_SHOWN]]
        return {
            "entries": {each.person_id: each for each in entries},
            "people": list_these(conn, ids),
            "left": [each.name for each in list_these(conn, left)],
            "more": entries[_SHOWN - 1] if len(entries) > _SHOWN else None,
            "counts": pool_store.count_entries(conn, _MOST_COUNTED),
            "names": member_names(conn, {each.from_userid for each in entries}),
            "rule": pool_store.load_rule(conn),
            "walked_at": pool_store.find_walked_at(conn),
            "takers": list_takers(conn),
            "picked": pool_store.count_picks(conn, member.userid, _midnight(services, now)),
        }

    values = await services.db.read(look)
    last = values.pop("more")
    next_place = f"{to_millis(last.entered_at)}.{last.person_id}" if last is not None else ""
    return await page(
        request,
        "pool.html",
        active="pool",
        status=status,
        reason=reason,
        reasons=pool.REASONS,
        next=next_place,
        most=_MOST_COUNTED,
        problem=problem,
        notice="" if problem else notice,
        **values,
    )


def _place(text: str) -> tuple[datetime, int] | None:
    at, _, number = text.partition(".")
    if not (at.isascii() and at.isdigit() and number.isascii() and number.isdigit() and len(text) < 36):
        return None
    return from_millis(min(int(at), 10**14)), int(number[:18])


def _midnight(services: Services, now: datetime) -> datetime:
    return now.astimezone(services.settings.shop.zone).replace(hour=0, minute=0, second=0, microsecond=0)


@routes.post("/console/pool/pick")
@for_managers
async def pick(request: web.Request) -> web.StreamResponse:
    """For oneself, within the daily limit."""
    return await _take(request, pool.Taker(request[MANAGER].userid))


@routes.post("/console/pool/assign")
@for_managers
async def assign(request: web.Request) -> web.StreamResponse:
    """To a colleague."""
    userid = str((await request.post()).get("to", ""))
    if not userid:
        return await _show(request, problem="请选择分配给哪位员工", status=422)
    return await _take(request, pool.Taker(userid, by=request[MANAGER].userid))


async def _take(request: web.Request, taker: pool.Taker) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    ids = sorted(
        {int(str(text)) for text in form.getall("person", []) if str(text).isdecimal() and len(str(text)) < 19}
    )
    zone, now = services.settings.shop.zone, services.clock.now()
    try:
        if not 0 < len(ids) <= _SHOWN:
            raise Invalid(f"请勾选 1 到 {_SHOWN} 位客户，现在选了 {len(ids)} 位")
        said = await services.db.write(pool.take, ids, taker, zone, now=now)
    except ScrmError as error:
        return await _show(request, problem=error.text, status=error.status)
    told = {
        "act": "assigned" if taker.by else "picked",
        "many": len(said),
        "gone": len(ids) - len(said),
        "left": "-".join(str(person_id) for person_id, text in said.items() if text),
    }
    raise web.HTTPSeeOther(f"/console/pool?{urlencode(told)}")


_DONE = {"picked": "领取", "assigned": "分配"}


def _told(query: Mapping[str, str]) -> tuple[str, list[int]]:
    """What was done a moment ago, as the address has it, and whose friendship stayed where it was."""
    done, many = _DONE.get(query.get("act", "")), query.get("many", "")
    if done is None or not many.isdecimal() or len(many) > 3:
        return "", []
    gone = query.get("gone", "0")
    more = f"；{int(gone)} 位刚被同事领走" if gone.isdecimal() and int(gone[:3]) > 0 else ""
    left = [int(text) for text in query.get("left", "").split("-")[:_SHOWN] if text.isdecimal() and len(text) < 19]
    return f"已{done} {int(many)} 位客户{more}", left


@routes.get("/console/pool/rules")
@for_managers
async def rules(request: web.Request) -> web.StreamResponse:
    rule = await request.app[SERVICES].db.read(pool_store.load_rule)
    return await page(request, "pool_rules.html", active="pool", rule=rule, form=_written(rule), problem="")


def _written(rule: pool_store.Rule) -> dict[str, str]:
    return {
        "is_on": "1" if rule.is_on else "",
        "takes_ownerless": "1" if rule.takes_ownerless else "",
        "has_idle": "1" if rule.idle_days else "",
        "idle_days": str(rule.idle_days or 90),
        "picks_per_day": str(rule.picks_per_day),
        "has_recycle": "1" if rule.recycle_days else "",
        "recycle_days": str(rule.recycle_days or 7),
    }


@routes.post("/console/pool/rules")
@for_managers
async def save_rules(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    form = {name: str(value) for name, value in (await request.post()).items()}
    by, now = request[MANAGER].userid, services.clock.now()
    try:
        rule = pool.read_rule(form)
    except Invalid as error:
        blank = dict.fromkeys(_written(pool_store.Rule()), "")
        kept = await services.db.read(pool_store.load_rule)
        return await page(
            request, "pool_rules.html", active="pool", status=422, rule=kept, form=blank | form, problem=error.text
        )
    await services.db.write(pool_store.save_rule, rule, by=by, now=now)
    raise web.HTTPSeeOther("/console/pool")
