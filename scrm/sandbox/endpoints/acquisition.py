"""Acquisition links (docs 97297, 97298, 97375, 100130)."""

from datetime import datetime, timedelta, timezone

from ..acquisition import Link
from ..call import Call
from ..cursors import next_cursor, read_cursor
from ..errors import Refusal
from ..world import Json

MOST_LINKS = 1000
MOST_MEMBERS = 500
CHINA = timezone(timedelta(hours=8))


def _find(call: Call) -> Link:
    link = call.world.acquisition.links.get(call.text("link_id", missing=40058))
    if link is None:
        raise Refusal(40058, "invalid Request Parameter, unknown link_id")
    return link


def _read(call: Call, link: Link) -> None:
    name = call.text("link_name", chars=30)
    link.name = name or link.name
    given = call.body.get("range")
    if isinstance(given, dict):
        users, party = given.get("user_list") or [], given.get("department_list") or []
        if not isinstance(users, list) or not isinstance(party, list):
            raise Refusal(40058, "invalid Request Parameter, range must have lists")
        link.userids = [call.member(str(userid)).userid for userid in users]
        link.party = [int(number) for number in party]
    if len(link.userids) > MOST_MEMBERS:
        raise Refusal(41041)
    link.skip_verify = call.flag("skip_verify", link.skip_verify)
    if not link.name:
        raise Refusal(40058, "invalid Request Parameter, link_name is empty")
    if not link.userids and not link.party:
        raise Refusal(40058, "invalid Request Parameter, user_list and department_list are both empty")


def _shown(link: Link) -> Json:
    return {
        "link_name": link.name,
        "url": link.url,
        "create_time": int(link.created_at.timestamp()),
        "skip_verify": link.skip_verify,
        "mark_source": True,
    }


def create_link(call: Call) -> Json:
    """A new link for members and departments."""
    if len(call.world.acquisition.links) >= MOST_LINKS:
        raise Refusal(41095, "acquisition link count out of limit")
    link_id = call.world.make_id("ca", f"link/{call.world.next_number()}/{call.now.timestamp()}", 24)
    link = Link(link_id, "", f"{call.config.base_url}/ca/{link_id}", call.now)
    _read(call, link)
    call.world.acquisition.links[link_id] = link
    call.world.touch()
    return {"link": {"link_id": link_id, **_shown(link)}}


def update_link(call: Call) -> Json:
    """Name and range overwrite."""
    _read(call, _find(call))
    call.world.touch()
    return {}


def get(call: Call) -> Json:
    """One link; the answer does not repeat its id."""
    link = _find(call)
    return {"link": _shown(link), "range": {"user_list": list(link.userids), "department_list": list(link.party)}}


def list_link(call: Call) -> Json:
    """The ids of valid links, page by page."""
    ids = list(call.world.acquisition.links)
    (first,), limit = read_cursor(call), min(max(call.number("limit", 100), 1), 100)
    return {"link_id_list": ids[first : first + limit], "next_cursor": next_cursor(call, first + limit, len(ids))}


def delete_link(call: Call) -> Json:
    """Gone at once, and no event tells of it."""
    del call.world.acquisition.links[_find(call).link_id]
    call.world.touch()
    return {}


def customer(call: Call) -> Json:
    """Who came through a link, page by page."""
    link = _find(call)
    (first,), limit = read_cursor(call), min(max(call.number("limit", 1000), 1), 1000)
    rows = [
        {
            "external_userid": one.external_userid,
            "userid": one.userid,
            "chat_status": one.chat_status,
            "state": one.state,
        }
        for one in link.customers[first : first + limit]
    ]
    return {"customer_list": rows, "next_cursor": next_cursor(call, first + limit, len(link.customers))}


def quota(call: Call) -> Json:
    """What was bought and what is left."""
    state = call.world.acquisition
    until = state.expires_at or call.now + timedelta(days=365)
    parts = [{"expire_date": int(until.timestamp()), "balance": state.balance}]
    return {"total": state.total, "balance": state.balance, "quota_list": parts}


def statistic(call: Call) -> Json:
    """Clicks and adds of whole days, both ends included: at most 30 of them, of the last 180."""
    link, start, end = _find(call), call.number("start_time", 0), call.number("end_time", 0)
    if start <= 0 or end < start:
        raise Refusal(40058, "invalid Request Parameter, start_time and end_time must name a span")
    since, until = _midnight(start), _midnight(end) + timedelta(days=1)
    if until - since > timedelta(days=30):
        raise Refusal(40058, "invalid Request Parameter, the span must be 1 to 30 days")
    if since < _midnight(call.now.timestamp()) - timedelta(days=180):
        raise Refusal(40058, "invalid Request Parameter, older than 180 days")
    return {
        "click_link_customer_cnt": sum(since <= at < until for at in link.clicks),
        "new_customer_cnt": sum(since <= one.added_at < until for one in link.customers),
    }


def _midnight(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, CHINA).replace(hour=0, minute=0, second=0, microsecond=0)


def get_chat_info(call: Call) -> Json:
    """Who wrote; a key lives half an hour."""
    known = call.world.acquisition.chat_keys.get(call.text("chat_key", missing=40058))
    if known is None or call.now - known[0] > timedelta(minutes=30):
        raise Refusal(41201, "invalid chat_key")
    _, link_id, userid, external_userid = known
    link = call.world.acquisition.links.get(link_id)
    state = next((one.state for one in link.customers if one.external_userid == external_userid), "") if link else ""
    info = {"recv_msg_cnt": 3, "link_id": link_id, "state": state}
    return {"userid": userid, "external_userid": external_userid, "chat_info": info}
