"""GET /api/v1/sends: everything that went out to a contact, or should have, with the reason."""

from typing import Any

from aiohttp import web
from msgspec import Struct
from sqlalchemy import Connection, Row

from scrm.access.scope import require_contact
from scrm.api.auth import CALLER
from scrm.api.operation import operation
from scrm.api.parameters import LIMIT, PAGED_BY_PLACE, PLACE, Moment, Page, Text, page_of
from scrm.db.tables import to_millis
from scrm.errors import Invalid
from scrm.services import SERVICES
from scrm.sop import ledger

routes = web.RouteTableDef()

CONTACT = Text("external_userid", "企业微信的客户编号；不填是全店", most=64)


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
    received_at: Moment | None
    decided_at: Moment
    sent_at: Moment | None
    correlation: str


@routes.get("/api/v1/sends")
@operation("发送账本：欢迎语、提醒、一键发送，新的在前", query=(CONTACT, *PAGED_BY_PLACE), is_scoped=True)
async def list_sends(request: web.Request) -> Page[Send]:
    """Without a contact it is the whole shop's."""
    external_userid, limit, scope = CONTACT.read(request), LIMIT.read_size(request), request[CALLER].scope
    before = PLACE.read(request)
    if not external_userid and not scope.is_whole:
        raise Invalid("这个密钥只看一部分客户，请写明 external_userid")

    def look(conn: Connection) -> list[Row[Any]]:
        require_contact(conn, scope, external_userid)
        return ledger.list_sends(conn, external_userid or None, before=before, limit=limit + 1)

    rows = await request.app[SERVICES].db.read(look)
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
