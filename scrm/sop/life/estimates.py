"""How many a playbook reaches in a month and what that costs: what publishing it is judged by."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from scrm.events import event, event_of
from scrm.profiles.models import follow_user
from scrm.segments import audience, conditions
from scrm.sop.life import published
from scrm.sop.models import enrolment
from scrm.sop.schema import Channel, Condition, Playbook
from scrm.sop.triggers import starts

PERIOD = timedelta(days=30)
_DAYS = 30
# So many events are looked at one by one; more are counted, and taken to be like these.
_SAMPLE = 2000
_MOST_COUNTED = 200_000
_NEWEST_RUNS = 300_000
# WeCom members get no more tasks in a day than they can do (docs: default guards).
MOST_TASKS_A_DAY = 40


@dataclass(frozen=True, slots=True)
class Limits:
    """Above these a manager approves: people in 30 days, coupons' face value in fen."""

    audience: int = 500
    budget_fen: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """`audience` people in 30 days, from real entries (`is_counted`) or from the events that would have begun runs.

    `members` write to them; `tasks_a_day` is for each of these members; `coupon_fen` is what all coupons are worth.
    """

    audience: int
    is_counted: bool
    members: int
    tasks_a_day: int
    coupon_fen: int
    face_fen: int


def estimate(conn: Connection, playbook: Playbook, now: datetime) -> Estimate:
    """Looks back 30 days; at most a few thousand events are looked at one by one."""
    since = now - PERIOD
    counted = _count_entries(conn, playbook, since)
    if counted is not None:
        found, persons = counted, _who(conn, playbook)
    elif playbook.trigger.segment:
        found, persons = _in_segment(conn, playbook, now)
    else:
        found, persons = _would_enter(conn, playbook, since, now)
    members = _count_members(conn, persons)
    tasks = sum(step.channel is Channel.TASK for step in playbook.steps)
    face = sum(spec.face_fen for spec in playbook.coupons if spec.benefit == "amount")
    return Estimate(
        audience=found,
        is_counted=counted is not None,
        members=members,
        tasks_a_day=round(found * tasks / _DAYS / members) if members else 0,
        coupon_fen=face * found,
        face_fen=face,
    )


def reasons_to_approve(playbook: Playbook, found: Estimate, limits: Limits) -> list[str]:
    """Why a manager has to approve; empty when nobody has to."""
    most = playbook.approval or limits.audience
    reasons = []
    if found.audience > most:
        reasons.append(f"预计 30 天进入 {found.audience:,} 人，超过 {most:,} 人")
    if found.coupon_fen > limits.budget_fen:
        reasons.append(
            f"券面额合计约 ¥{found.coupon_fen / 100:,.0f}（每人 ¥{found.face_fen / 100:g} × {found.audience:,} 人），"
            f"超过 ¥{limits.budget_fen / 100:,.0f}"
        )
    return reasons


def warnings(found: Estimate) -> list[str]:
    """What an author should know before many feel it."""
    if found.tasks_a_day <= MOST_TASKS_A_DAY:
        return []
    return [
        f"此人群预计每天给 {found.members} 名员工各 {found.tasks_a_day} 条待办，超过 {MOST_TASKS_A_DAY} 条上限："
        "请收窄进入条件、减少步骤，或改用群发"
    ]


def _count_entries(conn: Connection, playbook: Playbook, since: datetime) -> int | None:
    """Who entered, while what decides it has not changed; None when only events can tell."""
    row = published.find_current(conn, playbook.key)
    before = published.read_kept(conn, row.source, playbook.key, row.contents) if row is not None else None
    if before is None or _who_enters(before) != _who_enters(playbook):
        return None
    first = published.find_first_published_at(conn, playbook.key)
    if first is None or first > since:
        return None
    newest = select(func.coalesce(func.max(enrolment.c.id), 0)).scalar_subquery()
    query = select(func.count()).where(
        enrolment.c.playbook_key == playbook.key,
        enrolment.c.enrolled_at >= since,
        enrolment.c.id > newest - _NEWEST_RUNS,
    )
    return int(conn.execute(query).scalar_one())


def _who_enters(playbook: Playbook) -> tuple[Any, ...]:
    return playbook.trigger, playbook.run_key, playbook.reentry, playbook.reentry_every, playbook.enter_if


def _who(conn: Connection, playbook: Playbook) -> list[int]:
    query = select(enrolment.c.person_id).where(enrolment.c.playbook_key == playbook.key)
    return list(conn.scalars(query.order_by(enrolment.c.id.desc()).limit(_SAMPLE)))


def _in_segment(conn: Connection, playbook: Playbook, now: datetime) -> tuple[int, list[int]]:
    """A schedule takes everybody who is in its segment when it fires."""
    tree: Condition = {"segment": playbook.trigger.segment}
    if playbook.enter_if is not None and not _needs_run(playbook.enter_if):
        tree = {"all": [tree, playbook.enter_if]}
    some = audience.sample(conn, tree, now, limit=_SAMPLE)
    return audience.count(conn, tree, now), [row.id for row in some]


def _needs_run(tree: Condition) -> bool:
    """Whether only the run itself can answer: for an estimate everybody then counts."""
    return any(conditions.needs_run(leaf) for _, leaf in conditions.list_leaves(tree))


def _would_enter(conn: Connection, playbook: Playbook, since: datetime, now: datetime) -> tuple[int, list[int]]:
    """The people whose events would have begun a run, and some of them."""
    of_kind = (event.c.name == playbook.trigger.event, event.c.occurred_at >= since)
    some = select(event.c.id).where(*of_kind, event.c.person_id.is_not(None)).limit(_MOST_COUNTED)
    total = conn.execute(select(func.count()).select_from(some.subquery())).scalar_one()
    rows = list(
        conn.execute(
            select(event)
            .where(*of_kind, event.c.person_id.is_not(None))
            .order_by(event.c.occurred_at.desc())
            .limit(_SAMPLE)
        )
    )
    if not rows:
        return 0, []
    fitting = [row.person_id for row in rows if starts(playbook.trigger, event_of(row))]
    persons = sorted(set(fitting))
    if playbook.enter_if is not None and persons and not _needs_run(playbook.enter_if):
        persons = sorted(conditions.holding(conn, playbook.enter_if, persons, now))
    keyed = len(persons) if playbook.run_key == "person" else sum(each in set(persons) for each in fitting)
    return round(keyed * total / len(rows)), persons


def _count_members(conn: Connection, persons: list[int]) -> int:
    if not persons:
        return 0
    living = (follow_user.c.person_id.in_(persons), follow_user.c.ended_by == "")
    return int(conn.execute(select(func.count(follow_user.c.userid.distinct())).where(*living)).scalar_one())
