"""Steps of channel M over time: batches close, members are reminded, what ran out or lost its reason is recalled.

WeCom cannot take one customer out of a message that waits for its member. When somebody's run ends before the member
has confirmed, the whole message is stopped at once, so that nobody can get what is wrong for him by now, and is made
again for those who stay, at first two minutes later, then after longer and longer pauses: many departures in a row
are one new message.
"""

from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from scrm.mass_messages import store as messages
from scrm.services import Services
from scrm.sop import ledger, mass_step_store, store, timing
from scrm.sop.guards import House
from scrm.sop.mass_step_store import RECALL, withdraw
from scrm.sop.shelf import house_of
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work import queue

log = structlog.get_logger()

REMIND, WARN = "sop.mass_remind", "sop.mass_warn"
# How often the waves are looked at for losses.
WATCH_SECONDS = 60.0
_MOST_BATCHES = 500
_CANCELLED_ALREADY = 41093
_REFUSED = (RetryClass.PARAMETER, RetryClass.RELATION)


def cancel(conn: Connection, enrolment_ids: list[int], reason: str, now: datetime) -> int:
    """Take people whose run ended or is held out of what their members have not confirmed; returns how many steps."""
    return withdraw(conn, enrolment_ids, reason, now) if enrolment_ids else 0


# The tick -------------------------------------------------------------------------------------------------------------


async def tick(services: Services) -> int:
    """Do what is due, and bring results to steps; returns how much that was. Several processes may tick."""
    now, done = services.clock.now(), 0
    if not await services.db.read(mass_step_store.has_work, now):
        return 0
    while moved := await services.db.write(_sync, now):
        done += moved
    house = house_of(services)
    for _ in range(_MOST_BATCHES):
        if not await services.db.write(_look, now, house):
            break
        done += 1
    return done


def _sync(conn: Connection, now: datetime) -> int:
    moved, runs = mass_step_store.sync_results(conn, now)
    store.finish_idle(conn, runs, now=now)
    return moved


def _look(conn: Connection, now: datetime, house: House) -> bool:
    """The next batch that is due: close it, remind its member, or let it expire."""
    row = mass_step_store.claim_batch(conn, now)
    if row is None:
        return False
    if (over := mass_step_store.why_over(conn, row, now)) is not None:
        store.finish_idle(conn, mass_step_store.end_batch(conn, row, over, now), now=now)
    elif row.state == "gathering":
        mass_step_store.close_batch(conn, row, now)
    elif row.state == "closing":
        mass_step_store.address_some(conn, row, now)
    else:
        _remind_half_way(conn, row, now, house)
    return True


def _remind_half_way(conn: Connection, row: Row[Any], now: datetime, house: House) -> None:
    """Not at night: the member sleeps, and the message has its time."""
    awake = timing.quiet_until(now, house.quiet, house.zone) if house.quiet is not None else None
    if awake is not None and awake < row.expires_at:
        mass_step_store.change_batch(conn, row.id, look_at=awake)
        return
    mass_step_store.change_batch(conn, row.id, look_at=row.expires_at)
    for part_id in mass_step_store.list_unconfirmed(conn, row.mass_message_id):
        item = queue.Item(lane="send", kind=REMIND, payload={"part_id": part_id}, give_up_at=row.expires_at)
        queue.add(conn, item, now=now)


async def run_remind(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.mass_remind": WeCom tells the member again, at most three times in 24 hours (doc 97610).

    At most once: who ends between the booking and the call leaves the member without it.
    """
    part_id = int(item.payload["part_id"])
    now = services.clock.now()
    if not await services.db.write(messages.take_reminder, part_id, now, unless_since=item.created_at):
        return
    row = await services.db.read(messages.find_part, part_id)
    try:
        await services.wecom.customer_messages.remind_groupmsg_send(row.msgid)
    except WeComError as error:
        # It disturbs nobody that one reminder is missing; the message itself waits as before.
        log.warning("sop.mass_reminder_refused", errcode=error.errcode)


# Recalling ------------------------------------------------------------------------------------------------------------


async def run_recall(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.mass_recall": stop a part at WeCom, look what its member did, make it anew for who stays.

    Every try does the same as the first: a crash anywhere in between repeats nothing. Raises WeCom's error when
    trying again helps.
    """
    part_id = int(item.payload["part_id"])
    row = await services.db.write(mass_step_store.begin_recall, part_id, services.clock.now())
    if row is None:
        return
    is_stopped = await _stop(services, row.msgid)
    confirmed_at = await _confirmed_at(services, row)
    if confirmed_at is not None or not is_stopped:
        await services.db.write(mass_step_store.give_up_recall, part_id, confirmed_at, services.clock.now())
        return
    is_second = bool(item.payload.get("is_second"))
    await services.db.write(_finish_recall, part_id, is_second, services.clock.now())


async def _stop(services: Services, msgid: str) -> bool:
    """Whether the member can confirm it no more (doc 97611)."""
    try:
        await services.wecom.customer_messages.cancel_groupmsg_send(msgid)
    except WeComError as error:
        if error.errcode == _CANCELLED_ALREADY:
            return True
        if error.retry_class not in _REFUSED:
            raise
        log.warning("sop.mass_recall_refused", errcode=error.errcode)
        return False
    return True


async def _confirmed_at(services: Services, row: Row[Any]) -> datetime | None:
    async for told in services.wecom.customer_messages.get_groupmsg_task(row.msgid):
        if told.is_sent and told.userid.lower() == row.userid.lower():
            return told.sent_at or services.clock.now()
    return None


def _finish_recall(conn: Connection, part_id: int, is_second: bool, now: datetime) -> None:
    store.finish_idle(conn, mass_step_store.finish_recall(conn, part_id, is_second, now), now=now)


# Waves that cost too many customers -----------------------------------------------------------------------------------


async def watch(services: Services) -> int:
    """The slow tick: a wave whose recipients delete the member too often goes no further; returns how many stopped."""
    now = services.clock.now()
    found = await services.db.read(mass_step_store.find_losses, now)
    stopped = 0
    for wave in found:
        stopped += await services.db.write(_stop_wave, wave, now)
    return stopped


def _stop_wave(conn: Connection, wave: Row[Any], now: datetime) -> int:
    share = wave.losses / wave.recipients
    reason = (
        f"24 小时内 {wave.recipients} 位客户收到，{wave.losses} 位删除了员工"
        f"（{share:.1%}，上限 {wave.stop_at:.1%}），这一波已自动停发"
    )
    if not mass_step_store.stop_wave(conn, wave, reason, now):
        return 0
    log.warning("sop.mass_wave_stopped", playbook=wave.playbook_key, step=wave.step_id, losses=wave.losses)
    for batch in mass_step_store.list_living_batches(conn, wave.playbook_key, wave.version, wave.step_id):
        runs = mass_step_store.end_batch(conn, batch, ("dropped", reason), now)
        store.finish_idle(conn, runs, now=now)
    once = f"mass_stop:{wave.playbook_key}:{wave.version}:{wave.step_id}"
    payload = {"once": once, "title": wave.title, "playbook_key": wave.playbook_key, "reason": reason}
    queue.add(conn, queue.Item(lane="send", kind=WARN, payload=payload, dedupe_key=once), now=now)
    return 1


async def run_warn(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.mass_warn": tell the managers that a wave was stopped, once.

    Raises WeCom's error when trying again helps; the same request is then sent with the duplicate check on.
    """
    once = str(item.payload["once"])
    body = await services.db.write(
        _take_warning, item.payload, services.settings.server.public_url, services.clock.now()
    )
    if body is None:
        return
    try:
        await services.wecom.messages.send_message(body, duplicate_check=True)
    except WeComError as error:
        await services.db.write(_note_warning, once, "failed", error.text, None)
        if error.retry_class in _REFUSED:
            log.warning("sop.mass_warning_refused", errcode=error.errcode)
            return
        raise
    await services.db.write(_note_warning, once, "sent", "", services.clock.now())


def _take_warning(conn: Connection, payload: dict[str, Any], public_url: str, now: datetime) -> dict[str, Any] | None:
    """The message with its line in the ledger; None when it was sent, or there is no manager to tell."""
    kept = ledger.find_send(conn, str(payload["once"]))
    if kept is not None:
        return None if kept.outcome in ("sent", "none") else dict(kept.content["body"])
    managers = mass_step_store.list_managers(conn)
    body = {
        "touser": "|".join(managers),
        "msgtype": "textcard",
        "textcard": {
            "title": f"群发已自动停发：{payload['title']}"[:60],
            "description": f"{payload['reason']}。\n没发的客户不会再收到；改好内容、发布新版本后恢复。",
            "url": f"{public_url}/console/playbooks/{payload['playbook_key']}",
            "btntxt": "看剧本",
        },
    }
    ledger.add_send(
        conn,
        {
            "kind": "app_message",
            "userid": managers[0] if managers else "",
            "playbook_key": payload["playbook_key"],
            "once": payload["once"],
            "content": {"body": body},
            "decided_at": now,
            "outcome": "intent" if managers else "none",
            "reason": "" if managers else "没有主管或管理员可以通知",
        },
    )
    return body if managers else None


def _note_warning(conn: Connection, once: str, outcome: str, reason: str, sent_at: datetime | None) -> None:
    ledger.change_send(conn, once, outcome=outcome, reason=reason[:300], sent_at=sent_at)


__all__ = ["RECALL", "REMIND", "WARN", "cancel", "run_recall", "run_remind", "run_warn", "tick", "watch"]
