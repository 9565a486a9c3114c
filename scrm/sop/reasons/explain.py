"""Why a step did or did not go out, in words: for pages, the API and `scrm explain`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from scrm import events
from scrm.errors import NotFound
from scrm.profiles.conditions.tree import EVENTS
from scrm.sop import placing, store
from scrm.sop.facts import run_of
from scrm.sop.guards.answers import House
from scrm.sop.guards.words import read_check
from scrm.sop.life.published import Published
from scrm.sop.models import enrolment
from scrm.sop.results.tables import entry_note
from scrm.sop.schema import Branch, Channel, Fork, Jump, Node, Playbook, Split, Step, Wait
from scrm.sop.shelf import find_version

# One word for each state, everywhere (docs/playbooks 8.3).
RUN_WORDS = {
    "active": "进行中",
    "paused": "已暂停",
    "queued": "等待中",
    "goal": "已达成目标",
    "exited": "已退出",
    "done": "已完成",
    "failed": "出错",
    "merged": "合并关闭",
}
STEP_WORDS = {
    "intent": "待发送",
    "waiting": "待员工确认",
    "done": "已发送",
    "skipped": "已跳过",
    "dropped": "已过期",
    "failed": "失败",
    "unknown": "结果未知",
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One part of a condition: what was asked, what was found, whether it held."""

    words: str
    found: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Check:
    """One guard's answer for a step."""

    name: str
    ok: bool
    words: str


@dataclass(frozen=True, slots=True)
class Cause:
    """The event that began a run, or would have."""

    event_id: int
    name: str
    words: str
    key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StepStory:
    """One step of one run; `at` is when it was decided, or when it is planned."""

    step_id: str
    title: str
    channel: str
    state: str
    word: str
    reason: str
    at: datetime | None
    variant: str = ""
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class RunStory:
    """One person's way through one playbook: what began it, what it compared, what each step did and what is to come.

    `held` says why the step that is due was put off; `arms` are the ways it took by the fork's id, `ways` in words.
    """

    enrolment_id: int
    person_id: int
    playbook_key: str
    playbook_title: str
    version: int
    run_key: str
    userid: str
    external_userid: str
    state: str
    word: str
    reason: str
    enrolled_at: datetime
    ended_at: datetime | None
    steps: list[StepStory]
    cause: Cause | None = None
    entry: tuple[Leaf, ...] = ()
    is_holdout: bool = False
    held: str = ""
    arms: dict[str, str] = field(default_factory=dict)
    ways: tuple[tuple[str, str], ...] = ()


def explain_person(conn: Connection, person_id: int, published: Published, house: House) -> list[RunStory]:
    """Every run of a person, the newest first."""
    return [_tell(conn, row, published, house) for row in store.list_runs(conn, person_id)]


def explain_runs(
    conn: Connection, person_id: int, playbook_key: str, published: Published, house: House, *, limit: int = 20
) -> list[RunStory]:
    """The runs of a person in one playbook, the newest first."""
    query = (
        select(enrolment)
        .where(enrolment.c.person_id == person_id, enrolment.c.playbook_key == playbook_key)
        .order_by(enrolment.c.id.desc())
        .limit(limit)
    )
    return [_tell(conn, row, published, house) for row in conn.execute(query).all()]


def explain_run(conn: Connection, enrolment_id: int, published: Published, house: House) -> RunStory:
    """Raises NotFound when there is no such run."""
    row = store.find_run(conn, enrolment_id)
    if row is None:
        raise NotFound(f"没有流程记录 {enrolment_id}")
    return _tell(conn, row, published, house)


def word_of(state: str, *, is_holdout: bool = False) -> str:
    """The one word for a run's state; a run that is only watched is called so while it lasts."""
    return "对照组" if is_holdout and state == "active" else RUN_WORDS.get(state, state)


def find_cause(conn: Connection, event_id: int | None) -> Cause | None:
    """The event in words; None when it is not kept any more."""
    told = events.get_event(conn, event_id) if event_id else None
    if told is None:
        return None
    return Cause(told.id, told.name, EVENTS.get(told.name, told.name), told.key, told.occurred_at)


def _tell(conn: Connection, row: Row[Any], published: Published, house: House) -> RunStory:
    playbook = find_version(conn, published, row.playbook_key, row.version)
    run = run_of(row)
    return RunStory(
        enrolment_id=row.id,
        person_id=row.person_id,
        playbook_key=row.playbook_key,
        playbook_title=playbook.title if playbook else row.playbook_key,
        version=row.version,
        run_key=run.run_key,
        userid=run.userid,
        external_userid=run.external_userid,
        state=row.state,
        word=word_of(row.state, is_holdout=row.is_holdout),
        reason=row.ended_reason,
        enrolled_at=row.enrolled_at,
        ended_at=row.ended_at,
        steps=[*_decided(conn, row.id, playbook), *_to_come(row, playbook, house)],
        cause=find_cause(conn, row.event_id),
        entry=find_entry(conn, row.id),
        is_holdout=row.is_holdout,
        held=row.held_reason,
        arms=dict(row.arms or {}),
        ways=_ways(playbook, row.arms or {}),
    )


def _ways(playbook: Playbook | None, arms: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What each fork is called, and the arm that was taken there; in the order of the playbook."""
    forks = [node for node in playbook.program if isinstance(node, Fork)] if playbook is not None else []
    titles = {fork.part.id: title_of(fork) for fork in forks}
    unknown = {fork_id: fork_id for fork_id in arms if fork_id not in titles}
    return tuple((title, arms[fork_id]) for fork_id, title in {**titles, **unknown}.items() if fork_id in arms)


def find_entry(conn: Connection, enrolment_id: int) -> tuple[Leaf, ...]:
    """What the playbook asked when the run began, and what it found; empty when it asked nothing."""
    kept = conn.execute(
        select(entry_note.c.leaves).where(entry_note.c.enrolment_id == enrolment_id)
    ).scalar_one_or_none()
    return tuple(Leaf(str(words), str(found), bool(holds)) for words, found, holds in kept or ())


def checks_of(facts: Any) -> tuple[Check, ...]:
    """The guards' answers as a step keeps them."""
    kept = facts.get("checks") if isinstance(facts, dict) else None
    return tuple(map(_check, kept or ()))


def _check(kept: Any) -> Check:
    """Steps that were decided before there were codes have kept the words."""
    if isinstance(kept, dict):
        return Check(str(kept.get("name", "")), bool(kept.get("ok")), str(kept.get("words", "")))
    told = read_check(kept)
    return Check(told.name, told.ok, told.words)


def _decided(conn: Connection, enrolment_id: int, playbook: Playbook | None) -> list[StepStory]:
    stories = []
    for row in store.list_step_runs(conn, enrolment_id):
        step = playbook.step(row.step_id) if playbook else None
        facts = row.facts if isinstance(row.facts, dict) else {}
        stories.append(
            StepStory(
                row.step_id,
                (step.title if step else "") or row.step_id,
                row.channel,
                row.state,
                step_word(row.channel, row.state),
                row.reason,
                row.intent_at,
                variant=str(facts.get("variant") or ""),
                checks=checks_of(facts),
            )
        )
    return stories


def step_word(channel: str, state: str) -> str:
    """The one word for a step's state; what reaches no customer is done, not sent."""
    if state == "done" and channel in ("X", "I", "S"):
        return "已完成"
    return STEP_WORDS.get(state, state)


def _to_come(row: Row[Any], playbook: Playbook | None, house: House) -> list[StepStory]:
    """What a living run still has before it, as far as that is known; the next one with the time it was put off to."""
    if playbook is None or row.state != "active" or row.is_holdout:
        return []
    stories, index = [], row.step
    while (node := playbook.node(index)) is not None:
        if isinstance(node, Jump):
            index = node.target
            continue
        if isinstance(node, Fork):
            stories.append(_forking(row, node, index))
            index = node.after
            continue
        if node.channel is not Channel.WELCOME:
            stories.append(_planned(row, playbook, node, house, index))
        index += 1
    return stories


def _forking(row: Row[Any], fork: Fork, index: int) -> StepStory:
    """A branch, split or wait that lies ahead: which steps come of it is not known yet."""
    at = row.due_at if index == row.step else None
    return StepStory(fork.part.id, title_of(fork), "", "planned", "等待中" if at else "未到时间", "", at)


def title_of(node: Node) -> str:
    """What a member calls this part of a playbook."""
    if isinstance(node, Step):
        return node.title or node.id
    if isinstance(node, Jump):
        return ""
    match node.part:
        case Wait(event=event) if event:
            return f"等待客户{EVENTS.get(event, event)}"
        case Wait():
            return "等待一段时间"
        case Branch(arms=arms):
            return "按条件走：" + " / ".join(arm.name or "其他" for arm in arms)
        case Split(arms=arms):
            return "随机分流：" + " / ".join(arm.name for arm in arms)


def _planned(row: Row[Any], playbook: Playbook, step: Step, house: House, index: int) -> StepStory:
    planned = placing.planned_at(playbook, step, placing.counted_from(row), house, placing.spread_key(row))
    at, word, reason = planned, "未到时间", ""
    if index == row.step and row.due_at is not None and row.due_at > planned:
        at, word, reason = row.due_at, "已推迟", row.held_reason or "原定时间不能发送，已推迟"
    return StepStory(step.id, step.title or step.id, step.channel.value, "planned", word, reason, at)
