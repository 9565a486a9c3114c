"""The shop's own fields beside a chat: shown in rows, each changed in its place."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.errors import NotFound, ScrmError
from scrm.profiles.own_fields import fields as custom_fields
from scrm.profiles.own_fields.fields import Change, Shown, Subject
from scrm.profiles.own_fields.forms import PREFIX, read_form
from scrm.profiles.own_fields.values import Entity, Type
from scrm.profiles.store import access_contact
from scrm.services import SERVICES
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sop.members import tasks
from web.texts import _

routes = web.RouteTableDef()


@routes.get("/sidebar/contacts/{external_userid}/fields")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """Asked for by the page itself, so that a shop without such fields pays nothing for them."""
    visit = visit_of(request)
    task_id = _task_of(request)
    return page(
        request,
        "own_fields.html",
        visit=visit,
        **await request.app[SERVICES].db.read(_load, visit, task_id),
        task=task_id,
    )


@routes.post(r"/sidebar/contacts/{external_userid}/fields/{entity:person|relation}/{key:[^/]{1,40}}")
@for_members
async def change(request: web.Request) -> web.StreamResponse:
    """One field; the rows anew, open where it could not be kept."""
    services, visit, form = request.app[SERVICES], visit_of(request), await request.post()
    entity, key = Entity(request.match_info["entity"]), request.match_info["key"]
    values: dict[str, Any] = {"changed": f"{entity}.{key}", "problem": "", "typed": ""}

    def write(conn: Connection) -> None:
        visit.relation = access_contact(conn, visit.userid, visit.external_userid)
        field = custom_fields.find_field(conn, entity, key)
        if field is None:
            raise NotFound(_("这个字段已归档，请刷新页面。"))
        given = read_form([field], form)  # type: ignore[arg-type]
        by = Change("sidebar", visit.userid, visit.now)
        custom_fields.set_values(
            conn, entity, _subject(visit, entity), given, by, vault=services.vault, person_id=visit.person_id
        )

    try:
        await services.db.write(write)
    except ScrmError as error:
        if error.status not in (409, 422):
            raise
        values["problem"] = error.text
        values["typed"] = [str(each) for each in form.getall(PREFIX + key, ())]
    task_id = _task_of(request)
    found = await services.db.read(_load, visit, task_id)
    return page(request, "own_fields.html", visit=visit, **found, **values, task=task_id)


def _task_of(request: web.Request) -> int:
    """The task whose questions are shown; 0 for all fields."""
    text = request.query.get("task", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _load(conn: Connection, visit: Visit, task_id: int = 0) -> dict[str, Any]:
    visit.relation = access_contact(conn, visit.userid, visit.external_userid)
    shown: list[Shown] = []
    for entity in (Entity.PERSON, Entity.RELATION):
        shown += custom_fields.values_of(conn, entity, _subject(visit, entity), visit.now)
    if task_id:
        asked = tasks.asked_by(conn, visit.userid, visit.external_userid, task_id)
        by_key = {each.field.key: each for each in shown if each.field.entity is Entity.PERSON}
        shown = [by_key[key] for key in asked if key in by_key]
    needs_members = any(each.field.type is Type.MEMBER for each in shown)
    return {"shown": shown, "members": custom_fields.list_members(conn) if needs_members else []}


def _subject(visit: Visit, entity: Entity) -> Subject:
    if entity is Entity.PERSON:
        return (visit.person_id,)
    assert visit.relation is not None  # noqa: S101 - behind the door
    return (visit.relation.userid, visit.relation.external_userid)
