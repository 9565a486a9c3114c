"""GET and POST /api/v1/customers/{id}/points: balances, the ledger, and movements that other programs make."""

from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct
from sqlalchemy import Connection, Row

from scrm.api.operation import operation
from scrm.api.parameters import CURSOR, LIMIT, PAGED, Moment, decode, page_of, person_id_of
from scrm.errors import NotFound
from scrm.membership import points, store
from scrm.membership.rules import GIVEN, REASONS
from scrm.profiles import redirects
from scrm.profiles.store import get_person
from scrm.services import SERVICES

routes = web.RouteTableDef()

_PATH = r"/api/v1/customers/{person_id:\d+}/points"


_AMOUNT = {"minimum": -points.MOST, "maximum": points.MOST, "not": {"const": 0}}


class Movement(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a program sends; the same `business_key` moves points once."""

    business_key: Annotated[str, Meta(min_length=1, max_length=120)]
    points: Annotated[int, Meta(extra_json_schema=_AMOUNT)]
    reason: Annotated[str, Meta(max_length=24, extra_json_schema={"enum": list(GIVEN)})] = "api"
    note: Annotated[str, Meta(max_length=200)] = ""


class Line(Struct, kw_only=True):
    """One movement of the ledger, with what was there after it."""

    id: int
    business_key: str
    reason: str
    reason_text: str
    points: int
    frozen: int
    balance: int
    frozen_balance: int
    order_id: int | None
    by: str
    note: str
    moved_at: Moment


class Level(Struct, kw_only=True):
    """Where a customer stands."""

    key: str
    title: str
    benefits: Any
    until: Moment | None


class Expiring(Struct):
    """What ends next."""

    points: int
    expires_at: Moment


class Points(Struct, kw_only=True):
    """Balances, level and a page of the ledger, the newest first."""

    person_id: int
    available: int
    frozen: int
    growth: int
    level: Level | None
    expiring: Expiring | None
    items: list[Line]
    next_cursor: str | None


@routes.get(_PATH)
@operation("积分、成长值、等级和积分流水", query=PAGED, errors=(404,))
async def show_points(request: web.Request) -> Points:
    person_id, before, limit = person_id_of(request), CURSOR.read(request), LIMIT.read_size(request)
    return await request.app[SERVICES].db.read(_look, person_id, before, limit)


@routes.post(_PATH)
@operation("增加或扣减积分，按 business_key 幂等", says="这笔流水", body=Movement, errors=(404, 409))
async def move_points(request: web.Request) -> Line:
    """Also the second time; 409 when there are too few, 422 for a wrong reason or amount."""
    services, person_id = request.app[SERVICES], person_id_of(request)
    asked = decode(
        await request.read(),
        Movement,
        '{"business_key": "唯一编号", "points": 100（扣减用负数）, "reason": "api", "note": "可选"}',
    )
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
    return _line(moved)


def _look(conn: Connection, person_id: int, before: int | None, limit: int) -> Points:
    person_id = redirects.follow(conn, person_id)
    if get_person(conn, person_id) is None:
        raise NotFound("没有这位客户")
    row = store.find_account(conn, person_id)
    ledger = page_of(store.list_movements(conn, person_id, before=before, limit=limit + 1), limit, _line)
    level = next((one for one in store.list_levels(conn) if row is not None and one.key == row.level_key), None)
    ending = store.next_end(conn, person_id)
    until = row.level_until if row is not None else None
    return Points(
        person_id=person_id,
        available=row.available if row is not None else 0,
        frozen=row.frozen if row is not None else 0,
        growth=row.growth if row is not None else 0,
        level=None if level is None else Level(key=level.key, title=level.title, benefits=level.benefits, until=until),
        expiring=ending and Expiring(*ending),
        items=ledger.items,
        next_cursor=ledger.next_cursor,
    )


def _line(row: Row[Any]) -> Line:
    return Line(
        id=row.id,
        business_key=row.business_key.removeprefix("given:"),
        reason=row.reason,
        reason_text=REASONS.get(row.reason, row.reason),
        points=row.available,
        frozen=row.frozen,
        balance=row.available_after,
        frozen_balance=row.frozen_after,
        order_id=row.order_id,
        by=row.by,
        note=row.note,
        moved_at=row.moved_at,
    )
