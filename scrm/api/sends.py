"""GET /api/v1/sends: everything that went out to a contact, or should have, with the reason."""

from datetime import datetime
from typing import Any

from aiohttp import web

from scrm.errors import Invalid
from scrm.services import SERVICES
from scrm.sop import store

routes = web.RouteTableDef()


@routes.get("/api/v1/sends")
async def list_sends(request: web.Request) -> web.Response:
    """By `external_userid`, the newest 200 first: welcomes and members' one-tap messages with their times and outcome."""
    external_userid = request.query.get("external_userid", "")
    if not external_userid:
        raise Invalid("缺少参数 external_userid")
    rows = await request.app[SERVICES].db.read(store.list_sends, external_userid)
    return web.json_response({"items": [_describe(row) for row in rows]})


def _describe(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "userid": row.userid,
        "external_userid": row.external_userid,
        "person_id": row.person_id,
        "playbook": row.playbook_key,
        "step": row.step_id,
        "task_id": row.task_id,
        "outcome": row.outcome,
        "errcode": row.errcode,
        "reason": row.reason,
        "content": row.content,
        "received_at": _iso(row.received_at),
        "decided_at": _iso(row.decided_at),
        "sent_at": _iso(row.sent_at),
        "correlation": row.correlation,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
