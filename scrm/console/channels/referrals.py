"""老带新: campaigns with their terms, what customers brought, the ledger of friends, and what a manager decides of them."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from sqlalchemy import Connection

from scrm.access.modules import APPROVE, EDIT, EXPORT
from scrm.console.channels.group_chats import lines_of_csv
from scrm.console.door import MANAGER, before_of, for_managers, page
from scrm.errors import Invalid
from scrm.profiles.words import Word
from scrm.referrals import campaigns, codes, ledger, lists, run
from scrm.referrals.lists import STATES, Wanted
from scrm.referrals.rules import REASONS, Terms
from scrm.reports import referred
from scrm.services import SERVICES, Services
from scrm.sop.shelf import playbooks_of
from web.render import render

routes = web.RouteTableDef()

HOME = "/console/referrals"
CAMPAIGN = HOME + r"/campaigns/{id:\d{1,18}}"
ROW = HOME + r"/ledger/{id:\d{1,18}}"
SHOWN = 50
EXPORT_PAGE = 1_000
INVITERS = 20
CAMPAIGN_STATES = {
    "planned": Word("未开始", "info"),
    "running": Word("进行中", "good"),
    "ended": Word("已结束"),
    "stopped": Word("已停止", "warn"),
}
DONE = {
    "saved": "已保存。还没有生效的朋友会按新的规则再核对一次",
    "valid": "已判为有效，奖励会由剧本发出",
    "void": "已判为无效，不会发奖励",
    "undone": "已撤销，会按规则再核对一次",
}
# The shipped playbooks that give the rewards; a shop's own ones are found by what begins them.
_REWARDING = frozenset({"pb-20-friend", "pb-20-reward"})
_HEADINGS = ["编号", "活动", "介绍人", "朋友", "员工", "加好友时间", "状态", "原因", "有效订单", "判定时间", "判定人"]


@routes.get(HOME)
@for_managers
async def overview(request: web.Request) -> web.StreamResponse:
    services, wanted, before = request.app[SERVICES], _wanted(request.query), before_of(request)
    now, done = services.clock.now(), request.query.get("done", "")

    def look(conn: Connection) -> dict[str, Any]:
        brought, found = lists.count_by_campaign(conn), campaigns.list_all(conn)
        lines = lists.list_lines(conn, wanted, before=before, limit=SHOWN + 1)
        return {
            "campaigns": [(row, campaigns.state_of(row, now), brought.get(row.id, lists.Brought())) for row in found],
            "total": lists.total(list(brought.values())),
            "inviters": lists.list_inviters(conn, INVITERS),
            "lines": lines[:SHOWN],
            "before": lines[SHOWN - 1].id if len(lines) > SHOWN else None,
        }

    values = await services.db.read(look)
    values |= {"wanted": wanted, "reasons": REASONS, "states": STATES, "campaign_states": CAMPAIGN_STATES}
    values |= {"query": _query(wanted), "narrowed": _narrowed(wanted), "days_of": campaigns.days_of}
    may = {right: request[MANAGER].may("referrals", right) for right in (EDIT, APPROVE, EXPORT)}
    undo = int(request.query["row"]) if done == "void" and request.query.get("row", "").isdecimal() else None
    return await page(
        request, "referrals.html", active="referrals", may=may, done=DONE.get(done, ""), undo=undo, **values
    )


@routes.get(HOME + "/quality")
@for_managers
async def quality(request: web.Request) -> web.StreamResponse:
    """What friends cost and are worth; asked for by the page when it is there, because many orders are added up."""
    services = request.app[SERVICES]
    playbooks = sorted(_REWARDING | {one.key for one in playbooks_of(services).current.values() if _rewards(one)})

    def look(conn: Connection) -> dict[str, Any]:
        friends, ads = referred.compare(conn, services.clock.now())
        bought = lists.total(list(lists.count_by_campaign(conn).values())).bought
        return {"friends": friends, "ads": ads, "bought": bought, "cost_fen": referred.cost_fen(conn, playbooks)}

    return render(request, "console/referrals_quality.html", days=referred.DAYS, **await services.db.read(look))


def _rewards(playbook: Any) -> bool:
    """Whether a playbook is begun by a friend who came or counts."""
    begun_by = playbook.trigger.where.get("channel.kind", ())
    return playbook.trigger.event in (ledger.VALID, ledger.CONFIRMED) or codes.KIND in begun_by


def _wanted(query: Mapping[str, str]) -> Wanted:
    def number(name: str) -> int | None:
        text = query.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    state, reason = query.get("state", ""), query.get("reason", "")
    return Wanted(
        state if state in STATES else "", reason if reason in REASONS else "", number("campaign"), number("inviter")
    )


def _query(wanted: Wanted, **instead: Any) -> str:
    """The filter as an address has it."""
    named = {
        "state": wanted.state,
        "reason": wanted.reason,
        "campaign": wanted.campaign_id,
        "inviter": wanted.inviter_id,
    }
    return urlencode({name: value for name, value in (named | instead).items() if value})


def _narrowed(wanted: Wanted) -> Any:
    return lambda **instead: f"{HOME}?{_query(wanted, **instead)}#ledger"


@routes.get(HOME + "/ledger.csv")
@for_managers
async def export(request: web.Request) -> web.StreamResponse:
    """What the list shows with this filter, all of it, as UTF-8 that Excel opens."""
    headers = {
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": 'attachment; filename="referrals.csv"',
        "Cache-Control": "no-store",
    }
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    await response.write(b"\xef\xbb\xbf" + lines_of_csv([_HEADINGS]))
    async for piece in _pieces(request.app[SERVICES], _wanted(request.query)):
        await response.write(piece)
    await response.write_eof()
    return response


async def _pieces(services: Services, wanted: Wanted) -> AsyncIterator[bytes]:
    zone, before = services.settings.shop.zone, None

    def when(at: datetime | None) -> str:
        return f"{at.astimezone(zone):%Y-%m-%d %H:%M}" if at is not None else ""

    while lines := await services.db.read(lists.list_lines, wanted, before=before, limit=EXPORT_PAGE):
        yield lines_of_csv(
            [
                [
                    str(one.id), one.campaign, one.inviter, one.friend, one.staff, when(one.added_at),
                    STATES[one.state].text, one.why, one.order_no, when(one.decided_at), one.decided_by,
                ]
                for one in lines
            ]
        )  # fmt: skip
        before = lines[-1].id


# Campaigns ------------------------------------------------------------------------------------------------------------


@routes.get(HOME + "/campaigns/new")
@for_managers
async def new(request: web.Request) -> web.StreamResponse:
    zone = request.app[SERVICES].settings.shop.zone
    today = request.app[SERVICES].clock.now().astimezone(zone).date()
    form = {"title": "老带新", "starts": today.isoformat(), "daily_most": "5", "review_above": "10"}
    return await _form(request, form | _numbers(Terms(daily_most=5, review_above=10)))


@routes.get(CAMPAIGN)
@for_managers
async def campaign(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    row = await services.db.read(campaigns.find, int(request.match_info["id"]))
    first, last = campaigns.days_of(row, services.settings.shop.zone)
    form = {"title": row.title, "starts": first.isoformat(), "ends": last.isoformat() if last else ""}
    form |= {"rules": row.rules, "shows_names": "1" if row.shows_names else ""} | _numbers(campaigns.terms_of(row))
    return await _form(request, form, row)


def _numbers(terms: Terms) -> dict[str, str]:
    named = ("order_days", "return_days", "stay_days", "daily_most", "review_above", "most")
    return {name: "" if getattr(terms, name) is None else str(getattr(terms, name)) for name in named}


async def _form(request: web.Request, form: Mapping[str, Any], row: Any = None, problem: str = "") -> web.Response:
    state = CAMPAIGN_STATES[campaigns.state_of(row, request.app[SERVICES].clock.now())] if row is not None else None
    may_edit = request[MANAGER].may("referrals", EDIT)
    return await page(
        request,
        "referral_campaign.html",
        active="referrals",
        status=400 if problem else 200,
        form=form,
        row=row,
        state=state,
        problem=problem,
        may_edit=may_edit,
    )


@routes.post(HOME + "/campaigns/new")
@for_managers
async def create(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    try:
        draft = campaigns.read_draft(form, services.settings.shop.zone)
    except Invalid as error:
        return await _form(request, form, problem=error.text)
    await services.db.write(campaigns.add, draft, by=request[MANAGER].userid, now=services.clock.now())
    raise web.HTTPSeeOther(HOME)


@routes.post(CAMPAIGN)
@for_managers
async def save(request: web.Request) -> web.StreamResponse:
    services, form, number = request.app[SERVICES], await request.post(), int(request.match_info["id"])
    try:
        draft = campaigns.read_draft(form, services.settings.shop.zone)
    except Invalid as error:
        return await _form(request, form, await services.db.read(campaigns.find, number), error.text)
    await services.db.write(campaigns.save, number, draft)
    raise web.HTTPSeeOther(f"{HOME}?done=saved")


@routes.post(CAMPAIGN + "/stop")
@for_managers
async def stop(request: web.Request) -> web.StreamResponse:
    """No friend counts from now on; `?on=1` takes it back."""
    services, number = request.app[SERVICES], int(request.match_info["id"])
    if request.query.get("on"):
        await services.db.write(campaigns.resume, number)
    else:
        await services.db.write(campaigns.stop, number, now=services.clock.now())
    raise web.HTTPSeeOther(f"{HOME}/campaigns/{number}")


# What a manager decides -----------------------------------------------------------------------------------------------


@routes.post(ROW + "/approve")
@for_managers
async def approve(request: web.Request) -> web.StreamResponse:
    services, number = request.app[SERVICES], int(request.match_info["id"])
    by, now, zone = request[MANAGER].userid, services.clock.now(), services.settings.shop.zone
    await services.db.write(ledger.approve, number, run.opener(services), zone, by=by, now=now)
    raise web.HTTPSeeOther(_back(request, done="valid"))


@routes.post(ROW + "/void")
@for_managers
async def refuse(request: web.Request) -> web.StreamResponse:
    """{reason}: needed, since the customer may ask."""
    services, number = request.app[SERVICES], int(request.match_info["id"])
    reason = " ".join(str((await request.post()).get("reason", "")).split())
    if not 1 <= len(reason) <= 100:
        raise Invalid(f"原因要有 1 到 100 个字，客户问起时用得上；现在有 {len(reason)} 个字")
    by, now = request[MANAGER].userid, services.clock.now()
    await services.db.write(ledger.refuse, number, reason, by=by, now=now)
    raise web.HTTPSeeOther(_back(request, done="void", row=number))


@routes.post(ROW + "/undo")
@for_managers
async def undo(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    await services.db.write(ledger.take_back, int(request.match_info["id"]), now=services.clock.now())
    raise web.HTTPSeeOther(_back(request, done="undone"))


def _back(request: web.Request, **more: Any) -> str:
    """To the list as it was narrowed."""
    return f"{HOME}?{_query(_wanted(request.query), **more)}"
