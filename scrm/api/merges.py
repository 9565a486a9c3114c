"""/api/v1/merges: two customers become one, the log, and the way back."""

from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct
from sqlalchemy import Row

from scrm import joining
from scrm.api.auth import CALLER
from scrm.api.parameters import MOST_DIGITS, read_number
from scrm.errors import Invalid, NotFound
from scrm.profiles import merge
from scrm.profiles.merge import Act
from scrm.services import SERVICES

routes = web.RouteTableDef()

_MOST = 200


class Wanted(Struct, kw_only=True, forbid_unknown_fields=True):
    """Who stays and who becomes a part of them, by their ids."""

    kept: int
    gone: int


@routes.get("/api/v1/merges")
async def list_merges(request: web.Request) -> web.Response:
    """The newest first; `person_id` narrows to one person, `before` (a merge's id) and `limit` (<= 200) page."""
    rows = await request.app[SERVICES].db.read(
        merge.list_merges,
        person_id=read_number(request, "person_id"),
        before=read_number(request, "before"),
        limit=max(1, min(read_number(request, "limit") or 50, _MOST)),
    )
    return web.json_response({"items": [_describe(row) for row in rows]})


@routes.post("/api/v1/merges")
async def join(request: web.Request) -> web.Response:
    """200 with the merge's id; 404 for an unknown customer, 409 when the two are one already."""
    services = request.app[SERVICES]
    try:
        wanted = msgspec.json.decode(await request.read(), type=Wanted)
    except msgspec.MsgspecError as error:
        raise Invalid(f'请求体应为 {{"kept": 客户编号, "gone": 客户编号}}：{error}') from None
    if not all(0 < one < 10**MOST_DIGITS for one in (wanted.kept, wanted.gone)):
        raise Invalid("kept、gone 应为客户编号（正整数）")
    act = Act(_caller(request), "manual")
    merge_id = await joining.patiently(
        services.db, joining.join, wanted.kept, wanted.gone, act, now=services.clock.now()
    )
    return web.json_response({"id": merge_id})


@routes.post(r"/api/v1/merges/{merge_id:\d+}/undo")
async def part(request: web.Request) -> web.Response:
    """200 with both customers' ids; 404 for an unknown merge, 409 when it was undone before."""
    services, digits = request.app[SERVICES], request.match_info["merge_id"]
    if len(digits) > MOST_DIGITS:
        raise NotFound("没有这次合并的记录")
    undone = await joining.patiently(
        services.db, joining.part, int(digits), by=_caller(request), now=services.clock.now()
    )
    return web.json_response({"kept": undone.holder, "back": undone.back})


def _caller(request: web.Request) -> str:
    return f"api:{request[CALLER].name}"[:64]


def _describe(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "kept": row.kept_id,
        "gone": row.gone_id,
        "by": row.by,
        "reason": row.reason,
        "evidence": row.evidence,
        "counts": row.counts,
        "merged_at": row.merged_at.isoformat(),
        "undone_at": row.undone_at.isoformat() if row.undone_at else None,
    }
