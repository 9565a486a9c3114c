"""GET /api/v1/tasks: what members are asked to do, and what became of it."""

from datetime import datetime
from typing import Any

from aiohttp import web
from msgspec import Struct

from scrm.api.auth import CALLER
from scrm.api.operation import operation
from scrm.api.parameters import CURSOR, LIMIT, PAGED, Choice, Moment, Page, Text, page_of
from scrm.services import SERVICES
from scrm.sop.members import task_store
from scrm.sop.members.tasks import WORDS, state_of, word_of

routes = web.RouteTableDef()

USERID = Text("userid", "员工账号", most=64)
CONTACT = Text("external_userid", "企业微信的客户编号", most=64)
STATE = Choice("state", "员工看到的状态", tuple(WORDS))


class Task(Struct, kw_only=True):
    """`state` is what people see, `state_text` its words; `text` is what the member would send."""

    id: int
    userid: str
    external_userid: str
    person_id: int
    playbook: str
    playbook_title: str
    step: str
    kind: str
    title: str
    state: str
    state_text: str
    reason: str
    text: str
    attachments: list[Any]
    open_at: Moment
    expires_at: Moment | None
    due_at: Moment | None
    released_at: Moment | None
    ended_at: Moment | None
    created_at: Moment


@routes.get("/api/v1/tasks")
@operation("员工待办，新的在前", query=(USERID, CONTACT, STATE, *PAGED), is_scoped=True)
async def list_tasks(request: web.Request) -> Page[Task]:
    """States are open, postponed, sent, skipped, expired and withdrawn (docs/playbooks 8.3)."""
    services, limit = request.app[SERVICES], LIMIT.read_size(request)
    now = services.clock.now()
    rows = await services.db.read(
        task_store.list_tasks,
        userid=USERID.read(request) or None,
        external_userid=CONTACT.read(request) or None,
        state=STATE.read(request) or None,
        now=now,
        before=CURSOR.read(request),
        limit=limit + 1,
        scope=request[CALLER].scope,
    )
    return page_of(rows, limit, lambda row: _describe(row, now))


def _describe(row: Any, now: datetime) -> Task:
    state = state_of(row, now)
    return Task(
        id=row.id,
        userid=row.userid,
        external_userid=row.external_userid,
        person_id=row.person_id,
        playbook=row.playbook_key,
        playbook_title=row.playbook_title,
        step=row.step_id,
        kind=row.kind,
        title=row.title,
        state=state,
        state_text=word_of(row.kind, state),
        reason=row.reason,
        text=row.text,
        attachments=row.attachments,
        open_at=row.open_at,
        expires_at=row.expires_at,
        due_at=row.due_at,
        released_at=row.released_at,
        ended_at=row.ended_at,
        created_at=row.created_at,
    )
