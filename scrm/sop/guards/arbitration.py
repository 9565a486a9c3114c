"""Who wins when several playbooks want the same customer: who waits for his turn, who pauses, who goes on."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    update,
)

from scrm.events import Event
from scrm.profiles.conditions import tree as conditions
from scrm.sop import store
from scrm.sop.chance import part_of_one
from scrm.sop.facts import Due, whom_of
from scrm.sop.guards import facts as guard_facts
from scrm.sop.guards.answers import HOLDOUT_FROM, IN_PROMOTION, MARKETING, PUSHES, Free, House, in_promotion
from scrm.sop.guards.facts import CASE_CLOSED, CASE_OPENED
from scrm.sop.life.published import Published
from scrm.sop.mass import leaving
from scrm.sop.members import task_store
from scrm.sop.models import enrolment, step_run, task
from scrm.sop.placing import course_of, place_from
from scrm.sop.schema import Channel, Playbook, Step
from scrm.sop.shelf import find_version
from scrm.sop.turns import progress

log = structlog.get_logger()

HEEDED = CASE_OPENED | CASE_CLOSED
LOOKED_AT_ONCE = 200
# Every event of the person is a reason to look, and so is the next step of who speaks; this is for what is missed.
LOOK_EVERY = timedelta(hours=6)
CASE_WORDS = "客户有售后在处理，暂停营销"
QUEUE_WORDS = "排队中：这位客户还有别的跟进没有走完"

_AFTER = timedelta(minutes=1)
# As the partial index has it.
_HELD: ColumnElement[bool] = literal_column("enrolment.state IN ('queued', 'paused') AND enrolment.look_at IS NOT NULL")
_LIVING = ("active", "paused")


@dataclass(frozen=True, slots=True)
class Admission:
    """How a run begins: `state` active or queued; one that is held out is only watched."""

    state: str = "active"
    is_holdout: bool = False
    reason: str = ""
    columns: dict[str, Any] = field(default_factory=dict)
    """What the enrolment's row gets besides: state, is_holdout, held_reason, priority, is_journey, look_at."""


# Entry ----------------------------------------------------------------------------------------------------------------


def admit(conn: Connection, playbook: Playbook, person_id: int, now: datetime, house: House | None = None) -> Admission:
    """How a person's run of this playbook begins; a complaint (P0) pauses what is marketing.

    The person is locked until the transaction ends: two events cannot both find that nobody else speaks.
    """
    if playbook.priority == "P0":
        pause_person(conn, person_id, CASE_WORDS, now)
    is_out = is_held_out(conn, playbook, person_id, house)
    journey = is_journey(playbook)
    waits = journey and not is_out and _has_journey(conn, person_id)
    admission = Admission("queued" if waits else "active", is_out, QUEUE_WORDS if waits else "")
    columns = {
        "state": admission.state,
        "is_holdout": is_out,
        "held_reason": admission.reason,
        "priority": playbook.priority,
        "is_journey": journey,
        "look_at": now if waits else None,
    }
    return Admission(admission.state, is_out, admission.reason, columns)


def is_journey(playbook: Playbook) -> bool:
    """One of those that come one after the other: P3 or P4, one run for a person, with something to push."""
    return (
        playbook.priority in MARKETING
        and playbook.run_key == "person"
        and playbook.guards.queue != "none"
        and any(step.channel in PUSHES for step in playbook.steps)
    )


def _has_journey(conn: Connection, person_id: int) -> bool:
    store.lock_persons(conn, [person_id])
    query = select(enrolment.c.id).where(
        enrolment.c.person_id == person_id,
        enrolment.c.is_journey,
        enrolment.c.is_holdout.is_(False),
        enrolment.c.state.in_(("active", "paused", "queued")),
    )
    return conn.execute(query.limit(1)).first() is not None


def is_held_out(conn: Connection, playbook: Playbook, person_id: int, house: House | None) -> bool:
    """Whether this person is only compared with: once held out of a playbook is always, also after a join.

    P0 to P2 hold nobody out unless their text says so. With the house's share the first 200 customers of a playbook
    are all served: below that no uplift could be shown, and a small shop would only lose sales.
    """
    share = playbook.holdout
    if share is None:
        share = house.holdout if house is not None and playbook.priority in MARKETING else 0.0
    if share <= 0:
        return False
    before = conn.execute(
        select(enrolment.c.is_holdout).where(
            enrolment.c.person_id == person_id, enrolment.c.playbook_key == playbook.key
        )
    ).all()
    if before:
        return any(row.is_holdout for row in before)
    if playbook.holdout is None and not _has_many(conn, playbook.key):
        return False
    return draw(playbook.key, person_id) < share


def _has_many(conn: Connection, playbook_key: str) -> bool:
    some = select(enrolment.c.id).where(enrolment.c.playbook_key == playbook_key).limit(HOLDOUT_FROM).subquery()
    return (conn.scalar(select(func.count()).select_from(some)) or 0) >= HOLDOUT_FROM


def draw(playbook_key: str, person_id: int) -> float:
    """A number from 0 up to 1, for one playbook and person always the same; below the share they are held out."""
    return part_of_one(f"holdout/{playbook_key}/{person_id}")


# Pausing --------------------------------------------------------------------------------------------------------------


def heed(conn: Connection, event: Event, now: datetime) -> None:
    """A case that opens pauses the person's marketing; after any event what is held is looked at again."""
    if event.person_id is None:
        return
    if event.name in CASE_OPENED and not event.facts.get("historic"):
        pause_person(conn, event.person_id, CASE_WORDS, now)
    else:
        conn.execute(_LOOK, {"of_person": event.person_id, "at": now})


# What every event asks for is built once.
_LOOK = update(enrolment).where(_HELD, enrolment.c.person_id == bindparam("of_person")).values(look_at=bindparam("at"))


def pause_person(conn: Connection, person_id: int, reason: str, now: datetime) -> int:
    """Pause a person's runs of P3 and P4 and take back what nobody has sent yet; returns how many runs."""
    ids = conn.scalars(_MARKETED, {"of_person": person_id}).all()
    pause(conn, [(each, reason, now + LOOK_EVERY) for each in ids], now)
    return len(ids)


_MARKETED: Select[Any] = (
    select(enrolment.c.id)
    .where(
        enrolment.c.person_id == bindparam("of_person"),
        enrolment.c.state == "active",
        enrolment.c.priority.in_(sorted(MARKETING)),
        enrolment.c.is_holdout.is_(False),
    )
    .order_by(enrolment.c.id)
)
_PAUSE = (
    update(enrolment)
    .where(enrolment.c.id == bindparam("of_id"), enrolment.c.state == "active")
    .values(
        state="paused", paused_at=bindparam("at"), held_reason=bindparam("reason"), look_at=bindparam("next_look_at")
    )
)


def pause(conn: Connection, runs: Sequence[tuple[int, str, datetime]], now: datetime) -> None:
    """(enrolment, reason in words, when to look again) for each; their open tasks are withdrawn, mass tasks cancelled."""
    if not runs:
        return
    conn.execute(
        _PAUSE,
        [
            {"of_id": of_id, "at": now, "reason": reason[:200], "next_look_at": look_at}
            for of_id, reason, look_at in runs
        ],
    )
    ids = [of_id for of_id, _, _ in runs]
    _note_unsent(conn, ids)
    task_store.withdraw_tasks(conn, ids, f"{runs[0][1]}，任务已撤回。", now=now)
    leaving.withdraw(conn, ids, runs[0][1], now)
    log.info("sop.runs_paused", runs=len(ids), reason=runs[0][1])


def _note_unsent(conn: Connection, ids: Sequence[int]) -> None:
    """Remember the first step that is taken back before any tap or confirmation: the run goes on with it again."""
    untapped = and_(task.c.state == "open", task.c.released_at.is_(None))
    unconfirmed = and_(step_run.c.channel == Channel.MASS.value, step_run.c.state.in_(("intent", "waiting")))
    rows = conn.execute(
        select(step_run.c.enrolment_id, step_run.c.step_id, enrolment.c.arms)
        .join(enrolment, enrolment.c.id == step_run.c.enrolment_id)
        .outerjoin(task, task.c.step_run_id == step_run.c.id)
        .where(step_run.c.enrolment_id.in_(ids), or_(untapped, unconfirmed))
        .order_by(step_run.c.id.desc())
    )
    for row in rows:
        arms = {**(row.arms or {}), _AGAIN: row.step_id}
        conn.execute(update(enrolment).where(enrolment.c.id == row.enrolment_id).values(arms=arms))


# Under this name `arms` keeps the step that a paused run goes on with; no branch can have it.
_AGAIN = "~again"


# Going on -------------------------------------------------------------------------------------------------------------


def has_held(conn: Connection, now: datetime) -> bool:
    """Whether some run that is queued or paused is to be looked at."""
    return conn.execute(select(enrolment.c.id).where(_HELD, enrolment.c.look_at <= now).limit(1)).first() is not None


def next_look_at(conn: Connection) -> datetime | None:
    """When the next queued or paused run is looked at; for a clock that is moved by hand."""
    return conn.execute(select(func.min(enrolment.c.look_at)).where(_HELD)).scalar_one_or_none()


def sweep(conn: Connection, now: datetime, house: House, published: Published) -> int:
    """Let runs go on whose brake has lifted or whose turn has come; returns how many were looked at, at most 200."""
    query = select(enrolment).where(_HELD, enrolment.c.look_at <= now).order_by(enrolment.c.look_at, enrolment.c.id)
    query = query.limit(LOOKED_AT_ONCE)
    if conn.dialect.name == "postgresql":
        query = query.with_for_update(skip_locked=True)
    rows = conn.execute(query).all()
    if not rows:
        return 0
    store.lock_persons(conn, {row.person_id for row in rows})
    held = _Held(conn, now, house, published)
    held.look([row for row in rows if row.state == "paused"])
    held.choose([row for row in rows if row.state == "queued"])
    return len(rows)


@dataclass(slots=True)
class _Held:
    """Runs that are looked at in one transaction."""

    conn: Connection
    now: datetime
    house: House
    published: Published

    def look(self, paused: Sequence[Row[Any]]) -> None:
        """A paused run goes on when the case is over, or ends when that took too long."""
        cases = guard_facts.load_cases(self.conn, paused, self.now, self.house)
        for row in paused:
            words, until = cases.get(row.id, ("", None))
            if self.now - (row.paused_at or row.enrolled_at) > self.house.held_at_most:
                self.end(row, f"暂停超过 {self.house.held_at_most.days} 天")
            elif words:
                self.keep(row, words, min(until or self.now + LOOK_EVERY, self.give_up_at(row.paused_at)))
            elif free := self._gives_way(row):
                self.keep(row, free.why, min(free.at, self.give_up_at(row.paused_at)))
            else:
                self.resume(row)

    def _gives_way(self, row: Row[Any]) -> Free | None:
        """A run that waits for the end of a promotion goes on waiting, whatever happens meanwhile."""
        if row.paused_at is None or not str(row.held_reason).startswith(IN_PROMOTION):
            return None
        free = in_promotion(row.paused_at, self.house)
        return free if free is not None and free.at > self.now else None

    def choose(self, queued: Sequence[Row[Any]]) -> None:
        """Of everybody's queue the first, when nobody speaks before him."""
        speaking = self._speaking({row.person_id for row in queued})
        cases = guard_facts.load_cases(self.conn, queued, self.now, self.house)
        waiting = self._queues({row.person_id for row in queued})
        for row in queued:
            words, until = cases.get(row.id, ("", None))
            if self.now - row.enrolled_at > self.house.held_at_most:
                self.end(row, f"排队超过 {self.house.held_at_most.days} 天")
            elif words:
                self.keep(row, words, min(until or self.now + LOOK_EVERY, self.give_up_at(row.enrolled_at)))
            elif row.person_id in speaking or waiting[row.person_id][0] != row.id:
                look_at = speaking.get(row.person_id, self.now + LOOK_EVERY)
                self.keep(row, QUEUE_WORDS, min(look_at, self.give_up_at(row.enrolled_at)))
            elif self.begin(row):
                speaking[row.person_id] = self.now + LOOK_EVERY

    def _speaking(self, person_ids: Collection[int]) -> dict[int, datetime]:
        """The persons whose journey still has something to say, and when to look whether it has said it."""
        rows = self.conn.execute(
            select(enrolment).where(
                enrolment.c.person_id.in_(sorted(person_ids)),
                enrolment.c.is_journey,
                enrolment.c.is_holdout.is_(False),
                enrolment.c.state.in_(_LIVING),
            )
        )
        speaking: dict[int, datetime] = {}
        for row in rows:
            if self._has_more(row):
                due_at = row.due_at if row.state == "active" else None
                look_at = max(due_at, self.now) + _AFTER if due_at is not None else self.now + LOOK_EVERY
                speaking[row.person_id] = min(look_at, speaking.get(row.person_id, look_at))
        return speaking

    def _has_more(self, row: Row[Any]) -> bool:
        playbook = find_version(self.conn, self.published, row.playbook_key, row.version)
        rest = playbook.program[row.step :] if playbook is not None else ()
        return row.state == "paused" or any(isinstance(node, Step) and node.channel in PUSHES for node in rest)

    def _queues(self, person_ids: Collection[int]) -> dict[int, list[int]]:
        """By person: who is first, priority before time."""
        query = select(enrolment.c.id, enrolment.c.person_id).where(
            enrolment.c.person_id.in_(sorted(person_ids)), enrolment.c.state == "queued"
        )
        queues: dict[int, list[int]] = defaultdict(list)
        for row in self.conn.execute(query.order_by(enrolment.c.priority, enrolment.c.enrolled_at, enrolment.c.id)):
            queues[row.person_id].append(row.id)
        return queues

    def give_up_at(self, since: datetime) -> datetime:
        return since + self.house.held_at_most + timedelta(seconds=1)

    def keep(self, row: Row[Any], words: str, look_at: datetime) -> None:
        later = max(look_at, self.now + timedelta(seconds=1))
        self._change(row, look_at=later, held_reason=words[:200])

    def end(self, row: Row[Any], reason: str) -> None:
        self._change(
            row, state="exited", ended_reason=reason, ended_at=self.now, due_at=None, look_at=None, held_reason=""
        )
        log.info("sop.run_ended", enrolment=row.id, playbook=row.playbook_key, state="exited", reason=reason)

    def begin(self, row: Row[Any]) -> bool:
        """Its turn has come: the times count from now."""
        playbook = self._fitting(row)
        if playbook is None:
            return False
        self._go_on(row, playbook, self.now, 0)
        return True

    def resume(self, row: Row[Any]) -> None:
        """At the same step, as much later as the pause was long; a step that was taken back comes again."""
        playbook = self._fitting(row)
        if playbook is None:
            return
        paused = self.now - (row.paused_at or self.now)
        counted = (row.counted_from or row.anchor_at) + paused
        step_id = str((row.arms or {}).get(_AGAIN, ""))
        again = playbook.index_of(step_id)
        if again is None or self._reached(row, step_id):
            # What it waited for, or was put off to, is as much farther away.
            due_at = row.due_at + paused if row.due_at is not None and row.awaits else None
            self._go_on(row, playbook, counted, row.step, due_at)
        else:
            self._go_on(row, playbook, counted, again, pass_number=row.pass_number + 1)

    def _reached(self, row: Row[Any], step_id: str) -> bool:
        """Whether the member had confirmed before it could be taken back; what is not known yet is not said again."""
        of_step = (step_run.c.enrolment_id == row.id, step_run.c.step_id == step_id)
        state = self.conn.scalar(select(step_run.c.state).where(*of_step).order_by(step_run.c.id.desc()).limit(1))
        return state != "skipped"

    def _fitting(self, row: Row[Any]) -> Playbook | None:
        playbook = find_version(self.conn, self.published, row.playbook_key, row.version)
        if playbook is None:
            self.end(row, f"找不到剧本 {row.playbook_key} 的第 {row.version} 版")
        elif not conditions.holds_for(self.conn, playbook.enter_if, whom_of(row)._replace(anchor_at=None), self.now):
            self.end(row, "重新检查时已不符合进入条件")
            playbook = None
        return playbook

    def _go_on(
        self,
        row: Row[Any],
        playbook: Playbook,
        counted: datetime,
        index: int,
        due_at: datetime | None = None,
        **changed: Any,
    ) -> None:
        arms = {name: arm for name, arm in (row.arms or {}).items() if name != _AGAIN}
        self._change(
            row,
            state="active",
            counted_from=counted,
            paused_at=None,
            look_at=None,
            held_reason="",
            arms=arms,
            **changed,
        )
        (anew,) = self.conn.execute(select(enrolment).where(enrolment.c.id == row.id)).all()
        place = place_from(course_of(playbook, anew, self.house), index, self.now)
        values = progress(Due(anew, playbook, None), place)
        if due_at is not None:
            values["due_at"] = due_at
        store.save_progress(self.conn, [values])
        if place.due_at is None:
            store.finish_idle(self.conn, [row.id], now=self.now)

    def _change(self, row: Row[Any], **values: Any) -> None:
        self.conn.execute(
            update(enrolment).where(enrolment.c.id == row.id, enrolment.c.state == row.state).values(**values)
        )
