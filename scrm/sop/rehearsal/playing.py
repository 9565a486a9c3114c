"""One rehearsal from its terms to its summary, here or in a process of its own so that nobody waits for it."""

import gc
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection

from scrm.sop import timing
from scrm.sop.guards.answers import House
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
# Each holds its own part of the crowd in memory.
_MOST_PROCESSES = 4
# What is smaller is played where it is asked for.
SMALL = 2_000


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


def size_of(cast: Cast) -> int:
    """How much there is to play: made-up customers, or events."""
    if cast.terms.crowd is not None:
        return cast.terms.crowd.size
    return len(cast.recorded.events) if cast.recorded is not None else 0


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
    return summarise(cast, [play_part(cast, (0, 1), reached)])


def play_part(
    cast: Cast, part: tuple[int, int], reached: Callable[[float], None] | None = None
) -> tuple[Findings, Answers]:
    """Every so-many-th person: persons have nothing to do with each other but for their members' time."""
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
    which, parts = part
    if recorded is not None:
        simulation.play(each for each in recorded.events if (each.person_id or 0) % parts == which)
    elif cast.terms.crowd is not None:
        simulation.play(make_up(cast.playbook, cast.terms.crowd, cast.begins_at, cast.terms.days, part))
    findings.close()
    return findings, answers


def summarise(cast: Cast, parts: Sequence[tuple[Findings, Answers]]) -> dict[str, Any]:
    """All parts as one."""
    whole, answers = parts[0]
    for findings, others in parts[1:]:
        whole.add(findings)
        for noted, theirs in ((answers.as_of_today, others.as_of_today), (answers.assumed, others.assumed)):
            for text, count in theirs.items():
                noted[text] = noted.get(text, 0) + count
    return _summary(cast, whole, answers)


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
    """The same in processes of its own, one for each processor; blocks until it is done. Raises Cancelled."""
    context = multiprocessing.get_context("spawn")
    parts = progress.parts
    with ProcessPoolExecutor(parts, context, _share, (progress.shares, progress.stop)) as pool:
        played = [pool.submit(_play_there, cast, which, parts) for which in range(parts)]
        return summarise(cast, [each.result() for each in played])


class Progress:
    """How far a rehearsal in other processes is, and the word to stop it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.parts = max(1, min(os.cpu_count() or 1, _MOST_PROCESSES))
        self.shares: Any = context.Array("d", [0.0] * self.parts)
        self.stop: Any = context.Value("b", 0)

    @property
    def share(self) -> float:
        return float(sum(self.shares)) / self.parts

    def reach(self, share: float) -> None:
        """As the one who plays all of it here tells; raises Cancelled when it is to stop."""
        self.shares[:] = [share] * self.parts
        if self.stop.value:
            raise Cancelled


_shared: list[Any] = []


def _share(shares: Any, stop: Any) -> None:
    _shared[:] = [shares, stop]
    # The process ends with the rehearsal: what it leaves need not be looked through again and again.
    gc.disable()


def _play_there(cast: Cast, which: int, parts: int) -> tuple[Findings, Answers]:
    shares, stop = _shared

    def reach(part: float) -> None:
        shares[which] = part
        if stop.value:
            raise Cancelled

    findings, answers = play_part(cast, (which, parts), reach)
    # Whom a condition holds for today need not come back.
    return findings, replace(answers, today=None)


def _midnight(moment: datetime, house: House) -> datetime:
    return datetime.combine(moment.astimezone(house.zone).date(), time(), house.zone).astimezone(UTC)


def _length(playbook: Playbook, terms: Terms) -> timedelta:
    """The days in which they come, and until the last one's steps are over."""
    longest = max(
        (timing.latest_gap(step.when) + (step.ttl or timedelta()) for step in playbook.steps), default=timedelta()
    )
    return timedelta(days=terms.days) + min(longest + timedelta(days=3), _LONGEST_TAIL)
