"""End the person's runs in other playbooks, and take back what their members have not sent yet."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.sop.actions.effects import Act, Field
from scrm.work import queue

name = "stop_playbook"
title = "结束剧本"
fields = (Field("stop_playbook", "剧本", "playbook"),)
needs_relation = False

KIND = "sop.stop_runs"
ALL = "all"


def problem(value: Any) -> str:
    """What is wrong with the author's value; empty when nothing is."""
    return (
        ""
        if playbook_keys(value)
        else "stop_playbook 要写剧本编号，例如 stop_playbook: pb-14-dormant，或 all（其他全部）"
    )


def act(conn: Connection, acts: Sequence[Act], now: datetime) -> None:
    """Done after the commit: what this batch has just begun in those runs is ended with them."""
    items = [
        queue.Item(
            lane="event",
            kind=KIND,
            payload={
                "person_id": one.actor.person_id,
                "playbooks": playbook_keys(one.value),
                "but": one.actor.enrolment_id,
                "reason": f"被“{one.actor.words}”结束"[:200],
            },
            correlation=one.actor.correlation,
        )
        for one in acts
    ]
    queue.add_many(conn, items, now=now)


def playbook_keys(value: Any) -> list[str]:
    """One key or a list of them; none when it is something else."""
    keys = [value] if isinstance(value, str) else value
    if not isinstance(keys, list) or not all(isinstance(key, str) and key.strip() for key in keys):
        return []
    return [key.strip() for key in keys]
