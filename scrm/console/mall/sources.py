"""数据来源: the sources that are asked for orders, how far each is, and what could not be read."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from aiohttp import web

from scrm.commerce import restating, status_words
from scrm.commerce.connectors.pull import Pull, Stream
from scrm.commerce.pulls import run, store
from scrm.commerce.pulls.kinds import pulls_of
from scrm.console.door import for_managers, page
from scrm.console.mall.status_words import shown
from scrm.errors import NotFound
from scrm.profiles.words import Word
from scrm.services import SERVICES

routes = web.RouteTableDef()


class Board(NamedTuple):
    """One stream of a source, as a manager reads it."""

    stream: Stream
    state: Word
    # How far what we have is behind the present, in words; empty before the first pull.
    lag: str
    row: Any


@routes.get("/console/sources")
@for_managers
async def sources(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    now = services.clock.now()
    cursors = await services.db.read(store.list_cursors)
    pulls = list(pulls_of(services).values())
    boards = [
        (pull, [_board(stream, cursors.get((pull.key, stream.key)), now) for stream in pull.streams]) for pull in pulls
    ]
    rejects = await services.db.read(store.list_rejects)
    titles = {pull.key: pull.shown for pull in pulls}
    asked = request.query.get("asked", "") if request.query.get("asked", "") in titles else ""
    return await page(
        request,
        "sources.html",
        active="sources",
        boards=boards,
        rejects=rejects,
        titles=titles,
        streams={(pull.key, stream.key): stream.title for pull in pulls for stream in pull.streams},
        most=store.MOST_SHOWN_REJECTS,
        asked=asked,
        is_going_on=bool(asked) and await services.db.read(run.is_going_on, asked),
        again="again" in request.query,
        strange=shown(await services.db.read(status_words.list_words, titles.keys()), titles),
        action="/console/sources/status-words",
        mapped="mapped" in request.query,
        left=await services.db.read(restating.count_left, titles.keys()),
    )


@routes.post("/console/sources/{source}/pull")
@for_managers
async def pull_now(request: web.Request) -> web.StreamResponse:
    """Leaves the work to the sync lane; a second press while it waits changes nothing."""
    services = request.app[SERVICES]
    pull = _source(request)
    await services.db.write(run.ask_now, pull, now=services.clock.now())
    raise web.HTTPSeeOther(f"/console/sources?asked={pull.key}")


@routes.post("/console/sources/{source}/replay")
@for_managers
async def replay(request: web.Request) -> web.StreamResponse:
    """Reads what could not be read once more, after somebody has mended settings or program."""
    services = request.app[SERVICES]
    pull = _source(request)
    await services.db.write(run.ask_replay, pulls_of(services), pull.key, now=services.clock.now())
    raise web.HTTPSeeOther("/console/sources?again")


def _source(request: web.Request) -> Pull:
    pull = pulls_of(request.app[SERVICES]).get(request.match_info["source"])
    if pull is None:
        raise NotFound("没有这个数据来源，可能已经从设置里移除")
    return pull


def _board(stream: Stream, row: Any, now: datetime) -> Board:
    if row is None or row.started_at is None:
        return Board(stream, Word("还没有拉取"), "", row)
    behind = now - row.reached_at if row.reached_at is not None else None
    if row.failures:
        state = Word("出错，稍后重试", "bad")
    elif row.ended_at is None or row.ended_at < row.started_at:
        state = Word("拉取中", "info")
    elif behind is None or behind > 3 * stream.every + stream.lag:
        state = Word("正在补历史", "info") if row.due_at <= now else Word("落后", "warn")
    else:
        state = Word("正常", "good")
    return Board(stream, state, "" if behind is None else in_words(behind), row)


def in_words(span: timedelta) -> str:
    """In the largest fitting unit."""
    minutes = max(0, int(span.total_seconds() // 60))
    if minutes < 1:
        return "不到 1 分钟"
    if minutes < 120:
        return f"{minutes} 分钟"
    return f"{minutes // 60} 小时" if minutes < 2 * 24 * 60 else f"{minutes // (24 * 60)} 天"
