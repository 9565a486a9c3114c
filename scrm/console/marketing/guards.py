"""勿扰与频控: the house's guards as data, the stop list, and who refuses what."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, func, or_, select, text

from scrm.access.modules import APPROVE
from scrm.console import seen
from scrm.console.door import MANAGER, for_managers, page
from scrm.db.json_text import json_text
from scrm.errors import Invalid, NotFound, ScrmError
from scrm.privacy.optout import FLAGS
from scrm.profiles import stop_list
from scrm.profiles.models import external_contact, person
from scrm.profiles.redirects import follow
from scrm.services import SERVICES
from scrm.sop.guards import house as houses
from scrm.sop.guards.answers import House, words

routes = web.RouteTableDef()

SHOWN = 200


@routes.get("/console/guards")
@for_managers
async def guards(request: web.Request) -> web.StreamResponse:
    return await _show(request)


@routes.post("/console/guards")
@for_managers
async def save(request: web.Request) -> web.StreamResponse:
    """Every value is in the form; with `reset` the settings hold again."""
    services, form = request.app[SERVICES], await request.post()

    def write(conn: Connection) -> None:
        values = {} if "reset" in form else houses.read_form(_texts(form))
        seen.require_unchanged(form, seen.mark(houses.find_change(conn)))
        houses.save(conn, values, by=request[MANAGER].userid, now=services.clock.now())

    try:
        await services.db.write(write)
    except ScrmError as problem:
        return await _show(request, problem=problem, said=_texts(form))
    await houses.refresh(services)
    raise web.HTTPSeeOther("/console/guards")


@routes.post("/console/guards/stop")
@for_managers
async def stop(request: web.Request) -> web.StreamResponse:
    """{who, kind, note}: who is a customer's number, external_userid or name."""
    services, form = request.app[SERVICES], _texts(await request.post())

    def write(conn: Connection) -> None:
        person_id = _find_person(conn, form.get("who", "").strip())
        by, now = request[MANAGER].userid, services.clock.now()
        stop_list.add_to_stop_list(conn, person_id, form.get("kind", ""), note=form.get("note", ""), by=by, now=now)

    try:
        await services.db.write(write)
    except ScrmError as problem:
        return await _show(request, problem=problem)
    raise web.HTTPSeeOther("/console/guards#stop")


@routes.post(r"/console/guards/stop/{person_id:\d{1,18}}/delete")
@for_managers
async def allow(request: web.Request) -> web.StreamResponse:
    await request.app[SERVICES].db.write(stop_list.remove_from_stop_list, int(request.match_info["person_id"]))
    raise web.HTTPSeeOther("/console/guards#stop")


def _texts(form: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value)[:500] for name, value in form.items()}


def _find_person(conn: Connection, text: str) -> int:
    """Raises Invalid when nobody or several are meant."""
    if not text:
        raise Invalid("请填客户的编号、external_userid 或昵称")
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return follow(conn, int(text))
    named = or_(external_contact.c.external_userid == text, external_contact.c.name == text)
    found = conn.scalars(select(external_contact.c.person_id).where(named).distinct().limit(2)).all()
    if not found:
        raise NotFound(f"没有找到“{text[:40]}”：请从客户列表复制编号或 external_userid")
    if len(found) > 1:
        raise Invalid(f"有几位客户都叫“{text[:40]}”，请改填编号或 external_userid")
    return int(found[0])


async def _show(
    request: web.Request, *, problem: ScrmError | None = None, said: Mapping[str, str] | None = None
) -> web.StreamResponse:
    services = request.app[SERVICES]

    def look(conn: Connection) -> dict[str, Any]:
        return {
            "values": houses.load(conn),
            "change": houses.find_change(conn),
            "stopped": stop_list.list_stopped(conn, limit=SHOWN),
            "refusing": _list_refusing(conn),
        }

    found = await services.db.read(look)
    house = houses.apply(houses.house_from(services.settings), found.pop("values"))
    mark = seen.mark(found["change"])
    return await page(
        request,
        "guards.html",
        active="guards",
        status=problem.status if problem else 200,
        problem=problem.text if problem else "",
        seen=seen.mark_again(said, mark, problem) if problem and said else mark,
        form=said or form_of(house),
        kinds=stop_list.KINDS,
        flags=FLAGS,
        may_change=request[MANAGER].may("guards", APPROVE),
        adding=request.query.get("add", "")[:64],
        **found,
    )


def form_of(house: House) -> dict[str, str]:
    """The house as the form shows it; what does not limit is empty. Pure."""
    gap = house.caps.gap
    return {
        "quiet": words(house.quiet).replace("–", "-") if house.quiet else "",
        "gap_hours": str(max(1, round(gap.total_seconds() / 3600))) if gap else "",
        "per_week": str(house.caps.per_week or ""),
        "per_month": str(house.caps.per_month or ""),
        "after_sale_days": str(house.after_sale.days),
        "talk_hours": str(round(house.talk.total_seconds() / 3600)),
        "tasks_per_day": str(house.tasks_per_day or ""),
        "holdout_percent": str(round(house.holdout * 100)),
        "stop_tags": "、".join(sorted(house.stop_tags)),
        "promotions": "、".join(f"{each.first} 到 {each.last}" for each in house.promotions),
    }


def _list_refusing(conn: Connection) -> list[tuple[Any, list[str]]]:
    """Persons with a refusal, the newest first, each with its words."""
    raised = or_(*(json_text(person.c.optout, flag) == "true" for flag in FLAGS))
    name = select(func.max(external_contact.c.name)).where(external_contact.c.person_id == person.c.id)
    called = func.coalesce(func.nullif(person.c.name, ""), name.scalar_subquery(), "").label("called")
    # The index knows those who ever refused something; the flags say who still does.
    ever = text("person.optout <> '{}'")
    rows = conn.execute(
        select(person.c.id, person.c.optout, called).where(ever, raised).order_by(person.c.id.desc()).limit(SHOWN)
    )
    return [(row, [title for flag, title in FLAGS.items() if row.optout.get(flag)]) for row in rows]
