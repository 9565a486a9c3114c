"""T, a member's task: a text that is ready to be sent in one tap from the chat's sidebar."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection

from scrm.sop import engine, timing
from scrm.sop.channels.ready import Outcome, Ready, Release, missing_content, needless_acts, undecided
from scrm.sop.members import task_store
from scrm.sop.schema import Step
from scrm.sop.text import forms

letter = "T"
title = "员工待办（一键发送）"
opening = "waiting"
keys: frozenset[str] = frozenset({"escalate", "form"})


def problems(step: Step, keys: Collection[str]) -> list[str]:
    """What is said, and what becomes of it when nobody says it."""
    return [
        *undecided(step, keys),
        *needless_acts(step),
        *missing_content(step),
        *_bad_escalation(step),
        *forms.problems(step),
    ]


def _bad_escalation(step: Step) -> list[str]:
    wanted = step.options.get("escalate")
    if wanted in (None, "none"):
        return []
    try:
        after = timing.parse_duration(str(wanted))
    except ValueError as error:
        return [f"步骤“{step.id}”的 escalate：{error}"]
    if step.ttl is not None and after >= step.ttl:
        return [f"步骤“{step.id}”的 escalate 要比 ttl 短：过期之前告诉上级才有用"]
    return []


def escalates_at(step: Step, released_at: datetime) -> datetime | None:
    """When the member's manager hears of it: after `escalate`, else after half of its time."""
    wanted = step.options.get("escalate")
    if wanted == "none":
        return None
    life = engine.expires_at(step, released_at) - released_at
    return released_at + (timing.parse_duration(str(wanted)) if wanted else life / 2)


def release(conn: Connection, ready: Sequence[Ready], release: Release) -> list[Outcome]:
    """One task for each; the step stays open until its member acts."""
    task_store.add_tasks(conn, [_task(one, release) for one in ready])
    return []


def _task(one: Ready, release: Release) -> dict[str, object]:
    row, step = one.due.row, one.step
    return {
        "step_run_id": one.step_run_id,
        "enrolment_id": row.id,
        "playbook_key": one.due.playbook.key,
        "playbook_title": one.due.playbook.title,
        "step_id": step.id,
        "userid": row.userid,
        "external_userid": row.external_userid,
        "person_id": row.person_id,
        "title": step.title or one.due.playbook.title,
        "text": one.said.text,
        "attachments": one.said.attachments,
        "form": forms.asked_in(step),
        # As planned, so that a bundle of the same half hour is one reminder; the time to act counts from now.
        "open_at": min(row.due_at, release.now),
        "expires_at": engine.expires_at(step, release.now),
        "escalate_at": escalates_at(step, release.now),
        "created_at": release.now,
        "correlation": row.correlation,
    }
