"""What the clock sets going: steps that come due, tasks that run out, reminders that are owed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from scrm.errors import ScrmError
from scrm.profiles import tags
from scrm.services import Services
from scrm.sop import content, engine, reminders, store
from scrm.sop.actions import Actor, Effects, find_action, task
from scrm.sop.content import Filled, Shop
from scrm.sop.engine import Decision, Verdict
from scrm.sop.facts import Due, Ending, Known, gather, spread_key
from scrm.sop.guards import House
from scrm.sop.published import Published
from scrm.sop.schema import Channel, Playbook, Step, Trigger
from scrm.sop.shelf import find_version, house_of, playbooks_of, shop_of
from scrm.work import queue

log = structlog.get_logger()

BATCH = 128
# A tick ends even when steps come due faster than they are done; the next one goes on.
_MOST_BATCHES = 500
# Stands in where a version cannot be found, which ends the run.
NO_PLAYBOOK = Playbook(key="", title="", trigger=Trigger(""), run_key="person", reentry="never", steps=())
_STEP_STATES = {Verdict.SKIP: "skipped", Verdict.DROP: "dropped"}


@dataclass(frozen=True, slots=True)
class Rules:
    """What every decision of a tick needs besides the database."""

    published: Published
    house: House
    shop: Shop


async def tick(services: Services) -> int:
    """Do what is due now; returns how many steps, expiries and reminders that were. Several processes may tick."""
    rules = Rules(playbooks_of(services), house_of(services), shop_of(services))
    total = 0
    for _ in range(_MOST_BATCHES):
        done = await _release_batch(services, rules)
        total += done
        if not done:
            break
    while await services.db.read(store.has_expired_tasks, services.clock.now()):
        expired = await services.db.write(store.expire_tasks, services.clock.now())
        total += expired
        if not expired:
            break
    return total + await reminders.plan(services, rules.house)


async def next_due_at(services: Services) -> datetime | None:
    """The next moment at which a tick has something to do; for a clock that is moved by hand."""
    return await services.db.read(store.next_due_at)


async def _release_batch(services: Services, rules: Rules) -> int:
    now = services.clock.now()
    if not await services.db.read(store.has_due, now):
        return 0
    try:
        return await _release(services, rules, now)
    except Exception as error:
        log.error("sop.batch_failed", error=f"{type(error).__name__}: {error}"[:500])
    return await _release_one_by_one(services, rules, now)


async def _release(services: Services, rules: Rules, now: datetime, enrolment_id: int | None = None) -> int:
    """On SQLite the deciding, which only reads, does not keep the one writer from its callbacks."""
    if not services.db.is_sqlite:
        return await services.db.write(release_due, rules, now, enrolment_id)
    decided = await services.db.read(decide_due, rules, now, enrolment_id)
    return await services.db.write(record, decided) if decided.cases else 0


async def _release_one_by_one(services: Services, rules: Rules, now: datetime) -> int:
    """One bad run must not hold up its neighbours: it is marked as failed, with the reason, and they go on."""
    total = 0
    for enrolment_id in await services.db.read(store.list_due_ids, now, BATCH):
        try:
            total += await _release(services, rules, now, enrolment_id)
        except Exception as error:
            reason = error.text if isinstance(error, ScrmError) else f"程序出错：{type(error).__name__}"
            log.exception("sop.run_failed", enrolment=enrolment_id)
            await services.db.write(_fail_run, enrolment_id, reason, now)
            total += 1
    return total


def _fail_run(conn: Connection, enrolment_id: int, reason: str, now: datetime) -> None:
    store.withdraw_tasks(conn, [enrolment_id], reason, now=now)
    store.end_runs(conn, [(enrolment_id, "failed", reason)], now=now)


@dataclass(frozen=True, slots=True)
class Case:
    """A run that is due, and what is to become of its step; `ending` when the run is over with it."""

    due: Due
    decision: Decision
    ending: Ending | None = None


@dataclass(slots=True)
class Decided:
    """What a batch of runs comes to, before anything is written."""

    rules: Rules
    now: datetime
    cases: list[Case] = field(default_factory=list)
    values: dict[int, dict[str, Any]] = field(default_factory=dict)


def release_due(conn: Connection, rules: Rules, now: datetime, enrolment_id: int | None = None) -> int:
    """Claim the runs that are due, decide their next steps and write all that follows, in one transaction.

    The claim, the step's row, the task, our own changes, the work for WeCom and the run's next date commit together:
    what is interrupted has not happened, and is due again.
    """
    decided = decide_due(conn, rules, now, enrolment_id)
    return record(conn, decided) if decided.cases else 0


def decide_due(conn: Connection, rules: Rules, now: datetime, enrolment_id: int | None = None) -> Decided:
    """Decide the next step of the runs that are due; on PostgreSQL they are ours from here on."""
    rows = store.claim_due(conn, now, BATCH) if enrolment_id is None else store.claim_one(conn, enrolment_id, now)
    decided = Decided(rules, now)
    due: list[Due] = []
    for row in rows:
        # A run keeps the version it began with.
        playbook = find_version(conn, rules.published, row.playbook_key, row.version)
        if playbook is None:
            decided.cases.append(_without_playbook(row))
        else:
            due.append(Due(row, playbook, playbook.steps[row.step] if row.step < len(playbook.steps) else None))
    if due:
        _decide_all(due, gather(conn, due, now), decided)
        said = [case.due for case in decided.cases if _says(case)]
        decided.values = content.load_values(conn, said, rules.shop, now)
    return decided


def _without_playbook(row: Row[Any]) -> Case:
    reason = f"找不到剧本 {row.playbook_key} 的第 {row.version} 版"
    return Case(Due(row, NO_PLAYBOOK, None), Decision(Verdict.EXIT, reason), Ending("failed", reason))


def _decide_all(due: Sequence[Due], known: dict[int, Known], decided: Decided) -> None:
    pushed: dict[int, datetime] = {}
    for one in due:
        decided.cases.append(case := _decide(one, known[one.row.id], decided, pushed.get(one.row.person_id)))
        if _says(case):
            pushed[one.row.person_id] = decided.now


def _decide(one: Due, known: Known, decided: Decided, pushed_at: datetime | None) -> Case:
    if known.ending is not None:
        return Case(one, Decision(Verdict.EXIT, known.ending.reason), known.ending)
    if one.step is None:
        # Nothing more is to come: the time for the goal is over.
        return Case(one, Decision(Verdict.SKIP))
    # Another run of this batch may just have written to the same person.
    facts = known.facts if pushed_at is None else engine.replace_push(known.facts, pushed_at)
    return Case(one, engine.decide(one.playbook, one.step, facts, decided.rules.house, decided.now))


def _says(case: Case) -> bool:
    step = case.due.step
    return case.decision.verdict is Verdict.RUN and step is not None and step.channel is Channel.TASK


def record(conn: Connection, decided: Decided) -> int:
    """Write what was decided, for those runs that still stand where they stood; returns how many."""
    outcome = _Outcome(decided.rules, decided.now)
    cases = decided.cases
    if conn.dialect.name == "sqlite":
        standing = store.find_standing(conn, [case.due.row.id for case in cases])
        cases = [case for case in cases if standing.get(case.due.row.id) == (case.due.row.step, case.due.row.due_at)]
    for case in cases:
        if case.decision.verdict is Verdict.RUN and case.due.step is not None:
            _run(conn, case.due, case.due.step, decided.values, outcome)
        else:
            _note(case, outcome)
    outcome.write(conn)
    return len(cases)


@dataclass(slots=True)
class _Outcome:
    """What a batch comes to, collected to be written with one statement for each table."""

    rules: Rules
    now: datetime
    progress: list[dict[str, Any]] = field(default_factory=list)
    endings: list[tuple[int, str, str]] = field(default_factory=list)
    withdrawals: dict[str, list[int]] = field(default_factory=dict)
    idle: list[int] = field(default_factory=list)
    step_runs: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    tag_changes: list[tuple[Actor, Effects]] = field(default_factory=list)

    def end(self, enrolment_id: int, state: str, reason: str) -> None:
        self.endings.append((enrolment_id, state, reason))
        self.withdrawals.setdefault(reason, []).append(enrolment_id)

    def move(self, one: Due, place: engine.Place) -> None:
        self.progress.append({"of_id": one.row.id, "new_step": place.step, "new_due_at": place.due_at})
        if place.due_at is None:
            self.idle.append(one.row.id)

    def move_on(self, one: Due) -> None:
        """To the step after this one, or to the end."""
        row = one.row
        self.move(one, engine.next_due(one.playbook, row.step, row.anchor_at, self.rules.house, spread_key(row)))

    def record(self, one: Due, state: str, reason: str = "", **facts: Any) -> None:
        """The row that says what became of the step; a task's stays open until the member acts."""
        assert one.step is not None  # noqa: S101 - only steps are recorded
        self.step_runs.append(
            {
                "enrolment_id": one.row.id,
                "step_id": one.step.id,
                "channel": one.step.channel.value,
                "state": state,
                "reason": reason[:300],
                "facts": {"due_at": one.row.due_at.isoformat(), **facts},
                "intent_at": self.now,
                "outcome_at": None if state in ("intent", "waiting") else self.now,
            }
        )

    def write(self, conn: Connection) -> None:
        made = store.add_step_runs(conn, self.step_runs)
        store.add_tasks(
            conn,
            [
                {**row, "step_run_id": made[row["enrolment_id"]]}
                for row in self.tasks
                # A step that was decided before has its task already.
                if row["enrolment_id"] in made
            ],
        )
        self._change_tags(conn, made)
        store.save_progress(conn, self.progress)
        store.end_runs(conn, self.endings, now=self.now)
        for reason, ids in self.withdrawals.items():
            store.withdraw_tasks(conn, ids, reason, now=self.now)
        store.finish_idle(conn, self.idle, now=self.now)

    def _change_tags(self, conn: Connection, made: dict[int, int]) -> None:
        """Wishes first, so that what several steps want of one contact becomes one call."""
        changes = [(actor, effects) for actor, effects in self.tag_changes if actor.enrolment_id in made]
        for actor, effects in changes:
            tags.wish(
                conn,
                actor.userid,
                actor.external_userid,
                add=effects.add_tags,
                remove=effects.remove_tags,
                source="playbook",
                reason=f"{actor.playbook_title}：{actor.step_title}",
                now=self.now,
            )
        queue.add_many(conn, [_tag_work(actor, effects, made) for actor, effects in changes], now=self.now)


def _note(case: Case, outcome: _Outcome) -> None:
    """A step that is not run: the run is over, the step is put off, or it is left out with a reason."""
    one, decision = case.due, case.decision
    if decision.verdict is Verdict.EXIT:
        outcome.end(one.row.id, case.ending.state if case.ending else "exited", decision.reason)
    elif one.step is None:
        outcome.move(one, engine.Place(one.row.step, None))
    elif decision.verdict is Verdict.DEFER and decision.until is not None:
        # Never at once again: a tick must come to its end.
        outcome.move(one, engine.Place(one.row.step, max(decision.until, outcome.now + timedelta(seconds=1))))
    else:
        outcome.record(one, _STEP_STATES.get(decision.verdict, "skipped"), decision.reason)
        outcome.move_on(one)


def _run(conn: Connection, one: Due, step: Step, values: dict[int, dict[str, Any]], outcome: _Outcome) -> None:
    if step.channel is Channel.TASK:
        said = content.fill(conn, one, values[one.row.id], outcome.rules.shop, outcome.now)
        _open_task(conn, one, step, said, outcome)
    else:
        _act(conn, one, step, outcome)
    outcome.move_on(one)


def _open_task(conn: Connection, one: Due, step: Step, said: Filled, outcome: _Outcome) -> None:
    if said.problem or said.needless:
        outcome.record(one, "failed" if said.problem else "skipped", said.problem or said.needless)
        return
    effects = Effects()
    value = {
        "text": said.text,
        "attachments": said.attachments,
        # As planned, so that a bundle of the same half hour is one reminder; the time to act counts from now.
        "open_at": min(one.row.due_at, outcome.now),
        "expires_at": engine.expires_at(step, outcome.now),
    }
    task.act(conn, value, _actor(one, step), effects, outcome.now)
    outcome.record(one, "waiting")
    outcome.tasks += effects.tasks


def _act(conn: Connection, one: Due, step: Step, outcome: _Outcome) -> None:
    """Our own changes now, tags by a work item; an act nobody knows fails the step and changes nothing."""
    effects, actor = Effects(), _actor(one, step)
    for act in step.act:
        for name, value in act.items():
            action = find_action(name)
            if action is None or action is task:
                effects.failures.append(f"不认识的动作 {name}")
            elif action.needs_relation and not actor.external_userid:
                effects.failures.append(f"{action.title}需要客户是某位员工的好友")
            else:
                action.act(conn, value, actor, effects, outcome.now)
    if effects.add_tags or effects.remove_tags:
        outcome.record(one, "intent", "；".join(effects.failures))
        outcome.tag_changes.append((actor, effects))
    elif effects.failures:
        outcome.record(one, "failed", "；".join(effects.failures))
    else:
        outcome.record(one, "done")


def _actor(one: Due, step: Step) -> Actor:
    row = one.row
    return Actor(
        enrolment_id=row.id,
        playbook_key=one.playbook.key,
        playbook_title=one.playbook.title,
        step_id=step.id,
        step_title=step.title or one.playbook.title,
        run_key=row.run_key,
        person_id=row.person_id,
        userid=row.userid,
        external_userid=row.external_userid,
        correlation=row.correlation,
    )


def _tag_work(actor: Actor, effects: Effects, made: dict[int, int]) -> queue.Item:
    return queue.Item(
        lane="send",
        kind="sop.mark_tag",
        payload={
            "userid": actor.userid,
            "external_userid": actor.external_userid,
            "add": effects.add_tags,
            "remove": effects.remove_tags,
            "step_run_id": made[actor.enrolment_id],
            "failed": "；".join(effects.failures),
            "is_wished": True,
        },
        order_key=tags.order_key(actor.userid, actor.external_userid),
        correlation=actor.correlation,
    )
