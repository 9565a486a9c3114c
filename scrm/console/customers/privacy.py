"""隐私与退订: what a customer refuses, private fields in clear for a reason, a copy of everything, and erasure."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.access.modules import ERASE
from scrm.access.roles import FIELDS
from scrm.console import store
from scrm.console.door import MANAGER, for_managers, page
from scrm.errors import Invalid, NotFound
from scrm.privacy import erase as erasing
from scrm.privacy import export
from scrm.privacy import store as acts
from scrm.privacy.optout import FLAGS, set_optout
from scrm.privacy.reveal import Revealed, reveal
from scrm.profiles import erased
from scrm.profiles import store as profiles
from scrm.services import SERVICES

routes = web.RouteTableDef()

_PATH = r"/console/customers/{person_id:\d{1,18}}/privacy"
# What the acts are called for people.
ACTS = {
    "revealed": "查看了明文",
    "exported": "导出了资料副本",
    "erased": "删除了客户资料",
    "opted_out": "登记了退订",
    "opted_in": "恢复了接收",
}


@routes.get(_PATH)
@for_managers
async def privacy(request: web.Request) -> web.StreamResponse:
    return await _show(request)


@routes.post(f"{_PATH}/optout")
@for_managers
async def save_optout(request: web.Request) -> web.StreamResponse:
    """Every flag is in the form: what is not ticked is lowered."""
    services, form = request.app[SERVICES], await request.post()
    await services.db.write(
        set_optout,
        _person_id(request),
        {flag: flag in form for flag in FLAGS},
        actor=request[MANAGER].userid,
        now=services.clock.now(),
    )
    raise web.HTTPSeeOther(f"/console/customers/{_person_id(request)}/privacy")


@routes.post(f"{_PATH}/reveal")
@for_managers
async def show_clear(request: web.Request) -> web.StreamResponse:
    """The page again with the clear values in it; nobody keeps it, and loading it anew shows masks."""
    services, member = request.app[SERVICES], request[MANAGER]
    reason = str((await request.post()).get("reason", ""))[:200]
    try:
        found = await services.db.write(
            reveal,
            _person_id(request),
            services.vault,
            actor=member.userid,
            fields=member.allowed.fields,
            reason=reason,
            now=services.clock.now(),
        )
    except Invalid as problem:
        return await _show(request, problem=problem.text)
    return await _show(request, revealed=found)


@routes.post(f"{_PATH}/export")
@for_managers
async def download(request: web.Request) -> web.StreamResponse:
    """A zip with JSON and a page to read."""
    services, person_id = request.app[SERVICES], _person_id(request)
    found = await services.db.write(
        export.collect,
        person_id,
        services.vault,
        actor=request[MANAGER].userid,
        reason="",
        now=services.clock.now(),
    )
    return web.Response(
        body=export.as_zip(found),
        content_type="application/zip",
        headers={
            "Content-Disposition": f'attachment; filename="customer-{person_id}.zip"',
            "Cache-Control": "no-store",
        },
    )


@routes.post(f"{_PATH}/erase")
@for_managers
async def forget(request: web.Request) -> web.StreamResponse:
    """Only with the words that the page asks for."""
    person_id, form = _person_id(request), await request.post()
    if str(form.get("confirm", "")).replace(" ", "") != f"删除{person_id}":
        return await _show(request, problem=f"没有删除：请在确认框里输入“删除 {person_id}”")
    reason = str(form.get("reason", ""))[:200]
    await erasing.erase(request.app[SERVICES], person_id, actor=request[MANAGER].userid, reason=reason)
    raise web.HTTPSeeOther(f"/console/customers/{person_id}/privacy")


def _person_id(request: web.Request) -> int:
    return int(request.match_info["person_id"])


async def _show(request: web.Request, *, revealed: Revealed | None = None, problem: str = "") -> web.Response:
    services, member = request.app[SERVICES], request[MANAGER]
    may_dispose = member.may("customers", ERASE)
    values = await services.db.read(_look, _person_id(request), services.vault, may_dispose)
    response = await page(
        request,
        "privacy.html",
        active="customers",
        revealed=revealed,
        problem=problem,
        flags=FLAGS,
        field_words=FIELDS,
        act_words=ACTS,
        may_see=member.allowed.fields,
        may_dispose=may_dispose,
        **values,
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _look(conn: Connection, person_id: int, vault: Any, with_preview: bool) -> dict[str, Any]:
    person = profiles.get_person(conn, person_id)
    if person is None:
        raise NotFound("没有这位客户，可能已被合并或删除。请回到客户列表重新查找")
    contacts = store.list_contacts(conn, person_id)
    names = [contact.external_userid for contact in contacts]
    return {
        "person": person,
        "called": next((one.name for one in contacts if one.name), "") or person.name or "未知昵称",
        "erased_at": acts.find_erasure(conn, person_id),
        "came_back": max(erased.erased_contacts(conn, vault, names).values(), default=None),
        "optout": {name for name, value in (person.optout or {}).items() if value},
        "phones": [row.mask for row in profiles.list_identities(conn, person_id) if row.kind == "mobile_e164"],
        "acts": acts.list_acts(conn, person_id),
        "forecast": erasing.preview(conn, person_id) if with_preview else None,
    }
