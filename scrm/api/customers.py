"""GET /api/v1/customers: a person with identities, follow users, tags and totals."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.api.parameters import MOST_DIGITS, read_number
from scrm.errors import Invalid, NotFound
from scrm.events import list_events
from scrm.profiles import store
from scrm.services import SERVICES

routes = web.RouteTableDef()

_MOST_EVENTS = 200


@routes.get("/api/v1/customers")
async def find_customer(request: web.Request) -> web.Response:
    """By `external_userid` (404 when WeCom never named it to us)."""
    external_userid = request.query.get("external_userid", "")
    if not external_userid:
        raise Invalid("缺少参数 external_userid")
    found = await request.app[SERVICES].db.read(_by_external_userid, external_userid)
    return web.json_response(found)


@routes.get(r"/api/v1/customers/{person_id:\d+}")
async def get_customer(request: web.Request) -> web.Response:
    found = await request.app[SERVICES].db.read(_describe, _person_id(request))
    return web.json_response(found)


@routes.get(r"/api/v1/customers/{person_id:\d+}/timeline")
async def get_timeline(request: web.Request) -> web.Response:
    """The newest events first; `before` (an event id) and `limit` (<= 200) page through them."""
    person_id = _person_id(request)
    before, limit = read_number(request, "before"), read_number(request, "limit")
    events = await request.app[SERVICES].db.read(
        list_events, person_id, before=before, limit=min(limit or 50, _MOST_EVENTS)
    )
    items = [
        {
            "id": event.id,
            "name": event.name,
            "occurred_at": event.occurred_at.isoformat(),
            "external_userid": event.external_userid,
            "userid": event.userid,
            "key": event.key,
            "facts": event.facts,
        }
        for event in events
    ]
    return web.json_response({"items": items})


def _person_id(request: web.Request) -> int:
    digits = request.match_info["person_id"]
    if len(digits) > MOST_DIGITS:
        raise NotFound(f"没有客户 {digits[:40]}")
    return int(digits)


def _by_external_userid(conn: Connection, external_userid: str) -> dict[str, Any]:
    contact = store.find_contact(conn, external_userid)
    if contact is None:
        raise NotFound(f"没有客户 {external_userid[:64]}")
    return _describe(conn, contact.person_id)


def _describe(conn: Connection, person_id: int) -> dict[str, Any]:
    person = store.get_person(conn, person_id)
    if person is None:
        raise NotFound(f"没有客户 {person_id}")
    return {
        "id": person.id,
        "name": person.name,
        "stage": person.stage,
        "optout": person.optout,
        "identities": [_identity(row) for row in store.list_identities(conn, person_id)],
        "follow_users": [_follow_user(row) for row in store.list_follow_users(conn, person_id)],
        "tags": [
            {
                "tag_id": row.tag_id if row.type != 2 else "",
                "tag_name": row.tag_name,
                "group_name": row.group_name,
                "type": row.type,
                "userid": row.userid,
            }
            for row in store.list_tags(conn, person_id)
        ],
        "totals": {
            "orders": person.orders or 0,
            "paid_orders": person.paid_orders or 0,
            "paid_fen": person.paid_fen or 0,
            "refunded_fen": person.refunded_fen or 0,
            "first_paid_at": _iso(person.first_paid_at),
            "last_paid_at": _iso(person.last_paid_at),
            "last_order_at": _iso(person.last_order_at),
        },
    }


def _identity(row: Any) -> dict[str, Any]:
    return {"kind": row.kind, "value": row.mask or row.value, "source": row.source, "created_at": _iso(row.created_at)}


def _follow_user(row: Any) -> dict[str, Any]:
    return {
        "userid": row.userid,
        "external_userid": row.external_userid,
        "name": row.member_name or row.userid,
        "remark": row.remark,
        "add_way": row.add_way,
        "state": row.state,
        "is_half": row.is_half,
        "followed_at": _iso(row.followed_at),
        "ended_by": row.ended_by,
        "ended_at": _iso(row.ended_at),
    }


def _iso(moment: Any) -> str | None:
    return moment.isoformat() if moment else None
