"""/api/v1/fields: the shop's own fields, and what customers, orders and relations have in them."""

from collections.abc import Mapping
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct
from sqlalchemy import Connection

from scrm.api import store
from scrm.api.operation import operation
from scrm.api.parameters import MOST_DIGITS, PAGED_BY_KEY, SAYS_SOMETHING, Choice, Page, decode, page_of_few
from scrm.commerce.models import orders
from scrm.errors import NotFound
from scrm.profiles import store as profiles
from scrm.profiles.own_fields import fields as custom_fields
from scrm.profiles.own_fields.fields import Change, Definition, Shown, Subject
from scrm.profiles.own_fields.values import CustomField, Entity, Type
from scrm.services import SERVICES

routes = web.RouteTableDef()

_ENTITY = "{entity:person|order|relation}"
_KEY = r"{key:[^/]{1,40}}"
_Text = Annotated[str, Meta(max_length=500)]


class FieldWanted(Struct, kw_only=True):
    """A field as a program defines it; `type` and `key` are settled at the beginning."""

    entity: Annotated[str, Meta(max_length=20, extra_json_schema={"enum": list(Entity)})] = "person"
    title: Annotated[str, Meta(max_length=40, extra_json_schema=SAYS_SOMETHING)]
    type: Annotated[str, Meta(max_length=20, extra_json_schema={"enum": list(Type)})]
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


class Field(Struct, kw_only=True):
    """A field of the shop's own."""

    entity: str
    key: str
    title: str
    type: str
    hint: str
    is_required: bool
    is_unique: bool
    options: list[str]
    default: str
    min: str
    max: str
    formula: str
    position: int


class FieldValue(Struct):
    """`text` is for readers; a sealed value is only told masked."""

    title: str
    type: str
    value: Any
    text: str


class FieldValues(Struct):
    """By the fields' keys."""

    fields: dict[str, FieldValue]


_Given = dict[str, str | int | float | list[str] | None]
ENTITY = Choice("entity", "person 客户，order 订单，relation 好友关系", tuple(Entity))
_WANTED = '{"entity": "person", "title": "肤质", "type": "select", …}'


@routes.get("/api/v1/fields")
@operation("自定义字段", query=(ENTITY, *PAGED_BY_KEY), is_scoped=True)
async def list_fields(request: web.Request) -> Page[Field]:
    found = await request.app[SERVICES].db.read(custom_fields.list_fields, ENTITY.read(request) or None)
    return page_of_few(request, found, _describe, lambda field: f"{field.entity}.{field.key}")


@routes.post("/api/v1/fields")
@operation("新建自定义字段", body=FieldWanted, status=201, errors=(409,))
async def define(request: web.Request) -> Field:
    services = request.app[SERVICES]
    wanted = decode(await request.read(), FieldWanted, _WANTED)
    field = await services.db.write(custom_fields.define, wanted.entity, wanted.definition(), services.clock.now())
    return _describe(field)


@routes.put(f"/api/v1/fields/{_ENTITY}/{_KEY}")
@operation("修改自定义字段；标识和类型不变", body=FieldWanted, errors=(404, 409))
async def change(request: web.Request) -> Field:
    """The whole definition anew."""
    entity, key = request.match_info["entity"], request.match_info["key"]
    said = decode(await request.read(), FieldWanted, _WANTED).definition()
    return _describe(await request.app[SERVICES].db.write(custom_fields.change, entity, key, said))


@routes.delete(f"/api/v1/fields/{_ENTITY}/{_KEY}")
@operation("停用自定义字段，值和历史保留", status=204, errors=(404,))
async def archive(request: web.Request) -> None:
    """Its key is never given again."""
    services = request.app[SERVICES]
    entity, key = request.match_info["entity"], request.match_info["key"]
    await services.db.write(custom_fields.archive, entity, key, services.clock.now())


_OWNERS = (
    r"/api/v1/customers/{person_id:\d+}/fields",
    r"/api/v1/orders/{order_id:\d+}/fields",
    r"/api/v1/relations/{userid}/{external_userid}/fields",
)


@operation("自定义字段的值；手机号打码", errors=(404,))
async def show_values(request: web.Request) -> FieldValues:
    services = request.app[SERVICES]
    return _shown(await services.db.read(_values, request.match_info, services.clock.now()))


@operation("修改自定义字段的值，没写的不变", says="各字段的值；手机号打码", body=_Given, errors=(404, 409))
async def set_values(request: web.Request) -> FieldValues:
    """{key: value}: money in fen as a number or in yuan as text; null clears. All or nothing."""
    services = request.app[SERVICES]
    given = decode(
        await request.read(), _Given, '{"字段标识": 值}，值是文字、数字（金额为整数分）、文字的列表或 null（清空）'
    )
    key = request.headers.get("Authorization", "").partition(" ")[2].strip()
    now = services.clock.now()

    def write(conn: Connection) -> list[Shown]:
        entity, subject, person_id = _owner(conn, request.match_info)
        by = Change("api", store.find_name(conn, key) or "", now)
        custom_fields.set_values(conn, entity, subject, given, by, vault=services.vault, person_id=person_id)
        return custom_fields.values_of(conn, entity, subject, now)

    return _shown(await services.db.write(write))


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


def _describe(field: CustomField) -> Field:
    return Field(
        entity=field.entity,
        key=field.key,
        title=field.title,
        type=field.type,
        hint=field.hint,
        is_required=field.is_required,
        is_unique=field.is_unique,
        options=list(field.options),
        default=field.default_text,
        min=field.least,
        max=field.most,
        formula=field.formula,
        position=field.position,
    )


def _shown(found: list[Shown]) -> FieldValues:
    return FieldValues({each.field.key: _value(each) for each in found})


def _value(shown: Shown) -> FieldValue:
    value = shown.value.get("mask") if isinstance(shown.value, dict) else shown.value
    return FieldValue(shown.field.title, shown.field.type, value, shown.text)
