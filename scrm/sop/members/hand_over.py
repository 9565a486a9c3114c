"""What runs for a customer goes on with another member, who finds the open tasks in the own words and name."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, func, select, update

from scrm.services import Services
from scrm.sop import content
from scrm.sop.channels import Outcome, Ready, Release, mass
from scrm.sop.facts import Due
from scrm.sop.mass import ending, leaving
from scrm.sop.models import enrolment, task
from scrm.sop.shelf import find_version, house_of, playbooks_of, shop_of

# Who is paused or waits for his turn goes on with the new member too.
_LIVING = ("active", "paused", "queued")


@dataclass(frozen=True, slots=True)
class HandedOver:
    """How much changed hands."""

    runs: int
    tasks: int


def hand_over(
    conn: Connection, services: Services, userid: str, external_userid: str, taker: str, *, now: datetime
) -> HandedOver:
    """Runs under way and open tasks of one pair become the taker's, with texts filled anew; again changes nothing.

    A tap that was under way with the old member (released, not confirmed) is open again for the new one.
    """
    # The runs before the tasks, as everywhere: a tick that holds a run has written its task before we look.
    runs = conn.execute(
        update(enrolment)
        .where(
            enrolment.c.state.in_(_LIVING),
            enrolment.c.external_userid == external_userid,
            func.lower(enrolment.c.userid) == userid.lower(),
        )
        .values(userid=taker)
        .returning(enrolment)
    ).all()
    tasks = conn.execute(
        update(task)
        .where(
            task.c.state == "open",
            task.c.external_userid == external_userid,
            func.lower(task.c.userid) == userid.lower(),
        )
        .values(
            userid=taker,
            released_at=None,
            reminder=case((task.c.kind.in_(("send", "promise")), "waiting"), else_=task.c.reminder),
        )
        .returning(task.c.id, task.c.enrolment_id, task.c.step_id)
    ).all()
    by_id = {run.id: run for run in runs}
    _say_anew(conn, services, by_id, tasks, now)
    _gather_anew(conn, services, userid, external_userid, by_id, now)
    return HandedOver(len(runs), len(tasks))


def _gather_anew(
    conn: Connection,
    services: Services,
    userid: str,
    external_userid: str,
    runs: dict[int, Row[Any]],
    now: datetime,
) -> None:
    """What waits in the old member's mass messages goes into the taker's, in the taker's name."""
    published, release = playbooks_of(services), Release(now, house_of(services), shop_of(services))
    ready, ends = [], []
    for one in leaving.free_pair(conn, userid, external_userid, now):
        run = runs.get(one.enrolment_id)
        playbook = find_version(conn, published, run.playbook_key, run.version) if run is not None else None
        step = playbook.step(one.step_id) if playbook is not None else None
        if run is None or playbook is None or step is None:
            ends.append(Outcome(one.step_run_id, "skipped", "客户已转给其他员工，群发已撤回"))
            continue
        due = Due(run, playbook, step)
        said = content.fill(conn, due, content.load_values(conn, [due], release.shop, now)[run.id], release.shop, now)
        if said.problem or said.needless:
            ends.append(Outcome(one.step_run_id, "failed", said.problem or said.needless))
        else:
            ready.append(Ready(due, step, said, one.step_run_id))
    if ready:
        leaving.change_sender(conn, [one.step_run_id for one in ready], ready[0].due.row.userid)
        ends += mass.release(conn, ready, release)
    for end in ends:
        ending.finish(conn, {(end.state, end.reason): [end.step_run_id]}, now)


def _say_anew(
    conn: Connection, services: Services, runs: dict[int, Row[Any]], tasks: "list[Row[Any]] | Any", now: datetime
) -> None:
    """The old texts name the old member; one that cannot be filled any more stays as it was."""
    published, shop = playbooks_of(services), shop_of(services)
    for one in tasks:
        run = runs.get(one.enrolment_id)
        playbook = find_version(conn, published, run.playbook_key, run.version) if run is not None else None
        if run is None or playbook is None:
            continue
        step = next((step for step in playbook.steps if step.id == one.step_id), None)
        if step is None or step.content is None:
            continue
        due = Due(run, playbook, step)
        filled = content.fill(conn, due, content.load_values(conn, [due], shop, now)[run.id], shop, now)
        if filled.text:
            conn.execute(update(task).where(task.c.id == one.id).values(_said(filled)))


def _said(filled: content.Filled) -> dict[str, Any]:
    return {"text": filled.text, "attachments": filled.attachments}


def count_running(conn: Connection, userid: str) -> tuple[int, int]:
    """(runs under way, open tasks) of a member: what a hand-over would move at most."""
    living = enrolment.c.state.in_(_LIVING)
    running = select(func.count()).where(living, func.lower(enrolment.c.userid) == userid.lower())
    waiting = select(func.count()).where(task.c.state == "open", func.lower(task.c.userid) == userid.lower())
    return conn.execute(running).scalar_one(), conn.execute(waiting).scalar_one()
