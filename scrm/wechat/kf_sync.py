"""Customer service: read what came, in one transaction with the cursor, and leave each answer to durable work."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from scrm.db.vault import cover_phones
from scrm.events import Event, publish
from scrm.services import Services
from scrm.sop import ledger
from scrm.wechat import persons, store
from scrm.wechat.saying import in_words
from scrm.wecom.errors import WeComError
from scrm.wecom.kf import BAD_TOKEN, CUSTOMER, KfMessage, MessagePage
from scrm.work import queue

log = structlog.get_logger()

SYNC, WELCOME, REPLY, VISITOR, ACCOUNTS = "kf.sync", "kf.welcome", "kf.reply", "kf.visitor", "kf.accounts"

CODE_LIFE = timedelta(seconds=20)
# The first reading brings three days of history: nobody is answered days later.
ANSWER_WITHIN = timedelta(minutes=10)


def sync_work(open_kfid: str, token: str) -> queue.Item:
    """One reading of an account at a time; a welcome waits behind it, so it goes by the urgent lane."""
    return queue.Item("welcome", SYNC, {"open_kfid": open_kfid, "token": token}, order_key=f"kf:{open_kfid}")


async def poll_accounts(services: Services) -> None:
    """A tick: read every account without a token, in case an event was lost."""
    accounts = await services.db.read(store.list_accounts)
    items = [sync_work(row.open_kfid, "") for row in accounts if row.managed]
    if items:
        await services.db.write(queue.add_many, items, now=services.clock.now())


async def run_sync(services: Services, item: queue.Claimed) -> None:
    """Work of kind kf.sync: page by page to the end. What a later event's reading has brought already is not asked."""
    open_kfid, token = str(item.payload["open_kfid"]), str(item.payload.get("token") or "")
    account = await services.db.write(store.ensure_account, open_kfid, now=services.clock.now())
    if account.drained_at is not None and account.drained_at > item.created_at:
        return
    began_at, cursor = services.clock.now(), str(account.cursor)
    while True:
        page, token = await _read(services, open_kfid, cursor, token)
        await services.db.write(keep_page, open_kfid, page, cursor, services.clock.now())
        if not page.has_more or not page.next_cursor or page.next_cursor == cursor:
            break
        cursor = page.next_cursor
    await services.db.write(store.change_account, open_kfid, drained_at=began_at)


async def _read(services: Services, open_kfid: str, cursor: str, token: str) -> tuple[MessagePage, str]:
    """A token that is too old is dropped: without one WeCom answers too, only not as often."""
    try:
        return await services.wecom.kf.sync_msg(open_kfid, cursor=cursor, token=token), token
    except WeComError as error:
        if error.errcode != BAD_TOKEN or not token:
            raise
    return await services.wecom.kf.sync_msg(open_kfid, cursor=cursor), ""


def keep_page(conn: Connection, open_kfid: str, page: MessagePage, cursor: str, now: datetime) -> int:
    """The messages, what they change, the work they ask for and the cursor: all or nothing. Returns how many are new.

    A page that another process kept meanwhile changes nothing: each message is known by its msgid.
    """
    new = sum(_keep(conn, message, now) for message in _welcomes_first(page.messages))
    if page.next_cursor and page.next_cursor != cursor:
        store.change_account(conn, open_kfid, cursor=page.next_cursor)
    return new


def _welcomes_first(messages: list[KfMessage]) -> list[KfMessage]:
    """A welcome code lives twenty seconds; everything else keeps its order."""
    return sorted(messages, key=lambda message: message.event_type != "enter_session")


def _keep(conn: Connection, message: KfMessage, now: datetime) -> bool:
    if not message.msgid:
        return False
    person_id = persons.know_visitor(conn, message.external_userid, now=now) if message.external_userid else None
    message_id = store.keep_message(conn, message, person_id, now=now)
    if message_id is None:
        return False
    if person_id is not None:
        if store.ensure_visitor(conn, message.open_kfid, message.external_userid, person_id, now=now):
            _ask_who(conn, message, now)
        if message.origin == CUSTOMER:
            _customer_spoke(conn, message, message_id, person_id, now)
    act = _EVENTS.get(message.event_type)
    if act is not None:
        act(conn, message, person_id, now)
    return True


def _ask_who(conn: Connection, message: KfMessage, now: datetime) -> None:
    item = queue.Item(
        "sync",
        VISITOR,
        {"external_userid": message.external_userid},
        dedupe_key=f"{VISITOR}:{message.external_userid}",
    )
    queue.add(conn, item, now=now)


def _customer_spoke(conn: Connection, message: KfMessage, message_id: int, person_id: int, now: datetime) -> None:
    store.customer_spoke(conn, message.open_kfid, message.external_userid, message.sent_at, now=now)
    facts = {"msgtype": message.msgtype, "text": cover_phones(in_words(message.msgtype, message.content))[:200]}
    _tell(conn, "kf.message", message, person_id, facts, now)
    if now - message.sent_at > ANSWER_WITHIN:
        return
    item = queue.Item(
        "send",
        REPLY,
        {"message_id": message_id},
        order_key=f"kf:{message.open_kfid}:{message.external_userid}",
        give_up_at=message.sent_at + ANSWER_WITHIN,
    )
    queue.add(conn, item, now=now)


def _tell(
    conn: Connection, name: str, message: KfMessage, person_id: int | None, facts: dict[str, Any], now: datetime
) -> None:
    told = Event(
        name=name,
        occurred_at=message.sent_at,
        person_id=person_id,
        external_userid=message.external_userid,
        facts={"open_kfid": message.open_kfid, **facts},
        once=f"{name}:{message.msgid}",
    )
    publish(conn, [told], now=now)


# What the events change -------------------------------------------------------------------------------------------------


def _entered(conn: Connection, message: KfMessage, person_id: int | None, now: datetime) -> None:
    scene = str(message.content.get("scene") or "")[:128]
    store.change_visitor(
        conn, message.open_kfid, message.external_userid, scene=scene, entered_at=message.sent_at, changed_at=now
    )
    _tell(conn, "kf.entered", message, person_id, {"scene": scene}, now)
    code = str(message.content.get("welcome_code") or "")
    if not code or now - message.sent_at > CODE_LIFE:
        return
    item = queue.Item(
        "welcome",
        WELCOME,
        {
            "code": code,
            "msgid": message.msgid,
            "open_kfid": message.open_kfid,
            "external_userid": message.external_userid,
            "person_id": person_id,
        },
        give_up_at=message.sent_at + CODE_LIFE,
    )
    queue.add(conn, item, now=now)


_STATES = {1: 3, 2: 3, 3: 4, 4: 3}  # took from the pool, transferred, ended, opened again (doc 94670)


def _state_changed(conn: Connection, message: KfMessage, person_id: int | None, now: datetime) -> None:
    state = _STATES.get(int(message.content.get("change_type") or 0))
    if state is not None:
        servicer = str(message.content.get("new_servicer_userid") or "")[:64]
        store.change_visitor(
            conn,
            message.open_kfid,
            message.external_userid,
            service_state=state,
            servicer_userid=servicer,
            changed_at=now,
        )


_FAIL_TYPES = {
    1: "客服账号已删除",
    2: "应用已关闭",
    4: "会话已超过 48 小时",
    5: "会话已关闭",
    6: "超过 5 条限制",
    8: "企业主体未验证",
    10: "用户拒收",
    11: "企业没有成员登录企业微信",
    12: "发送的消息为客服组件禁发的类型",
    13: "安全限制",
}


def _send_failed(conn: Connection, message: KfMessage, person_id: int | None, now: datetime) -> None:
    """ok was not delivered: the ledger is told, by the msgid that we gave."""
    reason = _FAIL_TYPES.get(int(message.content.get("fail_type") or 0), "原因未知")
    once = f"kf:{message.content.get('fail_msgid', '')}"
    ledger.change_send(conn, once[:160], outcome="failed", reason=f"微信没有送达：{reason}")


_EVENTS = {
    "enter_session": _entered,
    "session_status_change": _state_changed,
    "msg_send_fail": _send_failed,
}


# Who it is ----------------------------------------------------------------------------------------------------------------


async def run_visitor(services: Services, item: queue.Claimed) -> None:
    """Work of kind kf.visitor: the name and the unionid, which WeCom tells for 48 h."""
    await services.db.write(queue.give_up_dedupe_key, item.id)
    external_userid = str(item.payload["external_userid"])
    for told in await services.wecom.kf.customer_batchget([external_userid]):
        await services.db.write(persons.learn_visitor, told, now=services.clock.now())


async def run_accounts(services: Services, item: queue.Claimed) -> None:
    """Work of kind kf.accounts: the list of accounts, when their rights have changed or a manager asks."""
    await services.db.write(queue.give_up_dedupe_key, item.id)
    accounts = await services.wecom.kf.account_list()
    await services.db.write(store.save_accounts, accounts, now=services.clock.now())


def accounts_work() -> queue.Item:
    return queue.Item("sync", ACCOUNTS, dedupe_key=ACCOUNTS)
