"""What the database knows of one row of the ledger, as the rules ask for it."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, or_, select

from scrm.commerce.merge import REFUND_OPEN
from scrm.commerce.models import orders, refund
from scrm.commerce.totals import is_purchase
from scrm.events import event
from scrm.profiles import redirects
from scrm.profiles.erased import erased_identity
from scrm.profiles.models import follow_user
from scrm.profiles.stop_list import stop_entry
from scrm.referrals.models import referral
from scrm.referrals.rules import Bought, Friend
from scrm.tracking.models import tracked_event

# Opens an order's sealed receiver: {"phone", "address", ...}.
Open = Callable[[str], dict[str, Any]]

# Friends of one customer whose orders are looked at for the same receiver, the newest first.
_MOST_OTHERS = 50
_MOST_ORDERS = 20
_PLACE = ("province", "city", "district", "address")


def know(conn: Connection, row: Row[Any], open_: Open, day: datetime, next_day: datetime) -> Friend:
    """`day` and `next_day` bound the shop's day of the add."""
    inviter_id = redirects.follow(conn, row.inviter_id)
    others = _others(conn, row, inviter_id)
    return Friend(
        added_at=row.added_at,
        is_self=inviter_id == row.person_id,
        is_new=not _was_known(conn, row),
        is_stopped=is_stopped(conn, row.person_id),
        is_inviter_stopped=is_stopped(conn, inviter_id) or is_erased(conn, inviter_id),
        left_at=_left_at(conn, row),
        bought=_bought(conn, row),
        shares=_shares(conn, row.person_id, {inviter_id, *others} - {row.person_id}, open_),
        earlier_that_day=_earlier(conn, row, inviter_id, day, next_day),
        valid_of_inviter=_count_valid(conn, referral.c.inviter_id == inviter_id, row),
        valid_in_all=_count_valid(conn, referral.c.campaign_id == row.campaign_id, row),
    )


def _was_known(conn: Connection, row: Row[Any]) -> bool:
    """A friendship or a purchase from before the add, also of a person he was joined with since."""
    e, f = event.c, follow_user.c
    earlier = or_(e.occurred_at < row.added_at, and_(e.occurred_at == row.added_at, e.id < row.event_id))
    added = exists().where(e.person_id == row.person_id, e.name == "contact.added", earlier)
    followed = exists().where(f.person_id == row.person_id, f.followed_at < row.added_at)
    bought = exists().where(orders.c.person_id == row.person_id, orders.c.paid_at < row.added_at, ~orders.c.is_test)
    return bool(conn.execute(select(or_(added, followed, bought))).scalar_one())


def is_stopped(conn: Connection, person_id: int) -> bool:
    """Whether the stop list has them."""
    return conn.execute(select(1).where(stop_entry.c.person_id == person_id)).first() is not None


def is_erased(conn: Connection, person_id: int) -> bool:
    """Whether their data was deleted at their wish."""
    return conn.execute(select(1).where(erased_identity.c.person_id == person_id)).first() is not None


def _left_at(conn: Connection, row: Row[Any]) -> datetime | None:
    e = event.c
    left: datetime | None = conn.execute(
        select(func.min(e.occurred_at)).where(
            e.person_id == row.person_id,
            e.name == "contact.lost_by_customer",
            e.external_userid == row.external_userid,
            func.lower(e.userid) == row.userid.lower(),
            e.occurred_at >= row.added_at,
        )
    ).scalar_one()
    return left


def _bought(conn: Connection, row: Row[Any]) -> list[Bought]:
    o, r = orders.c, refund.c
    has_open = exists().where(r.order_id == o.id, r.status.in_(sorted(REFUND_OPEN)))
    query = (
        select(orders, has_open.label("has_open"))
        .where(o.person_id == row.person_id, o.paid_at >= row.added_at)
        .order_by(o.paid_at, o.id)
        .limit(_MOST_ORDERS)
    )
    return [
        Bought(found.id, found.paid_at, found.paid_fen - found.refunded_fen, found.has_open)
        for found in conn.execute(query)
        if is_purchase(dict(found._mapping))
    ]


def _others(conn: Connection, row: Row[Any], inviter_id: int) -> list[int]:
    """Friends whom the same customer brought before this one and who may be this one again."""
    return list(
        conn.execute(
            select(referral.c.person_id)
            .where(referral.c.inviter_id == inviter_id, referral.c.id < row.id, referral.c.state != "void")
            .order_by(referral.c.id.desc())
            .limit(_MOST_OTHERS)
        ).scalars()
    )


def _shares(conn: Connection, person_id: int, others: Collection[int], open_: Open) -> list[str]:
    """What this friend has in common with who brought him and with those who came before him."""
    if not others:
        return []
    mine, theirs = _receivers(conn, [person_id], open_), _receivers(conn, others, open_)
    found = [f"same_{what}" for what in ("phone", "address") if mine[what] & theirs[what]]
    if _devices(conn, [person_id]) & _devices(conn, others):
        found.append("same_device")
    return found


def _receivers(conn: Connection, persons: Collection[int], open_: Open) -> dict[str, set[str]]:
    o = orders.c
    query = (
        select(o.buyer_phone_lookup, o.receiver_sealed)
        .where(o.person_id.in_(persons), or_(o.receiver_sealed != "", o.buyer_phone_lookup != ""))
        .order_by(o.ordered_at.desc(), o.id.desc())
        .limit(_MOST_ORDERS * len(persons))
    )
    phones, places = set(), set()
    for row in conn.execute(query):
        clear = open_(row.receiver_sealed) if row.receiver_sealed else {}
        phones |= {row.buyer_phone_lookup, str(clear.get("phone") or "")}
        # A street without a number is many people's.
        place = "".join("".join(str(clear.get(name) or "") for name in _PLACE).split())
        places.add(place if any(sign.isdigit() for sign in place) and "*" not in place else "")
    return {"phone": {one for one in phones if one and "*" not in one}, "address": places - {""}}


def _devices(conn: Connection, persons: Collection[int]) -> set[str]:
    t = tracked_event.c
    query = select(t.anonymous_id).distinct().where(t.person_id.in_(persons), t.anonymous_id != "").limit(500)
    return set(conn.execute(query).scalars())


def _earlier(conn: Connection, row: Row[Any], inviter_id: int, day: datetime, next_day: datetime) -> int:
    r = referral.c
    before = or_(r.added_at < row.added_at, and_(r.added_at == row.added_at, r.id < row.id))
    return int(
        conn.execute(
            select(func.count()).where(
                r.inviter_id == inviter_id, r.added_at >= day, r.added_at < next_day, before, r.state != "void"
            )
        ).scalar_one()
    )


def _count_valid(conn: Connection, which: Any, row: Row[Any]) -> int:
    query = select(func.count()).where(which, referral.c.state == "valid", referral.c.id != row.id)
    return int(conn.execute(query).scalar_one())
