"""Set the person's stage and custom fields."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.errors import ScrmError
from scrm.profiles import store as profiles
from scrm.sop.actions.effects import Actor, Effects, Field

name = "set"
title = "改阶段或字段"
fields = (Field("set", "字段与值", "fields"),)
needs_relation = False


def problem(value: Any) -> str:
    """What is wrong with the author's value; empty when nothing is."""
    if not isinstance(value, dict) or not value or not all(isinstance(key, str) for key in value):
        return "set 要写字段和值，例如 set: {stage: 潜客}"
    if "stage" in value and not (isinstance(value["stage"], str) and value["stage"]):
        return "set: stage 要写阶段名，例如 stage: 潜客"
    return ""


def act(conn: Connection, value: Any, actor: Actor, effects: Effects, now: datetime) -> None:
    for key, wanted in value.items():
        if key in ("stage", "person.stage"):
            profiles.set_stage(conn, actor.person_id, str(wanted))
        else:
            source = f"playbook:{actor.playbook_key}"[:80]
            name = key.removeprefix("field.")
            try:
                profiles.set_field(conn, actor.person_id, name, wanted, source=source, now=now)
            except ScrmError as error:
                effects.failures.append(error.text)
