"""客户阶段: shown in the head, changed in two taps."""

from aiohttp import web
from sqlalchemy import Connection

from scrm.errors import Invalid
from scrm.profiles.stages import change_stage, find_previous
from scrm.services import SERVICES
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sidebar.sheets import behind_door, close_sheet, enter
from web.texts import _

routes = web.RouteTableDef()


@routes.get("/sidebar/contacts/{external_userid}/stage")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    services, visit = request.app[SERVICES], visit_of(request)
    await services.db.read(enter, visit)
    assert visit.relation is not None  # noqa: S101 - behind the door
    now, known = visit.relation.stage, services.settings.shop.stages
    # One that a playbook set, or that was in the settings once.
    choices = known if now in ("", *known) else (*known, now)
    return page(request, "sheets/stage.html", visit=visit, choices=choices, chosen=now)


@routes.post("/sidebar/contacts/{external_userid}/stage")
@for_members
async def save(request: web.Request) -> web.StreamResponse:
    """{stage}, empty for none: the head's button anew, and the way back."""
    services, visit = request.app[SERVICES], visit_of(request)
    stage = str((await request.post()).get("stage", "")).strip()
    before = await services.db.write(_change, visit, stage, services.settings.shop.stages)
    return close_sheet(page(request, "stage_changed.html", visit=visit, stage=stage, before=before))


@behind_door
def _change(conn: Connection, visit: Visit, stage: str, known: tuple[str, ...]) -> str:
    """A stage of the settings, none, or the way back to the one before, which need not be among them."""
    if stage and stage not in known and stage != find_previous(conn, visit.person_id):
        raise Invalid(_("没有“{stage}”这个阶段，请重新选择", stage=stage[:20]))
    assert visit.relation is not None  # noqa: S101 - behind the door
    return change_stage(
        conn,
        visit.person_id,
        stage,
        userid=visit.relation.userid,
        external_userid=visit.external_userid,
        now=visit.now,
    )
