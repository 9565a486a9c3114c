"""剧本: what is published, what each step does and did, and stopping the way in."""

from collections.abc import Iterable
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console import reading, store
from scrm.console.door import for_managers, page
from scrm.errors import Conflict, NotFound
from scrm.reports.playbooks import compute_figures, count_runs
from scrm.services import SERVICES, Services
from scrm.sop.shelf import playbooks_of

routes = web.RouteTableDef()


@routes.get("/console/playbooks")
@for_managers
async def playbooks(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]

    def look(conn: Connection) -> dict[str, Any]:
        return {"rows": store.list_playbooks(conn), "runs": count_runs(conn)}

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
        **values,
    )


@routes.get("/console/playbooks/{key}")
@for_managers
async def playbook(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    key = request.match_info["key"]
    row = await services.db.read(store.find_playbook, key)
    if row is None:
        raise NotFound(f"没有编号为 {key[:64]} 的剧本")
    figures = await services.db.read(compute_figures, key)
    read = playbooks_of(services).version(row.key, row.version)
    return await page(
        request,
        "playbook.html",
        active="playbooks",
        row=row,
        playbook=read,
        figures=figures,
        reading=reading,
        steps=reading.list_steps(read, figures) if read is not None else [],
    )


@routes.post("/console/playbooks/{key}/pause")
@for_managers
async def pause(request: web.Request) -> web.StreamResponse:
    return await _set_state(request, "paused", before="published", refusal="这个剧本不在运行中，不用暂停")


@routes.delete("/console/playbooks/{key}/pause")
@for_managers
async def resume(request: web.Request) -> web.StreamResponse:
    return await _set_state(request, "published", before="paused", refusal="这个剧本没有暂停，不用恢复")


async def _set_state(request: web.Request, state: str, *, before: str, refusal: str) -> web.StreamResponse:
    services = request.app[SERVICES]
    key = request.match_info["key"]
    now = services.clock.now()
    is_changed = await services.db.write(store.set_playbook_state, key, state, before=before, now=now)
    if not is_changed and not request.headers.get("HX-Request"):
        raise Conflict(refusal)
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
