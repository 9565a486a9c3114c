"""Tells other systems of events: one at a time for each, the oldest first, until it has arrived.

A delivery is on disk before its call and keeps its id at every try, also after a crash: at least once, and whoever
remembers ids hears of each event once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection, Row
from yarl import URL

from scrm import events
from scrm.clock import monotonic
from scrm.outgoing import Call, Refused, Target, ask, post, receipt_of
from scrm.services import Services
from scrm.sop.members import notice_store
from scrm.webhooks import store
from scrm.work import queue
from scrm.work.retry import TryAgain

log = structlog.get_logger()

TICK_SECONDS = 20.0
# Events of one moment are put in order before the first goes out.
SETTLES_IN = timedelta(seconds=1)
# Before the second, third ... try; the last one again and again.
DELAYS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
# So many refusals in a row, and nobody is listening there.
MOST_REFUSALS = 20
_AT_ONCE = 100
# For the whole call, with its answer.
CALL_SECONDS = 10.0
_GONE = 410
TEST = "webhook.test"
_FORGOTTEN = "客户资料已删除，不再推送"


@dataclass(frozen=True, slots=True)
class _Due:
    """What is to be told now, and to whom."""

    row: Row[Any]
    delivery: Row[Any]
    event: events.Event | None


async def run_event(services: Services, item: queue.Claimed) -> None:
    """Part of the work of every event: book it for those who want to hear of it."""
    if not await services.db.read(store.has_any):
        return
    told = await services.db.read(events.get_event, int(item.payload["event_id"]))
    if told is not None:
        now = services.clock.now()
        await services.db.write(store.book, told.id, told.name, now=now, due_at=now + SETTLES_IN)


async def run_deliver(services: Services, item: queue.Claimed) -> None:
    """Work of kind "webhook.deliver": all that waits for one webhook; raises TryAgain while it cannot be reached."""
    webhook_id = int(item.payload["webhook_id"])
    await services.db.write(queue.give_up_dedupe_key, item.id)
    for _ in range(_AT_ONCE):
        due = await services.db.read(_find_due, webhook_id)
        if due is None:
            return
        await _tell(services, due, item)
    await services.db.write(store.wake, webhook_id, now=services.clock.now())


def _find_due(conn: Connection, webhook_id: int) -> _Due | None:
    row = store.find_webhook(conn, webhook_id)
    if row is None or row.state != "on":
        return None
    delivery = store.next_waiting(conn, webhook_id)
    return None if delivery is None else _Due(row, delivery, events.get_event(conn, delivery.event_id))


async def _tell(services: Services, due: _Due, item: queue.Claimed) -> None:
    if due.event is None:
        await services.db.write(store.note_try, due.delivery.id, "failed", _FORGOTTEN, services.clock.now())
        return
    try:
        receipt = await post(services.http, _call(services, due, due.event), services.clock.now())
    except Refused as refusal:
        await services.db.write(_note_refusal, due, refusal, services.clock.now())
    except TryAgain as trouble:
        longest = timedelta(hours=services.settings.webhooks.pause_after_hours)
        if not await services.db.write(_note_trouble, due, str(trouble), services.clock.now(), longest):
            raise _later(trouble, due.delivery.attempts, item.attempts) from None
    else:
        await services.db.write(_note_arrival, due, receipt, services.clock.now())


def _later(trouble: TryAgain, tries: int, of_item: int) -> TryAgain:
    """The next try of a delivery depends on its own tries, not on how often its item of work was taken up. Pure."""
    waits = trouble.retry_after or DELAYS[min(tries, len(DELAYS) - 1)]
    return TryAgain(str(trouble), delays=(waits,) * of_item)


def _call(services: Services, due: _Due, told: events.Event) -> Call:
    headers = {"X-Scrm-Event": told.name, "X-Scrm-Delivery": str(due.delivery.id)}
    body = msgspec.json.encode(body_of(due.delivery.id, told))
    return Call(_target(services, due.row), key_of(due.delivery.id), body, headers)


def _target(services: Services, row: Row[Any]) -> Target:
    allow_private = services.settings.webhooks.allow_private
    return Target(URL(row.url), services.vault.open(row.secret_sealed), allow_private, CALL_SECONDS)


def key_of(delivery_id: int) -> str:
    """The same at every try and at every replay."""
    return f"webhook:{delivery_id}"


def body_of(delivery_id: int, told: events.Event) -> dict[str, Any]:
    """What is sent; phones and addresses are asked for by the API. Pure."""
    return {
        "id": key_of(delivery_id),
        "type": told.name,
        "event_id": told.id,
        "occurred_at": told.occurred_at.isoformat(),
        "customer": {"id": told.person_id, "external_userid": told.external_userid},
        "member": {"userid": told.userid},
        "key": told.key,
        "facts": told.facts,
    }


def _note_arrival(conn: Connection, due: _Due, receipt: str, now: datetime) -> None:
    store.note_try(conn, due.delivery.id, "done", receipt, now)
    if due.row.failing_since is not None or due.row.refusals:
        store.note_health(conn, due.row.id, failing_since=None, refusals=0)


def _note_refusal(conn: Connection, due: _Due, refusal: Refused, now: datetime) -> None:
    """A refused one is not tried again by itself, and the next may go."""
    store.note_try(conn, due.delivery.id, "failed", refusal.text, now)
    refusals = due.row.refusals + 1
    store.note_health(conn, due.row.id, refusals=refusals, failing_since=due.row.failing_since or now)
    if refusal.details.get("status") == _GONE:
        _pause(conn, due.row, "对方说这个地址已经停用（HTTP 410）", now)
    elif refusals >= MOST_REFUSALS:
        _pause(conn, due.row, f"连续 {refusals} 条被拒收，最近一次：{refusal.text}", now)


def _note_trouble(conn: Connection, due: _Due, words: str, now: datetime, longest: timedelta) -> bool:
    """Whether it has lasted so long that the webhook is paused; the delivery waits either way."""
    since = due.row.failing_since or now
    store.note_try(conn, due.delivery.id, "waiting", words, now)
    store.note_health(conn, due.row.id, failing_since=since)
    if now - since < longest:
        return False
    _pause(conn, due.row, f"{longest // timedelta(hours=1)} 小时没有推送成功，最近一次：{words}", now)
    return True


def _pause(conn: Connection, row: Row[Any], why: str, now: datetime) -> None:
    """The administrators are told once for each time."""
    store.note_health(conn, row.id, state="paused", paused_why=why[:300])
    notice_store.add_notices(conn, [_notice(row, why, now)])
    log.warning("webhooks.paused", webhook=row.id)


def _notice(row: Row[Any], why: str, now: datetime) -> dict[str, Any]:
    return {
        "once": f"webhook:{row.id}:{int(now.timestamp())}",
        "userid": "",
        "notify": "role:administrator",
        "title": f"事件推送“{row.title}”已暂停"[:120],
        "text": f"{why}。新的事件会先留着，修好后在后台「事件推送」点恢复，会按顺序补发。",
        "is_urgent": True,
        "state": "waiting",
        "look_at": now,
        "created_at": now,
    }


# To try it out --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a sample; `status` is None when nobody answered, `answer` the beginning of what was said."""

    is_good: bool
    words: str
    status: int | None
    seconds: float
    sent: str
    answer: str


async def try_out(services: Services, webhook_id: int) -> Trial:
    """Sends a signed sample now, also to a paused one; nothing waits for it and nothing is kept of it."""
    row, now = await services.db.read(store.get_webhook, webhook_id), services.clock.now()
    key = f"{TEST}:{webhook_id}:{int(now.timestamp())}"
    body = msgspec.json.encode({**body_of(0, events.Event(TEST, now, None)), "id": key})
    began = monotonic()
    status, answer, is_good = None, "", False
    try:
        call = Call(_target(services, row), key, body, {"X-Scrm-Event": TEST})
        said = await ask(services.http, call, now)
        status, answer = said.status, _readable(said.body)
        words = receipt_of(said) or "对方已收下"
        is_good = True
    except (Refused, TryAgain) as trouble:
        words = trouble.text if isinstance(trouble, Refused) else str(trouble)
    return Trial(is_good, words, status, monotonic() - began, body.decode(), answer)


def _readable(body: bytes) -> str:
    text = body[:1000].decode("utf-8", "replace")
    return "".join(each if each.isprintable() or each == "\n" else " " for each in text)[:300].strip()


async def tick(services: Services) -> None:
    """A safety net: what waits and has no work is given some, and what is old goes."""
    now, settings = services.clock.now(), services.settings.webhooks
    if not await services.db.read(store.has_any):
        return
    for webhook_id in await services.db.read(store.list_waiting_webhooks):
        await services.db.write(store.wake, webhook_id, now=now)
    await services.db.write(store.clear, now - timedelta(days=settings.keep_days))


EXECUTORS = {store.KIND: run_deliver}
