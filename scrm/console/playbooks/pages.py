"""剧本: what is published, what each step does and achieved, who waits where, and why somebody is in it or not."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.access.scope import require_person
from scrm.console import store
from scrm.console.door import MANAGER, before_of, for_managers, page, scope_of
from scrm.console.playbooks import in_words as reading
from scrm.errors import Conflict, Forbidden, NotFound, ScrmError
from scrm.profiles.members import member_names
from scrm.profiles.store import names_of
from scrm.reports.playbooks import count_runs
from scrm.services import SERVICES, Services
from scrm.sop.life import lifecycle
from scrm.sop.life import store as lifecycle_store
from scrm.sop.life.published import By
from scrm.sop.reasons import explain_cli, why
from scrm.sop.reasons.waiting import find_living
from scrm.sop.results import figures as results
from scrm.sop.results import tally
from scrm.sop.shelf import house_of, playbooks_of

routes = web.RouteTableDef()

SPANS = (7, 30, 90)
PAGE = 50
# What people can be listed by: the counts of scrm.sop.results.tally, in the console's words.
COUNTS = {
    "targeted": "到这一步",
    "released": "已放出",
    "delivered": "已送达",
    "waiting": "待员工确认",
    "skipped": "已跳过",
    "expired": "已过期",
    "withdrawn": "已撤回",
    "left_out": "条件不符",
    "missed": "错过时机",
    "failed": "失败",
    "failed_before": "没有放出就失败",
    "unknown": "结果未知",
}


@routes.get("/console/playbooks")
@for_managers
async def playbooks(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]

    def look(conn: Connection) -> dict[str, Any]:
        return {
            "rows": store.list_playbooks(conn),
            "runs": count_runs(conn),
            "drafts": lifecycle_store.list_drafts(conn),
        }

    values = await services.db.read(look)
    published = playbooks_of(services)
    read = {row.key: published.version(row.key, row.version) for row in values["rows"]}
    return await page(
        request,
        "playbooks.html",
        active="playbooks",
        read=read,
        reading=reading,
        directory=services.settings.playbooks.dir,
        titles={row.key: row.title for row in values["rows"]},
        **values,
    )


@routes.get("/console/playbooks/{key}")
@for_managers
async def playbook(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    row = await _find(request)
    read = playbooks_of(services).version(row.key, row.version)
    values: dict[str, Any] = {"steps": [], "results": None, "living": None}
    if read is not None:
        now, zone = services.clock.now(), services.settings.shop.zone
        until = now.astimezone(zone).date()
        since = until - timedelta(days=_span(request) - 1)

        def look(conn: Connection) -> dict[str, Any]:
            found = results.load(conn, read, since=since, until=until, zone=zone, now=now)
            return {"results": found, "living": find_living(conn, read, playbooks_of(services))}

        values |= await services.db.read(look)
        values["steps"] = reading.list_steps(read, {step.step_id: step.figures for step in values["results"].steps})
    return await page(
        request,
        "playbook.html",
        active="playbooks",
        row=row,
        playbook=read,
        reading=reading,
        span=_span(request),
        spans=SPANS,
        by_hand=tally.BY_HAND,
        **values,
    )


@routes.get("/console/playbooks/{key}/people")
@for_managers
async def people(request: web.Request) -> web.StreamResponse:
    """Those behind a number: `step`, `what` (a count's name), `userid`."""
    services, row = request.app[SERVICES], await _find(request)
    step_id, what, userid = (request.query.get(name, "")[:64] for name in ("step", "what", "userid"))
    read = playbooks_of(services).version(row.key, row.version)
    step = read.step(step_id) if read is not None else None
    if step is None or what not in COUNTS:
        raise NotFound("没有这个数字的名单，请从剧本页面重新点进来")

    def look(conn: Connection) -> dict[str, Any]:
        found = results.list_people(
            conn,
            row.key,
            step_id=step_id,
            what=what,
            userid=userid,
            before=before_of(request),
            limit=PAGE + 1,
            scope=scope_of(request),
        )
        return {
            "found": found,
            "names": names_of(conn, {each.person_id for each in found}),
            "members": member_names(conn, {each.userid for each in found} | {userid}),
        }

    values = await services.db.read(look)
    found = values.pop("found")
    return await page(
        request,
        "playbook_people.html",
        active="playbooks",
        row=row,
        step=step,
        count=COUNTS[what],
        userid=userid,
        found=found[:PAGE],
        outcome_of=tally.outcome_of,
        counts=COUNTS,
        before=found[PAGE - 1].id if len(found) > PAGE else None,
        query=f"step={step_id}&what={what}&userid={userid}",
        **values,
    )


@routes.get("/console/why")
@for_managers
async def tell_why(request: web.Request) -> web.StreamResponse:
    """`person` (an id, external_userid, remark or name) and `playbook` (its key): everything that is known.

    Or `send`, the id of a line of the ledger: the step, the run and the event that stand behind it.
    """
    services = request.app[SERVICES]
    if request.query.get("send"):
        return await _tell_send(request)
    named, key = request.query.get("person", "").strip()[:64], request.query.get("playbook", "")[:64]
    now, house, published = services.clock.now(), house_of(services), playbooks_of(services)

    def look(conn: Connection) -> dict[str, Any]:
        listed = store.list_playbooks(conn)
        if not named or not key:
            return {"listed": listed, "story": None, "problem": ""}
        try:
            person_id = explain_cli.find_person(conn, named)
            require_person(conn, scope_of(request), person_id)
            story = why.tell(conn, person_id, key, published, house, now)
        except ScrmError as error:
            return {"listed": listed, "story": None, "problem": error.text}
        called = names_of(conn, {person_id}).get(person_id)
        members = member_names(conn, {run.userid for run in story.runs})
        return {"listed": listed, "story": story, "problem": "", "called": called, "members": members}

    values = await services.db.read(look)
    return await page(request, "playbook_why.html", active="playbooks", named=named, key=key, reading=reading, **values)


async def _tell_send(request: web.Request) -> web.StreamResponse:
    services, asked = request.app[SERVICES], request.query["send"]
    if not (asked.isascii() and asked.isdigit() and len(asked) < 19):
        raise NotFound("没有这条发送记录")
    published, house = playbooks_of(services), house_of(services)

    def look(conn: Connection) -> dict[str, Any]:
        told = why.tell_send(conn, int(asked), published, house)
        if told.run is None:
            _require_whole(request)
            return {"told": told}
        require_person(conn, scope_of(request), told.run.person_id)
        called = names_of(conn, {told.run.person_id}).get(told.run.person_id, "未知昵称")
        return {"told": told, "called": called, "members": member_names(conn, [told.run.userid])}

    return await page(request, "playbook_why_send.html", active="sends", **await services.db.read(look))


def _require_whole(request: web.Request) -> None:
    """What belongs to no run names nobody whom a smaller reach could be asked about."""
    if not scope_of(request).is_whole:
        raise Forbidden("这条发送不属于剧本的某次运行，需要“全部客户”的数据范围才能查看")


@routes.post("/console/playbooks/{key}/pause")
@for_managers
async def pause(request: web.Request) -> web.StreamResponse:
    return await _turn(request, partial(lifecycle.pause, hold=False))


@routes.delete("/console/playbooks/{key}/pause")
@for_managers
async def resume(request: web.Request) -> web.StreamResponse:
    return await _turn(request, lifecycle.resume)


async def _find(request: web.Request) -> Row[Any]:
    key = request.match_info["key"]
    row = await request.app[SERVICES].db.read(store.find_playbook, key)
    if row is None:
        raise NotFound(f"没有编号为 {key[:64]} 的剧本")
    return row


def _span(request: web.Request) -> int:
    """How many days, today among them."""
    asked = request.query.get("days", "")
    return int(asked) if asked in map(str, SPANS) else 30


async def _turn(request: web.Request, act: Callable[..., None]) -> web.StreamResponse:
    services = request.app[SERVICES]
    key, by = request.match_info["key"], By(request[MANAGER].userid, "console")
    try:
        await services.db.write(partial(act, now=services.clock.now()), key, by)
    except Conflict:
        # Twice the same button: the page shows how it is.
        if not request.headers.get("HX-Request"):
            raise
    # Other processes look within seconds; this one at once, so that the page is true.
    await services.db.read(playbooks_of(services).refresh)
    if request.headers.get("HX-Request"):
        return web.Response(status=204, headers={"HX-Refresh": "true"})
    raise web.HTTPSeeOther(f"/console/playbooks/{key}")


def step_titles(services: Services, runs: Iterable[store.Run]) -> dict[int, list[tuple[str, str]]]:
    """By run: (id, title) of the steps of the version it began with."""
    published = playbooks_of(services)
    titles = {}
    for run in runs:
        version = published.version(run.row.playbook_key, run.row.version)
        titles[run.row.id] = [(step.id, step.title or step.id) for step in version.steps] if version else []
    return titles
