"""A playbook as the engine sees it: parsed, checked, immutable."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

Condition = dict[str, Any]  # a tree: all / any / not / leaf, see scrm.profiles.conditions.tree


class Channel(StrEnum):
    """Who presses the button (docs/playbooks 1.1); what each does is in scrm.sop.channels."""

    WELCOME = "W"
    TASK = "T"
    MASS = "M"
    GROUP = "G"
    MOMENT = "P"
    SUGGESTION = "S"
    NOTICE = "I"
    SYSTEM = "X"
    OUTWARD = "K"

    # Whether it reaches the customer, so that quiet hours, caps, brakes and refusals hold.
    speaks: bool
    # Whether only a member who is the customer's contact can do it.
    needs_member: bool

    def __init__(self, letter: str) -> None:
        # Every decision asks for them.
        self.speaks = letter in "WTMGPK"
        self.needs_member = letter not in "XK"


class Late(StrEnum):
    """What becomes of a step that cannot run in its time."""

    DEFER = "defer"
    DROP = "drop"


class Window(NamedTuple):
    """A daily span in the shop's zone; it may cross midnight."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class When:
    """`T0+30m` (days None) is counted by the clock from the anchor; `D+3` is the third calendar day after it.

    `D-3` comes before an anchor that is a date to come, `W+3` counts working days; `only` moves a step to the next
    working day ("workdays") or day of rest ("restdays").
    """

    offset: timedelta = timedelta()
    days: int | None = None
    window: Window | None = None
    counts_workdays: bool = False
    only: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """One of several contents that are tried against each other; `share` is a part of 1."""

    name: str
    share: float
    content: "Content"


@dataclass(frozen=True, slots=True)
class Content:
    """What is said: a template and at most nine attachments ({coupon: key}, {link: {...}}, {image: path}).

    With `variants` one of them is said instead, for one run always the same.
    """

    text: str = ""
    attachments: tuple[dict[str, Any], ...] = ()
    variants: tuple[Variant, ...] = ()


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
    # What only its channel reads: {"notify": "owner"}, {"url": "https://..."} ...
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def needs_member(self) -> bool:
        """Whether it takes a member who is the customer's contact; managers and named members are told of anybody."""
        if self.channel is Channel.NOTICE:
            notify = self.options.get("notify")
            return "owner" in notify if isinstance(notify, list) else notify == "owner"
        return self.channel.needs_member

    @property
    def contents(self) -> tuple[Content, ...]:
        """Everything it may say: its content, or the variants of it."""
        if self.content is None:
            return ()
        return tuple(each.content for each in self.content.variants) or (self.content,)


@dataclass(frozen=True, slots=True)
class Arm:
    """One way on: for a branch with its condition (None: else), for a split with its share (a part of 1)."""

    name: str
    parts: tuple["Part", ...]
    condition: Condition | None = None
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Branch:
    """The first arm whose condition holds when the run comes here (or at `when`); none: the run goes past it."""

    id: str
    arms: tuple[Arm, ...]
    when: When | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """Chance chooses the arm, for one run always the same."""

    id: str
    arms: tuple[Arm, ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Until an event of this person comes, at most `timeout` long; without an event simply that long.

    What comes after it is counted from its end. `ends` says that the run ends when the time is over.
    """

    id: str
    timeout: timedelta
    event: str = ""
    where: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    ends: bool = False
    came: tuple["Part", ...] = ()
    timed_out: tuple["Part", ...] = ()
    line: int = 0


Part = Step | Branch | Split | Wait


@dataclass(frozen=True, slots=True)
class Jump:
    """The end of an arm: on to where the arms meet again."""

    target: int


@dataclass(frozen=True, slots=True)
class Fork:
    """A branch, split or wait in a program: where each of its arms begins, and where they meet.

    The targets of a wait are two: the event came, the time was over.
    """

    part: Branch | Split | Wait
    targets: tuple[int, ...]
    after: int


Node = Step | Fork | Jump


@dataclass(frozen=True, slots=True)
class Trigger:
    """Which event starts it; `where` narrows by the event's own facts: {"channel.kind": ["投放"], "state": [...]}."""

    event: str
    where: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    # date.reached: which date, by which calendar, every year or once, and how many days before its steps begin.
    date: str = ""
    lunar: bool = False
    yearly: bool = False
    lead: int = 0
    # schedule.due: when, and for whom.
    cron: str = ""
    segment: str = ""
    # orders: "used_up" counts from the day on which the goods are gone; one piece lasts `cycle` where no orders tell.
    anchor: str = ""
    cycle: timedelta | None = None
    # manual.started: what whoever starts it is asked for.
    ask: tuple["StartField", ...] = ()


@dataclass(frozen=True, slots=True)
class StartField:
    """Something to fill in when a playbook is started by hand; a condition knows it as `trigger: key`."""

    key: str
    title: str
    type: str = "text"  # text, number, date, choice
    options: tuple[str, ...] = ()
    is_required: bool = False


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
    # A goal is laid to the last message within this time before it; None: the house's own (tally.CREDIT).
    credit: timedelta | None = None
    # Only an event that says this: {"sku": ("A1",)}.
    where: dict[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Caps:
    """How much marketing one person gets over all playbooks and members; what is None does not limit."""

    gap: timedelta | None = None
    per_week: int | None = None
    per_month: int | None = None


@dataclass(frozen=True, slots=True)
class Guards:
    """quiet: None inherits the house's quiet hours, "none" has none, else a window; `cap` and `brake` likewise.

    `optout` is a refusal that stops this playbook besides the usual ones (birthday, live, promo). `queue` "none" lets
    a lifecycle playbook run beside others; `value` ranks those of one priority that want the same day.
    """

    quiet: Window | str | None = None
    max_pushes: int | None = None
    cap: Caps | str | None = None
    brake: str | None = None
    optout: str = ""
    queue: str | None = None
    value: int = 0


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
    owner_role: str = ""  # who looks after the playbook, for its readers
    reentry_every: timedelta | None = None
    enter_if: Condition | None = None
    exit_if: Condition | None = None
    goal: Goal | None = None
    guards: Guards = Guards()
    coupons: tuple[CouponSpec, ...] = ()
    tests: tuple[dict[str, Any], ...] = ()
    source: str = ""
    digest: str = ""
    # The library's scripts that it names, as they were when it was read.
    contents: Mapping[str, Content] = field(default_factory=dict)
    # A part of 1 that is left alone, to measure what the rest gains; None: the house's own.
    holdout: float | None = None
    # Above so many people in 30 days a manager approves it; None: the house's own.
    approval: int | None = None
    # Where the keys of its head stand in the text.
    lines: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    # The nested text; `steps` has every step of it in that order.
    parts: tuple[Part, ...] = ()
    # The parts laid flat: a run's place is an index into this.
    program: tuple[Node, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "program", lay_flat(self.parts or self.steps))

    def step(self, step_id: str) -> Step | None:
        return next((step for step in self.steps if step.id == step_id), None)

    def node(self, index: int) -> Node | None:
        """What a run that stands there does next; None when nothing is left."""
        return self.program[index] if index < len(self.program) else None

    def index_of(self, part_id: str) -> int | None:
        """Where the step, branch, split or wait of that name stands in the program."""
        for index, node in enumerate(self.program):
            if not isinstance(node, Jump) and (node.part if isinstance(node, Fork) else node).id == part_id:
                return index
        return None


def lay_flat(parts: Sequence[Part]) -> tuple[Node, ...]:
    """The program of nested parts; for parts without branches it is the parts themselves."""
    program: list[Node] = []
    _lay(parts, program)
    return tuple(program)


def _lay(parts: Sequence[Part], program: list[Node]) -> None:
    for part in parts:
        if isinstance(part, Step):
            program.append(part)
            continue
        place = len(program)
        program.append(Jump(0))
        targets, jumps = [], []
        for arm in arms_of(part):
            targets.append(len(program))
            _lay(arm, program)
            jumps.append(len(program))
            program.append(Jump(0))
        # The last arm needs no jump: what follows it is where they meet. (Without any arm the text is wrong anyway.)
        program.pop()
        after = len(program)
        for jump in jumps[:-1]:
            program[jump] = Jump(after)
        if targets:
            program[place] = Fork(part, tuple(targets), after)


def arms_of(part: Branch | Split | Wait) -> tuple[tuple[Part, ...], ...]:
    """What stands in each arm; for a wait: the event came, the time was over."""
    if isinstance(part, Wait):
        return part.came, part.timed_out
    return tuple(arm.parts for arm in part.arms)


def steps_of(parts: Sequence[Part]) -> Iterator[Step]:
    """Every step, in the order of the text."""
    for part in parts:
        if isinstance(part, Step):
            yield part
        else:
            for arm in arms_of(part):
                yield from steps_of(arm)
