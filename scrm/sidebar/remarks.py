"""备注: remark, description and company, changed in their place and on their way to WeCom."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.errors import Invalid
from scrm.profiles import remarks
from scrm.services import SERVICES
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sidebar.sheets import back_to_sheet, behind_door, close_sheet
from web.texts import _

routes = web.RouteTableDef()


# How long after a change the page looks whether WeCom has it, in seconds; then it stops asking.
LOOKS = (1, 2, 4, 15, 30)


@routes.get("/sidebar/contacts/{external_userid}/remark")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """The sheet, with what waits or was refused."""
    visit = visit_of(request)
    wish = await request.app[SERVICES].db.read(_load, visit)
    return _form(request, visit, _kept(visit, wish), _told(wish))


@routes.get("/sidebar/contacts/{external_userid}/remark/state")
@for_members
async def show_state(request: web.Request) -> web.StreamResponse:
    """The row again, after a while: has WeCom taken the words?"""
    visit, text = visit_of(request), request.query.get("look", "0")
    look = int(text) + 1 if text in {str(number) for number in range(len(LOOKS))} else len(LOOKS)
    return await _changed(request, visit, look=look)


@routes.post("/sidebar/contacts/{external_userid}/remark")
@for_members
async def save(request: web.Request) -> web.StreamResponse:
    """{remark?, description?, remark_company?}: what changed is on its way to WeCom; the page's words anew."""
    services, visit = request.app[SERVICES], visit_of(request)
    typed = {key: str(value) for key, value in (await request.post()).items() if key in remarks.FIELDS}
    before: dict[str, str] = {}

    @behind_door
    def write(conn: Connection, visit: Visit) -> dict[str, str]:
        wish = remarks.find_wish(conn, _pair(visit))
        before.update(_kept(visit, wish))
        changes = remarks.read_changes(typed, before)
        # What was refused is tried again as it stands.
        again = wish.changes if wish is not None and wish.problem else {}
        remarks.want(conn, _pair(visit), again | changes, now=visit.now)
        return changes

    try:
        changes = await services.db.write(write, visit)
    except Invalid as error:
        return back_to_sheet(_form(request, visit, before | typed, error.text))
    undo = {key: before[key] for key in changes}
    return close_sheet(await _changed(request, visit, undo=undo))


async def _changed(
    request: web.Request, visit: Visit, *, undo: dict[str, str] | None = None, look: int = 0
) -> web.Response:
    wish = await request.app[SERVICES].db.read(_load, visit)
    kept = _kept(visit, wish)
    values: dict[str, Any] = {
        "called": kept["remark"] or _name(visit),
        "noted": kept,
        "wish": wish,
        "look": look,
        "looks": LOOKS,
    }
    return page(request, "remark_changed.html", visit=visit, undo=undo or {}, **values)


@behind_door
def _load(conn: Connection, visit: Visit) -> remarks.Wish | None:
    return remarks.find_wish(conn, _pair(visit))


def _told(wish: remarks.Wish | None) -> str:
    if wish is None or not wish.problem:
        return ""
    return _("没有写进企业微信：{problem}", problem=wish.problem)


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


def _kept(visit: Visit, wish: remarks.Wish | None) -> dict[str, str]:
    """What stands there as soon as WeCom has been told."""
    assert visit.relation is not None  # noqa: S101 - behind the door
    kept = {key: str(getattr(visit.relation, key)) for key in remarks.FIELDS}
    return kept | (wish.changes if wish is not None else {})


def _name(visit: Visit) -> str:
    assert visit.relation is not None  # noqa: S101 - behind the door
    return visit.relation.contact_name or _("微信用户")


def _pair(visit: Visit) -> tuple[str, str]:
    assert visit.relation is not None  # noqa: S101 - behind the door
    return str(visit.relation.userid), visit.external_userid
