"""Writes what a batch of runs comes to, with a few statements for each table."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from scrm.sop import content, placing, store, turns
from scrm.sop.channels import Outcome, Ready, Release, channel_of
from scrm.sop.content import Filled, Shop
from scrm.sop.engine import Decision, Verdict
from scrm.sop.facts import Due, Ending
from scrm.sop.guards import arbitration
from scrm.sop.guards.answers import House
from scrm.sop.life.published import Published
from scrm.sop.members import task_store
from scrm.sop.placing import Place, course_of
from scrm.sop.turns import Turn

_STEP_STATES = {Verdict.SKIP: "skipped", Verdict.DROP: "dropped"}


@dataclass(frozen=True, slots=True)
class Rules:
    """What every decision of a tick needs besides the database."""

    published: Published
    house: House
    shop: Shop


@dataclass(frozen=True, slots=True)
class Case:
    """A run that is due, and what is to become of it: of its step, or which way it goes; `ending` when it is over."""

    due: Due
    decision: Decision
    ending: Ending | None = None
    turn: Turn | None = None


@dataclass(slots=True)
class Decided:
    """What a batch of runs comes to, before anything is written."""

    rules: Rules
    now: datetime
    cases: list[Case] = field(default_factory=list)
    values: dict[int, dict[str, Any]] = field(default_factory=dict)


def says(case: Case) -> bool:
    """Whether a step with something to say is released."""
    return case.decision.verdict is Verdict.RUN and case.due.step is not None and case.due.step.content is not None


def record(conn: Connection, decided: Decided) -> int:
    """Write what was decided, for those runs that still stand where they stood; returns how many."""
    cases = decided.cases
    if conn.dialect.name == "sqlite":
        standing = store.find_standing(conn, [case.due.row.id for case in cases])
        cases = [case for case in cases if standing.get(case.due.row.id) == (case.due.row.step, case.due.row.due_at)]
    batch = _Batch(decided.rules, decided.now)
    for case in cases:
        if case.decision.verdict is Verdict.RUN and case.due.step is not None:
            _release(conn, case, decided.values, batch)
        else:
            _note(case, batch)
    batch.write(conn)
    return len(cases)


@dataclass(slots=True)
class _Batch:
    """What is to be written, collected for one statement for each table."""

    rules: Rules
    now: datetime
    progress: list[dict[str, Any]] = field(default_factory=list)
    endings: list[tuple[int, str, str]] = field(default_factory=list)
    withdrawals: dict[str, list[int]] = field(default_factory=dict)
    pauses: list[tuple[int, str, datetime]] = field(default_factory=list)
    idle: list[int] = field(default_factory=list)
    step_runs: list[dict[str, Any]] = field(default_factory=list)
    ready: list[tuple[Due, Filled]] = field(default_factory=list)

    def end(self, enrolment_id: int, state: str, reason: str) -> None:
        self.endings.append((enrolment_id, state, reason))
        self.withdrawals.setdefault(reason, []).append(enrolment_id)

    def move(self, one: Due, place: Place, held: str = "", **changed: Any) -> None:
        self.progress.append(turns.progress(one, place, held, **changed))
        if place.due_at is None:
            self.idle.append(one.row.id)

    def move_on(self, one: Due) -> None:
        """To what comes after this step, or to the end."""
        course = course_of(one.playbook, one.row, self.rules.house)
        self.move(one, placing.place_from(course, one.row.step + 1, self.now))

    def turn(self, one: Due, turn: Turn) -> None:
        """Down one arm of a fork; or it has to wait there."""
        if turn.stays is not None:
            self.move(one, turn.stays)
            return
        anew = self.now if turn.counts_anew else one.row.counted_from
        course = placing.Course(
            one.playbook,
            one.row.anchor_at,
            anew or one.row.anchor_at,
            placing.spread_key(one.row),
            self.rules.house,
        )
        place = placing.place_from(course, turn.target, self.now)
        self.move(one, place, counted_from=anew, arms=turns.arms_with(one, turn))

    def record(self, one: Due, state: str, decision: Decision, reason: str = "") -> None:
        """The row that says what became of the step; it stays open while somebody has to act, or WeCom to answer."""
        assert one.step is not None  # noqa: S101 - only steps are recorded
        is_open = state in ("intent", "waiting")
        facts: dict[str, Any] = {"due_at": one.row.due_at.isoformat()}
        if one.variant is not None:
            facts["variant"] = one.variant.name
        if decision.checks:
            facts["checks"] = decision.checks
        self.step_runs.append(
            {
                "enrolment_id": one.row.id,
                "step_id": one.step.id,
                "pass": one.row.pass_number,
                "channel": one.step.channel.value,
                "state": state,
                "reason": (reason or decision.reason)[:300],
                "facts": facts,
                "intent_at": self.now,
                "outcome_at": None if is_open else self.now,
            }
        )

    def write(self, conn: Connection) -> None:
        made = store.add_step_runs(conn, self.step_runs)
        self._release(conn, made)
        store.save_progress(conn, self.progress)
        store.end_runs(conn, self.endings, now=self.now)
        for reason, ids in self.withdrawals.items():
            task_store.withdraw_tasks(conn, ids, reason, now=self.now)
        store.finish_idle(conn, self.idle, now=self.now)
        arbitration.pause(conn, self.pauses, self.now)

    def _release(self, conn: Connection, made: dict[int, int]) -> None:
        """Each channel gets its steps together; a step that was decided before has its row already, and is left out."""
        by_channel: dict[str, list[Ready]] = {}
        for one, said in self.ready:
            if one.step is not None and one.row.id in made:
                ready = Ready(one, one.step, said, made[one.row.id])
                by_channel.setdefault(one.step.channel.value, []).append(ready)
        release = Release(self.now, self.rules.house, self.rules.shop)
        for letter, steps in by_channel.items():
            end_steps(conn, channel_of(letter).release(conn, steps, release), now=self.now)


def end_steps(conn: Connection, outcomes: Iterable[Outcome], *, now: datetime) -> None:
    """Write how steps ended, those with the same words together."""
    by_end: dict[tuple[str, str], list[int]] = {}
    for outcome in outcomes:
        by_end.setdefault((outcome.state, outcome.reason), []).append(outcome.step_run_id)
    for (state, reason), ids in by_end.items():
        store.end_step_runs(conn, ids, state, reason, now=now)


def _release(conn: Connection, case: Case, values: dict[int, dict[str, Any]], batch: _Batch) -> None:
    """A step that may go out: what it says is filled now, and a hole in it stops the step."""
    one, step = case.due, case.due.step
    assert step is not None  # noqa: S101 - the caller has checked
    said = Filled()
    if says(case):
        said = content.fill(conn, one, values[one.row.id], batch.rules.shop, batch.now)
    if said.problem or said.needless:
        batch.record(one, "failed" if said.problem else "skipped", case.decision, said.problem or said.needless)
    else:
        batch.record(one, channel_of(step.channel.value).opening, case.decision)
        batch.ready.append((one, said))
    batch.move_on(one)


def _note(case: Case, batch: _Batch) -> None:
    """What is not released: the run is over, takes a turn, its step is put off, or left out with a reason."""
    one, decision = case.due, case.decision
    if decision.verdict is Verdict.EXIT:
        batch.end(one.row.id, case.ending.state if case.ending else "exited", decision.reason)
    elif case.turn is not None:
        batch.turn(one, case.turn)
    elif one.step is None:
        batch.move(one, Place(one.row.step, None))
    elif decision.verdict is Verdict.PAUSE and decision.until is not None:
        batch.pauses.append((one.row.id, decision.reason, decision.until))
    elif decision.verdict is Verdict.DEFER and decision.until is not None:
        # Never at once again: a tick must come to its end.
        until = max(decision.until, batch.now + timedelta(seconds=1))
        batch.move(one, Place(one.row.step, until), held=decision.reason)
    else:
        batch.record(one, _STEP_STATES.get(decision.verdict, "skipped"), decision)
        batch.move_on(one)
