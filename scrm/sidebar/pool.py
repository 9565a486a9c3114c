"""/sidebar/pool: customers nobody looks after, and one tap to take one of them.

Whoever has not taken a customer sees no more of them than what helps to choose: a masked name, and what they bought.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.customer_lists import pool
from scrm.customer_lists.pool_store import count_picks, find_member, load_rule
from scrm.errors import Conflict, Forbidden, NotFound
from scrm.profiles.phones import mask_name
from scrm.services import SERVICES
from scrm.sidebar import pool_store as store
from scrm.sidebar.door import for_members, page
from scrm.sidebar.places import read_place, write_place
from scrm.sidebar.today import Desk, desk_of
from web.texts import N_, _

routes = web.RouteTableDef()

SHOWN = 20
_MOST_COUNTED = 99
# As a colleague reads them; the console's own words are pool.REASONS.
_REASONS = {
    "ownerless": N_("员工已离开"),
    "idle": N_("长期没有跟进"),
    "recycled": N_("领取后没有跟进"),
    "by_hand": N_("店长放入"),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether one may pick at all, and how many more today."""

    is_on: bool
    most: int
    left: int


def read_standing(conn: Connection, desk: Desk) -> Standing:
    rule = load_rule(conn)
    picked = count_picks(conn, desk.userid, desk.midnight) if rule.is_on else 0
    return Standing(rule.is_on, rule.picks_per_day, max(rule.picks_per_day - picked, 0))


@routes.get("/sidebar/pool")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """`?reason=` why they are in the pool."""
    desk, reason = desk_of(request), _reason(request)

    def look(conn: Connection) -> dict[str, Any]:
        standing = read_standing(conn, desk)
        if not standing.is_on:
            return {"standing": standing, "rows": [], "after": "", "chips": []}
        counts = store.count_waiting(conn, tuple(_REASONS), _MOST_COUNTED)
        return {"standing": standing, "chips": _chips(counts, reason), **_read(conn, desk, reason, None)}

    values = await request.app[SERVICES].db.read(look)
    return page(request, "pool.html", reason=reason, words=_REASONS, **values)


@routes.get("/sidebar/pool/more")
@for_members
async def show_more(request: web.Request) -> web.StreamResponse:
    """The next ones, `?after=` the last one's place."""
    desk, reason, before = desk_of(request), _reason(request), read_place(request.query.get("after", ""))
    if before is None or before[0] is None:
        raise NotFound(_("页码不对，请刷新页面。"))
    place = before[0], before[1]

    def look(conn: Connection) -> dict[str, Any]:
        standing = read_standing(conn, desk)
        if not standing.is_on:
            raise _is_off()
        return {"standing": standing, **_read(conn, desk, reason, place)}

    values = await request.app[SERVICES].db.read(look)
    return page(request, "pool_rows.html", reason=reason, words=_REASONS, **values)


def _reason(request: web.Request) -> str:
    reason = request.query.get("reason", "")
    return reason if reason in _REASONS else ""


def _chips(counts: dict[str, int], reason: str) -> list[tuple[str, str, str]]:
    """(key, title, how many): what is empty is not offered, but for the whole and what one looks at."""
    shown = {key: f"{_MOST_COUNTED}+" if many > _MOST_COUNTED else str(many) for key, many in counts.items() if many}
    titles = [(key, _(title)) for key, title in _REASONS.items() if key in shown or key == reason]
    return [("", _("全部"), ""), *((key, title, shown.get(key, "")) for key, title in titles)]


def _read(conn: Connection, desk: Desk, reason: str, before: tuple[datetime, int] | None) -> dict[str, Any]:
    rows = store.list_waiting(conn, desk.userid, reason=reason, before=before, limit=SHOWN + 1)
    last = rows[SHOWN - 1] if len(rows) > SHOWN else None
    return {
        "rows": [(row, name_of(row)) for row in rows[:SHOWN]],
        "after": write_place(last.entered_at, last.person_id) if last is not None else "",
    }


def name_of(row: Row[Any]) -> str:
    """Whole for whoever is a friend already. Pure."""
    return str(row.name if row.mine else mask_name(row.name or "")) or _("微信用户")


@routes.post(r"/sidebar/pool/{person_id:\d{1,18}}/pick")
@for_members
async def pick(request: web.Request) -> web.StreamResponse:
    """One tap: the customer is the member's from now on, and WeCom is asked to hand the friend over.

    A second tap says the same again; who came too late is told so in the customer's place.
    """
    services, desk = request.app[SERVICES], desk_of(request)
    person_id = int(request.match_info["person_id"])

    def write(conn: Connection) -> dict[str, Any]:
        _check(conn, desk, person_id)
        try:
            said = pool.take(conn, [person_id], pool.Taker(desk.userid), desk.zone, now=desk.now)
        except NotFound:
            said = {}
        taken = store.find_taken(conn, desk.userid, person_id)
        values = {"person_id": person_id, "taken": taken, "problem": said.get(person_id, "")}
        return {**values, "standing": read_standing(conn, desk)}

    values = await services.db.write(write)
    who = values["taken"].name or _("微信用户") if values["taken"] is not None else ""
    return page(request, "pool_picked.html", who=who, **values)


def _check(conn: Connection, desk: Desk, person_id: int) -> None:
    """In words for one who taps; `pool.take` asks again where two taps are counted one after the other."""
    if find_member(conn, desk.userid) is None:
        raise Forbidden(_("只有在职的企业成员能领取客户。"))
    standing = read_standing(conn, desk)
    if not standing.is_on:
        raise _is_off()
    if not standing.left and store.find_taken(conn, desk.userid, person_id) is None:
        raise Conflict(_("今天的 {most} 位已经领完，明天再来。", most=standing.most))


def _is_off() -> Conflict:
    return Conflict(_("公海没有启用，现在不能领取。"))
