"""What the database knows about how well things go."""

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, exists, func, or_, select

from scrm.callbacks.models import inbox_event
from scrm.work.models import DEAD, work_item


@dataclass(frozen=True, slots=True)
class Adds:
    """Friends added since some time, and how many of these events came without a welcome code."""

    all: int
    without_code: int


def last_callback(conn: Connection) -> datetime | None:
    moment: datetime | None = conn.execute(
        select(inbox_event.c.received_at).order_by(inbox_event.c.received_at.desc()).limit(1)
    ).scalar()
    return moment


# A shop with more adds than this in a week knows from these.
_MOST_ADDS = 1000
_CODE = re.compile(rb"<WelcomeCode>(?:<!\[CDATA\[)?[^<\]]")


def count_adds(conn: Connection, since: datetime) -> Adds:
    """Of the newest 1,000 at most; who was added half before had the code then, and is counted once."""
    half = inbox_event.alias("half")
    was_half = exists().where(
        half.c.change_type == "add_half_external_contact",
        half.c.external_userid == inbox_event.c.external_userid,
        half.c.userid == inbox_event.c.userid,
        half.c.external_userid != "",
    )
    full = and_(inbox_event.c.change_type == "add_external_contact", ~was_half)
    bodies = conn.execute(
        select(inbox_event.c.body)
        .where(
            inbox_event.c.received_at >= since,
            or_(inbox_event.c.change_type == "add_half_external_contact", full),
        )
        .order_by(inbox_event.c.received_at.desc())
        .limit(_MOST_ADDS)
    ).scalars()
    codes = [bool(_CODE.search(bytes(body))) for body in bodies]
    return Adds(len(codes), codes.count(False))


def count_dead(conn: Connection) -> int:
    return int(conn.execute(select(func.count()).where(work_item.c.state == DEAD)).scalar_one())
