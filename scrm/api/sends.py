"""GET /api/v1/sends: everything that went out to a contact, or should have, with the reason."""

from datetime import datetime
from typing import Any

from aiohttp import web
from msgspec import Struct

from scrm.api.customers import EXTERNAL_USERID
from scrm.api.operation import operation
from scrm.api.parameters import LIMIT, PAGED_BY_PLACE, PLACE, Page, page_of
from scrm.db.tables import to_millis
from scrm.services import SERVICES
from scrm.sop import store

routes = web.RouteTableDef()


class Send(Struct, kw_only=True):
    """One line of the ledger; `outcome`: intent, waiting, sent, done_by_other, too_late, failed, unknown or none."""

    id: int
    kind: str
    userid: str
    external_userid: str
    person_id: int | None
    playbook: str
    step: str
    task_id: int | None
    outcome: str
    errcode: int
    reason: str
    content: Any
    received_at: datetime | None
    decided_at: datetime
    sent_at: datetime | None
    correlation: str


@routes.get("/api/v1/sends")
@operation("发送账本：欢迎语、提醒、一键发送，新的在前", query=(EXTERNAL_USERID, *PAGED_BY_PLACE))
async def list_sends(request: web.Request) -> Page[Send]:
    external_userid, limit = EXTERNAL_USERID.read(request), LIMIT.read_size(request)
    rows = await request.app[SERVICES].db.read(
        store.list_sends, external_userid, before=PLACE.read(request), limit=limit + 1
    )
    return page_of(rows, limit, _describe, lambda row: f"{to_millis(row.decided_at)}.{row.id}")


def _describe(row: Any) -> Send:
    return Send(
        id=row.id,
        kind=row.kind,
        userid=row.userid,
        external_userid=row.external_userid,
        person_id=row.person_id,
        playbook=row.playbook_key,
        step=row.step_id,
        task_id=row.task_id,
        outcome=row.outcome,
        errcode=row.errcode,
        reason=row.reason,
        content=row.content,
        received_at=row.received_at,
        decided_at=row.decided_at,
        sent_at=row.sent_at,
        correlation=row.correlation,
    )
