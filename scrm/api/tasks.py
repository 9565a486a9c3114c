"""GET /api/v1/tasks: what members are asked to do, and what became of it."""

from datetime import datetime
from typing import Any

from aiohttp import web

from scrm.api.parameters import read_number
from scrm.errors import Invalid
from scrm.services import SERVICES
from scrm.sop import store
from scrm.sop.tasks import WORDS, state_of, word_of

routes = web.RouteTableDef()

_MOST = 500


@routes.get("/api/v1/tasks")
async def list_tasks(request: web.Request) -> web.Response:
    """The newest first, narrowed by `userid`, `external_userid` and `state`; `before` (a task id) and `limit` page.

    States are open, postponed, sent, skipped, expired and withdrawn (docs/playbooks 8.3).
    """
    services, query = request.app[SERVICES], request.query
    now, state = services.clock.now(), query.get("state") or None
    if state is not None and state not in WORDS:
        raise Invalid(f"参数 state：收到“{state[:40]}”，可用的有 {'、'.join(WORDS)}")
    rows = await services.db.read(
        store.list_tasks,
        userid=query.get("userid") or None,
        external_userid=query.get("external_userid") or None,
        state=state,
        now=now,
        before=read_number(request, "before"),
        limit=min(read_number(request, "limit") or 100, _MOST),
    )
    return web.json_response({"items": [_describe(row, now) for row in rows]})


def _describe(row: Any, now: datetime) -> dict[str, Any]:
    state = state_of(row, now)
    return {
        "id": row.id,
        "userid": row.userid,
        "external_userid": row.external_userid,
        "person_id": row.person_id,
        "playbook": row.playbook_key,
        "playbook_title": row.playbook_title,
        "step": row.step_id,
        "kind": row.kind,
        "title": row.title,
        "state": state,
        "state_text": word_of(row.kind, state),
        "reason": row.reason,
        "text": row.text,
        "attachments": row.attachments,
        "open_at": _iso(row.open_at),
        "expires_at": _iso(row.expires_at),
        "due_at": _iso(row.due_at),
        "released_at": _iso(row.released_at),
        "ended_at": _iso(row.ended_at),
        "created_at": _iso(row.created_at),
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
