"""Playbooks that somebody starts for one customer: a member beside the chat, a program, a step of another playbook."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.errors import NotFound
from scrm.events import Event, keep
from scrm.profiles.redirects import follow
from scrm.profiles.stop_list import find_stop_kind
from scrm.profiles.store import get_person
from scrm.sop import store
from scrm.sop.enrol import NotLetIn, Rules, let_in
from scrm.sop.guards import answers as guards
from scrm.sop.reasons import why
from scrm.sop.schema import Playbook, Step
from scrm.sop.text import start_fields
from scrm.sop.triggers import BY_HAND, find_trigger

_STATES = {"queued": "已排队，轮到时自动开始", "paused": "已开始，暂停中"}


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was begun, and what members read of it."""

    enrolment_id: int
    words: str


@dataclass(frozen=True, slots=True)
class By:
    """Who starts it: `by` is shown; the pair is whose chat it is started in, if it is in one. `once` is the starter's
    own number for this start: told again it starts nothing.
    """

    by: str
    userid: str = ""
    external_userid: str = ""
    once: str = ""


def list_startable(rules: Rules) -> list[Playbook]:
    """The published playbooks that wait for somebody to start them, by title."""
    return sorted(rules.published.by_event.playbooks.get(BY_HAND, ()), key=lambda playbook: playbook.title)


def start_by_hand(
    conn: Connection,
    rules: Rules,
    playbook_key: str,
    person_id: int,
    by: By,
    now: datetime,
    *,
    facts: Mapping[str, Any] | None = None,
) -> Started:
    """Begin a run now. Raises NotFound without the playbook or the person, NotLetIn with the words why not.

    What would keep the first message from going out anyway is said here: nobody starts what never speaks.
    """
    playbook = _find(rules, playbook_key)
    answers, problems = start_fields.filled(playbook.trigger.ask, facts or {})
    if problems:
        raise NotLetIn(f"“{playbook.title}”开始时要填写：" + "；".join(problems))
    person_id = follow(conn, person_id)
    if get_person(conn, person_id) is None:
        raise NotFound("没有这位客户，可能已被删除")
    told = Event(
        BY_HAND,
        now,
        person_id,
        by.external_userid,
        by.userid,
        key=f"{now:%Y-%m-%dT%H:%M:%S}",
        facts={**answers, "playbook": playbook.key, "title": playbook.title, "by": by.by},
        once=f"manual:{playbook.key}:{by.once}"[:200] if by.once else None,
    )
    kept = keep(conn, [told], now=now)
    if not kept:
        raise NotLetIn("这次开始已经处理过")
    _check_guards(conn, playbook, person_id)
    try:
        enrolment_id = let_in(conn, playbook, kept[0], rules.house, now)
    except NotLetIn as refusal:
        raise NotLetIn(why.unmet(conn, playbook, person_id, refusal.text, now)) from None
    return Started(enrolment_id, _words(conn, enrolment_id, playbook, rules))


def _find(rules: Rules, key: str) -> Playbook:
    playbook = rules.published.current.get(key)
    if playbook is None:
        raise NotFound(f"没有正在运行的 SOP“{key[:64]}”，可能已暂停或下线")
    if playbook.trigger.event != BY_HAND:
        trigger = find_trigger(playbook.trigger.event)
        words = trigger.title if trigger is not None else playbook.trigger.event
        raise NotLetIn(f"“{playbook.title}”由“{words}”自动开始，不能手动开始")
    return playbook


def _check_guards(conn: Connection, playbook: Playbook, person_id: int) -> None:
    step = _first_spoken(playbook)
    if step is None:
        return
    refused = guards.refused(playbook, store.lock_persons(conn, [person_id]).get(person_id, {}), step)
    if refused:
        raise NotLetIn(refused)
    if kind := find_stop_kind(conn, person_id):
        raise NotLetIn(f"客户在停发名单：{kind}")


def _first_spoken(playbook: Playbook) -> Step | None:
    return next((step for step in playbook.steps if step.channel.speaks), None)


def _words(conn: Connection, enrolment_id: int, playbook: Playbook, rules: Rules) -> str:
    row = store.find_run(conn, enrolment_id)
    if row is None or row.state == "done":
        return f"“{playbook.title}”已执行"
    if row.state != "active":
        return f"“{playbook.title}”{_STATES.get(row.state, '已开始')}"
    if row.due_at is None:
        return f"“{playbook.title}”已开始"
    due = row.due_at.astimezone(rules.house.zone)
    return f"“{playbook.title}”已开始，下一步 {due.month} 月 {due.day} 日 {due:%H:%M}"
