"""客户: everybody we know, found by name, remark, phone, order number or id; and one person's whole story."""

from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.commerce.coupons import list_coupons
from scrm.commerce.store import list_orders
from scrm.console import own_fields, store, timeline
from scrm.console.door import before_of, for_managers, page, scope_of
from scrm.console.playbooks import step_titles
from scrm.errors import NotFound
from scrm.membership.store import summarise
from scrm.profiles import store as profiles
from scrm.profiles.phones import normalise_phone
from scrm.profiles.redirects import follow
from scrm.services import SERVICES

routes = web.RouteTableDef()

ORDERS = 20


@routes.get("/console/customers")
@for_managers
async def customers(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    text = request.query.get("q", "").strip()[:80]
    phone = normalise_phone(text)
    found = await services.db.read(
        store.list_customers,
        text=text,
        phone_lookup=services.vault.lookup(phone) if phone else None,
        before=before_of(request),
        scope=scope_of(request),
    )
    return await page(request, "customers.html", active="customers", text=text, found=found)


@routes.get(r"/console/customers/{person_id:\d{1,18}}")
@for_managers
async def customer(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    person_id = int(request.match_info["person_id"])
    if (holder := await services.db.read(follow, person_id)) != person_id:
        raise web.HTTPFound(f"/console/customers/{holder}")
    kind, before = request.query.get("kind", ""), request.query.get("before", "")
    values = await services.db.read(_look, person_id, kind, before, services.clock.now())
    titles = step_titles(services, values["runs"])
    return await page(request, "customer.html", active="customers", titles=titles, **values)


def _look(conn: Connection, person_id: int, kind: str, before: str, now: datetime) -> dict[str, Any]:
    person = profiles.get_person(conn, person_id)
    if person is None:
        raise NotFound("没有这位客户，可能已被删除。请回到客户列表重新查找")
    contacts = store.list_contacts(conn, person_id)
    orders, follows = list_orders(conn, person_id, limit=ORDERS), store.list_follows(conn, [person_id])
    return {
        "person": person,
        "contacts": contacts,
        "called": next((contact.name for contact in contacts if contact.name), "") or person.name or "未知昵称",
        "follows": follows,
        "tags": profiles.list_tags(conn, person_id),
        "identities": profiles.list_identities(conn, person_id),
        "orders": orders,
        "own": own_fields.load_shown(
            conn,
            person_id,
            [order.row["id"] for order in orders],
            [(follow.userid, follow.external_userid) for follow in follows],
            now,
        ),
        "coupons": list_coupons(conn, person_id),
        "membership": summarise(conn, person_id),
        "runs": store.list_runs(conn, person_id),
        "books": store.list_playbooks(conn),
        "sends": store.list_sends_to(conn, [contact.external_userid for contact in contacts]),
        "timeline": timeline.load(conn, person_id, kind=kind, before=before),
    }
