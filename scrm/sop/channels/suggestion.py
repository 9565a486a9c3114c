"""S, a silent suggestion: shown beside the chat when the member talks with the customer anyway; it never pings."""

from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import Connection

from scrm.sop.channels import lateness
from scrm.sop.channels.ready import Outcome, Ready, Release, needless_acts
from scrm.sop.members import task_store
from scrm.sop.schema import Step
from scrm.sop.text import forms

letter = "S"
title = "侧边栏建议（静默）"
opening = "waiting"
keys: frozenset[str] = frozenset({"hint", "form"})

# Talks are rare: what is suggested without a ttl waits a week for one.
LIFE = timedelta(days=7)
_HINT_CHARS = 500


def problems(step: Step, keys: Collection[str]) -> list[str]:
    """Words to send, or a hint for the member's eyes, or both."""
    found = [*needless_acts(step), *forms.problems(step)]
    hint = step.options.get("hint")
    if hint is not None and not (isinstance(hint, str) and 0 < len(hint.strip()) <= _HINT_CHARS):
        found.append(f"步骤“{step.id}”的 hint 要写给员工看的提示，不超过 {_HINT_CHARS} 个字")
    if hint is None and not any(content.text or content.attachments for content in step.contents):
        found.append(f"步骤“{step.id}”缺少 content（可以发给客户的话）或 hint（只给员工看的提示）")
    return found


def release(conn: Connection, ready: Sequence[Ready], release: Release) -> list[Outcome]:
    """A task that nobody is told of; the run does not wait for it."""
    timely, late = lateness.part(ready, release, LIFE)
    task_store.add_tasks(conn, [_suggestion(one, release) for one in timely])
    return late


def _suggestion(one: Ready, release: Release) -> dict[str, object]:
    row, step = one.due.row, one.step
    hint = str(step.options.get("hint") or "")
    has_words = bool(one.said.text or one.said.attachments)
    return {
        "step_run_id": one.step_run_id,
        "enrolment_id": row.id,
        "playbook_key": one.due.playbook.key,
        "playbook_title": one.due.playbook.title,
        "step_id": step.id,
        "userid": row.userid,
        "external_userid": row.external_userid,
        "person_id": row.person_id,
        "title": (hint if has_words and hint else step.title or one.due.playbook.title)[:120],
        "text": one.said.text if has_words else hint,
        "attachments": one.said.attachments,
        "form": forms.asked_in(step),
        "kind": "suggestion" if has_words else "hint",
        "reminder": "none",
        "open_at": release.now,
        "expires_at": release.now + (step.ttl or LIFE),
        "created_at": release.now,
        "correlation": row.correlation,
    }
