"""Durable work: groups go to a new owner, at most 300 of an owner a day."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from scrm.services import Services
from scrm.transfers import group_store, store, words
from scrm.transfers.begin import group_work
from scrm.wecom.errors import RetryClass, WeComError
from scrm.wecom.transfers import MOST_GROUPS
from scrm.work import queue

MOST_A_DAY = 300
_FINAL = (RetryClass.RELATION, RetryClass.PARAMETER)
# What a second call for a group says when the first one had been carried out: the owner is the new one already.
_DONE_BEFORE = (90504, 90508)


async def run_groups(services: Services, item: queue.Claimed) -> None:
    """Work of kind transfer.groups; what is over the day's limit waits for the next day."""
    transfer_id = int(item.payload["transfer_id"])
    transfer = await services.db.read(store.get_transfer, transfer_id)
    assert transfer is not None  # noqa: S101 - its work names it
    begun = await services.db.read(group_store.list_begun_groups, transfer_id)
    for start in range(0, len(begun), MOST_GROUPS):
        await _hand_over(services, transfer_id, begun[start : start + MOST_GROUPS], was_begun=True)
    zone = services.settings.shop.zone
    while True:
        now = services.clock.now()
        batch = await services.db.write(_take, transfer_id, transfer.handover_userid, zone, now)
        if not batch:
            break
        await _hand_over(services, transfer_id, batch)
    if await services.db.read(group_store.count_pending_groups, transfer_id):
        tomorrow = _midnight(services.clock.now(), zone) + timedelta(days=1, minutes=5)
        item_of_tomorrow = group_work(transfer_id, transfer.handover_userid, tomorrow)
        await services.db.write(queue.add, item_of_tomorrow, now=services.clock.now())


def _take(conn: Connection, transfer_id: int, handover_userid: str, zone: ZoneInfo, now: datetime) -> list[str]:
    used = group_store.count_groups_since(conn, handover_userid, _midnight(now, zone))
    limit = min(MOST_GROUPS, MOST_A_DAY - used)
    return group_store.take_pending_groups(conn, transfer_id, limit=limit, now=now) if limit > 0 else []


def _midnight(now: datetime, zone: ZoneInfo) -> datetime:
    return datetime.combine(now.astimezone(zone).date(), time(), zone)


async def _hand_over(services: Services, transfer_id: int, batch: list[str], *, was_begun: bool = False) -> None:
    transfer = await services.db.read(store.get_transfer, transfer_id)
    assert transfer is not None  # noqa: S101 - its work names it
    try:
        failed = await services.wecom.transfers.transfer_groups(
            batch, transfer.takeover_userid, resigned=transfer.resigned
        )
    except WeComError as error:
        if error.retry_class not in _FINAL:
            raise
        failed = dict.fromkeys(batch, error.errcode)
    if was_begun:
        failed = {chat_id: errcode for chat_id, errcode in failed.items() if errcode not in _DONE_BEFORE}
    reasons = {chat_id: (errcode, words.reason(errcode)) for chat_id, errcode in failed.items()}
    await services.db.write(group_store.end_groups, transfer_id, batch, reasons, services.clock.now())
