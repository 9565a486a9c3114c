"""群与朋友圈计划: what goes out on which day, to whom, and what became of it."""

from collections import Counter, defaultdict
from datetime import date, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console import seen
from scrm.console.door import MANAGER, for_managers, page
from scrm.errors import Invalid, NotFound
from scrm.services import SERVICES
from scrm.sop.plans import store, words
from scrm.sop.plans.parse import parse_plan
from scrm.sop.text.reading import PlaybookErrors, Problem

routes = web.RouteTableDef()

AHEAD = timedelta(days=7)
SHOWN = 100
STATES = {"pause": "paused", "resume": "published", "retire": "retired"}
EXAMPLE = """plan: my-group-plan
title: 福利群日常
kind: group
to: {tags: [福利群]}
items:
  - {id: monday, title: 本周上新, on: [mon], at: "10:00", ttl: 6h, content: {text: 本周上新来了}}
"""


@routes.get("/console/plans")
@for_managers
async def plans(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    now, zone = services.clock.now(), services.settings.shop.zone

    def look(conn: Connection) -> dict[str, Any]:
        rows = store.list_plans(conn)
        comes = {row.key: words.coming(conn, row, now, now + AHEAD, zone) for row in rows}
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for (key, _), found in store.count_claims(conn).items():
            counts[key].update(found)
        calendar = sorted(((one, row) for row in rows for one in comes[row.key]), key=lambda pair: pair[0].due_at)
        off = sorted(store.days_off(conn).items())
        return {"rows": rows, "counts": counts, "calendar": calendar[:30], "off": off}

    values = await services.db.read(look)
    today = now.astimezone(zone).date()
    values["off"] = [(day, reason) for day, reason in values["off"] if day >= today]
    return await page(request, "plans.html", active="plans", plan_words=words, today=today, **values)


@routes.get("/console/plans/new")
@for_managers
async def new_plan(request: web.Request) -> web.StreamResponse:
    return await _editor(request, EXAMPLE)


@routes.get(r"/console/plans/{key:[a-z0-9][a-z0-9_-]{0,63}}")
@for_managers
async def plan(request: web.Request) -> web.StreamResponse:
    services, key = request.app[SERVICES], request.match_info["key"]
    now, zone = services.clock.now(), services.settings.shop.zone

    def look(conn: Connection) -> dict[str, Any] | None:
        row = store.find_plan(conn, key)
        if row is None:
            return None
        return {
            "row": row,
            "plan": parse_plan(row.source),
            "counts": {item: found for (_, item), found in store.count_claims(conn, key).items()},
            "claims": store.list_claims(conn, key, limit=SHOWN),
            "comes": words.coming(conn, row, now, now + AHEAD, zone),
        }

    values = await services.db.read(look)
    if values is None:
        raise NotFound("没有这个计划。")
    return await page(request, "plan.html", active="plans", plan_words=words, **values)


@routes.get(r"/console/plans/{key:[a-z0-9][a-z0-9_-]{0,63}}/edit")
@for_managers
async def edit(request: web.Request) -> web.StreamResponse:
    row = await request.app[SERVICES].db.read(store.find_plan, request.match_info["key"])
    if row is None:
        raise NotFound("没有这个计划。")
    return await _editor(request, row.source, row=row)


async def _editor(
    request: web.Request,
    source: str,
    *,
    row: Any = None,
    problems: list[Problem] | None = None,
    conflict: seen.Changed | None = None,
) -> web.Response:
    mark = seen.mark(row.source) if row is not None else ""
    if problems and row is not None:
        mark = str((await request.post()).get(seen.FIELD, ""))
    return await page(
        request,
        "plan_edit.html",
        active="plans",
        status=conflict.status if conflict else 422 if problems else 200,
        conflict=conflict.text if conflict else "",
        seen=mark,
        source=source,
        row=row,
        problems=problems or [],
    )


@routes.post("/console/plans")
@for_managers
async def save(request: web.Request) -> web.StreamResponse:
    """Publish the text, or say what is wrong with it; the key of a plan stays."""
    services, form = request.app[SERVICES], await request.post()
    source, key = str(form.get("source", "")).replace("\r\n", "\n"), str(form.get("key", ""))
    row = await services.db.read(store.find_plan, key) if key else None
    try:
        read = parse_plan(source)
    except PlaybookErrors as error:
        return await _editor(request, source, row=row, problems=error.problems)
    if row is not None and read.key != row.key:
        words_ = f"编号不能改：原来是 {row.key}，要换编号请新建一个计划"
        return await _editor(request, source, row=row, problems=[Problem(1, words_)])
    if row is None and await services.db.read(store.find_plan, read.key) is not None:
        return await _editor(request, source, problems=[Problem(1, f"已有编号为 {read.key} 的计划，请换一个编号")])

    def publish(conn: Connection) -> None:
        known = store.find_plan(conn, key) if key else None
        if known is not None:
            seen.require_unchanged(form, seen.mark(known.source))
        store.publish(conn, read, by=request[MANAGER].userid, now=services.clock.now())

    try:
        await services.db.write(publish)
    except seen.Changed as error:
        row = await services.db.read(store.find_plan, key)
        return await _editor(request, source, row=row, conflict=error)
    raise web.HTTPSeeOther(f"/console/plans/{read.key}")


@routes.post(r"/console/plans/{key:[a-z0-9][a-z0-9_-]{0,63}}/{act:pause|resume|retire}")
@for_managers
async def set_state(request: web.Request) -> web.StreamResponse:
    services, key = request.app[SERVICES], request.match_info["key"]
    state = STATES[request.match_info["act"]]
    await services.db.write(store.set_state, key, state, by=request[MANAGER].userid, now=services.clock.now())
    raise web.HTTPSeeOther(f"/console/plans/{key}")


@routes.post("/console/plans/days-off")
@for_managers
async def set_day_off(request: web.Request) -> web.StreamResponse:
    """{day, reason} to add a day, {drop} to take one away."""
    services, form = request.app[SERVICES], await request.post()
    if form.get("drop"):
        await services.db.write(store.drop_day_off, _day(str(form["drop"])))
    else:
        day, reason = _day(str(form.get("day", ""))), str(form.get("reason", ""))
        by, now = request[MANAGER].userid, services.clock.now()
        await services.db.write(store.set_day_off, day, reason, by=by, now=now)
    raise web.HTTPSeeOther("/console/plans#days-off")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid("请选择一个日期。") from None
