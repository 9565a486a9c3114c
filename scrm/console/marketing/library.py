"""素材与话术: folders, the list, the editor with its preview, versions and approval, words, figures, tables in and out."""

import asyncio
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.access.modules import APPROVE
from scrm.console import seen
from scrm.console.door import MANAGER, for_managers, page
from scrm.console.marketing.library_forms import BLANK, SLOTS, Form, blank_form, form_of, read_form
from scrm.content.attachments import LinkCard
from scrm.content.library import keep, lint, said, sheets, store
from scrm.content.library.keep import said_of
from scrm.content.library.said import Said
from scrm.content.library.sheets import Brought
from scrm.content.media import links
from scrm.content.media import store as media
from scrm.content.render import check
from scrm.content.variables import VARIABLES
from scrm.db.database import Priority
from scrm.errors import Invalid, NotFound, ScrmError
from scrm.services import SERVICES, Services
from scrm.sop.text import diff
from scrm.tracking import radar, said_links
from web.render import render

routes = web.RouteTableDef()

HOME = "/console/library"
_ONE = HOME + r"/{script_id:\d{1,18}}"
_FOLDER = HOME + r"/folders/{folder_id:\d{1,18}}"
PAGE = 50
DAYS = (7, 30, 90)
STATES = {"used": "已启用", "pending": "待审批", "draft": "草稿", "expired": "已过期", "stopped": "已停用"}
FILTERS = {**STATES, "soon": "快到期"}
TONES = {"used": "good", "pending": "warn", "draft": "", "expired": "bad", "stopped": ""}
# What a preview says where a customer's own would stand.
SAMPLES = {
    "nickname": "小满", "salutation": "小满姐", "remark": "小满 油皮", "staff": "李娜", "store": "徐汇店",
    "birthday": "6月18日", "last_product": "清透防晒乳 50ml", "last_order_tail": "0277", "carrier": "顺丰速运",
    "parcel_tail": "8821", "eta": "6 月 21 日", "points": "1260", "points_expiring": "200", "level": "金卡", "level_gap": "340",
    "level_next": "黑卡", "coupon.name": "新人券", "coupon.amount": "30 元", "coupon.threshold": "满 199 元可用",
    "coupon.expires": "6 月 21 日 20:00", "coupon.url": "https://…/c/7HK2", "campaign.name": "会员日",
    "campaign.starts": "6月28日 10:00", "campaign.ends": "6月28日 24:00", "live.url": "https://…/live",
}  # fmt: skip


async def _page(request: web.Request, template: str, **values: Any) -> web.Response:
    frame = {"states": STATES, "tones": TONES, "state_of": keep.state_of}
    return await page(request, template, active="library", **frame, **values)


def _script_id(request: web.Request) -> int:
    return int(request.match_info["script_id"])


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


# The list -------------------------------------------------------------------------------------------------------------


@routes.get(HOME)
@for_managers
async def show_all(request: web.Request) -> web.StreamResponse:
    services, query = request.app[SERVICES], request.query
    folder_id, typed, state = _number(query.get("folder", "")), query.get("q", "").strip()[:40], query.get("state", "")
    start = _number(query.get("from", "")) or 0

    def look(conn: Connection) -> dict[str, Any]:
        folders = store.list_folders(conn)
        wanted = None if folder_id is None else {folder_id, *(row.id for row in folders if row.parent_id == folder_id)}
        rows = store.list_company(
            conn,
            services.clock.now(),
            folder_ids=wanted,
            typed=typed,
            state=state,
            limit=PAGE + 1,
            offset=min(start, 100_000),
        )
        counts, tree = store.count_company(conn), _tree(folders)
        return {
            "rows": rows[:PAGE],
            "after": start + PAGE if len(rows) > PAGE else None,
            "folders": folders,
            "tree": tree,
            "counts": counts,
            "sums": {top.id: sum(counts.get(row.id, 0) for row in (top, *inside)) for top, inside in tree},
            "pending": store.count_pending(conn),
            "soon": store.count_soon(conn, services.clock.now()),
            "moved": _moved(conn, _number(query.get("moved", "")), _number(query.get("back", ""))),
            "rule": store.read_rule(conn),
        }

    values = await services.db.read(look)
    shown = {"folder_id": folder_id, "typed": typed, "state": state, "filters": FILTERS}
    a_second = timedelta(seconds=1)  # what ends at midnight is good for the day before
    return await _page(request, "library.html", soon_within=store.SOON, a_second=a_second, **shown, **values)


def _moved(conn: Connection, script_id: int | None, back: int | None) -> dict[str, Any] | None:
    """What was put into another folder just now, and the way back."""
    row = store.find_script(conn, script_id) if script_id else None
    if row is None or row.owner != store.COMPANY:
        return None
    return {"id": row.id, "title": row.title, "to": row.folder_id, "back": back}


def _tree(folders: list[Row[Any]]) -> list[tuple[Row[Any], list[Row[Any]]]]:
    """Folders of the first level, each with those in it."""
    return [(top, [row for row in folders if row.parent_id == top.id]) for top in folders if top.parent_id is None]


# The editor -----------------------------------------------------------------------------------------------------------


@routes.get(HOME + "/new")
@for_managers
async def show_new(request: web.Request) -> web.StreamResponse:
    return await _editor(request, None, blank_form(_number(request.query.get("folder", ""))))


@routes.post(HOME + "/new")
@for_managers
async def add(request: web.Request) -> web.StreamResponse:
    return await _save(request, None)


@routes.get(_ONE)
@for_managers
async def show_one(request: web.Request) -> web.StreamResponse:
    script_id = _script_id(request)
    row = await request.app[SERVICES].db.read(_newest, script_id)
    return await _editor(request, script_id, form_of(*row, request.app[SERVICES].settings.shop.zone))


@routes.post(_ONE)
@for_managers
async def change(request: web.Request) -> web.StreamResponse:
    return await _save(request, _script_id(request))


def _find(conn: Connection, script_id: int) -> Row[Any]:
    row = store.find_script(conn, script_id)
    if row is None or row.owner != store.COMPANY:
        raise NotFound("没有这条话术，可能已被删除。请回到话术列表")
    return row


def _newest(conn: Connection, script_id: int) -> tuple[Row[Any], Said]:
    """The script with what its draft says, or else with what it says now."""
    row = _find(conn, script_id)
    draft = store.find_version(conn, script_id, row.version + 1) if row.draft else None
    return row, said_of(draft if draft is not None else row)


def _mark(row: Row[Any]) -> str:
    return seen.mark(row.version, row.draft, row.changed_at)


async def _save(request: web.Request, script_id: int | None) -> web.StreamResponse:
    services, posted = request.app[SERVICES], await request.post()
    form = read_form(posted)
    publish = posted.get("act") == "publish"

    def save(conn: Connection) -> keep.Saved:
        if script_id is not None:
            seen.require_unchanged(posted, _mark(_find(conn, script_id)))
        placed, by = form.placed(services.settings.shop.zone), request[MANAGER].userid
        return keep.save(conn, script_id, form.said, placed, by, publish=publish, now=services.clock.now())

    try:
        saved = await services.db.write(save)
    except NotFound:
        raise
    except ScrmError as error:
        return await _editor(request, script_id, form, problem=error, posted=posted)
    raise web.HTTPSeeOther(f"{HOME}/{saved.script_id}?done={saved.state}")


_DONE = {
    "draft": "草稿已保存，员工还看不到。",
    "pending": "已提交，等另一位主管批准后员工就能用。",
    "published": "已启用，员工现在就能在侧边栏找到。",
    "refused": "已退回。",
    "stopped": "已停用，侧边栏里不再出现。",
    "on": "已重新启用。",
    "kept": "草稿已丢弃。",
}


async def _editor(
    request: web.Request,
    script_id: int | None,
    form: Form,
    *,
    problem: ScrmError | None = None,
    posted: Mapping[str, Any] | None = None,
) -> web.Response:
    services = request.app[SERVICES]

    def look(conn: Connection) -> dict[str, Any]:
        row = _find(conn, script_id) if script_id is not None else None
        versions = store.list_versions(conn, script_id) if script_id is not None else []
        draft = versions[0] if versions and row is not None and versions[0].version > row.version else None
        return {
            "row": row,
            "draft": draft,
            "versions": [each for each in versions if each is not draft],
            "uses": store.count_versions(conn, script_id) if script_id is not None else {},
            "names": store.member_names(conn, {who for each in versions for who in (each.saved_by, each.decided_by)}),
            "tree": _tree(store.list_folders(conn)),
            "originals": media.list_originals(conn),
            "contents": radar.list_living(conn),
            "needs_approval": store.needs_approval(conn),
            "links": said_links.list_variables(conn),
        }

    values = await services.db.read(look)
    draft, row = values["draft"], values["row"]
    marked = _mark(row) if row is not None else ""
    is_own = draft is not None and draft.saved_by == request[MANAGER].userid
    return await _page(
        request,
        "library_edit.html",
        status=problem.status if problem else 200,
        problem=problem.text if problem else "",
        seen=seen.mark_again(posted or {}, marked, problem) if problem else marked,
        done=_DONE.get(request.query.get("done", ""), ""),
        form=form,
        slots=range(SLOTS),
        blank=BLANK,
        kinds=said.KINDS,
        variables=[
            *((names[0], key) for key, names in VARIABLES.items()),
            *((f"雷达链接：{title}", key) for title, key in values.pop("links")),
        ],
        may_approve=not is_own or request[MANAGER].may("library", APPROVE),
        **values,
    )


@routes.post(HOME + "/preview")
@for_managers
async def preview(request: web.Request) -> web.StreamResponse:
    """What a customer's phone would show, and what had better be mended."""
    services, form = request.app[SERVICES], read_form(await request.post())

    def look(conn: Connection) -> dict[str, Any]:
        return {"found": keep.check(conn, form.said) if form.said.title or form.said.text else []} | _sample(
            conn, services, form.said
        )

    values = await services.db.read(look)
    pieces = lint.pieces(values["text"], values["found"])
    return render(request, "console/library_preview.html", pieces=pieces, **values)


def _sample(conn: Connection, services: Services, one: Said) -> dict[str, Any]:
    """The script filled for nobody in particular; half-written templates show as they stand."""
    values = {"shop": services.settings.shop.name, **SAMPLES}
    if any(check(text) for text in one.texts):
        return {"text": one.text, "attachments": []}
    values |= {key: f"【{key.partition('.')[2]}】" for key in said.variables_in(one) if key not in values}
    files = media.find_by_name(conn, said.media_names(one.attachments))

    def address(name: str) -> str:
        row = files.get(name)
        return links.media_path(services.vault, row.sha256, services.clock.now()) if row is not None else ""

    whole = tuple(each for each in one.attachments if _is_whole(each))
    cards = {key: LinkCard(title, "https://…") for key, title in _radar_titles(conn, whole).items()}
    filled = said.fill(Said(one.title, one.text, whole), values, address, cards)
    shown = [
        {**each, each["msgtype"]: {"imgUrl": address(each["name"]) if each["msgtype"] == "image" else ""}}
        if "name" in each
        else each
        for each in filled.attachments
    ]
    return {"text": filled.text, "attachments": shown}


def _is_whole(each: dict[str, Any]) -> bool:
    """Has what a card cannot be drawn without."""
    needed = {"link": ("title", "url"), "miniprogram": ("title", "appid", "page")}
    return all(each[kind].get(key) for kind, keys in needed.items() if kind in each for key in keys)


def _radar_titles(conn: Connection, attachments: tuple[dict[str, Any], ...]) -> dict[str, str]:
    titles = {}
    for key in said.radar_keys(attachments):
        try:
            titles[key] = radar.find_content(conn, key).title
        except NotFound:
            continue
    return titles


# What becomes of it ---------------------------------------------------------------------------------------------------


@routes.post(_ONE + "/{act:approve|refuse|stop|on|drop|up|down|restore}")
@for_managers
async def act(request: web.Request) -> web.StreamResponse:
    services, form, wanted = request.app[SERVICES], await request.post(), request.match_info["act"]
    script_id, by, now = _script_id(request), request[MANAGER].userid, services.clock.now()
    may_approve_own = request[MANAGER].may("library", APPROVE)

    def write(conn: Connection) -> str:
        match wanted:
            case "approve":
                return keep.approve(conn, script_id, by, is_administrator=may_approve_own, now=now).state
            case "refuse":
                keep.refuse(conn, script_id, by, str(form.get("why", "")), now=now)
                return "refused"
            case "restore":
                version = _number(str(form.get("version", ""))) or 0
                return keep.restore(conn, script_id, version, by, now=now).state
            case "drop":
                return "gone" if keep.drop_draft(conn, script_id, now=now) else "kept"
            case "up" | "down":
                keep.move(conn, script_id, wanted == "up")
                return "moved"
            case _:
                keep.stop(conn, script_id, wanted == "stop", now=now)
                return "stopped" if wanted == "stop" else "on"

    done = await services.db.write(write)
    if done in ("gone", "moved"):
        folder = _number(str(form.get("folder", "")))
        raise web.HTTPSeeOther(f"{HOME}?folder={folder}" if folder else HOME)
    raise web.HTTPSeeOther(f"{HOME}/{script_id}?done={done}")


@routes.post(_ONE + "/folder")
@for_managers
async def put(request: web.Request) -> web.StreamResponse:
    """Into another folder; the list it was moved from tells it, with the way back."""
    services, form, script_id = request.app[SERVICES], await request.post(), _script_id(request)
    to, shown = _number(str(form.get("to", ""))), _number(str(form.get("folder", "")))
    back = await services.db.write(keep.put, script_id, to, now=services.clock.now())
    raise web.HTTPSeeOther(f"{HOME}?folder={shown or ''}&moved={script_id}&back={back or ''}")


@routes.get(_ONE + "/diff")
@for_managers
async def compare(request: web.Request) -> web.StreamResponse:
    script_id = _script_id(request)
    old, new = (_number(request.query.get(name, "")) or 0 for name in ("from", "to"))

    def look(conn: Connection) -> dict[str, Any]:
        row = _find(conn, script_id)
        before, after = (store.find_version(conn, script_id, number) for number in (old, new))
        if before is None or after is None:
            raise NotFound("没有这两个版本，请回到话术页重新选择")
        lines = diff.text_lines(_as_text(before), _as_text(after), around=None)
        return {"row": row, "before": before, "after": after, "lines": lines}

    return await _page(request, "library_diff.html", **await request.app[SERVICES].db.read(look))


def _as_text(version: Row[Any]) -> str:
    """A version as lines: title, text, one line for each attachment."""
    attachments = [sheets.write_attachment(each) for each in version.attachments or ()]
    return "\n".join([f"标题：{version.title}", "", version.text, *([""] if attachments else []), *attachments])


# Folders --------------------------------------------------------------------------------------------------------------


@routes.post(HOME + "/folders")
@for_managers
async def add_folder(request: web.Request) -> web.StreamResponse:
    form = await request.post()
    parent = _number(str(form.get("parent", "")))
    folder_id = await request.app[SERVICES].db.write(keep.save_folder, None, str(form.get("title", "")), parent)
    raise web.HTTPSeeOther(f"{HOME}?folder={folder_id}")


@routes.post(_FOLDER)
@for_managers
async def change_folder(request: web.Request) -> web.StreamResponse:
    form, folder_id = await request.post(), int(request.match_info["folder_id"])
    parent = _number(str(form.get("parent", "")))
    await request.app[SERVICES].db.write(keep.save_folder, folder_id, str(form.get("title", "")), parent)
    raise web.HTTPSeeOther(f"{HOME}?folder={folder_id}")


@routes.post(_FOLDER + "/{act:delete|up|down}")
@for_managers
async def act_on_folder(request: web.Request) -> web.StreamResponse:
    folder_id, wanted = int(request.match_info["folder_id"]), request.match_info["act"]
    if wanted == "delete":
        await request.app[SERVICES].db.write(keep.drop_folder, folder_id)
        raise web.HTTPSeeOther(HOME)
    await request.app[SERVICES].db.write(keep.move_folder, folder_id, wanted == "up")
    raise web.HTTPSeeOther(f"{HOME}?folder={folder_id}")


# Rules and figures ----------------------------------------------------------------------------------------------------


@routes.get(HOME + "/rules")
@for_managers
async def show_rules(request: web.Request) -> web.StreamResponse:
    def look(conn: Connection) -> dict[str, Any]:
        rule = store.read_rule(conn)
        names = store.member_names(conn, {rule.changed_by} if rule is not None else ())
        return {"rule": rule, "lists": store.read_words(conn), "names": names}

    values = await request.app[SERVICES].db.read(look)
    return await _page(
        request, "library_rules.html", bribes=lint.REVIEW_BRIBES, saved=bool(request.query.get("saved")), **values
    )


@routes.post(HOME + "/rules")
@for_managers
async def save_rules(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    lists = lint.Words(*(lint.read_words(str(form.get(name, ""))) for name in ("banned", "doubtful")))
    needs_approval = form.get("needs_approval") == "1"
    by, now = request[MANAGER].userid, services.clock.now()
    await services.db.write(store.save_rule, needs_approval=needs_approval, words=lists, by=by, now=now)
    raise web.HTTPSeeOther(f"{HOME}/rules?saved=1")


@routes.get(HOME + "/figures")
@for_managers
async def show_figures(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    days = _number(request.query.get("days", ""))
    days = days if days in DAYS else 30
    since = services.clock.now() - timedelta(days=days)

    def look(conn: Connection) -> dict[str, Any]:
        return {"scripts": store.count_uses(conn, since), "members": store.count_members(conn, since)}

    return await _page(request, "library_figures.html", days=days, choices=DAYS, **await services.db.read(look))


# Tables in and out ----------------------------------------------------------------------------------------------------


@routes.get(HOME + "/export.{suffix:csv|xlsx}")
@for_managers
async def export(request: web.Request) -> web.StreamResponse:
    services, suffix = request.app[SERVICES], request.match_info["suffix"]

    def look(conn: Connection) -> bytes:
        rows = store.list_all_company(conn, limit=50_000)
        zone = services.settings.shop.zone
        return sheets.table(sheets.rows_of(rows, store.list_folders(conn), services.clock.now(), zone), suffix)

    kinds = {"csv": "text/csv", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
    headers = {
        "Content-Type": kinds[suffix],
        "Content-Disposition": f'attachment; filename="scripts.{suffix}"',
        "Cache-Control": "no-store",
    }
    return web.Response(body=await services.db.read(look), headers=headers)


@routes.get(HOME + "/import")
@for_managers
async def show_import(request: web.Request) -> web.StreamResponse:
    return await _page(request, "library_import.html", columns=sheets.COLUMNS, brought=None, problem="")


@routes.post(HOME + "/import")
@for_managers
async def bring_in(request: web.Request) -> web.StreamResponse:
    """The table is read whole, then brought in some rows at a time, so that nobody waits for it."""
    services, form = request.app[SERVICES], await request.post()
    try:
        lines = await _read_upload(form.get("file"))
    except Invalid as error:
        values = {"columns": sheets.COLUMNS, "brought": None, "problem": error.text}
        return await _page(request, "library_import.html", status=error.status, **values)
    by, zone, now, brought = request[MANAGER].userid, services.settings.shop.zone, services.clock.now(), Brought()
    for start in range(0, len(lines), sheets.AT_A_TIME):
        piece = lines[start : start + sheets.AT_A_TIME]
        brought += await services.db.write_as(Priority.IMPORT, sheets.bring_in, piece, by, zone=zone, now=now)
    return await _page(request, "library_import.html", columns=sheets.COLUMNS, brought=brought, problem="")


async def _read_upload(file: Any) -> list[sheets.Line]:
    if not isinstance(file, web.FileField) or not file.filename:
        raise Invalid("请选择要导入的文件，CSV 或 XLSX")
    suffix = Path(file.filename).suffix.lower()
    if suffix not in (".csv", ".xlsx"):
        raise Invalid(f"收到的是“{suffix or '没有扩展名的文件'}”，请用 CSV 或 XLSX")

    def read() -> list[sheets.Line]:
        with tempfile.TemporaryDirectory(prefix="scrm-scripts-") as folder:
            path = Path(folder) / f"scripts{suffix}"
            path.write_bytes(file.file.read())
            return sheets.read(path)

    return await asyncio.to_thread(read)
