"""GET /api/v1/members and /api/v1/departments: the staff as WeCom has them."""

from typing import Any

from aiohttp import web
from msgspec import Struct
from sqlalchemy import Connection, select

from scrm.api.operation import operation
from scrm.api.parameters import KEY, LIMIT, PAGED_BY_KEY, Page, page_of, page_of_few
from scrm.profiles.models import department, member, member_department
from scrm.services import SERVICES

routes = web.RouteTableDef()


class StaffMember(Struct, kw_only=True):
    """`is_active`: no longer when they have left."""

    userid: str
    name: str
    alias: str
    role: str
    is_active: bool
    departments: list[int]
    leads: list[int]


class Department(Struct):
    """`parent_id` 0: the corp itself is above."""

    id: int
    name: str
    parent_id: int


@routes.get("/api/v1/members")
@operation("员工，按 userid 排", query=PAGED_BY_KEY, is_scoped=True)
async def list_members(request: web.Request) -> Page[StaffMember]:
    after, limit = KEY.read(request), LIMIT.read_size(request)

    def look(conn: Connection) -> Page[StaffMember]:
        query = select(member).where(member.c.userid > after) if after else select(member)
        rows = conn.execute(query.order_by(member.c.userid).limit(limit + 1)).all()
        of = select(member_department).where(member_department.c.userid.in_([row.userid for row in rows]))
        within: dict[str, list[int]] = {}
        for row in conn.execute(of.order_by(member_department.c.department_id)):
            within.setdefault(row.userid, []).append(row.department_id)
        return page_of(rows, limit, lambda row: _member(row, within.get(row.userid, [])), lambda row: row.userid)

    return await request.app[SERVICES].db.read(look)


@routes.get("/api/v1/departments")
@operation("部门", query=PAGED_BY_KEY, is_scoped=True)
async def list_departments(request: web.Request) -> Page[Department]:
    rows = await request.app[SERVICES].db.read(lambda conn: conn.execute(select(department)).all())
    return page_of_few(
        request, rows, lambda row: Department(row.id, row.name, row.parent_id), lambda row: f"{row.id:010d}"
    )


def _member(row: Any, departments: list[int]) -> StaffMember:
    return StaffMember(
        userid=row.userid,
        name=row.name,
        alias=row.alias,
        role=row.role,
        is_active=row.is_active,
        departments=departments,
        leads=list(row.leads or ()),
    )
