"""What customers did after a mass message reached them: they spoke, opened, bought, or left."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    case,
    exists,
    func,
    literal_column,
    select,
    type_coerce,
)

from scrm.commerce.models import IS_PURCHASE, orders
from scrm.events import event
from scrm.mass_messages.models import mass_message_target
from scrm.profiles.conditions.leaves_events import RADAR, SPOKE

DAYS = 3
_OPENED = (RADAR, "content.read")
# WeCom does not tell what is said in a chat of two: a member's mark that somebody waits is a reply too.
_REPLIED = (*SPOKE, "talk.noted")
_LEFT = ("contact.lost_by_customer", "optout.changed")


@dataclass(frozen=True, slots=True)
class Effects:
    """How many customers got it, and of those how many did what within `DAYS` days (leaving: within one).

    `credited` bought while this was the last broadcast they had got, for `credited_fen`.
    """

    sent: int
    replied: int
    opened: int
    bought: int
    fen: int
    credited: int
    credited_fen: int
    left: int


def count(conn: Connection, message_id: int) -> Effects:
    """Each customer once for each thing; the money is what was paid for orders of those days."""
    t = mass_message_target
    got = and_(t.c.mass_message_id == message_id, t.c.is_sent, t.c.person_id.is_not(None))
    did = {
        "replied": _did(_REPLIED, timedelta(days=DAYS)),
        "opened": _did(_OPENED, timedelta(days=DAYS)),
        "left": _did(_LEFT, timedelta(days=1)),
        "bought": exists().where(_is_order_after()),
        "credited": exists().where(_is_order_after(), _is_last_touch()),
    }
    counts = [func.count(case((each, 1))).label(name) for name, each in did.items()]
    row = conn.execute(select(func.count().label("sent"), *counts).select_from(t).where(got)).one()
    sums = (func.sum(orders.c.paid_fen), func.sum(case((_is_last_touch(), orders.c.paid_fen))))
    paid = select(*(func.coalesce(each, 0) for each in sums)).select_from(t.join(orders, _is_order_after()))
    fen, credited_fen = conn.execute(paid.where(got)).one()
    return Effects(row.sent, row.replied, row.opened, row.bought, int(fen), row.credited, int(credited_fen), row.left)


def _did(names: tuple[str, ...], within: timedelta) -> ColumnElement[bool]:
    mine = and_(event.c.person_id == mass_message_target.c.person_id, event.c.name.in_(names))
    return exists().where(mine, _is_within(event.c.occurred_at, within))


def _is_order_after() -> ColumnElement[bool]:
    mine = and_(orders.c.person_id == mass_message_target.c.person_id, literal_column(IS_PURCHASE))
    return and_(mine, _is_within(orders.c.paid_at, timedelta(days=DAYS)))


def _is_last_touch() -> ColumnElement[bool]:
    """No other broadcast, of a playbook or not, reached the customer between this one and his payment."""
    mine = and_(event.c.person_id == mass_message_target.c.person_id, event.c.name == "mass_message.sent")
    later = and_(event.c.occurred_at > mass_message_target.c.counted_at, event.c.occurred_at <= orders.c.paid_at)
    return ~exists().where(mine, later).correlate(mass_message_target, orders)


def _is_within(moment: ColumnElement[object], within: timedelta) -> ColumnElement[bool]:
    at = type_coerce(moment, BigInteger)
    sent = type_coerce(mass_message_target.c.counted_at, BigInteger)
    return and_(at >= sent, at < sent + int(within.total_seconds() * 1000))
