"""GET /i/{person}-{proof}: a customer's own page, where friends press WeCom's picture and everybody reads the rules."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row, select

from scrm.contact_ways import ways
from scrm.profiles import redirects
from scrm.profiles.models import member
from scrm.referrals import addresses, campaigns, codes, ledger, lists
from scrm.referrals.knowing import is_erased
from scrm.services import SERVICES, Services
from scrm.sop.members.owners import owner_of
from web.render import render

routes = web.RouteTableDef()

# A campaign that was stopped by mistake goes on with the codes that customers have saved.
KEPT = timedelta(days=7)


@routes.get(r"/i/{person:\d{1,18}}-{proof:[0-9a-f]{32}}")
async def show(request: web.Request) -> web.Response:
    """404 for an address that is not ours; the page says when no campaign runs, and looks again while WeCom makes the code."""
    services = request.app[SERVICES]
    person_id, proof = int(request.match_info["person"]), request.match_info["proof"]
    now, zone = services.clock.now(), services.settings.shop.zone
    if not addresses.is_ours(services.vault, person_id, proof):
        return _page(request, campaign=None, way=None, status=404)

    def look(conn: Connection) -> tuple[Row[Any] | None, dict[str, Any]]:
        campaign = campaigns.find_running(conn, now)
        if campaign is None or is_erased(conn, person_id):
            return None, {}
        valid, leading = lists.count_leading(conn, campaign.id)
        inviter = ledger.inviter_shown(conn, person_id, now)
        way = find_code(conn, person_id)
        return campaign, {"inviter": inviter, "valid": valid, "leading": leading, "way": way}

    campaign, values = await services.db.read(look)
    if campaign is None:
        return _page(request, campaign=None, way=None)
    # Whoever looks again writes nothing.
    way = values.pop("way") or await services.db.write(ensure_code, person_id, now=now)
    is_coming = way is not None and not way.qr_code and not way.problem
    first, last = campaigns.days_of(campaign, zone)
    page = _page(request, campaign=campaign, way=way, first=first, last=last, is_coming=is_coming, **values)
    if is_coming:
        page.headers["Refresh"] = "2"
    return page


def _page(request: web.Request, *, status: int = 200, **values: Any) -> web.Response:
    page = render(request, "customer/invitation.html", status=status, **values)
    page.headers["Cache-Control"] = "no-store"
    page.headers["X-Robots-Tag"] = "noindex, nofollow"
    page.headers["Referrer-Policy"] = "no-referrer"
    return page


async def tend(services: Services) -> int:
    """Codes end with their customer's data and a week after the last campaign, and lead on from members who left.

    Returns how many changed.
    """
    now, after = services.clock.now(), ""
    erased = await services.db.read(codes.list_of_erased)
    if erased:
        await services.db.write(_end, erased, now)
    changed = len(erased)
    ends = not await services.db.read(campaigns.has_lately, now, KEPT)
    left = set() if ends else await services.db.read(_list_left)
    while (ends or left) and (rows := await services.db.read(codes.list_living, after)):
        after = rows[-1].state
        wanted = [row for row in rows if ends or left & {userid.lower() for userid in row.userids}]
        if wanted:
            await services.db.write(_end if ends else _lead_on, wanted, now)
        changed += len(wanted)
    return changed


def _list_left(conn: Connection) -> set[str]:
    return set(conn.execute(select(member.c.folded).where(~member.c.is_active)).scalars())


def _end(conn: Connection, rows: Sequence[Row[Any]], now: datetime) -> None:
    for row in rows:
        ways.end(conn, row.state, now=now)


def _lead_on(conn: Connection, rows: Sequence[Row[Any]], now: datetime) -> None:
    for row in rows:
        ensure_code(conn, row.inviter_id, now=now)


def find_code(conn: Connection, person_id: int) -> Row[Any] | None:
    """The customer's own code as it should be: made, and led to whoever looks after them."""
    person_id = redirects.follow(conn, person_id)
    owner, row = owner_of(conn, person_id), codes.find(conn, person_id)
    return row if row is not None and owner is not None and codes.leads_to(row, owner.userid) else None


def ensure_code(conn: Connection, person_id: int, *, now: datetime) -> Row[Any] | None:
    """The customer's own code, led to the member who looks after them now; None when nobody does any more."""
    person_id = redirects.follow(conn, person_id)
    owner = owner_of(conn, person_id)
    return codes.ensure(conn, person_id, owner.userid, now=now) if owner is not None else None
