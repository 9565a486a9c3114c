"""剧本的文字与版本: a draft written in the console, what it would change, and the life of a playbook."""

import asyncio
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm import audit
from scrm.access.modules import APPROVE
from scrm.console.door import MANAGER, for_managers, page
from scrm.console.playbooks import in_words as reading
from scrm.errors import Conflict, Invalid, NotFound, ScrmError
from scrm.services import SERVICES, Services
from scrm.sop.board import starting
from scrm.sop.life import draft_locks, drafts, estimates, lifecycle
from scrm.sop.life import migration as migrate_runs
from scrm.sop.life import published as publishing
from scrm.sop.life import store as lifecycle_store
from scrm.sop.life.drafts import Checked, Outcome
from scrm.sop.life.published import By
from scrm.sop.schema import Playbook
from scrm.sop.shelf import playbooks_of, terms_of
from scrm.sop.text import diff
from scrm.sop.text.json_schema import json_schema
from scrm.sop.text.reading import Problem
from web.render import render

routes = web.RouteTableDef()

_KEY = "{key:[a-z0-9][a-z0-9_-]{0,63}}"
_OF = f"/console/playbooks/{_KEY}"
_MOST_FILES = 200
_MOST_BYTES = 1_000_000
STARTER = """\
playbook: my-playbook          # 编号：小写字母、数字和 -，发布后不能改
title: 新剧本
trigger: {event: contact.added}
run_key: person                # 同一位客户只算一次
reentry: never
exit_if: {event: order.paid}   # 付款后不再打扰；没有就写 none
goal: {event: order.paid, within: 7d}
guards: {quiet: inherit, cap: inherit}
steps:
  - id: hello
    title: 打招呼
    at: T0+2h
    window: "10:00-20:00"
    late: defer                # 错过时段：defer 顺延，drop 放弃
    ttl: 24h                   # 员工多久没发就作废
    channel: T                 # 员工待办
    content:
      text: "{{ nickname | default('您') }}好，我是{{ staff | default('您的顾问') }}，有什么可以帮您？"
"""
ORIGINS = {"file": "文件", "console": "后台", "cli": "命令行"}


# Writing --------------------------------------------------------------------------------------------------------------


@routes.get("/console/playbooks/new")
@for_managers
async def show_new(request: web.Request) -> web.StreamResponse:
    """A starter, or the template that was chosen, to be changed and kept as a draft."""
    directory, wanted = request.app[SERVICES].settings.playbooks.dir, request.query.get("template", "")
    chosen = next((path for path in publishing.list_templates(directory) if path.stem == wanted), None)
    return await _show_new(request, STARTER if chosen is None else publishing.read_text(chosen))


async def _show_new(
    request: web.Request, source: str, *, problem: str = "", status: int = 200, imported: Any = None
) -> web.StreamResponse:
    directory = request.app[SERVICES].settings.playbooks.dir
    return await page(
        request,
        "playbook_text_new.html",
        active="playbooks",
        status=status,
        source=source,
        problem=problem,
        imported=imported,
        templates=await asyncio.to_thread(publishing.template_titles, directory),
        chosen=request.query.get("template", ""),
    )


@routes.post("/console/playbooks/new")
@for_managers
async def create(request: web.Request) -> web.StreamResponse:
    """A new draft under the key that the text gives itself."""
    services, form = request.app[SERVICES], await request.post()
    source = str(form.get("source", "")).replace("\r\n", "\n")

    def write(conn: Connection) -> str:
        key = drafts.key_of(source)
        if publishing.find_current(conn, key) is not None:
            raise Conflict(f"编号 {key} 已经有剧本了，请换一个编号，或到那个剧本里编辑")
        drafts.save(conn, key, source, _who(request), now=services.clock.now())
        audit.changed(conn, "draft", key, None, {"text": source})
        return key

    try:
        key = await services.db.write(write)
    except ScrmError as error:
        return await _show_new(request, source, problem=error.text, status=error.status)
    raise web.HTTPSeeOther(f"/console/playbooks/{key}/edit")


@routes.get(f"{_OF}/edit")
@for_managers
async def edit(request: web.Request) -> web.StreamResponse:
    services, key = request.app[SERVICES], request.match_info["key"]

    def look(conn: Connection) -> dict[str, Any]:
        draft, current = lifecycle_store.find_draft(conn, key), publishing.find_current(conn, key)
        if draft is None and current is None:
            raise NotFound(f"没有编号为 {key} 的剧本或草稿")
        source = draft.source if draft is not None else current.source  # type: ignore[union-attr]
        return {
            "draft": draft,
            "current": current,
            "source": source,
            "checked": drafts.check(conn, source, key, terms_of(services)),
            "lock": draft_locks.tell(conn, key, _who(request), services.clock.now()),
        }

    values = await services.db.read(look)
    return await page(
        request, "playbook_text_edit.html", active="playbooks", key=key, seen_at=_seen_at(values["draft"]), **values
    )


@routes.post(f"{_OF}/edit/check")
@for_managers
async def check(request: web.Request) -> web.StreamResponse:
    """As the author writes: the text is kept, and what is wrong with it comes back with its lines."""
    services, form = request.app[SERVICES], await request.post()
    key, source = request.match_info["key"], str(form.get("source", "")).replace("\r\n", "\n")
    conflict = ""
    try:
        draft = await services.db.write(
            _save, key, source, _who(request), services.clock.now(), _moment(form.get("seen_at"))
        )
        seen_at = _seen_at(draft)
    except Conflict as error:
        conflict, seen_at = error.text, str(form.get("seen_at", ""))
    checked = await services.db.read(drafts.check, source, key, terms_of(services))
    return render(
        request,
        "console/playbook_text_problems.html",
        key=key,
        member=request[MANAGER],
        lock=await services.db.read(draft_locks.tell, key, _who(request), services.clock.now()),
        checked=checked,
        seen_at=seen_at,
        conflict=conflict,
        saved_at=services.clock.now(),
    )


@routes.post(f"{_OF}/edit")
@for_managers
async def leave_editor(request: web.Request) -> web.StreamResponse:
    """Keep the draft and see what it would change, or throw it away."""
    services, form = request.app[SERVICES], await request.post()
    key = request.match_info["key"]
    if form.get("do") == "discard":
        current = await services.db.write(_discard, key, _who(request), services.clock.now())
        raise web.HTTPSeeOther(f"/console/playbooks/{key}/versions" if current else "/console/playbooks")
    source = str(form.get("source", "")).replace("\r\n", "\n")
    draft = await services.db.write(
        _save, key, source, _who(request), services.clock.now(), _moment(form.get("seen_at"))
    )
    if draft is None:
        raise web.HTTPSeeOther(f"/console/playbooks/{key}/versions")
    raise web.HTTPSeeOther(f"/console/playbooks/{key}/review")


def _save(conn: Connection, key: str, source: str, by: str, now: datetime, seen_at: datetime | None) -> Any:
    """The draft as it is kept, while nobody else writes it; raises Conflict."""
    draft_locks.hold(conn, key, by, now)
    return drafts.save(conn, key, source, by, now=now, seen_at=seen_at)


def _discard(conn: Connection, key: str, by: str, now: datetime) -> bool:
    draft_locks.hold(conn, key, by, now)
    drafts.discard(conn, key)
    draft_locks.let_go(conn, key)
    return publishing.find_current(conn, key) is not None


# One at a time --------------------------------------------------------------------------------------------------------


@routes.get(f"{_OF}/lock")
@for_managers
async def show_lock(request: web.Request) -> web.StreamResponse:
    """Who else writes at the moment; asked for by an open editor now and then."""
    services, key = request.app[SERVICES], request.match_info["key"]
    lock = await services.db.read(draft_locks.tell, key, _who(request), services.clock.now())
    at = "text" if request.query.get("at") == "text" else ""
    return render(request, "console/playbook_lock.html", key=key, lock=lock, at_text=at, member=request[MANAGER])


@routes.post(f"{_OF}/lock")
@for_managers
async def take_over(request: web.Request) -> web.StreamResponse:
    """Write in another one's stead; `word` is what he will read."""
    services, form = request.app[SERVICES], await request.post()
    key, now = request.match_info["key"], services.clock.now()
    await services.db.write(draft_locks.take_over, key, _who(request), str(form.get("word", "")), now)
    if request.headers.get("HX-Request"):
        return render(request, "console/playbook_lock.html", key=key, lock="", member=request[MANAGER])
    raise web.HTTPSeeOther(f"/console/playbooks/{key}/{'edit' if form.get('at') == 'text' else 'board'}")


# Judging and publishing -----------------------------------------------------------------------------------------------


@routes.get(f"{_OF}/review")
@for_managers
async def review(request: web.Request) -> web.StreamResponse:
    """What publishing the draft would change, reach and cost."""
    return await _review(request)


async def _review(request: web.Request, problem: ScrmError | None = None) -> web.StreamResponse:
    services, key = request.app[SERVICES], request.match_info["key"]
    values = await services.db.read(_look_at_draft, services, key)
    may_approve = request[MANAGER].may("playbooks", APPROVE) or values["draft"].asked_by != _who(request)
    return await page(
        request,
        "playbook_text_review.html",
        active="playbooks",
        status=problem.status if problem else 200,
        problem=problem.text if problem else "",
        key=key,
        may_approve=may_approve,
        **values,
    )


def _look_at_draft(conn: Connection, services: Services, key: str) -> dict[str, Any]:
    draft, current = lifecycle_store.find_draft(conn, key), publishing.find_current(conn, key)
    if draft is None:
        raise NotFound("没有草稿，可能已被发布或放弃。请回到剧本列表")
    terms = terms_of(services)
    checked = drafts.check(conn, draft.source, key, terms)
    before = publishing.read_kept(conn, current.source, key, current.contents) if current is not None else None
    found = reasons = warnings = None
    if checked.playbook is not None:
        found = estimates.estimate(conn, checked.playbook, services.clock.now())
        reasons = estimates.reasons_to_approve(checked.playbook, found, terms.limits)
        warnings = [*_unwritten(checked.playbook), *estimates.warnings(found)]
    return {
        "draft": draft,
        "current": current,
        "checked": checked,
        "changes": _changes(before, checked.playbook),
        "lines": diff.text_lines(current.source if current is not None else "", draft.source),
        "estimate": found,
        "reasons": reasons or [],
        "warnings": warnings or [],
        "is_behind": current is not None and draft.based_on != current.version,
    }


def _unwritten(playbook: Playbook) -> list[str]:
    """Steps that would tell customers what every new step says."""
    return [
        f"“{step.title or step.id}”的话术还是新步骤自带的那句，发布前请写好"
        for step in playbook.steps
        if any(starting.is_unwritten(step.channel.value, said.text) for said in step.contents)
    ]


def _changes(before: Playbook | None, after: Playbook | None) -> list[diff.Change]:
    if after is None:
        return []
    return diff.list_changes(before, after, lambda tree: reading.read_condition(tree, after))


@routes.post(f"{_OF}/{{verdict:publish|approve|refuse|rebase}}")
@for_managers
async def judge(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    key, verdict = request.match_info["key"], request.match_info["verdict"]
    by, now, terms = _by(request, form), services.clock.now(), terms_of(services)
    is_administrator = request[MANAGER].may("playbooks", APPROVE)
    outcome: Outcome | None = None
    try:
        match verdict:
            case "publish":
                outcome = await services.db.write(partial(drafts.publish, now=now), key, by, terms)
            case "approve":
                approve = partial(drafts.approve, is_administrator=is_administrator, now=now)
                outcome = await services.db.write(approve, key, by, terms)
            case "refuse":
                await services.db.write(partial(drafts.refuse, now=now), key, by)
            case _:
                await services.db.write(partial(drafts.rebase, now=now), key)
    except (Invalid, Conflict) as error:
        return await _review(request, error)
    await _look_again(services)
    if outcome is None or outcome.state == "pending":
        raise web.HTTPSeeOther(f"/console/playbooks/{key}/review")
    raise web.HTTPSeeOther(f"/console/playbooks/{key}/versions")


# Versions and life ----------------------------------------------------------------------------------------------------


@routes.get(f"{_OF}/versions")
@for_managers
async def versions(request: web.Request) -> web.StreamResponse:
    return await _versions(request)


async def _versions(request: web.Request, problem: ScrmError | None = None) -> web.StreamResponse:
    services, key = request.app[SERVICES], request.match_info["key"]
    values = await services.db.read(_look_at_versions, services, key)
    return await page(
        request,
        "playbook_text_versions.html",
        active="playbooks",
        status=problem.status if problem else 200,
        problem=problem.text if problem else "",
        key=key,
        origins=ORIGINS,
        change_words=lifecycle.CHANGE_WORDS,
        states=lifecycle.WORDS,
        say_change=say_change,
        **values,
    )


def _look_at_versions(conn: Connection, services: Services, key: str) -> dict[str, Any]:
    row = lifecycle_store.find_playbook(conn, key)
    if row is None:
        raise NotFound(f"没有编号为 {key} 的剧本")
    living = lifecycle_store.count_living(conn, key)
    by_version: dict[int, int] = {}
    for each in living:
        by_version[each.version] = by_version.get(each.version, 0) + each.people
    return {
        "row": row,
        "draft": lifecycle_store.find_draft(conn, key),
        "versions": lifecycle_store.list_versions(conn, key),
        "changes": lifecycle_store.list_changes(conn, key),
        "people": sum(by_version.values()),
        "held": sum(each.people for each in living if each.state == "paused"),
        "by_version": by_version,
        "behind": sum(people for version, people in by_version.items() if version != row.version),
    }


def say_change(row: Any) -> str:
    """What there is to say of one line of the history besides who and when."""
    facts: Mapping[str, Any] = row.facts
    said = []
    match row.act:
        case "published":
            said.append(f"第 {row.version} 版，来自{ORIGINS.get(facts.get('origin', ''), '文件')}")
        case "rolled_back":
            said.append(f"第 {row.version} 版，文字同第 {facts.get('to')} 版")
        case "paused":
            said.append("在途客户停在原地" if facts.get("runs") == "held" else "在途客户继续走完")
        case "retired":
            said.append("在途客户结束" if facts.get("runs") == "end" else "在途客户继续走完")
        case "resumed" if "dates" in facts:
            said.append("在途客户日期顺延" if facts["dates"] == "shift" else "在途客户按原日期，过期的放弃")
        case "migrated" | "restarted":
            said.append(f"{facts.get('people', 0):,} 位 → 第 {row.version} 版")
        case "asked":
            said += list(facts.get("reasons", []))
    return "；".join([*said, *([row.why] if row.why else [])])


@routes.get(f"{_OF}/versions/diff")
@for_managers
async def compare(request: web.Request) -> web.StreamResponse:
    services, key = request.app[SERVICES], request.match_info["key"]
    old, new = (_number(request.query.get(name, "")) for name in ("from", "to"))

    def look(conn: Connection) -> dict[str, Any]:
        row = lifecycle_store.find_playbook(conn, key)
        before, after = (lifecycle_store.find_version(conn, key, number) for number in (old, new))
        if row is None or before is None or after is None:
            raise NotFound("没有这两个版本，请回到版本列表重新选择")
        one, two = (publishing.read_kept(conn, each.source, key, each.contents) for each in (before, after))
        return {
            "row": row,
            "before": before,
            "after": after,
            "changes": _changes(one, two) if one is not None else [],
            "is_readable": one is not None and two is not None,
            "lines": diff.text_lines(before.source, after.source),
            "versions": lifecycle_store.list_versions(conn, key),
        }

    return await page(request, "playbook_text_diff.html", active="playbooks", key=key, **await services.db.read(look))


@routes.post(f"{_OF}/rollback")
@for_managers
async def roll_back(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    key, version = request.match_info["key"], _number(str(form.get("version", "")))
    work = partial(drafts.roll_back, now=services.clock.now())
    try:
        await services.db.write(work, key, version, _by(request, form), terms_of(services))
    except Invalid as error:
        return await _versions(request, error)
    await _look_again(services)
    raise web.HTTPSeeOther(f"/console/playbooks/{key}/versions")


@routes.post(f"{_OF}/life/{{act:pause|resume|retire|archive|restore}}")
@for_managers
async def turn(request: web.Request) -> web.StreamResponse:
    """Pause, resume, retire: with what becomes of those under way."""
    services, form = request.app[SERVICES], await request.post()
    key, now = request.match_info["key"], services.clock.now()
    acts: dict[str, Callable[..., None]] = {
        "pause": partial(lifecycle.pause, hold=form.get("runs") == "held", now=now),
        "resume": partial(lifecycle.resume, shift=form.get("dates") != "keep", now=now),
        "retire": partial(lifecycle.retire, end_runs=form.get("runs") == "end", now=now),
        "archive": partial(lifecycle.archive, now=now),
        "restore": partial(lifecycle.restore, now=now),
    }
    try:
        await services.db.write(acts[request.match_info["act"]], key, _by(request, form))
    except Conflict as error:
        return await _versions(request, error)
    await _look_again(services)
    raise web.HTTPSeeOther(f"/console/playbooks/{key}/versions")


@routes.get(f"{_OF}/migrate")
@for_managers
async def show_migration(request: web.Request) -> web.StreamResponse:
    """Who is under way in older versions, and where each would go."""
    services, key = request.app[SERVICES], request.match_info["key"]
    row = await services.db.read(lifecycle_store.find_playbook, key)
    preview = await services.db.read(migrate_runs.preview, playbooks_of(services), key)
    return await page(
        request,
        "playbook_text_migrate.html",
        active="playbooks",
        key=key,
        row=row,
        preview=preview,
        modes=migrate_runs.MODES,
    )


@routes.post(f"{_OF}/migrate")
@for_managers
async def migrate(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    key = request.match_info["key"]
    start = partial(migrate_runs.start, now=services.clock.now())
    await services.db.write(start, playbooks_of(services), key, str(form.get("mode", "")), _by(request, form))
    raise web.HTTPSeeOther(f"/console/playbooks/{key}/versions")


# Texts in and out -----------------------------------------------------------------------------------------------------


@routes.get(f"{_OF}/text")
@for_managers
async def download(request: web.Request) -> web.StreamResponse:
    """The text of a version, the current one without ?version=."""
    services, key = request.app[SERVICES], request.match_info["key"]
    wanted = request.query.get("version")

    def look(conn: Connection) -> Any:
        if wanted:
            return lifecycle_store.find_version(conn, key, _number(wanted))
        return publishing.find_current(conn, key)

    row = await services.db.read(look)
    if row is None:
        raise NotFound("没有这个版本")
    return _file(row.source.encode(), f"{key}.yaml", "application/yaml; charset=utf-8")


@routes.get("/console/playbooks.zip")
@for_managers
async def download_all(request: web.Request) -> web.StreamResponse:
    """Every current text, to be imported elsewhere."""
    sources = await request.app[SERVICES].db.read(publishing.list_sources)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as files:
        for key, source in sources.items():
            files.writestr(f"{key}.yaml", source)
    return _file(packed.getvalue(), "playbooks.zip", "application/zip")


@routes.get("/console/playbooks/schema.json")
@for_managers
async def download_schema(request: web.Request) -> web.StreamResponse:
    """The format as JSON Schema, for an editor that completes and checks."""
    body = json.dumps(json_schema(), ensure_ascii=False, indent=2).encode()
    return _file(body, "scrm-playbook.schema.json", "application/schema+json; charset=utf-8")


@routes.post("/console/playbooks/import")
@for_managers
async def import_texts(request: web.Request) -> web.StreamResponse:
    """Files (.yaml or a .zip of them) become drafts: nothing runs before it is published."""
    services, form = request.app[SERVICES], await request.post()
    imported, problem = [], ""
    try:
        for name, source in _unpack(form.getall("files", ())):
            imported.append(await services.db.write(_keep, services, name, source, _who(request)))
    except ScrmError as error:
        problem = error.text
    return await _show_new(request, STARTER, problem=problem, status=422 if problem else 200, imported=imported)


def _keep(conn: Connection, services: Services, name: str, source: str, by: str) -> dict[str, Any]:
    """One file as a draft: its key, and what is still wrong with it."""
    source = source.replace("\r\n", "\n")
    try:
        key = drafts.key_of(source)
    except Invalid as error:
        return {"name": name, "key": "", "state": "refused", "checked": Checked(None, [Problem(1, error.text)])}
    is_kept = drafts.save(conn, key, source, by, now=services.clock.now()) is not None
    checked = drafts.check(conn, source, key, terms_of(services))
    return {"name": name, "key": key, "state": "draft" if is_kept else "same", "checked": checked}


def _unpack(files: Any) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for file in files:
        if not isinstance(file, web.FileField):
            continue
        body = file.file.read(_MOST_BYTES * 10)
        if file.filename.endswith(".zip"):
            found += _unzip(body)
        else:
            found.append((file.filename, body[:_MOST_BYTES].decode("utf-8-sig", "replace")))
    if not found:
        raise Invalid("没有选择文件：请选 .yaml 文件，或导出的 .zip")
    return found[:_MOST_FILES]


def _unzip(body: bytes) -> list[tuple[str, str]]:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as packed:
            entries = [each for each in packed.infolist() if each.filename.endswith((".yaml", ".yml"))]
            if len(entries) > _MOST_FILES or any(each.file_size > _MOST_BYTES for each in entries):
                raise Invalid(f"压缩包里最多 {_MOST_FILES} 个剧本，每个不超过 1 MB")
            return [(each.filename, packed.read(each).decode("utf-8-sig", "replace")) for each in entries]
    except zipfile.BadZipFile:
        raise Invalid("这个压缩包打不开，请选本系统导出的 .zip") from None


def _file(body: bytes, name: str, content_type: str) -> web.Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Type": content_type}
    return web.Response(body=body, headers={**headers, "X-Content-Type-Options": "nosniff"})


# Small things ---------------------------------------------------------------------------------------------------------


def _who(request: web.Request) -> str:
    return str(request[MANAGER].userid)


def _by(request: web.Request, form: Mapping[str, Any]) -> By:
    return By(_who(request), "console", str(form.get("why", "")).strip()[:300])


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def _seen_at(draft: Any) -> str:
    """Which draft the author has before him, in milliseconds; empty for none."""
    return "" if draft is None else str(round(draft.saved_at.timestamp() * 1000))


def _moment(text: Any) -> datetime | None:
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > 14:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(text))


async def _look_again(services: Services) -> None:
    """Other processes look within seconds; this one at once, so that the page is true."""
    await services.db.read(playbooks_of(services).refresh)
