"""Durable work of a transfer: ask WeCom in batches, then ask what became of it until every customer has an end."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from scrm.services import Services
from scrm.transfers import store, takeover, words
from scrm.transfers.begin import POLL
from scrm.wecom.errors import RetryClass, WeComError
from scrm.wecom.transfers import MOST_CUSTOMERS, TransferResult, TransferStatus
from scrm.work import queue

log = structlog.get_logger()

# errcode 0 is only the beginning: it takes WeCom 24 h (doc 92125).
_WAIT = timedelta(hours=24)
_FIRST_LOOK = timedelta(minutes=2)
_BETWEEN = timedelta(hours=1)
_AFTER_PLANNED = timedelta(minutes=5)
_GIVE_UP = timedelta(days=7)
_IN_TRANSFER = (40100, 40129)
_FINAL = (RetryClass.RELATION, RetryClass.PARAMETER)


async def run_ask(services: Services, item: queue.Claimed) -> None:
    """Work of kind transfer.ask. Stopped in the middle, the batch that was under way is looked up before it is asked."""
    transfer_id = int(item.payload["transfer_id"])
    while begun := await services.db.read(store.list_begun, transfer_id, limit=MOST_CUSTOMERS):
        left = await _look_up(services, transfer_id, begun)
        await _ask(services, transfer_id, left, was_begun=True)
    while batch := await services.db.write(
        store.take_pending, transfer_id, limit=MOST_CUSTOMERS, now=services.clock.now()
    ):
        await _ask(services, transfer_id, batch)
    await services.db.write(_plan_poll, transfer_id, 0, services.clock.now())


async def _look_up(services: Services, transfer_id: int, begun: Sequence[str]) -> list[str]:
    """Of those whose call we may have made: keep what WeCom knows, return whom it does not know of."""
    found = await _results(services, transfer_id)
    known = [found[one] for one in begun if one in found and found[one].status != TransferStatus.NO_RECORD]
    waiting = {result.external_userid: result for result in known if result.status == TransferStatus.WAITING}
    # What ended for this pair earlier is another transfer: only what waits now can be ours.
    await services.db.write(_keep_waiting, transfer_id, list(waiting.values()))
    return [one for one in begun if one not in waiting]


def _keep_waiting(conn: Connection, transfer_id: int, results: Sequence[TransferResult]) -> None:
    store.save_planned(
        conn, transfer_id, {one.external_userid: one.takeover_at for one in results if one.takeover_at is not None}
    )
    store.save_waiting(conn, transfer_id, [one.external_userid for one in results if one.takeover_at is None])


async def _ask(services: Services, transfer_id: int, batch: Sequence[str], *, was_begun: bool = False) -> None:
    if not batch:
        return
    transfer = await services.db.read(store.get_transfer, transfer_id)
    assert transfer is not None  # noqa: S101 - its customers name it
    try:
        answered = await services.wecom.transfers.transfer_customer(
            transfer.handover_userid,
            transfer.takeover_userid,
            batch,
            resigned=transfer.resigned,
            transfer_success_msg=transfer.message,
        )
    except WeComError as error:
        if error.retry_class not in _FINAL:
            raise
        # The whole call was refused: none of them will ever be taken.
        answered = dict.fromkeys(batch, error.errcode)
        log.warning("transfer.refused", transfer=transfer_id, errcode=error.errcode)
    outcomes = {one: answered.get(one, 0) for one in batch}
    if was_begun:
        # Asked before and heard no answer: "in transfer" is our own doing, the poll will tell.
        outcomes = {one: 0 if errcode in _IN_TRANSFER else errcode for one, errcode in outcomes.items()}
    await services.db.write(_record, transfer_id, outcomes, services.clock.now())


def _record(conn: Connection, transfer_id: int, outcomes: dict[str, int], now: datetime) -> None:
    store.save_waiting(conn, transfer_id, [one for one, errcode in outcomes.items() if not errcode])
    by_code: dict[int, list[str]] = {}
    for one, errcode in outcomes.items():
        if errcode:
            by_code.setdefault(errcode, []).append(one)
    for errcode, customers in by_code.items():
        state = "limit" if errcode == 40099 else "failed"
        store.end_customers(conn, transfer_id, customers, state, words.reason(errcode), errcode=errcode, now=now)


async def run_poll(services: Services, item: queue.Claimed) -> None:
    """Work of kind transfer.poll: keep the results of one transfer, and plan the next look while any is missing."""
    transfer_id, number = int(item.payload["transfer_id"]), int(item.payload["number"])
    if not await services.db.read(store.list_waiting, transfer_id):
        return
    found = await _results(services, transfer_id)
    results = list(found.values())
    for start in range(0, len(results), 200):  # an import of results must not hold up a callback
        await services.db.write(
            _keep_results, services, transfer_id, results[start : start + 200], services.clock.now()
        )
    await services.db.write(_end_lost, transfer_id, set(found), services.clock.now())
    await services.db.write(_plan_poll, transfer_id, number + 1, services.clock.now())


async def _results(services: Services, transfer_id: int) -> dict[str, TransferResult]:
    transfer = await services.db.read(store.get_transfer, transfer_id)
    assert transfer is not None  # noqa: S101 - its work names it
    found: dict[str, TransferResult] = {}
    pages = services.wecom.transfers.transfer_result(
        transfer.handover_userid, transfer.takeover_userid, resigned=transfer.resigned
    )
    async for page in pages:
        found |= {result.external_userid: result for result in page.results}
    return found


def _keep_results(
    conn: Connection, services: Services, transfer_id: int, results: Sequence[TransferResult], now: datetime
) -> None:
    planned: dict[str, datetime] = {}
    for result in results:
        row = store.find_open(conn, transfer_id, result.external_userid)
        if row is None or row.asked_at is None:
            continue
        if result.status == TransferStatus.WAITING and result.takeover_at is not None:
            planned[result.external_userid] = result.takeover_at
        elif result.status == TransferStatus.DONE and not _is_earlier(result, row.asked_at):
            takeover.complete(conn, services, row, at=result.takeover_at or now, now=now)
        elif result.status in (TransferStatus.REFUSED, TransferStatus.TAKER_FULL):
            reason = "customer_refused" if result.status == TransferStatus.REFUSED else "customer_limit_exceed"
            takeover.fail(conn, row.takeover_userid, row.external_userid, reason, now=now)
    store.save_planned(conn, transfer_id, planned)


def _is_earlier(result: TransferResult, asked_at: datetime) -> bool:
    """Done before we asked: the record of an earlier transfer between the same two."""
    return result.takeover_at is not None and result.takeover_at < asked_at - timedelta(minutes=10)


def _end_lost(conn: Connection, transfer_id: int, known: set[str], now: datetime) -> None:
    """Nobody waits for ever: no record once it was due, or no end after a week."""
    for row in store.list_waiting(conn, transfer_id):
        asked_at = row.asked_at or now
        reason = ""
        if now - asked_at > _GIVE_UP:
            reason = words.UNSETTLED
        elif row.external_userid not in known and now - asked_at > _WAIT:
            reason = words.NO_RECORD
        if reason:
            store.end_customers(conn, transfer_id, [row.external_userid], "failed", reason, now=now)


def _plan_poll(conn: Connection, transfer_id: int, number: int, now: datetime) -> None:
    """Soon after asking (for refusals and the planned time), then when the first is planned, then hourly."""
    waiting = store.list_waiting(conn, transfer_id)
    if not waiting:
        return
    planned = min((row.takeover_at or (row.asked_at or now) + _WAIT for row in waiting), default=now + _WAIT)
    due_at = now + _FIRST_LOOK if number == 0 else max(planned + _AFTER_PLANNED, now + _BETWEEN)
    item = queue.Item(
        lane="bulk",
        kind=POLL,
        payload={"transfer_id": transfer_id, "number": number},
        due_at=due_at,
        dedupe_key=f"{POLL}:{transfer_id}:{number}",
    )
    queue.add(conn, item, now=now)
