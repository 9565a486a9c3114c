"""What becomes of those under way when a playbook has a new version: they keep theirs, move over, or begin anew."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from scrm.db.database import Priority
from scrm.errors import Conflict, Invalid, NotFound
from scrm.services import Services
from scrm.sop import placing, store
from scrm.sop.guards.answers import House
from scrm.sop.life import store as lifecycle_store
from scrm.sop.life.published import By, Published
from scrm.sop.mass import leaving
from scrm.sop.placing import Course, Place
from scrm.sop.schema import Channel, Fork, Jump, Playbook, Step, Wait
from scrm.sop.shelf import find_version, house_of, playbooks_of
from scrm.work import queue
from scrm.work.queue import Claimed

KIND = "sop.migrate"
MODES = {
    "keep": "按原来的版本走完",
    "migrate": "换到新版本，从现在的位置继续",
    "restart": "换到新版本，从第一步重新开始",
}
SLICE = 200
GONE_TASK = "剧本已改版，这一步已取消，任务已撤回。"
RESTARTED_TASK = "剧本已改版，流程重新开始，任务已撤回。"
_STATES = ("active", "paused", "queued")


# Where a place of the old text lies in the new one: pure --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Route:
    """Where those go who stood at one index of the old program: the new index, and whether it is the same part."""

    index: int
    is_same: bool


def route(old: Playbook, new: Playbook, index: int) -> Route:
    """By name: the same part, else the next one after it in the old order that still exists.

    Where none of those is left, they go on after the last part before it that still exists: a step that was replaced,
    or added at the end, comes to them too.
    """
    here = _id_at(old, index)
    if here and (found := new.index_of(here)) is not None:
        return Route(found, is_same=True)
    for each in range(index + 1, len(old.program)):
        if (part := _id_at(old, each)) and (found := new.index_of(part)) is not None:
            return Route(found, is_same=False)
    for each in range(min(index, len(old.program)) - 1, -1, -1):
        if (part := _id_at(old, each)) and (found := new.index_of(part)) is not None:
            return Route(_after(new, found), is_same=False)
    # Nothing of the old text is left: the new one from its beginning.
    return Route(0, is_same=False)


def gone_steps(old: Playbook, new: Playbook) -> list[Step]:
    """Steps of the old text that the new one does not have."""
    kept = {step.id for step in new.steps}
    return [step for step in old.steps if step.id not in kept]


def _id_at(playbook: Playbook, index: int) -> str:
    node = playbook.node(index)
    if node is None or isinstance(node, Jump):
        return ""
    return node.part.id if isinstance(node, Fork) else node.id


def _after(playbook: Playbook, index: int) -> int:
    """Past a step or a whole fork."""
    node = playbook.node(index)
    return node.after if isinstance(node, Fork) else index + 1


def _undone(playbook: Playbook, index: int, done: Collection[str]) -> int:
    """On from there past the steps that were decided already: nobody is told twice."""
    while True:
        node = playbook.node(index)
        if isinstance(node, Jump):
            index = node.target
        elif isinstance(node, Step) and (node.id in done or node.channel is Channel.WELCOME):
            index += 1
        else:
            return index


# What would happen ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Move:
    """Those who stand at one place: how many, and where each mode takes them; `tasks` of it are open."""

    version: int
    at: str
    people: int
    paused: int
    to: str
    is_gone: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """Who is affected by moving everybody to the current version."""

    version: int
    people: int = 0
    moves: Sequence[Move] = ()
    # (title of a step that is gone, open tasks that would be withdrawn)
    withdrawn: Sequence[tuple[str, int]] = ()
    # Versions whose text cannot be read any more: their runs stay as they are.
    unreadable: Sequence[int] = ()


def preview(conn: Connection, published: Published, key: str) -> Preview:
    """Counts only: what `migrate` would do with those who are under way in older versions. Raises NotFound."""
    new = _current(conn, published, key)
    counts = [row for row in lifecycle_store.count_living(conn, key) if row.version != new.version]
    moves: dict[tuple[int, int], Move] = {}
    unreadable: set[int] = set()
    gone: dict[str, str] = {}
    for row in counts:
        old = find_version(conn, published, key, row.version)
        if old is None:
            unreadable.add(row.version)
            continue
        gone |= {step.id: step.title or step.id for step in gone_steps(old, new)}
        moves[row.version, row.step] = _count(moves.get((row.version, row.step)), old, new, row)
    readable = sorted({version for version, _ in moves})
    tasks = lifecycle_store.count_open_tasks(conn, key, readable) if gone else {}
    return Preview(
        new.version,
        sum(move.people for move in moves.values()),
        list(moves.values()),
        [(title, tasks[step_id]) for step_id, title in gone.items() if tasks.get(step_id)],
        sorted(unreadable),
    )


def _count(before: Move | None, old: Playbook, new: Playbook, row: Row[Any]) -> Move:
    found = route(old, new, row.step)
    people, paused = (before.people, before.paused) if before else (0, 0)
    return Move(
        row.version,
        title_at(old, row.step),
        people + row.people,
        paused + (row.people if row.state == "paused" else 0),
        title_at(new, found.index),
        is_gone=not found.is_same and bool(_id_at(old, row.step)),
    )


def title_at(playbook: Playbook, index: int) -> str:
    """What a run that stands there waits for, in words."""
    node = playbook.node(index)
    while isinstance(node, Jump):
        node = playbook.node(node.target)
    if node is None:
        return "步骤已走完，等待目标" if playbook.goal else "走完"
    if isinstance(node, Step):
        return node.title or node.id
    return f"等待“{node.part.id}”" if isinstance(node.part, Wait) else f"分支“{node.part.id}”"


def _current(conn: Connection, published: Published, key: str) -> Playbook:
    row = lifecycle_store.find_playbook(conn, key)
    if row is None:
        raise NotFound(f"没有编号为 {key[:64]} 的剧本")
    found = find_version(conn, published, key, row.version)
    if found is None:
        raise Conflict(f"当前的第 {row.version} 版读不出来，请先发布一个能用的版本")
    return found


# Doing it -------------------------------------------------------------------------------------------------------------


def start(conn: Connection, published: Published, key: str, mode: str, by: By, *, now: datetime) -> int:
    """Ask for it: the work goes on in the background; returns how many are under way in older versions.

    Mode is keep (nothing is done), migrate or restart. Raises Invalid for another one.
    """
    if mode not in MODES:
        raise Invalid(f"方式只能是 {'、'.join(MODES)}，写的是“{mode[:20]}”")
    lifecycle_store.lock_playbook(conn, key)
    found = preview(conn, published, key)
    if mode == "keep" or not found.people:
        return 0
    lifecycle_store.add_change(
        conn,
        key,
        "migrated" if mode == "migrate" else "restarted",
        by=by.userid,
        now=now,
        version=found.version,
        why=by.why[:300],
        facts={"people": found.people, "origin": by.origin},
    )
    payload = {"key": key, "version": found.version, "restarts": mode == "restart"}
    queue.add(conn, queue.Item(lane="bulk", kind=KIND, payload=payload, order_key=f"runs:{key}"), now=now)
    return found.people


@dataclass(frozen=True, slots=True)
class Job:
    """Moving everybody to one version; what is interrupted begins anew, as who has moved has its number already."""

    published: Published
    house: House
    key: str
    version: int
    restarts: bool


async def run_migrate(services: Services, item: Claimed) -> None:
    """Work of kind "sop.migrate", payload {"key", "version", "restarts"}."""
    said = item.payload
    job = Job(playbooks_of(services), house_of(services), said["key"], said["version"], said["restarts"])
    for state in _STATES:
        after: int | None = 0
        while after is not None:
            after = await services.db.write_as(Priority.IMPORT, move_slice, job, state, after, services.clock.now())


def move_slice(conn: Connection, job: Job, state: str, after: int, now: datetime) -> int | None:
    """Move some of the runs in this state with ids above `after`; returns the last one's, None when all are moved.

    Nothing more is moved when a newer version came out meanwhile.
    """
    row = lifecycle_store.find_playbook(conn, job.key)
    new = find_version(conn, job.published, job.key, job.version)
    if row is None or row.version != job.version or new is None:
        return None
    only = [lifecycle_store.other_version(job.version)]
    runs = lifecycle_store.lock_runs(conn, job.key, state, SLICE, after=after, only=only)
    if runs:
        _move(conn, job, new, runs, now)
    return int(runs[-1].id) if runs else None


def _move(conn: Connection, job: Job, new: Playbook, runs: Sequence[Row[Any]], now: datetime) -> None:
    ids = [run.id for run in runs]
    done = {} if job.restarts else lifecycle_store.list_steps_done(conn, ids)
    changes, gone, gone_mass = [], set(), set()
    for run in runs:
        old = find_version(conn, job.published, job.key, run.version)
        if old is None:
            continue
        gone |= {step.id for step in gone_steps(old, new)}
        gone_mass |= {step.id for step in gone_steps(old, new) if step.channel is Channel.MASS}
        changes.append(
            _begun_anew(run, new, job.house, now)
            if job.restarts
            else _moved(run, old, new, job.house, done.get((run.id, run.pass_number), set()), now)
        )
    moved = [change["of_id"] for change in changes]
    lifecycle_store.change_runs(conn, changes)
    if job.restarts:
        lifecycle_store.withdraw_steps(conn, moved, None, RESTARTED_TASK, now)
        leaving.withdraw(conn, moved, "剧本已改版，流程重新开始", now)
    elif gone:
        lifecycle_store.withdraw_steps(conn, moved, gone, GONE_TASK, now)
    if gone_mass and not job.restarts:
        leaving.withdraw(conn, lifecycle_store.list_waiting(conn, moved, gone_mass), GONE_TASK, now)
    store.finish_idle(conn, moved, now=now)


def _moved(
    run: Row[Any], old: Playbook, new: Playbook, house: House, done: Collection[str], now: datetime
) -> dict[str, Any]:
    found = route(old, new, run.step)
    index = _undone(new, found.index, done)
    course = placing.course_of(new, run, house)
    if run.is_holdout:
        # Only watched: as long as the new version would take.
        place = Place(index, placing.ends_at(course))
    elif found.is_same and index == found.index and _waits_alike(old, new, run.step, index):
        place = Place(index, run.due_at, run.awaits)
    else:
        place = placing.place_from(course, index, now)
    return _row(run, new, place, run.pass_number, run.counted_from)


def _waits_alike(old: Playbook, new: Playbook, index: int, other: int) -> bool:
    """The date stays as it is, put off or not, where the author has not changed when it comes."""
    before, after = old.node(index), new.node(other)
    if isinstance(before, Step) and isinstance(after, Step):
        return (before.when, before.late, before.ignores_quiet) == (after.when, after.late, after.ignores_quiet)
    if isinstance(before, Fork) and isinstance(after, Fork):
        if isinstance(before.part, Wait) and isinstance(after.part, Wait):
            return (before.part.event, before.part.timeout) == (after.part.event, after.part.timeout)
        return getattr(before.part, "when", None) == getattr(after.part, "when", None)
    return before is None and after is None


def _begun_anew(run: Row[Any], new: Playbook, house: House, now: datetime) -> dict[str, Any]:
    """From the first step, in a pass of its own; dates are counted from now."""
    course = Course(new, run.anchor_at, now, placing.spread_key(run), house)
    held_out = Place(len(new.program), placing.ends_at(course))
    place = held_out if run.is_holdout else placing.place_from(course, 0, now)
    return _row(run, new, place, run.pass_number + 1, now)


def _row(run: Row[Any], new: Playbook, place: Place, pass_number: int, counted_from: datetime | None) -> dict[str, Any]:
    is_anew = pass_number != run.pass_number
    return {
        "of_id": run.id,
        "version": new.version,
        "step": place.step,
        # A queued run has no date before its turn comes.
        "due_at": run.due_at if run.state == "queued" else place.due_at,
        "awaits": place.awaits,
        "pass_number": pass_number,
        "counted_from": counted_from,
        "arms": {} if is_anew else run.arms,
        # Why it stands still stays true; why its step was put off does not.
        "held_reason": "" if run.state == "active" else run.held_reason,
    }


def words_of(found: Preview) -> Iterator[str]:
    """The preview as lines, for a terminal."""
    if not found.people:
        yield "没有客户在旧版本中"
    for move in found.moves:
        state = f"（其中 {move.paused} 位已暂停）" if move.paused else ""
        gone = "这一步已删除，" if move.is_gone else ""
        yield f"第 {move.version} 版 · 等待“{move.at}”：{move.people} 位{state} → {gone}去“{move.to}”"
    for title, tasks in found.withdrawn:
        yield f"“{title}”已删除，撤回 {tasks} 条员工还没发的待办"
    for version in found.unreadable:
        yield f"第 {version} 版读不出来，其中的客户不会移动"


EXECUTORS: Mapping[str, Any] = {KIND: run_migrate}
