"""手机: masked until a member asks to see one; who saw which number when stays in the log (scrm.privacy)."""

from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm import audit, joining
from scrm.access.senders import sender_of
from scrm.errors import Invalid, ScrmError, Unavailable
from scrm.http import signed_in
from scrm.privacy.reveal import MaskedPhone, list_phones, open_phone, reveal_phone
from scrm.profiles import identities, remarks
from scrm.services import SERVICES, Services
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sidebar.sheets import behind_door, enter
from scrm.wecom.errors import WeComError
from web.texts import _

routes = web.RouteTableDef()

_PHONES = "/sidebar/contacts/{external_userid}/phones"
_PHONE = _PHONES + r"/{identity_id:\d{1,18}}"


@routes.get(_PHONES)
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    return await _sheet(request, visit_of(request))


@routes.post(_PHONE + "/reveal")
@for_members
async def reveal(request: web.Request) -> web.StreamResponse:
    """One number in clear, with a link to call it; the page that showed the mask never had it."""
    services, visit = request.app[SERVICES], visit_of(request)
    identity_id, most = int(request.match_info["identity_id"]), services.settings.security.reveals_per_day

    @behind_door
    def write(conn: Connection, visit: Visit) -> str:
        midnight = datetime.combine(visit.now.astimezone(visit.zone).date(), time(), visit.zone)
        assert visit.relation is not None  # noqa: S101 - behind the door
        return reveal_phone(
            conn,
            visit.person_id,
            identity_id,
            services.vault,
            actor=visit.relation.userid,
            most=most,
            since=midnight.astimezone(visit.now.tzinfo),
            now=visit.now,
        )

    member = signed_in(request)
    actor = audit.Actor(member.userid, member.name, sender_of(request), "sidebar")
    with audit.doing(audit.Deed(actor, services.clock, "customers", "reveal", "侧边栏：查看完整手机号")):
        phone = await services.db.write(write, visit)
    return page(request, "sheets/phone_clear.html", visit=visit, identity_id=identity_id, phone=phone)


@routes.post(_PHONES)
@for_members
async def add(request: web.Request) -> web.StreamResponse:
    """{mobile}: into WeCom's remark first, then here; {sealed} brings back what was just taken out."""
    services, visit, form = request.app[SERVICES], visit_of(request), await request.post()
    typed = str(form.get("mobile", ""))
    await services.db.read(enter, visit)
    try:
        phone = await _noting(services, visit, typed or _unsealed(services, str(form.get("sealed", ""))))
    except ScrmError as error:
        if error.status not in (409, 422, 503):
            raise
        return await _sheet(request, visit, problem=error.text, typed=typed)

    @behind_door
    def write(conn: Connection, visit: Visit) -> int:
        known = joining.known_phone(phone, services.vault, source="remark", confidence=identities.TOLD)
        return joining.learn(conn, visit.person_id, known, now=visit.now)

    owner = await joining.patiently(services.db, write, visit)
    is_others = owner != visit.person_id
    said = _("已写进备注。这个号码也是另一份客户档案的，已提示店长核对") if is_others else _("已写进企业微信备注")
    return await _sheet(request, visit, said=said)


@routes.delete(_PHONE)
@for_members
async def remove(request: web.Request) -> web.StreamResponse:
    """Out of the member's remark; known no more when nothing else knows it. The way back carries it sealed."""
    services, visit = request.app[SERVICES], visit_of(request)
    identity_id = int(request.match_info["identity_id"])

    @behind_door
    def read(conn: Connection, visit: Visit) -> str:
        return open_phone(conn, visit.person_id, identity_id, services.vault).clear

    phone = await services.db.read(read, visit)
    try:
        noted = await remarks.remove_mobile(services, _pair(visit), phone)
    except WeComError as error:
        return await _sheet(request, visit, problem=error.text)

    @behind_door
    def write(conn: Connection, visit: Visit) -> bool:
        is_noted_elsewhere = phone in noted.others
        return not is_noted_elsewhere and remarks.forget_mobile(conn, visit.person_id, identity_id)

    is_gone = await services.db.write(write, visit)
    said = _("已移除") if is_gone else _("已从你的备注移除；订单或同事的备注里还有它")
    return await _sheet(request, visit, said=said, undo=services.vault.seal(phone))


async def _noting(services: Services, visit: Visit, text: str) -> str:
    try:
        return await remarks.add_mobile(services, _pair(visit), text)
    except WeComError as error:
        raise Unavailable(error.text) from error


def _unsealed(services: Services, sealed: str) -> str:
    try:
        return services.vault.open(sealed)
    except ValueError:
        raise Invalid(_("没有看懂要恢复哪个号码，请重新填写")) from None


@dataclass(frozen=True, slots=True)
class Shown:
    """The numbers as the sheet and the row of the page show them."""

    phones: list[MaskedPhone]

    @property
    def first(self) -> str:
        return self.phones[0].mask if self.phones else ""


async def _sheet(request: web.Request, visit: Visit, **said: Any) -> web.Response:
    @behind_door
    def read(conn: Connection, visit: Visit) -> Shown:
        return Shown(list_phones(conn, visit.person_id))

    values = {"problem": "", "typed": "", "said": "", "undo": "", **said}
    shown = await request.app[SERVICES].db.read(read, visit)
    return page(request, "sheets/phones.html", visit=visit, shown=shown, is_anew=request.method != "GET", **values)


def _pair(visit: Visit) -> tuple[str, str]:
    assert visit.relation is not None  # noqa: S101 - behind the door
    return str(visit.relation.userid), visit.external_userid
