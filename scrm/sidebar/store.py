"""What the sidebar reads about one person: few statements, each with all that a card needs.

To build such a statement costs several times as much as to run it: each is built once.
"""

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    union_all,
)

from scrm.commerce.models import order_line, orders, shipment
from scrm.contact_ways.models import contact_way
from scrm.db import UtcDateTime
from scrm.events import event
from scrm.membership.models import member_level, points_account
from scrm.profiles.models import follow_user, follow_user_tag, identity, member, person_stat
from scrm.sop.models import send

_PERSON = bindparam("person_id", type_=BigInteger)
_LIMIT = bindparam("limit", type_=Integer)


def list_relations(conn: Connection, person_id: int) -> list[Row[Any]]:
    """A person's relations, oldest first, a row for each tag: with member, channel, totals and one masked phone."""
    return list(conn.execute(_relations(), {"person_id": person_id}))


@cache
def _relations() -> Select[Any]:
    phones = select(identity.c.mask).where(identity.c.person_id == _PERSON, identity.c.kind == "mobile_e164")
    count = select(func.count()).select_from(phones.subquery())
    return (
        select(
            follow_user,
            member.c.name.label("member_name"),
            contact_way.c.title.label("channel_title"),
            follow_user_tag.c.tag_name,
            follow_user_tag.c.group_name,
            follow_user_tag.c.type.label("tag_type"),
            person_stat.c.orders,
            person_stat.c.paid_orders,
            person_stat.c.paid_fen,
            person_stat.c.refunded_fen,
            person_stat.c.last_order_at,
            points_account.c.available.label("points"),
            points_account.c.frozen.label("frozen_points"),
            member_level.c.title.label("level_title"),
            member_level.c.benefits.label("level_benefits"),
            phones.order_by(identity.c.id).limit(1).scalar_subquery().label("phone"),
            count.scalar_subquery().label("phones"),
        )
        .outerjoin(member, member.c.userid == follow_user.c.userid)
        .outerjoin(contact_way, and_(contact_way.c.state == follow_user.c.state, follow_user.c.state != ""))
        .outerjoin(
            follow_user_tag,
            and_(
                follow_user_tag.c.userid == follow_user.c.userid,
                follow_user_tag.c.external_userid == follow_user.c.external_userid,
            ),
        )
        .outerjoin(person_stat, person_stat.c.person_id == follow_user.c.person_id)
        .outerjoin(points_account, points_account.c.person_id == follow_user.c.person_id)
        .outerjoin(member_level, member_level.c.key == points_account.c.level_key)
        .where(follow_user.c.person_id == _PERSON)
        .order_by(follow_user.c.followed_at, follow_user_tag.c.group_name, follow_user_tag.c.tag_name)
    )


def list_recent_orders(conn: Connection, person_id: int, *, limit: int) -> list[Row[Any]]:
    """The newest orders, a row for each pair of line and parcel."""
    return list(conn.execute(_recent_orders(), {"person_id": person_id, "limit": limit}))


@cache
def _recent_orders() -> Select[Any]:
    # Orders without a time come last, on both databases.
    newest = (orders.c.ordered_at.is_(None), orders.c.ordered_at.desc(), orders.c.id.desc())
    recent = select(orders).where(orders.c.person_id == _PERSON).order_by(*newest).limit(_LIMIT).subquery("recent")
    again = (recent.c.ordered_at.is_(None), recent.c.ordered_at.desc(), recent.c.id.desc())
    return (
        select(
            recent.c.id,
            recent.c.channel,
            recent.c.order_no,
            recent.c.status,
            recent.c.raw_status,
            recent.c.aftersale_status,
            recent.c.payable_fen,
            recent.c.paid_fen,
            recent.c.refunded_fen,
            recent.c.ordered_at,
            recent.c.delivered_at,
            recent.c.bound_by,
            order_line.c.line_key,
            order_line.c.title,
            order_line.c.spec,
            order_line.c.qty,
            order_line.c.is_gift,
            shipment.c.tracking_no,
            shipment.c.carrier_name,
        )
        .select_from(recent)
        .outerjoin(order_line, order_line.c.order_id == recent.c.id)
        .outerjoin(shipment, shipment.c.order_id == recent.c.id)
        .order_by(*again, order_line.c.position, order_line.c.line_key, shipment.c.tracking_no)
    )


def list_timeline(
    conn: Connection,
    person_id: int,
    external_userid: str,
    *,
    before: tuple[datetime, int] | None = None,
    limit: int,
) -> list[Row[Any]]:
    """Events and welcomes, newest first; `before` is (at, rank) of the last row already seen.

    Columns: rank, at, name, userid, facts, outcome, reason. Welcomes are named "welcome" and have a negative rank.
    """
    values = {"person_id": person_id, "external_userid": external_userid, "limit": limit}
    if before is not None:
        values |= {"at": before[0], "rank": before[1]}
    return list(conn.execute(_timeline(before is not None), values))


@cache
def _timeline(goes_on: bool) -> Select[Any]:
    told = (
        select(
            event.c.id.label("rank"),
            event.c.occurred_at.label("at"),
            event.c.name,
            event.c.userid,
            event.c.facts,
            literal("").label("outcome"),
            literal("").label("reason"),
        )
        .where(event.c.person_id == _PERSON, *_older(event.c.occurred_at, event.c.id, goes_on))
        .order_by(event.c.occurred_at.desc(), event.c.id.desc())
        .limit(_LIMIT)
        .subquery("told")
    )
    welcomes = (
        select(
            (-send.c.id).label("rank"),
            send.c.decided_at.label("at"),
            literal("welcome").label("name"),
            send.c.userid,
            send.c.content.label("facts"),
            send.c.outcome,
            send.c.reason,
        )
        .where(
            send.c.external_userid == bindparam("external_userid"),
            send.c.kind == "welcome",
            # Why there was nothing to send is for the ledger's readers.
            send.c.outcome != "none",
            *_older(send.c.decided_at, -send.c.id, goes_on),
        )
        .order_by(send.c.decided_at.desc(), send.c.id)
        .limit(_LIMIT)
        .subquery("welcomes")
    )
    both = union_all(select(told), select(welcomes)).subquery("both")
    named = (
        select(both, member.c.name.label("member_name"))
        .outerjoin(member, member.c.userid == both.c.userid)
        .order_by(both.c.at.desc(), both.c.rank.desc())
    )
    return named.limit(_LIMIT)


def _older(at: ColumnElement[datetime], rank: ColumnElement[int], goes_on: bool) -> list[ColumnElement[bool]]:
    if not goes_on:
        return []
    last_at, last_rank = bindparam("at", type_=UtcDateTime), bindparam("rank", type_=BigInteger)
    return [or_(at < last_at, and_(at == last_at, rank < last_rank))]
