"""人群包: who is in them and why, and the forms that make and change them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.console import seen
from scrm.console.conditions.forms import OF_SEGMENTS, answer_of, read_posted, shown
from scrm.console.conditions.texts import read_text
from scrm.console.door import MANAGER, before_of, for_managers, page
from scrm.errors import Invalid, NotFound, ScrmError
from scrm.profiles.conditions.tree import Problem
from scrm.profiles.redirects import follow
from scrm.profiles.search import find_named
from scrm.profiles.store import find_contact
from scrm.segments import audience, forms, freeze, refresh, store
from scrm.segments.conditions import holds
from scrm.segments.explained import explain_tree
from scrm.segments.needs import list_missing
from scrm.segments.templates import TEMPLATES, Template, find_template
from scrm.services import SERVICES
from scrm.work import queue
from web.render import render

routes = web.RouteTableDef()

KEY = r"{key:[\w\-]{1,64}}"
SAMPLE = 10
PAGE = 50


@routes.get("/console/segments")
@for_managers
async def list_segments(request: web.Request) -> web.StreamResponse:
    rows = await request.app[SERVICES].db.read(store.list_segments)
    missing = await request.app[SERVICES].db.read(list_missing)
    made = {row.template for row in rows}
    left: dict[str, list[Template]] = {}
    for template in TEMPLATES:
        if template.key not in made:
            left.setdefault(template.group, []).append(template)
    return await page(request, "segments.html", active="segments", rows=rows, templates=left, missing=missing)


@routes.get("/console/segments/new")
@for_managers
async def show_new(request: web.Request) -> web.StreamResponse:
    template = find_template(request.query.get("template", ""))
    if template is None:
        # A page that shows some people leads here with the condition that finds them.
        return await _form(request, forms.Written(), read_text(request.query.get("if", "")))
    said = forms.Written(template.title, template.is_exclusion)
    return await _form(request, said, template.condition, template=template)


@routes.post("/console/segments/new")
@for_managers
async def make(request: web.Request) -> web.StreamResponse:
    form = await request.post()
    return await _save(request, form, "", find_template(str(form.get("template", ""))))


@routes.post("/console/segments/count")
@for_managers
async def count(request: web.Request) -> web.StreamResponse:
    """What is wrong with the condition as the builder has it, and how many fit when nothing is.

    Of very many persons at first about how many; the builder asks again for the `exact` number.
    """
    services, key = request.app[SERVICES], request.query.get("key", "")
    form = await request.post()
    tree = read_posted(form)
    if isinstance(tree, Invalid):
        return web.json_response(answer_of(None, [Problem((), tree.text)], is_read=False))

    def look(conn: Connection) -> dict[str, Any]:
        if tree is None or _is_gone(request):
            return {"problems": []}
        if problems := store.find_problems(conn, key, tree):
            return {"problems": problems}
        return {"problems": [], **_found(conn, tree, services.clock.now(), is_exact="exact" in form)}

    found = await services.db.read(look)
    told = answer_of(tree, found["problems"])
    if "count" in found:
        told["is_estimate"] = found["margin"] is not None
        told["html"] = render(request, "console/segment_count.html", problem="", **found).text
    return web.json_response(told)


def _is_gone(request: web.Request) -> bool:
    """Whoever typed on has closed the question before its turn came: nothing is counted for nobody."""
    return request.transport is None or request.transport.is_closing()


def _found(conn: Connection, tree: Any, now: datetime, *, is_exact: bool) -> dict[str, Any]:
    if not is_exact and (about := audience.estimate(conn, tree, now)):
        return {"count": about.persons, "margin": about.margin, "sample": []}
    sample = audience.sample(conn, tree, now, limit=SAMPLE)
    return {"count": audience.count(conn, tree, now), "margin": None, "sample": sample}


@routes.get(f"/console/segments/{KEY}")
@for_managers
async def show(request: web.Request) -> web.StreamResponse:
    services, customer = request.app[SERVICES], request.query.get("customer", "").strip()

    def look(conn: Connection) -> dict[str, Any]:
        row, now = store.get_segment(conn, request.match_info["key"]), services.clock.now()
        tree = row.condition if row.kind == "dynamic" else {"segment": row.key}
        found: dict[str, Any] = {"row": row, "customer": customer, "why": None}
        found["tree"] = explain_tree(conn, tree, 0, now) if row.kind == "dynamic" else None
        found["sample"] = audience.sample(conn, tree, now, limit=SAMPLE)
        found["days"] = store.list_days(conn, row.key)
        found["moved"] = store.list_moved(conn, row.key, limit=SAMPLE + 1)
        found["others"] = [each for each in store.list_segments(conn) if each.key != row.key]
        if customer:
            found["why"] = _why(conn, tree, customer, now)
        return found

    values = await services.db.read(look)
    return await page(request, "segment.html", active="segments", **values, line=_line(values["days"]))


def _why(conn: Connection, tree: Any, customer: str, now: datetime) -> dict[str, Any]:
    """For the one who is meant; several of that name are offered to choose from."""
    contact = find_contact(conn, customer)
    if contact is not None:
        people = [contact.person_id]
    elif customer.isascii() and customer.isdigit():
        people = [follow(conn, int(customer[:18]))]
    else:
        people = find_named(conn, customer, limit=SAMPLE + 1)
    if not people:
        return {"problem": f"没有名字或备注里有“{customer[:40]}”的客户，也可以写客户编号或 external_userid"}
    named = store.list_names(conn, people[:SAMPLE])
    if not named:
        return {"problem": f"没有编号为 {customer[:18]} 的客户"}
    if len(people) > 1:
        return {"problem": "", "choices": named, "is_cut": len(people) > SAMPLE}
    told = explain_tree(conn, tree, people[0], now)
    return {"problem": "", "choices": [], "person": named[0], "is_in": holds(conn, tree, people[0], now), "tree": told}


def _line(days: Sequence[Row[Any]]) -> str:
    """The members of each day as the points of a line in a field of 600 by 80."""
    if len(days) < 2:
        return ""
    most = max(row.members for row in days) or 1
    step = 600 / (len(days) - 1)
    return " ".join(f"{number * step:.0f},{78 - row.members * 74 / most:.0f}" for number, row in enumerate(days))


@routes.get(f"/console/segments/{KEY}/moved")
@for_managers
async def show_moved(request: web.Request) -> web.StreamResponse:
    """Everybody who entered and left, as far back as it is known."""
    before, key = before_of(request), request.match_info["key"]

    def look(conn: Connection) -> dict[str, Any]:
        row = store.get_segment(conn, key)
        return {"row": row, "moved": store.list_moved(conn, key, before=before, limit=PAGE + 1)}

    found = await request.app[SERVICES].db.read(look)
    rest = found["moved"][PAGE:]
    found["moved"] = found["moved"][:PAGE]
    return await page(
        request, "segment_moved.html", active="segments", **found, next=found["moved"][-1].id if rest else 0
    )


@routes.post(f"/console/segments/{KEY}/freeze")
@for_managers
async def freeze_now(request: web.Request) -> web.StreamResponse:
    """A list of who is in it now."""
    services, form = request.app[SERVICES], await request.post()
    key = f"list-{uuid4().hex[:8]}"
    draft = store.Draft(key, str(form.get("title", "")))
    ask = partial(freeze.ask, now=services.clock.now(), by=request[MANAGER].userid)
    await services.db.write(ask, request.match_info["key"], draft)
    raise web.HTTPSeeOther(f"/console/segments/{key}")


@routes.get(f"/console/segments/{KEY}/compare")
@for_managers
async def compare(request: web.Request) -> web.StreamResponse:
    """Two segments beside each other, by who was in them when they were computed last."""
    key, other = request.match_info["key"], request.query.get("with", "")

    def look(conn: Connection) -> dict[str, Any]:
        one, two = store.get_segment(conn, key), store.get_segment(conn, other)
        return {
            "row": one,
            "other": two,
            "overlap": store.compare(conn, one.key, two.key),
            "only_one": store.sample_difference(conn, one.key, two.key),
            "only_other": store.sample_difference(conn, two.key, one.key),
        }

    found = await request.app[SERVICES].db.read(look)
    return await page(request, "segment_compare.html", active="segments", **found)


@routes.get(f"/console/segments/{KEY}/edit")
@for_managers
async def show_edit(request: web.Request) -> web.StreamResponse:
    row = await request.app[SERVICES].db.read(store.get_segment, request.match_info["key"])
    if row.kind != "dynamic":
        raise NotFound("固定名单没有条件可改")
    said = forms.Written(row.title, row.is_exclusion, row.tells_first)
    return await _form(request, said, row.condition, key=row.key, marked=_mark(row))


@routes.post(f"/console/segments/{KEY}/edit")
@for_managers
async def change(request: web.Request) -> web.StreamResponse:
    key = request.match_info["key"]
    row = await request.app[SERVICES].db.read(store.get_segment, key)
    return await _save(request, await request.post(), key, find_template(row.template))


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


async def _save(
    request: web.Request, form: Mapping[str, Any], key: str, template: Template | None
) -> web.StreamResponse:
    """To the segment that was saved, or the form again with what is wrong."""
    services, said, tree = request.app[SERVICES], forms.read_form(form), read_posted(form)

    def save(conn: Connection) -> str:
        if isinstance(tree, Invalid):
            raise tree
        if tree is None:
            raise Invalid("请至少写一个条件")
        if key:
            seen.require_unchanged(form, _mark(store.get_segment(conn, key)))
        draft = store.Draft(
            key or _new_key(conn, template),
            said.title,
            tree,
            said.is_exclusion,
            template.key if template else "",
            said.tells_first,
        )
        store.save_segment(conn, draft, now=services.clock.now(), by=request[MANAGER].userid)
        return draft.key

    try:
        saved = await services.db.write(save)
    except ScrmError as error:
        kept = None if isinstance(tree, Invalid) else tree
        marked = ""
        if key:
            marked = seen.mark_again(form, _mark(await services.db.read(store.get_segment, key)), error)
        text = str(form.get("text", ""))
        return await _form(request, said, kept, key=key, template=template, problem=error, text=text, marked=marked)
    raise web.HTTPSeeOther(f"/console/segments/{saved}")


def _mark(row: Row[Any]) -> str:
    return seen.mark(row.title, row.is_exclusion, row.tells_first, row.condition)


def _new_key(conn: Connection, template: Template | None) -> str:
    taken = {row.key for row in store.list_segments(conn)}
    return template.key if template is not None and template.key not in taken else f"seg-{uuid4().hex[:8]}"


async def _form(
    request: web.Request,
    said: forms.Written,
    tree: Any,
    *,
    key: str = "",
    template: Template | None = None,
    problem: ScrmError | None = None,
    text: str = "",
    marked: str = "",
) -> web.Response:
    """`text` is what somebody wrote that cannot be read; `marked` what the form was filled from."""
    begun = shown(tree)
    missing = await request.app[SERVICES].db.read(list_missing)
    return await page(
        request,
        "segment_form.html",
        active="segments",
        status=problem.status if problem else 200,
        problem=problem.text if problem else "",
        said=said,
        shown=begun if tree is not None else {**begun, "text": text},
        key=key,
        made_from=template,
        missing=missing,
        base=OF_SEGMENTS,
        seen=marked,
    )
