"""I, an internal notice: an app message to members, never to the customer."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from scrm.sop.channels import lateness
from scrm.sop.channels.ready import Outcome, Ready, Release, missing_content, needless_acts
from scrm.sop.members import notice_store
from scrm.sop.schema import Step

letter = "I"
title = "内部通知"
opening = "intent"
keys: frozenset[str] = frozenset({"notify"})

# A notice that comes a day late is none.
LIFE = timedelta(hours=24)
# A little later than asked for, so that its neighbours come along.
GATHER = timedelta(minutes=2)
# Complaints and trade notices are told at once.
URGENT = frozenset({"P0", "P1"})
ROLES = {"manager": "店长", "administrator": "管理员"}
_MOST = 20
_EXAMPLE = "owner（跟进员工）、manager（他的上级）、{role: administrator} 或员工账号的列表"


def problems(step: Step, keys: Collection[str]) -> list[str]:
    """Whom it tells, and what."""
    found = [*missing_content(step), *needless_acts(step)]
    notify = step.options.get("notify")
    if notify is None:
        found.append(f"步骤“{step.id}”缺少 notify：通知谁，{_EXAMPLE}")
    elif not recipients(notify):
        found.append(f"步骤“{step.id}”的 notify 要写 {_EXAMPLE}")
    elif len(recipients(notify)) > _MOST:
        found.append(f"步骤“{step.id}”一次最多通知 {_MOST} 个人，更多请用 role")
    if any(content.attachments for content in step.contents):
        found.append(f"步骤“{step.id}”是内部通知，只能写文字，不能带附件")
    return found


def recipients(notify: Any) -> list[str]:
    """["owner"], ["manager"], ["role:administrator"], or userids; none when it is something else."""
    if isinstance(notify, dict):
        role = notify.get("role")
        return [f"role:{role}"] if role in ROLES and len(notify) == 1 else []
    named = [notify] if isinstance(notify, str) else notify
    if not isinstance(named, list) or not all(isinstance(each, str) and 0 < len(each.strip()) <= 64 for each in named):
        return []
    return list(dict.fromkeys(each.strip() for each in named))


def release(conn: Connection, ready: Sequence[Ready], release: Release) -> list[Outcome]:
    """A row for each who is to be told; a tick sends them, bundled."""
    timely, late = lateness.part(ready, release, LIFE)
    notice_store.add_notices(conn, [row for one in timely for row in _rows(one, release)])
    return late


def _rows(one: Ready, release: Release) -> list[dict[str, Any]]:
    row, playbook = one.due.row, one.due.playbook
    is_urgent = playbook.priority in URGENT
    return [
        {
            "once": f"step:{one.step_run_id}:{number}",
            "step_run_id": one.step_run_id,
            "task_id": None,
            "person_id": row.person_id,
            "external_userid": row.external_userid,
            "of_userid": row.userid,
            "userid": row.userid if who == "owner" else "" if _is_looked_up(who) else who,
            "notify": who if _is_looked_up(who) else "",
            "title": one.step.title or playbook.title,
            "text": one.said.text,
            "is_urgent": is_urgent,
            "state": "waiting",
            "look_at": release.now if is_urgent else release.now + GATHER,
            "created_at": release.now,
        }
        for number, who in enumerate(recipients(one.step.options.get("notify")))
    ]


def _is_looked_up(who: str) -> bool:
    return who == "manager" or who.startswith("role:")
