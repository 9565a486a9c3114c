"""For whom an action acts, and what it leaves to be done after the commit."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """One input of an action, so that an editor can draw it without knowing the action."""

    key: str
    label: str
    widget: str  # tag, text, fields, coupon_batch


@dataclass(frozen=True, slots=True)
class Actor:
    """The run a step acts for."""

    enrolment_id: int
    playbook_key: str
    playbook_title: str
    step_id: str
    step_title: str
    run_key: str
    person_id: int
    userid: str
    external_userid: str
    correlation: str


@dataclass(slots=True)
class Effects:
    """What the action changed is in the transaction already; what WeCom must be told is collected here."""

    add_tags: list[str] = field(default_factory=list)
    remove_tags: list[str] = field(default_factory=list)
    # Why the action could not be done, in words; the step then counts as failed.
    failures: list[str] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
