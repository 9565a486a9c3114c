"""Bearer keys for /api/v1: who may come in, from where, and what they may do; every write is kept in the log."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from scrm import audit
from scrm.access import scope as scopes
from scrm.access.logged import carry_out, deed_of, pattern_of
from scrm.access.modules import ERASE, REVEAL, RIGHTS
from scrm.access.routes import Need, need_of
from scrm.access.senders import sender_of
from scrm.api import once, rates, store
from scrm.api.operation import operation_of
from scrm.api.parameters import person_id_of
from scrm.errors import Forbidden, Unauthorized
from scrm.services import SERVICES, Services

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CALLER = web.RequestKey("caller", store.Caller)

_OPEN = {"/api/openapi.json"}


@web.middleware
async def require_api_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Guards /api/*: the key needs the scope that scrm.access.routes names."""
    if not request.path.startswith("/api/") or request.path in _OPEN:
        return await handler(request)
    services = request.app[SERVICES]
    caller = request[CALLER] = await _find_caller(request, services)
    request[rates.HEADERS] = await rates.take(services, _key_of(request))
    return await _answer(request, handler, caller)


async def _answer(request: web.Request, handler: Handler, caller: store.Caller) -> web.StreamResponse:
    if not pattern_of(request):
        return await handler(request)
    need = need_of(request.method, pattern_of(request))
    if need is not None and not need.is_logged:
        _require_scope(caller, need)
        await _require_reach(request, caller)
        return await handler(request)

    async def admitted(request: web.Request) -> web.StreamResponse:
        _require_scope(caller, need)
        await _require_reach(request, caller)
        return await once.carry_out_once(request, handler, _key_of(request))

    actor = audit.Actor(f"api:{caller.name}", caller.name, sender_of(request), "api")
    return await carry_out(request, admitted, deed_of(request, actor, need or Need("", "edit", is_logged=True)))


async def _find_caller(request: web.Request, services: Services) -> store.Caller:
    key, now = _key_of(request), services.clock.now()
    caller = await services.db.read(store.find_caller, key, now=now) if key else None
    if caller is None:
        raise Unauthorized(_WRONG_KEY if key else _NO_KEY)
    if not caller.may_come_from(sender_of(request)):
        raise Forbidden(f"这个密钥不能从 {sender_of(request)} 使用，请在后台「接口密钥」里核对允许的地址")
    if caller.last_used_at is None or now - caller.last_used_at > store.USED:
        await services.db.write(store.note_use, key, now=now)
    return caller


def _key_of(request: web.Request) -> str:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _require_scope(caller: store.Caller, need: Need | None) -> None:
    if need is None:
        raise Forbidden("这个接口还没有登记权限，请联系管理员")
    if need.module and not caller.may(need.module, need.right):
        scope = f"{need.module}:{need.right}"
        raise Forbidden(f"这个密钥没有“{need.title}”的权限（{scope}）：{_WAY_OUT[need.right]}", missing_scope=scope)


async def _require_reach(request: web.Request, caller: store.Caller) -> None:
    """A key that reaches only some customers sees nothing of the others: where neither the address nor the handler
    keeps to them, it does not come in at all."""
    if caller.scope.is_whole:
        return
    if "person_id" in request.match_info:
        person_id = person_id_of(request)
        await request.app[SERVICES].db.read(scopes.require_person, caller.scope, person_id)
        return
    told = operation_of(request.match_info.handler)
    if told is None or not told.is_scoped:
        raise Forbidden("这个密钥只看一部分客户，而这个接口涉及全店：请用数据范围是“全店”的密钥")


_NO_KEY = "缺少有效的接口密钥：请求头要有 Authorization: Bearer <密钥>，密钥在后台「接口密钥」新建，或用 scrm user add NAME --api-key"
_WRONG_KEY = "接口密钥不对、已停用或已过期，请在后台「接口密钥」核对或新建一个"
_MAKE = "请在后台「接口密钥」新建一个有这项权限的"
_MAKE_PRIVATE = f"{_MAKE}，或用 scrm user add NAME --role administrator --api-key --sees-private"
_WAY_OUT = {right: _MAKE_PRIVATE if right in (REVEAL, ERASE) else _MAKE for right in RIGHTS}
