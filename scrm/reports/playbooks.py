"""What became of those who entered a playbook, step by step, counted over the newest runs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Subquery, func, select

from scrm.sop.models import enrolment, step_run, task

# Runs of all playbooks together that are looked at.
MOST_RUNS = 20_000

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Figures:
    """`runs` by state; for each step its executions and its tasks by state."""

    runs: Counts
    steps: Mapping[str, Counts]
    tasks: Mapping[str, Counts]
    is_cut: bool


def count_runs(conn: Connection) -> dict[str, dict[str, int]]:
    """By playbook key, then by state, among the newest runs."""
    newest = _newest()
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    rows = conn.execute(
        select(newest.c.playbook_key, newest.c.state, func.count()).group_by(newest.c.playbook_key, newest.c.state)
    )
    for key, state, count in rows:
        counts[key][state] = count
    return counts


def compute_figures(conn: Connection, key: str) -> Figures:
    newest = _newest()
    mine = newest.c.playbook_key == key
    runs = conn.execute(select(newest.c.state, func.count()).where(mine).group_by(newest.c.state))
    looked_at = conn.execute(select(func.count()).select_from(newest)).scalar_one()
    steps = conn.execute(
        select(step_run.c.step_id, step_run.c.state, func.count())
        .join(newest, newest.c.id == step_run.c.enrolment_id)
        .where(mine)
        .group_by(step_run.c.step_id, step_run.c.state)
    )
    tasks = conn.execute(
        select(task.c.step_id, task.c.state, func.count())
        .join(newest, newest.c.id == task.c.enrolment_id)
        .where(mine)
        .group_by(task.c.step_id, task.c.state)
    )
    return Figures(
        runs={row[0]: row[1] for row in runs},
        steps=_by_step(steps),
        tasks=_by_step(tasks),
        is_cut=looked_at == MOST_RUNS,
    )


def _newest() -> Subquery:
    return (
        select(enrolment.c.id, enrolment.c.playbook_key, enrolment.c.state)
        .order_by(enrolment.c.id.desc())
        .limit(MOST_RUNS)
        .subquery("newest")
    )


def _by_step(rows: Iterable[Any]) -> Mapping[str, Counts]:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for step_id, state, count in rows:
        counts[step_id][state] = count
    return counts
