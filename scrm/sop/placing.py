"""Where a run stands in its playbook's program, and when it goes on from there. Pure."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row

from scrm.sop import timing
from scrm.sop.guards import answers as guards
from scrm.sop.guards.answers import House
from scrm.sop.schema import Channel, Fork, Jump, Late, Node, Playbook, Step, Wait, Window


class Place(NamedTuple):
    """The index of the next node, when that is due (None: nothing more will come), and the event it waits for."""

    step: int
    due_at: datetime | None
    awaits: str = ""


class Course(NamedTuple):
    """What a run's times are counted from, and what spreads them: the same for one run as often as it is asked."""

    playbook: Playbook
    anchor_at: datetime
    counted_from: datetime
    spread_key: str
    house: House

    def planned_at(self, step: Step) -> datetime:
        return planned_at(self.playbook, step, self.counted_from, self.house, self.spread_key)


def course_of(playbook: Playbook, row: Row[Any], house: House) -> Course:
    return Course(playbook, row.anchor_at, counted_from(row), spread_key(row), house)


def counted_from(row: Row[Any]) -> datetime:
    """The anchor, until a wait ends or a pause is over."""
    moment: datetime = row.counted_from or row.anchor_at
    return moment


def spread_key(row: Row[Any]) -> str:
    """What spreads steps over their window."""
    return f"{row.playbook_key}/{row.run_key}"


def choice_key(row: Row[Any]) -> str:
    """What chooses arms and variants: whoever comes again, with another order too, goes the same way."""
    return f"{row.playbook_key}/person:{row.person_id}"


def spread_of(step: Step, spread: str) -> str:
    """What spreads a step over its window; a mass message goes to everybody at once, when its window opens."""
    return "" if step.channel is Channel.MASS else f"{spread}/{step.id}"


def planned_at(playbook: Playbook, step: Step, counted: datetime, house: House, spread: str) -> datetime:
    """When the step should come: its time, put off to its window and past the quiet hours unless it would be dropped.

    A step that does not reach the customer is not held back by quiet hours.
    """
    key = spread_of(step, spread)
    due = timing.due_at(step.when, counted, house.zone, spread_key=key)
    if step.late is Late.DROP:
        return due
    return guards.next_moment(step, quiet_of(playbook, step, house), due, house, key)


def quiet_of(playbook: Playbook, step: Step, house: House) -> Window | None:
    return guards.quiet_hours(playbook, step, house) if step.channel.speaks else None


def place_from(course: Course, index: int, arrived_at: datetime) -> Place:
    """Where a run that has come to the node with this index really stands, and until when.

    Welcomes are not waited for: they have been sent, or they never will be. Branches and splits are decided when the
    run comes to them, or at their own time.
    """
    program = course.playbook.program
    while index < len(program):
        node = program[index]
        if isinstance(node, Jump):
            index = node.target
        elif isinstance(node, Step) and node.channel is Channel.WELCOME:
            index += 1
        else:
            return _place_at(course, node, index, arrived_at)
    return Place(index, goal_ends_at(course.playbook, course.anchor_at))


def _place_at(course: Course, node: Step | Fork, index: int, arrived_at: datetime) -> Place:
    if isinstance(node, Step):
        return Place(index, course.planned_at(node))
    if isinstance(node.part, Wait):
        if node.part.event and looks_back(course.playbook):
            return Place(index, arrived_at)
        return waiting(index, node.part, arrived_at)
    return Place(index, decided_at(course, node, arrived_at))


def looks_back(playbook: Playbook) -> bool:
    """Whether what a wait is for may have come before the run reached it.

    In a run of one order or parcel "delivered" is so or not; in a run of a person it is something still to happen.
    """
    return playbook.run_key not in ("person", "person+year")


def waiting(index: int, wait: Wait, now: datetime) -> Place:
    """At the wait with this index from now on."""
    return Place(index, now + wait.timeout, wait.event)


def decided_at(course: Course, node: Fork, arrived_at: datetime) -> datetime:
    """When a branch is decided: at its own time, and never before the run has come to it."""
    when = getattr(node.part, "when", None)
    if when is None:
        return arrived_at
    spread = f"{course.spread_key}/{node.part.id}"
    return max(arrived_at, timing.due_at(when, course.counted_from, course.house.zone, spread_key=spread))


def goal_ends_at(playbook: Playbook, anchor: datetime) -> datetime | None:
    """Until when a run whose steps are over still waits for its goal."""
    if playbook.goal is None or playbook.goal.within is None:
        return None
    return anchor + playbook.goal.within


def ends_at(course: Course) -> datetime:
    """When a run that is only watched is over: with its goal's time, or with what would be its last step."""
    goal = goal_ends_at(course.playbook, course.anchor_at)
    lengths = [timing.latest_gap(step.when) for step in course.playbook.steps]
    return goal or course.anchor_at + max(lengths, default=timedelta()) + timedelta(days=1)


def next_step(playbook: Playbook, index: int) -> Step | None:
    """The step that comes next as far as that is known: on the other side of a fork it is not."""
    node: Node | None = playbook.node(index)
    while isinstance(node, Jump):
        node = playbook.node(node.target)
    return node if isinstance(node, Step) else None
