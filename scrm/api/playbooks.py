"""POST /api/v1/playbooks/{key}/start: another program starts a playbook for a customer."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.api.events import find_person
from scrm.errors import Invalid
from scrm.http import require_keepable
from scrm.profiles.store import find_member
from scrm.services import SERVICES
from scrm.sop.enrol import Rules
from scrm.sop.shelf import house_of, playbooks_of
from scrm.sop.starts import By, Started, start_by_hand

routes = web.RouteTableDef()

_MOST_FACTS = 50


@routes.post("/api/v1/playbooks/{key}/start")
async def start(request: web.Request) -> web.Response:
    """`{"person": {"external_userid" | "unionid" | "phone" | "id" …}, "userid", "facts", "request_id"}` -> the run.

    201 with `enrolment_id` and `message`; 409 says in words why the customer is not let in. The same `request_id` told
    again starts nothing. Only playbooks whose trigger is manual.started.
    """
    services = request.app[SERVICES]
    key = request.match_info["key"]
    try:
        body: Any = await request.json()
    except (ValueError, RecursionError):
        raise Invalid("请求体应为 JSON") from None
    if not isinstance(body, dict) or not isinstance(body.get("person"), dict) or not body["person"]:
        raise Invalid('缺少 person：如 {"external_userid": "wm…"}、{"unionid": "…"}、{"phone": "…"} 或 {"id": 12}')
    facts = body.get("facts") or {}
    if not isinstance(facts, dict) or len(facts) > _MOST_FACTS:
        raise Invalid(f"facts 应为对象，最多 {_MOST_FACTS} 个键")
    userid, once = str(body.get("userid") or ""), str(body.get("request_id") or "")
    if len(userid) > 64 or len(once) > 100:
        raise Invalid("userid 最多 64 个字符，request_id 最多 100 个")
    require_keepable(body)
    rules, now = Rules(playbooks_of(services), house_of(services)), services.clock.now()

    def write(conn: Connection) -> Started:
        member = find_member(conn, userid) if userid else None
        by = By("api", member.userid if member is not None else "", once=once)
        person_id = find_person(conn, body["person"], services)
        return start_by_hand(conn, rules, key, person_id, by, now, facts=facts)

    started = await services.db.write(write)
    return web.json_response({"enrolment_id": started.enrolment_id, "message": started.words}, status=201)
