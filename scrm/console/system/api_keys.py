"""接口密钥: which programs may come in, from where, until when, and what they may do."""

from datetime import timedelta
from typing import Any

from aiohttp import web
from multidict import MultiMapping
from sqlalchemy import Connection

from scrm.access.modules import EDIT, ERASE, MODULES, REVEAL, VIEW, right
from scrm.access.roles import ADMINISTRATOR, ALL, DEPARTMENT, OWN
from scrm.api import store
from scrm.console.door import MANAGER, for_managers, page
from scrm.errors import Forbidden, Invalid, ScrmError
from scrm.profiles.store import find_member
from scrm.services import SERVICES

routes = web.RouteTableDef()

REACHES = {ALL: "全店客户", OWN: "一位员工跟进的客户", DEPARTMENT: "这位员工本部门及下级的客户"}
# How long a key works, in days; 0 for ever.
LIVES = {"90": "90 天", "365": "1 年", "730": "2 年", "0": "不过期"}
# Modules that the API has addresses for.
OF_API = [module for module in MODULES if module.api]
PRIVATE = {
    right("customers", REVEAL): "读取手机号、收货人、地址明文（每次都留记录）",
    right("customers", ERASE): "导出一位客户的全部资料，删除客户资料",
}


@routes.get("/console/api-keys")
@for_managers
async def keys(request: web.Request) -> web.StreamResponse:
    return await _show(request)


@routes.post("/console/api-keys")
@for_managers
async def make(request: web.Request) -> web.StreamResponse:
    """The key is on the page that answers, and never again."""
    services, form = request.app[SERVICES], await request.post()
    try:
        wanted = _read(request, form)
        now = services.clock.now()
        lives = timedelta(days=wanted.pop("days"))
        ends = now + lives if lives else None
        by = request[MANAGER].userid
        if wanted["userid"]:
            wanted["userid"] = await services.db.read(_spelled, wanted["userid"])
        key = await services.db.write(store.make_key, role="scoped", now=now, expires_at=ends, by=by, **wanted)
    except ScrmError as problem:
        return await _show(request, form=form, problem=problem.text, status=problem.status)
    return await _show(request, made=(wanted["name"], key))


@routes.post("/console/api-keys/{called:[0-9a-f]{16}}/revoke")
@for_managers
async def revoke(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    await services.db.write(store.revoke_key, request.match_info["called"], now=services.clock.now())
    raise web.HTTPSeeOther("/console/api-keys")


def _spelled(conn: Connection, userid: str) -> str:
    """As WeCom spells it; raises Invalid for nobody's."""
    found = find_member(conn, userid)
    if found is None:
        raise Invalid(f"没有账号是“{userid[:40]}”的员工，请填企业微信的账号（userid）")
    return str(found.userid)


def _read(request: web.Request, form: MultiMapping[Any]) -> dict[str, Any]:
    """Raises Invalid with what is missing, Forbidden for what the maker may not do either."""
    name = str(form.get("name", "")).strip()[:80]
    known = {right(module.key, what) for module in OF_API for what in (VIEW, EDIT)} | set(PRIVATE)
    scopes = {str(one) for one in form.getall("scopes", [])} & known
    if not name:
        raise Invalid("请填写名称，例如“聚水潭”“数据仓库”，日志里会用它")
    if not scopes:
        raise Invalid("请至少选择一项权限")
    member = request[MANAGER]
    if member.role != ADMINISTRATOR and scopes - member.allowed.rights:
        raise Forbidden("你只能给出自己已有的权限，请联系管理员")
    days = str(form.get("days", "365"))
    reach = str(form.get("reach", ALL))
    userid = str(form.get("userid", "")).strip()[:64]
    if reach not in REACHES:
        raise Invalid(f"没有数据范围“{reach[:20]}”，请重新选择")
    if reach != ALL and not userid:
        raise Invalid("请填写员工账号：密钥只看这位员工（或所在部门）的客户")
    if member.allowed.reach != ALL and reach == ALL:
        raise Forbidden("你只能看一部分客户，不能建看全店的密钥，请联系管理员")
    return {
        "name": name,
        "scopes": scopes,
        "addresses": store.read_addresses(str(form.get("addresses", ""))),
        "days": int(days) if days in LIVES else 365,
        "reach": reach,
        "userid": userid if reach != ALL else "",
    }


async def _show(
    request: web.Request,
    *,
    form: MultiMapping[Any] | None = None,
    made: tuple[str, str] | None = None,
    problem: str = "",
    status: int = 200,
) -> web.StreamResponse:
    found = await request.app[SERVICES].db.read(store.list_keys)
    response = await page(
        request,
        "api_keys.html",
        active="api_keys",
        found=found,
        made=made,
        problem=problem,
        said=form,
        ticked=set(form.getall("scopes", [])) if form is not None else set(),
        modules=OF_API,
        private=PRIVATE,
        lives=LIVES,
        reaches=REACHES,
        view=VIEW,
        edit=EDIT,
        scope_words=_scope_words,
    )
    response.set_status(status)
    return response


def _scope_words(row: Any) -> str:
    """What a key may, and with whose customers, in one line."""
    return _rights_words(row) + ("" if row.reach == ALL else f"；只看{REACHES[row.reach]}（{row.userid}）")


def _rights_words(row: Any) -> str:
    if row.scopes is None:
        return {"readonly": "全部只读"}.get(row.role, "全部读写") + ("，含隐私明文" if row.sees_private else "")
    parts = []
    for module in OF_API:
        does = [word for what, word in ((VIEW, "读"), (EDIT, "写")) if right(module.key, what) in row.scopes]
        if does:
            parts.append(f"{module.title}（{'、'.join(does)}）")
    parts += [PRIVATE[scope].partition("（")[0] for scope in PRIVATE if scope in row.scopes]
    return "、".join(parts)
