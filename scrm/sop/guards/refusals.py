"""What a refusal takes back: whoever says stop gets nothing that still waits for a member's tap or confirmation."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from scrm.db.bulk import among
from scrm.events import Event
from scrm.profiles.models import person
from scrm.sop import store
from scrm.sop.guards import answers as guards
from scrm.sop.life.published import Published
from scrm.sop.members import task_store
from scrm.sop.models import step_run
from scrm.sop.shelf import find_version

CHANGED = "optout.changed"
# A tap or a confirmation is still missing.
_WAITING = ("T", "S", "M")


def take_back(conn: Connection, event: Event, running: Sequence[Row[Any]], published: Published, now: datetime) -> int:
    """Withdraw the steps of this person's runs that he has just refused; returns how many. The runs go on."""
    runs = {row.id: row for row in running}
    if event.name != CHANGED or not runs:
        return 0
    found = conn.execute(select(person.c.optout).where(person.c.id == event.person_id)).scalar_one_or_none() or {}
    if not any(found.values()):
        return 0
    query = select(step_run.c.id, step_run.c.enrolment_id, step_run.c.step_id).where(
        among(conn, step_run.c.enrolment_id, list(runs)),
        step_run.c.state.in_(("intent", "waiting")),
        step_run.c.channel.in_(_WAITING),
    )
    refused: dict[str, list[int]] = defaultdict(list)
    for row in conn.execute(query):
        run = runs[row.enrolment_id]
        playbook = find_version(conn, published, run.playbook_key, run.version)
        step = playbook.step(row.step_id) if playbook is not None else None
        if playbook is not None and step is not None and (words := guards.refused(playbook, found, step)):
            refused[words].append(row.id)
    for words, ids in refused.items():
        task_store.withdraw_steps(conn, ids, f"{words}，任务已撤回。", now=now)
    store.finish_idle(conn, list(runs), now=now)
    return sum(map(len, refused.values()))
