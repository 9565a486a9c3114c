"""All SQL about moments."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, func, select, update

from scrm import audit
from scrm.db import upsert
from scrm.moments.models import moment, moment_publisher
from scrm.profiles.models import member


def add_moment(conn: Connection, values: Mapping[str, Any]) -> int | None:
    """None when the same form was sent before."""
    statement = upsert(moment, conn).values(**values).on_conflict_do_nothing(index_elements=["once"])
    return conn.execute(statement.returning(moment.c.id)).scalar_one_or_none()


def find_once(conn: Connection, once: str) -> int | None:
    return conn.execute(select(moment.c.id).where(moment.c.once == once)).scalar_one_or_none()


def find_moment(conn: Connection, number: int) -> Row[Any] | None:
    return conn.execute(select(moment).where(moment.c.id == number)).one_or_none()


def lock_moment(conn: Connection, number: int) -> Row[Any]:
    query = select(moment).where(moment.c.id == number)
    return conn.execute(query.with_for_update() if conn.dialect.name == "postgresql" else query).one()


@audit.keeps("moment", moment.c.id, of=("number",))
def change_moment(conn: Connection, number: int, /, **values: Any) -> None:
    conn.execute(update(moment).where(moment.c.id == number).values(**values))


def known_ids(conn: Connection, moment_ids: Collection[str]) -> set[str]:
    return set(conn.execute(select(moment.c.moment_id).where(moment.c.moment_id.in_(list(moment_ids)))).scalars())


def list_moments(conn: Connection, *, before: int | None = None, limit: int = 30) -> list[Row[Any]]:
    """The newest first, each with how many members are to publish it, and how many have."""
    counts = (
        select(
            moment_publisher.c.moment,
            func.count().label("members"),
            func.count(case((moment_publisher.c.is_published, 1))).label("published"),
            func.sum(moment_publisher.c.seen).label("seen"),
            func.sum(moment_publisher.c.likes).label("likes"),
            func.sum(moment_publisher.c.comments).label("comments"),
        )
        .group_by(moment_publisher.c.moment)
        .subquery()
    )
    query = select(
        moment, counts.c.members, counts.c.published, counts.c.seen, counts.c.likes, counts.c.comments
    ).outerjoin(counts, counts.c.moment == moment.c.id)
    if before is not None:
        query = query.where(moment.c.id < before)
    return list(conn.execute(query.order_by(moment.c.id.desc()).limit(limit)))


def list_publishers(conn: Connection, number: int) -> list[Row[Any]]:
    query = (
        select(moment_publisher, member.c.name.label("member_name"))
        .outerjoin(member, member.c.folded == func.lower(moment_publisher.c.userid))
        .where(moment_publisher.c.moment == number)
        .order_by(moment_publisher.c.is_published.desc(), moment_publisher.c.userid)
    )
    return list(conn.execute(query))


def save_publisher(conn: Connection, number: int, userid: str, /, **values: Any) -> None:
    conn.execute(
        upsert(moment_publisher, conn)
        .values(moment=number, userid=userid, **values)
        .on_conflict_do_update(index_elements=["moment", "userid"], set_=values)
    )


def has_pollable(conn: Connection, now: datetime) -> bool:
    return conn.execute(select(moment.c.id).where(moment.c.poll_at <= now).limit(1)).first() is not None


def claim_pollable(conn: Connection, now: datetime, again_at: datetime, limit: int) -> list[Row[Any]]:
    """Moments whose job or results are due; the next look is booked at once, so a crash only delays it."""
    query = select(moment.c.id).where(moment.c.poll_at <= now).order_by(moment.c.poll_at).limit(limit)
    if conn.dialect.name == "postgresql":
        query = query.with_for_update(skip_locked=True)
    ids = list(conn.execute(query).scalars())
    conn.execute(update(moment).where(moment.c.id.in_(ids)).values(poll_at=again_at))
    return list(conn.execute(select(moment).where(moment.c.id.in_(ids)).order_by(moment.c.id)))
