"""At a member's tap everything is asked once more: what held when the task was made may not hold now."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from scrm.sop import engine, exits, store
from scrm.sop.engine import Verdict
from scrm.sop.facts import Due, gather
from scrm.sop.guards import arbitration
from scrm.sop.guards import facts as guard_facts
from scrm.sop.guards.answers import House
from scrm.sop.life.published import Published
from scrm.sop.members import task_store
from scrm.sop.schema import Playbook
from scrm.sop.shelf import find_version

_UNMET = "条件不满足："


@dataclass(frozen=True, slots=True)
class Rules:
    """What a tap is judged by."""

    published: Published
    house: House


def recheck(conn: Connection, task: Row[Any], run: Row[Any], rules: Rules, now: datetime) -> str:
    """Why this task must not be sent now, in words, after it (and its run) has been ended or put off; empty: it may.

    Hours and windows do not count, the member has the chat open; nor does a talk that is under way, it is his own.
    """
    playbook = find_version(conn, rules.published, run.playbook_key, run.version)
    step = playbook.step(task.step_id) if playbook is not None else None
    if playbook is None or step is None:
        return ""
    if run.state != "active":
        words = exits.withdrawn_words(run.ended_reason or run.held_reason or "流程已结束", playbook)
        return _end(conn, task, "withdrawn", words, now)
    one = Due(run, playbook, step)
    guard = guard_facts.load_person(conn, one, now, rules.house, besides=task.step_run_id)
    known = gather(conn, [one], now, lambda conn, due: {run.id: guard})[run.id]
    if known.ending is not None:
        store.end_runs(conn, [(run.id, known.ending.state, known.ending.reason)], now=now)
        return _end(conn, task, "withdrawn", exits.withdrawn_words(known.ending.reason, playbook), now)
    # This task itself is one of the run's pushes already.
    facts = known.facts._replace(pushes=max(known.facts.pushes - 1, 0))
    decision = engine.recheck(playbook, step, facts, rules.house, now)
    if decision.verdict is Verdict.RUN:
        return ""
    if decision.verdict is Verdict.PAUSE:
        arbitration.pause(conn, [(run.id, decision.reason, decision.until or now)], now)
        return f"{decision.reason}，任务已撤回。"
    if decision.verdict is Verdict.DEFER and decision.until is not None and _lives_until(task, decision.until):
        task_store.change_task(conn, task.id, open_at=decision.until, reminder="waiting", released_at=None)
        local = decision.until.astimezone(rules.house.zone)
        return f"{decision.reason}。已推迟到 {local.month}月{local.day}日 {local:%H:%M}。"
    return _give_up(conn, task, playbook, decision, now)


def _give_up(conn: Connection, task: Row[Any], playbook: Playbook, decision: engine.Decision, now: datetime) -> str:
    reason = decision.reason
    if reason.startswith(_UNMET):
        return _end(conn, task, "skipped", f"条件已不满足：{reason.removeprefix(_UNMET)}。", now)
    if decision.verdict is Verdict.SKIP:
        return _end(conn, task, "withdrawn", exits.withdrawn_words(reason, playbook), now)
    gave_up = reason if reason.startswith("被频控放弃") else f"被频控放弃：{reason}"
    return _end(conn, task, "skipped", f"{gave_up}。", now)


def _lives_until(task: Row[Any], until: datetime) -> bool:
    return task.expires_at is None or until < task.expires_at


def _end(conn: Connection, task: Row[Any], state: str, words: str, now: datetime) -> str:
    task_store.end_task(conn, task, state, words, now=now)
    return words
