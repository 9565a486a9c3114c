"""/api/v1/referrals: the ledger of 老带新, for data warehouses and shops that give rewards of their own."""

from aiohttp import web
from msgspec import Struct

from scrm.api.operation import operation
from scrm.api.parameters import CURSOR, LIMIT, PAGED, Choice, Moment, Number, Page, page_of
from scrm.referrals import lists
from scrm.referrals.lists import STATES, Line, Wanted
from scrm.services import SERVICES

routes = web.RouteTableDef()

STATE = Choice("state", "状态：pending 待生效，review 待核对，valid 有效，void 无效", tuple(STATES))
CAMPAIGN = Number("campaign_id", "活动编号")
INVITER = Number("inviter_id", "介绍人的客户编号")


class Referral(Struct, kw_only=True):
    """A friend whom a customer brought; `reason` tells in Chinese why they do not count, or what a manager wrote."""

    id: int
    campaign_id: int
    campaign: str
    inviter_id: int
    friend_id: int
    userid: str
    added_at: Moment
    state: str
    reason: str
    order_no: str
    decided_at: Moment | None
    decided_by: str


@routes.get("/api/v1/referrals")
@operation("老带新的推荐记录，新的在前", query=(STATE, CAMPAIGN, INVITER, *PAGED))
async def list_referrals(request: web.Request) -> Page[Referral]:
    """Persons by number, without names: GET /api/v1/customers/{person_id} tells them to who may read it."""
    before, limit = CURSOR.read(request), LIMIT.read_size(request)
    wanted = Wanted(STATE.read(request), "", CAMPAIGN.read(request), INVITER.read(request))
    look = request.app[SERVICES].db.read
    return page_of(await look(lists.list_lines, wanted, before=before, limit=limit + 1), limit, _referral)


def _referral(line: Line) -> Referral:
    return Referral(
        id=line.id,
        campaign_id=line.campaign_id,
        campaign=line.campaign,
        inviter_id=line.inviter_id,
        friend_id=line.friend_id,
        userid=line.userid,
        added_at=line.added_at,
        state=line.state,
        reason=line.why,
        order_no=line.order_no,
        decided_at=line.decided_at,
        decided_by=line.decided_by,
    )
