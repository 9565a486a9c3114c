"""Set the person's stage and custom fields."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.profiles.own_fields import batches as field_batches
from scrm.sop.actions.effects import Act, Field, by_value

name = "set"
title = "改阶段或字段"
fields = (Field("set", "字段与值", "fields"),)
needs_relation = False

_STAGE = ("stage", "person.stage")


def problem(value: Any) -> str:
    """What is wrong with the author's value; empty when nothing is."""
    if not isinstance(value, dict) or not value or not all(isinstance(key, str) for key in value):
        return "set 要写字段和值，例如 set: {stage: 潜客}"
    if "stage" in value and not (isinstance(value["stage"], str) and value["stage"]):
        return "set: stage 要写阶段名，例如 stage: 潜客"
    return ""


def act(conn: Connection, acts: Sequence[Act], now: datetime) -> None:
    """What several steps set for one person is set in the order of the steps; the last one stays."""
    wishes = [Act(one.actor, (key, value), one.effects) for one in acts for key, value in one.value.items()]
    for group in _in_turns(wishes):
        for _, alike in by_value(group, _wanted):
            _set(conn, alike, now)


def _in_turns(wishes: list[Act]) -> list[list[Act]]:
    """Parts in which each field of each person is set once at most."""
    turns: list[list[Act]] = []
    seen: dict[tuple[int, str], int] = {}
    for wish in wishes:
        place = wish.actor.person_id, wish.value[0]
        number = seen.get(place, 0)
        seen[place] = number + 1
        if number == len(turns):
            turns.append([])
        turns[number].append(wish)
    return turns


def _wanted(wish: Act) -> str:
    return json.dumps([*wish.value, wish.actor.playbook_key], ensure_ascii=False, sort_keys=True, default=str)


def _set(conn: Connection, alike: list[Act], now: datetime) -> None:
    (key, value), person_ids = alike[0].value, {wish.actor.person_id for wish in alike}
    if key in _STAGE:
        field_batches.set_stage(conn, person_ids, str(value))
        return
    source = f"playbook:{alike[0].actor.playbook_key}"[:80]
    refused = field_batches.set_field(conn, person_ids, key.removeprefix("field."), value, source=source, now=now)
    for wish in alike:
        if wish.actor.person_id in refused:
            wish.effects.failures.append(refused[wish.actor.person_id])
