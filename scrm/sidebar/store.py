"""What the sidebar reads about one person: a whole page in one statement, each part of it built once.

To build a statement costs several times as much as to run it, and to run a second one as much as to find ten more rows.
The parts sort and share nothing inside the statement: SQLite makes a temporary table for that, which costs more than all
of the rows.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Subquery,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
    union_all,
)

from scrm.commerce.coupons.store import ISSUES
from scrm.commerce.models import coupon_issue, order_line, orders, refund, shipment
from scrm.contact_ways.models import contact_way
from scrm.db import UtcDateTime
from scrm.db.bulk import among_given, listed
from scrm.db.json_text import json_text
from scrm.db.nested import nested
from scrm.db.ready import Ready
from scrm.events import event
from scrm.mass_messages.audience import COUNTED
from scrm.mass_messages.models import mass_message_target
from scrm.membership.models import member_level, points_account
from scrm.profiles.models import external_contact, follow_user, follow_user_tag, identity, member, person, person_stat
from scrm.segments.models import person_value
from scrm.sop.members.task_store import contact_tasks, contact_tasks_of
from scrm.sop.models import enrolment, send

_PERSON = bindparam("person_id", type_=BigInteger)
_CONTACT = bindparam("external_userid", type_=Text)
_LIMIT = bindparam("limit", type_=Integer)
_SINCE = bindparam("since", type_=UtcDateTime)
# Of two at one moment the event comes first.
_BEHIND_EVENTS = literal_column(str(2**62), BigInteger)
_UNDER_WAY = ("pending_payment", "paid", "partially_shipped", "shipped")
_MOST_COUPONS = 10
_MOST_LIVE = 6
_MOST_RUNS = 5


def _own(*words: str) -> Any:
    """Words of ours in the text of the statement: SQLite prepares one anew at each run whose parameter may decide about
    a partial index."""
    if len(words) == 1:
        return literal_column(f"'{words[0]}'", Text)
    return [literal_column(f"'{word}'", Text) for word in words]


def read_picture(
    conn: Connection,
    person_id: int,
    external_userid: str,
    userid: str,
    *,
    since: datetime,
    ended_since: datetime,
    orders: int,
    happenings: int,
) -> Any:
    """Everything about a person that a page shows a member, each part a list of rows.

    Of the orders the newest, and those placed after `since` that are under way or in a case of after-sale; of the
    member's tasks the open ones, and what ended after `ended_since`.
    """
    values = {
        **contact_tasks_of(userid, external_userid, ended_since),
        "person_id": person_id,
        "external_userid": external_userid,
        "since": since,
        "orders": orders,
        "limit": happenings,
    }
    (picture,) = _PICTURE.rows(conn, values)
    return picture


def _picture(dialect: str) -> Select[Any]:
    parts = {
        "tasks": contact_tasks(),
        "worth": _worth(),
        "relations": _relations(),
        "tags": _tags(),
        "coupons": _coupons(),
        "runs": _runs(),
        **_order_parts(_shown_orders()),
        "happenings": _happenings(dialect, goes_on=False, chosen=False, with_welcomes=True),
    }
    return select(*(nested(dialect, query, name) for name, query in parts.items()))


_PICTURE = Ready(_picture)

# Who, and what they are worth -----------------------------------------------------------------------------------------


def _worth() -> Select[Any]:
    phones = select(identity.c.mask).where(identity.c.person_id == _PERSON, identity.c.kind == _own("mobile_e164"))
    count = select(func.count()).select_from(phones.subquery())
    stat = person_stat.c
    return (
        select(
            stat.orders,
            stat.paid_orders,
            stat.paid_fen,
            stat.refunded_fen,
            stat.last_order_at,
            stat.kept_orders,
            stat.kept_fen,
            stat.last_kept_at,
            # As the last night placed them, by the shop's rules.
            *(person_value.c[name] for name in ("r", "f", "m", "rfm")),
            points_account.c.available.label("points"),
            points_account.c.frozen.label("frozen_points"),
            member_level.c.title.label("level_title"),
            member_level.c.benefits.label("level_benefits"),
            phones.order_by(identity.c.id).limit(1).scalar_subquery().label("phone"),
            count.scalar_subquery().label("phones"),
        )
        .select_from(person)
        .outerjoin(person_stat, stat.person_id == person.c.id)
        .outerjoin(person_value, person_value.c.person_id == person.c.id)
        .outerjoin(points_account, points_account.c.person_id == person.c.id)
        .outerjoin(member_level, member_level.c.key == points_account.c.level_key)
        .where(person.c.id == _PERSON)
    )


def _relations() -> Select[Any]:
    """With member and channel."""
    f = follow_user.c
    return (
        select(
            f.userid,
            f.external_userid,
            f.ended_by,
            f.followed_at,
            f.archive_agreed_at,
            member.c.name.label("member_name"),
            contact_way.c.title.label("channel_title"),
        )
        .outerjoin(member, member.c.userid == f.userid)
        .outerjoin(contact_way, and_(contact_way.c.state == f.state, f.state != _own("")))
        .where(f.person_id == _PERSON)
    )


def _tags() -> Select[Any]:
    f, t = follow_user.c, follow_user_tag.c
    return (
        select(t.userid, t.tag_name, t.group_name, t.type, f.followed_at)
        .join(follow_user, and_(f.userid == t.userid, f.external_userid == t.external_userid))
        .where(f.person_id == _PERSON)
    )


def _coupons() -> Select[Any]:
    c = coupon_issue.c
    query = ISSUES.where(c.person_id == _PERSON, c.state != _own("released"))
    return query.order_by(c.issued_at.desc(), c.id.desc()).limit(_MOST_COUPONS)


def _runs() -> Select[Any]:
    """Playbooks under way; who is only compared with is in none, for those who talk with him."""
    e = enrolment.c
    query = select(e.id, e.playbook_key, e.version, e.step, e.due_at, e.state, e.held_reason, e.awaits)
    where = e.person_id == _PERSON, e.state.in_(_own("active", "paused", "queued")), e.is_holdout.is_(False)
    return query.where(*where).limit(_MOST_RUNS)


# Orders ---------------------------------------------------------------------------------------------------------------

# Orders without a time come last, on both databases.
_NEWEST = (orders.c.ordered_at.desc().nulls_last(), orders.c.id.desc())


def list_orders(
    conn: Connection, person_id: int, *, before: tuple[datetime | None, int] | None, words: str, limit: int
) -> Row[Any]:
    """A page of a person's orders in the parts of a picture, the newest first; `before` is the last one seen.

    With `words` only those whose number, goods or parcel say them.
    """
    values: dict[str, Any] = {"person_id": person_id, "limit": limit, "orders": limit}
    if before is not None:
        values |= {"at": before[0], "id": before[1]}
    if words:
        values["like"] = f"%{_escaped(words)}%"
    is_timed = before is not None and before[0] is not None
    return conn.execute(_order_page(conn.dialect.name, before is not None, is_timed, bool(words)), values).one()


def count_orders(conn: Connection, person_id: int) -> int:
    """As the totals have it."""
    return int(conn.scalar(select(person_stat.c.orders).where(person_stat.c.person_id == person_id)) or 0)


def _escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


@cache
def _order_page(dialect: str, goes_on: bool, is_timed: bool, is_searched: bool) -> Select[Any]:
    o = orders.c
    where: list[ColumnElement[bool]] = [o.person_id == _PERSON]
    at, last_id = bindparam("at", type_=UtcDateTime), bindparam("id", type_=BigInteger)
    if goes_on and is_timed:
        where.append(or_(o.ordered_at < at, and_(o.ordered_at == at, o.id < last_id), o.ordered_at.is_(None)))
    elif goes_on:
        where.append(and_(o.ordered_at.is_(None), o.id < last_id))
    if is_searched:
        where.append(_says(bindparam("like", type_=Text)))
    page = select(o.id).where(*where).order_by(*_NEWEST).limit(_LIMIT).subquery("shown")
    return select(*(nested(dialect, query, name) for name, query in _order_parts(page).items()))


def _says(like: ColumnElement[str]) -> ColumnElement[bool]:
    lines = exists().where(
        order_line.c.order_id == orders.c.id,
        or_(order_line.c.title.ilike(like, escape="\\"), order_line.c.spec.ilike(like, escape="\\")),
    )
    parcels = exists().where(shipment.c.order_id == orders.c.id, shipment.c.tracking_no.ilike(like, escape="\\"))
    return or_(orders.c.order_no.ilike(like, escape="\\"), lines, parcels)


def _shown_orders() -> Subquery:
    """Ids of the newest and of those under way; an order that is both comes twice."""
    o = orders.c
    newest = select(o.id).where(o.person_id == _PERSON).order_by(*_NEWEST).limit(bindparam("orders", type_=Integer))
    is_live = or_(o.status.in_(_own(*_UNDER_WAY)), o.aftersale_status == _own("open"))
    live = select(o.id).where(o.person_id == _PERSON, o.ordered_at > _SINCE, is_live).order_by(*_NEWEST)
    return union_all(select(newest.subquery()), select(live.limit(_MOST_LIVE).subquery())).subquery("shown")


def _order_parts(shown: Subquery) -> Mapping[str, Select[Any]]:
    """Of the orders with these ids, in no order: the reader sorts a handful of rows faster than the database."""
    o, line, parcel, case_ = orders.c, order_line.c, shipment.c, refund.c
    return {
        "orders": select(
            o.id,
            o.channel,
            o.order_no,
            o.status,
            o.raw_status,
            o.aftersale_status,
            o.payable_fen,
            o.paid_fen,
            o.refunded_fen,
            o.ordered_at,
            o.delivered_at,
            o.bound_by,
            # Who bound it by hand.
            case((o.bound_by == _own("staff"), _binder(o.id))).label("binder"),
        ).join_from(shown, orders, o.id == shown.c.id),
        "lines": select(
            line.order_id,
            line.position,
            line.line_key,
            line.title,
            line.spec,
            line.qty,
            line.unit_price_fen,
            line.is_gift,
            line.image_url,
        ).join_from(shown, order_line, line.order_id == shown.c.id),
        "parcels": select(
            parcel.order_id,
            parcel.carrier_code,
            parcel.tracking_no,
            parcel.carrier_name,
            parcel.state,
            parcel.state_at,
            parcel.shipped_at,
        ).join_from(shown, shipment, parcel.order_id == shown.c.id),
        "refunds": select(
            case_.order_id,
            case_.refund_no,
            case_.type,
            case_.status,
            case_.amount_fen,
            case_.reason,
            case_.raw_status,
            case_.created_at,
        ).join_from(shown, refund, case_.order_id == shown.c.id),
    }


def _binder(order_id: ColumnElement[int]) -> Any:
    """By the event's own key, of this person or of one who was joined into him."""
    once = _own("order.bound:") + cast(order_id, Text) + _own(":") + cast(_PERSON, Text)
    return (
        select(func.coalesce(func.nullif(member.c.name, ""), event.c.userid))
        .select_from(event)
        .outerjoin(member, member.c.userid == event.c.userid)
        .where(event.c.once == once)
        .limit(1)
        .scalar_subquery()
    )


# Timeline -------------------------------------------------------------------------------------------------------------


def list_happenings(
    conn: Connection,
    person_id: int,
    external_userid: str,
    *,
    names: Collection[str] = (),
    with_welcomes: bool = True,
    before: tuple[datetime, int] | None = None,
    limit: int,
) -> list[Row[Any]]:
    """Events and welcomes, newest first; `before` is (at, rank) of the last row already seen, `names` narrows.

    Columns: rank, at, name, userid, facts, outcome, reason, member_name. Welcomes are named "welcome" and have a
    negative rank.
    """
    values: dict[str, Any] = {"person_id": person_id, "external_userid": external_userid, "limit": limit}
    if before is not None:
        values |= {"at": before[0], "rank": before[1]}
    if names:
        values["names"] = listed(conn, sorted(names))
    query = _happenings(conn.dialect.name, before is not None, bool(names), with_welcomes)
    return newest_first(conn.execute(query, values), limit)


def newest_first(happenings: Iterable[Any], limit: int) -> list[Any]:
    """Of both kinds the newest. Pure."""
    return sorted(happenings, key=attrgetter("at", "rank"), reverse=True)[:limit]


@cache
def _happenings(dialect: str, goes_on: bool, chosen: bool, with_welcomes: bool) -> Select[Any]:
    """The newest of each kind, in no order."""
    e = event.c
    told = (
        select(
            e.id.label("rank"),
            e.occurred_at.label("at"),
            e.name,
            e.userid,
            e.facts,
            _own("").label("outcome"),
            _own("").label("reason"),
            member.c.name.label("member_name"),
        )
        .outerjoin(member, member.c.userid == e.userid)
        .where(e.person_id == _PERSON, *_older(e.occurred_at, e.id, goes_on))
        .order_by(e.occurred_at.desc(), e.id.desc())
        .limit(_LIMIT)
    )
    if chosen:
        told = told.where(among_given(dialect, e.name, "names"))
    if not with_welcomes:
        return told
    return select(union_all(select(told.subquery()), select(_welcomes(goes_on).subquery())).subquery("both"))


def _welcomes(goes_on: bool) -> Select[Any]:
    rank = send.c.id - _BEHIND_EVENTS
    return (
        select(
            rank.label("rank"),
            send.c.decided_at.label("at"),
            _own("welcome").label("name"),
            send.c.userid,
            send.c.content.label("facts"),
            send.c.outcome,
            send.c.reason,
            member.c.name.label("member_name"),
        )
        .outerjoin(member, member.c.userid == send.c.userid)
        .where(
            send.c.external_userid == _CONTACT,
            send.c.kind == _own("welcome"),
            # Why there was nothing to send is for the ledger's readers.
            send.c.outcome != _own("none"),
            *_older(send.c.decided_at, rank, goes_on),
        )
        .order_by(send.c.decided_at.desc(), send.c.id.desc())
        .limit(_LIMIT)
    )


def _older(at: ColumnElement[datetime], rank: ColumnElement[int], goes_on: bool) -> list[ColumnElement[bool]]:
    """Said so that the index by time begins where the last page ended."""
    if not goes_on:
        return []
    last_at, last_rank = bindparam("at", type_=UtcDateTime), bindparam("rank", type_=BigInteger)
    return [at <= last_at, or_(at < last_at, rank < last_rank)]


# What was said to them ------------------------------------------------------------------------------------------------


def list_told(conn: Connection, person_id: int, *, since: datetime, limit: int) -> list[Row[Any]]:
    """What anybody sent to this person since then, over all members and channels, the newest first.

    Columns: at, kind (welcome, chat, mass, outward, broadcast), userid, member_name, content, playbook, outcome.
    """
    values = {"person_id": person_id, "since": since, "limit": limit}
    return list(conn.execute(_told(), values))


@cache
def _told() -> Select[Any]:
    at = func.coalesce(send.c.sent_at, send.c.decided_at)
    ledger = (
        select(at.label("at"), send.c.kind, send.c.userid, send.c.content, send.c.playbook_key, send.c.outcome)
        .join(external_contact, external_contact.c.external_userid == send.c.external_userid)
        .where(
            external_contact.c.person_id == _PERSON,
            send.c.decided_at > _SINCE,
            send.c.kind.in_(_own("welcome", "chat", "mass", "outward")),
            send.c.outcome.in_(_own("sent", "done_by_other", "unknown", "intent", "waiting")),
        )
    )
    # Those of a step are in the ledger with their step.
    broadcasts = select(
        event.c.occurred_at.label("at"),
        _own("broadcast").label("kind"),
        event.c.userid,
        event.c.facts.label("content"),
        _own("").label("playbook_key"),
        _own("sent").label("outcome"),
    ).where(
        event.c.person_id == _PERSON,
        event.c.occurred_at > _SINCE,
        event.c.name == _own("mass_message.sent"),
        func.coalesce(json_text(event.c.facts, "origin"), "") != "playbook",
    )
    both = union_all(ledger, broadcasts).subquery("told")
    return (
        select(both, member.c.name.label("member_name"))
        .outerjoin(member, member.c.userid == both.c.userid)
        .order_by(both.c.at.desc())
        .limit(_LIMIT)
    )


def count_mass_messages(conn: Connection, person_id: int, *, since: datetime) -> int:
    """How many mass messages took a place in this person's quota since then."""
    t = mass_message_target.c
    query = (
        select(func.count())
        .select_from(mass_message_target)
        .join(external_contact, external_contact.c.external_userid == t.target)
        .where(external_contact.c.person_id == person_id, t.state.in_(COUNTED), t.counted_at > since)
    )
    return int(conn.scalar(query) or 0)
