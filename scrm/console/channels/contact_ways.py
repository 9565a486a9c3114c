"""渠道活码: which codes there are, who receives, how many came; the form that makes and changes them."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console import seen
from scrm.console.door import MANAGER, for_managers, page
from scrm.console.marketing.library import SAMPLES
from scrm.contact_ways import ledger, logo, qr, store, ways, week
from scrm.contact_ways.forms import Draft, read_draft
from scrm.contact_ways.plan import EVERY_DAY, Period, Plan, plan_of
from scrm.contact_ways.registry import check_state
from scrm.content import render as content
from scrm.content.library import lint
from scrm.content.library import store as library
from scrm.errors import Invalid, NotFound, ScrmError
from scrm.profiles.members import member_names
from scrm.services import SERVICES
from web.render import render

routes = web.RouteTableDef()

_STATE = r"[0-9A-Za-z][0-9A-Za-z_\-]{0,29}"
STATE = f"{{state:{_STATE}}}"
KINDS = ("直播", "投放", "包裹卡", "门店", "私信", "老带新")
DAYS = week.DAYS
CREWS = {"": "", "shift": "按排班", "over_cap": "有人已满", "backup": "备用员工"}


@routes.get("/console/contact-ways")
@for_managers
async def contact_ways(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    now, zone = services.clock.now(), services.settings.shop.zone

    def look(conn: Connection) -> dict[str, Any]:
        rows = store.list_contact_ways(conn)
        channels = store.list_channels_of_links(conn)
        figures = ledger.figures(conn, now, zone)
        known = {row.state for row in (*rows, *channels)}
        return {
            "rows": rows,
            "receivers": {row.state: row.live.get("user") or row.userids for row in rows},
            "figures": figures,
            "nobody": ledger.Figures(),
            "without": figures.get("", ledger.Figures()),
            "unknown": {state: each for state, each in figures.items() if state and state not in known},
            "names": member_names(conn, {userid for row in rows for userid in _everybody(row)}),
        }

    return await page(request, "contact_ways.html", active="contact_ways", **await services.db.read(look))


def _everybody(row: Any) -> set[str]:
    plan = plan_of(row.plan)
    return {
        *row.userids,
        *row.live.get("user", ()),
        *plan.backup,
        *(userid for shift in plan.shifts for userid in shift.userids),
    }


@routes.get("/console/contact-ways/new")
@for_managers
async def new_way(request: web.Request) -> web.StreamResponse:
    return await _form(request, Draft("", "", (), True, Plan()))


@routes.post("/console/contact-ways/new")
@for_managers
async def make_way(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    draft = read_draft(form)  # type: ignore[arg-type]
    state = str(form.get("state", "")).strip()

    def make(conn: Connection) -> str:
        if state:
            check_state(state)
        return ways.make(conn, **_kept(draft), state=state, now=services.clock.now())

    try:
        made = await services.db.write(make)
    except ScrmError as error:
        return await _form(request, draft, problem=error.text, state=state, status=error.status)
    raise web.HTTPSeeOther(f"/console/contact-ways/{made}")


def _kept(draft: Draft) -> dict[str, Any]:
    return {
        "title": draft.title,
        "kind": draft.kind,
        "userids": draft.userids,
        "skip_verify": draft.skip_verify,
        "plan": draft.plan,
    }


async def _form(
    request: web.Request, draft: Draft, *, problem: str = "", state: str = "", status: int = 200
) -> web.StreamResponse:
    members, departments = await request.app[SERVICES].db.read(_offered)
    return await page(
        request,
        "contact_way_form.html",
        active="contact_ways",
        status=status,
        draft=draft,
        row=None,
        state=state,
        problem=problem,
        **_choices(members, departments, draft),
    )


def _offered(conn: Connection) -> tuple[list[Any], dict[int, str]]:
    return store.list_receivers(conn), store.list_departments(conn)


def _choices(members: list[Any], departments: dict[int, str], draft: Draft) -> dict[str, Any]:
    """What the form offers; members it knows nothing of (left, out of range) stay chosen until somebody unticks."""
    offered = {row.userid: row.name or row.userid for row in members}
    plan = draft.plan
    chosen = {*draft.userids, *plan.backup, *plan.caps, *(one for each in plan.shifts for one in each.userids)}
    folded = {userid.lower() for userid in offered}
    offered |= {userid: userid for userid in sorted(chosen) if userid.lower() not in folded}
    parties = {*plan.party, *(number for each in plan.shifts for number in each.party)}
    named = {number: name or f"部门 {number}" for number, name in departments.items()}
    named |= {number: f"部门 {number}" for number in sorted(parties) if number not in named}
    return {
        "members": offered,
        "departments": named,
        "kinds": KINDS,
        "days": list(enumerate(DAYS)),
        "sides": qr.SIDES,
        "every_day": EVERY_DAY,
    }


@routes.post("/console/contact-ways/new/week")
@for_managers
async def show_week(request: web.Request) -> web.StreamResponse:
    """What the form comes to while it is written: the week of who receives, and each welcome on a phone."""
    services, form = request.app[SERVICES], await request.post()
    try:
        draft = read_draft(form)  # type: ignore[arg-type]
    except Invalid as error:
        return render(request, "console/contact_way_week.html", problem=error.text)
    said = await services.db.read(_said, draft.plan, services.settings.shop.name)
    return render(
        request,
        "console/contact_way_week.html",
        problem="",
        draft=draft,
        said=said,
        days=DAYS,
        minutes=week.DAY,
        shifts=_week(draft.plan.shifts),
        welcomes=_week(draft.plan.welcomes),
    )


def _week(periods: Sequence[Period]) -> dict[str, Any]:
    stretches = week.week_of(periods)
    return {
        "stretches": stretches if periods else [],
        "gaps": week.told(week.gaps(stretches)),
        "overlaps": week.told(week.overlaps(stretches)),
    }


def _said(conn: Connection, plan: Plan, shop: str) -> list[dict[str, Any]]:
    """Each welcome with its hours, as a customer reads it, and what is wrong with it."""
    words = library.read_words(conn)
    texts = [
        (plan.welcome, "其余时间" if plan.welcomes else "全天"),
        *((each.text, _hours(each)) for each in plan.welcomes),
    ]
    said = []
    for text, hours in texts:
        if not text:
            continue
        problems = [lint.Found(problem, True) for problem in content.check(text)]
        shown = text if problems else content.render(text, _sample(text, shop))
        found = [*problems, *lint.find([text], words)]
        said.append({"hours": hours, "pieces": lint.pieces(shown, found), "found": found})
    return said


def _sample(text: str, shop: str) -> dict[str, str]:
    """Something for each variable, so that a preview never lacks one."""
    others = {key: f"【{content.title_of(key)}】" for key in content.variables_of(text)}
    return {**others, **SAMPLES, "shop": shop}


def _hours(period: Period) -> str:
    days = "" if len(period.days) == len(EVERY_DAY) else "周" + "、".join(DAYS[day] for day in period.days) + " "
    return f"{days}{period.start}–{period.end}"


@routes.get(f"/console/contact-ways/{STATE}")
@for_managers
async def contact_way(request: web.Request) -> web.StreamResponse:
    return await _show(request)


async def _show(
    request: web.Request,
    draft: Draft | None = None,
    form: Mapping[str, Any] | None = None,
    *,
    problem: ScrmError | None = None,
) -> web.StreamResponse:
    services, state = request.app[SERVICES], request.match_info["state"]
    now, zone = services.clock.now(), services.settings.shop.zone

    def look(conn: Connection) -> dict[str, Any]:
        row = _find(conn, state)
        by_member = ledger.count_by_member(conn, state, ledger.day_start(now, zone))
        return {
            "row": row,
            "offered": _offered(conn),
            "figures": ledger.figures(conn, now, zone, state=state).get(state, ledger.Figures()),
            "series": ledger.days(conn, state, now, zone),
            "today": by_member,
            "names": member_names(conn, {*_everybody(row), *by_member}),
            "logo": store.find_logo(conn),
        }

    found = await services.db.read(look)
    row = found["row"]
    members, departments = found.pop("offered")
    draft = draft or _draft_of(row)
    return await page(
        request,
        "contact_way_form.html",
        active="contact_ways",
        status=problem.status if problem else 200,
        draft=draft,
        state=state,
        problem=problem.text if problem else "",
        seen=seen.mark_again(form or {}, _mark(row), problem) if problem else _mark(row),
        saved="saved" in request.query,
        most_megabytes=logo.MOST_MEGABYTES,
        most=max((day.adds for day in found["series"]), default=0),
        **_choices(members, departments, draft),
        **found,
    )


def _draft_of(row: Any) -> Draft:
    return Draft(row.title, row.kind, tuple(row.userids), row.skip_verify, plan_of(row.plan))


def _mark(row: Any) -> str:
    return seen.mark(_draft_of(row))


def _find(conn: Connection, state: str) -> Any:
    row = store.find_contact_way(conn, state)
    if row is None or row.deleted_at is not None or row.link_id:
        raise NotFound("没有这个渠道活码，或者它已经被删除")
    return row


@routes.post(f"/console/contact-ways/{STATE}")
@for_managers
async def change_way(request: web.Request) -> web.StreamResponse:
    services, state, form = request.app[SERVICES], request.match_info["state"], await request.post()
    await services.db.read(_find, state)
    draft = read_draft(form)  # type: ignore[arg-type]

    def change(conn: Connection) -> None:
        seen.require_unchanged(form, _mark(_find(conn, state)))
        ways.change(conn, state, **_kept(draft), now=services.clock.now())

    try:
        await services.db.write(change)
    except ScrmError as error:
        return await _show(request, draft, form, problem=error)
    raise web.HTTPSeeOther(f"/console/contact-ways/{state}?saved")


@routes.post(f"/console/contact-ways/{STATE}/delete")
@for_managers
async def delete_way(request: web.Request) -> web.StreamResponse:
    services, state = request.app[SERVICES], request.match_info["state"]
    await services.db.write(ways.end, state, now=services.clock.now())
    raise web.HTTPSeeOther("/console/contact-ways")


@routes.get(f"/console/contact-ways/{STATE}/qr.{{kind:svg|png}}")
@for_managers
async def own_qr(request: web.Request) -> web.StreamResponse:
    """Our own picture for print; it leads to /w/{state}, where WeCom's is pressed."""
    services, state = request.app[SERVICES], request.match_info["state"]
    row = await services.db.read(_find, state)
    settings = services.settings
    text = f"{settings.server.public_url.rstrip('/')}/w/{state}"
    kind = request.match_info["kind"]
    shop = settings.shop
    cm = next((side for side in qr.SIDES if str(side) == request.query.get("cm")), 0)
    drawn = {"logo": await logo.find(services), "letter": shop.name[:1], "title": row.title, "cm": cm}
    body = await asyncio.to_thread(qr.picture, text, kind, **drawn)
    headers: Mapping[str, str] = {
        "Content-Disposition": f'inline; filename="{state}.{kind}"',
        "Cache-Control": "no-cache",
    }
    return web.Response(body=body, content_type="image/png" if kind == "png" else "image/svg+xml", headers=headers)


@routes.put("/console/contact-ways/new/logo")
@for_managers
async def set_logo(request: web.Request) -> web.StreamResponse:
    """The picture in the middle of all our own codes; the file is the body, its name in the query."""
    content = bytearray()
    async for piece in request.content.iter_chunked(256 * 1024):
        content += piece
        if len(content) > logo.MOST_BYTES:
            break
    await logo.keep(request.app[SERVICES], request.query.get("name", ""), bytes(content), by=request[MANAGER].userid)
    return web.json_response({})


@routes.post("/console/contact-ways/new/logo/remove")
@for_managers
async def remove_logo(request: web.Request) -> web.StreamResponse:
    state = str((await request.post()).get("state", ""))
    await request.app[SERVICES].db.write(store.drop_logo)
    raise web.HTTPSeeOther(f"/console/contact-ways/{state}" if re.fullmatch(_STATE, state) else "/console/contact-ways")
