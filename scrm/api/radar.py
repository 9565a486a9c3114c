"""/api/v1/radar: content with tracked links, one for each member and person, and what became of them."""

from typing import Any

from aiohttp import web
from msgspec import Struct
from sqlalchemy import Connection

from scrm.api.operation import operation
from scrm.api.parameters import CURSOR, LIMIT, PAGED, Moment, Page, decode, page_of
from scrm.errors import Invalid, NotFound
from scrm.profiles.store import find_contact, find_member
from scrm.services import SERVICES, Services
from scrm.tracking import radar

routes = web.RouteTableDef()


class LinkWanted(Struct, kw_only=True):
    """`key` of known content, or `title` and `url` of new; for one member and one contact, or for everybody."""

    key: str = ""
    title: str = ""
    url: str = ""
    userid: str = ""
    external_userid: str = ""


class RadarLink(Struct):
    """`url` is what is sent to the customer."""

    key: str
    title: str
    token: str
    url: str


class RadarFigures(Struct, kw_only=True):
    """Links made, persons they were made for, readers (persons who opened), opens and seconds."""

    links: int
    persons: int
    readers: int
    opens: int
    seconds: int
    last_opened_at: Moment | None


class RadarContent(RadarFigures, kw_only=True):
    """A page with tracked links."""

    key: str
    title: str
    url: str
    is_archived: bool
    created_at: Moment


class RadarMember(RadarFigures, kw_only=True):
    """What became of one member's links."""

    userid: str
    name: str


class RadarContentByMember(Struct):
    """One content with the figures of each member."""

    key: str
    title: str
    url: str
    members: list[RadarMember]


@routes.post("/api/v1/radar/links")
@operation("为某位员工、某位客户生成雷达链接；同样的参数得到同一个链接", body=LinkWanted, errors=(404,))
async def make_link(request: web.Request) -> RadarLink:
    """422 for a target outside `tracking.domains`, 404 for a member, contact or key that nobody knows."""
    services = request.app[SERVICES]
    asked = decode(
        await request.read(),
        LinkWanted,
        '{"title": "…", "url": "https://商城域名/…", "userid": "员工账号", "external_userid": "客户"}',
    )
    if not asked.url.strip() and not asked.key.strip():
        raise Invalid("缺少 url（新内容）或 key（已有内容）")
    return await services.db.write(_make, asked, services)


def _make(conn: Connection, asked: LinkWanted, services: Services) -> RadarLink:
    now, domains = services.clock.now(), services.settings.tracking.domains
    key, userid, external_userid = asked.key.strip(), asked.userid.strip(), asked.external_userid.strip()
    if url := asked.url.strip():
        content = radar.save_content(
            conn, title=asked.title.strip(), url=url, key=key, domains=domains, by="api", now=now
        )
    else:
        content = radar.find_content(conn, key)
    member = find_member(conn, userid) if userid else None
    if userid and member is None:
        raise NotFound(f"没有员工 {userid[:64]}")
    contact = find_contact(conn, external_userid) if external_userid else None
    if external_userid and contact is None:
        raise NotFound(f"没有客户 {external_userid[:64]}")
    token = radar.ensure_link(
        conn,
        content.id,
        userid=member.userid if member is not None else "",
        person_id=contact.person_id if contact is not None else 0,
        external_userid=contact.external_userid if contact is not None else "",
        now=now,
    )
    return RadarLink(content.key, content.title, token, f"{services.settings.server.public_url}/r/{token}")


@routes.get("/api/v1/radar/contents")
@operation("雷达内容与打开、阅读统计，新的在前", query=PAGED)
async def list_contents(request: web.Request) -> Page[RadarContent]:
    before, limit = CURSOR.read(request), LIMIT.read_size(request)
    rows = await request.app[SERVICES].db.read(lambda conn: radar.list_contents(conn, before=before, limit=limit + 1))
    return page_of(rows, limit, _content)


@routes.get("/api/v1/radar/contents/{key}")
@operation("一条雷达内容，按员工统计", errors=(404,))
async def get_content(request: web.Request) -> RadarContentByMember:
    def look(conn: Connection) -> RadarContentByMember:
        content = radar.find_content(conn, request.match_info["key"])
        rows = radar.count_by_member(conn, content.id)
        members = [RadarMember(userid=row.userid, name=row.member_name, **_figures(row)) for row in rows]
        return RadarContentByMember(content.key, content.title, content.url, members)

    return await request.app[SERVICES].db.read(look)


def _content(row: Any) -> RadarContent:
    return RadarContent(
        key=row.key,
        title=row.title,
        url=row.url,
        is_archived=row.is_archived,
        created_at=row.created_at,
        **_figures(row),
    )


def _figures(row: Any) -> dict[str, Any]:
    figures = {name: int(getattr(row, name) or 0) for name in ("links", "persons", "readers", "opens", "seconds")}
    return {**figures, "last_opened_at": row.last_opened_at}
