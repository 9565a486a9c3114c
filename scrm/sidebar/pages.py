"""The sidebar's pages: the shell that finds out who the customer is, the customer, the member's day."""

from datetime import timedelta

from aiohttp import web

from scrm.errors import NotFound
from scrm.http import signed_in
from scrm.login import BRIDGE_SCRIPT
from scrm.services import SERVICES
from scrm.sidebar import (
    acts,
    bind,
    goods,
    groups,
    history,
    invitations,
    link,
    marks,
    news,
    own_fields,
    plain,
    pool,
    scan,
    scripts,
    signature,
    starts,
    today,
    told,
    why,
    written,
)
from scrm.sidebar.cards import CARDS, TABS, load_page
from scrm.sidebar.door import for_members, is_partial, page, visit_of
from scrm.sop.members.task_store import find_task
from web.engines import is_too_old
from web.texts import _

__all__ = ["BRIDGE_SCRIPT", "routes"]

own = web.RouteTableDef()

URGENT = timedelta(hours=2)


@own.get("/sidebar")
async def add_slash(request: web.Request) -> web.Response:
    raise web.HTTPFound("/sidebar/")


@own.get("/sidebar/")
@for_members
async def show_shell(request: web.Request) -> web.StreamResponse:
    """Small: only WeCom's client knows which chat it stands beside. An old engine gets the day's texts with it."""
    if not is_too_old(request.headers.get("User-Agent", "")):
        return page(request, "shell.html", is_old=False)
    return await plain.show(request, "shell.html", is_old=True)


@own.get("/sidebar/contacts/{external_userid}")
@for_members
async def show_contact(request: web.Request) -> web.StreamResponse:
    """Everything about the contact in one answer; `?task=` puts that task on top."""
    visit = visit_of(request, task_id=_number(request.query.get("task", "")))
    cards = await request.app[SERVICES].db.read(load_page, visit)
    template = "contact_body.html" if is_partial(request) else "contact.html"
    return page(request, template, visit=visit, cards=cards, tabs=TABS, card_list=CARDS, urgent=visit.now + URGENT)


@own.get("/sidebar/tasks")
@for_members
async def show_day(request: web.Request) -> web.StreamResponse:
    """Where the day was before; the address in an app message names one task, which is then shown at once."""
    if task_id := _number(request.query.get("task", "")):
        raise web.HTTPFound(f"/sidebar/tasks/{task_id}")
    raise web.HTTPFound("/sidebar/today")


@own.get(r"/sidebar/tasks/{task_id:\d{1,18}}")
@for_members
async def show_task(request: web.Request) -> web.StreamResponse:
    """The link of an app message: the customer's page with this task on top."""
    task_id = int(request.match_info["task_id"])
    task = await request.app[SERVICES].db.read(find_task, task_id)
    if task is None or task.userid.casefold() != signed_in(request).userid.casefold():
        raise NotFound(_("没有这条待办，或者它不是你的。"))
    raise web.HTTPFound(f"/sidebar/contacts/{task.external_userid}?task={task_id}")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


routes: list[web.AbstractRouteDef] = [
    *own,
    *history.routes,
    *told.routes,
    *why.routes,
    *acts.routes,
    *bind.routes,
    *goods.routes,
    *invitations.routes,
    *groups.routes,
    *link.routes,
    *written.routes,
    *own_fields.routes,
    *marks.routes,
    *news.routes,
    *plain.routes,
    *pool.routes,
    *starts.routes,
    *today.routes,
    *scan.routes,
    *scripts.routes,
    *signature.routes,
]
