"""When a step is due and what becomes of it: pure functions over plain data, with the time passed in."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from scrm.errors import ScrmError
from scrm.events import Event
from scrm.sop import guards, timing
from scrm.sop.guards import House
from scrm.sop.schema import Channel, Late, Playbook, Step, Window

# A task without a ttl of its own; publishing demands one, but older versions may lack it.
DEFAULT_TTL = timedelta(hours=24)


class Verdict(StrEnum):
    """What becomes of a step that is due."""

    RUN = "run"
    SKIP = "skip"
    DEFER = "defer"
    DROP = "drop"
    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict and its reason in words; `until` is set when it is put off."""

    verdict: Verdict
    reason: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about one run at the moment its step is decided.

    `over` says why the run has ended (empty: it goes on), `unmet` why the step's own condition does not hold.
    """

    anchor_at: datetime
    spread_key: str
    over: str = ""
    unmet: str = ""
    optout: dict[str, Any] = field(default_factory=dict)
    pushes: int = 0
    last_push_at: datetime | None = None


def replace_push(facts: Facts, pushed_at: datetime) -> Facts:
    """The same facts after this person was written to a moment ago, by another run of the same batch."""
    return replace(facts, last_push_at=pushed_at)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run stands: the index of its next step, and when that is due (None: nothing more will come)."""

    step: int
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of one person in one playbook."""

    run_key: str
    enrolled_at: datetime
    is_active: bool


def run_key(playbook: Playbook, event: Event, last: LastRun | None = None) -> str:
    """What makes two runs of a playbook the same: "person:12", "order:taobao/shop/123".

    With re-entry every N days the key carries a number: it stays the last run's own until N days have passed, so that
    the unique index refuses a second run, also when two processes ask at once.
    """
    if playbook.run_key == "person":
        key = f"person:{event.person_id}"
    elif event.key:
        key = f"{playbook.run_key}:{event.key}"
    else:
        raise ScrmError(f"剧本“{playbook.title}”按 {playbook.run_key} 计次，但事件 {event.name} 没有这个编号")
    if playbook.reentry_every is None:
        return key
    if last is None:
        return f"{key}#1"
    if last.is_active or event.occurred_at < last.enrolled_at + playbook.reentry_every:
        return last.run_key
    return f"{key}#{number_of(last.run_key) + 1}"


def number_of(key: str) -> int:
    """The number that re-entry gave a run key; 1 for a key without one."""
    number = key.rpartition("#")[2]
    return int(number) if "#" in key and number.isdigit() else 1


def coupon_reason(playbook_key: str, key: str) -> str:
    """All steps of one run give the same coupon: the reason it is issued for."""
    return f"{playbook_key}:{key}"


def planned_at(playbook: Playbook, step: Step, anchor: datetime, house: House, spread_key: str) -> datetime:
    """When the step should come: its time, put off to its window and past the quiet hours unless it would be dropped.

    A step that acts on our own data is not held back by quiet hours.
    """
    due = timing.due_at(step.when, anchor, house.zone, spread_key=f"{spread_key}/{step.id}")
    if step.late is Late.DROP:
        return due
    return guards.next_moment(step, _quiet(playbook, step, house), due, house, f"{spread_key}/{step.id}")


def first_due(playbook: Playbook, anchor: datetime, house: House, spread_key: str) -> Place:
    """Where a new run starts; the welcome is not waited for, it has been sent or it never will be."""
    return _place_from(playbook, 0, anchor, house, spread_key)


def next_due(playbook: Playbook, done: int, anchor: datetime, house: House, spread_key: str) -> Place:
    """Where a run goes on after the step with index `done`."""
    return _place_from(playbook, done + 1, anchor, house, spread_key)


def _place_from(playbook: Playbook, index: int, anchor: datetime, house: House, spread_key: str) -> Place:
    for step_index in range(index, len(playbook.steps)):
        step = playbook.steps[step_index]
        if step.channel is not Channel.WELCOME:
            return Place(step_index, planned_at(playbook, step, anchor, house, spread_key))
    return Place(len(playbook.steps), goal_ends_at(playbook, anchor))


def goal_ends_at(playbook: Playbook, anchor: datetime) -> datetime | None:
    """Until when a run whose steps are over still waits for its goal."""
    if playbook.goal is None or playbook.goal.within is None:
        return None
    return anchor + playbook.goal.within


def decide(playbook: Playbook, step: Step, facts: Facts, house: House, now: datetime) -> Decision:
    """What becomes of a step whose time has come."""
    if facts.over:
        return Decision(Verdict.EXIT, facts.over)
    if step.channel is Channel.WELCOME:
        return Decision(Verdict.SKIP, "欢迎语只在添加时发送")
    planned = planned_at(playbook, step, facts.anchor_at, house, facts.spread_key)
    if now < planned:
        return Decision(Verdict.DEFER, "还没到时间", planned)
    if step.channel is Channel.SYSTEM:
        return Decision(Verdict.SKIP, facts.unmet) if facts.unmet else Decision(Verdict.RUN)
    case = _Case(playbook, step, facts, house, now, planned, _quiet(playbook, step, house))
    return _untimely(case) or _unwanted(case) or _too_soon(case) or Decision(Verdict.RUN)


def expires_at(step: Step, released_at: datetime) -> datetime:
    """Until when a member may send what this step asks for."""
    return released_at + (step.ttl or DEFAULT_TTL)


@dataclass(frozen=True, slots=True)
class _Case:
    """A step for a person, at a moment."""

    playbook: Playbook
    step: Step
    facts: Facts
    house: House
    now: datetime
    planned: datetime
    quiet: Window | None

    @property
    def late(self) -> timedelta:
        return self.now - self.planned

    @property
    def ttl(self) -> timedelta:
        return self.step.ttl or DEFAULT_TTL


def _unwanted(case: _Case) -> Decision | None:
    reason = (
        case.facts.unmet
        or guards.refused(case.playbook, case.facts.optout)
        or guards.capped(case.playbook, case.facts.pushes)
    )
    return Decision(Verdict.SKIP, reason) if reason else None


def _untimely(case: _Case) -> Decision | None:
    """Too late by its own ttl, in quiet hours, or outside its window."""
    if case.late > case.ttl:
        return Decision(Verdict.DROP, f"晚了 {timing.write_duration(case.late)}，超过有效期，未再发送")
    closed = guards.closed_because(case.step, case.quiet, case.now, case.house.zone)
    if not closed or _is_only_a_slow_tick(case):
        return None
    if case.step.late is Late.DROP:
        return Decision(Verdict.DROP, closed)
    return None if _is_still_its_day(case) else _put_off(case, case.now, closed)


def _is_only_a_slow_tick(case: _Case) -> bool:
    """It was allowed at its time, and that was a moment ago."""
    return case.late <= guards.GRACE and not guards.closed_because(case.step, case.quiet, case.planned, case.house.zone)


def _is_still_its_day(case: _Case) -> bool:
    """Its window was missed by hours: the member can act on it today, as he could on one released in time."""
    zone = case.house.zone
    is_quiet = case.quiet is not None and timing.quiet_until(case.now, case.quiet, zone) is not None
    same_day = case.now.astimezone(zone).date() == case.planned.astimezone(zone).date()
    return same_day and not is_quiet and case.step.when.days is not None


def _too_soon(case: _Case) -> Decision | None:
    """One person hears from us once at a time."""
    free = guards.free_at(case.playbook, case.late, case.facts.last_push_at, case.now, case.house)
    return None if free <= case.now else _put_off(case, free, "刚给这位客户发过消息")


def _put_off(case: _Case, earliest: datetime, why: str) -> Decision:
    spread_key = f"{case.facts.spread_key}/{case.step.id}"
    until = guards.next_moment(case.step, case.quiet, earliest, case.house, spread_key)
    if until - case.planned > case.ttl:
        return Decision(Verdict.DROP, f"{why}，推迟后会超过有效期")
    return Decision(Verdict.DEFER, why, until)


def _quiet(playbook: Playbook, step: Step, house: House) -> Window | None:
    return None if step.channel is Channel.SYSTEM else guards.quiet_hours(playbook, step, house)
