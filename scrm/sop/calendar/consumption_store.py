"""SQL of how long goods last: who bought them when, and what that came to; counted anew every day."""

from collections.abc import Collection
from datetime import datetime, timedelta
from statistics import median
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, or_, select, text

from scrm.commerce.models import IS_PURCHASE, order_line, orders
from scrm.db import upsert
from scrm.events import Event
from scrm.services import Services
from scrm.sop.calendar import consumption
from scrm.sop.calendar.consumption import Bought, Cycle
from scrm.sop.calendar.tables import consumption_cycle
from scrm.sop.schema import Playbook, Trigger
from scrm.sop.shelf import playbooks_of

TICK_SECONDS = 600.0
_COUNTED_EVERY = timedelta(days=1)
# The newest orders say how long it lasts today.
_LOOKED_BACK = timedelta(days=730)
_MOST_LINES = 50_000


async def tick(services: Services) -> int:
    """Count anew what is a day old; returns for how many playbooks."""
    zone, now = services.settings.shop.zone, services.clock.now()
    wanted = [each for each in playbooks_of(services).current.values() if each.trigger.anchor == consumption.ANCHOR]
    fresh = await services.db.read(_list_fresh, now) if wanted else set()
    counted = 0
    for playbook in wanted:
        if playbook.key not in fresh:
            gaps = await services.db.read(_gaps, playbook.trigger, zone, now)
            await services.db.write(_save, playbook.key, gaps, now)
            counted += 1
    return counted


def used_up_at(conn: Connection, playbook: Playbook, event: Event, zone: ZoneInfo) -> tuple[datetime, Cycle]:
    """When what this event tells of is gone, and how that is known."""
    own = _list_bought(conn, consumption.skus_of(playbook.trigger), zone, person_id=event.person_id)
    cycle = consumption.choose(own, _find(conn, playbook.key), playbook.trigger.cycle or timedelta(days=30))
    return consumption.used_up_at(event, cycle, zone), cycle


def _gaps(conn: Connection, trigger: Trigger, zone: ZoneInfo, now: datetime) -> list[float]:
    bought = _list_bought(conn, consumption.skus_of(trigger), zone, since=now - _LOOKED_BACK)
    return consumption.gaps(sorted(bought))


def _list_bought(
    conn: Connection,
    skus: Collection[str],
    zone: ZoneInfo,
    *,
    person_id: int | None = None,
    since: datetime | None = None,
) -> list[Bought]:
    """The newest lines with one of these codes that were paid for and kept, of one person or of everybody."""
    bought = select(orders.c.id, orders.c.person_id, orders.c.paid_at).where(
        text(IS_PURCHASE), orders.c.person_id.is_not(None)
    )
    if person_id is not None:
        bought = bought.where(orders.c.person_id == person_id)
    if since is not None:
        bought = bought.where(orders.c.paid_at >= since)
    line, order = order_line.c, bought.subquery("bought").c
    query = (
        select(order.person_id, order.paid_at, line.qty, line.refunded_qty)
        .join(order_line, line.order_id == order.id)
        .where(
            line.is_gift.is_(False),
            line.refunded_qty < line.qty,
            or_(line.merchant_sku.in_(list(skus)), line.platform_sku_id.in_(list(skus))),
        )
        .order_by(order.paid_at.desc())
        .limit(_MOST_LINES)
    )
    rows = conn.execute(query).all()
    return [Bought(row.person_id, row.paid_at.astimezone(zone).date(), row.qty - row.refunded_qty) for row in rows]


def _list_fresh(conn: Connection, now: datetime) -> set[str]:
    c = consumption_cycle.c
    return set(conn.scalars(select(c.playbook_key).where(c.counted_at > now - _COUNTED_EVERY)))


def _find(conn: Connection, playbook_key: str) -> tuple[float, int] | None:
    c = consumption_cycle.c
    row = conn.execute(select(c.days, c.samples).where(c.playbook_key == playbook_key)).one_or_none()
    return None if row is None else (row.days, row.samples)


def _save(conn: Connection, playbook_key: str, gaps: list[float], now: datetime) -> None:
    values = {"days": median(gaps) if gaps else 0.0, "samples": len(gaps), "counted_at": now}
    insert = upsert(consumption_cycle, conn).values(playbook_key=playbook_key, **values)
    conn.execute(insert.on_conflict_do_update(index_elements=["playbook_key"], set_=values))
