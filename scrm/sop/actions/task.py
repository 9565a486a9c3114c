"""Ask the member of the run to say something: a task with a text ready to be sent in one tap."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.sop.actions.effects import Actor, Effects, Field

name = "task"
title = "员工待办（一键发送）"
fields = (Field("text", "话术", "text"), Field("attachments", "附件", "attachments"), Field("ttl", "有效期", "text"))
needs_relation = True


def problem(value: Any) -> str:
    """What is wrong with the author's value; empty when nothing is."""
    return "" if isinstance(value, dict) and value.get("text") else "待办要有话术：content: {text: ...}"


def act(conn: Connection, value: Any, actor: Actor, effects: Effects, now: datetime) -> None:
    """`value` is {text, attachments, open_at, expires_at}, rendered for this person."""
    effects.tasks.append(
        {
            "enrolment_id": actor.enrolment_id,
            "playbook_key": actor.playbook_key,
            "playbook_title": actor.playbook_title,
            "step_id": actor.step_id,
            "userid": actor.userid,
            "external_userid": actor.external_userid,
            "person_id": actor.person_id,
            "title": actor.step_title,
            "text": value["text"],
            "attachments": value["attachments"],
            "open_at": value["open_at"],
            "expires_at": value["expires_at"],
            "created_at": now,
            "correlation": actor.correlation,
        }
    )
