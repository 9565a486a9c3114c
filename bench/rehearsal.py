"""A month with 100,000 entrants rehearsed, beside the running engine that plays the same for a few of them.

The ratio says what the pure rules save over a database and a clock that jumps; memory is that of the processes that play.
"""

import asyncio
import resource
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from bench.figures import Figure, tell
from scrm.sop.guards.house import house_from
from scrm.sop.life.published import read_file
from scrm.sop.rehearsal.crowd import make_up
from scrm.sop.rehearsal.playing import Progress, cast_crowd, play_apart
from scrm.sop.rehearsal.rehearse import run_tests, settings_for
from scrm.sop.rehearsal.terms import Behaviour, Crowd, Terms
from scrm.sop.schema import Playbook

ENTRANTS = 100_000
DAYS = 30
GOAL_SECONDS = 60
GOAL_MEGABYTES = 1024
GOAL_RATIO = 100
# The engine plays so many of them, one after the other, each in a world of his own.
PLAYED = 20
NOW = datetime(2026, 2, 28, 12, tzinfo=UTC)
PLAYBOOK = Path(__file__).parents[1] / "config" / "playbooks" / "new-customer.yaml"


def main() -> list[Figure]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    playbook = read_file(PLAYBOOK)
    seconds, megabytes = _rehearse(playbook)
    slow = asyncio.run(_play(playbook))
    speed, played = ENTRANTS / seconds, 1 / slow
    return [
        tell(
            Figure(f"rehearsal of {ENTRANTS:,} entrants in {DAYS} days", seconds, "s", goal=GOAL_SECONDS, at_most=True)
        ),
        tell(Figure("rehearsal: the largest process", megabytes, "MB", goal=GOAL_MEGABYTES, at_most=True)),
        tell(
            Figure(
                "rehearsal: entrants played",
                speed,
                "entrants/s",
                "the running engine, one customer after the other",
                played,
                speed / played,
                GOAL_RATIO,
            )
        ),
    ]


def _rehearse(playbook: Playbook) -> tuple[float, float]:
    """(seconds, megabytes of the largest process that played)."""
    terms = Terms(DAYS, Crowd(ENTRANTS, members=100))
    house = house_from(settings_for(Path("unused.db")))
    whole = cast_crowd(playbook, terms, house, Behaviour(), NOW)
    began = time.perf_counter()
    summary = play_apart(whole, Progress())
    seconds = time.perf_counter() - began
    if summary["entered"] != ENTRANTS:
        raise AssertionError(f"{summary['entered']} entered")
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


async def _play(playbook: Playbook) -> float:
    """Seconds that the running engine takes for one person's way through it."""
    crowd = list(make_up(playbook, Crowd(PLAYED, members=1, buys=0.1, leaves=0), NOW, 1))
    zone = house_from(settings_for(Path("unused.db"))).zone
    tests = []
    for person in range(1, PLAYED + 1):
        given = [
            {"event": event.name, "at": event.occurred_at.astimezone(zone).isoformat()}
            for event in crowd
            if event.person_id == person
        ]
        until = (crowd[0].occurred_at + timedelta(days=14)).isoformat()
        tests.append({"name": str(person), "given": given, "until": until, "staff": {"confirms_after": "30m"}})
    asked = [{**test, "expect": {"failed": []}} for test in tests]
    began = time.perf_counter()
    results = await run_tests(replace(playbook, tests=tuple(asked)))
    seconds = time.perf_counter() - began
    if problems := [problem for result in results for problem in result.problems]:
        raise AssertionError(problems[0])
    return seconds / PLAYED
