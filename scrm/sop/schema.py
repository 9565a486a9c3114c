"""A playbook as the engine sees it: parsed, checked, immutable."""

from dataclasses import dataclass, field
from datetime import time, timedelta
from enum import StrEnum
from typing import Any

Condition = dict[str, Any]  # a tree: all / any / not / leaf, see scrm.profiles.conditions


class Channel(StrEnum):
    """Who presses the button (docs/playbooks: W welcome, T member task, X system act)."""

    WELCOME = "W"
    TASK = "T"
    SYSTEM = "X"


class Late(StrEnum):
    """What becomes of a step that cannot run in its time."""

    DEFER = "defer"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Window:
    """A daily span in the shop's zone; it may cross midnight."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class When:
    """`T0+30m` (days None) is counted by the clock from the anchor; `D+3` is the third calendar day after it."""

    offset: timedelta = timedelta()
    days: int | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What is said: a template and at most nine attachments ({coupon: key}, {link: {...}}, {image: path})."""

    text: str = ""
    attachments: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `act` is for channel X: ({"add_tag": "新客"}, {"set": {...}}, {"issue_coupon": key})."""

    id: str
    when: When
    channel: Channel
    title: str = ""
    condition: Condition | None = None
    late: Late = Late.DEFER
    ttl: timedelta | None = None
    content: Content | None = None
    act: tuple[dict[str, Any], ...] = ()
    ignores_quiet: bool = False
    line: int = 0


@dataclass(frozen=True, slots=True)
class Trigger:
    """Which event starts it; `where` narrows by the event's own facts: {"channel.kind": ["投放"], "state": [...]}."""

    event: str
    where: dict[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CouponSpec:
    """A coupon batch that a playbook brings along, so that it works from the first day."""

    key: str
    title: str
    kind: str = "generated"
    benefit: str = "amount"
    face_fen: int = 0
    percent_off: int = 0
    threshold_fen: int = 0
    valid: timedelta | None = None
    url: str = ""
    rules: str = ""
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """The event that a run is there for."""

    event: str
    within: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Guards:
    """quiet: None inherits the house's quiet hours, "none" has none, else a window."""

    quiet: Window | str | None = None
    max_pushes: int | None = None


@dataclass(frozen=True, slots=True)
class Playbook:
    """One version of one playbook."""

    key: str
    title: str
    trigger: Trigger
    run_key: str  # person, order, coupon: what makes two runs the same
    reentry: str  # never, per_key, or every: see `reentry_every`
    steps: tuple[Step, ...]
    version: int = 0
    priority: str = "P3"
    description: str = ""
    reentry_every: timedelta | None = None
    enter_if: Condition | None = None
    exit_if: Condition | None = None
    goal: Goal | None = None
    guards: Guards = Guards()
    coupons: tuple[CouponSpec, ...] = ()
    tests: tuple[dict[str, Any], ...] = ()
    source: str = ""
    digest: str = ""

    def step(self, step_id: str) -> Step | None:
        return next((step for step in self.steps if step.id == step_id), None)
