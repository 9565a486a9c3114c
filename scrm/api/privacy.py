"""/api/v1/customers/{id}/private, export, erase, optout: for programs whose key was made for it."""

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from scrm.access.roles import FIELDS
from scrm.api.auth import CALLER
from scrm.api.operation import operation
from scrm.api.parameters import Moment, Text, decode, person_id_of
from scrm.api.store import Caller
from scrm.errors import Invalid
from scrm.privacy import erase as erasing
from scrm.privacy import export
from scrm.privacy.optout import FLAGS, set_optout
from scrm.privacy.reveal import Receiver, reveal
from scrm.services import SERVICES

routes = web.RouteTableDef()


REASON = Text("reason", "为什么要看，至少 2 个字，和密钥的名称一起留下记录", is_required=True, least=2, most=200)

_WHY = Text("reason", "为什么要导出，和密钥的名称一起留下记录", most=200)
_Flags = Annotated[dict[str, bool], Meta(min_length=1, extra_json_schema={"propertyNames": {"enum": list(FLAGS)}})]


class Private(Struct):
    """Phones and receivers in clear."""

    phones: list[str]
    receivers: list[Receiver]


class Table(Struct):
    """The rows of one table; what stands in them depends on the table."""

    title: str
    rows: list[dict[str, Any]]


class Export(Struct):
    """All that is kept of a person, by table."""

    person_id: int
    exported_at: Moment
    version: int
    tables: dict[str, Table]


class EraseWanted(Struct, kw_only=True):
    """`confirm` is the customer's id again."""

    confirm: int
    reason: str = ""


class Erased(Struct):
    """How many rows were cleared; `again`: it was done before."""

    person_id: int
    rows: int
    again: bool


class OptOut(Struct):
    """All that is refused now."""

    optout: dict[str, bool]


@routes.get(r"/api/v1/customers/{person_id:\d+}/private")
@operation("客户的手机号与收货人明文；每次都会留下记录", query=(REASON,), errors=(404,), is_private=True)
async def get_private(request: web.Request) -> Private:
    caller, services = request[CALLER], request.app[SERVICES]
    found = await services.db.write(
        reveal,
        person_id_of(request),
        services.vault,
        actor=_actor(caller),
        fields=frozenset(FIELDS),
        reason=REASON.read(request),
        now=services.clock.now(),
    )
    return Private(found.phones, found.receivers)


@routes.get(r"/api/v1/customers/{person_id:\d+}/export")
@operation("客户的全部资料，按表列出", query=(_WHY,), errors=(404,), is_private=True)
async def get_export(request: web.Request) -> Export:
    caller, services = request[CALLER], request.app[SERVICES]
    found = await services.db.write(
        export.collect,
        person_id_of(request),
        services.vault,
        actor=_actor(caller),
        reason=_WHY.read(request),
        now=services.clock.now(),
    )
    return msgspec.convert(found, Export)


@routes.post(r"/api/v1/customers/{person_id:\d+}/erase")
@operation("删除客户资料；订单金额保留，不再对应任何人", says="处理的记录数", body=EraseWanted, errors=(404,))
async def post_erase(request: web.Request) -> Erased:
    """A second time answers `again`."""
    caller, person_id = request[CALLER], person_id_of(request)
    confirmed = f'{{"confirm": {person_id}}} 表示确认删除，删除后无法恢复'
    asked = decode(await request.read(), EraseWanted, confirmed)
    if asked.confirm != person_id:
        raise Invalid(f"请在请求体里写上 {confirmed}")
    done = await erasing.erase(request.app[SERVICES], person_id, actor=_actor(caller), reason=asked.reason)
    return Erased(person_id, sum(done.counts.values()), done.again)


@routes.put(r"/api/v1/customers/{person_id:\d+}/optout")
@operation("修改客户的退订项，没写的不变", says="生效的退订项", body=_Flags, errors=(404,))
async def put_optout(request: web.Request) -> OptOut:
    services = request.app[SERVICES]
    body = decode(
        await request.read(),
        _Flags,
        f'{{"promo": true}} 这样的退订项：可用的有 {"、".join(FLAGS)}，值为 true 或 false',
    )
    raised = await services.db.write(
        set_optout, person_id_of(request), body, actor=_actor(request[CALLER]), now=services.clock.now()
    )
    return OptOut(raised)


def _actor(caller: Caller) -> str:
    return f"api:{caller.name}"
