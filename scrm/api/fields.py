"""/api/v1/fields: the shop's own fields, and what customers, orders and relations have in them."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct
from sqlalchemy import Connection

from scrm.api import store
from scrm.api.parameters import MOST_DIGITS
from scrm.commerce.models import orders
from scrm.errors import Invalid, NotFound
from scrm.http import require_keepable
from scrm.profiles import custom_fields
from scrm.profiles import store as profiles
from scrm.profiles.custom_field_values import CustomField, Entity
from scrm.profiles.custom_fields import Change, Definition, Shown, Subject
from scrm.services import SERVICES

routes = web.RouteTableDef()

_ENTITY = "{entity:person|order|relation}"
_KEY = r"{key:[^/]{1,40}}"
_Text = Annotated[str, Meta(max_length=500)]


class Wanted(Struct, kw_only=True):
    """A field as a program defines it; `type` and `key` are settled at the beginning."""

    entity: Annotated[str, Meta(max_length=20)] = "person"
    title: Annotated[str, Meta(max_length=40)]
    type: Annotated[str, Meta(max_length=20)]
    key: Annotated[str, Meta(max_length=40)] = ""
    hint: _Text = ""
    is_required: bool = False
    is_unique: bool = False
    options: Annotated[list[_Text], Meta(max_length=100)] = []
    default: _Text = ""
    min: _Text = ""
    max: _Text = ""
    formula: _Text = ""

    def definition(self) -> Definition:
        return Definition(
            title=self.title,
            type=self.type,
            key=self.key,
            hint=self.hint,
            is_required=self.is_required,
            is_unique=self.is_unique,
            options=tuple(self.options),
            default_text=self.default,
            least=self.min,
            most=self.max,
            formula=self.formula,
        )


@routes.get("/api/v1/fields")
async def list_fields(request: web.Request) -> web.Response:
    """All of them in their order; `entity` narrows."""
    entity = request.query.get("entity") or None
    if entity is not None and entity not in list(Entity):
        raise Invalid(f"参数 entity：收到“{entity[:20]}”，可用 person、order、relation")
    found = await request.app[SERVICES].db.read(custom_fields.list_fields, entity)
    return web.json_response({"items": [_describe(field) for field in found]})


@routes.post("/api/v1/fields")
async def define(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    wanted = _wanted(await request.read())
    field = await services.db.write(custom_fields.define, wanted.entity, wanted.definition(), services.clock.now())
    return web.json_response(_describe(field), status=201)


@routes.put(f"/api/v1/fields/{_ENTITY}/{_KEY}")
async def change(request: web.Request) -> web.Response:
    """The whole definition anew; key and type stay."""
    entity, key = request.match_info["entity"], request.match_info["key"]
    said = _wanted(await request.read()).definition()
    field = await request.app[SERVICES].db.write(custom_fields.change, entity, key, said)
    return web.json_response(_describe(field))


@routes.delete(f"/api/v1/fields/{_ENTITY}/{_KEY}")
async def archive(request: web.Request) -> web.Response:
    """Archives: values and history stay, and the key is never given again."""
    services = request.app[SERVICES]
    entity, key = request.match_info["entity"], request.match_info["key"]
    await services.db.write(custom_fields.archive, entity, key, services.clock.now())
    return web.Response(status=204)


_OWNERS = (
    r"/api/v1/customers/{person_id:\d+}/fields",
    r"/api/v1/orders/{order_id:\d+}/fields",
    r"/api/v1/relations/{userid}/{external_userid}/fields",
)


async def show_values(request: web.Request) -> web.Response:
    """{key: {title, type, value, text}}; phones are masked."""
    services = request.app[SERVICES]
    shown = await services.db.read(_values, request.match_info, services.clock.now())
    return web.json_response({"fields": {each.field.key: describe_value(each) for each in shown}})


async def set_values(request: web.Request) -> web.Response:
    """{key: value}: money in fen as a number or in yuan as text; null clears. All or nothing."""
    services = request.app[SERVICES]
    given = _given(await request.read())
    key = request.headers.get("Authorization", "").partition(" ")[2].strip()
    now = services.clock.now()

    def write(conn: Connection) -> list[Shown]:
        entity, subject, person_id = _owner(conn, request.match_info)
        by = Change("api", store.find_name(conn, key) or "", now)
        custom_fields.set_values(conn, entity, subject, given, by, vault=services.vault, person_id=person_id)
        return custom_fields.values_of(conn, entity, subject, now)

    shown = await services.db.write(write)
    return web.json_response({"fields": {each.field.key: describe_value(each) for each in shown}})


for path in _OWNERS:
    routes.get(path)(show_values)
    routes.patch(path)(set_values)


def _values(conn: Connection, names: Mapping[str, str], now: Any) -> list[Shown]:
    entity, subject, _ = _owner(conn, names)
    return custom_fields.values_of(conn, entity, subject, now)


def _owner(conn: Connection, names: Mapping[str, str]) -> tuple[Entity, Subject, int | None]:
    """Whose values the address is about; raises NotFound."""
    if "userid" in names:
        subject = (names["userid"], names["external_userid"])
        person_id = custom_fields.person_of_relation(conn, *subject)
        if person_id is None:
            raise NotFound(f"员工 {subject[0][:64]} 和客户 {subject[1][:64]} 不是好友")
        return Entity.RELATION, subject, person_id
    if "order_id" in names:
        order_id = _number(names["order_id"])
        row = conn.execute(orders.select().where(orders.c.id == order_id)).first()
        if row is None:
            raise NotFound(f"没有订单 {order_id}")
        return Entity.ORDER, (order_id,), row.person_id
    person = profiles.get_person(conn, _number(names["person_id"]))
    if person is None:
        raise NotFound(f"没有客户 {names['person_id'][:20]}")
    return Entity.PERSON, (person.id,), person.id


def _number(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise NotFound(f"没有编号 {digits[:20]}")
    return int(digits)


def _wanted(body: bytes) -> Wanted:
    try:
        wanted = msgspec.json.decode(body, type=Wanted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f'请求体应为 {{"entity": "person", "title": "肤质", "type": "select", …}}：{error}') from None
    require_keepable({str(name): value for name, value in msgspec.to_builtins(wanted).items()})
    require_keepable(dict.fromkeys(wanted.options, ""))
    return wanted


def _given(body: bytes) -> dict[str, Any]:
    try:
        given = msgspec.json.decode(body, type=dict[str, str | int | float | list[str] | None])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid('请求体应为 {"字段标识": 值}，值是文字、数字、文字的列表或 null') from None
    require_keepable(given)
    for value in given.values():
        require_keepable(dict.fromkeys(value, "") if isinstance(value, list) else {})
    return given


def _describe(field: CustomField) -> dict[str, Any]:
    return {
        "entity": field.entity,
        "key": field.key,
        "title": field.title,
        "type": field.type,
        "hint": field.hint,
        "is_required": field.is_required,
        "is_unique": field.is_unique,
        "options": list(field.options),
        "default": field.default_text,
        "min": field.least,
        "max": field.most,
        "formula": field.formula,
        "position": field.position,
    }


def describe_value(shown: Shown) -> dict[str, Any]:
    """A field's value for programs; a sealed one is only told masked."""
    value = shown.value.get("mask") if isinstance(shown.value, dict) else shown.value
    return {"title": shown.field.title, "type": shown.field.type, "value": value, "text": shown.text}
