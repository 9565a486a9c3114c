"""GET /api/v1/group_chats: customer groups, and who is in one."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.api.parameters import read_number
from scrm.errors import Invalid, NotFound
from scrm.group_chats import store
from scrm.services import SERVICES

routes = web.RouteTableDef()

_MOST = 200
_STATES = {"": None, "living": False, "dismissed": True}


@routes.get("/api/v1/group_chats")
async def list_group_chats(request: web.Request) -> web.Response:
    """The newest first; `owner`, `tag`, `state` (living or dismissed), `before` (the last id seen), `limit` <= 200."""
    before, limit = read_number(request, "before"), read_number(request, "limit")
    state = request.query.get("state", "")
    if state not in _STATES:
        raise Invalid(f"参数 state：收到“{state[:40]}”，需要 living 或 dismissed，或不填")

    def look(conn: Connection) -> dict[str, Any]:
        found = store.list_groups(
            conn,
            owner=request.query.get("owner", "")[:64],
            tag=request.query.get("tag", "")[:30],
            is_dismissed=_STATES[state],
            before=before,
            limit=max(1, min(limit or 50, _MOST)),
        )
        tags = store.list_tags(conn, [row.chat_id for row in found.rows])
        items = [_group(row, tags.get(row.chat_id, [])) for row in found.rows]
        return {"items": items, "before": found.before}

    return web.json_response(await request.app[SERVICES].db.read(look))


@routes.get("/api/v1/group_chats/{chat_id}")
async def get_group_chat(request: web.Request) -> web.Response:
    """The group with everybody in it now; a customer has `person_id` once we know who it is."""
    chat_id = request.match_info["chat_id"]

    def look(conn: Connection) -> dict[str, Any]:
        row = store.get_group(conn, chat_id)
        if row is None:
            raise NotFound(f"没有客户群 {chat_id[:64]}")
        tags = store.list_tags(conn, [chat_id]).get(chat_id, [])
        return {**_group(row, tags), "member_list": [_member(one) for one in store.customers_within(conn, chat_id)]}

    return web.json_response(await request.app[SERVICES].db.read(look))


def _group(row: Any, tags: list[str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "chat_id": row.chat_id,
        "name": row.name,
        "owner": row.owner,
        "owner_name": row.owner_name or "",
        "notice": row.notice,
        "status": row.status,
        "admins": row.admins,
        "member_version": row.member_version,
        "members": row.members,
        "customers": row.customers,
        "tags": tags,
        "created_at": row.created_at.isoformat(),
        "dismissed_at": _iso(row.dismissed_at),
        "refreshed_at": _iso(row.refreshed_at),
    }


def _member(row: Any) -> dict[str, Any]:
    return {
        "userid": row.userid,
        "type": row.type,
        "name": row.contact_name or row.member_name or row.name,
        "person_id": row.person_id,
        "group_nickname": row.group_nickname,
        "joined_at": row.joined_at.isoformat(),
        "join_scene": row.join_scene,
        "invitor": row.invitor,
        "state": row.state,
    }


def _iso(moment: Any) -> str | None:
    return moment.isoformat() if moment else None
