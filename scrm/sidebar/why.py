"""Why a task is there: what happened that began its playbook, and what was found then."""

from dataclasses import dataclass
from datetime import datetime

from aiohttp import web
from sqlalchemy import Connection

from scrm.errors import NotFound
from scrm.profiles.store import access_contact
from scrm.services import SERVICES
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sop.members.task_store import find_task
from scrm.sop.reasons.explain import Cause, Leaf, find_cause, find_entry
from scrm.sop.store import find_run
from web.texts import _

routes = web.RouteTableDef()


@dataclass(frozen=True, slots=True)
class Why:
    """`cause` and `leaves` are only there as long as they are kept; without a run nothing but the step is known."""

    playbook_title: str
    due_at: datetime
    entered_at: datetime | None
    cause: Cause | None
    leaves: tuple[Leaf, ...]


@routes.get(r"/sidebar/contacts/{external_userid}/tasks/{task_id:\d{1,18}}/why")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """What the sheet of a task says."""
    visit, task_id = visit_of(request), int(request.match_info["task_id"])
    return page(request, "why.html", why=await request.app[SERVICES].db.read(_load, visit, task_id))


def _load(conn: Connection, visit: Visit, task_id: int) -> Why:
    access_contact(conn, visit.userid, visit.external_userid)
    task = find_task(conn, task_id)
    if task is None or task.external_userid != visit.external_userid or task.userid.lower() != visit.userid.lower():
        raise NotFound(_("没有这条待办，或者它不是你的。"))
    run = find_run(conn, task.enrolment_id) if task.enrolment_id else None
    return Why(
        playbook_title=task.playbook_title,
        due_at=task.open_at,
        entered_at=run.enrolled_at if run else None,
        cause=find_cause(conn, run.event_id) if run else None,
        leaves=tuple(leaf for leaf in find_entry(conn, run.id) if leaf.holds) if run else (),
    )
