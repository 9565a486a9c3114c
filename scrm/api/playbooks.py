"""POST /api/v1/playbooks/{key}/start: another program starts a playbook for a customer."""

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct
from sqlalchemy import Connection

from scrm.access.scope import require_person
from scrm.api.auth import CALLER
from scrm.api.events import NOBODY, Who, find_person
from scrm.api.operation import operation
from scrm.api.parameters import decode
from scrm.errors import Invalid
from scrm.profiles.store import find_member
from scrm.services import SERVICES
from scrm.sop.enrol import Rules
from scrm.sop.shelf import house_of, playbooks_of
from scrm.sop.starts import By, Started, start_by_hand

routes = web.RouteTableDef()

_MOST_FACTS = 50


class Start(Struct, kw_only=True):
    """Whom to start a playbook for; the same `request_id` told again starts nothing."""

    person: Annotated[Who, Meta(extra_json_schema={"minProperties": 1})]
    userid: Annotated[str, Meta(max_length=64)] = ""
    facts: Annotated[dict[str, Any], Meta(max_length=_MOST_FACTS)] | None = None
    request_id: Annotated[str, Meta(max_length=100)] = ""


class StartedRun(Struct):
    """The run, and what members read of it."""

    enrolment_id: int
    message: str


@routes.post("/api/v1/playbooks/{key}/start")
@operation(
    "为一位客户手动开始一个 SOP（触发事件是 manual.started 的）；同一 request_id 只开始一次",
    body=Start,
    status=201,
    errors=(404, 409),
    is_scoped=True,
)
async def start(request: web.Request) -> StartedRun:
    """409 says in words why the customer is not let in."""
    services, key = request.app[SERVICES], request.match_info["key"]
    asked = decode(
        await request.read(),
        Start,
        f'{{"person": {{"external_userid": "wm…"}}}}，可加 userid（最多 64 个字符）、request_id（最多 100 个）、'
        f"facts（对象，最多 {_MOST_FACTS} 个键）",
    )
    if asked.person == Who():
        raise Invalid(NOBODY)
    scope = request[CALLER].scope
    rules, now = Rules(playbooks_of(services), house_of(services)), services.clock.now()

    def write(conn: Connection) -> Started:
        member = find_member(conn, asked.userid) if asked.userid else None
        by = By("api", member.userid if member is not None else "", once=asked.request_id)
        person_id = find_person(conn, msgspec.to_builtins(asked.person), services)
        require_person(conn, scope, person_id)
        return start_by_hand(conn, rules, key, person_id, by, now, facts=asked.facts or {})

    started = await services.db.write(write)
    return StartedRun(started.enrolment_id, started.words)
