"""Before a member sends: what the guards would say, asked without changing anything.

The same guards decide again at the tap (scrm.sop.guards.recheck); here they only warn, or say that the tap will be refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from scrm.sop import engine, placing, store
from scrm.sop.engine import Facts, Verdict
from scrm.sop.facts import Due
from scrm.sop.guards import answers as guards
from scrm.sop.guards import facts as guard_facts
from scrm.sop.guards.answers import House
from scrm.sop.life.published import Published
from scrm.sop.schema import Caps, Channel, Playbook, Step, Trigger, When
from scrm.sop.shelf import find_version

# What a member sends of his own accord counts as marketing, as it does for the caps.
BY_HAND = Playbook("", "", Trigger(""), run_key="person", reentry="never", steps=())
_HAND_STEP = Step("", When(), Channel.TASK)
_GIVEN_UP = "被频控放弃："


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who would get it, as the guards ask for a run; a send by hand belongs to none."""

    person_id: int
    external_userid: str
    id: int = 0
    is_holdout: bool = False


@dataclass(frozen=True, slots=True)
class Brake:
    """One reason not to send now; `stops` when the tap will be refused."""

    words: str
    stops: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds a message back, and how much marketing this person got and may get, over all members."""

    brakes: tuple[Brake, ...]
    caps: Caps
    week: int
    month: int

    @property
    def stops(self) -> bool:
        return any(brake.stops for brake in self.brakes)


def of_task(
    conn: Connection, task: Row[Any], optout: Mapping[str, Any], published: Published, house: House, now: datetime
) -> Standing:
    """Of a task that is open; one of no playbook, or of a version nobody knows, is a send by hand."""
    run = store.find_run(conn, task.enrolment_id) if task.enrolment_id is not None else None
    playbook = find_version(conn, published, run.playbook_key, run.version) if run is not None else None
    step = playbook.step(task.step_id) if playbook is not None else None
    if run is None or playbook is None or step is None:
        return by_hand(conn, task.person_id, task.external_userid, optout, house, now)
    guard = guard_facts.load_person(conn, Due(run, playbook, step), now, house, besides=task.step_run_id)
    # This task itself is one of the run's pushes already.
    pushes = store.count_pushes(conn, [run.id]).get(run.id, 1) - 1 if playbook.guards.max_pushes is not None else 0
    facts = Facts(run.anchor_at, placing.spread_key(run), optout=dict(optout), pushes=max(pushes, 0), guard=guard)
    return judge(playbook, step, facts, house, now)


def by_hand(
    conn: Connection, person_id: int, external_userid: str, optout: Mapping[str, Any], house: House, now: datetime
) -> Standing:
    """Of what a member sends by his own decision: the guards warn, and leave it to him."""
    one: Any = Due(Recipient(person_id, external_userid), BY_HAND, _HAND_STEP)  # type: ignore[arg-type]
    guard = guard_facts.load_person(conn, one, now, house)
    return judge(BY_HAND, _HAND_STEP, Facts(now, "", optout=dict(optout), guard=guard), house, now)


def judge(playbook: Playbook, step: Step, facts: Facts, house: House, now: datetime) -> Standing:
    """What the tap would be answered, then what does not stop it: hours, and a talk under way. Pure."""
    brakes = []
    decision = engine.recheck(playbook, step, facts, house, now)
    if decision.verdict is not Verdict.RUN:
        brakes.append(Brake(decision.reason.removeprefix(_GIVEN_UP), stops=playbook is not BY_HAND))
    # Its own window was for its release; a member who sends later only must not wake anybody.
    quiet = guards.closed_because(_HAND_STEP, placing.quiet_of(playbook, step, house), now, house.zone)
    if quiet:
        brakes.append(Brake(f"现在是{quiet}", stops=False))
    is_marketing = guards.is_marketing(playbook, step)
    talk = guards.talking(playbook, facts.guard, now, house) if is_marketing and facts.guard.is_waiting else None
    if talk is not None:
        brakes.append(Brake(f"{talk.why}，先回复再发", stops=False))
    touches = facts.guard.touches
    week = sum(touch.at > now - timedelta(days=7) for touch in touches)
    caps = guards.caps_of(playbook, house) if is_marketing else guards.NO_CAPS
    return Standing(tuple(brakes), caps, week, len(touches))
