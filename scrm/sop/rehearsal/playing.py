"""One rehearsal from its terms to its summary, here or in a process of its own so that nobody waits for it."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection

from scrm.sop import timing
from scrm.sop.guards import House
from scrm.sop.rehearsal import history, words
from scrm.sop.rehearsal.answers import Answers
from scrm.sop.rehearsal.crowd import make_up
from scrm.sop.rehearsal.findings import Findings
from scrm.sop.rehearsal.history import Recorded
from scrm.sop.rehearsal.simulation import Simulation
from scrm.sop.rehearsal.terms import Behaviour, Terms
from scrm.sop.schema import Playbook

# Steps that come later than this after the last entrant are not waited for.
_LONGEST_TAIL = timedelta(days=62)


class Cancelled(Exception):
    """Somebody broke the rehearsal off."""


@dataclass(frozen=True, slots=True)
class Cast:
    """All that a rehearsal needs; it can be sent to another process."""

    playbook: Playbook
    terms: Terms
    house: House
    behaviour: Behaviour
    begins_at: datetime
    ends_at: datetime
    recorded: Recorded | None = None
    leaf_words: dict[str, str] = field(default_factory=dict)


def cast(conn: Connection, playbook: Playbook, terms: Terms, house: House, now: datetime) -> Cast:
    """Read what the rehearsal is about; nothing is written."""
    behaviour = terms.behaviour or history.read_behaviour(conn, now)
    if terms.crowd is not None:
        return cast_crowd(playbook, terms, house, behaviour, now)
    begins_at = _midnight(now - timedelta(days=terms.days), house)
    recorded = history.read_recorded(conn, playbook, begins_at, now)
    return Cast(playbook, terms, house, behaviour, begins_at, now, recorded)


def cast_crowd(playbook: Playbook, terms: Terms, house: House, behaviour: Behaviour, now: datetime) -> Cast:
    """A made-up crowd that comes from tomorrow on; needs no database."""
    begins_at = _midnight(now + timedelta(days=1), house)
    ends_at = begins_at + _length(playbook, terms)
    return Cast(playbook, terms, house, behaviour, begins_at, ends_at, None, history.leaf_words(playbook))


def play(cast: Cast, reached: Callable[[float], None] | None = None) -> dict[str, Any]:
    """The summary as plain values; `reached` is told the share of the time that was played, and may raise."""
    findings = Findings(cast.house.zone, cast.house.tasks_per_day)
    recorded = cast.recorded
    answers = recorded.answers if recorded is not None else Answers(words=cast.leaf_words)
    whole = (cast.ends_at - cast.begins_at).total_seconds() or 1.0

    def tell(now: datetime) -> None:
        if reached is not None:
            reached(min(1.0, (now - cast.begins_at).total_seconds() / whole))

    simulation = Simulation(
        [cast.playbook],
        cast.house,
        answers,
        cast.behaviour,
        findings,
        dict(recorded.persons) if recorded is not None else {},
        cast.ends_at,
        tell,
    )
    if recorded is not None:
        simulation.play(recorded.events)
    elif cast.terms.crowd is not None:
        simulation.play(make_up(cast.playbook, cast.terms.crowd, cast.begins_at, cast.terms.days))
    return _summary(cast, findings, answers)


def _summary(cast: Cast, findings: Findings, answers: Answers) -> dict[str, Any]:
    told = findings.as_json()
    zone = cast.house.zone
    told |= {
        "begins": cast.begins_at.astimezone(zone).date().isoformat(),
        "ends": (cast.ends_at - timedelta(seconds=1)).astimezone(zone).date().isoformat(),
        "under_way": told["entered"] - sum(told["ended"].values()),
        "task_limit": cast.house.tasks_per_day,
        "as_of_today": answers.as_of_today,
        "assumed": answers.assumed,
        "is_cut": cast.recorded.is_cut if cast.recorded is not None else False,
        "behaviour": {
            "confirms": cast.behaviour.usual.confirms,
            "minutes": cast.behaviour.usual.minutes,
            "own": len(cast.behaviour.members),
        },
        "titles": {step.id: step.title or step.id for step in cast.playbook.steps},
        "channels": {step.id: step.channel.value for step in cast.playbook.steps},
    }
    return told | {"words": words.tell(told, cast.playbook)}


def play_apart(cast: Cast, progress: "Progress") -> dict[str, Any]:
    """The same in a process of its own; blocks until it is done. Raises Cancelled."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, _share, (progress.share, progress.stop)) as pool:
        return pool.submit(_play_there, cast).result()


class Progress:
    """How far a rehearsal in another process is, and the word to stop it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.share = context.Value("d", 0.0)
        self.stop = context.Value("b", 0)

    def reach(self, share: float) -> None:
        """As the one who plays it tells; raises Cancelled when it is to stop."""
        self.share.value = share
        if self.stop.value:
            raise Cancelled


_shared: list[Any] = []


def _share(share: Any, stop: Any) -> None:
    _shared[:] = [share, stop]


def _play_there(cast: Cast) -> dict[str, Any]:
    share, stop = _shared

    def reach(part: float) -> None:
        share.value = part
        if stop.value:
            raise Cancelled

    return play(cast, reach)


def _midnight(moment: datetime, house: House) -> datetime:
    return datetime.combine(moment.astimezone(house.zone).date(), time(), house.zone).astimezone(UTC)


def _length(playbook: Playbook, terms: Terms) -> timedelta:
    """The days in which they come, and until the last one's steps are over."""
    longest = max(
        (timing.latest_gap(step.when) + (step.ttl or timedelta()) for step in playbook.steps), default=timedelta()
    )
    return timedelta(days=terms.days) + min(longest + timedelta(days=3), _LONGEST_TAIL)
