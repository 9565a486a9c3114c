"""What came about a customer while their page stood open beside the chat: one line that offers to read it anew."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row, func, select

from scrm.db.tables import from_millis
from scrm.errors import Invalid
from scrm.events import event
from scrm.profiles.conditions.leaves_events import EVENTS
from scrm.profiles.models import member
from scrm.profiles.store import access_contact
from scrm.services import SERVICES
from scrm.sidebar import words
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sop.members.tasks import list_for_contact
from web.texts import _

routes = web.RouteTableDef()

# What the customer or the shop's systems do; what members do by hand stands on the page they did it on.
_TOLD = (
    *(name for name in EVENTS if name.startswith(("order.", "refund.")) and not name.endswith("bound")),
    *("contact.lost_by_customer", "contact.taken_over", "coupon.opened", "coupon.redeemed"),
    *("level.changed", "message.radar_opened"),
)
# A platform may tell of something a day after it happened; what it tells later than that need not be told in a line.
_LATE = timedelta(days=1)
_MOST = 10


@routes.get("/sidebar/contacts/{external_userid}/news")
@for_members
async def tell_news(request: web.Request) -> web.StreamResponse:
    """`?since=` is when the page was read, in milliseconds; 204 while nothing has come."""
    visit = visit_of(request)

    def load(conn: Connection) -> list[str]:
        visit.relation = access_contact(conn, visit.userid, visit.external_userid)
        since = _moment(request.query.get("since", ""))
        return [*_new_tasks(conn, visit, since), *(_title(row) for row in _list_new(conn, visit.person_id, since))]

    found = await request.app[SERVICES].db.read(load)
    if not found:
        return web.Response(status=204)
    return page(request, "news.html", line=_line(found))


def _line(found: Sequence[str]) -> str:
    """The first in words, the others by number. Pure."""
    if len(found) == 1:
        return found[0]
    return _("{what} 等 {count} 条新动态", what=found[0], count=f"{_MOST}+" if len(found) > _MOST else len(found))


def _new_tasks(conn: Connection, visit: Visit, since: datetime) -> list[str]:
    """Also one that was put off and is back."""
    tasks = list_for_contact(conn, visit.userid, visit.external_userid, visit.now)
    return [
        _("新待办：{title}", title=task.title) for task in tasks if task.is_open and since < task.open_at <= visit.now
    ]


def _list_new(conn: Connection, person_id: int, since: datetime) -> list[Row[Any]]:
    e = event.c
    query = (
        select(e.name, e.facts, func.coalesce(member.c.name, e.userid).label("who"))
        .outerjoin(member, member.c.userid == e.userid)
        .where(e.person_id == person_id, e.occurred_at > since - _LATE, e.received_at > since, e.name.in_(_TOLD))
        .order_by(e.occurred_at.desc(), e.id.desc())
        .limit(_MOST)
    )
    return list(conn.execute(query))


def _title(row: Row[Any]) -> str:
    return words.tell(row.name, row.facts or {}, row.who).title


def _moment(text: str) -> datetime:
    if not (text.isascii() and text.isdigit() and len(text) <= 14):
        raise Invalid(_("页码不对，请刷新页面。"))
    return from_millis(int(text))
