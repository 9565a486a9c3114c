"""备注: remark, description and company, changed in their place and written to WeCom."""

from aiohttp import web

from scrm.errors import ScrmError
from scrm.profiles import remarks
from scrm.services import SERVICES
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sidebar.sheets import back_to_sheet, close_sheet, enter
from scrm.wecom.errors import WeComError
from web.texts import _

routes = web.RouteTableDef()


@routes.get("/sidebar/contacts/{external_userid}/remark")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    visit = visit_of(request)
    await request.app[SERVICES].db.read(enter, visit)
    return _form(request, visit, _kept(visit))


@routes.post("/sidebar/contacts/{external_userid}/remark")
@for_members
async def save(request: web.Request) -> web.StreamResponse:
    """{remark?, description?, remark_company?}: only what changed is told to WeCom; the page's words anew."""
    services, visit = request.app[SERVICES], visit_of(request)
    typed = {key: str(value) for key, value in (await request.post()).items() if key in remarks.FIELDS}
    await services.db.read(enter, visit)
    before = _kept(visit)
    try:
        changes = remarks.read_changes(typed, before)
        await remarks.save(services, _pair(visit), changes)
    except (ScrmError, WeComError) as error:
        return back_to_sheet(_form(request, visit, before | typed, error.text))
    await services.db.read(enter, visit)
    undo = {key: before[key] for key in changes}
    return close_sheet(page(request, "remark_changed.html", visit=visit, called=_name(visit), undo=undo))


def _form(request: web.Request, visit: Visit, values: dict[str, str], problem: str = "") -> web.Response:
    assert visit.relation is not None  # noqa: S101 - behind the door
    # Only customers of WeChat have a company to note (doc 92115).
    fields = [key for key in remarks.FIELDS if key != "remark_company" or visit.relation.type != 2]
    return page(
        request,
        "sheets/remark.html",
        visit=visit,
        fields=fields,
        titles=remarks.FIELDS,
        values=values,
        problem=problem,
    )


def _kept(visit: Visit) -> dict[str, str]:
    assert visit.relation is not None  # noqa: S101 - behind the door
    return {key: str(getattr(visit.relation, key)) for key in remarks.FIELDS}


def _name(visit: Visit) -> str:
    assert visit.relation is not None  # noqa: S101 - behind the door
    return visit.relation.remark or visit.relation.contact_name or _("微信用户")


def _pair(visit: Visit) -> tuple[str, str]:
    assert visit.relation is not None  # noqa: S101 - behind the door
    return str(visit.relation.userid), visit.external_userid
