"""剧本画板: a draft as days and steps, changed by mouse, finger or keyboard; the text stays the one truth."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm import audit
from scrm.console import store
from scrm.console.door import MANAGER, for_managers, page
from scrm.console.playbooks import tests as playbook_tests
from scrm.console.playbooks.board_view import Asked, digest_of, find_text, load
from scrm.errors import Conflict, Invalid
from scrm.profiles.phones import normalise_phone
from scrm.services import SERVICES
from scrm.sop.board import acts, starting, trials
from scrm.sop.board.model import write_path
from scrm.sop.board.said import Said
from scrm.sop.life import draft_locks, drafts
from scrm.sop.life import published as publishing
from scrm.sop.life import store as lifecycle_store
from web.render import render

routes = web.RouteTableDef()

_OF = "/console/playbooks/{key:[a-z0-9][a-z0-9_-]{0,63}}/board"
_FOUND = 8
# Acts after which the panel goes along with what was made or moved.
_LEADING = frozenset({"add", "copy", "move", "shift"})


@routes.get(_OF)
@for_managers
async def show(request: web.Request) -> web.StreamResponse:
    """The board, with what `show` names beside it."""
    values = await _load(request, _asked(request, request.query))
    return await page(request, "playbook_board.html", active="playbooks", **values)


async def _load(request: web.Request, asked: Asked) -> dict[str, Any]:
    """The board with what came of its tests, as far as they were played."""
    services = request.app[SERVICES]
    values = await services.db.read(load, services, asked)
    results = playbook_tests.find(services, values["text"])
    board = values["board"]
    steps = [card.id for card in board.cards()] if board is not None else []
    return values | {"results": results, "failing": playbook_tests.failing_steps(results, steps), "trials": trials}


@routes.post("/console/playbooks/new/board")
@for_managers
async def begin(request: web.Request) -> web.StreamResponse:
    """A draft to go on with: nearly empty, or a copy of a template; its key is its own."""
    services, form = request.app[SERVICES], await request.post()
    title, wanted = str(form.get("title", "")).strip()[:120], str(form.get("template", ""))
    directory, now = services.settings.playbooks.dir, services.clock.now()
    paths = await asyncio.to_thread(publishing.list_templates, directory)
    chosen = next((path for path in paths if path.stem == wanted), None)
    if chosen is None and not title:
        raise Invalid("请给新剧本写一个名称，或选一个模板")
    template = await asyncio.to_thread(publishing.read_text, chosen) if chosen is not None else ""
    day = now.astimezone(services.settings.shop.zone)

    def write(conn: Connection) -> str:
        stem = chosen.stem if chosen is not None else f"sop-{day:%m%d}"
        key = starting.free_name(stem, _taken(conn))
        text = starting.from_template(template, key, title) if template else starting.new_text(key, title)
        drafts.save(conn, key, text, request[MANAGER].userid, now=now)
        audit.changed(conn, "draft", key, None, {"text": text})
        return key

    raise web.HTTPSeeOther(f"/console/playbooks/{await services.db.write(write)}/board")


def _taken(conn: Connection) -> set[str]:
    """Keys that playbooks and drafts have, and a word of the address."""
    played = {row.key for row in lifecycle_store.list_playbooks(conn)}
    return {"new", *played, *(row.playbook_key for row in lifecycle_store.list_drafts(conn))}


@routes.get(f"{_OF}/panel")
@for_managers
async def show_panel(request: web.Request) -> web.StreamResponse:
    """The board as it stands now, with another part beside it."""
    return await _fragments(request, _asked(request, request.query))


@routes.post(f"{_OF}/edit")
@for_managers
async def edit(request: web.Request) -> web.StreamResponse:
    """One act on the draft whose digest is `seen`: kept at once, and the whole board comes back."""
    services, form = request.app[SERVICES], await request.post()
    said = Said({name: [str(each) for each in form.getall(name)] for name in form})
    asked = _asked(request, form)
    at = await services.db.write(_edit, asked, said, services.clock.now())
    if said.one("op") in _LEADING:
        asked = Asked(asked.key, asked.member, at, asked.person_id)
    return await _fragments(request, asked)


def _edit(conn: Connection, asked: Asked, said: Said, now: datetime) -> str:
    """Raises Conflict when the draft is not what the author has before him any more, Locked when another one writes."""
    lifecycle_store.lock_playbook(conn, asked.key)
    lifecycle_store.lock_draft(conn, asked.key)
    text, draft, _ = find_text(conn, asked.key)
    draft_locks.hold(conn, asked.key, asked.member.userid, now)
    if digest_of(text) != said.one("seen"):
        whose = draft.saved_by if draft is not None and draft.saved_by != asked.member.userid else ""
        raise Conflict(f"{whose or '另一个页面'}刚刚改了这份草稿，你的这一步没有保存。刷新后接着改")
    if said.one("op") == "restore":
        done = acts.Done(said.values.get("source", [""])[-1].replace("\r\n", "\n"))
    else:
        done = acts.perform(text, said.one("op"), said)
    if done.text != text:
        drafts.save(conn, asked.key, done.text, asked.member.userid, now=now)
    return write_path(done.at)


def _asked(request: web.Request, values: Mapping[str, Any]) -> Asked:
    shown, person = str(values.get("show", "trigger"))[:400], str(values.get("person", ""))
    person_id = int(person) if person.isascii() and person.isdigit() and len(person) < 19 else 0
    return Asked(request.match_info["key"], request[MANAGER], shown or "trigger", person_id)


async def _fragments(request: web.Request, asked: Asked) -> web.StreamResponse:
    services = request.app[SERVICES]
    values = await _load(request, asked)
    return render(
        request,
        "console/playbook_board_parts.html",
        now=services.clock.now(),
        member=asked.member,
        **values,
    )


# Tests and the customers of the preview -----------------------------------------------------------------------------------


@routes.post(f"{_OF}/tests")
@for_managers
async def run_tests(request: web.Request) -> web.StreamResponse:
    """Play the tests of the draft; the board comes back with what came of them."""
    await playbook_tests.play(request.app[SERVICES], request.match_info["key"], anew=True)
    return await _fragments(request, _asked(request, await request.post()))


@routes.get(f"{_OF}/tests")
@for_managers
async def show_tests(request: web.Request) -> web.StreamResponse:
    """For who is about to publish: every test with what came of it."""
    results = await playbook_tests.play(request.app[SERVICES], request.match_info["key"])
    return render(request, "console/playbook_board_tests.html", key=request.match_info["key"], results=results)


@routes.get(f"{_OF}/customers")
@for_managers
async def find_customers(request: web.Request) -> web.StreamResponse:
    """Whom a step may be shown for: by name, remark or phone, among those the reader may see."""
    services, text, member = request.app[SERVICES], request.query.get("q", "").strip()[:40], request[MANAGER]
    phone = normalise_phone(text)
    lookup = services.vault.lookup(phone) if phone else None

    def look(conn: Connection) -> list[store.Customer]:
        if not text or not member.may("customers"):
            return []
        return store.list_customers(conn, text=text, phone_lookup=lookup, limit=_FOUND, scope=member.scope)

    return render(request, "console/playbook_board_customers.html", found=await services.db.read(look), text=text)
