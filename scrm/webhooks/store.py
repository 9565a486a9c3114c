"""All SQL about webhooks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, literal_column, select, update

from scrm import audit
from scrm.db import insert_for
from scrm.errors import NotFound
from scrm.webhooks.models import webhook, webhook_delivery
from scrm.webhooks.wanted import Wanted, wants
from scrm.work import queue

KIND, _LANE = "webhook.deliver", "outward"
_WAITS: ColumnElement[bool] = literal_column("webhook_delivery.state = 'waiting'")
MOST = 50


def list_webhooks(conn: Connection) -> Sequence[Row[Any]]:
    """The oldest first."""
    return conn.execute(select(webhook).order_by(webhook.c.id)).all()


def get_webhook(conn: Connection, webhook_id: int) -> Row[Any]:
    """Raises NotFound."""
    row = find_webhook(conn, webhook_id)
    if row is None:
        raise NotFound("没有这个推送，可能已被删除")
    return row


def find_webhook(conn: Connection, webhook_id: int) -> Row[Any] | None:
    return conn.execute(select(webhook).where(webhook.c.id == webhook_id)).one_or_none()


def add_webhook(conn: Connection, wanted: Wanted, sealed: str, hint: str, *, by: str, now: datetime) -> int:
    """The new one's id; it hears of what happens from now on."""
    values = {"title": wanted.title, "url": wanted.url, "events": list(wanted.events)}
    row = {**values, "secret_sealed": sealed, "hint": hint, "state": "on", "created_by": by[:100], "created_at": now}
    webhook_id: int = conn.execute(webhook.insert().values(**row).returning(webhook.c.id)).scalar_one()
    audit.changed(conn, "webhook", webhook_id, None, values)
    return webhook_id


def change_webhook(conn: Connection, /, webhook_id: int, **values: Any) -> None:
    """Raises NotFound."""
    get_webhook(conn, webhook_id)
    with audit.watched(conn, "webhook", webhook_id, select(webhook).where(webhook.c.id == webhook_id)):
        conn.execute(update(webhook).where(webhook.c.id == webhook_id).values(**values))


def drop_webhook(conn: Connection, webhook_id: int) -> None:
    """With what waits for it and its log; raises NotFound."""
    row = get_webhook(conn, webhook_id)
    audit.changed(conn, "webhook", webhook_id, {"title": row.title, "url": row.url}, None)
    conn.execute(delete(webhook_delivery).where(webhook_delivery.c.webhook_id == webhook_id))
    conn.execute(delete(webhook).where(webhook.c.id == webhook_id))


def resume(conn: Connection, webhook_id: int, *, now: datetime) -> None:
    """What waits goes out, the oldest first; raises NotFound."""
    change_webhook(conn, webhook_id, state="on", paused_why="", failing_since=None, refusals=0)
    hasten(conn, webhook_id, now=now)


def note_health(conn: Connection, webhook_id: int, **values: Any) -> None:
    """How its calls go: bookkeeping, not a change that somebody made."""
    conn.execute(update(webhook).where(webhook.c.id == webhook_id).values(**values))


# What is to be told -------------------------------------------------------------------------------------------------


def book(conn: Connection, event_id: int, name: str, *, now: datetime, due_at: datetime) -> int:
    """A delivery for everybody who wants to hear of an event; told twice it is one. Returns how many are new."""
    booked = 0
    for row in conn.execute(select(webhook.c.id, webhook.c.events).order_by(webhook.c.id)).all():
        if wants(row.events, name) and _add(conn, row.id, event_id, name, now):
            wake(conn, row.id, now=now, due_at=due_at)
            booked += 1
    return booked


def _add(conn: Connection, webhook_id: int, event_id: int, name: str, now: datetime) -> bool:
    values = {"webhook_id": webhook_id, "event_id": event_id, "name": name, "state": "waiting", "created_at": now}
    added = insert_for(conn.dialect.name, webhook_delivery).on_conflict_do_nothing().returning(webhook_delivery.c.id)
    return conn.execute(added, values).first() is not None


def has_any(conn: Connection) -> bool:
    return conn.execute(select(webhook.c.id).limit(1)).first() is not None


def hasten(conn: Connection, webhook_id: int, *, now: datetime) -> None:
    """`wake` by somebody who has mended it: the next try does not wait for its time either."""
    queue.hasten(conn, _LANE, _key(webhook_id), now=now)
    wake(conn, webhook_id, now=now)


def wake(conn: Connection, webhook_id: int, *, now: datetime, due_at: datetime | None = None) -> None:
    """One item of work for all that waits for a webhook; `begin` lets the next come."""
    key = _key(webhook_id)
    item = queue.Item(_LANE, KIND, {"webhook_id": webhook_id}, due_at=due_at, order_key=key, dedupe_key=key)
    queue.add(conn, item, now=now)


def _key(webhook_id: int) -> str:
    return f"webhook:{webhook_id}"


def next_waiting(conn: Connection, webhook_id: int) -> Row[Any] | None:
    """The oldest event that is not told yet."""
    query = select(webhook_delivery).where(_WAITS, webhook_delivery.c.webhook_id == webhook_id)
    return conn.execute(query.order_by(webhook_delivery.c.event_id).limit(1)).one_or_none()


def list_waiting_webhooks(conn: Connection) -> list[int]:
    """Those that are on and have something to be told."""
    waits = select(webhook_delivery.c.id).where(_WAITS, webhook_delivery.c.webhook_id == webhook.c.id).exists()
    return list(conn.scalars(select(webhook.c.id).where(webhook.c.state == "on", waits)))


def note_try(conn: Connection, delivery_id: int, state: str, said: str, now: datetime) -> None:
    """How a try went."""
    values = {"state": state, "said": said[:300], "tried_at": now, "attempts": webhook_delivery.c.attempts + 1}
    conn.execute(update(webhook_delivery).where(webhook_delivery.c.id == delivery_id).values(**values))


def list_deliveries(
    conn: Connection, webhook_id: int, *, state: str = "", before: int | None = None, limit: int = MOST
) -> Sequence[Row[Any]]:
    """The newest first; `before` is the id of the last one already seen."""
    query = select(webhook_delivery).where(webhook_delivery.c.webhook_id == webhook_id)
    if state:
        query = query.where(webhook_delivery.c.state == state)
    if before is not None:
        query = query.where(webhook_delivery.c.id < before)
    return conn.execute(query.order_by(webhook_delivery.c.id.desc()).limit(limit)).all()


def count_waiting(conn: Connection, most: int = 10_000) -> dict[int, int]:
    """How many wait, by webhook; not counted beyond `most` in all."""
    some = select(webhook_delivery.c.webhook_id).where(_WAITS).limit(most).subquery()
    return {row[0]: row[1] for row in conn.execute(select(some.c.webhook_id, func.count()).group_by(some.c.webhook_id))}


def replay(conn: Connection, webhook_id: int, delivery_id: int, *, now: datetime) -> None:
    """Tell it again, under the same id; raises NotFound."""
    which = (webhook_delivery.c.webhook_id == webhook_id, webhook_delivery.c.id == delivery_id)
    again = update(webhook_delivery).where(*which).values(state="waiting", attempts=0)
    if conn.execute(again.returning(webhook_delivery.c.id)).first() is None:
        raise NotFound("没有这条推送记录，可能已经过了保留期")
    hasten(conn, webhook_id, now=now)


def replay_failed(conn: Connection, webhook_id: int, *, now: datetime) -> int:
    """All that failed, again; returns how many."""
    which = (webhook_delivery.c.webhook_id == webhook_id, webhook_delivery.c.state == "failed")
    count = conn.execute(update(webhook_delivery).where(*which).values(state="waiting", attempts=0)).rowcount
    if count:
        hasten(conn, webhook_id, now=now)
    return count


def clear(conn: Connection, before: datetime, limit: int = 5000) -> int:
    """Deliveries older than `before` go, whatever became of them; returns how many."""
    old = select(webhook_delivery.c.id).where(webhook_delivery.c.created_at < before).limit(limit)
    return conn.execute(delete(webhook_delivery).where(webhook_delivery.c.id.in_(old))).rowcount
