"""Words for an order's state that nobody knew, and the form that says what they mean: on the page of their source."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiohttp import web
from sqlalchemy import Connection

from scrm.commerce import restating, status_words
from scrm.commerce.connectors import CONNECTORS
from scrm.commerce.connectors.mapped import PREFIX
from scrm.commerce.connectors.status_words import Seen
from scrm.commerce.hooks.kinds import hooks_of
from scrm.commerce.pulls.kinds import pulls_of
from scrm.commerce.words import taken_as
from scrm.console.door import MANAGER, for_managers
from scrm.errors import Invalid
from scrm.services import SERVICES

routes = web.RouteTableDef()


class StrangeWord(NamedTuple):
    """One word as the table shows it."""

    source: str
    title: str
    word: str
    seen: int
    order_no: str
    # What orders with it were taken for, in words.
    taken_as: str
    status: str

    @property
    def meanings(self) -> Mapping[str, str]:
        """What it may mean."""
        return status_words.meanings(self.word)


def shown(rows: Iterable[Any], titles: Mapping[str, str]) -> list[StrangeWord]:
    """What is kept, with the names of its sources."""
    return [
        StrangeWord(
            row.source,
            titles.get(row.source, row.source),
            row.word,
            row.seen,
            row.order_no,
            taken_as(row.taken_as),
            row.status,
        )
        for row in rows
    ]


def of_import(format_key: str, strange: Mapping[str, Sequence[Any]], own: Mapping[str, str]) -> list[StrangeWord]:
    """What one import found, whether it was a check or kept anything; `own` says what was mapped since."""
    source = status_words.of_file(format_key)
    seen = {word: Seen(*told) for word, told in strange.items()}
    return [
        StrangeWord(source, "", word, one.times, one.order_no, taken_as(one.taken_as), own.get(word, ""))
        for word, one in sorted(seen.items(), key=lambda item: -item[1].times)
    ]


def file_titles(rows: Iterable[Any]) -> dict[str, str]:
    """The formats of files, by the source of their words."""
    titles = {status_words.of_file(one.key): one.title for one in CONNECTORS}
    saved = (row.source for row in rows)
    return {source: f"映射：{source.removeprefix(status_words.of_file(PREFIX))}" for source in saved} | titles


@routes.post("/console/imports/status-words")
@for_managers
async def of_files(request: web.Request) -> web.StreamResponse:
    form = await request.post()
    job = str(form.get("job", ""))
    back = f"/console/imports/{job}" if job.isascii() and job.isdecimal() else "/console/imports"
    return await _save(request, lambda source: source.startswith(status_words.of_file("")), back)


@routes.post("/console/sources/status-words")
@for_managers
async def of_pulls(request: web.Request) -> web.StreamResponse:
    return await _save(request, pulls_of(request.app[SERVICES]).__contains__, "/console/sources")


@routes.post("/console/hooks/status-words")
@for_managers
async def of_hooks(request: web.Request) -> web.StreamResponse:
    return await _save(request, hooks_of(request.app[SERVICES]).__contains__, "/console/hooks")


async def _save(request: web.Request, is_ours: Any, back: str) -> web.StreamResponse:
    """All rows of the form at once; those that are as they were change nothing."""
    services, form = request.app[SERVICES], await request.post()
    said = list(zip(*(map(str, form.getall(name, [])) for name in ("source", "word", "status")), strict=True))
    if not all(is_ours(source) and word.strip() for source, word, _ in said):
        raise Invalid("列表已经变了，请刷新页面再保存")
    now, by = services.clock.now(), request[MANAGER].userid

    def save(conn: Connection) -> None:
        for source, word, status in said:
            if status_words.map_word(conn, source, word, status, by=by, now=now) and status:
                restating.ask(conn, source, word, now=now)

    await services.db.write(save)
    raise web.HTTPSeeOther(f"{back}?mapped")
