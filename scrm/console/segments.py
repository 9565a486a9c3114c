"""人群包: who is in them and why, and the forms that make and change them."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.door import MANAGER, for_managers, page
from scrm.errors import Invalid, NotFound, ScrmError
from scrm.profiles.custom_conditions import list_condition_fields
from scrm.profiles.fields import OPERATORS, OPERATORS_OF, Field
from scrm.profiles.redirects import follow
from scrm.profiles.store import find_contact
from scrm.segments import audience, forms, refresh, store
from scrm.segments.conditions import explain, holds
from scrm.segments.templates import TEMPLATES, Template, find_template
from scrm.services import SERVICES
from scrm.work import queue
from web.render import render

routes = web.RouteTableDef()

KEY = r"{key:[\w\-]{1,64}}"
SAMPLE = 10


@routes.get("/console/segments")
@for_managers
async def list_segments(request: web.Request) -> web.StreamResponse:
    rows = await request.app[SERVICES].db.read(store.list_segments)
    made = {row.template for row in rows}
    left = [template for template in TEMPLATES if template.key not in made]
    return await page(request, "segments.html", active="segments", rows=rows, templates=left)


@routes.get("/console/segments/new")
@for_managers
async def show_new(request: web.Request) -> web.StreamResponse:
    template = find_template(request.query.get("template", ""))
    said = forms.show_condition(template.condition) if template else forms.Written()
    title = template.title if template else ""
    is_exclusion = template is not None and template.is_exclusion
    said = forms.Written(title, said.joint, said.rows, said.more, is_exclusion)
    return await _form(request, said, template=template)


@routes.post("/console/segments/new")
@for_managers
async def make(request: web.Request) -> web.StreamResponse:
    form = await request.post()
    template = find_template(str(form.get("template", "")))
    key = await _save(request, forms.read_form(form), "", template)
    if isinstance(key, web.Response):
        return key
    raise web.HTTPSeeOther(f"/console/segments/{key}")


@routes.post("/console/segments/count")
@for_managers
async def count(request: web.Request) -> web.StreamResponse:
    """How many would be in it, as the form stands."""
    services, said = request.app[SERVICES], forms.read_form(await request.post())

    def look(conn: Connection) -> dict[str, Any]:
        try:
            tree = forms.write_condition(said, _fields(conn))
            if problems := store.find_problems(conn, "", tree):
                raise Invalid("；".join(problem.text for problem in problems))
        except ScrmError as error:
            return {"problem": error.text}
        now = services.clock.now()
        return {
            "count": audience.count(conn, tree, now),
            "sample": audience.sample(conn, tree, now, limit=SAMPLE),
            "problem": "",
        }

    return render(request, "console/segment_count.html", **await services.db.read(look))


@routes.get(f"/console/segments/{KEY}")
@for_managers
async def show(request: web.Request) -> web.StreamResponse:
    services, customer = request.app[SERVICES], request.query.get("customer", "").strip()

    def look(conn: Connection) -> dict[str, Any]:
        row, now = store.get_segment(conn, request.match_info["key"]), services.clock.now()
        tree = row.condition if row.kind == "dynamic" else {"segment": row.key}
        found: dict[str, Any] = {"row": row, "leaves": [], "why": None, "customer": customer}
        found["sample"] = audience.sample(conn, tree, now, limit=SAMPLE)
        if row.kind == "dynamic":
            found["leaves"] = explain(conn, tree, 0, now)
            found["joint"] = forms.JOINTS.get(next(iter(tree), ""), "满足")
        if customer:
            found["why"] = _why(conn, tree, customer, now)
        return found

    values = await services.db.read(look)
    return await page(request, "segment.html", active="segments", **values)


def _why(conn: Connection, tree: Any, customer: str, now: Any) -> dict[str, Any]:
    contact = find_contact(conn, customer)
    if contact is None and not customer.isdigit():
        return {"problem": f"没有客户“{customer}”，请写客户编号或 external_userid"}
    person_id = contact.person_id if contact is not None else follow(conn, int(customer[:18]))
    is_in = holds(conn, tree, person_id, now)
    return {"problem": "", "person_id": person_id, "is_in": is_in, "leaves": explain(conn, tree, person_id, now)}


@routes.get(f"/console/segments/{KEY}/edit")
@for_managers
async def show_edit(request: web.Request) -> web.StreamResponse:
    row = await request.app[SERVICES].db.read(store.get_segment, request.match_info["key"])
    if row.kind != "dynamic":
        raise NotFound("固定名单没有条件可改")
    said = forms.show_condition(row.condition)
    written = forms.Written(row.title, said.joint, said.rows, said.more, row.is_exclusion, row.tells_first)
    return await _form(request, written, key=row.key)


@routes.post(f"/console/segments/{KEY}/edit")
@for_managers
async def change(request: web.Request) -> web.StreamResponse:
    key = request.match_info["key"]
    row = await request.app[SERVICES].db.read(store.get_segment, key)
    saved = await _save(request, forms.read_form(await request.post()), key, find_template(row.template))
    if isinstance(saved, web.Response):
        return saved
    raise web.HTTPSeeOther(f"/console/segments/{key}")


@routes.post(f"/console/segments/{KEY}/refresh")
@for_managers
async def compute(request: web.Request) -> web.StreamResponse:
    services, key = request.app[SERVICES], request.match_info["key"]

    def ask(conn: Connection) -> None:
        store.get_segment(conn, key)
        item = queue.Item("bulk", refresh.KIND, {"key": key}, order_key=f"segment:{key}", dedupe_key=f"segment:{key}")
        queue.add(conn, item, now=services.clock.now())

    await services.db.write(ask)
    raise web.HTTPSeeOther(f"/console/segments/{key}")


@routes.post(f"/console/segments/{KEY}/delete")
@for_managers
async def delete(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    await services.db.write(store.delete_segment, request.match_info["key"], now=services.clock.now())
    raise web.HTTPSeeOther("/console/segments")


async def _save(request: web.Request, said: forms.Written, key: str, template: Template | None) -> "str | web.Response":
    """The key of what was saved, or the form again with what is wrong."""
    services = request.app[SERVICES]

    def save(conn: Connection) -> str:
        condition = forms.write_condition(said, _fields(conn))
        draft = store.Draft(
            key or _new_key(conn, template),
            said.title,
            condition,
            said.is_exclusion,
            template.key if template else "",
            said.tells_first,
        )
        store.save_segment(conn, draft, now=services.clock.now(), by=request[MANAGER].userid)
        return draft.key

    try:
        return await services.db.write(save)
    except ScrmError as error:
        return await _form(request, said, key=key, template=template, problem=error)


def _new_key(conn: Connection, template: Template | None) -> str:
    taken = {row.key for row in store.list_segments(conn)}
    return template.key if template is not None and template.key not in taken else f"seg-{uuid4().hex[:8]}"


def _fields(conn: Connection) -> Mapping[str, Field]:
    return {known.key: known for known in list_condition_fields(conn)}


async def _form(
    request: web.Request,
    said: forms.Written,
    *,
    key: str = "",
    template: Template | None = None,
    problem: ScrmError | None = None,
) -> web.Response:
    fields = await request.app[SERVICES].db.read(_fields)
    rows = [*said.rows, *(forms.RowText() for _ in range(forms.ROWS - len(said.rows)))]
    return await page(
        request,
        "segment_form.html",
        active="segments",
        status=problem.status if problem else 200,
        problem=problem.text if problem else "",
        said=said,
        rows=rows,
        key=key,
        made_from=template,
        fields=[known for known in fields.values() if known.of_run is None],
        operators=OPERATORS,
        operators_of=OPERATORS_OF,
        joints=forms.JOINTS,
    )
