"""导入: files of orders and customers, checked before they are brought in, with progress and what could not be used."""

import asyncio
import re
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.commerce import restating, status_words
from scrm.commerce.connectors import CONNECTORS, KNOWN_HEADINGS
from scrm.commerce.connectors.mapped import FIELDS, REQUIRED, ColumnMapping
from scrm.commerce.connectors.reader import Scratch, clean, open_sheet
from scrm.commerce.connectors.suggesting import suggest
from scrm.commerce.own_fields import columns_for, fillable
from scrm.console.door import MANAGER, for_managers, page
from scrm.console.mall.status_words import StrangeWord, file_titles, of_import, shown
from scrm.db.vault import cover_phones
from scrm.errors import Invalid, NotFound
from scrm.imports import jobs, mappings, templates
from scrm.services import SERVICES, Services
from web.render import render

routes = web.RouteTableDef()

_JOB = r"/console/imports/{id:\d{1,18}}"
_STATES = {
    "waiting": ("等待上传", ""),
    "checking": ("正在检查", "busy"),
    "checked": ("检查完，未导入", "warn"),
    "running": ("正在导入", "busy"),
    "done": ("已导入", "good"),
    "stopping": ("正在停下", "busy"),
    "stopped": ("已停下", "warn"),
    "failed": ("没有成功", "bad"),
}


@routes.get("/console/imports")
@for_managers
async def show_all(request: web.Request) -> web.StreamResponse:
    db = request.app[SERVICES].db
    rows, strange = await db.read(jobs.list_jobs), await db.read(status_words.list_words)
    return await page(
        request,
        "imports.html",
        active="imports",
        rows=rows,
        kinds=jobs.KINDS,
        states=_STATES,
        strange=shown(strange, file_titles(strange)),
        **await _of_words(request),
    )


async def _of_words(request: web.Request) -> dict[str, Any]:
    """What the table of strange words needs."""
    return {
        "action": "/console/imports/status-words",
        "mapped": "mapped" in request.query,
        "left": await request.app[SERVICES].db.read(restating.count_left),
    }


@routes.put("/console/imports")
@for_managers
async def upload(request: web.Request) -> web.StreamResponse:
    """The file is the body, written to disk piece by piece; with `last` the check begins."""
    services, query = request.app[SERVICES], request.query
    name = re.sub(r"[^\w.\-（）() ]", "_", Path(query.get("name", "")).name)[-120:].strip() or "orders.csv"
    batch, kind = query.get("batch", ""), query.get("kind", "orders")
    if not re.fullmatch(r"[0-9a-f-]{36}", batch) or kind not in jobs.KINDS:
        raise Invalid("上传的请求不完整，请刷新页面再试")
    folder = jobs.folder_of(services, batch)
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    size = 0
    with (folder / name).open("wb") as out:
        async for piece in request.content.iter_chunked(1 << 20):
            size += len(piece)
            if size > jobs.MOST_BYTES:
                raise Invalid(f"“{name}”超过 2 GB，请按月份分开导出，或用命令行 scrm import 导入")
            await asyncio.to_thread(out.write, piece)
    now = services.clock.now()
    job_id = await services.db.write(jobs.add_file, batch, kind, name, request[MANAGER].userid, now=now)
    if query.get("last"):
        await services.db.write(jobs.start, job_id, check=True, now=now)
    return web.json_response({"url": f"/console/imports/{job_id}"})


@routes.get(_JOB)
@for_managers
async def show(request: web.Request) -> web.StreamResponse:
    job = await _job(request)
    values = {
        "job": job,
        "busy": jobs.BUSY,
        "kinds": jobs.KINDS,
        "states": _STATES,
        "formats": await _formats(request.app[SERVICES]),
    }
    if request.headers.get("HX-Request") and job.state in jobs.BUSY:
        return render(request, "console/import_progress.html", **values)
    if request.headers.get("HX-Request"):
        return web.Response(headers={"HX-Refresh": "true"})
    return await page(
        request,
        "import.html",
        active="imports",
        strange=await _strange(request.app[SERVICES], job),
        **await _of_words(request),
        **values,
    )


async def _strange(services: Services, job: Any) -> list[StrangeWord]:
    found = job.counts if job.state == "done" else job.forecast
    words = found.get("strange") if job.state in ("checked", "done") else None
    if not words:
        return []
    rows = await services.db.read(status_words.list_words, {status_words.of_file(job.format)})
    return of_import(job.format, words, {row.word: row.status for row in rows})


@routes.post(_JOB)
@for_managers
async def begin(request: web.Request) -> web.StreamResponse:
    """Check again with other choices, or import."""
    job, form = await _job(request), await request.post()
    shop_key = str(form.get("shop_key", "")).strip()
    if len(shop_key) > 80:
        raise Invalid("店铺编号最多 80 个字符")
    services = request.app[SERVICES]
    await services.db.write(
        jobs.start,
        job.id,
        check=form.get("act") != "import",
        now=services.clock.now(),
        format=str(form.get("format", ""))[:80],
        shop_key=shop_key,
        only_new=form.get("mode") == "only_new",
    )
    raise web.HTTPSeeOther(f"/console/imports/{job.id}")


@routes.post(_JOB + "/stop")
@for_managers
async def stop(request: web.Request) -> web.StreamResponse:
    """What is kept stays; beginning again goes on from there."""
    job = await _job(request)
    await request.app[SERVICES].db.write(jobs.stop, job.id)
    raise web.HTTPSeeOther(f"/console/imports/{job.id}")


@routes.get(_JOB + "/errors/{name}")
@for_managers
async def errors(request: web.Request) -> web.StreamResponse:
    """Rows that could not be used, with the reason behind; may be mended and uploaded."""
    job, name = await _job(request), request.match_info["name"]
    path = jobs.folder_of(request.app[SERVICES], job.folder) / name
    if name not in job.counts.get("error_files", ()) or not path.is_file():
        raise NotFound("没有这个文件，可能已过 30 天")
    return web.FileResponse(path, headers={"Content-Disposition": "attachment", "Cache-Control": "no-store"})


@routes.get(_JOB + "/mapping")
@for_managers
async def map_columns(request: web.Request) -> web.StreamResponse:
    job, services = await _job(request), request.app[SERVICES]
    saved = await services.db.read(mappings.find_mapping, job.format)
    return await _mapping_form(request, job, saved)


async def _mapping_form(
    request: web.Request, job: Any, filled: ColumnMapping | None, problem: str = ""
) -> web.StreamResponse:
    """The form as `filled`, or as the headings suggest."""
    services = request.app[SERVICES]
    headings, rows = await asyncio.to_thread(_peek, services, job)
    own = await services.db.read(_own_columns)
    fields = {**FIELDS, **own}
    chosen = suggest(headings, own, rows) if filled is None else filled.columns
    columns = _with_samples(headings, rows)
    response = await page(
        request,
        "import_mapping.html",
        active="imports",
        job=job,
        headings=headings,
        rows=rows,
        columns=columns,
        unused=[column for column in columns if column[0] not in chosen.values()],
        fields=fields,
        own=own,
        required=REQUIRED,
        chosen=chosen,
        missing=[name for name in REQUIRED if not chosen.get(name)],
        found=[name for name in fields if chosen.get(name)],
        rest=[name for name in fields if not chosen.get(name) and name not in REQUIRED],
        filled=filled or ColumnMapping("", {}),
        meanings=mappings.MEANINGS,
        problem=problem,
    )
    if problem:
        response.set_status(422)
    return response


@routes.post(_JOB + "/mapping")
@for_managers
async def save_columns(request: web.Request) -> web.StreamResponse:
    """Keep the mapping under its name and check the file with it."""
    job, form, services = await _job(request), await request.post(), request.app[SERVICES]
    headings, _ = await asyncio.to_thread(_peek, services, job)
    names = [*FIELDS, *await services.db.read(_own_columns)]
    columns = {name: heading for name in names if (heading := str(form.get(f"column-{name}", "")))}
    mapping = ColumnMapping(str(form.get("name", "")).strip(), columns, str(form.get("channel", "")), _words(form))
    now = services.clock.now()

    def save(conn: Connection) -> None:
        mappings.save_mapping(conn, mapping, headings, now=now)
        jobs.start(conn, job.id, check=True, now=now, format=f"mapped:{mapping.name}")

    try:
        await services.db.write(save)
    except Invalid as error:
        return await _mapping_form(request, job, mapping, error.text)
    raise web.HTTPSeeOther(f"/console/imports/{job.id}")


@routes.get(r"/console/imports/template/{kind:orders|customers}.{suffix:xlsx|csv}")
@for_managers
async def template(request: web.Request) -> web.StreamResponse:
    kind, suffix = request.match_info["kind"], "." + request.match_info["suffix"]
    titles = await request.app[SERVICES].db.read(templates.headings, kind)
    name = {"orders": "orders", "customers": "customers"}[kind] + suffix
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(body=templates.table(titles, suffix), headers=headers, content_type="application/octet-stream")


async def _job(request: web.Request) -> Any:
    return await request.app[SERVICES].db.read(jobs.get_job, int(request.match_info["id"]))


async def _formats(services: Services) -> list[tuple[str, str]]:
    saved = await services.db.read(mappings.list_mappings)
    return [(one.key, one.title) for one in CONNECTORS] + [(f"mapped:{row.name}", f"映射：{row.name}") for row in saved]


def _peek(services: Services, job: Any) -> tuple[list[str], list[list[str]]]:
    """The headings of a job's first file and its first rows, whatever they are called."""
    path = jobs.folder_of(services, job.folder) / job.files[0]
    with Scratch() as scratch:
        try:
            sheet = open_sheet(path, KNOWN_HEADINGS, scratch)
        except Invalid:
            sheet = open_sheet(path, frozenset(), scratch, at_least=0)
        places = [place for place, title in enumerate(sheet.titles) if clean(title)]
        rows = []
        for line in sheet.rows():
            rows.append([cover_phones(clean(line.cells[place]))[:40] for place in places])
            if len(rows) == 3:
                break
        return [clean(sheet.titles[place]) for place in places], rows


def _with_samples(headings: list[str], rows: list[list[str]]) -> list[tuple[str, str]]:
    """Each heading with the first thing that stands below it, short enough for one line of a choice."""
    samples = (next((row[place] for row in rows if row[place]), "") for place in range(len(headings)))
    return [
        (heading, f"{sample[:15]}…" if len(sample) > 16 else sample)
        for heading, sample in zip(headings, samples, strict=True)
    ]


def _own_columns(conn: Connection) -> dict[str, str]:
    return columns_for(fillable(conn).fields)


def _words(form: Any) -> dict[str, str]:
    """结束=已完成, one a line."""
    lines = [
        line.replace("＝", "=").partition("=") for line in str(form.get("statuses", "")).splitlines() if line.strip()
    ]
    return {word.strip(): mappings.meaning_of(status) for word, _, status in lines}
