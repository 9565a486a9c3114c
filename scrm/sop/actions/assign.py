"""Choose the member who is responsible for the person (负责人): who speaks for us in every playbook from now on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.sop.actions import store
from scrm.sop.actions.effects import Act, Field, by_value, fail

name = "assign"
title = "指派负责人"
fields = (Field("assign", "员工", "members"),)
needs_relation = False

_EXAMPLE = "assign 要写员工账号，例如 assign: zhangsan 或 assign: [zhangsan, lisi]（轮流指派）"


def problem(value: Any) -> str:
    """What is wrong with the author's value; empty when nothing is."""
    return "" if _members(value) else _EXAMPLE


def act(conn: Connection, acts: Sequence[Act], now: datetime) -> None:
    """One of those who are the person's contact already comes first; of several the one with the fewest persons."""
    for _, group in by_value(acts, lambda one: ",".join(_members(one.value))):
        wanted = store.find_members(conn, _members(group[0].value))
        if not wanted:
            fail(group, f"找不到在职的员工 {'、'.join(_members(group[0].value))}，没有指派")
            continue
        _assign(conn, group, wanted)


def _assign(conn: Connection, group: Sequence[Act], wanted: Sequence[str]) -> None:
    person_ids = sorted({one.actor.person_id for one in group})
    friends = store.list_friends(conn, person_ids, wanted)
    load = store.count_owned(conn, wanted)
    chosen: dict[str, list[int]] = {}
    for person_id in person_ids:
        userid = min(friends.get(person_id) or wanted, key=lambda each: (load[each], wanted.index(each)))
        load[userid] += 1
        chosen.setdefault(userid, []).append(person_id)
    for userid, persons in chosen.items():
        store.set_owner(conn, persons, userid)


def _members(value: Any) -> list[str]:
    userids = [value] if isinstance(value, str) else value
    if not isinstance(userids, list) or not all(isinstance(each, str) and each.strip() for each in userids):
        return []
    return [each.strip() for each in userids]
