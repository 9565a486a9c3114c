"""Customer service: what is said, each with an intent in the ledger before the call; never without a prepared answer."""

import hashlib
from datetime import datetime
from itertools import count
from typing import Any

import structlog
from sqlalchemy import Connection

from scrm.content.media.copies import MESSAGE, ensure_copy
from scrm.errors import ScrmError
from scrm.services import Services
from scrm.sop import ledger
from scrm.wechat import store
from scrm.wechat.keywords import Reply, find_reply
from scrm.wechat.saying import IMAGE, Message, compose, in_words
from scrm.wecom import kf
from scrm.wecom.errors import RetryClass, WeComError
from scrm.wecom.kf import ServiceState
from scrm.work import queue

log = structlog.get_logger()

_FINAL = (RetryClass.RELATION, RetryClass.PARAMETER, RetryClass.CONFIGURATION)
_CODE_SPENT = 95007
_PERHAPS_SAID = "上一次请求没有等到回应，无法确认是否送达"
# Doc 90313, 95000 ff.: what a manager reads in the ledger.
_REASONS = {
    95000: "客服账号无效",
    95001: "已达到 5 条消息的上限，等客户再说话才能继续回复",
    95002: "客户最后一次说话已超过 48 小时",
    95003: "未验证企业的客服人数已达上限。请完成企业认证",
    95004: "客服账号不存在",
    95007: "欢迎语的 code 无效、已用过或超过 20 秒",
    95011: "客服处于独立版，请在企业微信后台切换到企业微信版",
    95013: "会话已结束",
    95014: "没有可接待的人员，或接待人员未激活。请在客服账号里添加接待人员",
    95016: "会话状态不允许这样变更",
    95017: "微信客服的 API 没有开启。请到 应用管理 → 微信客服 → API 勾选本应用",
    95018: "会话正由人工接待，不自动回复",
    95023: "微信客服的 API 已授权给其他应用",
    95030: "这种消息类型不允许发送",
    95031: "客户 48 小时内没有咨询过",
    95032: "客服组件授权已失效",
}


def msgid_of(once: str) -> str:
    """At most 32 of WeCom's characters, the same for the same thing to say."""
    return "s" + hashlib.sha256(once.encode()).hexdigest()[:31]


async def run_welcome(services: Services, item: queue.Claimed) -> None:
    """Work of kind kf.welcome: once, within the twenty seconds of its code (doc 95122)."""
    payload = item.payload
    account = await services.db.read(store.find_account, payload["open_kfid"])
    if account is None or not (words := str(account.welcome).strip()):
        return
    msgid = msgid_of(f"welcome:{payload['msgid']}")
    msgtype, content = compose(words, account.attachment)[0]
    row = _row("kf_welcome", f"kf:{msgid}", payload["external_userid"], payload["person_id"], words)
    if not await services.db.write(_intend, row, services.clock.now()):
        return
    try:
        await services.wecom.kf.send_msg_on_event(payload["code"], msgid, msgtype, content)
    except WeComError as error:
        if error.errcode == _CODE_SPENT and item.attempts > 1:
            # By us before a kill or a silence, or it is too late.
            await services.db.write(_failed, row["once"], error.errcode, _PERHAPS_SAID, outcome="unknown")
        else:
            await _settle_refusal(services, row["once"], error)
        return
    await services.db.write(_sent, row["once"], services.clock.now())


async def run_reply(services: Services, item: queue.Claimed) -> None:
    """Work of kind kf.reply: the answer a keyword has, else the session goes to the people who answer."""
    message = await services.db.read(store.get_message, int(item.payload["message_id"]))
    if message is None:
        return
    state, servicer = await services.wecom.kf.service_state_get(message.open_kfid, message.external_userid)
    now = services.clock.now()
    await services.db.write(
        store.change_visitor,
        message.open_kfid,
        message.external_userid,
        service_state=state,
        servicer_userid=servicer[:64],
        changed_at=now,
    )
    if state not in (ServiceState.NEW, ServiceState.ROBOT):
        # Somebody speaks with the customer, or is about to: what an earlier try had begun is not said again.
        if item.attempts > 1:
            await services.db.write(_leave_begun, message.msgid)
        return
    said = str((message.content or {}).get("content") or "") if message.msgtype == "text" else ""
    reply = find_reply(await services.db.read(store.list_enabled, "kf"), said)
    if reply is None:
        await _hand_to_people(services, message)
    else:
        await _reply(services, message, reply)


async def _reply(services: Services, message: Any, reply: Reply) -> None:
    """Each message of the answer takes a turn of its own; where one is refused, what comes after it is not said."""
    picture = await _picture(services, reply)
    for number, (msgtype, content) in enumerate(compose(reply.answer, reply.attachment, picture)):
        key = _key(message.msgid, number)
        words = in_words(msgtype, content) if number else reply.answer
        if not await _say(services, message, key, (msgtype, content), words, reply.id if not number else None):
            return


def _key(msgid: str, number: int) -> str:
    return f"reply:{msgid}" + (f":{number}" if number else "")


async def _picture(services: Services, reply: Reply) -> str:
    """The media_id of the picture that goes with it; without one the words go alone."""
    if reply.attachment.get("kind") != IMAGE:
        return ""
    try:
        return await ensure_copy(services, str(reply.attachment["sha256"]), MESSAGE)
    except (WeComError, ScrmError) as error:
        log.warning("kf.picture_missing", error=type(error).__name__)
        return ""


async def _say(services: Services, message: Any, key: str, said: Message, words: str, reply_id: int | None) -> bool:
    msgid = msgid_of(key)
    row = _row("kf_reply", f"kf:{msgid}", message.external_userid, message.person_id, words)
    if not await services.db.write(_intend_reply, row, message.open_kfid, reply_id, services.clock.now()):
        # Said before (a second try after a kill): what comes after it may still be missing.
        known = await services.db.read(ledger.find_send, row["once"])
        return known is not None and known.outcome == "sent"
    try:
        await services.wecom.kf.send_msg(message.open_kfid, message.external_userid, msgid, *said)
    except WeComError as error:
        if error.errcode in (kf.OVER_COUNT, kf.OVER_TIME):
            await services.db.write(store.close_window, message.open_kfid, message.external_userid)
        await _settle_refusal(services, row["once"], error)
        return error.errcode == kf.DUPLICATE_MSGID
    await services.db.write(_sent, row["once"], services.clock.now())
    return True


async def _hand_to_people(services: Services, message: Any) -> None:
    """With the API managing sessions WeCom's own rules rest: unanswered, a customer would wait for ever."""
    account = await services.db.read(store.find_account, message.open_kfid)
    if account is None or account.unanswered != "pool":
        return
    try:
        await services.wecom.kf.service_state_trans(message.open_kfid, message.external_userid, ServiceState.POOL)
    except WeComError as error:
        if error.retry_class not in _FINAL:
            raise
        log.warning("kf.not_handed_on", errcode=error.errcode, reason=_REASONS.get(error.errcode, ""))
        return
    await services.db.write(
        store.change_visitor,
        message.open_kfid,
        message.external_userid,
        service_state=int(ServiceState.POOL),
        changed_at=services.clock.now(),
    )


# The ledger ---------------------------------------------------------------------------------------------------------------


def _row(kind: str, once: str, external_userid: str, person_id: int | None, words: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "once": once,
        "external_userid": external_userid,
        "person_id": person_id,
        "content": {"text": words},
    }


def _intend(conn: Connection, row: dict[str, Any], now: datetime) -> bool:
    """Whether it is to be said: not when it was, or could not be, before.

    An intent without an outcome is ours from before a kill: said again with the same msgid, it is said once.
    """
    if ledger.add_send(conn, {**row, "decided_at": now, "outcome": "intent"}) is not None:
        return True
    known = ledger.find_send(conn, row["once"])
    return known is not None and known.outcome == "intent"


def _intend_reply(conn: Connection, row: dict[str, Any], open_kfid: str, reply_id: int | None, now: datetime) -> bool:
    """The intent takes one of the five turns with it, in one transaction."""
    if ledger.find_send(conn, row["once"]) is not None:
        return _intend(conn, row, now)
    refused = store.take_turn(conn, open_kfid, row["external_userid"], now=now)
    if refused:
        ledger.add_send(conn, {**row, "decided_at": now, "outcome": "none", "reason": refused})
        return False
    if reply_id is not None:
        store.count_hit(conn, reply_id)
    return _intend(conn, row, now)


def _sent(conn: Connection, once: str, now: datetime) -> None:
    ledger.change_send(conn, once, outcome="sent", sent_at=now)


def _leave_begun(conn: Connection, msgid: str) -> None:
    """Each message of an answer follows when the one before it was sent: the first one without an outcome is the last."""
    for number in count():
        once = f"kf:{msgid_of(_key(msgid, number))}"
        known = ledger.find_send(conn, once)
        if known is None:
            return
        if known.outcome == "intent":
            ledger.change_send(conn, once, outcome="unknown", reason=_PERHAPS_SAID)


async def _settle_refusal(services: Services, once: str, error: WeComError) -> None:
    """A repeat that WeCom knows was said; what may still work is tried again; the rest has failed, with its reason."""
    if error.errcode == kf.DUPLICATE_MSGID:
        await services.db.write(_sent, once, services.clock.now())
        return
    if error.retry_class not in _FINAL:
        raise error
    reason = _REASONS.get(error.errcode, error.text)
    await services.db.write(_failed, once, error.errcode, reason)


def _failed(conn: Connection, once: str, errcode: int, reason: str, outcome: str = "failed") -> None:
    ledger.change_send(conn, once, outcome=outcome, errcode=errcode, reason=reason[:300])
