"""For whom an action acts, and what it leaves to be done after the commit."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """One input of an action, so that an editor can draw it without knowing the action."""

    key: str
    label: str
    widget: str  # tag, text, fields, coupon_batch, number, members, playbook


@dataclass(frozen=True, slots=True)
class Actor:
    """The run a step acts for; `event_id` is the event that began it."""

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
    step_run_id: int = 0
    event_id: int = 0

    @property
    def words(self) -> str:
        """Who did it, as a timeline and a ledger say it."""
        return f"{self.playbook_title}：{self.step_title}"


@dataclass(slots=True)
class Effects:
    """What the actions of one step changed is in the transaction already; what WeCom must be told is collected here."""

    add_tags: list[str] = field(default_factory=list)
    remove_tags: list[str] = field(default_factory=list)
    # Why an action could not be done, in words; the step then counts as failed.
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Act:
    """One action of one step of one run; `number` is its place in the step."""

    actor: Actor
    value: Any
    effects: Effects
    number: int = 0

    @property
    def once(self) -> str:
        """The same act is done once, however often it is tried."""
        return f"step:{self.actor.step_run_id}:{self.number}"


def by_value(acts: Sequence[Act], key: Callable[[Act], str]) -> Iterator[tuple[str, list[Act]]]:
    """Acts that want the same, together, in the order of their keys."""
    for value, group in groupby(sorted(acts, key=key), key=key):
        yield value, list(group)


def fail(acts: Iterable[Act], words: str) -> None:
    """None of these could be done."""
    for act in acts:
        act.effects.failures.append(words)
