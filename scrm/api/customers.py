"""GET /api/v1/customers: a person with identities, follow users, tags and totals."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.api.parameters import MOST_DIGITS, read_number
from scrm.commerce.words import channel
from scrm.errors import Invalid, NotFound
from scrm.profiles import redirects, store, timeline
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
    """The newest first; `kind` narrows (order, coupon … or whole names, with commas), `before` is a page's `next`.

    `limit` <= 200. Each item has its sentence in `text`, and who did it in `actor`: customer, member or system.
    """
    person_id, limit = _person_id(request), read_number(request, "limit")
    if "." not in request.query.get("before", ""):
        read_number(request, "before")
    kinds = [kind for kind in request.query.get("kind", "").split(",") if kind][:20]

    def look(conn: Connection) -> dict[str, Any]:
        try:
            feed = timeline.list_feed(
                conn,
                redirects.follow(conn, person_id),
                kinds=kinds,
                before=request.query.get("before", ""),
                limit=max(1, min(limit or 50, _MOST_EVENTS)),
            )
        except ValueError as error:
            raise Invalid(str(error)) from None
        own = timeline.find_event_types(conn, {row.name for row in feed.rows})
        return {"items": [_happening(row, own.get(row.name)) for row in feed.rows], "next": feed.next}

    return web.json_response(await request.app[SERVICES].db.read(look))


def _happening(row: Any, own: Any) -> dict[str, Any]:
    line = timeline.tell(row.name, row.facts or {}, row.userid, channel=channel, own=own)
    return {
        "id": row.id,
        "name": row.name,
        "kind": timeline.kind_of(row.name),
        "text": f"{line.title}：{line.detail}" if line.detail else line.title,
        "actor": timeline.actor_of(row.name),
        "source": timeline.source_of(row.name, row.once or "", row.facts or {}),
        "occurred_at": row.occurred_at.isoformat(),
        "received_at": row.received_at.isoformat(),
        "external_userid": row.external_userid,
        "userid": row.userid,
        "key": row.key,
        "facts": row.facts,
    }


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
    person_id = redirects.follow(conn, person_id)
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
