"""Points and levels: what is there, what is about to end, and how far the next level is."""

from datetime import timedelta

from sqlalchemy import Connection, func, select

from scrm.membership.models import member_level, points_account, points_lot
from scrm.sop.values.ready import Asked, Found, Source

SOON = timedelta(days=30)
_LEVELS = frozenset({"level", "level_gap", "level_next"})


def _points(conn: Connection, asked: Asked) -> Found:
    rows = conn.execute(
        select(points_account.c.person_id, points_account.c.available).where(
            points_account.c.person_id.in_(asked.person_ids)
        )
    )
    known = {row.person_id: row.available for row in rows}
    for one in asked.due:
        yield one.row.id, {"points": known.get(one.row.person_id)}


def _ending(conn: Connection, asked: Asked) -> Found:
    """Points that end within 30 days; none is nothing to speak of."""
    rows = conn.execute(
        select(points_lot.c.person_id, func.sum(points_lot.c.remaining).label("ending"))
        .where(
            points_lot.c.person_id.in_(asked.person_ids),
            points_lot.c.state == "open",
            points_lot.c.expires_at > asked.now,
            points_lot.c.expires_at <= asked.now + SOON,
        )
        .group_by(points_lot.c.person_id)
    )
    known = {row.person_id: int(row.ending) for row in rows}
    for one in asked.due:
        yield one.row.id, {"points_expiring": known.get(one.row.person_id) or None}


def _levels(conn: Connection, asked: Asked) -> Found:
    """The level, the next one and the growth that is missing; at the top there is no next one."""
    levels = conn.execute(select(member_level).order_by(member_level.c.growth_from)).all()
    titles = {row.key: row.title for row in levels}
    rows = conn.execute(
        select(points_account.c.person_id, points_account.c.growth, points_account.c.level_key).where(
            points_account.c.person_id.in_(asked.person_ids)
        )
    )
    known = {row.person_id: row for row in rows}
    for one in asked.due:
        account = known.get(one.row.person_id)
        if account is None:
            continue
        following = next((row for row in levels if row.growth_from > account.growth), None)
        said: dict[str, object] = {"level": titles.get(account.level_key, "")}
        if following is not None:
            said |= {"level_gap": following.growth_from - account.growth, "level_next": following.title}
        yield one.row.id, said


SOURCES = (
    Source("points".__eq__, _points),
    Source("points_expiring".__eq__, _ending),
    Source(_LEVELS.__contains__, _levels),
)
