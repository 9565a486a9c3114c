"""Everything the engine must know about a batch of runs, with a few statements for the whole batch."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from scrm.events import Event
from scrm.profiles.conditions import tree as conditions
from scrm.profiles.conditions.tree import Whom
from scrm.profiles.members import member_names
from scrm.sop import chance, exits, store
from scrm.sop.engine import Facts
from scrm.sop.exits import Run
from scrm.sop.guards.answers import NOTHING, GuardFacts
from scrm.sop.members import owners
from scrm.sop.placing import choice_key, counted_from, spread_key
from scrm.sop.schema import Condition, Content, Node, Playbook, Step, Variant


@dataclass(slots=True, eq=False)
class Due:
    """A run with the version of the playbook it follows; `node` is None when nothing is left to be done."""

    row: Row[Any]
    playbook: Playbook
    node: Node | None
    step: Step | None = field(init=False)

    def __post_init__(self) -> None:
        self.step = self.node if isinstance(self.node, Step) else None

    @property
    def run(self) -> Run:
        return run_of(self.row)

    @property
    def variant(self) -> Variant | None:
        """Which of the step's variants this run is told; None when there is only one content."""
        variants = self.step.content.variants if self.step and self.step.content else ()
        if not variants or self.step is None:
            return None
        return variants[chance.choose([each.share for each in variants], f"{choice_key(self.row)}/{self.step.id}")]

    @property
    def content(self) -> Content:
        """What the step says to this run's customer."""
        if self.variant is not None:
            return self.variant.content
        return self.step.content if self.step and self.step.content else Content()


class Ending(NamedTuple):
    """How a run ends: the state (goal, exited) and the words."""

    state: str
    reason: str


class Known(NamedTuple):
    """The engine's facts about one run, and its ending if it is over."""

    facts: Facts
    ending: Ending | None
    # Its member lost the contact, and the event that gives it to another one has not had its turn.
    is_passing_on: bool = False


Ask = Callable[[Connection, Sequence[Due]], Mapping[int, GuardFacts]]


def run_of(row: Row[Any]) -> Run:
    return Run(row.run_key, row.userid, row.external_userid, row.event_id or 0, row.anchor_at, row.enrolled_at)


def gather(
    conn: Connection, due: Sequence[Due], now: datetime, ask: Ask | None = None, *, only_looks: bool = False
) -> dict[int, Known]:
    """By enrolment; `ask` finds what the guards must know of those that go on.

    The persons stay locked until the transaction ends, so that nobody is written to twice at once; who `only_looks`
    locks nobody, which a connection for reading could not.
    """
    find_optouts = store.find_optouts if only_looks else store.lock_persons
    optouts = find_optouts(conn, {one.row.person_id for one in due})
    lost = _lost(conn, due)
    heirs = owners.successors(conn, [one.row for one in due if one.row.id in lost])
    endings = {key: ending for key, ending in lost.items() if key not in heirs}
    endings |= _find_endings(conn, [one for one in due if one.row.id not in lost], now)
    going_on = [one for one in due if one.row.id not in endings and one.row.id not in heirs]
    unmet = _find_unmet(conn, going_on, now)
    guarded = ask(conn, going_on) if ask is not None and going_on else {}
    pushes = store.count_pushes(conn, [one.row.id for one in going_on if one.playbook.guards.max_pushes is not None])
    last_pushes = store.last_pushes(conn, {one.row.person_id for one in going_on})
    known = {}
    for one in due:
        row, ending = one.row, endings.get(one.row.id)
        facts = Facts(
            anchor_at=counted_from(row),
            spread_key=spread_key(row),
            over=ending.reason if ending is not None else "",
            unmet=unmet.get(row.id, ""),
            optout=optouts.get(row.person_id, {}),
            pushes=pushes.get(row.id, 0),
            last_push_at=last_pushes.get(row.person_id),
            guard=guarded.get(row.id, NOTHING),
        )
        known[row.id] = Known(facts, ending, row.id in heirs)
    return known


def _find_endings(conn: Connection, due: Sequence[Due], now: datetime) -> dict[int, Ending]:
    """The runs that are over although their friendship lives: the goal is reached, or the exit condition holds."""
    endings: dict[int, Ending] = {}
    if not due:
        return endings
    undecided: dict[int, tuple[Condition, list[Due]]] = {}
    for one, ending in _judge(due, _happened(conn, due)):
        if isinstance(ending, Ending):
            endings[one.row.id] = ending
        elif ending is not None:
            undecided.setdefault(id(ending), (ending, []))[1].append(one)
    for tree, group in undecided.values():
        holds = holding(conn, tree, group, now)
        for one in group:
            if one.row.id in holds:
                endings[one.row.id] = Ending("exited", _exit_words(conn, tree, whom_of(one.row), now))
    return endings


def holding(conn: Connection, tree: Condition | None, due: Sequence[Due], now: datetime) -> set[int]:
    """The enrolments for which the condition holds, in one statement."""
    return conditions.holding_for(conn, tree, [whom_of(one.row) for one in due], now)


def whom_of(row: Row[Any]) -> Whom:
    """A run as conditions ask about it: with its relation, its event and its beginning."""
    pair = row.userid, row.external_userid
    return Whom(row.id, row.person_id, *pair, event_id=row.event_id or 0, anchor_at=row.anchor_at)


def _happened(conn: Connection, due: Sequence[Due]) -> dict[int, list[Event]]:
    """By person: what came after the first of these runs began and may end one of them."""
    playbooks = {id(one.playbook): one.playbook for one in due}
    names = set().union(*(exits.watched(playbook) for playbook in playbooks.values()))
    return store.list_events_of(
        conn, {one.row.person_id for one in due}, names, min(one.row.event_id or 0 for one in due)
    )


def _judge(due: Sequence[Due], happened: dict[int, list[Event]]) -> Iterator[tuple[Due, Ending | Condition | None]]:
    """Most persons did nothing in the meantime: that answer is the same for all runs of a playbook."""
    nothing: dict[int, Ending | Condition | None] = {}
    for one in due:
        events = happened.get(one.row.person_id)
        if events:
            yield one, ended_by(one, events)
            continue
        if id(one.playbook) not in nothing:
            nothing[id(one.playbook)] = ended_by(one, ())
        yield one, nothing[id(one.playbook)]


def ended_by(one: Due, events: Iterable[Event]) -> Ending | Condition | None:
    """What these events make of a run: its ending, a condition only the database can answer, or nothing. Pure."""
    run = one.run
    mine = [event for event in events if exits.concerns(one.playbook, run, event)]
    for event in mine:
        if event.name in exits.LOST:
            return Ending("exited", exits.event_words(event.name))
    reached = exits.goal_reached(one.playbook.goal, run, mine)
    if reached is not None:
        return Ending("goal", exits.event_words(reached.name))
    if one.playbook.exit_if is None:
        return None
    answer = exits.settle(one.playbook.exit_if, mine)
    if answer is True:
        named = exits.event_names(one.playbook.exit_if)
        last = next((event.name for event in reversed(mine) if event.name in named), "")
        return Ending("exited", exits.event_words(last) if last else "符合退出条件")
    return None if answer is False else answer


def _lost(conn: Connection, due: Sequence[Due]) -> dict[int, Ending]:
    """Runs of a relation that either side has ended; a run without one (only our own acts) cannot lose it."""
    with_relation = [one.row for one in due if one.row.external_userid]
    if not with_relation:
        return {}
    living = store.list_living(conn, {row.external_userid for row in with_relation})
    gone = [row for row in with_relation if (row.userid.casefold(), row.external_userid) not in living]
    names = member_names(conn, {row.userid for row in gone}) if gone else {}
    return {row.id: Ending("exited", exits.lost_words(names.get(row.userid.lower(), row.userid))) for row in gone}


def _find_unmet(conn: Connection, due: Sequence[Due], now: datetime) -> dict[int, str]:
    """Why the step's own condition does not hold, for those where it does not; one statement for each condition."""
    groups: dict[int, list[Due]] = defaultdict(list)
    for one in due:
        if one.step is not None and one.step.condition is not None:
            groups[id(one.step)].append(one)
    unmet = {}
    for group in groups.values():
        tree = group[0].step.condition if group[0].step else None
        holds = holding(conn, tree, group, now)
        for one in group:
            if one.row.id not in holds:
                unmet[one.row.id] = _unmet_words(conn, tree, whom_of(one.row), now)
    return unmet


def _unmet_words(conn: Connection, tree: Condition | None, whom: Whom, now: datetime) -> str:
    """Which parts do not hold, with the values they were compared with."""
    return f"条件不满足：{_explained(conn, tree, whom, now, wanted=False)}"[:300]


def _exit_words(conn: Connection, tree: Condition, whom: Whom, now: datetime) -> str:
    return f"符合退出条件：{_explained(conn, tree, whom, now, wanted=True)}"[:200]


def _explained(conn: Connection, tree: Condition | None, whom: Whom, now: datetime, *, wanted: bool) -> str:
    leaves = conditions.explain(conn, tree, whom.person_id, now, whom=whom)
    told = [
        f"{leaf.words}（现为 {leaf.found}）" if leaf.found else leaf.words for leaf in leaves if leaf.holds is wanted
    ]
    return "；".join(told or [leaf.words for leaf in leaves])
