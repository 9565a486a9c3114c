"""What the workbench reads of the pool: who is in it, as far as somebody who does not know them yet may see."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select, tuple_

from scrm.customer_lists.models import pool_entry, pool_pick
from scrm.profiles.models import external_contact, follow_user, member, person, person_stat


def list_waiting(
    conn: Connection, userid: str, *, reason: str = "", before: tuple[datetime, int] | None = None, limit: int
) -> list[Row[Any]]:
    """The newest first; `mine` is the contact by whom the member knows the customer already."""
    e = pool_entry.c
    query = _shown(userid, e.person_id, e.reason, e.entered_at, person.c.stage, member.c.name.label("from_name"))
    query = (
        query.select_from(pool_entry)
        .join(person, person.c.id == e.person_id)
        .outerjoin(person_stat, person_stat.c.person_id == e.person_id)
        .outerjoin(member, (member.c.userid == e.from_userid) & (e.from_userid != ""))
    )
    if reason:
        query = query.where(e.reason == reason)
    if before is not None:
        query = query.where(tuple_(e.entered_at, e.person_id) < before)
    return list(conn.execute(query.order_by(e.entered_at.desc(), e.person_id.desc()).limit(limit)))


def find_taken(conn: Connection, userid: str, person_id: int) -> Row[Any] | None:
    """A customer whom the member took and still has; None for who was never picked, or by somebody else."""
    p = pool_pick.c
    query = _shown(userid, p.person_id, person.c.stage).select_from(pool_pick)
    query = query.join(person, person.c.id == p.person_id)
    query = query.outerjoin(person_stat, person_stat.c.person_id == p.person_id)
    taken = p.person_id == person_id, func.lower(p.userid) == userid.lower(), p.ended_at.is_(None)
    return conn.execute(query.where(*taken).limit(1)).one_or_none()


def _shown(userid: str, person_id: ColumnElement[int], *columns: ColumnElement[Any]) -> Any:
    stat, contact, f = person_stat.c, external_contact.c, follow_user.c
    name = select(contact.name).where(contact.person_id == person_id, contact.name != "")
    mine = select(f.external_userid).where(
        f.person_id == person_id, func.lower(f.userid) == userid.lower(), f.ended_by == ""
    )
    return select(
        person_id,
        *columns,
        func.coalesce(stat.paid_fen - stat.refunded_fen, 0).label("worth_fen"),
        func.coalesce(stat.paid_orders, 0).label("paid_orders"),
        stat.last_order_at,
        func.coalesce(name.order_by(contact.created_at).limit(1).scalar_subquery(), person.c.name).label("name"),
        mine.order_by(f.followed_at).limit(1).scalar_subquery().label("mine"),
    )


def count_waiting(conn: Connection, reasons: tuple[str, ...], most: int) -> dict[str, int]:
    """By reason, each up to one more than `most`."""
    e = pool_entry.c
    some = [
        select(func.count())
        .select_from(select(e.person_id).where(e.reason == reason).limit(most + 1).subquery())
        .scalar_subquery()
        .label(reason)
        for reason in reasons
    ]
    return dict(conn.execute(select(*some)).one()._mapping)
