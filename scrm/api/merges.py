"""/api/v1/merges: two customers become one, the log, and the way back."""

from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct
from sqlalchemy import Row

from scrm import joining
from scrm.api.auth import CALLER
from scrm.api.operation import operation
from scrm.api.parameters import CURSOR, LIMIT, MOST_DIGITS, PAGED, Moment, Number, Page, decode, page_of
from scrm.errors import NotFound
from scrm.profiles import merge
from scrm.profiles.merge import Act
from scrm.services import SERVICES

routes = web.RouteTableDef()

PERSON_ID = Number("person_id", "只看和这位客户有关的", least=1)
_PersonId = Annotated[int, Meta(ge=1, lt=10**MOST_DIGITS)]


class MergeWanted(Struct, kw_only=True, forbid_unknown_fields=True):
    """Who stays and who becomes a part of them, by their ids."""

    kept: _PersonId
    gone: _PersonId


class Merge(Struct, kw_only=True):
    """One line of the log; `counts` says how many rows moved."""

    id: int
    kept: int
    gone: int
    by: str
    reason: str
    evidence: Any
    counts: Any
    merged_at: Moment
    undone_at: Moment | None


class Merged(Struct):
    """The merge's id, by which it is undone."""

    id: int


class Parted(Struct):
    """Both customers' ids."""

    kept: int
    back: int


@routes.get("/api/v1/merges")
@operation("合并记录，新的在前", query=(PERSON_ID, *PAGED))
async def list_merges(request: web.Request) -> Page[Merge]:
    limit = LIMIT.read_size(request)
    rows = await request.app[SERVICES].db.read(
        merge.list_merges,
        person_id=PERSON_ID.read(request),
        before=CURSOR.read(request),
        limit=limit + 1,
    )
    return page_of(rows, limit, _describe)


@routes.post("/api/v1/merges")
@operation("把一位客户并入另一位", says="合并记录的编号", body=MergeWanted, errors=(404, 409))
async def join(request: web.Request) -> Merged:
    """404 for an unknown customer, 409 when the two are one already."""
    services = request.app[SERVICES]
    wanted = decode(await request.read(), MergeWanted, '{"kept": 客户编号, "gone": 客户编号}')
    act = Act(_caller(request), "manual")
    merge_id = await joining.patiently(
        services.db, joining.join, wanted.kept, wanted.gone, act, now=services.clock.now()
    )
    return Merged(merge_id)


@routes.post(r"/api/v1/merges/{merge_id:\d+}/undo")
@operation("撤销一次合并", says="两位客户的编号", errors=(404, 409))
async def part(request: web.Request) -> Parted:
    """404 for an unknown merge, 409 when it was undone before."""
    services, digits = request.app[SERVICES], request.match_info["merge_id"]
    if len(digits) > MOST_DIGITS:
        raise NotFound("没有这次合并的记录")
    undone = await joining.patiently(
        services.db, joining.part, int(digits), by=_caller(request), now=services.clock.now()
    )
    return Parted(undone.holder, undone.back)


def _caller(request: web.Request) -> str:
    return f"api:{request[CALLER].name}"[:64]


def _describe(row: Row[Any]) -> Merge:
    return Merge(
        id=row.id,
        kept=row.kept_id,
        gone=row.gone_id,
        by=row.by,
        reason=row.reason,
        evidence=row.evidence,
        counts=row.counts,
        merged_at=row.merged_at,
        undone_at=row.undone_at,
    )
