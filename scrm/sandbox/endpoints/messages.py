"""Messages of the app to members (doc 90236, 94867, 94888)."""

import hashlib
import secrets
from datetime import timedelta
from zoneinfo import ZoneInfo

from ..call import Call, read_text
from ..errors import Refusal
from ..world import AppMessage, Json, Member
from .cards import INTERACTIVE, check_card

RECALL_LIFE = timedelta(hours=24)
RESPONSE_LIFE = timedelta(hours=72)
PER_MEMBER_AND_MINUTE = 30
PER_MEMBER_AND_HOUR = 1000
PER_ACCOUNT_AND_DAY = 200
CHINA = ZoneInfo("Asia/Shanghai")
TEXT_BYTES = 2048


def send(call: Call) -> Json:
    """One message to up to 1000 members; wrong names are reported in lower case, all wrong is 81013."""
    if call.body.get("agentid") != call.config.agent_id:
        raise Refusal(40056)
    body = _checked(call)
    members, unknown = _targets(call)
    answer: Json = {"msgid": secrets.token_urlsafe(24)}
    if unknown:
        answer["invaliduser"] = "|".join(unknown).lower()
    if _is_repeat(call, answer):
        return answer
    if body["msgtype"] == "template_card" and _has_buttons(body["template_card"]):
        answer["response_code"] = make_response_code(call, answer["msgid"])
    for member in members:
        _put(call, member, answer["msgid"], body)
    call.world.touch()
    return answer


def _has_buttons(card: Json) -> bool:
    return card["card_type"] in INTERACTIVE or "action_menu" in card


def _targets(call: Call) -> tuple[list[Member], list[str]]:
    names = [name for name in call.text("touser").split("|") if name]
    if not names and not call.text("toparty") and not call.text("totag"):
        raise Refusal(82001)
    if names == ["@all"]:
        return call.world.members_in_range(), []
    if len(names) > 1000:
        raise Refusal(40058, f"invalid Request Parameter, touser has {len(names)} names, at most 1000")
    found = {name: call.world.find_in_range(name) for name in names}
    members = {member.userid: member for member in found.values() if member}
    for text in call.text("toparty").split("|"):
        members |= {m.userid: m for m in call.world.members_in_range() if text == str(m.department)}
    if not members:
        raise Refusal(81013)
    return list(members.values()), [name for name, member in found.items() if member is None]


def _checked(call: Call) -> Json:
    kind = call.text("msgtype", missing=40008)
    content = call.body.get(kind)
    if kind not in CHECKS:
        raise Refusal(40008)
    if not isinstance(content, dict):
        raise Refusal(40063 if content is None else 40058)
    CHECKS[kind](call, content)
    return {"msgtype": kind, kind: content}


def _check_text(call: Call, content: Json) -> None:
    words = read_text(content, "content", missing=44004)
    # Longer texts are cut, not refused.
    content["content"] = words.encode()[:TEXT_BYTES].decode(errors="ignore")


def _check_textcard(call: Call, content: Json) -> None:
    read_text(content, "title", missing=40063)
    read_text(content, "description", missing=40063)
    read_text(content, "url", missing=40063, size=2048)
    if not str(content["url"]).startswith(("http://", "https://")):
        raise Refusal(40058, "invalid Request Parameter, url needs http:// or https://")
    read_text(content, "btntxt", chars=4)


def _check_markdown(call: Call, content: Json) -> None:
    read_text(content, "content", missing=44004, size=2048)


def _check_media(call: Call, content: Json) -> None:
    if call.world.find_media(read_text(content, "media_id", missing=40007), call.now) is None:
        raise Refusal(40007)


def _check_news(call: Call, content: Json) -> None:
    articles = content.get("articles")
    if not isinstance(articles, list) or not articles:
        raise Refusal(40063)
    if len(articles) > 8:
        raise Refusal(45008)


def _check_template_card(call: Call, content: Json) -> None:
    check_card(content)


CHECKS = {
    "text": _check_text,
    "textcard": _check_textcard,
    "markdown": _check_markdown,
    "image": _check_media,
    "file": _check_media,
    "news": _check_news,
    "template_card": _check_template_card,
}


def _is_repeat(call: Call, answer: Json) -> bool:
    """With enable_duplicate_check the same JSON within the interval is accepted and not delivered again."""
    if call.number("enable_duplicate_check", 0) != 1:
        return False
    seconds = min(call.number("duplicate_check_interval", 1800), 4 * 3600)
    key = hashlib.sha256(call.raw).hexdigest()
    until, msgid = call.world.sent_bodies.get(key, (call.now, ""))
    if until > call.now:
        answer["msgid"] = msgid
        return True
    call.world.sent_bodies[key] = (call.now + timedelta(seconds=seconds), answer["msgid"])
    return False


def _put(call: Call, member: Member, msgid: str, body: Json) -> None:
    inbox = call.world.app_messages.setdefault(member.userid, [])
    # What is beyond a limit is dropped without a word (doc 90312).
    if _is_full(call, inbox) or not _take_from_the_day(call):
        return
    inbox.append(AppMessage(msgid, call.now, body))


def _is_full(call: Call, inbox: list[AppMessage]) -> bool:
    """30 a minute and 1000 an hour for one member."""
    limits = ((PER_MEMBER_AND_MINUTE, timedelta(minutes=1)), (PER_MEMBER_AND_HOUR, timedelta(hours=1)))
    return any(len(inbox) >= most and inbox[-most].at > call.now - span for most, span in limits)


def _take_from_the_day(call: Call) -> bool:
    """The app's person-times of a natural day in China: the accounts of the corp times 200."""
    day = call.now.astimezone(CHINA).date().isoformat()
    taken = call.world.app_messages_by_day.get(day, 0)
    if taken >= call.faults.account_cap * PER_ACCOUNT_AND_DAY:
        return False
    call.world.app_messages_by_day[day] = taken + 1
    return True


def make_response_code(call: Call, msgid: str) -> str:
    """A code that may update the card once within 72 hours."""
    code = secrets.token_urlsafe(24)
    call.world.response_codes[code] = (msgid, call.now)
    return code


def recall(call: Call) -> Json:
    """Take a message back within 24 hours."""
    msgid = call.text("msgid", missing=40058)
    copies = [message for inbox in call.world.app_messages.values() for message in inbox if message.msgid == msgid]
    if not copies:
        raise Refusal(40058, "invalid Request Parameter, unknown msgid")
    if call.now - copies[0].at > RECALL_LIFE:
        raise Refusal(42052)
    for copy in copies:
        copy.is_recalled = True
    call.world.touch()
    return {}


def update_template_card(call: Call) -> Json:
    """Change the card of the given members; the response_code is used up (60140)."""
    if call.body.get("agentid") != call.config.agent_id:
        raise Refusal(40056)
    msgid, made_at = call.world.response_codes.pop(call.text("response_code", missing=60140), ("", call.now))
    if not msgid or call.now - made_at > RESPONSE_LIFE:
        raise Refusal(60140)
    button, card = call.body.get("button"), call.body.get("template_card")
    if isinstance(card, dict):
        check_card(card)
    elif not isinstance(button, dict):
        raise Refusal(40058, "invalid Request Parameter, button and template_card are both missing")
    everybody = call.number("atall", 0) == 1
    userids = [m.userid for m in call.world.members_in_range()] if everybody else call.texts("userids", most=1000)
    unknown = [userid for userid in userids if call.world.find_in_range(userid) is None]
    for userid in userids:
        for message in call.world.app_messages.get(userid, []):
            if message.msgid == msgid:
                _change(message, button, card)
    call.world.touch()
    return {"invaliduser": [userid.lower() for userid in unknown]}


def _change(message: AppMessage, button: object, card: object) -> None:
    if isinstance(card, dict):
        message.body = {"msgtype": "template_card", "template_card": card}
    if isinstance(button, dict):
        message.replaced_button = str(button.get("replace_name", ""))
