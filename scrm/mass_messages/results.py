"""What became of mass messages: who confirmed, who got it, and what others sent to the same customers."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from scrm import events
from scrm.mass_messages import store
from scrm.mass_messages.dispatch import note_cancelled
from scrm.services import Services
from scrm.wecom.customer_messages import Sent
from scrm.wecom.errors import RetryClass, WeComError

log = structlog.get_logger()

AT_A_TIME = 10
CHUNK = 500
# How long results are asked for after a message was made, and how often: (younger than, every).
PACE = (
    (timedelta(hours=1), timedelta(minutes=2)),
    (timedelta(days=1), timedelta(minutes=10)),
    (timedelta(days=14), timedelta(hours=1)),
)
CANCELLED_ALREADY = 41093
FOREIGN_SPAN = timedelta(days=2)
_STATES = {2: "not_friend", 3: "capped"}


async def poll(services: Services) -> int:
    """The tick: ask for the results that are due; returns how many parts were asked for."""
    now = services.clock.now()
    if not await services.db.read(store.has_pollable, now):
        return 0
    rows = await services.db.write(store.claim_pollable, now, now + PACE[0][1], AT_A_TIME)
    for row in rows:
        try:
            await (_stop_again if row.message_state == "cancelled" else poll_part)(services, row)
        except WeComError as error:
            log.warning("mass_message.poll_failed", part=row.id, errcode=error.errcode)
            await _note_trouble(services, row, error)
    return len(rows)


async def _note_trouble(services: Services, row: Row[Any], error: WeComError) -> None:
    if error.errcode == CANCELLED_ALREADY:
        await services.db.write(note_cancelled, row.id, services.clock.now())
    elif error.retry_class in (RetryClass.PARAMETER, RetryClass.CONFIGURATION, RetryClass.WINDOW):
        await services.db.write(store.change_part, row.id, poll_at=services.clock.now() + timedelta(hours=1))


async def poll_part(services: Services, row: Row[Any]) -> None:
    """One part's confirmation and results; when everything is known, or after two weeks, it is done."""
    confirmed_at = await _read(services, row)
    await services.db.write(_settle, row.id, confirmed_at, services.clock.now())


async def stop_part(services: Services, row: Row[Any]) -> None:
    """Stop a part at WeCom (doc 97611); who got it before keeps it. The same again does no harm; raises WeComError.

    The tick comes back to what was cut off here, or what WeCom refused for now: until then its member may still send it.
    """
    try:
        await services.wecom.customer_messages.cancel_groupmsg_send(row.msgid)
    except WeComError as error:
        if error.errcode != CANCELLED_ALREADY:
            raise
    confirmed_at = await _read(services, row)
    if confirmed_at is None:
        await services.db.write(note_cancelled, row.id, services.clock.now())
    else:
        await services.db.write(_settle, row.id, confirmed_at, services.clock.now())


async def _stop_again(services: Services, row: Row[Any]) -> None:
    """What WeCom will not stop at all goes on, and is told as it goes."""
    try:
        await stop_part(services, row)
    except WeComError as error:
        if error.retry_class not in (RetryClass.PARAMETER, RetryClass.RELATION):
            raise
        log.warning("mass_message.not_stopped", part=row.id, errcode=error.errcode)
        await poll_part(services, row)


async def _read(services: Services, row: Row[Any]) -> datetime | None:
    """Keeps who got it; returns when its member confirmed it."""
    messages, msgid = services.wecom.customer_messages, row.msgid.partition("#")[0]
    confirmed_at: datetime | None = row.confirmed_at
    async for task in messages.get_groupmsg_task(msgid):
        if task.userid.lower() == row.userid.lower() and task.is_sent:
            confirmed_at = task.sent_at or services.clock.now()
    if confirmed_at is not None:
        async for some in _in_chunks(messages.get_groupmsg_send_result(msgid, row.userid)):
            await services.db.write(apply_results, row, some, services.clock.now())
    return confirmed_at


async def _in_chunks(results: AsyncIterator[Sent]) -> AsyncIterator[list[Sent]]:
    some: list[Sent] = []
    async for one in results:
        some.append(one)
        if len(some) == CHUNK:
            yield some
            some = []
    if some:
        yield some


def apply_results(conn: Connection, row: Row[Any], results: list[Sent], now: datetime) -> None:
    """Move customers on; each one who got it has a line on his timeline, once."""
    sent = {each.target: each.sent_at or now for each in results if each.status == 1}
    message = store.find_message(conn, row.mass_message_id)
    assert message is not None  # noqa: S101 - messages are never deleted
    if message.kind == "group" or message.origin not in ("own", "playbook"):
        store.add_found(conn, row, sent)
    news = store.note_sent(conn, row.id, sent)
    for status, state in _STATES.items():
        targets = [each.target for each in results if each.status == status]
        if targets:
            store.move_targets(conn, row.id, state, before=("planned", "waiting", "cancelled"), only=targets)
    told = [
        events.Event(
            "mass_message.sent",
            sent[each.target],
            each.person_id,
            each.target,
            each.userid,
            key=str(row.mass_message_id),
            facts={"title": message.title, "text": message.text[:200], "origin": message.origin},
            once=f"mass_message.sent:{row.mass_message_id}:{each.target}",
        )
        for each in news
        if each.person_id is not None
    ]
    events.record(conn, told, now=now)


def _settle(conn: Connection, part_id: int, confirmed_at: datetime | None, now: datetime) -> None:
    part = store.lock_part(conn, part_id)
    if part.state != "created":
        return
    age = now - part.created_at
    every = next((pause for younger, pause in PACE if age < younger), None)
    is_known = confirmed_at is not None and store.count_waiting(conn, part_id) == 0
    if not is_known and every is not None:
        store.change_part(conn, part_id, confirmed_at=confirmed_at, poll_at=now + every)
        return
    store.move_targets(conn, part_id, "unsent", before=("waiting",))
    reason = "" if confirmed_at is not None else "员工一直没有确认发送"
    store.change_part(conn, part_id, confirmed_at=confirmed_at, poll_at=None, state="done", reason=reason)
    store.end_if_over(conn, part.mass_message_id, now)


async def notice_others(services: Services) -> int:
    """The hourly tick: mass messages that members or other systems made count for the quota too."""
    now, found = services.clock.now(), 0
    messages = services.wecom.customer_messages
    for kind in ("single", "group"):
        async for each in messages.get_groupmsg_list_v2(kind, now - FOREIGN_SPAN, now):
            if await services.db.read(store.known_msgids, [each.msgid]):
                continue
            if each.is_corp and not each.creator and await services.db.read(store.has_intents):
                continue  # perhaps ours, and still being looked for
            try:
                userids = (
                    {each.creator}
                    if each.creator
                    else {task.userid async for task in messages.get_groupmsg_task(each.msgid)}
                )
            except WeComError as error:
                log.warning("mass_message.other_unreadable", errcode=error.errcode)
                continue
            values = {
                "kind": kind,
                "origin": "corp" if each.is_corp else "personal",
                "text": each.text[:2000],
                "state": "running",
                "once": each.msgid[:64],
                "created_by": each.creator,
                "created_at": each.created_at,
            }
            found += await services.db.write(store.add_foreign, values, userids, each.created_at, now)
    return found
