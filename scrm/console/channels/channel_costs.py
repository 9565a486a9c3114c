"""成交与成本 of one channel: what it brought, what somebody says it cost, and what came back for it."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.channels.contact_ways import STATE
from scrm.console.door import MANAGER, for_managers, page, scope_of
from scrm.console.numbers.reports import read_or_usual, show, show_change
from scrm.contact_ways.store import find_contact_way
from scrm.errors import Forbidden, Invalid, NotFound
from scrm.reports import boards, costs
from scrm.reports.period import COMPARISONS, SPANS
from scrm.reports.whose import Choices
from scrm.services import SERVICES

routes = web.RouteTableDef()

ADDRESS = f"/console/contact-ways/{STATE}/costs"


@routes.get(ADDRESS)
@for_managers
async def channel_costs(request: web.Request) -> web.StreamResponse:
    return await _show(request)


async def _show(request: web.Request, *, problem: str = "", form: Any = None) -> web.StreamResponse:
    services, state, chosen = request.app[SERVICES], request.match_info["state"], read_or_usual(request)
    now = services.clock.now()

    def look(conn: Connection) -> dict[str, Any]:
        way = find_contact_way(conn, state)
        if way is None:
            raise NotFound("没有这个渠道，或者它已经被删除")
        return {
            "way": way,
            "figures": boards.load_channel(conn, state, chosen.asked, chosen.whose, now),
            "costs": costs.list_of(conn, state) if scope_of(request).is_whole else [],
        }

    return await page(
        request,
        "channel_costs.html",
        active="contact_ways",
        status=400 if problem else 200,
        state=state,
        chosen=chosen,
        asked=chosen.asked,
        spans=SPANS,
        comparisons=COMPARISONS,
        choices=Choices((), ()),
        show=show,
        show_change=show_change,
        problem=problem,
        form=form or {},
        done=request.query.get("done", ""),
        today=now.astimezone(services.settings.shop.zone).date(),
        may_edit=request[MANAGER].may("contact_ways", "edit") and scope_of(request).is_whole,
        **await services.db.read(look),
    )


@routes.post(ADDRESS)
@for_managers
async def add_cost(request: web.Request) -> web.StreamResponse:
    services, state, form = request.app[SERVICES], request.match_info["state"], await request.post()
    _require_whole(request)
    now, by = services.clock.now(), request[MANAGER].userid
    try:
        spent = costs.read_spent(form, now.astimezone(services.settings.shop.zone).date())
    except Invalid as error:
        return await _show(request, problem=error.text, form=form)

    def write(conn: Connection) -> None:
        if find_contact_way(conn, state) is None:
            raise NotFound("没有这个渠道，或者它已经被删除")
        costs.add(conn, state, spent, by=by, now=now)

    await services.db.write(write)
    raise web.HTTPSeeOther(f"/console/contact-ways/{state}/costs?done=added")


@routes.post(ADDRESS + r"/{id:\d{1,18}}/delete")
@for_managers
async def remove_cost(request: web.Request) -> web.StreamResponse:
    services, state = request.app[SERVICES], request.match_info["state"]
    _require_whole(request)
    gone = await services.db.write(costs.remove, state, int(request.match_info["id"]))
    # What was taken away stands in the form again: one tap puts it back.
    form = {"first": gone.first, "last": gone.last, "amount": f"{gone.cost_fen / 100:.2f}", "note": gone.note}
    return await _show(request, form={**form, "undo": True})


def _require_whole(request: web.Request) -> None:
    if not scope_of(request).is_whole:
        raise Forbidden("成本属于整个渠道，你的角色只能查看一部分客户，不能修改。需要修改请联系管理员")
