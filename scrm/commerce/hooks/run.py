"""Work of the lane `hook`: read kept messages in batches, save their orders, ask for those that only named one."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from scrm.commerce import status_words
from scrm.commerce import store as order_store
from scrm.commerce.canonical import Order, read_order
from scrm.commerce.connectors.hook import Hook, Reading, Unreadable
from scrm.commerce.hooks import store
from scrm.commerce.hooks.inbox import APPLY, LANE, unseal
from scrm.commerce.hooks.kinds import Hooks, hooks_of
from scrm.commerce.hooks.masking import cover_phones
from scrm.commerce.hooks.metrics import HOOK_MESSAGES
from scrm.commerce.hooks.store import Message
from scrm.db import Priority
from scrm.db.row_errors import ABOUT_A_ROW
from scrm.db.vault import Vault
from scrm.errors import Invalid
from scrm.services import Services
from scrm.work import queue
from scrm.work.queue import Claimed

log = structlog.get_logger()

FETCH = "hooks.fetch"

# Small enough that a callback never waits long for SQLite's only writer.
BATCH = 100
# Messages about one order within as many seconds are one question.
_BUCKET = 5
_GIVE_UP = timedelta(hours=6)


async def run_apply(services: Services, item: Claimed) -> None:
    """Everything that waits, batch by batch; other items of this kind find nothing left and are taken along."""
    hooks = hooks_of(services)
    # Read before the messages: what was committed with these items is among what is read next.
    others = await services.db.read(store.list_waiting_items)
    while rows := await services.db.read(store.list_new, BATCH):
        await services.worker.give_way()
        messages = await asyncio.to_thread(_read_all, rows, hooks, services.vault, services.clock.now())
        await _apply(services, messages)
        for message in messages:
            HOOK_MESSAGES.labels(message.source, message.state).inc()
    if others:
        await services.db.write(queue.finish, others)


async def _apply(services: Services, messages: list[Message]) -> None:
    """All in one transaction; where one of them cannot be kept, one by one."""
    now, vault = services.clock.now(), services.vault
    try:
        await services.db.write_as(Priority.IMPORT, store.apply, messages, now=now, vault=vault)
        return
    except ABOUT_A_ROW as error:
        if len(messages) == 1:
            log.error("hook.failed", source=messages[0].source, message=messages[0].id, error=type(error).__name__)
            _end(messages[0], f"保存订单时出错：{type(error).__name__}: {error}"[:300])
            await services.db.write_as(Priority.IMPORT, store.apply, messages, now=now, vault=vault)
            return
    for message in messages:
        await _apply(services, [message])


def _end(message: Message, reason: str, state: store.State = "failed") -> None:
    message.state, message.reason = state, cover_phones(reason)
    message.orders, message.fetch, message.is_flawed = [], [], False


def _read_all(rows: Sequence[Row[Any]], hooks: Hooks, vault: Vault, now: datetime) -> list[Message]:
    return [_read(row, hooks, vault, now) for row in rows]


def _read(row: Row[Any], hooks: Hooks, vault: Vault, now: datetime) -> Message:
    message = Message(row.id, row.source, row.subject, row.version)
    hook = hooks.get(row.source)
    if hook is None:
        _end(message, f"设置里已经没有来源 {row.source}，配置好以后可以重放")
        return message
    try:
        reading = hook.read(row.topic, unseal(vault, row.body_sealed))
        message.orders, flaw = _orders_of(reading)
    except Unreadable as error:
        log.warning("hook.unreadable", source=row.source, topic=row.topic, message=row.id)
        _end(message, str(error), "unreadable")
        return message
    except Exception as error:
        # A connector that stumbles over a shape it never saw: kept, shown, and replayed after a mend.
        log.exception("hook.failed", source=row.source, topic=row.topic, message=row.id, error=type(error).__name__)
        _end(message, f"读取时出错：{type(error).__name__}: {error}"[:300])
        return message
    _follow(message, hook, reading.numbers, now)
    message.order_no = message.orders[0].order_no if message.orders else next(iter(reading.numbers), "")
    if not message.orders and not reading.numbers and not flaw:
        message.state = "unused"
    message.reason = cover_phones(flaw or message.reason or reading.note)
    message.is_flawed = bool(flaw)
    return message


def _orders_of(reading: Reading) -> tuple[list[Order], str]:
    """The orders that can be kept, and what is wrong with the others; raises Unreadable when there is none."""
    good, wrong = [], [reading.flaw] if reading.flaw else []
    for one in reading.orders:
        try:
            good.append(read_order(one))
        except Invalid as error:
            wrong.append(f"{one.get('order_no', '')}：{error.text}")
    flaw = "；".join(wrong[:5])
    if flaw and not good and not reading.numbers:
        raise Unreadable(flaw)
    return good, flaw


def _follow(message: Message, hook: Hook, numbers: Sequence[str], now: datetime) -> None:
    """Orders of which only the number was told are asked for, if we have the keys."""
    if numbers and not hook.can_fetch():
        message.reason = "推送里只有单号，没有配置拉取订单的密钥，所以只更新了状态，没有金额和商品"
        return
    bucket = int(now.timestamp()) // _BUCKET + 1
    due_at = datetime.fromtimestamp(bucket * _BUCKET, tz=now.tzinfo)
    message.fetch = [
        queue.Item(
            lane=LANE,
            kind=FETCH,
            payload={"source": hook.key, "number": number},
            due_at=due_at,
            order_key=f"{hook.key}:{number}"[:120],
            dedupe_key=f"hooks:{hook.key}:{number}:{bucket}"[:160],
            give_up_at=now + _GIVE_UP,
        )
        for number in numbers
    ]


async def run_fetch(services: Services, item: Claimed) -> None:
    """One order by its number, from the platform's API; raises what makes the worker try again."""
    source, number = item.payload["source"], item.payload["number"]
    hook = hooks_of(services).get(source)
    if hook is None or not hook.can_fetch():
        return
    found = await hook.fetch(services.http, number, services.clock.now())
    orders: list[Order] = [read_order(one) for one in found]
    await services.db.write_as(
        Priority.IMPORT, _save_fetched, source, orders, now=services.clock.now(), vault=services.vault
    )


def _save_fetched(conn: Connection, source: str, orders: list[Order], *, now: datetime, vault: Vault) -> None:
    status_words.settle(conn, source, orders, now=now)
    order_store.save_orders(conn, orders, now=now, vault=vault, route="api")


async def tick(services: Services) -> None:
    """Work for messages that lost theirs, and old bodies emptied."""
    now = services.clock.now()
    await services.db.write_as(Priority.IMPORT, store.wake, now=now)
    keep = services.settings.retention
    await services.db.write_as(
        Priority.IMPORT, store.clear, now=now, body_days=keep.hook_body_days, days=keep.hook_days
    )


EXECUTORS = {APPLY: run_apply, FETCH: run_fetch}
