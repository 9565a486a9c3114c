"""客户群: which groups there are and who is in them, who came and went, who is in several, and the figures."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.door import before_of, for_managers, page
from scrm.errors import NotFound
from scrm.group_chats import duplicate_store, figure_store, list_store, refresh, store, tag_store
from scrm.profiles.members import member_names
from scrm.services import SERVICES, Services
from scrm.wecom.errors import WeComError

routes = web.RouteTableDef()

CHAT = r"{chat_id:[0-9A-Za-z_\-]{1,64}}"
SEATS_SHOWN, CHANGES_SHOWN, OWNERS_SHOWN = 500, 40, 200
EXPORT_PAGE = 500
JOIN_SCENES = {1: "员工邀请", 2: "邀请链接", 3: "扫码进群"}
QUIT_SCENES = {0: "自己退群", 1: "被移出群"}


@routes.get("/console/group-chats")
@for_managers
async def group_chats(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    text = request.query.get("q", "").strip()[:80]
    tag = request.query.get("tag", "").strip()[:30]
    state = request.query.get("state", "")
    now, zone = services.clock.now(), services.settings.shop.zone

    def look(conn: Connection) -> dict[str, Any]:
        found = list_store.list_groups(
            conn,
            text=text,
            tag=tag,
            is_dismissed={"over": True, "all": None}.get(state, False),
            before=before_of(request),
        )
        chat_ids = [row.chat_id for row in found.rows]
        return {
            "found": found,
            "tags": tag_store.list_tags(conn, chat_ids),
            "known_tags": tag_store.list_known_tags(conn),
            "changes": list_store.count_changes(conn, chat_ids, _midnight(now, zone), now + timedelta(seconds=1)),
            "reach": duplicate_store.count_reach(conn),
        }

    values = await services.db.read(look)
    return await page(request, "group_chats.html", active="group_chats", text=text, tag=tag, state=state, **values)


def _midnight(now: datetime, zone: ZoneInfo) -> datetime:
    return now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)


@routes.get("/console/group-chats/duplicates")
@for_managers
async def duplicates(request: web.Request) -> web.StreamResponse:
    """?tag= narrows to groups of one tag; ?after=TIMES.USERID goes on."""
    tag = request.query.get("tag", "").strip()[:30]

    def look(conn: Connection) -> dict[str, Any]:
        rows, following = duplicate_store.list_duplicates(conn, tag=tag, after=_after(request.query.get("after", "")))
        return {
            "rows": rows,
            "following": following,
            "known_tags": tag_store.list_known_tags(conn),
            "reach": duplicate_store.count_reach(conn),
        }

    values = await request.app[SERVICES].db.read(look)
    return await page(request, "group_duplicates.html", active="group_chats", tag=tag, **values)


def _after(text: str) -> tuple[int, str] | None:
    times, _, userid = text.partition(".")
    return (int(times), userid) if times.isascii() and times.isdigit() and len(times) < 7 and userid else None


@routes.get("/console/group-chats/duplicates.csv")
@for_managers
async def export_duplicates(request: web.Request) -> web.StreamResponse:
    """Streamed, one line per person and group; opens in Excel as UTF-8."""
    services = request.app[SERVICES]
    tag = request.query.get("tag", "").strip()[:30]
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": 'attachment; filename="group-duplicates.csv"',
            "Cache-Control": "no-store",
        }
    )
    await response.prepare(request)
    await response.write(b"\xef\xbb\xbf")
    async for piece in _csv(services, tag):
        await response.write(piece)
    await response.write_eof()
    return response


async def _csv(services: Services, tag: str) -> AsyncIterator[bytes]:
    zone = services.settings.shop.zone
    yield lines_of_csv([["客户", "客户 ID", "所在群数", "客户群", "群 ID", "群主", "入群时间"]])
    after: tuple[int, str] | None = None
    while True:
        rows, after = await services.db.read(duplicate_store.list_duplicates, tag=tag, after=after, limit=EXPORT_PAGE)
        yield lines_of_csv(
            [
                [
                    row.name, row.userid, str(len(row.groups)), group.group_name, group.chat_id,
                    group.owner_name or group.owner, f"{group.joined_at.astimezone(zone):%Y-%m-%d %H:%M}",
                ]
                for row in rows
                for group in row.groups
            ]
        )  # fmt: skip
        if after is None:
            return


def lines_of_csv(rows: list[list[str]]) -> bytes:
    """Rows of a file that Excel opens, without its byte order mark."""
    out = io.StringIO()
    csv.writer(out).writerows([[harmless(cell) for cell in row] for row in rows])
    return out.getvalue().encode()


def harmless(cell: str) -> str:
    """A name that a spreadsheet would take for a formula stays a text: people choose their own names."""
    return (
        f"'{cell}" if cell.lstrip(" ")[:1] in ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠") else cell
    )


@routes.get("/console/group-chats/figures")
@for_managers
async def figures(request: web.Request) -> web.StreamResponse:
    """From our own ledger; ?wecom=1 sets WeCom's own count of yesterday beside it."""
    services = request.app[SERVICES]
    now, zone = services.clock.now(), services.settings.shop.zone

    def look(conn: Connection) -> dict[str, Any]:
        return {
            "days": figure_store.count_days(conn, now, zone),
            "owners": figure_store.count_owners(conn, _midnight(now, zone) - timedelta(days=6))[:OWNERS_SHOWN],
            "reach": duplicate_store.count_reach(conn),
        }

    values = await services.db.read(look)
    is_compared = request.query.get("wecom") == "1"
    theirs, problem = await _wecom_figures(services, now) if is_compared else ({}, "")
    return await page(
        request,
        "group_figures.html",
        active="group_chats",
        is_compared=is_compared,
        theirs=theirs,
        problem=problem,
        **values,
    )


async def _wecom_figures(services: Services, now: datetime) -> tuple[dict[str, Any], str]:
    """WeCom's figures of yesterday by case-folded owner, or why there are none."""
    yesterday = _midnight(now, ZoneInfo("Asia/Shanghai")) - timedelta(days=1)
    owners = {row.owner for row in await services.db.read(store.list_living) if row.owner}
    found: dict[str, Any] = {}
    named = sorted(owners)
    try:
        for first in range(0, len(named), 100):
            page_ = await services.wecom.group_chats.statistic(yesterday, yesterday, owners=named[first : first + 100])
            found |= {figure.owner.lower(): figure for figure in page_}
    except WeComError as error:
        return {}, error.text
    return found, ""


@routes.get(f"/console/group-chats/{CHAT}")
@for_managers
async def group_chat(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    chat_id = request.match_info["chat_id"]
    now, zone = services.clock.now(), services.settings.shop.zone

    def look(conn: Connection) -> dict[str, Any]:
        group = list_store.get_group(conn, chat_id)
        if group is None:
            raise NotFound("没有这个客户群。请回到群列表重新查找")
        people = list_store.customers_within(conn, chat_id)
        return {
            "group": group,
            "people": people[:SEATS_SHOWN],
            "known": sum(row.person_id is not None for row in people),
            "tags": tag_store.list_tags(conn, [chat_id]).get(chat_id, []),
            "known_tags": tag_store.list_known_tags(conn),
            "days": figure_store.count_days(conn, now, zone, chat_id=chat_id),
            "changes": list_store.list_changes(conn, chat_id, limit=CHANGES_SHOWN),
            "names": member_names(conn, {group.owner, *group.admins}),
        }

    values = await services.db.read(look)
    return await page(
        request,
        "group_chat.html",
        active="group_chats",
        join_scenes=JOIN_SCENES,
        quit_scenes=QUIT_SCENES,
        queued=request.query.get("queued", ""),
        **values,
    )


@routes.post(f"/console/group-chats/{CHAT}/tags")
@for_managers
async def save_tags(request: web.Request) -> web.StreamResponse:
    """`tags` is one line: names parted by blanks, commas or 、."""
    chat_id = request.match_info["chat_id"]
    line = str((await request.post()).get("tags", ""))[:1000]
    for mark in "，,、；;":
        line = line.replace(mark, " ")

    def save(conn: Connection) -> None:
        if store.find_group(conn, chat_id) is None:
            raise NotFound("没有这个客户群。请回到群列表重新查找")
        tag_store.set_tags(conn, chat_id, line.split())

    await request.app[SERVICES].db.write(save)
    raise web.HTTPSeeOther(f"/console/group-chats/{chat_id}")


@routes.post(f"/console/group-chats/{CHAT}/refresh")
@for_managers
async def fetch_again(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    chat_id = request.match_info["chat_id"]
    if await services.db.read(store.find_group, chat_id) is None:
        raise NotFound("没有这个客户群。请回到群列表重新查找")
    await services.db.write(refresh.want_refresh, chat_id, now=services.clock.now())
    raise web.HTTPSeeOther(f"/console/group-chats/{chat_id}?queued=1")
