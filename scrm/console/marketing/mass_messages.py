"""群发: what was prepared, who confirmed it and who got it; a new one with its forecast."""

import secrets
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.access.modules import APPROVE
from scrm.console.door import MANAGER, before_of, for_managers, page
from scrm.content import programs
from scrm.content.library import lint
from scrm.content.library import store as library
from scrm.content.media import store as media
from scrm.errors import Invalid, NotFound
from scrm.mass_messages import acts, choices, course, effects, plan, saying, store, words
from scrm.mass_messages.audience import TIRED_FROM, Audience, read_audience
from scrm.profiles.members import member_names
from scrm.reports.lines import draw
from scrm.segments import store as segments
from scrm.services import SERVICES, Services
from scrm.sop import timing
from web.render import render

routes = web.RouteTableDef()

SHOWN = 30
_MEDIA_SHOWN = 60
_PROGRAM = ("program_title", "program_appid", "program_page", "program_media")
_TEXTS = ("text", "title", "link_title", "link_url", "link_desc", *_PROGRAM)
RESTS = (1, 3, 7, 14, 30)


@routes.get("/console/mass-messages")
@for_managers
async def mass_messages(request: web.Request) -> web.StreamResponse:
    before = before_of(request)
    state = "pending" if request.query.get("state") == "pending" else ""

    def look(conn: Connection) -> dict[str, Any]:
        rows = store.list_messages(conn, state=state, before=before, limit=SHOWN)
        return {
            "rows": rows,
            "pending": store.count_pending(conn),
            "counts": store.count_states(conn, [row.id for row in rows]),
            "names": member_names(conn, {row.created_by for row in rows}),
            "before": rows[-1].id if len(rows) == SHOWN else None,
        }

    services = request.app[SERVICES]
    values = await services.db.read(look)
    shown = {row.id: _shown_text(services, row) for row in values["rows"]}
    return await page(
        request, "mass_messages.html", active="mass_messages", mass=words, state=state, shown=shown, **values
    )


def _shown_text(services: Services, row: Row[Any]) -> str:
    """The words as they are said, but for the name of the member."""
    return saying.fill(row.text, services.settings.shop.name, "〔员工姓名〕")


@routes.get("/console/mass-messages/new")
@for_managers
async def new_message(request: web.Request) -> web.StreamResponse:
    """An empty form, one for the people of a segment, or what another message said and to whom."""
    origin = request.query.get("from", "")
    row = (
        await request.app[SERVICES].db.read(_find_own, int(origin)) if origin.isdecimal() and len(origin) < 19 else None
    )
    if row is None:
        meant = Audience(segment=request.query.get("segment", "")[:64])
        return await _form(request, kind="group" if request.query.get("kind") == "group" else "single", audience=meant)
    return await _form(request, kind=row.kind, **_copied(row))


def _find_own(conn: Connection, message_id: int) -> Row[Any]:
    row = store.find_message(conn, message_id)
    if row is None or row.origin != "own":
        raise NotFound("没有这条群发，它可能属于另一个环境。")
    return row


def _copied(row: Row[Any]) -> dict[str, Any]:
    audience = read_audience(row.audience)
    link: dict[str, Any] = next((each["link"] for each in row.attachments if "link" in each), {})
    card: dict[str, Any] = next((each[programs.KIND] for each in row.attachments if programs.KIND in each), {})
    chosen = {*audience.userids, *audience.tag_ids, *audience.states, *("|".join(chat) for chat in audience.chats)}
    return {
        "text": row.text,
        "title": row.title,
        "link_title": link.get("title", ""),
        "link_url": link.get("url", ""),
        "link_desc": link.get("desc", ""),
        **{name: card.get(name.removeprefix("program_"), "") for name in _PROGRAM},
        "audience": audience,
        "order": [_key_of(each) for each in row.attachments],
        "chosen": chosen | {str(each["media"]) for each in row.attachments if "media" in each},
    }


async def _form(request: web.Request, kind: str, *, status: int = 200, problem: str = "", **given: Any) -> web.Response:
    services = request.app[SERVICES]

    blank = dict.fromkeys((*_TEXTS, "at"), "")
    filled = {**blank, "chosen": set(), "order": [], "audience": Audience(), **given}
    picked = {*filled["chosen"], filled["program_media"]}

    def look(conn: Connection) -> dict[str, Any]:
        return {"choices": choices.list_choices(conn), "originals": _originals(conn, picked)}

    values = await services.db.read(look)
    return await page(
        request,
        "mass_message_new.html",
        active="mass_messages",
        status=status,
        kind=kind,
        problem=problem,
        filled=filled,
        rests=RESTS,
        variables=saying.SAME_FOR_ALL.values(),
        quiet=services.settings.playbooks.quiet,
        once=secrets.token_hex(16),
        **values,
    )


def _originals(conn: Connection, picked: Collection[str]) -> list[Row[Any]]:
    """The newest files of the library, and whatever is picked already however old it is."""
    newest = media.list_originals(conn, limit=_MEDIA_SHOWN)
    older = set(picked) - {row.sha256 for row in newest}
    kept = [row for row in media.find_originals(conn, list(older)).values() if not row.is_hidden]
    return [row for row in (*kept, *newest) if row.kind != "voice"]


@routes.post("/console/mass-messages/forecast")
@for_managers
async def forecast(request: web.Request) -> web.StreamResponse:
    """The part of the form that says what it would come to."""
    services = request.app[SERVICES]
    audience = _audience(await request.post())
    found = None if audience.is_empty else await services.db.read(_foresee, await plan.foresee(services, audience))
    return render(
        request,
        "console/mass_message_forecast.html",
        found=found,
        limits=services.settings.mass_messages,
        is_group=bool(audience.chats),
        tired_from=TIRED_FROM,
    )


def _foresee(conn: Connection, found: Any) -> dict[str, Any]:
    userids = {*found.by_member, *found.over_by_member}
    members = sorted(userids, key=lambda userid: (-found.by_member.get(userid, 0), userid))
    return {"forecast": found, "members": members, "names": member_names(conn, userids)}


@routes.post("/console/mass-messages/preview")
@for_managers
async def preview(request: web.Request) -> web.StreamResponse:
    """What a customer's phone would show, and what has to be mended before it can be made."""
    services, form = request.app[SERVICES], await request.post()
    texts, attachments = _content(form)

    def look(conn: Connection) -> dict[str, Any]:
        problems = [lint.Found(text, True) for text in saying.problems_of(texts["text"])]
        problems += lint.find([texts["text"], *saying.card_words(attachments)], library.read_words(conn))
        files = media.find_originals(conn, _files(attachments))
        return {"found": problems, "attachments": [_shown(each, files) for each in attachments]}

    values = await services.db.read(look)
    text = texts["text"]
    if not saying.problems_of(text):
        text = saying.fill(text, services.settings.shop.name, "李娜")
    pieces = lint.pieces(text, values["found"])
    return render(request, "console/library_preview.html", pieces=pieces, **values)


def _files(attachments: Iterable[dict[str, Any]]) -> list[str]:
    return [name for each in attachments if (name := plan.file_of(each))]


def _shown(each: dict[str, Any], files: Any) -> dict[str, Any]:
    """An attachment as the preview of scripts draws it."""
    body = {"title": "", "desc": "", "imgUrl": ""}
    if "link" in each:
        return {"msgtype": "news", "news": {**body, "title": "链接", **each["link"]}}
    row = files.get(plan.file_of(each))
    if programs.KIND in each:
        cover = f"/console/media/{row.sha256}" if row is not None and row.kind == "image" else ""
        title = each[programs.KIND].get("title", "")
        return {"msgtype": programs.KIND, programs.KIND: {**body, "title": title, "desc": "小程序", "imgUrl": cover}}
    if row is None:
        return {"msgtype": "file", "name": "素材已删除", "file": body}
    address = f"/console/media/{row.sha256}" if row.kind == "image" else ""
    return {"msgtype": row.kind, "name": row.filename, row.kind: {**body, "imgUrl": address}}


@routes.post("/console/mass-messages")
@for_managers
async def create(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    audience = _audience(form)
    texts, attachments = _content(form)
    try:
        message_id = await plan.create(
            services,
            audience,
            text=texts["text"],
            attachments=attachments,
            title=texts["title"],
            once=str(form.get("once", ""))[:64] or None,
            created_by=request[MANAGER].userid,
            scheduled_at=_time(services, str(form["at"])) if form.get("at") else None,
        )
    except Invalid as error:
        chosen = {str(value) for name in ("userid", "tag", "state", "chat", "media") for value in form.getall(name, [])}
        kind = "group" if form.get("kind") == "group" else "single"
        given = {
            **texts,
            "order": [_key_of(each) for each in attachments],
            "chosen": chosen,
            "audience": audience,
            "at": str(form.get("at", ""))[:20],
        }
        return await _form(request, kind, status=422, problem=error.text, **given)
    raise web.HTTPSeeOther(f"/console/mass-messages/{message_id}")


def _content(form: Any) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The texts of the form, and its attachments as they are kept."""
    texts = {name: str(form.get(name, "")).replace("\r\n", "\n").strip() for name in _TEXTS}
    attachments: list[dict[str, Any]] = [{"media": str(name)} for name in form.getall("media", [])]
    if texts["link_title"] or texts["link_url"]:
        link = {"title": texts["link_title"], "url": texts["link_url"], "desc": texts["link_desc"]}
        attachments.append({"link": {key: text for key, text in link.items() if text}})
    card = {name.removeprefix("program_"): texts[name] for name in _PROGRAM if texts[name]}
    # A cover alone is no card yet.
    if set(card) - {"media"}:
        attachments.append({programs.KIND: card})
    places = {str(key): place for place, key in enumerate(form.getall("order", []))}
    # What was never placed comes last, as it stands in the form.
    attachments.sort(key=lambda each: places.get(_key_of(each), len(places)))
    return texts, attachments


def _key_of(attachment: dict[str, Any]) -> str:
    """How the form names it in its order: by its kind, of which there is one, or its file."""
    return next((kind for kind in ("link", programs.KIND) if kind in attachment), str(attachment.get("media", "")))


def _time(services: Services, written: str) -> datetime:
    """What was chosen, in the shop's zone; raises Invalid for the quiet hours."""
    zone = services.settings.shop.zone
    try:
        at = datetime.fromisoformat(written).replace(tzinfo=zone)
        ends = _quiet_until(services, at)
    except (ValueError, OverflowError):
        raise Invalid("请选定时的日期和时间，例如 11 月 28 日 10:00。") from None
    if ends is not None:
        opens = ends.astimezone(zone)
        raise Invalid(
            f"{at:%H:%M} 在勿扰时段 {services.settings.playbooks.quiet} 里，"
            f"最早可以定在 {opens.month} 月 {opens.day} 日 {opens:%H:%M}。"
        )
    return at


def _quiet_until(services: Services, moment: datetime) -> datetime | None:
    quiet = services.settings.playbooks.quiet
    if quiet == "none":
        return None
    return timing.quiet_until(moment, timing.parse_window(quiet), services.settings.shop.zone)


def _audience(form: Any) -> Audience:
    chats = [str(value).partition("|") for value in form.getall("chat", [])]
    rested = str(form.get("rested", ""))
    return Audience(
        userids=tuple(str(value) for value in form.getall("userid", [])),
        tag_ids=tuple(str(value) for value in form.getall("tag", [])),
        states=tuple(str(value) for value in form.getall("state", [])),
        segment=str(form.get("segment", ""))[:64],
        without=str(form.get("without", ""))[:64],
        rested=int(rested) if rested.isdecimal() and int(rested) in RESTS else 0,
        chats=tuple((chat, owner) for chat, _, owner in chats if chat and owner),
    )


# While a page shows one of these it asks again by itself (mass_message.html).
_GOING_ON = ("preparing", "dividing", "running")


@routes.get(r"/console/mass-messages/{id:\d{1,18}}")
@for_managers
async def mass_message(request: web.Request) -> web.StreamResponse:
    message_id, services = int(request.match_info["id"]), request.app[SERVICES]
    state = request.query.get("state", "")
    state = state if state in words.TARGET_STATES else ""
    after = request.query.get("after", "")[:64]
    values = await services.db.read(_look, message_id, state, after)
    row, manager = values["row"], request[MANAGER]
    if request.headers.get("HX-Request") and row.state not in _GOING_ON:
        # The page asked how it goes and it has ended: the curve, the customers and their numbers are final now too.
        return web.Response(status=204, headers={"HX-Refresh": "true"})
    is_own = row.created_by.lower() == manager.userid.lower()
    return await page(
        request,
        "mass_message.html",
        active="mass_messages",
        mass=words,
        state=state,
        reminded=request.query.get("reminded", ""),
        may_approve=not is_own or manager.may("mass_messages", APPROVE),
        most=services.settings.mass_messages.approve_above,
        shown_text=_shown_text(services, row),
        **values,
    )


def _look(conn: Connection, message_id: int, state: str, after: str) -> dict[str, Any]:
    row = _find_own(conn, message_id)
    audience = read_audience(row.audience)
    targets = store.list_targets(conn, message_id, state, after=after, limit=SHOWN)
    parts = store.list_parts(conn, message_id)
    return {
        "row": row,
        "counts": store.count_states(conn, [message_id]).get(message_id, {}),
        "parts": parts,
        "targets": targets,
        "after": targets[-1].target if len(targets) == SHOWN else "",
        "originals": media.find_originals(conn, _files(row.attachments)),
        "names": member_names(conn, {row.created_by, row.decided_by, *audience.userids}),
        "audience": audience,
        "segments": {each.key: each.title for each in segments.list_segments(conn)},
        "tags": store.tag_names(conn, audience.tag_ids),
        "is_called": store.was_called(conn, message_id),
        "can_remind": any(part.state == "created" and part.confirmed_at is None for part in parts),
    }


@routes.get(r"/console/mass-messages/{id:\d{1,18}}/effects")
@for_managers
async def show_effects(request: web.Request) -> web.StreamResponse:
    """What those who got it did afterwards; asked for by the page when it is there."""
    services = request.app[SERVICES]
    found = await services.db.read(effects.count, int(request.match_info["id"]))
    return render(request, "console/mass_message_effects.html", found=found, days=effects.DAYS)


@routes.get(r"/console/mass-messages/{id:\d{1,18}}/course")
@for_managers
async def show_course(request: web.Request) -> web.StreamResponse:
    """How it went on since it was made, as a curve and as its numbers."""
    services, message_id = request.app[SERVICES], int(request.match_info["id"])
    now, zone = services.clock.now(), services.settings.shop.zone

    def look(conn: Connection) -> dict[str, Any]:
        return {"row": _find_own(conn, message_id), "moments": course.read(conn, message_id, now, zone)}

    values = await services.db.read(look)
    moments = values["moments"]
    local = [each.at.astimezone(zone) for each in moments]
    lines = [("已发送", "good", [each.sent for each in moments]), ("未送达", "bad", [each.failed for each in moments])]
    return render(
        request,
        "console/mass_message_course.html",
        chart=draw(local, lines),
        changes=course.changes(moments),
        is_one_day=bool(local) and local[0].date() == local[-1].date(),
        zone=zone,
        **values,
    )


@routes.post(r"/console/mass-messages/{id:\d{1,18}}/approve")
@for_managers
async def approve(request: web.Request) -> web.StreamResponse:
    services, message_id, manager = request.app[SERVICES], int(request.match_info["id"]), request[MANAGER]
    now = services.clock.now()
    await services.db.write(
        acts.approve,
        message_id,
        manager.userid,
        may_own=manager.may("mass_messages", APPROVE),
        opens_at=_quiet_until(services, now) or now,
        now=now,
    )
    raise web.HTTPSeeOther(f"/console/mass-messages/{message_id}")


@routes.post(r"/console/mass-messages/{id:\d{1,18}}/refuse")
@for_managers
async def refuse(request: web.Request) -> web.StreamResponse:
    services, message_id, form = request.app[SERVICES], int(request.match_info["id"]), await request.post()
    why, by, now = str(form.get("why", "")), request[MANAGER].userid, services.clock.now()
    await services.db.write(acts.refuse, message_id, by, why, now=now)
    raise web.HTTPSeeOther(f"/console/mass-messages/{message_id}")


@routes.post(r"/console/mass-messages/{id:\d{1,18}}/remind")
@for_managers
async def remind(request: web.Request) -> web.StreamResponse:
    message_id = int(request.match_info["id"])
    done = await acts.remind(request.app[SERVICES], message_id)
    raise web.HTTPSeeOther(f"/console/mass-messages/{message_id}?reminded={done.members}")


@routes.post(r"/console/mass-messages/{id:\d{1,18}}/cancel")
@for_managers
async def cancel(request: web.Request) -> web.StreamResponse:
    message_id = int(request.match_info["id"])
    await acts.cancel(request.app[SERVICES], message_id)
    raise web.HTTPSeeOther(f"/console/mass-messages/{message_id}")


@routes.post(r"/console/mass-messages/{id:\d{1,18}}/restore")
@for_managers
async def restore(request: web.Request) -> web.StreamResponse:
    services, message_id = request.app[SERVICES], int(request.match_info["id"])
    now, most = services.clock.now(), services.settings.mass_messages.approve_above
    opens_at = _quiet_until(services, now) or now
    await services.db.write(acts.restore, message_id, approve_above=most, opens_at=opens_at, now=now)
    raise web.HTTPSeeOther(f"/console/mass-messages/{message_id}")
