"""客户: everybody we know, found by name, remark, phone, order number or id; and one person's whole story."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.commerce.coupons.store import list_coupons
from scrm.commerce.order_views import list_orders
from scrm.console import store
from scrm.console.customers import own_fields, timeline
from scrm.console.door import MANAGER, for_managers, page
from scrm.console.playbooks.pages import step_titles
from scrm.customer_lists import bulk_kinds, columns, filters, views
from scrm.customer_lists import store as lists
from scrm.customer_lists.people import list_follows, list_these
from scrm.errors import NotFound
from scrm.membership.store import summarise
from scrm.profiles import store as profiles
from scrm.profiles.redirects import follow
from scrm.services import SERVICES, Services
from web.render import render

routes = web.RouteTableDef()

ORDERS = 20


@routes.get("/console/customers")
@for_managers
async def customers(request: web.Request) -> web.StreamResponse:
    """The list as the address has it; only its rows where a filter was changed."""
    services, member = request.app[SERVICES], request[MANAGER]
    wanted, before = filters.read(request.query.items()), request.query.get("before", "")
    view_id = int(text) if (text := request.query.get("view", "")).isdecimal() and len(text) < 19 else 0
    now = services.clock.now()

    def look(conn: Connection) -> dict[str, Any]:
        narrowed = narrowed_by(services, wanted)
        found = lists.find_page(conn, narrowed, member.scope, now, before=before)
        kept = views.list_views(conn, member.userid)
        view = next((row for row in kept if row.id == view_id), None)
        choices = lists.list_choices(conn)
        return {
            "found": found,
            "rows": list_these(conn, found.ids),
            "problems": narrowed.problems,
            "views": kept,
            "view": view,
            "columns": _columns(wanted, view.columns if view else views.load_columns(conn, member.userid)),
            "choices": choices,
            "tag_groups": {group: {name: name for name in names} for group, names in choices.tags.items()},
            "said": filters.told(wanted, choices.names()),
        }

    values = await services.db.read(look) | {
        "wanted": wanted,
        "orders": filters.ORDERS,
        "friends": filters.FRIENDS,
        "tagged": filters.TAGGED,
        "stages": services.settings.shop.stages,
        "all_columns": columns.COLUMNS,
        "shown": columns.Shown(services.settings.shop.zone, now),
        "acts": bulk_kinds.offered_to(member.may),
        "most_characters": views.MOST_CHARACTERS,
    }
    if request.headers.get("HX-Target") == "found":
        return render(request, "console/customers_found.html", member=member, now=now, **values)
    return await page(request, "customers.html", active="customers", **values)


def _columns(wanted: filters.Wanted, keys: Sequence[str]) -> list[columns.Column]:
    """The chosen ones; of those who left also when."""
    chosen = [each.key for each in columns.chosen(keys)]
    return columns.chosen([*chosen, "lost"] if wanted.friend == "lost" else chosen)


def narrowed_by(services: Services, wanted: filters.Wanted) -> filters.Narrowed:
    """The filters in the shop's own zone, a phone by its keyed hash."""
    return filters.narrow(wanted, services.settings.shop.zone, services.vault.lookup)


@routes.get("/console/customers/count")
@for_managers
async def count(request: web.Request) -> web.StreamResponse:
    """How many there are, asked for when the rows are there already."""
    services, member = request.app[SERVICES], request[MANAGER]
    narrowed = narrowed_by(services, filters.read(request.query.items()))
    found = await services.db.read(lists.count, narrowed, member.scope, services.clock.now())
    return web.Response(text=count_words(found))


def count_words(found: int) -> str:
    """Exact to ten thousand: nobody waits for more."""
    return f"共 {found:,} 位" if found <= lists.MOST_COUNTED else f"{lists.MOST_COUNTED // 10_000} 万位以上"


@routes.post("/console/customers/views")
@for_managers
async def save_view(request: web.Request) -> web.StreamResponse:
    """Keep what narrows the list under a name: a new view, or another look of one's own."""
    services, form = request.app[SERVICES], await request.post()
    wanted = filters.read_text(str(form.get("query", "")))
    text = str(form.get("view", ""))
    now, userid = services.clock.now(), request[MANAGER].userid

    def save(conn: Connection) -> int:
        view_id = int(text) if text.isdecimal() and len(text) < 19 else 0
        before = views.find_view(conn, userid, view_id) if view_id else None
        return views.save_view(
            conn,
            view_id=view_id,
            userid=userid,
            title=str(form.get("title", "")),
            query=wanted.query(),
            columns=before.columns if before is not None else views.load_columns(conn, userid),
            is_shared=form.get("is_shared") == "1",
            now=now,
        )

    view_id = await services.db.write(save)
    raise web.HTTPSeeOther(_address(wanted, view_id))


@routes.post(r"/console/customers/views/{id:\d{1,18}}/delete")
@for_managers
async def delete_view(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    await services.db.write(views.delete_view, request[MANAGER].userid, int(request.match_info["id"]))
    raise web.HTTPSeeOther("/console/customers")


@routes.post("/console/customers/columns")
@for_managers
async def choose_columns(request: web.Request) -> web.StreamResponse:
    """Of the view that is looked at when it is one's own, else of the list."""
    services, form, userid = request.app[SERVICES], await request.post(), request[MANAGER].userid
    keys = [each.key for each in columns.chosen([str(key) for key in form.getall("column", [])])]
    wanted = filters.read_text(str(form.get("query", "")))
    text = str(form.get("view", ""))
    now = services.clock.now()

    def save(conn: Connection) -> int:
        view = views.find_view(conn, userid, int(text)) if text.isdecimal() and len(text) < 19 else None
        if view is None or view.userid != userid:
            views.save_columns(conn, userid, keys)
            return 0
        return views.save_view(
            conn,
            view_id=view.id,
            userid=userid,
            title=view.title,
            query=view.query,
            columns=keys,
            is_shared=view.is_shared,
            now=now,
        )

    view_id = await services.db.write(save)
    raise web.HTTPSeeOther(_address(wanted, view_id))


def _address(wanted: filters.Wanted, view_id: int) -> str:
    query = "&".join(filter(None, [wanted.query(), f"view={view_id}" if view_id else ""]))
    return f"/console/customers?{query}" if query else "/console/customers"


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
    acts = [each for each in bulk_kinds.offered_to(request[MANAGER].may) if each.key in _FOR_ONE]
    return await page(request, "customer.html", active="customers", titles=titles, acts=acts, **values)


# What is done with many can be done with one from the page.
_FOR_ONE = ("tag", "transfer", "playbook")


def _look(conn: Connection, person_id: int, kind: str, before: str, now: datetime) -> dict[str, Any]:
    person = profiles.get_person(conn, person_id)
    if person is None:
        raise NotFound("没有这位客户，可能已被删除。请回到客户列表重新查找")
    contacts = store.list_contacts(conn, person_id)
    orders, follows = list_orders(conn, person_id, limit=ORDERS), list_follows(conn, [person_id])
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
