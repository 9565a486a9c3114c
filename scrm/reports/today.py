"""今日: what came in, what went out and what was bought since midnight in the shop's zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, and_, case, func, literal_column, or_, select

from scrm.db.json_text import json_number
from scrm.events import event
from scrm.sop.models import send, task

# No more tasks than these are looked at; the newest say enough about a week.
MOST_TASKS = 20_000
FUNNEL_DAYS = 7

_NOT_SENT = ("failed", "too_late", "unknown")


@dataclass(frozen=True, slots=True)
class Span:
    """From midnight until now, and the same hours of the day before."""

    start: datetime
    now: datetime
    start_before: datetime

    @property
    def until_before(self) -> datetime:
        return self.start_before + (self.now - self.start)


@dataclass(frozen=True, slots=True)
class Funnel:
    """What became of the tasks of the last days; `is_cut` when there were more than could be looked at."""

    made: int
    sent: int
    waiting: int
    skipped: int
    expired: int
    withdrawn: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Today:
    """Money in fen; `*_before` are the same hours yesterday."""

    added: int
    added_before: int
    lost: int
    lost_before: int
    orders: int
    orders_before: int
    paid_fen: int
    paid_fen_before: int
    welcomes: dict[str, int]
    waiting: int
    confirmed: int
    funnel: Funnel

    @property
    def welcomes_sent(self) -> int:
        return self.welcomes.get("sent", 0)

    @property
    def welcomes_failed(self) -> int:
        return sum(self.welcomes.get(outcome, 0) for outcome in _NOT_SENT)

    @property
    def worst_outcome(self) -> str:
        """What most welcomes failed by."""
        return max(_NOT_SENT, key=lambda outcome: self.welcomes.get(outcome, 0))


def span_of(now: datetime, zone: ZoneInfo) -> Span:
    day = now.astimezone(zone).date()
    start, before = (datetime.combine(d, time(), zone).astimezone(UTC) for d in (day, day - timedelta(days=1)))
    return Span(start, now, before)


def compute_today(conn: Connection, now: datetime, zone: ZoneInfo) -> Today:
    span = span_of(now, zone)
    counts = _count_events(conn, span)
    sums = _sum_orders(conn, span)
    return Today(
        added=counts["contact.added"][0],
        added_before=counts["contact.added"][1],
        lost=counts["contact.lost"][0],
        lost_before=counts["contact.lost"][1],
        orders=sums[0],
        paid_fen=sums[1],
        orders_before=sums[2],
        paid_fen_before=sums[3],
        welcomes=_count_welcomes(conn, span),
        waiting=_count_waiting(conn, now),
        confirmed=_count_confirmed(conn, span),
        funnel=_compute_funnel(conn, span),
    )


_LOST = ("contact.lost_by_customer", "contact.lost_by_member")


def _within(span: Span) -> tuple[Any, Any]:
    today = event.c.occurred_at.between(span.start, span.now)
    return today, event.c.occurred_at.between(span.start_before, span.until_before)


def _count_events(conn: Connection, span: Span) -> dict[str, tuple[int, int]]:
    today, before = _within(span)
    rows = conn.execute(
        select(event.c.name, func.sum(case((today, 1), else_=0)), func.sum(case((before, 1), else_=0)))
        .where(event.c.name.in_(("contact.added", *_LOST)), or_(today, before))
        .group_by(event.c.name)
    )
    counts = {"contact.added": (0, 0), "contact.lost": (0, 0)}
    for name, count, count_before in rows:
        key = name if name in counts else "contact.lost"
        counts[key] = (counts[key][0] + int(count), counts[key][1] + int(count_before))
    return counts


def _sum_orders(conn: Connection, span: Span) -> tuple[int, int, int, int]:
    """Orders and fen, today and before: of buyers whom we know, because only they have events."""
    today, before = _within(span)
    fen = func.coalesce(json_number(event.c.facts, "paid_fen"), 0)
    row = conn.execute(
        select(
            func.sum(case((today, 1), else_=0)),
            func.sum(case((today, fen), else_=0)),
            func.sum(case((before, 1), else_=0)),
            func.sum(case((before, fen), else_=0)),
        ).where(event.c.name == "order.paid", or_(today, before))
    ).one()
    orders, paid, orders_before, paid_before = (int(value or 0) for value in row)
    return orders, paid, orders_before, paid_before


def _count_welcomes(conn: Connection, span: Span) -> dict[str, int]:
    rows = conn.execute(
        select(send.c.outcome, func.count())
        .where(send.c.kind == "welcome", send.c.decided_at >= span.start)
        .group_by(send.c.outcome)
    )
    return {row[0]: row[1] for row in rows}


def _count_waiting(conn: Connection, now: datetime) -> int:
    """Tasks that a member could send at this moment."""
    is_due = and_(task.c.open_at <= now, or_(task.c.expires_at.is_(None), task.c.expires_at > now))
    query = (
        select(func.count())
        .select_from(task)
        .where(literal_column("task.state = 'open'"), task.c.kind == "send", is_due)
    )
    return int(conn.execute(query).scalar_one())


def _count_confirmed(conn: Connection, span: Span) -> int:
    """What members sent from the chat since midnight."""
    query = select(func.count()).where(send.c.kind == "chat", send.c.outcome == "sent", send.c.decided_at >= span.start)
    return int(conn.execute(query).scalar_one())


def _compute_funnel(conn: Connection, span: Span) -> Funnel:
    newest = (
        select(task.c.state, task.c.created_at, task.c.expires_at)
        .order_by(task.c.id.desc())
        .limit(MOST_TASKS)
        .subquery()
    )
    ran_out = and_(newest.c.state == "open", newest.c.expires_at <= span.now)
    state = case((ran_out, "expired"), else_=newest.c.state)
    since = span.start - timedelta(days=FUNNEL_DAYS - 1)
    counts = {
        name: int(count)
        for name, count in conn.execute(select(state, func.count()).where(newest.c.created_at >= since).group_by(state))
    }
    made = sum(counts.values())
    return Funnel(
        made=made,
        sent=counts.get("sent", 0),
        waiting=counts.get("open", 0),
        skipped=counts.get("skipped", 0),
        expired=counts.get("expired", 0),
        withdrawn=counts.get("withdrawn", 0),
        is_cut=made == MOST_TASKS,
    )
