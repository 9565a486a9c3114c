"""自定义字段: what a shop wants to know of customers, orders and relations; and the forms to fill it in."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection, select

from scrm.commerce.models import orders
from scrm.console.door import MANAGER, for_managers, page
from scrm.contact_ways.forms import Posted
from scrm.errors import NotFound, ScrmError
from scrm.profiles import store as profiles
from scrm.profiles.conditions.leaves_own_fields import PREFIXES
from scrm.profiles.models import external_contact
from scrm.profiles.own_fields import fields as custom_fields
from scrm.profiles.own_fields.fields import Change, Definition, Shown, Subject
from scrm.profiles.own_fields.forms import PREFIX, read_form
from scrm.profiles.own_fields.values import ENTITY_TITLES, TYPE_TITLES, CustomField, Entity, Type
from scrm.services import SERVICES

routes = web.RouteTableDef()

SHOWN_CHANGES = 50
_KEY = r"{entity:person|order|relation}/{key:[^/]{1,40}}"
SOURCES = {"staff": "员工", "api": "接口", "import": "导入", "sidebar": "侧边栏"}


def source_words(source: str) -> str:
    """By which way a change came: 「剧本 new-customer」."""
    return f"剧本 {source.partition(':')[2]}" if source.startswith("playbook:") else SOURCES.get(source, source)


# Definitions ----------------------------------------------------------------------------------------------------------


@routes.get("/console/fields")
@for_managers
async def list_fields(request: web.Request) -> web.StreamResponse:
    entity = _entity(request.query.get("of", ""))

    def look(conn: Connection) -> dict[str, Any]:
        fields = custom_fields.list_fields(conn, entity, with_archived=True)
        living = [field for field in fields if field.archived_at is None]
        counts = {field.key: custom_fields.count_values(conn, entity, field.key) for field in living}
        return {"fields": living, "archived": [field for field in fields if field.archived_at], "counts": counts}

    values = await request.app[SERVICES].db.read(look)
    return await page(
        request,
        "own_fields.html",
        active="own_fields",
        entity=entity,
        entities=ENTITY_TITLES,
        types=TYPE_TITLES,
        prefix=PREFIXES[entity],
        **values,
    )


@routes.get("/console/fields/new")
@for_managers
async def show_new(request: web.Request) -> web.StreamResponse:
    return await _form(request, _entity(request.query.get("of", "")), Definition("", "text"))


@routes.post("/console/fields/new")
@for_managers
async def define(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    entity, said = _entity(str(form.get("of", ""))), _definition(form)  # type: ignore[arg-type]
    try:
        await services.db.write(custom_fields.define, entity, said, services.clock.now())
    except ScrmError as error:
        return await _form(request, entity, said, problem=error)
    raise web.HTTPSeeOther(f"/console/fields?of={entity}")


@routes.get(f"/console/fields/{_KEY}")
@for_managers
async def show_field(request: web.Request) -> web.StreamResponse:
    entity, key = _entity(request.match_info["entity"]), request.match_info["key"]
    field = await request.app[SERVICES].db.read(custom_fields.find_field, entity, key)
    if field is None:
        raise NotFound("没有这个自定义字段，可能已归档。请回到字段列表")
    return await _form(request, entity, _said(field), key=key)


@routes.post(f"/console/fields/{_KEY}")
@for_managers
async def change(request: web.Request) -> web.StreamResponse:
    entity, key = _entity(request.match_info["entity"]), request.match_info["key"]
    said = _definition(await request.post())  # type: ignore[arg-type]
    try:
        await request.app[SERVICES].db.write(custom_fields.change, entity, key, said)
    except NotFound:
        raise
    except ScrmError as error:
        return await _form(request, entity, said, problem=error, key=key)
    raise web.HTTPSeeOther(f"/console/fields?of={entity}")


@routes.post(f"/console/fields/{_KEY}/{{act:archive|restore|up|down}}")
@for_managers
async def act(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    entity, key, wanted = (request.match_info[name] for name in ("entity", "key", "act"))
    if wanted == "archive":
        await services.db.write(custom_fields.archive, entity, key, services.clock.now())
    elif wanted == "restore":
        await services.db.write(custom_fields.restore, entity, key)
    else:
        await services.db.write(custom_fields.move, entity, key, wanted == "up")
    raise web.HTTPSeeOther(f"/console/fields?of={entity}")


def _entity(text: str) -> Entity:
    return Entity(text) if text in list(Entity) else Entity.PERSON


async def _form(
    request: web.Request, entity: Entity, said: Definition, *, problem: ScrmError | None = None, key: str = ""
) -> web.Response:
    return await page(
        request,
        "own_field.html",
        active="own_fields",
        status=problem.status if problem else 200,
        problem=problem.text if problem else "",
        entity=entity,
        entities=ENTITY_TITLES,
        types=TYPE_TITLES,
        said=said,
        key=key,
    )


def _said(field: CustomField) -> Definition:
    return Definition(
        title=field.title,
        type=field.type,
        key=field.key,
        hint=field.hint,
        is_required=field.is_required,
        is_unique=field.is_unique,
        options=field.options,
        default_text=field.default_text,
        least=field.least,
        most=field.most,
        formula=field.formula,
    )


def _definition(form: Posted) -> Definition:
    def text(name: str) -> str:
        return str(form.get(name, "")).strip()

    kind = text("type")
    return Definition(
        title=text("title"),
        type=kind,
        key=text("key"),
        hint=text("hint"),
        is_required=bool(text("is_required")),
        is_unique=bool(text("is_unique")),
        options=tuple(text("options").splitlines()),
        default_text=text("default_text"),
        least=text("least") if kind in (Type.NUMBER, Type.MONEY, Type.DATE) else "",
        most=text("most") if kind in (Type.NUMBER, Type.MONEY, Type.DATE) else "",
        formula=text("formula"),
    )


# What is filled in ----------------------------------------------------------------------------------------------------

_OWNERS = (
    r"/console/customers/{person_id:\d{1,18}}/fields",
    r"/console/customers/{person_id:\d{1,18}}/orders/{order_id:\d{1,18}}/fields",
    r"/console/customers/{person_id:\d{1,18}}/relations/{userid}/{external_userid}/fields",
)


@for_managers
async def show_values(request: web.Request) -> web.StreamResponse:
    return await _values_form(request)


@for_managers
async def set_values(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    now = services.clock.now()

    def write(conn: Connection) -> None:
        entity, subject, person_id, _ = _owner(conn, request)
        given = read_form(custom_fields.list_fields(conn, entity), form)  # type: ignore[arg-type]
        by = Change("staff", request[MANAGER].userid, now)
        custom_fields.set_values(
            conn, entity, subject, given, by, vault=services.vault, person_id=person_id, is_whole=True
        )

    try:
        await services.db.write(write)
    except NotFound:
        raise
    except ScrmError as error:
        return await _values_form(request, form, error)  # type: ignore[arg-type]
    raise web.HTTPSeeOther(f"/console/customers/{request.match_info['person_id']}")


for path in _OWNERS:
    routes.get(path)(show_values)
    routes.post(path)(set_values)


async def _values_form(
    request: web.Request, form: Posted | None = None, problem: ScrmError | None = None
) -> web.Response:
    now = request.app[SERVICES].clock.now()

    def look(conn: Connection) -> dict[str, Any]:
        entity, subject, person_id, called = _owner(conn, request)
        shown = custom_fields.values_of(conn, entity, subject, now)
        return {
            "entity": entity,
            "entity_title": ENTITY_TITLES[entity],
            "person_id": person_id,
            "called": called,
            "shown": shown,
            "members": custom_fields.list_members(conn)
            if any(each.field.type is Type.MEMBER for each in shown)
            else [],
            "changes": custom_fields.list_changes(conn, entity, subject, SHOWN_CHANGES),
        }

    values = await request.app[SERVICES].db.read(look)
    values["typed"] = {each.field.key: each.form if form is None else _typed(form, each) for each in values["shown"]}
    return await page(
        request,
        "own_values.html",
        active="customers",
        status=problem.status if problem else 200,
        problem=problem.text if problem else "",
        source_words=source_words,
        **values,
    )


def _typed(form: Posted, shown: Shown) -> Any:
    name = PREFIX + shown.field.key
    return (
        [str(each) for each in form.getall(name, ())] if shown.field.type is Type.MULTI_SELECT else form.get(name, "")
    )


def _owner(conn: Connection, request: web.Request) -> tuple[Entity, Subject, int, str]:
    """Whose values the address is about, of whom they are, and what to call them; raises NotFound."""
    names = request.match_info
    person = profiles.get_person(conn, int(names["person_id"]))
    if person is None:
        raise NotFound("没有这位客户，可能已被删除或合并。请回到客户列表重新查找")
    if "order_id" in names:
        found = select(orders.c.order_no).where(orders.c.id == int(names["order_id"]), orders.c.person_id == person.id)
        order_no = conn.execute(found).scalar_one_or_none()
        if order_no is None:
            raise NotFound("这位客户没有这个订单")
        return Entity.ORDER, (int(names["order_id"]),), person.id, f"订单 {order_no}"
    if "userid" in names:
        subject = (names["userid"], names["external_userid"])
        if custom_fields.person_of_relation(conn, *subject) != person.id:
            raise NotFound("这位员工和客户不是好友")
        return Entity.RELATION, subject, person.id, f"与员工 {names['userid']} 的好友关系"
    query = select(external_contact.c.name).where(external_contact.c.person_id == person.id).limit(1)
    called = conn.execute(query).scalar_one_or_none() or person.name or "未知昵称"
    return Entity.PERSON, (person.id,), person.id, called


def load_shown(
    conn: Connection, person_id: int, order_ids: list[int], relations: list[Subject], now: Any
) -> dict[str, Any]:
    """For a customer's page: the fields of the person, and by owner those of orders and relations that have a value."""

    def filled(entity: Entity, subjects: list[Subject]) -> dict[Subject, list[Shown]]:
        found = custom_fields.values_of_many(conn, entity, subjects, now) if subjects else {}
        return {subject: shown for subject, shown in found.items() if shown}

    return {
        "person": custom_fields.values_of(conn, Entity.PERSON, (person_id,), now),
        "orders": {
            subject[0]: shown for subject, shown in filled(Entity.ORDER, [(each,) for each in order_ids]).items()
        },
        "relations": filled(Entity.RELATION, relations),
    }
