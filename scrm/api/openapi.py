"""GET /api/openapi.json: what other programs may call, made of what stands beside each handler."""

from collections.abc import Iterator
from typing import Any

from aiohttp import web
from msgspec import Struct

from scrm import __version__
from scrm.api import (
    coupons,
    customers,
    events,
    fields,
    group_chats,
    members,
    membership,
    merges,
    orders,
    people,
    playbook_results,
    playbooks,
    privacy,
    radar,
    referrals,
    runs,
    segments,
    sends,
    shipments,
    tasks,
    track,
    webhooks,
)
from scrm.api.openapi_parts import Schemas, described
from scrm.api.operation import Operation, operation, operation_of

routes = web.RouteTableDef()

_TITLE = "SCRM"
_SAYS = "时间为带时区的 ISO 8601，金额为整数分。翻页、限额、重发和错误的写法见 docs/api.md。"


class Document(Struct):
    """An OpenAPI 3.1 document."""

    openapi: str
    info: dict[str, Any]
    servers: list[dict[str, Any]]
    security: list[dict[str, Any]]
    components: dict[str, Any]
    paths: dict[str, dict[str, Any]]


@routes.get("/api/openapi.json")
@operation("接口说明（OpenAPI 3.1），不需要密钥", says="本文")
async def openapi(request: web.Request) -> Document:
    return Document(**describe())


# In the order of the page.
TABLES = (
    customers.routes,
    people.routes,
    privacy.routes,
    membership.routes,
    segments.routes,
    merges.routes,
    fields.routes,
    group_chats.routes,
    playbook_results.routes,
    playbooks.routes,
    runs.routes,
    tasks.routes,
    members.routes,
    sends.routes,
    events.routes,
    track.routes,
    radar.routes,
    referrals.routes,
    orders.routes,
    shipments.routes,
    coupons.routes,
    webhooks.routes,
    routes,
)


def describe() -> dict[str, Any]:
    """The whole document."""
    listed = list(_operations())
    schemas = Schemas([told for _, _, told in listed])
    paths: dict[str, dict[str, Any]] = {}
    for method, pattern, told in listed:
        path, one = described(method, pattern, told, schemas)
        paths.setdefault(path, {})[method] = one
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": __version__, "description": _SAYS},
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas.components,
        },
        "paths": paths,
    }


def _operations() -> Iterator[tuple[str, str, Operation]]:
    for table in TABLES:
        for route in table:
            told = operation_of(route.handler) if isinstance(route, web.RouteDef) else None
            if told is not None and isinstance(route, web.RouteDef):
                yield route.method.lower(), route.path, told
