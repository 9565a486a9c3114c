"""群发: what was prepared, who confirmed it and who got it; a new one with its forecast."""

import secrets
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.door import MANAGER, before_of, for_managers, page
from scrm.content.media import store as media
from scrm.errors import Invalid, NotFound
from scrm.mass_messages import acts, choices, plan, store, words
from scrm.mass_messages.audience import Audience, read_audience
from scrm.services import SERVICES
from scrm.sop.store import member_names
from web.render import render

routes = web.RouteTableDef()

SHOWN = 30
_MEDIA_SHOWN = 60


@routes.get("/console/mass-messages")
@for_managers
async def mass_messages(request: web.Request) -> web.StreamResponse:
    before = before_of(request)

    def look(conn: Connection) -> dict[str, Any]:
        rows = store.list_messages(conn, before=before, limit=SHOWN)
        return {
            "rows": rows,
            "counts": store.count_states(conn, [row.id for row in rows]),
            "names": member_names(conn, {row.created_by for row in rows}),
            "before": rows[-1].id if len(rows) == SHOWN else None,
        }

    values = await request.app[SERVICES].db.read(look)
    return await page(request, "mass_messages.html", active="mass_messages", mass=words, **values)


@routes.get("/console/mass-messages/new")
@for_managers
async def new_message(request: web.Request) -> web.StreamResponse:
    return await _form(request, kind="group" if request.query.get("kind") == "group" else "single")


async def _form(request: web.Request, kind: str, *, status: int = 200, problem: str = "", **given: Any) -> web.Response:
    def look(conn: Connection) -> dict[str, Any]:
        originals = [row for row in media.list_originals(conn, limit=_MEDIA_SHOWN) if row.kind != "voice"]
        return {"choices": choices.list_choices(conn), "originals": originals}

    values = await request.app[SERVICES].db.read(look)
    filled = {"text": "", "title": "", "link_title": "", "link_url": "", "link_desc": "", "chosen": set(), **given}
    return await page(
        request,
        "mass_message_new.html",
        active="mass_messages",
        status=status,
        kind=kind,
        problem=problem,
        filled=filled,
        once=secrets.token_hex(16),
        **values,
    )


@routes.post("/console/mass-messages/forecast")
@for_managers
async def forecast(request: web.Request) -> web.StreamResponse:
    """The part of the form that says what it would come to."""
    services = request.app[SERVICES]
    audience = _audience(await request.post())
    found = None if audience.is_empty else await services.db.read(_foresee, await plan.foresee(services, audience))
    limits = services.settings.mass_messages
    return render(
        request, "console/mass_message_forecast.html", found=found, limits=limits, is_group=bool(audience.chats)
    )


def _foresee(conn: Connection, found: Any) -> dict[str, Any]:
    return {"forecast": found, "names": member_names(conn, found.by_member)}


@routes.post("/console/mass-messages")
@for_managers
async def create(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    audience = _audience(form)
    texts = {name: str(form.get(name, "")).strip() for name in ("text", "title", "link_title", "link_url", "link_desc")}
    attachments: list[dict[str, Any]] = [{"media": str(name)} for name in form.getall("media", [])]
    if texts["link_title"] or texts["link_url"]:
        link = {"title": texts["link_title"], "url": texts["link_url"], "desc": texts["link_desc"]}
        attachments.append({"link": {key: text for key, text in link.items() if text}})
    try:
        message_id = await plan.create(
            services,
            audience,
            text=texts["text"].replace("\r\n", "\n"),
            attachments=attachments,
            title=texts["title"],
            once=str(form.get("once", ""))[:64] or None,
            created_by=request[MANAGER].userid,
        )
    except Invalid as error:
        chosen = {str(value) for name in ("userid", "tag", "state", "chat", "media") for value in form.getall(name, [])}
        kind = "group" if form.get("kind") == "group" else "single"
        return await _form(request, kind, status=422, problem=error.text, chosen=chosen, **texts)
    raise web.HTTPSeeOther(f"/console/mass-messages/{message_id}")


def _audience(form: Any) -> Audience:
    chats = [str(value).partition("|") for value in form.getall("chat", [])]
    return Audience(
        userids=tuple(str(value) for value in form.getall("userid", [])),
        tag_ids=tuple(str(value) for value in form.getall("tag", [])),
        states=tuple(str(value) for value in form.getall("state", [])),
        chats=tuple((chat, owner) for chat, _, owner in chats if chat and owner),
    )


@routes.get(r"/console/mass-messages/{id:\d{1,18}}")
@for_managers
async def mass_message(request: web.Request) -> web.StreamResponse:
    message_id, services = int(request.match_info["id"]), request.app[SERVICES]
    state = request.query.get("state", "")
    state = state if state in words.TARGET_STATES else ""
    after = request.query.get("after", "")[:64]
    values = await services.db.read(_look, message_id, state, after)
    if values is None:
        raise NotFound("没有这条群发，它可能属于另一个环境。")
    return await page(
        request,
        "mass_message.html",
        active="mass_messages",
        mass=words,
        state=state,
        reminded=request.query.get("reminded", ""),
        **values,
    )


def _look(conn: Connection, message_id: int, state: str, after: str) -> dict[str, Any] | None:
    row = store.find_message(conn, message_id)
    if row is None or row.origin != "own":
        return None
    audience = read_audience(row.audience)
    targets = store.list_targets(conn, message_id, state, after=after, limit=SHOWN)
    parts = store.list_parts(conn, message_id)
    names = [str(each["media"]) for each in row.attachments if "media" in each]
    return {
        "row": row,
        "counts": store.count_states(conn, [message_id]).get(message_id, {}),
        "parts": parts,
        "targets": targets,
        "after": targets[-1].target if len(targets) == SHOWN else "",
        "originals": media.find_originals(conn, names),
        "names": member_names(conn, {row.created_by, *audience.userids}),
        "audience": audience,
        "can_remind": any(part.state == "created" and part.confirmed_at is None for part in parts),
    }


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
