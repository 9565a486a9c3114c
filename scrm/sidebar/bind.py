"""绑定订单: a number, its end or a phone leads to the order; one tap gives it to the customer, another takes it back."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.commerce import lookup, words
from scrm.commerce.binding import bind_order_manually, unbind_order
from scrm.errors import Conflict, Invalid, NotFound, ScrmError
from scrm.membership.points import release_order
from scrm.profiles import suggestions
from scrm.profiles.phones import normalise_phone
from scrm.profiles.store import access_contact, find_person_by_identity, list_identities
from scrm.profiles.words import Word
from scrm.services import SERVICES, Services
from scrm.sidebar import pace
from scrm.sidebar.acts import fields_of
from scrm.sidebar.cards import orders as order_cards
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sop.life.published import Published
from scrm.sop.shelf import playbooks_of
from scrm.sop.taken_back import take_back_of_events
from web.texts import _

routes = web.RouteTableDef()

MOST = 8
UNDO = timedelta(minutes=10)
# A candidate that was shown can be chosen as long.
_SHOWN = timedelta(minutes=30)
_PURPOSE = "bind-order"
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """An order that may be meant; `standing` is free, mine or others. Of others' orders nothing more is told.

    `proof` lets this member choose it for this customer: whoever makes up numbers of orders binds none.
    """

    id: int
    proof: str
    standing: str
    by: str
    channel: str
    order_no: str
    goods: str
    amount_fen: int
    ordered_at: datetime | None
    buyer: str
    state: Word
    is_likely: bool = False


# Reading what was typed -----------------------------------------------------------------------------------------------


def tidy(text: str) -> str:
    """What stands in a message around the number is taken away. Pure."""
    text = re.sub(r"^\s*(?:订单编号|订单号|单号|手机号|手机|尾号)?\s*[:：]?\s*", "", text)
    return re.sub(r"[\s\u200b]+", "", text)[:80]


def find(conn: Connection, services: Services, visit: Visit, text: str) -> list[Candidate]:
    """The orders that may be meant, the likeliest first; raises NotFound, or Conflict for another customer's phone."""
    _enter(conn, visit)
    found = _look(conn, services, visit.person_id, text)
    if not found:
        raise NotFound(_("没有找到对应的订单。刚下的单可能还没同步，请稍后再试，或换成完整的订单号。"))
    goods = lookup.list_goods(conn, [row.id for row, _by in found])
    tails = {str(one.mask)[-4:] for one in list_identities(conn, visit.person_id) if one.kind == "mobile_e164"}
    candidates = [_candidate(services, visit, row, by, goods.get(row.id, []), tails) for row, by in found]
    return sorted(candidates, key=lambda one: (one.standing != "free", not one.is_likely))[: MOST + 1]


def _look(conn: Connection, services: Services, person_id: int, text: str) -> list[tuple[Row[Any], str]]:
    exact = lookup.by_number(conn, text, MOST)
    if exact:
        return [(row, _("订单号")) for row in exact]
    phone = normalise_phone(text)
    if phone is not None:
        rows = lookup.by_phone(conn, services.vault.lookup(phone), phone[-4:], MOST + 1)
        owner = find_person_by_identity(conn, "mobile_e164", services.vault.lookup(phone))
        if not rows and owner is not None and owner != person_id:
            raise Conflict(_("这个手机号属于另一位客户。如果是同一个人，请让店长在后台合并客户。"))
        if not rows and owner is not None:
            raise Conflict(_("这个手机号已经是这位客户的，用它下的单会自动归到他名下，不用再绑。"))
        return [(row, _("手机号")) for row in rows]
    found: dict[int, tuple[Row[Any], str]] = {}
    if len(text) == lookup.SHORTEST and text.isdigit():
        _gather(found, lookup.by_phone_tail(conn, text, MOST + 1), _("手机尾号"))
    _gather(found, lookup.by_tail(conn, text, MOST + 1), _("订单尾号"))
    _gather(found, lookup.of_person(conn, person_id, text, MOST), _("订单尾号"))
    return list(found.values())


def _gather(found: dict[int, tuple[Row[Any], str]], rows: Iterable[Row[Any]], by: str) -> None:
    for row in rows:
        found.setdefault(row.id, (row, by))


def _candidate(
    services: Services, visit: Visit, row: Row[Any], by: str, goods: Sequence[Row[Any]], tails: set[str]
) -> Candidate:
    standing = "free" if row.person_id is None else "mine" if row.person_id == visit.person_id else "others"
    is_told = standing != "others"
    titles = "、".join(f"{one.title}{f' ×{one.qty}' if one.qty > 1 else ''}" for one in goods[:2])
    return Candidate(
        id=row.id,
        proof=_prove(services, visit, row.id),
        standing=standing,
        by=by,
        channel=words.channel(row.channel),
        order_no=row.order_no,
        goods=titles + (_(" 等 {count} 件", count=len(goods)) if len(goods) > 2 else "") if is_told else "",
        amount_fen=(row.paid_fen or row.payable_fen) if is_told else 0,
        ordered_at=row.ordered_at if is_told else None,
        buyer=" ".join(row.receiver_mask.split(" ")[:2]) or row.buyer_name_mask if is_told else "",
        state=words.order_state(row.status, row.delivered_at, row.raw_status),
        is_likely=standing == "free" and bool(row.phone_tail) and row.phone_tail in tails,
    )


def _prove(services: Services, visit: Visit, order_id: int) -> str:
    until = int((visit.now + _SHOWN).timestamp())
    return f"{until}.{services.vault.sign(_PURPOSE, _said(visit, order_id, until))}"


def _said(visit: Visit, order_id: int, until: int) -> str:
    return "\n".join((visit.userid.lower(), visit.external_userid, str(order_id), str(until)))


def _chosen(services: Services, visit: Visit, fields: Any) -> int:
    """The order's id, if it was shown to this member for this customer a moment ago."""
    order_id, proof = str(fields.get("order_id") or ""), str(fields.get("proof") or "")
    until, _dot, sign = proof.partition(".")
    if not (order_id.isdecimal() and until.isdecimal() and order_id.isascii() and until.isascii() and sign.isascii()):
        raise Invalid(_("没有选中订单，请重新查找。"))
    is_ours = services.vault.is_signed(_PURPOSE, _said(visit, int(order_id), int(until)), sign)
    if not is_ours or int(until) < visit.now.timestamp():
        raise Invalid(_("查找结果已过期，请重新查找。"))
    return int(order_id)


# What it switches on --------------------------------------------------------------------------------------------------


def switched_on(published: Published) -> list[str]:
    """The titles of the playbooks that listen to orders. Pure."""
    own = ("order.", "refund.", "shipment.")
    return sorted(each.title for each in published.current.values() if each.trigger.event.startswith(own))


def effects(published: Published, *, is_bound: bool) -> str:
    """What a member is told beside the button, and after it."""
    titles = switched_on(published)
    shown = "、".join(_("“{title}”", title=title) for title in titles[:_NAMED])
    more = _(" 等 {count} 个 SOP", count=len(titles)) if len(titles) > _NAMED else ""
    if is_bound and titles:
        return _("以后的付款、发货、签收会自动触发{titles}{more}。", titles=shown, more=more)
    if is_bound:
        return _("订单、物流和累计消费已记在这位客户名下。")
    if titles:
        return _(
            "绑定后：订单、物流和累计消费记在这位客户名下，以后的付款、发货、签收会自动触发{titles}{more}。",
            titles=shown,
            more=more,
        )
    return _("绑定后：订单、物流和累计消费会记在这位客户名下。")


# Pages ----------------------------------------------------------------------------------------------------------------


@routes.post("/sidebar/contacts/{external_userid}/bind/find")
@for_members
async def look(request: web.Request) -> web.StreamResponse:
    """{q}: what may be meant. A post, because phones do not belong into addresses."""
    services, visit = request.app[SERVICES], visit_of(request)
    text = str((await fields_of(request)).get("q") or "")[:120]
    try:
        # Counted by itself: a look that finds nothing counts too.
        await services.db.write(_count, visit, tidy(text))
        found = await services.db.read(find, services, visit, tidy(text))
    except ScrmError as error:
        if error.status == 403:
            raise
        return _answer(request, visit, q=text, problem=error.text)
    return _answer(request, visit, q=text, found=found[:MOST], has_more=len(found) > MOST)


def _count(conn: Connection, visit: Visit, text: str) -> None:
    _enter(conn, visit)
    if len(text) < lookup.SHORTEST:
        raise Invalid(_("请填订单号、订单号末 4–8 位，或手机号（完整的或末 4 位）。"))
    pace.count(conn, "bind", visit.userid, pace.LOOK_UPS, visit.now)


def _enter(conn: Connection, visit: Visit) -> None:
    visit.relation = access_contact(conn, visit.userid, visit.external_userid)


@routes.post("/sidebar/contacts/{external_userid}/bind")
@for_members
async def bind(request: web.Request) -> web.StreamResponse:
    """{order_id, proof}: the orders anew, with what came of it."""
    services, visit = request.app[SERVICES], visit_of(request)
    fields = await fields_of(request)

    def write(conn: Connection) -> int:
        _enter(conn, visit)
        order_id = _chosen(services, visit, fields)
        if not bind_order_manually(conn, order_id, visit.person_id, visit.userid, visit.now):
            raise Conflict(_("这个订单已经在这位客户名下了。"))
        return order_id

    try:
        order_id = await services.db.write(write)
    except ScrmError as error:
        if error.status == 403:
            raise
        return await _orders(request, visit, problem=error.text)
    return await _orders(request, visit, bound=order_id)


@routes.post(r"/sidebar/contacts/{external_userid}/bind/{order_id:\d{1,18}}/undo")
@for_members
async def unbind(request: web.Request) -> web.StreamResponse:
    """Within ten minutes, by who bound it: what it switched on is switched off."""
    services, visit = request.app[SERVICES], visit_of(request)
    order_id = int(request.match_info["order_id"])

    def write(conn: Connection) -> int:
        _enter(conn, visit)
        untold = unbind_order(conn, order_id, visit.userid, since=visit.now - UNDO, now=visit.now)
        release_order(conn, order_id, untold.person_id, now=visit.now)
        return take_back_of_events(conn, untold.person_id, untold.event_ids, _("员工撤销了订单绑定"), now=visit.now)

    try:
        ended = await services.db.write(write)
    except ScrmError as error:
        if error.status == 403:
            raise
        return await _orders(request, visit, problem=error.text)
    done = _("已撤销绑定，{count} 个自动开始的 SOP 也停了。", count=ended) if ended else _("已撤销绑定。")
    return await _orders(request, visit, done=done)


@routes.post("/sidebar/contacts/{external_userid}/bind/suggest")
@for_members
async def suggest(request: web.Request) -> web.StreamResponse:
    """{order_id, proof}: the order is another customer's, who may be the same person: a manager is asked."""
    services, visit = request.app[SERVICES], visit_of(request)
    fields = await fields_of(request)

    def write(conn: Connection) -> None:
        _enter(conn, visit)
        row = lookup.find(conn, _chosen(services, visit, fields))
        if row is None or row.person_id in (None, visit.person_id):
            raise Conflict(_("这个订单现在不在别的客户名下，请重新查找。"))
        if suggestions.are_apart(conn, visit.person_id, row.person_id):
            raise Conflict(_("店长看过，这两位不是同一个人，没有再次提交。"))
        evidence = {"key": "order_no", "shown": f"{words.channel(row.channel)} {row.order_no}", "source": visit.userid}
        suggestions.suggest(conn, visit.person_id, row.person_id, evidence, now=visit.now)

    try:
        await services.db.write(write)
    except ScrmError as error:
        if error.status == 403:
            raise
        return _answer(request, visit, problem=error.text)
    return _answer(request, visit, done=_("已请店长核对是不是同一个人。合并后，两边的订单和动态会在一起。"))


def _answer(request: web.Request, visit: Visit, **values: Any) -> web.Response:
    return page(request, "bind.html", visit=visit, **_values(request, **values))


def _values(request: web.Request, **values: Any) -> dict[str, Any]:
    published = playbooks_of(request.app[SERVICES])
    return {"effects": effects(published, is_bound="bound" in values), **values}


async def _orders(request: web.Request, visit: Visit, **values: Any) -> web.Response:
    def load(conn: Connection) -> order_cards.Orders:
        _enter(conn, visit)
        return order_cards.load(conn, visit)

    view = await request.app[SERVICES].db.read(load)
    return page(request, "cards/orders.html", visit=visit, view=view, is_anew=True, **_values(request, **values))
