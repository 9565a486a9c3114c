"""/api/v1/radar: content with tracked links, one for each member and person, and what became of them."""

from typing import Any

import msgspec
from aiohttp import web
from sqlalchemy import Connection

from scrm.errors import Invalid, NotFound
from scrm.http import require_keepable
from scrm.profiles.store import find_contact, find_member
from scrm.services import SERVICES, Services
from scrm.tracking import radar

routes = web.RouteTableDef()

_KEYS = ("key", "title", "url", "userid", "external_userid")


@routes.post("/api/v1/radar/links")
async def make_link(request: web.Request) -> web.Response:
    """`{"key"}` of known content or `{"title", "url"}`, with `userid` and `external_userid`: the same ones, the same link.

    422 for a target outside `tracking.domains`, 404 for a member, contact or key that nobody knows.
    """
    services = request.app[SERVICES]
    asked = _read(await request.read())
    return web.json_response(await services.db.write(_make, asked, services))


def _make(conn: Connection, asked: dict[str, str], services: Services) -> dict[str, Any]:
    now, domains = services.clock.now(), services.settings.tracking.domains
    if asked["url"]:
        content = radar.save_content(
            conn, title=asked["title"], url=asked["url"], key=asked["key"], domains=domains, by="api", now=now
        )
    else:
        content = radar.find_content(conn, asked["key"])
    member = find_member(conn, asked["userid"]) if asked["userid"] else None
    if asked["userid"] and member is None:
        raise NotFound(f"没有员工 {asked['userid'][:64]}")
    contact = find_contact(conn, asked["external_userid"]) if asked["external_userid"] else None
    if asked["external_userid"] and contact is None:
        raise NotFound(f"没有客户 {asked['external_userid'][:64]}")
    token = radar.ensure_link(
        conn,
        content.id,
        userid=member.userid if member is not None else "",
        person_id=contact.person_id if contact is not None else 0,
        external_userid=contact.external_userid if contact is not None else "",
        now=now,
    )
    url = f"{services.settings.server.public_url}/r/{token}"
    return {"key": content.key, "title": content.title, "token": token, "url": url}


@routes.get("/api/v1/radar/contents")
async def list_contents(request: web.Request) -> web.Response:
    """Content with its figures, the newest first."""
    rows = await request.app[SERVICES].db.read(radar.list_contents)
    return web.json_response({"items": [describe(row) for row in rows]})


@routes.get("/api/v1/radar/contents/{key}")
async def get_content(request: web.Request) -> web.Response:
    """One content with the figures of each member."""

    def look(conn: Connection) -> dict[str, Any]:
        content = radar.find_content(conn, request.match_info["key"])
        members = radar.count_by_member(conn, content.id)
        return {
            "key": content.key,
            "title": content.title,
            "url": content.url,
            "members": [{"userid": row.userid, "name": row.member_name, **_figures(row)} for row in members],
        }

    return web.json_response(await request.app[SERVICES].db.read(look))


def describe(row: Any) -> dict[str, Any]:
    archived = {"is_archived": row.is_archived, "created_at": row.created_at.isoformat()}
    return {"key": row.key, "title": row.title, "url": row.url, **archived, **_figures(row)}


def _figures(row: Any) -> dict[str, Any]:
    """links made, persons they were made for, readers (persons who opened), opens and seconds."""
    figures: dict[str, Any] = {
        name: int(getattr(row, name) or 0) for name in ("links", "persons", "readers", "opens", "seconds")
    }
    return figures | {"last_opened_at": row.last_opened_at.isoformat() if row.last_opened_at else None}


def _read(body: bytes) -> dict[str, str]:
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        asked = None
    if not isinstance(asked, dict) or not all(isinstance(asked.get(key, ""), str) for key in _KEYS):
        raise Invalid(
            '请求体应为 {"title": "…", "url": "https://商城域名/…", "userid": "员工账号", "external_userid": "客户"}'
        )
    if not asked.get("url") and not asked.get("key"):
        raise Invalid("缺少 url（新内容）或 key（已有内容）")
    require_keepable(asked)
    return {key: asked.get(key, "").strip() for key in _KEYS}
