"""Bearer keys for /api/v1: who may come in, and who may write."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from scrm.api import store
from scrm.errors import Forbidden, Unauthorized
from scrm.services import SERVICES

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CALLER = web.RequestKey("caller", store.Caller)

_OPEN = {"/api/openapi.json"}


@web.middleware
async def require_api_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Guards /api/*; a readonly key may only GET."""
    if not request.path.startswith("/api/") or request.path in _OPEN:
        return await handler(request)
    services = request.app[SERVICES]
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    caller = await services.db.read(store.find_caller, key.strip()) if scheme.lower() == "bearer" and key else None
    if caller is None:
        raise Unauthorized("缺少有效的接口密钥：请求头需要 Authorization: Bearer <key>，用 scrm user add 生成")
    if caller.role == "readonly" and request.method not in ("GET", "HEAD"):
        raise Forbidden("这个密钥只能读取，不能写入")
    request[CALLER] = caller
    return await handler(request)
