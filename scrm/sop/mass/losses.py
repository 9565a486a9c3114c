"""Waves that cost too many customers: counted, and remembered as stopped."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, func, literal_column, select

from scrm.db import upsert
from scrm.profiles.models import follow_user, member
from scrm.sop.mass.batches import batch, step, stop


def find_losses(conn: Connection, now: datetime) -> list[Row[Any]]:
    """Waves that are watched and sent within a day: how many got it, and how many deleted the member since."""
    left = exists().where(
        follow_user.c.external_userid == step.c.external_userid,
        follow_user.c.userid == batch.c.userid,
        follow_user.c.ended_by == "customer",
        follow_user.c.ended_at >= step.c.sent_at,
    )
    wave = batch.c.playbook_key, batch.c.version, batch.c.step_id
    query: Select[Any] = (
        select(
            *wave,
            func.max(batch.c.title).label("title"),
            func.max(batch.c.stop_at).label("stop_at"),
            func.count().label("recipients"),
            func.count().filter(left).label("losses"),
        )
        .select_from(step)
        .join(batch, batch.c.id == step.c.batch_id)
        .where(
            literal_column("mass_step.sent_at IS NOT NULL"),
            step.c.sent_at > now - timedelta(hours=24),
            batch.c.stop_at > 0,
        )
        .group_by(*wave)
    )
    return [row for row in conn.execute(query) if row.losses > row.recipients * row.stop_at]


def stop_wave(conn: Connection, found: Row[Any], reason: str, now: datetime) -> bool:
    """Remember that this step of this version is sent no more; False when that is known."""
    statement = upsert(stop, conn).values(
        playbook_key=found.playbook_key,
        version=found.version,
        step_id=found.step_id,
        recipients=found.recipients,
        losses=found.losses,
        reason=reason[:300],
        stopped_at=now,
    )
    added = conn.execute(statement.on_conflict_do_nothing().returning(stop.c.step_id))
    return added.one_or_none() is not None


def list_managers(conn: Connection) -> list[str]:
    """Managers, and administrators where there are none; at most a hundred."""
    for role in ("manager", "administrator"):
        query = select(member.c.userid).where(member.c.role == role, member.c.is_active.is_(True))
        if found := list(conn.execute(query.order_by(member.c.userid).limit(100)).scalars()):
            return found
    return []
