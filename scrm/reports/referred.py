"""What friends of customers are worth beside people from advertisements: what each group bought in its first 60 days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Connection, FromClause, Select, case, func, or_, select
from sqlalchemy import type_coerce as coerce

from scrm.commerce.models import coupon_issue, orders
from scrm.contact_ways.models import contact_way, way_add
from scrm.referrals.lists import NO_FRIENDS
from scrm.referrals.models import referral
from scrm.reports.buying import KEPT_FEN, PURCHASE

DAYS = 60
# Who came in the year before; younger ones have not had their 60 days.
_SPAN = timedelta(days=365)
_DAY = timedelta(days=1) // timedelta(milliseconds=1)
# Kinds of channels that are paid for; acquisition links are too.
ADS = ("投放", "广告", "信息流")


@dataclass(frozen=True, slots=True)
class Quality:
    """Of one group; money in fen, refunds taken off."""

    people: int = 0
    buyers: int = 0
    repeaters: int = 0
    kept_fen: int = 0


def compare(conn: Connection, now: datetime) -> tuple[Quality, Quality]:
    """(friends, people from advertisements), both of those who came 60 to 425 days ago."""
    until = now - timedelta(days=DAYS)
    since = until - _SPAN
    friends = select(referral.c.person_id, referral.c.added_at).where(
        referral.c.added_at >= since, referral.c.added_at < until, referral.c.reason.not_in(NO_FRIENDS)
    )
    is_ad = or_(contact_way.c.kind.in_(ADS), contact_way.c.link_id != "")
    ads = (
        select(way_add.c.person_id, func.min(way_add.c.added_at).label("added_at"))
        .join(contact_way, contact_way.c.state == way_add.c.state)
        .where(way_add.c.added_at >= since, way_add.c.added_at < until, is_ad, contact_way.c.inviter_id.is_(None))
        .group_by(way_add.c.person_id)
    )
    return _measure(conn, friends), _measure(conn, ads)


def _measure(conn: Connection, who: Select[Any]) -> Quality:
    came: FromClause = who.subquery("came")
    added, paid = coerce(came.c.added_at, BigInteger), coerce(orders.c.paid_at, BigInteger)
    is_theirs = (orders.c.person_id == came.c.person_id) & PURCHASE & (paid >= added) & (paid < added + DAYS * _DAY)
    each = (
        select(came.c.person_id, func.count(orders.c.id).label("bought"), func.sum(KEPT_FEN).label("kept_fen"))
        .select_from(came.outerjoin(orders, is_theirs))
        .group_by(came.c.person_id)
        .subquery("each")
    )
    row = conn.execute(
        select(
            func.count().label("people"),
            func.sum(case((each.c.bought > 0, 1), else_=0)).label("buyers"),
            func.sum(case((each.c.bought > 1, 1), else_=0)).label("repeaters"),
            func.sum(case((each.c.bought > 0, each.c.kept_fen), else_=0)).label("kept_fen"),
        )
    ).one()
    return Quality(*(int(number or 0) for number in row))


def cost_fen(conn: Connection, playbooks: Sequence[str]) -> int:
    """What coupons that these playbooks issued took off orders."""
    issued_by = or_(*(coupon_issue.c.reason_key.startswith(f"{key}:", autoescape=True) for key in playbooks))
    query = select(func.sum(coupon_issue.c.discount_fen)).where(issued_by, coupon_issue.c.state == "redeemed")
    return int(conn.scalar(query) or 0) if playbooks else 0
