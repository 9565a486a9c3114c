"""/api/v1/customers/{id}/private, export, erase, optout: for programs whose key was made for it."""

from dataclasses import asdict
from typing import Any

from aiohttp import web

from scrm.access.roles import FIELDS
from scrm.api.auth import CALLER
from scrm.api.parameters import MOST_DIGITS
from scrm.api.store import Caller
from scrm.errors import Invalid, NotFound
from scrm.http import require_keepable
from scrm.privacy import erase as erasing
from scrm.privacy import export
from scrm.privacy.optout import FLAGS, set_optout
from scrm.privacy.reveal import reveal
from scrm.services import SERVICES

routes = web.RouteTableDef()


@routes.get(r"/api/v1/customers/{person_id:\d+}/private")
async def get_private(request: web.Request) -> web.Response:
    """Phones and receivers in clear; `reason` is noted beside the key's name."""
    caller, services = request[CALLER], request.app[SERVICES]
    found = await services.db.write(
        reveal,
        _person_id(request),
        services.vault,
        actor=_actor(caller),
        fields=frozenset(FIELDS),
        reason=request.query.get("reason", ""),
        now=services.clock.now(),
    )
    answer = {"phones": found.phones, "receivers": [asdict(one) for one in found.receivers]}
    return web.json_response(answer, headers={"Cache-Control": "no-store"})


@routes.get(r"/api/v1/customers/{person_id:\d+}/export")
async def get_export(request: web.Request) -> web.Response:
    caller, services = request[CALLER], request.app[SERVICES]
    found = await services.db.write(
        export.collect,
        _person_id(request),
        services.vault,
        actor=_actor(caller),
        reason=request.query.get("reason", ""),
        now=services.clock.now(),
    )
    return web.json_response(found, headers={"Cache-Control": "no-store"})


@routes.post(r"/api/v1/customers/{person_id:\d+}/erase")
async def post_erase(request: web.Request) -> web.Response:
    """{"confirm": <the id again>, "reason"?}; a second time answers `again`."""
    caller, person_id, body = request[CALLER], _person_id(request), await _body(request)
    if body.get("confirm") != person_id:
        raise Invalid(f'请在请求体里写上 {{"confirm": {person_id}}} 表示确认删除，删除后无法恢复')
    done = await erasing.erase(
        request.app[SERVICES], person_id, actor=_actor(caller), reason=str(body.get("reason") or "")
    )
    return web.json_response({"person_id": person_id, "rows": sum(done.counts.values()), "again": done.again})


@routes.put(r"/api/v1/customers/{person_id:\d+}/optout")
async def put_optout(request: web.Request) -> web.Response:
    """{"promo": true, ...}: what is not named stays; answers with all that is refused now."""
    services, body = request.app[SERVICES], await _body(request)
    wrong = [name for name, value in body.items() if not isinstance(value, bool)]
    if wrong or not body:
        raise Invalid(f'请求体应为 {{"promo": true}} 这样的退订项：可用的有 {"、".join(FLAGS)}，值为 true 或 false')
    raised = await services.db.write(
        set_optout, _person_id(request), body, actor=_actor(request[CALLER]), now=services.clock.now()
    )
    return web.json_response({"optout": raised})


def _actor(caller: Caller) -> str:
    return f"api:{caller.name}"


def _person_id(request: web.Request) -> int:
    digits = request.match_info["person_id"]
    if len(digits) > MOST_DIGITS:
        raise NotFound(f"没有客户 {digits[:40]}")
    return int(digits)


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except (ValueError, RecursionError):
        raise Invalid("请求体不是 JSON") from None
    if not isinstance(body, dict):
        raise Invalid("请求体应为 JSON 对象")
    require_keepable(body)
    return body
