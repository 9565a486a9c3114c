"""What the clock sets going: steps that come due, tasks that run out, reminders that are owed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection, Row
from sqlalchemy.exc import InterfaceError, OperationalError

from scrm.errors import ScrmError
from scrm.services import Services
from scrm.sop import content, engine, store, turns
from scrm.sop.engine import Decision, Verdict
from scrm.sop.facts import Due, Ending, Known, gather
from scrm.sop.guards import arbitration, house
from scrm.sop.guards import facts as guard_facts
from scrm.sop.life.lifecycle import HELD
from scrm.sop.mass import carry_out
from scrm.sop.members import reminders, task_store
from scrm.sop.recording import Case, Decided, Rules, record, says
from scrm.sop.schema import Playbook, Trigger
from scrm.sop.shelf import find_version, house_of, playbooks_of, shop_of
from scrm.sop.turns import Turn

log = structlog.get_logger()

# What all its steps ask for is asked once; it keeps SQLite's one writer for some 50 ms.
BATCH = 512
# A tick ends even when steps come due faster than they are done; the next one goes on.
_MOST_BATCHES = 500
# A database that is away, locked or full: what was due stays due, and the next tick tries again.
_PASSING = (OperationalError, InterfaceError, OSError, TimeoutError)
_HELD_FOR = timedelta(minutes=1)
# The event of a lost contact has its turn within moments.
_PASSING_ON = timedelta(minutes=1)
# Stands in where a version cannot be found, which ends the run.
NO_PLAYBOOK = Playbook(key="", title="", trigger=Trigger(""), run_key="person", reentry="never", steps=())


async def tick(services: Services) -> int:
    """Do what is due now; returns how many steps, expiries and reminders that were. Several processes may tick."""
    await house.refresh(services)
    rules = Rules(playbooks_of(services), house_of(services), shop_of(services))
    total = await _let_go_on(services, rules)
    for _ in range(_MOST_BATCHES):
        done = await _release_batch(services, rules)
        total += done
        if not done:
            break
    while await services.db.read(task_store.has_expired_tasks, services.clock.now()):
        expired = await services.db.write(task_store.expire_tasks, services.clock.now())
        total += expired
        if not expired:
            break
    total += await carry_out.tick(services)
    return total + await reminders.plan(services, rules.house)


async def _let_go_on(services: Services, rules: Rules) -> int:
    """Runs that are queued or paused, and whose time has come."""
    total, now = 0, services.clock.now()
    while await services.db.read(arbitration.has_held, now):
        total += await services.db.write(arbitration.sweep, now, rules.house, rules.published)
    return total


async def next_due_at(services: Services) -> datetime | None:
    """The next moment at which a tick has something to do; for a clock that is moved by hand."""
    return await services.db.read(_next_due_at)


def _next_due_at(conn: Connection) -> datetime | None:
    moments = (store.next_due_at(conn), arbitration.next_look_at(conn))
    return min((moment for moment in moments if moment is not None), default=None)


async def _release_batch(services: Services, rules: Rules) -> int:
    now = services.clock.now()
    if not await services.db.read(store.has_due, now):
        return 0
    try:
        return await _release(services, rules, now)
    except _PASSING as error:
        log.error("sop.batch_interrupted", error=f"{type(error).__name__}: {error}"[:500])
        return 0
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
        except _PASSING as error:
            log.error("sop.run_interrupted", enrolment=enrolment_id, error=f"{type(error).__name__}: {error}"[:500])
            return total
        except Exception as error:
            reason = error.text if isinstance(error, ScrmError) else f"程序出错：{type(error).__name__}"
            log.exception("sop.run_failed", enrolment=enrolment_id)
            await services.db.write(_fail_run, enrolment_id, reason, now)
            total += 1
    return total


def _fail_run(conn: Connection, enrolment_id: int, reason: str, now: datetime) -> None:
    task_store.withdraw_tasks(conn, [enrolment_id], reason, now=now)
    store.end_runs(conn, [(enrolment_id, "failed", reason)], now=now)


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
            # Who is only compared with is told nothing, wherever he stands.
            one = Due(row, playbook, None if row.is_holdout else playbook.node(row.step))
            if one.step is not None and rules.published.is_held(row.playbook_key):
                # It slipped in while its playbook stands still: scrm.sop.life.lifecycle will hold it in a moment.
                decided.cases.append(Case(one, Decision(Verdict.DEFER, HELD, now + _HELD_FOR)))
            else:
                due.append(one)
    if due:
        _decide_all(conn, due, decided)
        said = [case.due for case in decided.cases if says(case)]
        decided.values = content.load_values(conn, said, rules.shop, now)
    return decided


def _without_playbook(row: Row[Any]) -> Case:
    reason = f"找不到剧本 {row.playbook_key} 的第 {row.version} 版"
    return Case(Due(row, NO_PLAYBOOK, None), Decision(Verdict.EXIT, reason), Ending("failed", reason))


def _decide_all(conn: Connection, due: Sequence[Due], decided: Decided) -> None:
    rules, now = decided.rules, decided.now
    find = partial(find_version, conn, rules.published)
    known = gather(conn, due, now, partial(guard_facts.load, now=now, house=rules.house, find=find))
    going_on = [one for one in due if known[one.row.id].ending is None and not known[one.row.id].is_passing_on]
    ways = turns.take(conn, going_on, now)
    pushed: dict[int, datetime] = {}
    # What matters more is decided first: of two for one person the second one waits.
    for one in sorted(due, key=lambda one: guard_facts.rank(one.playbook)):
        way = ways.get(one.row.id)
        if way is not None:
            decided.cases.append(_turn(one, way))
            continue
        decided.cases.append(case := _decide(one, known[one.row.id], decided, pushed.get(one.row.person_id)))
        if says(case) and one.step is not None and one.step.channel.speaks:
            pushed[one.row.person_id] = now


def _turn(one: Due, way: Turn) -> Case:
    if way.ends:
        return Case(one, Decision(Verdict.EXIT, way.ends), Ending("exited", way.ends))
    return Case(one, Decision(Verdict.RUN), turn=way)


def _decide(one: Due, known: Known, decided: Decided, pushed_at: datetime | None) -> Case:
    if known.ending is not None:
        return Case(one, Decision(Verdict.EXIT, known.ending.reason), known.ending)
    if known.is_passing_on:
        return Case(one, Decision(Verdict.DEFER, "员工已失去这位客户，等待交给同事", decided.now + _PASSING_ON))
    if one.step is None:
        # Nothing more is to come: the time for the goal is over.
        return Case(one, Decision(Verdict.SKIP))
    # Another run of this batch may just have written to the same person.
    facts = known.facts if pushed_at is None else engine.replace_push(known.facts, pushed_at)
    return Case(one, engine.decide(one.playbook, one.step, facts, decided.rules.house, decided.now))
