"""Orders bound to persons: when somebody becomes known, and by a member's hand, which can be taken back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, literal_column, select, update

from scrm import events
from scrm.commerce.kept import Kept, Step, follow, load_kept, take_turn, write_rows
from scrm.commerce.models import orders
from scrm.commerce.order_events import event_key
from scrm.commerce.running_totals import move_totals
from scrm.commerce.totals import NOTHING, Change
from scrm.errors import Conflict, NotFound


def bind_orders(
    conn: Connection,
    person_id: int,
    *,
    unionid: str | None = None,
    phone_lookup: str | None = None,
    now: datetime,
    is_news: bool = True,
) -> int:
    """Give a person the orders that waited for this unionid or phone; returns how many. Totals and events follow.

    What a first sync finds is no news: it starts no playbook.
    """
    take_turn(conn)
    bound = 0
    for column, value, way in (
        (orders.c.buyer_unionid, unionid, "unionid"),
        (orders.c.buyer_phone_lookup, phone_lookup, "phone"),
    ):
        if value:
            # Said again in words, so that the index of waiting orders is used.
            told: ColumnElement[bool] = literal_column(f"orders.{column.name} <> ''")
            waiting = conn.execute(select(orders.c.id).where(column == value, orders.c.person_id.is_(None), told))
            bound += _bind(conn, list(waiting.scalars()), person_id, way, now, is_news=is_news)
    return bound


@dataclass(frozen=True, slots=True)
class Unbound:
    """Whose order it was, and the ids of the events that are untold."""

    person_id: int
    event_ids: list[int]


def bind_order_manually(conn: Connection, order_id: int, person_id: int, userid: str, now: datetime) -> bool:
    """A member says whose order it is; False when it was this person's already.

    Raises NotFound for an unknown order, Conflict when it belongs to somebody else.
    """
    take_turn(conn)
    row = conn.execute(select(orders).where(orders.c.id == order_id)).mappings().one_or_none()
    if row is None:
        raise NotFound("没有找到这个订单，请核对订单号")
    if row["person_id"] == person_id:
        return False
    if row["person_id"] is not None:
        raise Conflict("这个订单已经属于另一位客户，不能再绑定。如果是同一个人，请联系管理员合并客户")
    _bind(conn, [order_id], person_id, "staff", now)
    told = events.Event(
        name="order.bound",
        occurred_at=now,
        person_id=person_id,
        userid=userid,
        key=event_key(dict(row)),
        facts={"order_id": order_id, "order_no": row["order_no"], "channel": row["channel"], "by": userid},
        once=f"order.bound:{order_id}:{person_id}",
    )
    events.publish(conn, [told], now=now)
    return True


def unbind_order(conn: Connection, order_id: int, userid: str, *, since: datetime, now: datetime) -> Unbound:
    """A member takes back what he bound himself since then: nobody's order again, and what it told is untold.

    Raises Conflict when it is too late, or when somebody else bound it.
    """
    take_turn(conn)
    before = load_kept(conn, [order_id]).get(order_id)
    person_id = before.row["person_id"] if before is not None else None
    if before is None or person_id is None or before.row["bound_by"] != "staff":
        raise Conflict("这个订单不是手动绑定的，不能撤销")
    told = events.event
    mine = told.c.person_id == person_id, told.c.key == event_key(before.row)
    bound = conn.execute(
        select(told.c.id, told.c.userid, told.c.occurred_at)
        .where(*mine, told.c.name == "order.bound")
        .order_by(told.c.id.desc())
        .limit(1)
    ).one_or_none()
    if bound is None or bound.userid.lower() != userid.lower() or bound.occurred_at < since:
        raise Conflict("只能在绑定后的 10 分钟内由绑定的人撤销，之后请联系管理员")
    after = Kept(
        before.row | {"person_id": None, "bound_by": ""},
        before.lines,
        before.payments,
        before.shipments,
        before.refunds,
    )
    write_rows(conn, [Step(after, before, "updated")])
    change = Change()
    change.move(before.share(), NOTHING)
    move_totals(conn, {person_id: change})
    # What the order told of this person never was so; whom it is given to next is told anew.
    lasting = told.c.name.in_(("order.bound", "order.unbound"))
    untold = list(conn.scalars(delete(told).where(*mine, ~lasting).returning(told.c.id)))
    conn.execute(update(told).where(*mine, lasting).values(once=None))
    facts = {"order_id": order_id, "order_no": before.row["order_no"], "channel": before.row["channel"], "by": userid}
    event = events.Event("order.unbound", now, person_id, "", userid, event_key(before.row), facts)
    events.record(conn, [event], now=now)
    return Unbound(person_id, untold)


def _bind(conn: Connection, ids: list[int], person_id: int, way: str, now: datetime, *, is_news: bool = True) -> int:
    steps: list[Step] = []
    for before in load_kept(conn, ids).values():
        row = before.row | {"person_id": person_id, "bound_by": way}
        steps.append(
            Step(Kept(row, before.lines, before.payments, before.shipments, before.refunds), before, "updated")
        )
    write_rows(conn, steps)
    follow(conn, steps, now, "")
    if steps:
        events.publish(conn, [bound(steps, person_id, way, now, is_news=is_news)], now=now)
    return len(steps)


def bound(steps: Sequence["Step"], person_id: int, way: str, now: datetime, *, is_news: bool) -> events.Event:
    """However many orders came with it: somebody is known as their buyer now."""
    row = steps[0].after.row
    facts = {"way": way, "kind": "order", "order_no": row["order_no"], "channel": row["channel"], "orders": len(steps)}
    return events.Event(
        name="identity.bound",
        occurred_at=now,
        person_id=person_id,
        key=event_key(dict(row)),
        facts=facts if is_news else {**facts, "historic": True},
        once=f"identity.bound:{person_id}:{row['id']}",
    )
