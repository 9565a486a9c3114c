"""The server API of WeChat customer service (docs 94661-95159)."""

import re
from typing import Any

from ..call import Call, read_text
from ..errors import Refusal
from ..kf import (
    CODE_LIFE,
    ENDED,
    HISTORY,
    HUMAN,
    MOST_SENT,
    NEW,
    POOL,
    ROBOT,
    TOKEN_LIFE,
    WINDOW,
    Code,
    KfAccount,
    Line,
    Session,
)
from ..world import Json

MSGID = re.compile(r"[0-9a-zA-Z_-]{1,32}")
SCENE = re.compile(r"[0-9a-zA-Z_-]{0,32}")
ANY_KIND = ("text", "image", "voice", "video", "file", "link", "miniprogram", "msgmenu")
# What each thing of a menu must say, in bytes at most.
MENU_PARTS: dict[str, dict[str, int]] = {
    "click": {"id": 128, "content": 128},
    "view": {"url": 2048, "content": 1024},
    "miniprogram": {"appid": 32, "pagepath": 1024, "content": 1024},
    "text": {"content": 256},
}
# From a state to those that the API may choose (doc 94669; 4 is a matter of opinion in its picture).
CHANGES = {NEW: {ROBOT, POOL, HUMAN, ENDED}, ROBOT: {POOL, HUMAN, ENDED}, POOL: {HUMAN, ENDED}, HUMAN: {HUMAN, ENDED}}


def account_list(call: Call) -> Json:
    """Every account, 100 a page."""
    offset, limit = call.number("offset", 0), call.number("limit", 100)
    if offset < 0 or not 1 <= limit <= 100:
        raise Refusal(40058, "invalid Request Parameter, limit must be 1 to 100")
    rows = list(call.world.kf.accounts.values())[offset : offset + limit]
    return {
        "account_list": [
            {"open_kfid": one.open_kfid, "name": one.name, "avatar": "", "manage_privilege": True} for one in rows
        ]
    }


def add_contact_way(call: Call) -> Json:
    """A link with a scene that comes back on entering."""
    account, scene = _account(call), call.text("scene")
    if not SCENE.fullmatch(scene):
        raise Refusal(40058, "invalid Request Parameter, scene")
    suffix = f"&scene={scene}" if scene else ""
    return {"url": f"{call.config.base_url}/phone/kf?account={account.open_kfid}{suffix}"}


def sync_msg(call: Call) -> Json:
    """What happened at an account after a cursor, of the last three days."""
    account, token = _account(call), call.text("token", size=128)
    if token:
        made_at = call.world.kf.tokens.get(token)
        if made_at is None or call.now - made_at > TOKEN_LIFE:
            raise Refusal(95007)
    limit = call.number("limit", 1000)
    if not 1 <= limit <= 1000:
        raise Refusal(40058, "invalid Request Parameter, limit must be 1 to 1000")
    cursor = call.text("cursor", size=64)
    if cursor and not cursor.isdigit():
        raise Refusal(40058, "invalid Request Parameter, cursor")
    start = int(cursor or 0)
    page = account.messages[start : start + limit]
    end = start + len(page)
    living = [message for at, message in page if call.now - at <= HISTORY]
    return {"next_cursor": str(end), "has_more": int(end < len(account.messages)), "msg_list": living}


def send_msg(call: Call) -> Json:
    """Within 48 hours of the customer's last message, five times, while nobody else speaks with him (doc 94677)."""
    account = _account(call)
    session = _session(call, account, call.text("touser", missing=40058))
    msgid = _msgid(call, account)
    if session.state not in (NEW, ROBOT):
        raise Refusal(95013 if session.state == ENDED else 95018)
    if not session.window_is_open(call.now):
        raise Refusal(95002)
    if session.sent_since >= MOST_SENT:
        raise Refusal(95001)
    words = _words(call, ANY_KIND)
    session.sent_since += 1
    _say(call, account, session, msgid, words)
    return {"msgid": msgid}


def send_msg_on_event(call: Call) -> Json:
    """The one answer to an event (doc 95122)."""
    code = call.world.kf.codes.get(call.text("code", missing=40058))
    if code is None or code.is_used or call.now - code.made_at > code.life:
        raise Refusal(95007, "invalid code")
    account = call.world.kf.accounts[code.open_kfid]
    session, words = account.session(code.external_userid), _words(call, ("text", "msgmenu"))
    msgid = _msgid(call, account)
    code.is_used = True
    session.last_welcome_at = call.now
    _say(call, account, session, msgid, words)
    return {"msgid": msgid}


def service_state_get(call: Call) -> Json:
    """Who speaks with the customer."""
    account = _account(call)
    session = _session(call, account, call.text("external_userid", missing=40058))
    answer: Json = {"service_state": session.state}
    if session.state == HUMAN:
        answer["servicer_userid"] = session.servicer_userid
    return answer


def service_state_trans(call: Call) -> Json:
    """Hand the session on; the first change to 2, 3 or 4 gives a code for a word with it."""
    account = _account(call)
    session = _session(call, account, call.text("external_userid", missing=40058))
    wanted = call.number("service_state", -1)
    if wanted not in CHANGES.get(session.state, set()):
        raise Refusal(95016)
    servicer = call.text("servicer_userid")
    if wanted == HUMAN and servicer not in account.servicers:
        raise Refusal(95014)
    if wanted == POOL and not account.servicers:
        raise Refusal(95014)
    session.state, session.servicer_userid = wanted, servicer
    call.world.touch()
    if wanted == ROBOT:
        return {}
    code = call.world.make_id("KC", f"trans/{call.world.next_number()}", 43)
    life = CODE_LIFE if wanted == ENDED else WINDOW
    call.world.kf.codes[code] = Code(account.open_kfid, session.external_userid, call.now, life)
    return {"msg_code": code}


def customer_batchget(call: Call) -> Json:
    """Who it is, for those who were there within 48 hours (doc 95159)."""
    found: list[Json] = []
    invalid: list[str] = []
    for external_userid in call.texts("external_userid_list", most=100):
        user = call.world.find_customer(external_userid)
        was_here = any(external_userid in account.sessions for account in call.world.kf.accounts.values())
        if user is None or not was_here:
            invalid.append(external_userid)
            continue
        told: Json = {
            "external_userid": external_userid,
            "nickname": user.name,
            "avatar": f"{call.config.base_url}/avatar/{user.key}.svg",
            "gender": user.gender,
        }
        if user.unionid:
            told["unionid"] = user.unionid
        found.append(told)
    return {"customer_list": found, "invalid_external_userid": invalid}


def _account(call: Call) -> KfAccount:
    account = call.world.kf.accounts.get(call.text("open_kfid", missing=95000, size=64))
    if account is None:
        raise Refusal(95004)
    return account


def _session(call: Call, account: KfAccount, external_userid: str) -> Session:
    if external_userid not in account.sessions:
        raise Refusal(40096)
    return account.session(external_userid)


def _msgid(call: Call, account: KfAccount) -> str:
    msgid = call.text("msgid") or call.world.make_id("", f"kf/{call.world.next_number()}")
    if not MSGID.fullmatch(msgid):
        raise Refusal(40058, "invalid Request Parameter, msgid")
    if msgid in account.msgids:
        raise Refusal(95033)
    return msgid


def _words(call: Call, kinds: tuple[str, ...]) -> str:
    """What the customer sees, checked as each kind is (docs 94677, 95122)."""
    kind: Any = call.body.get("msgtype")
    content = call.body.get(kind) if isinstance(kind, str) else None
    if kind not in kinds or not isinstance(content, dict):
        raise Refusal(40008)
    if kind == "text":
        return read_text(content, "content", size=2048, missing=44004)
    if kind == "msgmenu":
        return _menu(content)
    if kind in ("image", "voice", "video", "file"):
        _check_media(call, content, "media_id")
        return f"[{kind}]"
    title = read_text(content, "title", size=128 if kind == "link" else 64, missing=40058)
    _check_media(call, content, "thumb_media_id")
    if kind == "link":
        read_text(content, "url", size=2048, missing=40058)
        return f"[链接] {title} {content['url']}"
    read_text(content, "appid", size=32, missing=40058)
    return f"[小程序] {title} {read_text(content, 'pagepath', size=1024, missing=40058)}"


def _check_media(call: Call, content: Json, name: str) -> None:
    if call.world.find_media(read_text(content, name, missing=40007), call.now) is None:
        raise Refusal(40007)


def _menu(content: Json) -> str:
    """Words, and at most ten things to tap."""
    items = content.get("list") or []
    if not isinstance(items, list) or len(items) > 10:
        raise Refusal(95008)
    shown = [read_text(content, "head_content", size=1024)]
    for item in items:
        kind = item.get("type") if isinstance(item, dict) else None
        inside = item.get(kind) if kind in MENU_PARTS else None
        if not isinstance(inside, dict):
            raise Refusal(40058, "invalid Request Parameter, list")
        for name, size in MENU_PARTS[str(kind)].items():
            read_text(inside, name, size=size, missing=40058)
        shown.append(f"▸ {inside['content']} {inside.get('url') or inside.get('pagepath') or ''}".strip())
    return "\n".join(filter(None, [*shown, read_text(content, "tail_content", size=1024)])) or "[菜单]"


def _say(call: Call, account: KfAccount, session: Session, msgid: str, words: str) -> None:
    account.msgids.add(msgid)
    session.lines.append(Line(call.now, "account", words))
    call.world.touch()
