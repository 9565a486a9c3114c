"""客户继承: hand the customers of a member, on the job or gone, to another one, and see what became of it."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.door import MANAGER, before_of, for_managers, page
from scrm.errors import Invalid, NotFound
from scrm.profiles.members import member_names
from scrm.services import SERVICES
from scrm.sop.members.hand_over import count_running
from scrm.transfers import list_store, store, words
from scrm.transfers.begin import begin
from scrm.transfers.unassigned import ask_anew
from scrm.wecom.transfers import MESSAGE_CHARS

routes = web.RouteTableDef()

SHOWN = 200
_GROUPS_SHOWN = 300


@routes.get("/console/transfers")
@for_managers
async def transfers(request: web.Request) -> web.StreamResponse:
    before = before_of(request)

    def look(conn: Connection) -> dict[str, Any]:
        rows = list_store.list_transfers(conn, before=before)
        ids = [row.id for row in rows]
        userids = {userid for row in rows for userid in (row.handover_userid, row.takeover_userid, row.created_by)}
        return {
            "rows": rows,
            "counts": list_store.count_states(conn, ids),
            "groups": list_store.count_group_states(conn, ids),
            "names": member_names(conn, userids),
            "leavers": list_store.list_leavers(conn),
        }

    return await _page(request, "transfers.html", **await request.app[SERVICES].db.read(look))


@routes.get("/console/transfers/new")
@for_managers
async def new_transfer(request: web.Request) -> web.StreamResponse:
    """?kind=onjob|resigned&from=USERID; without a member the members to choose from."""
    resigned = request.query.get("kind") == "resigned"
    return await _form(request, resigned, request.query.get("from", ""))


async def _form(
    request: web.Request, resigned: bool, giver: str, *, problem: str = "", filled: dict[str, Any] | None = None
) -> web.Response:
    def look(conn: Connection) -> dict[str, Any]:
        values: dict[str, Any] = {
            "givers": list_store.list_leavers(conn) if resigned else list_store.list_givers(conn),
            "takers": list_store.list_takers(conn),
        }
        if giver:
            values |= {
                "customers": list_store.list_candidates(conn, giver, resigned, limit=SHOWN),
                "total": list_store.count_candidates(conn, giver, resigned),
                "running": count_running(conn, giver),
                "chats": list_store.list_chats(conn, giver, limit=_GROUPS_SHOWN),
            }
        return values

    values = await request.app[SERVICES].db.read(look)
    return await _page(
        request,
        "transfer_new.html",
        status=422 if problem else 200,
        resigned=resigned,
        giver=giver,
        problem=problem,
        filled=filled or {},
        shown=SHOWN,
        message_chars=MESSAGE_CHARS,
        **values,
    )


@routes.post("/console/transfers")
@for_managers
async def begin_transfer(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    form = await request.post()

    def text(name: str) -> str:
        return str(form.get(name, "")).strip()

    resigned, giver = text("kind") == "resigned", text("from")
    chosen = [str(value) for value in form.getall("customer", [])]
    scope = text("scope")
    customers = None if scope == "all" else chosen if scope == "some" else []
    try:
        groups = await services.db.read(_chosen_groups, giver, {str(value) for value in form.getall("chat", [])})
        if customers == [] and not groups:
            raise Invalid("还没有选择客户。请勾选要转接的客户，或选择“全部客户”")
        plan = store.Plan(
            handover_userid=giver,
            takeover_userid=text("to"),
            resigned=resigned,
            message=text("message"),
            created_by=request[MANAGER].userid,
            external_userids=customers,
            groups=groups,
        )
        transfer_id = await services.db.write(begin, plan, now=services.clock.now())
    except Invalid as error:
        filled = {"to": text("to"), "message": text("message"), "scope": scope, "chosen": set(chosen)}
        return await _form(request, resigned, giver, problem=error.text, filled=filled)
    raise web.HTTPSeeOther(f"/console/transfers/{transfer_id}")


def _chosen_groups(conn: Connection, giver: str, chosen: set[str]) -> dict[str, str]:
    """Only groups that are the member's: a form can say anything."""
    if not chosen:
        return {}
    return {row.chat_id: row.name for row in list_store.list_chats(conn, giver, limit=10_000) if row.chat_id in chosen}


@routes.post("/console/transfers/unassigned")
@for_managers
async def read_unassigned(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    await services.db.write(ask_anew, now=services.clock.now())
    raise web.HTTPSeeOther("/console/transfers?asked=1")


@routes.get(r"/console/transfers/{id:\d{1,18}}")
@for_managers
async def one_transfer(request: web.Request) -> web.StreamResponse:
    transfer_id = int(request.match_info["id"])
    state = request.query.get("state", "")
    state = state if state in words.STATES else ""

    def look(conn: Connection) -> dict[str, Any]:
        row = store.get_transfer(conn, transfer_id)
        if row is None:
            raise NotFound("没有这次转接。请从“客户继承”列表进入")
        return {
            "row": row,
            "counts": list_store.count_states(conn, [transfer_id]).get(transfer_id, {}),
            "customers": list_store.list_rows(conn, transfer_id, state=state, limit=SHOWN),
            "groups": list_store.list_group_rows(conn, transfer_id),
            "names": member_names(conn, {row.handover_userid, row.takeover_userid, row.created_by}),
        }

    values = await request.app[SERVICES].db.read(look)
    return await _page(request, "transfer.html", state=state, shown=SHOWN, **values)


async def _page(request: web.Request, template: str, **values: Any) -> web.Response:
    values = {"states": words.STATES, "asked": request.query.get("asked") == "1", **values}
    return await page(request, template, active="transfers", **values)
