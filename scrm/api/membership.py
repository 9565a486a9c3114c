"""GET and POST /api/v1/customers/{id}/points: balances, the ledger, and movements that other programs make."""

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct
from sqlalchemy import Connection, Row

from scrm.api.parameters import MOST_DIGITS, read_number
from scrm.errors import Invalid, NotFound
from scrm.http import require_keepable
from scrm.membership import points, store
from scrm.membership.rules import REASONS
from scrm.profiles import redirects
from scrm.profiles.store import get_person
from scrm.services import SERVICES

routes = web.RouteTableDef()

_MOST = 200
_PATH = r"/api/v1/customers/{person_id:\d+}/points"


class Movement(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a program sends; the same `business_key` moves points once."""

    business_key: Annotated[str, Meta(min_length=1, max_length=120)]
    points: int
    reason: Annotated[str, Meta(max_length=24)] = "api"
    note: Annotated[str, Meta(max_length=200)] = ""


@routes.get(_PATH)
async def show_points(request: web.Request) -> web.Response:
    """Balances, level and the newest movements; `before` goes on from the last id, `limit` <= 200."""
    person_id = _person_id(request)
    before, limit = read_number(request, "before"), read_number(request, "limit") or 50
    found = await request.app[SERVICES].db.read(_look, person_id, before, max(1, min(limit, _MOST)))
    return web.json_response(found)


@routes.post(_PATH)
async def move_points(request: web.Request) -> web.Response:
    """200 with the movement, also the second time; 409 when there are too few, 422 for a wrong reason or amount."""
    services, person_id = request.app[SERVICES], _person_id(request)
    asked = _read(await request.read())
    moved = await services.db.write(
        points.move,
        person_id,
        asked.points,
        asked.reason,
        business_key=asked.business_key,
        by="api",
        note=asked.note,
        now=services.clock.now(),
    )
    return web.json_response(_line(moved))


def _person_id(request: web.Request) -> int:
    text = request.match_info["person_id"]
    if len(text) > MOST_DIGITS:
        raise NotFound("没有这位客户")
    return int(text)


def _read(body: bytes) -> Movement:
    try:
        asked = msgspec.json.decode(body, type=Movement)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid(
            '请求体应为 {"business_key": "唯一编号", "points": 100（扣减用负数）, "reason": "api", "note": "可选"}'
        ) from None
    require_keepable(msgspec.structs.asdict(asked))
    return asked


def _look(conn: Connection, person_id: int, before: int | None, limit: int) -> dict[str, Any]:
    person_id = redirects.follow(conn, person_id)
    if get_person(conn, person_id) is None:
        raise NotFound("没有这位客户")
    row = store.find_account(conn, person_id)
    lines = store.list_movements(conn, person_id, before=before, limit=limit)
    level = next((one for one in store.list_levels(conn) if row is not None and one.key == row.level_key), None)
    ending = store.next_end(conn, person_id)
    until = row.level_until if row is not None else None
    return {
        "person_id": person_id,
        "available": row.available if row is not None else 0,
        "frozen": row.frozen if row is not None else 0,
        "growth": row.growth if row is not None else 0,
        "level": None
        if level is None
        else {
            "key": level.key,
            "title": level.title,
            "benefits": level.benefits,
            "until": until.isoformat() if until else None,
        },
        "expiring": None if ending is None else {"points": ending[0], "expires_at": ending[1].isoformat()},
        "items": [_line(line) for line in lines],
        "next": lines[-1].id if len(lines) == limit else None,
    }


def _line(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "business_key": row.business_key.removeprefix("given:"),
        "reason": row.reason,
        "reason_text": REASONS.get(row.reason, row.reason),
        "points": row.available,
        "frozen": row.frozen,
        "balance": row.available_after,
        "frozen_balance": row.frozen_after,
        "order_id": row.order_id,
        "by": row.by,
        "note": row.note,
        "moved_at": row.moved_at.isoformat(),
    }
