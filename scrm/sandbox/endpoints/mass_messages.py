"""Mass messages: made by the app, sent by members (docs 92135, 93338, 97610, 97611)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from ..call import Call, read_text
from ..cursors import next_cursor, read_cursor
from ..errors import Refusal
from ..sending import REMINDED_WITHIN, REMINDERS, Delivery, MassMessage
from ..world import Json, Pair, PairState
from .welcome import MOST_ATTACHMENTS, check_attachment

MOST_CUSTOMERS, MOST_CHATS = 10_000, 2_000
LONGEST_SPAN = timedelta(days=31)

T = TypeVar("T")


def add_msg_template(call: Call) -> Json:
    """Each customer goes to one member only: the sender, else the one who spoke with him last."""
    chat_type = call.text("chat_type", default="single")
    if chat_type not in ("single", "group"):
        raise Refusal(40058, "invalid Request Parameter, chat_type must be single or group")
    text, attachments = _content(call)
    made = MassMessage(_new_id(call), chat_type, call.now, text, attachments)
    failed = _address_groups(call, made) if chat_type == "group" else _address_customers(call, made)
    if not made.deliveries and not (chat_type == "group" and made.userids):
        raise Refusal(41048)
    call.world.sending.mass_messages[made.msgid] = made
    call.world.touch()
    return {"fail_list": failed, "msgid": made.msgid}


def _content(call: Call) -> tuple[str, list[Json]]:
    words = call.body.get("text") or {}
    if not isinstance(words, dict):
        raise Refusal(40058, "invalid Request Parameter, text must be an object")
    text = read_text(words, "content", size=4000)
    attachments = call.body.get("attachments") or []
    if not isinstance(attachments, list):
        raise Refusal(40058, "invalid Request Parameter, attachments must be a list")
    if len(attachments) > MOST_ATTACHMENTS:
        raise Refusal(41064)
    for item in attachments:
        check_attachment(call, item)
    if not text and not attachments:
        raise Refusal(40058, "invalid Request Parameter, text and attachments are both empty")
    return text, attachments


def _new_id(call: Call) -> str:
    return call.world.make_id("msg", f"mass/{call.world.next_number()}/{call.now.timestamp()}", 40)


def _address_customers(call: Call, made: MassMessage) -> list[str]:
    sender = call.text("sender")
    userid = call.member(sender).userid if sender else ""
    wanted = call.texts("external_userid", most=MOST_CUSTOMERS)
    if not wanted and not sender and not call.body.get("tag_filter"):
        raise Refusal(40058, "invalid Request Parameter, sender, external_userid and tag_filter are all missing")
    if not wanted:
        pairs = call.world.pairs_of_member(userid) if userid else list(call.world.pairs.values())
        wanted = list(dict.fromkeys(pair.external_userid for pair in pairs if pair.state == PairState.FRIEND))
    failed = []
    for target in dict.fromkeys(wanted):
        pairs = [pair for pair in call.world.pairs_of_customer(target) if _is_reachable(call, pair, userid)]
        if not pairs:
            failed.append(target)
            continue
        made.deliveries.append(Delivery(target, _last_to_speak(call, pairs).userid))
    made.userids = list(dict.fromkeys(each.userid for each in made.deliveries))
    return failed


def _is_reachable(call: Call, pair: Pair, userid: str) -> bool:
    return call.can_use(pair) and (not userid or pair.userid == userid)


def _last_to_speak(call: Call, pairs: Sequence[Pair]) -> Pair:
    def spoke(pair: Pair) -> int:
        chat = call.world.chats.get((pair.userid, pair.external_userid), [])
        return chat[-1].number if chat else 0

    return max(pairs, key=spoke)


def _address_groups(call: Call, made: MassMessage) -> list[str]:
    made.userids = [call.member(call.text("sender", missing=40058)).userid]
    chats = call.texts("chat_id_list", most=MOST_CHATS)
    good = [chat for chat in dict.fromkeys(chats) if chat.startswith("wr")]
    made.deliveries = [Delivery(chat, made.userids[0]) for chat in good]
    if chats and not good:
        raise Refusal(41048)
    return [chat for chat in chats if not chat.startswith("wr")]


def _find(call: Call) -> MassMessage:
    made = call.world.sending.mass_messages.get(call.text("msgid", missing=41046))
    if made is None:
        raise Refusal(41047)
    return made


def _ready(call: Call) -> MassMessage:
    made = _find(call)
    if call.now < made.created_at + timedelta(seconds=call.world.sending.creating_seconds):
        raise Refusal(41063)
    return made


def remind_groupmsg_send(call: Call) -> Json:
    """At most three times in 24 hours."""
    made = _ready(call)
    if made.is_cancelled:
        raise Refusal(41093)
    made.reminded = [at for at in made.reminded if call.now - at < REMINDED_WITHIN]
    if len(made.reminded) >= REMINDERS:
        raise Refusal(41094)
    made.reminded.append(call.now)
    call.world.touch()
    return {}


def cancel_groupmsg_send(call: Call) -> Json:
    """What was sent stays."""
    made = _ready(call)
    if made.is_cancelled:
        raise Refusal(41093)
    made.is_cancelled = True
    call.world.touch()
    return {}


def get_groupmsg_list_v2(call: Call) -> Json:
    """Those of a span of at most a month; a limit above 100 falls back to 50."""
    start, end = _moment(call, "start_time"), _moment(call, "end_time")
    if not timedelta() <= end - start <= LONGEST_SPAN:
        raise Refusal(40058, "invalid Request Parameter, start_time and end_time span more than a month")
    chat_type, kind = call.text("chat_type", missing=40058), call.number("filter_type", 2)
    creator = call.text("creator")
    found = [
        made
        for made in call.world.sending.mass_messages.values()
        if made.chat_type == chat_type
        and start <= made.created_at.replace(microsecond=0) <= end
        and kind in (2, int(bool(made.creator)))
        and creator in ("", made.creator)
    ]
    page, cursor = cut_page(call, found, default=50, most=100)
    return {"group_msg_list": [_listed(made) for made in page], "next_cursor": cursor}


def _listed(made: MassMessage) -> Json:
    row: Json = {
        "msgid": made.msgid,
        "create_time": int(made.created_at.timestamp()),
        "create_type": int(bool(made.creator)),
        "text": {"content": made.text},
        "attachments": made.attachments,
    }
    return row | ({"creator": made.creator} if made.creator else {})


def get_groupmsg_task(call: Call) -> Json:
    """Status 0 not sent, 2 sent."""
    made = _ready(call)
    page, cursor = cut_page(call, made.userids, default=500, most=1000)
    rows: list[Json] = []
    for userid in page:
        row: Json = {"userid": userid, "status": 2 if userid in made.confirmed else 0}
        if userid in made.confirmed:
            row["send_time"] = int(made.confirmed[userid].timestamp())
        rows.append(row)
    return {"task_list": rows, "next_cursor": cursor}


def get_groupmsg_send_result(call: Call) -> Json:
    """Of a group mass message only what was sent is told."""
    made = _ready(call)
    member = call.member(call.text("userid", missing=40058))
    found = [
        each
        for each in made.deliveries
        if each.userid == member.userid and (made.chat_type == "single" or each.status == 1)
    ]
    page, cursor = cut_page(call, found, default=500, most=1000)
    name = "external_userid" if made.chat_type == "single" else "chat_id"
    rows = []
    for each in page:
        row: Json = {name: each.target, "userid": each.userid, "status": each.status}
        if each.sent_at is not None:
            row["send_time"] = int(each.sent_at.timestamp())
        rows.append(row)
    return {"send_list": rows, "next_cursor": cursor}


def cut_page(call: Call, items: Sequence[T], *, default: int, most: int) -> tuple[Sequence[T], str]:
    """One page and the cursor of the next; a limit beyond the most falls back to the default."""
    limit = call.number("limit", default)
    limit = limit if 0 < limit <= most else default
    (begin,) = read_cursor(call)
    return items[begin : begin + limit], next_cursor(call, begin + limit, len(items))


def _moment(call: Call, name: str) -> datetime:
    seconds = call.number(name, 0)
    if seconds <= 0:
        raise Refusal(40058, f"invalid Request Parameter, {name} missing")
    return datetime.fromtimestamp(seconds, UTC)
