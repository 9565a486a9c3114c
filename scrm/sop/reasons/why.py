"""Why a person is in a playbook or is not, what comes next, and what holds it up: kept as data, told in words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, select, tuple_

from scrm.db import upsert
from scrm.db.bulk import insert_rows
from scrm.errors import NotFound
from scrm.profiles.conditions import tree as conditions
from scrm.profiles.conditions.tree import Whom
from scrm.services import Services
from scrm.sop import engine, store
from scrm.sop.engine import Verdict
from scrm.sop.facts import Due, gather
from scrm.sop.guards.answers import House
from scrm.sop.life.published import Published
from scrm.sop.models import enrolment, send, step_run, task
from scrm.sop.models import playbook as playbook_table
from scrm.sop.reasons import explain, waiting
from scrm.sop.results.tables import entry_note, refusal
from scrm.sop.schema import Playbook, Step
from scrm.sop.shelf import find_version

# Reasons as people read them; whoever refuses for another reason gives his own words.
NO_MEMBER = "客户没有在联系的员工"
NOT_ADMITTED = "不符合进入条件"
_MOST_LEAVES = 3
ENTERED_BEFORE = "已经进入过，按规则不再进入"

# A refusal that is older explains nothing any more.
KEPT = timedelta(days=180)


@dataclass(frozen=True, slots=True)
class Refused:
    """One person whom one event would have brought into one playbook."""

    playbook_key: str
    person_id: int
    event_id: int | None
    reason: str


def note_refusal(
    conn: Connection, playbook_key: str, person_id: int, event_id: int | None, reason: str, now: datetime
) -> None:
    """Keep why this person was not let in; the last refusal of a playbook and person stays."""
    note_refusals(conn, [Refused(playbook_key, person_id, event_id, reason)], now)


def note_refusals(conn: Connection, refused: Iterable[Refused], now: datetime) -> None:
    """`note_refusal` for many, with one statement; of one playbook and person the last one counts."""
    rows = {
        (one.playbook_key, one.person_id): {
            "playbook_key": one.playbook_key,
            "person_id": one.person_id,
            "event_id": one.event_id,
            "reason": one.reason[:300],
            "at": now,
        }
        for one in refused
    }
    if not rows:
        return
    insert = upsert(refusal, conn)
    news = {name: insert.excluded[name] for name in ("event_id", "reason", "at")}
    # In one order everywhere: two events of two persons do not wait for each other crosswise.
    conn.execute(
        insert.on_conflict_do_update(index_elements=["playbook_key", "person_id"], set_=news),
        [rows[key] for key in sorted(rows)],
    )


def note_entry(conn: Connection, enrolment_id: int, leaves: Sequence[conditions.Compared]) -> None:
    """Keep what the entry condition compared; without a condition nothing is."""
    if leaves:
        insert_rows(conn, entry_note, [{"enrolment_id": enrolment_id, "leaves": leaves}], skip_known=True)


def forget_refusals(conn: Connection, now: datetime, *, limit: int = 2000) -> int:
    """Clear what is too old to explain anything; returns how many."""
    keys = refusal.c.playbook_key, refusal.c.person_id
    old: Sequence[Any] = conn.execute(
        select(*keys).where(refusal.c.at < now - KEPT).order_by(refusal.c.at).limit(limit)
    ).all()
    if old:
        conn.execute(delete(refusal).where(tuple_(*keys).in_([tuple(row) for row in old])))
    return len(old)


async def tick(services: Services) -> int:
    """Clear old refusals; returns how many."""
    cleared = 0
    while done := await services.db.write(forget_refusals, services.clock.now()):
        cleared += done
    return cleared


# What is told -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Next:
    """What comes next in a living run, when, and what the guards would say then, knowing what is known now."""

    title: str
    channel: str
    at: datetime | None
    verdict: str
    reason: str
    checks: tuple[explain.Check, ...] = ()


@dataclass(frozen=True, slots=True)
class NotIn:
    """Why the last event that would have begun this playbook did not."""

    reason: str
    at: datetime
    cause: explain.Cause | None


@dataclass(frozen=True, slots=True)
class Why:
    """One person and one playbook: the runs (the newest first), the last refusal, what would happen now.

    `entry` is what the entry condition says at this moment; `summary` tells all of it in one sentence.
    """

    person_id: int
    playbook_key: str
    playbook_title: str
    state: str
    version: int
    trigger: str
    summary: str
    runs: list[explain.RunStory]
    not_in: NotIn | None
    entry: tuple[explain.Leaf, ...]
    next: Next | None


def tell(conn: Connection, person_id: int, playbook_key: str, published: Published, house: House, now: datetime) -> Why:
    """Everything that is known of why this person is, or is not, in this playbook. Raises NotFound for an unknown one."""
    row = conn.execute(select(playbook_table).where(playbook_table.c.key == playbook_key)).one_or_none()
    if row is None:
        raise NotFound(f"没有编号为 {playbook_key[:64]} 的剧本")
    playbook = find_version(conn, published, row.key, row.version)
    runs = explain.explain_runs(conn, person_id, row.key, published, house)
    not_in = _not_in(conn, person_id, row.key, runs)
    asking = not_in.cause.event_id if not_in is not None and not_in.cause is not None else 0
    entry = _entry_now(conn, playbook, Whom(0, person_id, event_id=asking), now)
    next_one = _next(conn, runs, published, house, now)
    return Why(
        person_id=person_id,
        playbook_key=row.key,
        playbook_title=row.title,
        state=row.state,
        version=row.version,
        trigger=trigger_words(playbook),
        summary=_summary(row, playbook, runs, not_in, next_one),
        runs=runs,
        not_in=not_in,
        entry=entry,
        next=next_one,
    )


def unmet(conn: Connection, playbook: Playbook, person_id: int, words: str, now: datetime, *, event_id: int = 0) -> str:
    """Why somebody was not let in, with what of the entry condition does not hold when that was the reason."""
    if words != NOT_ADMITTED:
        return words
    leaves = [leaf for leaf in _entry_now(conn, playbook, Whom(0, person_id, event_id=event_id), now) if not leaf.holds]
    said = [f"{leaf.words}（现在：{leaf.found}）" if leaf.found else leaf.words for leaf in leaves[:_MOST_LEAVES]]
    return f"{words}：{'；'.join(said)}" if said else words


def trigger_words(playbook: Playbook | None) -> str:
    """Which event begins it: 「客户添加了员工」."""
    return "" if playbook is None else conditions.EVENTS.get(playbook.trigger.event, playbook.trigger.event)


def _not_in(conn: Connection, person_id: int, playbook_key: str, runs: Sequence[explain.RunStory]) -> NotIn | None:
    """The last refusal, unless that was the same event told twice."""
    mine = refusal.c.person_id == person_id, refusal.c.playbook_key == playbook_key
    kept = conn.execute(select(refusal).where(*mine)).one_or_none()
    if kept is None or any(run.cause is not None and run.cause.event_id == kept.event_id for run in runs):
        return None
    return NotIn(kept.reason, kept.at, explain.find_cause(conn, kept.event_id))


def _entry_now(conn: Connection, playbook: Playbook | None, whom: Whom, now: datetime) -> tuple[explain.Leaf, ...]:
    """What the entry condition says now, for the event that was refused last."""
    if playbook is None or playbook.enter_if is None:
        return ()
    leaves = conditions.explain(conn, playbook.enter_if, whom.person_id, now, whom=whom)
    return tuple(explain.Leaf(leaf.words, leaf.found, leaf.holds) for leaf in leaves)


_VERDICTS = {
    Verdict.RUN: "到时会发出",
    Verdict.SKIP: "到时会跳过",
    Verdict.DEFER: "到时会推迟",
    Verdict.DROP: "到时会放弃",
    Verdict.EXIT: "到时会结束",
}


def _next(
    conn: Connection, runs: Sequence[explain.RunStory], published: Published, house: House, now: datetime
) -> Next | None:
    """Of the newest run that is under way."""
    living = next((run for run in runs if run.state in ("active", "paused", "queued")), None)
    row = store.find_run(conn, living.enrolment_id) if living is not None else None
    if row is None or living is None:
        return None
    if row.state == "paused":
        return Next("", "", None, "已暂停", row.ended_reason or row.held_reason)
    if row.state == "queued":
        return Next("", "", None, "等待中", waiting.why_queued(conn, published, row))
    if row.is_holdout:
        return Next("", "", row.due_at, "对照组", "对照组不发任何消息，只观察结果")
    playbook = find_version(conn, published, row.playbook_key, row.version)
    node = playbook.node(row.step) if playbook is not None else None
    if playbook is None or node is None:
        waits = "步骤已走完，等待目标或员工处理" if row.due_at or playbook else "找不到这一版剧本"
        return Next("", "", row.due_at, "等待中", waits)
    if not isinstance(node, Step):
        return Next(explain.title_of(node), "", row.due_at, "等待中", row.held_reason)
    return _judged(conn, Due(row, playbook, node), node, house, now)


def _judged(conn: Connection, one: Due, step: Step, house: House, now: datetime) -> Next:
    """What the engine would decide when the step comes, from what is known now."""
    at = max(now, one.row.due_at or now)
    known = gather(conn, [one], now, only_looks=True)[one.row.id]
    decision = engine.decide(one.playbook, step, known.facts, house, at)
    verdict = _VERDICTS.get(decision.verdict, "到时会暂停")
    if decision.verdict is Verdict.RUN and not step.channel.speaks:
        verdict = "到时会执行"
    checks = tuple(explain.Check(each.name, each.ok, each.words) for each in decision.checks)
    return Next(step.title or step.id, step.channel.value, at, verdict, decision.reason or one.row.held_reason, checks)


def _summary(
    row: Any, playbook: Playbook | None, runs: Sequence[explain.RunStory], not_in: NotIn | None, next_one: Next | None
) -> str:
    if runs and (not_in is None or runs[0].enrolled_at >= not_in.at or next_one is not None):
        newest = runs[0]
        began = f"因“{newest.cause.words}”进入，" if newest.cause else ""
        ended = f"：{newest.reason}" if newest.reason else ""
        return f"{began}{newest.word}{ended}"
    if not_in is not None:
        return f"没有进入：{not_in.reason}"
    if row.state != "published":
        return "没有进入：剧本没有启用"
    return f"没有进入：还没有发生“{trigger_words(playbook)}”" if playbook else "没有进入：这个版本读不出来"


# One send ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendWhy:
    """What stands behind one line of the ledger: the run with its event and version, and the step with its checks."""

    send_id: int
    kind: str
    outcome: str
    reason: str
    run: explain.RunStory | None
    step: explain.StepStory | None


def tell_send(conn: Connection, send_id: int, published: Published, house: House) -> SendWhy:
    """From the send back to its step, its run and the event that began it. Raises NotFound when there is no such send."""
    row = conn.execute(select(send).where(send.c.id == send_id)).one_or_none()
    if row is None:
        raise NotFound(f"没有发送记录 {send_id}")
    enrolment_id = _run_of_send(conn, row)
    run = explain.explain_run(conn, enrolment_id, published, house) if enrolment_id is not None else None
    steps = run.steps if run is not None else ()
    step = next((each for each in steps if each.step_id == row.step_id and each.state != "planned"), None)
    return SendWhy(row.id, row.kind, row.outcome, row.reason, run, step)


def _run_of_send(conn: Connection, row: Any) -> int | None:
    """By its task; a welcome by the run that began with it."""
    if row.task_id is not None:
        return conn.execute(select(task.c.enrolment_id).where(task.c.id == row.task_id)).scalar_one_or_none()
    if not row.playbook_key or row.person_id is None:
        return None
    query = (
        select(enrolment.c.id)
        .join(step_run, step_run.c.enrolment_id == enrolment.c.id)
        .where(
            enrolment.c.person_id == row.person_id,
            enrolment.c.playbook_key == row.playbook_key,
            enrolment.c.external_userid == row.external_userid,
            step_run.c.step_id == row.step_id,
            step_run.c.intent_at <= row.decided_at + timedelta(minutes=1),
        )
        .order_by(enrolment.c.id.desc())
        .limit(1)
    )
    return conn.execute(query).scalar_one_or_none()
