"""/api/v1/segments: groups of customers, and who is in them; lists are kept by other programs too."""

from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct
from sqlalchemy import Connection

from scrm import audit
from scrm.api.operation import operation
from scrm.api.parameters import (
    CURSOR,
    LIMIT,
    MOST_DIGITS,
    PAGED,
    PAGED_BY_KEY,
    Moment,
    Page,
    decode,
    page_of,
    page_of_few,
)
from scrm.segments import store
from scrm.services import SERVICES

routes = web.RouteTableDef()

MOST = 1000
_ONE = r"/api/v1/segments/{key:[\w\-]{1,64}}"
_PATH = {"key": r"^[A-Za-z0-9_\-]{1,64}$"}


class Segment(Struct, kw_only=True):
    """`kind`: dynamic has a condition, static is a list; `computed_at` null: it is being computed."""

    key: str
    title: str
    kind: str
    condition: Any
    members: int
    computed_at: Moment | None
    problem: str
    changed_at: Moment


class SegmentMember(Struct):
    """One customer of a segment."""

    person_id: int


_Ids = Annotated[list[Annotated[int, Meta(ge=1, lt=10**MOST_DIGITS)]], Meta(max_length=MOST)]


class MembersWanted(Struct, kw_only=True, forbid_unknown_fields=True):
    """Ids of customers; who is put in has entered, and playbooks may begin."""

    add: _Ids = []
    remove: _Ids = []


class MembersChanged(Struct):
    """How many are new, how many are gone, how many there are now."""

    added: int
    removed: int
    members: int


@routes.get("/api/v1/segments")
@operation("人群包", query=PAGED_BY_KEY)
async def list_segments(request: web.Request) -> Page[Segment]:
    rows = await request.app[SERVICES].db.read(store.list_segments)
    return page_of_few(request, rows, _describe, lambda row: str(row.key))


@routes.get(_ONE)
@operation("一个人群包和它的条件", path=_PATH, errors=(404,))
async def get_segment(request: web.Request) -> Segment:
    return _describe(await request.app[SERVICES].db.read(store.get_segment, request.match_info["key"]))


@routes.get(f"{_ONE}/members")
@operation("人群包里的客户，截至最近一次计算，按编号排", query=PAGED, path=_PATH, errors=(404,))
async def list_members(request: web.Request) -> Page[SegmentMember]:
    key, after, limit = request.match_info["key"], CURSOR.read(request) or 0, LIMIT.read_size(request)

    def look(conn: Connection) -> list[int]:
        store.get_segment(conn, key)
        return store.list_members(conn, key, after=after, limit=limit + 1)

    return page_of(await request.app[SERVICES].db.read(look), limit, SegmentMember, lambda person_id: person_id)


@routes.post(f"{_ONE}/members")
@operation(f"往固定名单里加人、减人，一次各最多 {MOST} 位", body=MembersWanted, path=_PATH, errors=(404,))
async def change_members(request: web.Request) -> MembersChanged:
    """422 for one that is computed by a condition."""
    services, key = request.app[SERVICES], request.match_info["key"]
    asked = decode(await request.read(), MembersWanted, '{"add": [客户编号], "remove": [客户编号]}')

    def write(conn: Connection) -> MembersChanged:
        now = services.clock.now()
        added = store.put_members(conn, key, asked.add, now=now)
        removed = store.take_members(conn, key, asked.remove, now=now)
        audit.changed(conn, "segment", key, {"added": 0, "removed": 0}, {"added": added, "removed": removed})
        return MembersChanged(added, removed, store.get_segment(conn, key).members)

    return await services.db.write(write)


def _describe(row: Any) -> Segment:
    return Segment(
        key=row.key,
        title=row.title,
        kind=row.kind,
        condition=row.condition,
        members=row.members,
        computed_at=row.computed_at,
        problem=row.problem,
        changed_at=row.changed_at,
    )
