"""Handing customers and groups to another member (docs 92125, 94088, 94081, 94082, 92124, 95703, 92127)."""

from ..call import Call
from ..cursors import next_cursor, read_cursor
from ..errors import Refusal
from ..transfers import MOST_IN_QUARTER, Transfer
from ..world import Json, PairState

MOST = 100
MOST_GROUPS_A_DAY = 300


def transfer_customer(call: Call) -> Json:
    """From a member on the job; each row has its own errcode, 0 is only the beginning."""
    giver = call.member(call.text("handover_userid", missing=40058)).userid
    return _begin(call, giver, resigned=False)


def transfer_resigned(call: Call) -> Json:
    """From a member who has left; 40097 for one who has not."""
    wanted = call.text("handover_userid", missing=40058)
    left = call.world.transfers.left.get(wanted.casefold())
    if left is None:
        raise Refusal(40097)
    return _begin(call, left[0], resigned=True)


def _begin(call: Call, giver: str, resigned: bool) -> Json:
    taker = call.member(call.text("takeover_userid", missing=40058)).userid
    call.text("transfer_success_msg", chars=200)
    contacts = call.texts("external_userid", most=MOST)
    if not contacts:
        raise Refusal(40058, "invalid Request Parameter, external_userid is empty")
    rows = []
    for external_userid in contacts:
        errcode = _judge(call, giver, taker, external_userid, resigned)
        if not errcode:
            message = str(call.body.get("transfer_success_msg") or "")
            transfer = Transfer(giver, taker, external_userid, call.now, resigned, message)
            call.world.transfers.rows.append(transfer)
            call.world.transfers.on_begun(transfer)
        rows.append({"external_userid": external_userid, "errcode": errcode})
    call.world.touch()
    return {"customer": rows}


def _judge(call: Call, giver: str, taker: str, external_userid: str, resigned: bool) -> int:
    state = call.world.transfers
    if call.world.find_customer(external_userid) is None:
        return 40096
    if giver == taker:
        return 40130
    if state.find_waiting(external_userid) is not None:
        return 40129
    if resigned and (giver, external_userid) not in state.unassigned:
        return 40131
    pair = call.world.pairs.get((giver, external_userid))
    if not resigned and (pair is None or pair.state != PairState.FRIEND):
        return 40131
    if not resigned and state.count_recent(external_userid, call.now) >= MOST_IN_QUARTER:
        return 40128
    return 40099 if taker.casefold() in state.full else 0


def transfer_result(call: Call) -> Json:
    """All that went from one to the other on the job, the newest record of each customer."""
    return _results(call, resigned=False)


def resigned_result(call: Call) -> Json:
    """The same of a member who has left."""
    return _results(call, resigned=True)


def _results(call: Call, resigned: bool) -> Json:
    giver = call.text("handover_userid", missing=40058).casefold()
    taker = call.text("takeover_userid", missing=40058).casefold()
    newest = {
        row.external_userid: row
        for row in call.world.transfers.rows
        if (row.handover_userid.casefold(), row.takeover_userid.casefold(), row.resigned) == (giver, taker, resigned)
    }
    rows = [
        {"external_userid": row.external_userid, "status": row.status, "takeover_time": row.takeover_time}
        for row in newest.values()
    ]
    (start,) = read_cursor(call)
    return {"customer": rows[start : start + 1000], "next_cursor": next_cursor(call, start + 1000, len(rows))}


def get_unassigned_list(call: Call) -> Json:
    """Customers of members who have left, the latest first."""
    size = call.number("page_size", 1000)
    if not 1 <= size <= 1000:
        raise Refusal(40058, "invalid Request Parameter, page_size must be 1 to 1000")
    rows = [
        {"handover_userid": userid, "external_userid": contact, "dimission_time": int(at.timestamp())}
        for (userid, contact), at in call.world.transfers.unassigned.items()
    ]
    (start,) = read_cursor(call)
    cursor = next_cursor(call, start + size, len(rows))
    return {"info": rows[start : start + size], "is_last": not cursor, "next_cursor": cursor}


def onjob_group_transfer(call: Call) -> Json:
    """Groups of owners on the job; the owner changes at once."""
    return _hand_groups(call, resigned=False)


def group_transfer(call: Call) -> Json:
    """Groups of owners who have left; 90500 for one who has not."""
    return _hand_groups(call, resigned=True)


def _hand_groups(call: Call, resigned: bool) -> Json:
    owner = call.member(call.text("new_owner", missing=40058)).userid
    chat_ids = call.texts("chat_id_list", most=MOST)
    if not chat_ids:
        raise Refusal(40058, "invalid Request Parameter, chat_id_list is empty")
    failed = []
    for chat_id in chat_ids:
        errcode, errmsg = _hand_group(call, chat_id, owner, resigned)
        if errcode:
            failed.append({"chat_id": chat_id, "errcode": errcode, "errmsg": errmsg})
    call.world.touch()
    return {"failed_chat_list": failed}


def _hand_group(call: Call, chat_id: str, owner: str, resigned: bool) -> tuple[int, str]:
    state, group = call.world.transfers, call.world.group_chats.groups.get(chat_id)
    if group is None:
        return 90501, "chat is not external group chat"
    has_left = group.owner.casefold() in state.left
    if resigned and not has_left:
        return 90500, "the owner of this chat is not resigned"
    if not resigned and has_left:
        return 90502, "the owner of this chat is resigned"
    if group.owner == owner:
        return 90504, "the owner of this chat is not changed"
    key = (group.owner.casefold(), call.now.strftime("%Y%m%d"))
    if state.groups_today.get(key, 0) >= MOST_GROUPS_A_DAY:
        return 45009, "reach max api daily quota limit"
    state.groups_today[key] = state.groups_today.get(key, 0) + 1
    group.owner = owner
    return 0, ""


def giver_key(call: Call) -> tuple[str, ...]:
    """Two calls at one member at a time are 45035."""
    return (str(call.body.get("handover_userid", "")).casefold(),)
