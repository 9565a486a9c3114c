"""谁在等什么: the people before one part of a playbook, when they go on and what holds them; stopped or moved on by hand."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.access.scope import require_person
from scrm.console.door import MANAGER, for_managers, page, scope_of
from scrm.errors import Conflict, NotFound
from scrm.profiles.conditions.tree import EVENTS
from scrm.profiles.members import member_names
from scrm.profiles.store import names_of
from scrm.services import SERVICES, Services
from scrm.sop import run_acts, store
from scrm.sop.life import store as lifecycle_store
from scrm.sop.reasons import waiting
from scrm.sop.run_acts import Done
from scrm.sop.schema import Step
from scrm.sop.shelf import find_version, house_of, playbooks_of
from web.render import render

routes = web.RouteTableDef()

_OF = "/console/playbooks/{key:[a-z0-9][a-z0-9_-]{0,63}}"
_RUN = _OF + r"/runs/{run_id:\d{1,18}}"
PAGE = 50
# The tabs: 在等, 已暂停, 排队.
TABS = {"active": "在等", "paused": "已暂停", "queued": "排队"}


@dataclass(frozen=True, slots=True)
class Line:
    """One run as the list shows it; `step_id` is the step that may be left out, `act` what can be taken back."""

    run: Row[Any]
    where: str
    at: datetime | None
    held: str
    step_id: str = ""
    act: Row[Any] | None = None


@routes.get(f"{_OF}/waiting")
@for_managers
async def show(request: web.Request) -> web.StreamResponse:
    """`step` names a part (none: all of them), `state` the tab, `after` the last run already seen."""
    services, key, place = request.app[SERVICES], request.match_info["key"], request.query.get("step", "")[:64]
    state = request.query.get("state", "active")
    state = state if state in TABS else "active"
    after = request.query.get("after", "")
    after_id = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0

    def look(conn: Connection) -> dict[str, Any]:
        row = lifecycle_store.find_playbook(conn, key)
        if row is None:
            raise NotFound(f"没有编号为 {key} 的剧本")
        published = playbooks_of(services)
        newest = find_version(conn, published, key, row.version)
        living = waiting.find_living(conn, newest, published) if newest is not None else waiting.Living()
        scope = scope_of(request)
        found = waiting.list_waiting(
            conn, published, key, state=state, place=place, after=after_id, limit=PAGE, scope=scope
        )
        title = waiting.title_of(newest, place) if newest is not None and place else ""
        return {
            "row": row,
            "found": found,
            "living": living,
            "place_title": title or next((each.title for each in living.places if each.step_id == place), place),
            **_told(conn, services, found.runs),
        }

    values = await services.db.read(look)
    return await page(
        request, "playbook_waiting.html", active="playbooks", key=key, place=place, state=state, tabs=TABS, **values
    )


def _told(conn: Connection, services: Services, runs: Iterable[Row[Any]]) -> dict[str, Any]:
    listed, now = list(runs), services.clock.now()
    ahead = waiting.find_ahead(conn, [run for run in listed if run.state == "queued"])
    acts = run_acts.list_acts(conn, [run.id for run in listed], now)
    return {
        "lines": [_line(conn, services, run, ahead.get(run.id), acts.get(run.id)) for run in listed],
        "names": names_of(conn, {run.person_id for run in listed}),
        "members": member_names(conn, {run.userid for run in listed}),
    }


def _line(conn: Connection, services: Services, run: Row[Any], ahead: Row[Any] | None, act: Row[Any] | None) -> Line:
    published = playbooks_of(services)
    playbook = find_version(conn, published, run.playbook_key, run.version)
    where = waiting.title_of(playbook, waiting.place_at(playbook, run.step)) if playbook is not None else ""
    held = run.held_reason
    if run.state == "paused":
        held = run.ended_reason or run.held_reason
    elif run.state == "queued":
        held = waiting.why_queued(conn, published, run, ahead)
    elif run.awaits and not held:
        held = f"等客户“{EVENTS.get(run.awaits, run.awaits)}”，最迟到这时"
    elif run.state not in TABS:
        held = run.ended_reason
    node = playbook.node(run.step) if playbook is not None else None
    may_skip = run.state == "active" and isinstance(node, Step)
    return Line(run, where, run.due_at, held, node.id if may_skip and isinstance(node, Step) else "", act)


# By hand ----------------------------------------------------------------------------------------------------------------


@routes.post(f"{_RUN}/stop")
@for_managers
async def stop(request: web.Request) -> web.StreamResponse:
    """End this customer's run."""
    return await _act(request, run_acts.stop)


@routes.post(f"{_RUN}/skip")
@for_managers
async def skip(request: web.Request) -> web.StreamResponse:
    """Leave out `step`, which stands next."""
    services, form = request.app[SERVICES], await request.post()
    step_id = str(form.get("step", ""))[:64]

    def leave_out(conn: Connection, run_id: int, by: str, name: str, *, now: datetime) -> Done:
        published, house = playbooks_of(services), house_of(services)
        return run_acts.skip(conn, published, house, run_id, step_id, by, name, now=now)

    return await _act(request, leave_out)


@routes.post(f"{_RUN}/undo")
@for_managers
async def undo(request: web.Request) -> web.StreamResponse:
    """Take back what was done last with this customer's run."""

    def take_back(conn: Connection, run_id: int, by: str, name: str, *, now: datetime) -> None:
        act = run_acts.list_acts(conn, [run_id], now).get(run_id)
        if act is None:
            raise Conflict("没有可以撤销的操作：只能在 10 分钟内撤销")
        run_acts.undo(conn, act.id, now=now)

    return await _act(request, take_back)


async def _act(request: web.Request, act: Callable[..., Done | None]) -> web.StreamResponse:
    """Do it for a customer within the reader's reach; the row comes back, with what went wrong in it."""
    services, run_id, member = request.app[SERVICES], int(request.match_info["run_id"]), request[MANAGER]
    now, problem, done = services.clock.now(), "", None

    def write(conn: Connection) -> Done | None:
        _require(conn, request, run_id)
        return act(conn, run_id, member.userid, member.name or member.userid, now=now)

    try:
        done = await services.db.write(write)
    except Conflict as error:
        problem = error.text

    def look(conn: Connection) -> dict[str, Any]:
        return _told(conn, services, [_require(conn, request, run_id)])

    values = await services.db.read(look)
    return render(
        request,
        "console/playbook_waiting_row.html",
        key=request.match_info["key"],
        line=values["lines"][0],
        problem=problem,
        done=done,
        is_answer=True,
        member=member,
        now=now,
        names=values["names"],
        members=values["members"],
    )


def _require(conn: Connection, request: web.Request, run_id: int) -> Row[Any]:
    run = store.find_run(conn, run_id)
    if run is None or run.playbook_key != request.match_info["key"]:
        raise NotFound("没有这次运行的记录，请刷新名单")
    require_person(conn, scope_of(request), run.person_id)
    return run
