"""What a member does beside a chat: send a task in one tap, skip it, put it off; send a coupon; bind an order."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.clock import is_plausible
from scrm.commerce.coupons import store as coupons
from scrm.content.attachments import chat_attachments, coupon_link
from scrm.errors import Conflict, Invalid, NotFound
from scrm.events import Event, record
from scrm.http import require_keepable, signed_in, wants_json
from scrm.profiles.store import access_contact
from scrm.services import SERVICES
from scrm.sidebar import chat_sends
from scrm.sidebar.cards import tasks as task_cards
from scrm.sidebar.cards.coupons import card_of
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sop.members import tasks
from scrm.sop.members.tasks import TaskView
from web.texts import _

routes = web.RouteTableDef()

Fields = Mapping[str, Any]


async def fields_of(request: web.Request) -> Fields:
    """The body, a JSON object or a form."""
    if request.content_type != "application/json":
        return dict(await request.post())
    try:
        body = await request.json()
    except (ValueError, RecursionError):
        raise Invalid(_("请求内容不是 JSON。")) from None
    if not isinstance(body, dict):
        raise Invalid(_("请求内容应为 JSON 对象。"))
    require_keepable(body)
    return body


# Tasks ----------------------------------------------------------------------------------------------------------------


def _task_id(request: web.Request) -> int:
    return int(request.match_info["task_id"])


@routes.post(r"/sidebar/tasks/{task_id:\d{1,18}}/release")
@for_members
async def release(request: web.Request) -> web.StreamResponse:
    """{text?} -> {messages}: what sendChatMessage gets; 409 with the reason when it may not be sent any more."""
    text = (await fields_of(request)).get("text")
    released = await tasks.release(
        request.app[SERVICES], signed_in(request).userid, _task_id(request), None if text is None else str(text)
    )
    return web.json_response({"messages": released.messages}, headers={"Cache-Control": "no-store"})


@routes.post(r"/sidebar/tasks/{task_id:\d{1,18}}/sending")
@for_members
async def note_sending(request: web.Request) -> web.StreamResponse:
    """{ok, error?}: what the client said, or the member who looked into the chat."""
    fields = await fields_of(request)
    ok = fields.get("ok") in (True, "true", "1")
    view = await tasks.confirm_sent(
        request.app[SERVICES], signed_in(request).userid, _task_id(request), ok, str(fields.get("error") or "")
    )
    return await _answer(request, view)


@routes.post(r"/sidebar/tasks/{task_id:\d{1,18}}/used")
@for_members
async def use_hint(request: web.Request) -> web.StreamResponse:
    """The member took up a hint in his own words; only hints, what is sent says so by itself."""
    view = await tasks.use_hint(request.app[SERVICES], signed_in(request).userid, _task_id(request))
    return await _answer(request, view)


@routes.post(r"/sidebar/tasks/{task_id:\d{1,18}}/skip")
@for_members
async def skip(request: web.Request) -> web.StreamResponse:
    reason = str((await fields_of(request)).get("reason") or "")
    view = await tasks.skip(request.app[SERVICES], signed_in(request).userid, _task_id(request), reason)
    return await _answer(request, view)


@routes.delete(r"/sidebar/tasks/{task_id:\d{1,18}}/skip")
@for_members
async def undo_skip(request: web.Request) -> web.StreamResponse:
    view = await tasks.unskip(request.app[SERVICES], signed_in(request).userid, _task_id(request))
    return await _answer(request, view)


@routes.post(r"/sidebar/tasks/{task_id:\d{1,18}}/postpone")
@for_members
async def postpone(request: web.Request) -> web.StreamResponse:
    """{until}: seconds since 1970, or ISO 8601 with its zone."""
    until = moment_of(str((await fields_of(request)).get("until") or ""))
    view = await tasks.postpone(request.app[SERVICES], signed_in(request).userid, _task_id(request), until)
    return await _answer(request, view)


def moment_of(text: str) -> datetime:
    """Seconds since 1970, or ISO 8601 with its zone; raises Invalid for what nobody means."""
    try:
        moment = datetime.fromtimestamp(int(text), UTC) if text.isdigit() else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None or moment.tzinfo is None or not is_plausible(moment):
        raise Invalid(_("没有看懂推迟到什么时候，请重新选择。"))
    return moment.astimezone(UTC)


async def _answer(request: web.Request, view: TaskView) -> web.Response:
    """The top of the page anew, or the task's state for a program."""
    if wants_json(request):
        return web.json_response({"id": view.id, "state": view.state, "word": view.word})
    return await _top(request, visit_of(request, view.external_userid, view.id))


@routes.get("/sidebar/contacts/{external_userid}/now")
@for_members
async def show_top(request: web.Request) -> web.StreamResponse:
    """The top of the page as it is now; `?task=` the one to show or to tell of."""
    return await _top(request, visit_of(request, task_id=_id(request.query.get("task", ""))))


def _id(text: str) -> int | None:
    """None for what is the number of nothing."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


async def _top(request: web.Request, visit: Visit) -> web.Response:
    view = await request.app[SERVICES].db.read(_load_tasks, visit)
    return page(request, "now_anew.html", visit=visit, view=view)


def _load_tasks(conn: Connection, visit: Visit) -> task_cards.Tasks:
    """Past the door only for whoever has a task there: one whose contact has just been lost still says so."""
    view = task_cards.load(conn, visit)
    if view.is_empty:
        access_contact(conn, visit.userid, visit.external_userid)
    return view


# Coupons --------------------------------------------------------------------------------------------------------------


@routes.post(r"/sidebar/contacts/{external_userid}/coupons/{coupon_id:\d{1,18}}/release")
@for_members
async def release_coupon(request: web.Request) -> web.StreamResponse:
    """{once?, again?} -> {messages, once}; the ledger has the intent before the client gets the message."""
    services, visit, fields = request.app[SERVICES], visit_of(request), await fields_of(request)
    messages, once = await services.db.write(_release_coupon, visit, int(request.match_info["coupon_id"]), fields)
    return web.json_response({"messages": messages, "once": once}, headers={"Cache-Control": "no-store"})


def _release_coupon(conn: Connection, visit: Visit, coupon_id: int, fields: Fields) -> tuple[list[dict[str, Any]], str]:
    visit.relation = access_contact(conn, visit.userid, visit.external_userid)
    coupon = _coupon(conn, visit, coupon_id)
    if coupon.state_at(visit.now) != "issued":
        raise Conflict(_("这张券{state}，不能再发送。", state=_(coupon.word_at(visit.now))))
    link = coupon_link(card_of(coupon, visit.public_url), now=visit.now, zone=visit.zone)
    messages = chat_attachments([link])
    once = chat_sends.once_of(f"coupon:{coupon.id}:", fields)
    chat_sends.begin(conn, visit, once, {"messages": messages}, is_unheard=fields.get("again"))
    return messages, once


def _coupon(conn: Connection, visit: Visit, coupon_id: int) -> coupons.Issue:
    for coupon in coupons.list_coupons(conn, visit.person_id):
        if coupon.id == coupon_id:
            return coupon
    raise NotFound(_("这位客户没有这张券，请刷新页面。"))


@routes.post(r"/sidebar/contacts/{external_userid}/coupons/{coupon_id:\d{1,18}}/sending")
@for_members
async def note_coupon(request: web.Request) -> web.StreamResponse:
    """{once, ok, error?}: what the client said."""
    fields = await fields_of(request)
    await request.app[SERVICES].db.write(
        _note_coupon, visit_of(request), int(request.match_info["coupon_id"]), {str(k): v for k, v in fields.items()}
    )
    return web.json_response({})


def _note_coupon(conn: Connection, visit: Visit, coupon_id: int, fields: Fields) -> None:
    row = chat_sends.end(conn, visit, f"coupon:{coupon_id}:", fields)
    if row is None:
        return
    coupon = _coupon(conn, visit, coupon_id)
    told = Event(
        "coupon.sent",
        visit.now,
        visit.person_id,
        visit.external_userid,
        visit.userid,
        key=str(coupon_id),
        facts={"title": coupon.title},
        once=row.once,
    )
    record(conn, [told], now=visit.now)
