"""Who takes part in a rehearsal: persons, their walks through playbooks, and what members are asked to send."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row

from scrm.events import Event
from scrm.sop.facts import Due
from scrm.sop.guards.answers import Touch
from scrm.sop.schema import Node, Playbook, Step

OPEN, SENT = "open", "sent"


@dataclass(slots=True)
class Person:
    """What a rehearsal knows of one customer; lists are empty for most of them for most of the time."""

    id: int
    userid: str = ""
    external_userid: str = ""
    optout: dict[str, Any] = field(default_factory=dict)
    stopped: str = ""
    is_black: bool = False
    walks: list["Walk"] = field(default_factory=list)
    # Events that some condition, exit, goal or guard asks for, oldest first.
    history: list[Event] = field(default_factory=list)
    asked: list["Asked"] = field(default_factory=list)
    # Marketing that others sent, and steps that need nobody's tap.
    touches: list[Touch] = field(default_factory=list)
    cases: set[str] = field(default_factory=set)
    case_closed_at: datetime | None = None
    spoke_at: datetime | None = None
    is_waiting: bool = False
    keys: dict[str, Any] = field(default_factory=dict)
    masses: list[datetime] = field(default_factory=list)
    story: list[tuple[datetime, str]] | None = None


@dataclass(slots=True)
class Walk:
    """One person's way through one playbook, with the columns of an enrolment that the pure rules read."""

    id: int
    person: Person
    playbook: Playbook
    run_key: str
    userid: str
    external_userid: str
    event_id: int
    anchor_at: datetime
    enrolled_at: datetime
    facts: dict[str, Any]
    spread_key: str
    is_holdout: bool = False
    step: int = 0
    due_at: datetime | None = None
    awaits: str = ""
    counted_from: datetime | None = None
    arms: dict[str, str] = field(default_factory=dict)
    state: str = "active"
    paused_at: datetime | None = None
    # A taken-back step that comes again after a pause.
    again: str = ""
    # What was put on the agenda before the run's place changed counts no more.
    turn: int = 0
    open_tasks: int = 0
    # Something happened while it was paused, which it hears of when it goes on.
    is_behind: bool = False
    version: int = 0

    @property
    def playbook_key(self) -> str:
        return self.playbook.key

    @property
    def person_id(self) -> int:
        return self.person.id

    @property
    def counted(self) -> datetime:
        return self.counted_from or self.anchor_at

    def due(self, node: Node | None) -> Due:
        """As the runtime's own functions take it: they read columns by name."""
        return Due(cast("Row[Any]", self), self.playbook, node)


@dataclass(slots=True)
class Asked:
    """A step that a member was asked to send; `ended_at` is when it was sent."""

    walk: Walk
    step: Step
    asked_at: datetime
    is_marketing: bool
    state: str = OPEN
    ended_at: datetime | None = None

    @property
    def counts(self) -> bool:
        return self.state in (OPEN, SENT)
