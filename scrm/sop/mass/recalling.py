"""Messages that are stopped at WeCom, and made again for those who stay."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from scrm.mass_messages import plan
from scrm.mass_messages import store as messages
from scrm.sop.mass.batches import EXPIRED, change_batch, find_batch_of, part, step, target, why_over
from scrm.sop.mass.ending import end_all
from scrm.sop.mass.leaving import lock_parts, queue_recall
from scrm.sop.mass.results import STOPPED_BY_HAND

# While a call's outcome is not known nothing can be recalled.
LOOK_AGAIN = timedelta(seconds=60)
# Somebody left: the others' message is made again after that, the second time after twice that, and so on.
REMAKE_AFTER, REMAKE_AT_MOST = timedelta(minutes=2), timedelta(minutes=30)


def begin_recall(conn: Connection, part_id: int, now: datetime) -> Row[Any] | None:
    """The part, to be stopped at WeCom now; None when nothing is to be recalled (any more)."""
    row = messages.lock_part(conn, part_id)
    if row.state == "intent":
        queue_recall(conn, part_id, now, after=LOOK_AGAIN)
        return None
    if row.state == "recalling":
        return row
    if row.state != "created" or row.confirmed_at is not None or not _must_go(conn, row, now):
        return None
    messages.change_part(conn, part_id, state="recalling", poll_at=None)
    return row


def _must_go(conn: Connection, row: Row[Any], now: datetime) -> bool:
    """Whether somebody of the part was taken out, or all of it."""
    of = find_batch_of(conn, row.mass_message_id)
    if of is None or why_over(conn, of, now) is not None:
        return of is not None
    query = select(target.c.target).where(target.c.part_id == row.id, target.c.state == "cancelled").limit(1)
    return conn.execute(query).first() is not None


def give_up_recall(conn: Connection, part_id: int, confirmed_at: datetime | None, now: datetime) -> None:
    """The member was faster, or WeCom would not: it goes on as it is, and its results are asked for."""
    row = messages.lock_part(conn, part_id)
    if row.state == "recalling":
        messages.change_part(conn, part_id, state="created", confirmed_at=confirmed_at, poll_at=now)


def finish_recall(conn: Connection, part_id: int, is_second: bool, now: datetime) -> set[int]:
    """WeCom sends nothing of it any more: those who stay get a new part, unless it is over; returns ended runs.

    Only after a second look some minutes later: what the member did in the last moment may show late.
    """
    row = messages.lock_part(conn, part_id)
    message = messages.lock_message(conn, row.mass_message_id)
    of = find_batch_of(conn, row.mass_message_id)
    if row.state != "recalling" or of is None:
        return set()
    stay = conn.execute(
        select(target.c.target, target.c.step_run_id).where(target.c.part_id == part_id, target.c.state == "waiting")
    ).all()
    delay = timedelta() if is_second else min(REMAKE_AFTER * (2 ** min(of.recalls, 10)), REMAKE_AT_MOST)
    over = why_over(conn, of, now) or (("dropped", EXPIRED) if of.expires_at <= now + delay else None)
    if message.state == "cancelled":
        over = "skipped", STOPPED_BY_HAND
    ended: set[int] = set()
    if over is not None:
        ended = end_all(conn, [each.step_run_id for each in stay], over, now)
    elif stay and not is_second:
        queue_recall(conn, part_id, now, after=delay, is_second=True)
        return ended
    elif stay:
        new = messages.add_part_for(conn, row.mass_message_id, row.userid, [each.target for each in stay])
        plan.queue_create(conn, row.mass_message_id, new, row.userid, now)
        change_batch(conn, of.id, recalls=of.recalls + 1)
    messages.change_part(
        conn, part_id, state="cancelled", reason="有客户退出，已撤回重发" if stay else "已撤回", poll_at=None
    )
    messages.end_if_over(conn, row.mass_message_id, now)
    return ended


def end_batch(conn: Connection, of: Row[Any], over: tuple[str, str], now: datetime) -> set[int]:
    """Nothing more of a batch goes out: what is with WeCom is recalled, the rest ends here; returns ended runs."""
    change_batch(conn, of.id, state="over", look_at=None)
    gathering = list(
        conn.execute(
            update(step)
            .where(step.c.batch_id == of.id, step.c.state == "gathering")
            .values(state="over")
            .returning(step.c.step_run_id)
        ).scalars()
    )
    ended = end_all(conn, gathering, over, now)
    if of.mass_message_id is None:
        return ended
    ids = conn.execute(select(part.c.id).where(part.c.mass_message_id == of.mass_message_id)).scalars()
    for row in lock_parts(conn, set(ids)).values():
        if row.state == "planned":
            mine = select(target.c.step_run_id).where(target.c.part_id == row.id, target.c.state == "planned")
            ended |= end_all(conn, list(conn.execute(mine).scalars()), over, now)
            # Finds nobody, and is over with it.
            plan.queue_create(conn, row.mass_message_id, row.id, row.userid, now)
        elif row.state in ("intent", "recalling") or (row.state == "created" and row.confirmed_at is None):
            queue_recall(conn, row.id, now)
    return ended


def list_unconfirmed(conn: Connection, message_id: int) -> list[int]:
    """The parts of a message that wait for their member."""
    query = select(part.c.id).where(
        part.c.mass_message_id == message_id, part.c.state == "created", part.c.confirmed_at.is_(None)
    )
    return list(conn.execute(query).scalars())
