"""What the tick and the queue do for channel M: batches close, members are reminded, what lost its reason is recalled."""

from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from scrm.mass_messages import store as messages
from scrm.services import Services
from scrm.sop import store, timing
from scrm.sop.guards.answers import House
from scrm.sop.mass import batches, making, recalling, results
from scrm.sop.mass.leaving import RECALL
from scrm.sop.shelf import house_of
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work import queue

log = structlog.get_logger()

REMIND = "sop.mass_remind"
_MOST_BATCHES = 500
_CANCELLED_ALREADY = 41093
_REFUSED = (RetryClass.PARAMETER, RetryClass.RELATION)


async def tick(services: Services) -> int:
    """Do what is due, and bring results to steps; returns how much that was. Several processes may tick."""
    now, done = services.clock.now(), 0
    if not await services.db.read(batches.has_work, now):
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
    moved, runs = results.sync_results(conn, now)
    store.finish_idle(conn, runs, now=now)
    return moved


def _look(conn: Connection, now: datetime, house: House) -> bool:
    """The next batch that is due: close it, remind its member, or let it expire."""
    row = batches.claim_batch(conn, now)
    if row is None:
        return False
    if (over := batches.why_over(conn, row, now)) is not None:
        store.finish_idle(conn, recalling.end_batch(conn, row, over, now), now=now)
    elif row.state == "gathering":
        making.close_batch(conn, row, now)
    elif row.state == "closing":
        making.address_some(conn, row, now)
    else:
        _remind_half_way(conn, row, now, house)
    return True


def _remind_half_way(conn: Connection, row: Row[Any], now: datetime, house: House) -> None:
    """Not at night: the member sleeps, and the message has its time."""
    awake = timing.quiet_until(now, house.quiet, house.zone) if house.quiet is not None else None
    if awake is not None and awake < row.expires_at:
        batches.change_batch(conn, row.id, look_at=awake)
        return
    batches.change_batch(conn, row.id, look_at=row.expires_at)
    for part_id in recalling.list_unconfirmed(conn, row.mass_message_id):
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


async def run_recall(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.mass_recall": stop a part at WeCom, look what its member did, make it anew for who stays.

    Every try does the same as the first: a crash anywhere in between repeats nothing. Raises WeCom's error when
    trying again helps.
    """
    part_id = int(item.payload["part_id"])
    row = await services.db.write(recalling.begin_recall, part_id, services.clock.now())
    if row is None:
        return
    is_stopped = await _stop(services, row.msgid)
    confirmed_at = await _confirmed_at(services, row)
    if confirmed_at is not None or not is_stopped:
        await services.db.write(recalling.give_up_recall, part_id, confirmed_at, services.clock.now())
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
    store.finish_idle(conn, recalling.finish_recall(conn, part_id, is_second, now), now=now)


__all__ = ["RECALL", "REMIND", "run_recall", "run_remind", "tick"]
