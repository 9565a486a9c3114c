"""Pausing, resuming, retiring and archiving a playbook, and what becomes of those under way."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from scrm.db.database import Priority
from scrm.errors import Conflict, NotFound
from scrm.services import Services
from scrm.sop import chance, placing, store
from scrm.sop.guards.answers import House
from scrm.sop.life import store as lifecycle_store
from scrm.sop.life.published import By, Published
from scrm.sop.mass import leaving
from scrm.sop.members import task_store
from scrm.sop.schema import Playbook, Step
from scrm.sop.shelf import find_version, house_of, playbooks_of
from scrm.work import queue
from scrm.work.queue import Claimed

log = structlog.get_logger()

# One word for each state, everywhere (docs/playbooks 8.3).
WORDS = {
    "draft": "草稿",
    "pending": "待审批",
    "published": "已启用",
    "paused": "已暂停",
    "retired": "已停用",
    "archived": "已归档",
}
CHANGE_WORDS = {
    "published": "发布",
    "rolled_back": "回滚",
    "asked": "提交审批",
    "refused": "退回",
    "paused": "暂停",
    "resumed": "启用",
    "retired": "停用",
    "archived": "归档",
    "restored": "取消归档",
    "migrated": "迁移进行中的客户",
    "restarted": "让进行中的客户重新开始",
}

HELD = "剧本已暂停"
HELD_TASK = "剧本已暂停，任务已撤回。"
RETIRED = "剧本已停用"
RETIRED_TASK = "剧本已停用，任务已撤回。"

_ENDED = {
    "state": "exited",
    "ended_reason": RETIRED,
    "due_at": None,
    "paused_at": None,
    "look_at": None,
    "held_reason": "",
}

HOLD = "sop.hold"
WAKE = "sop.wake"
END = "sop.end"

# Runs that are changed in one transaction: callbacks wait no longer than it takes.
SLICE = 200
# Steps that fell due while a playbook stood still come over so much time, never at once.
_SPREAD = timedelta(hours=2)


def pause(conn: Connection, key: str, by: By, *, hold: bool, now: datetime) -> None:
    """Nobody enters any more; those under way go on, or with `hold` stand still. Raises Conflict unless it runs."""
    _turn(conn, key, ("published",), "这个剧本不在运行中，不用暂停", "paused", now, runs="held" if hold else "go_on")
    _note(conn, key, "paused", by, now, runs="held" if hold else "go_on")
    if hold:
        _ask(conn, HOLD, key, now)


def resume(conn: Connection, key: str, by: By, *, shift: bool = True, now: datetime) -> None:
    """People enter again, for what happens from now on; those who were held go on.

    With `shift` their dates move by the time they stood still; else they keep them, and steps that are too late by
    their own ttl are left out. Raises Conflict unless it is paused or retired.
    """
    row = _turn(
        conn,
        key,
        ("paused", "retired"),
        "这个剧本没有暂停，不用恢复",
        "published",
        now,
        runs="go_on",
        entries_from=now,
    )
    _note(conn, key, "resumed", by, now, **({"dates": "shift" if shift else "keep"} if row.runs == "held" else {}))
    _ask(conn, WAKE, key, now, shift=shift)


def retire(conn: Connection, key: str, by: By, *, end_runs: bool, now: datetime) -> None:
    """Nobody enters any more; those under way end now, or run out. Raises Conflict when it is retired already."""
    row = _turn(conn, key, ("published", "paused"), "这个剧本已经停用", "retired", now, runs="go_on")
    _note(conn, key, "retired", by, now, runs="end" if end_runs else "run_out")
    if end_runs:
        _ask(conn, END, key, now)
    elif row.state == "paused" and row.runs == "held":
        _ask(conn, WAKE, key, now, shift=True)


def archive(conn: Connection, key: str, by: By, *, now: datetime) -> None:
    """Out of sight; raises Conflict unless it is retired and nobody is under way."""
    if any(row.people for row in lifecycle_store.count_living(conn, key)):
        raise Conflict("还有客户在这个剧本里，等他们走完，或先让他们结束，再归档")
    _turn(conn, key, ("retired",), "只有已停用的剧本可以归档", "archived", now)
    _note(conn, key, "archived", by, now)


def restore(conn: Connection, key: str, by: By, *, now: datetime) -> None:
    """In sight again, still retired."""
    _turn(conn, key, ("archived",), "这个剧本没有归档", "retired", now)
    _note(conn, key, "restored", by, now)


def _turn(
    conn: Connection, key: str, before: Sequence[str], refusal: str, state: str, now: datetime, **more: Any
) -> Row[Any]:
    """From one state to another; returns the row as it was."""
    row = lifecycle_store.lock_playbook(conn, key)
    if row is None:
        raise NotFound(f"没有编号为 {key[:64]} 的剧本")
    if row.state not in before:
        raise Conflict(refusal)
    lifecycle_store.change_playbook(conn, key, state=state, changed_at=now, **more)
    return row


def _note(conn: Connection, key: str, act: str, by: By, now: datetime, **facts: Any) -> None:
    row = lifecycle_store.find_playbook(conn, key)
    version = row.version if row is not None else 0
    lifecycle_store.add_change(
        conn, key, act, by=by.userid, now=now, version=version, why=by.why[:300], facts={**facts, "origin": by.origin}
    )
    log.info("playbook.changed", playbook=key, act=act)


def _ask(conn: Connection, kind: str, key: str, now: datetime, **payload: Any) -> None:
    """In the order in which it was asked for, one at a time."""
    queue.add(
        conn, queue.Item(lane="bulk", kind=kind, payload={"key": key, **payload}, order_key=f"runs:{key}"), now=now
    )


# Those under way, slice by slice --------------------------------------------------------------------------------------


async def run_hold(services: Services, item: Claimed) -> None:
    """Work of kind "sop.hold", payload {"key"}; what is interrupted goes on where it stopped."""
    while await services.db.write_as(Priority.IMPORT, hold_slice, item.payload["key"], services.clock.now()):
        pass


async def run_wake(services: Services, item: Claimed) -> None:
    """Work of kind "sop.wake", payload {"key", "shift"}."""
    published, house = playbooks_of(services), house_of(services)
    key, shift = item.payload["key"], bool(item.payload.get("shift", True))
    while await services.db.write_as(Priority.IMPORT, wake_slice, published, house, key, shift, services.clock.now()):
        pass


async def run_end(services: Services, item: Claimed) -> None:
    """Work of kind "sop.end", payload {"key"}."""
    while await services.db.write_as(Priority.IMPORT, end_slice, item.payload["key"], services.clock.now()):
        pass


async def tick(services: Services) -> int:
    """Hold runs of held playbooks that slipped in: entered through another process, or waited for something else."""
    held = 0
    for key in await services.db.read(lifecycle_store.list_held_playbooks):
        if await services.db.read(lifecycle_store.has_active, key):
            held += await services.db.write(hold_slice, key, services.clock.now())
    return held


def hold_slice(conn: Connection, key: str, now: datetime) -> int:
    """Some of the runs stand still, and what their members have not sent is taken back; 0 when all do."""
    row = lifecycle_store.find_playbook(conn, key)
    if row is None or (row.state, row.runs) != ("paused", "held"):
        return 0
    ids = [run.id for run in lifecycle_store.lock_runs(conn, key, "active", SLICE)]
    if ids:
        lifecycle_store.hold_runs(conn, ids, HELD, now)
        task_store.withdraw_tasks(conn, ids, HELD_TASK, now=now)
        leaving.withdraw(conn, ids, HELD, now)
    return len(ids)


def wake_slice(conn: Connection, published: Published, house: House, key: str, shift: bool, now: datetime) -> int:
    """Some of the held runs go on, and tasks that still have their time are open again; 0 when all do."""
    row = lifecycle_store.find_playbook(conn, key)
    if row is None or (row.state, row.runs) == ("paused", "held"):
        return 0
    only = [lifecycle_store.held_for(HELD)]
    runs = lifecycle_store.lock_runs(conn, key, "paused", SLICE, only=only)
    if not runs:
        return 0
    lifecycle_store.change_runs(conn, [_woken(conn, published, house, run, shift, now) for run in runs])
    paused = {run.id: now - run.paused_at for run in runs}
    tasks = lifecycle_store.list_withdrawn(conn, list(paused), HELD_TASK)
    lifecycle_store.reopen_tasks(conn, [again for task in tasks if (again := _again(task, paused, shift, now))])
    store.finish_idle(conn, list(paused), now=now)
    return len(runs)


def _woken(
    conn: Connection, published: Published, house: House, run: Row[Any], shift: bool, now: datetime
) -> dict[str, Any]:
    """The run with its next date: moved by the time it stood still, or as it was, but never many at once."""
    paused_for = now - run.paused_at
    due_at, counted_from = run.due_at, run.counted_from
    if shift:
        counted_from = (counted_from or run.anchor_at) + paused_for
        if due_at is not None:
            playbook = find_version(conn, published, run.playbook_key, run.version)
            due_at = max(due_at + paused_for, _planned(playbook, run, counted_from, house) or now)
    elif due_at is not None and due_at < now:
        due_at = now + chance.part_of_one(f"wake/{run.id}") * min(paused_for, _SPREAD)
    return {
        "of_id": run.id,
        "state": "active",
        "ended_reason": "",
        "paused_at": None,
        "due_at": due_at,
        "counted_from": counted_from,
    }


def _planned(playbook: Playbook | None, run: Row[Any], counted_from: datetime, house: House) -> datetime | None:
    node = playbook.node(run.step) if playbook is not None else None
    if playbook is None or not isinstance(node, Step):
        return None
    return placing.planned_at(playbook, node, counted_from, house, placing.spread_key(run))


def _again(task: Row[Any], paused: Mapping[int, timedelta], shift: bool, now: datetime) -> dict[str, Any] | None:
    expires_at = task.expires_at
    if shift and expires_at is not None:
        expires_at += paused[task.enrolment_id]
    if expires_at is not None and expires_at <= now:
        return None
    return {"of_id": task.id, "at": now, "end": expires_at, "step_run_id": task.step_run_id}


def end_slice(conn: Connection, key: str, now: datetime) -> int:
    """Some of the runs end, and what their members have not sent is taken back; 0 when none is left."""
    row = lifecycle_store.find_playbook(conn, key)
    if row is None or row.state not in ("retired", "archived"):
        return 0
    for state in ("active", "paused", "queued"):
        if ids := [run.id for run in lifecycle_store.lock_runs(conn, key, state, SLICE)]:
            lifecycle_store.change_runs(conn, [{"of_id": of_id, **_ENDED, "ended_at": now} for of_id in ids])
            task_store.withdraw_tasks(conn, ids, RETIRED_TASK, now=now)
            leaving.withdraw(conn, ids, RETIRED, now)
            return len(ids)
    return 0


EXECUTORS = {HOLD: run_hold, WAKE: run_wake, END: run_end}
