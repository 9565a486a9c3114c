"""批量操作: what is to be done with many customers, how far it has come, and what became of each."""

import secrets
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from multidict import MultiMapping
from sqlalchemy import Connection, Row

from scrm.console.customers.customers import count_words, narrowed_by
from scrm.console.door import MANAGER, before_of, for_managers, page
from scrm.customer_lists import bulk_kinds, bulk_store, columns, export, filters, views
from scrm.customer_lists import store as lists
from scrm.customer_lists.bulk_kinds import KINDS, Kind
from scrm.customer_lists.people import list_these
from scrm.db.tables import to_millis
from scrm.errors import Conflict, Forbidden, Invalid, NotFound
from scrm.profiles.tags import list_library
from scrm.services import SERVICES, Services
from scrm.sessions import SignedIn
from scrm.sop.enrol import Rules
from scrm.sop.shelf import house_of, playbooks_of
from scrm.sop.starts import list_startable
from scrm.transfers import list_store as transfer_lists
from scrm.wecom.transfers import MESSAGE_CHARS
from web.render import render

routes = web.RouteTableDef()

_JOB = r"/console/customers/bulk/{id:\d{1,18}}"
_SHOWN = 100
_NAMED = 8
MOST_TICKED = 500
MOST_TAGS = 10


@routes.get("/console/customers/bulk")
@for_managers
async def show_all(request: web.Request) -> web.StreamResponse:
    """Of everybody for those who reach everybody, else one's own."""
    member, before = request[MANAGER], before_of(request)
    whose = "" if member.scope.is_whole else member.userid
    rows = await request.app[SERVICES].db.read(bulk_store.list_jobs, whose, before=before, limit=_SHOWN)
    last = rows[-1].id if len(rows) == _SHOWN else None
    return await page(
        request,
        "bulk_jobs.html",
        active="customers",
        rows=rows,
        kinds=KINDS,
        states=bulk_kinds.STATES,
        before=last,
        choice_words=choice_words,
    )


@routes.get("/console/customers/bulk/new")
@for_managers
async def show_new(request: web.Request) -> web.StreamResponse:
    """?act=tag with person=..., or all=1 and the list's query: who is meant, and what is still to be said."""
    return await _form(request, request.query)


async def _form(
    request: web.Request, said: "MultiMapping[Any]", *, problem: str = "", status: int = 200
) -> web.Response:
    services, member = request.app[SERVICES], request[MANAGER]
    kind = _kind(member, str(said.get("act", "")))
    ids = _ids(said)
    wanted = filters.read_text(str(said.get("query", "")))
    is_all = said.get("all") == "1"
    now = services.clock.now()

    def look(conn: Connection) -> dict[str, Any]:
        narrowed, choices = narrowed_by(services, wanted), lists.list_choices(conn)
        found = lists.find_page(conn, narrowed, member.scope, now, limit=_NAMED).ids if is_all else ids[:_NAMED]
        return {
            "people": list_these(conn, found),
            "many": count_words(lists.count(conn, narrowed, member.scope, now)) if is_all else f"共 {len(ids)} 位",
            "told": filters.told(wanted, choices.names()) if is_all else [],
            **_choices(conn, services, kind, member),
        }

    values = await services.db.read(look)
    if not values["people"]:
        problem = problem or "还没有选中客户。请回到客户列表勾选"
    return await page(
        request,
        "bulk_new.html",
        active="customers",
        status=status,
        kind=kind,
        ids=ids,
        is_all=is_all,
        query=wanted.query(),
        said=said,
        chosen_tags=set(map(str, said.getall("tag", []))),
        problem=problem,
        once=secrets.token_urlsafe(16),
        message_chars=MESSAGE_CHARS,
        **values,
    )


def _choices(conn: Connection, services: Services, kind: Kind, member: SignedIn) -> dict[str, Any]:
    """What the kind's form offers."""
    match kind.key:
        case "tag" | "untag":
            groups: dict[str, list[str]] = {}
            for row in list_library(conn):
                groups.setdefault(row.group_name or "其他", []).append(row.tag_name)
            return {"tag_groups": groups}
        case "transfer":
            return {"takers": transfer_lists.list_takers(conn)}
        case "playbook":
            return {"playbooks": list_startable(Rules(playbooks_of(services), house_of(services)))}
        case "pool":
            return {}
    return {"titles": [each.title for each in columns.chosen(views.load_columns(conn, member.userid))]}


@routes.post("/console/customers/bulk")
@for_managers
async def begin(request: web.Request) -> web.StreamResponse:
    return await _begin(request)


@routes.post("/console/customers/bulk/export")
@for_managers
async def begin_export(request: web.Request) -> web.StreamResponse:
    """An address of its own, because it asks for a right of its own."""
    return await _begin(request, only="export")


async def _begin(request: web.Request, only: str = "") -> web.StreamResponse:
    services, member, form = request.app[SERVICES], request[MANAGER], await request.post()
    kind = _kind(member, str(form.get("act", "")))
    if (kind.key == "export") is not (only == "export") or kind.takes_back:
        raise Invalid("请求不完整，请回到客户列表重新选择")
    try:
        draft = bulk_store.Draft(
            kind=kind.key,
            selection=_selection(services, form),
            choice=await services.db.read(_read_choice, services, kind, form, member),
            by=member.userid,
            by_name=member.name,
            reach=member.scope.reach,
            once=str(form.get("once", ""))[:64] or secrets.token_urlsafe(16),
        )
    except Invalid as error:
        return await _form(request, form, problem=error.text, status=error.status)
    job_id = await services.db.write(bulk_store.add_job, draft, now=services.clock.now())
    raise web.HTTPSeeOther(f"/console/customers/bulk/{job_id}")


def _kind(member: SignedIn, key: str) -> Kind:
    kind = KINDS.get(key)
    if kind is None:
        raise NotFound("没有这种批量操作，请回到客户列表重新选择")
    if not bulk_kinds.may_begin(kind, member.may):
        raise Forbidden(f"没有批量{kind.title}的权限，请联系管理员")
    return kind


def _ids(said: "MultiMapping[Any]") -> list[int]:
    texts = [str(each) for each in said.getall("person", [])][:MOST_TICKED]
    return sorted({int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 19}, reverse=True)


def _selection(services: Services, form: "MultiMapping[Any]") -> dict[str, Any]:
    """A phone in the query is kept as its hash: what stands in a job is read by many."""
    if form.get("all") != "1":
        if ids := _ids(form):
            return {"ids": ids}
        raise Invalid("还没有选中客户。请回到客户列表勾选")
    wanted = filters.read_text(str(form.get("query", "")))
    narrowed = narrowed_by(services, wanted)
    if narrowed.problems:
        raise Invalid("；".join(narrowed.problems))
    if narrowed.phone_lookup:
        return {"query": wanted.query(q="手机号"), "phone_lookup": narrowed.phone_lookup}
    return {"query": wanted.query()}


def _read_choice(
    conn: Connection, services: Services, kind: Kind, form: "MultiMapping[Any]", member: SignedIn
) -> dict[str, Any]:
    """What the form says of the kind; raises Invalid in words."""
    match kind.key:
        case "tag" | "untag":
            known = {row.tag_name for row in list_library(conn)}
            names = [name for name in dict.fromkeys(map(str, form.getall("tag", []))) if name in known]
            if not 0 < len(names) <= MOST_TAGS:
                raise Invalid(f"请选 1 到 {MOST_TAGS} 个标签，现在选了 {len(names)} 个")
            return {"tags": names}
        case "transfer":
            taker = {row.userid: row.name for row in transfer_lists.list_takers(conn)}
            to, message = str(form.get("to", "")), str(form.get("message", "")).strip()
            if to not in taker:
                raise Invalid("请选择接替的员工")
            if len(message) > MESSAGE_CHARS:
                raise Invalid(f"给客户的消息有 {len(message)} 个字，最多 {MESSAGE_CHARS} 个字，请缩短")
            return {"to": to, "name": taker[to] or to, "message": message}
        case "playbook":
            offered = {each.key: each for each in list_startable(Rules(playbooks_of(services), house_of(services)))}
            if (found := offered.get(str(form.get("playbook", "")))) is None:
                raise Invalid("请选择要开始的剧本；只有正在运行、由员工手动开始的剧本可选")
            return {"playbook": found.key, "title": found.title}
        case "pool":
            return {}
    suffix = str(form.get("suffix", ""))
    if suffix not in export.SUFFIXES:
        raise Invalid("请选择文件格式")
    return {"suffix": suffix, "columns": [each.key for each in columns.chosen(views.load_columns(conn, member.userid))]}


# One job --------------------------------------------------------------------------------------------------------------


@routes.get(_JOB)
@for_managers
async def show(request: web.Request) -> web.StreamResponse:
    """Its progress alone where the page asks for it again."""
    state = request.query.get("state", "")
    state = state if state in bulk_kinds.RESULTS else ""
    after = before_of(request) or 0

    def look(conn: Connection) -> dict[str, Any]:
        job = _mine(request, conn)
        rows = bulk_store.list_results(conn, job.id, state=state, after=after, limit=_SHOWN)
        names = job.choice.get("tags", [])
        wishes = bulk_store.list_open_wishes(conn, rows, names) if names else {}
        return {"job": job, "kind": KINDS[job.kind], "rows": rows, "wishes": wishes}

    values = await request.app[SERVICES].db.read(look) | {
        "choice_words": choice_words,
        "address": f"/console/customers/bulk/{request.match_info['id']}",
        "states": bulk_kinds.STATES,
        "results": bulk_kinds.RESULTS,
        "undo_words": bulk_kinds.UNDO_WORDS,
        "state": state,
    }
    values["next"] = values["rows"][-1].person_id if len(values["rows"]) == _SHOWN else None
    if request.headers.get("HX-Request") and values["job"].state in bulk_store.OPEN:
        return render(request, "console/bulk_progress.html", member=request[MANAGER], **values)
    if request.headers.get("HX-Request"):
        return web.Response(headers={"HX-Refresh": "true"})
    return await page(request, "bulk_job.html", active="customers", **values)


@routes.post(_JOB + "/cancel")
@for_managers
async def cancel(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]

    def stop(conn: Connection) -> None:
        job = _mine(request, conn)
        if not bulk_store.cancel(conn, job.id, now=services.clock.now()):
            raise Conflict("这次操作已经结束，不能取消")

    await services.db.write(stop)
    raise web.HTTPSeeOther(f"/console/customers/bulk/{request.match_info['id']}")


@routes.post(_JOB + "/undo")
@for_managers
async def undo(request: web.Request) -> web.StreamResponse:
    """Take back what this job has changed, where it can be."""
    return await _follow_up(request, "undo")


@routes.post(_JOB + "/again")
@for_managers
async def again(request: web.Request) -> web.StreamResponse:
    """Try once more with those for whom it did not go well."""
    return await _follow_up(request, "again")


async def _follow_up(request: web.Request, act: str) -> web.StreamResponse:
    services, member = request.app[SERVICES], request[MANAGER]

    def add(conn: Connection) -> int:
        job = _mine(request, conn)
        kind = bulk_kinds.OPPOSITE.get(job.kind) if act == "undo" else job.kind if job.kind != "export" else None
        if kind is None or job.state in bulk_store.OPEN:
            raise Conflict("这次操作现在不能这样做，请刷新页面看看它的状态")
        _kind(member, kind)
        draft = bulk_store.Draft(
            kind=kind,
            selection={
                "job": job.id,
                "state": "done" if act == "undo" else "refused",
                "plain": act == "undo" and job.kind != "playbook",
            },
            choice={**job.choice, "of": job.id, "since": to_millis(job.created_at)} if act == "undo" else job.choice,
            by=member.userid,
            by_name=member.name,
            reach=member.scope.reach,
            once=f"{act}:{job.id}:{job.done + job.refused}",
        )
        return bulk_store.add_job(conn, draft, now=services.clock.now())

    job_id = await services.db.write(add)
    raise web.HTTPSeeOther(f"/console/customers/bulk/{job_id}")


@routes.get(_JOB + "/export")
@for_managers
async def download(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    job = await services.db.read(lambda conn: _mine(request, conn))
    path = export.folder_of(services) / job.file
    if not job.file or not path.is_file():
        raise NotFound("没有这个文件，可能已过 7 天。请重新导出")
    suffix = job.choice["suffix"]
    headers = {
        "Content-Disposition": f'attachment; filename="customers-{job.id}.{suffix}"',
        "Content-Type": export.TYPES[suffix],
        "Cache-Control": "no-store",
    }
    return web.FileResponse(path, headers=headers)


def _mine(request: web.Request, conn: Connection) -> Row[Any]:
    """The job of the address; somebody else's only for those who reach everybody."""
    job = bulk_store.get_job(conn, int(request.match_info["id"]))
    member = request[MANAGER]
    if job.kind not in KINDS:
        raise NotFound("没有这次批量操作，可能已超过 90 天")
    if job.by != member.userid and not member.scope.is_whole:
        raise Forbidden("这是同事做的批量操作，你的角色只能看自己的")
    return job


def choice_words(job: Row[Any]) -> str:
    """What was chosen, in a few words."""
    choice: Mapping[str, Any] = job.choice
    if "tags" in choice:
        return "、".join(choice["tags"])
    return str(choice.get("name") or choice.get("title") or choice.get("suffix", "").upper() or KINDS[job.kind].title)
