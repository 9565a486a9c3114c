"""Why a step did or did not go out, in words: for pages, the API and `scrm explain`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from scrm.errors import NotFound
from scrm.sop import engine, store
from scrm.sop.facts import run_of, spread_key
from scrm.sop.guards import House
from scrm.sop.published import Published
from scrm.sop.schema import Channel, Playbook, Step
from scrm.sop.shelf import find_version

# One word for each state, everywhere (docs/playbooks 8.3).
RUN_WORDS = {
    "active": "进行中",
    "goal": "已达成目标",
    "exited": "已退出",
    "done": "已完成",
    "failed": "出错",
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
class StepStory:
    """One step of one run; `at` is when it was decided, or when it is planned."""

    step_id: str
    title: str
    channel: str
    state: str
    word: str
    reason: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class RunStory:
    """One person's way through one playbook."""

    enrolment_id: int
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


def explain_person(conn: Connection, person_id: int, published: Published, house: House) -> list[RunStory]:
    """Every run of a person, the newest first."""
    return [_tell(conn, row.id, published, house) for row in store.list_runs(conn, person_id)]


def explain_run(conn: Connection, enrolment_id: int, published: Published, house: House) -> RunStory:
    """Raises NotFound when there is no such run."""
    return _tell(conn, enrolment_id, published, house)


def _tell(conn: Connection, enrolment_id: int, published: Published, house: House) -> RunStory:
    row = store.find_run(conn, enrolment_id)
    if row is None:
        raise NotFound(f"没有流程记录 {enrolment_id}")
    playbook = find_version(conn, published, row.playbook_key, row.version)
    run = run_of(row)
    return RunStory(
        enrolment_id=row.id,
        playbook_key=row.playbook_key,
        playbook_title=playbook.title if playbook else row.playbook_key,
        version=row.version,
        run_key=run.run_key,
        userid=run.userid,
        external_userid=run.external_userid,
        state=row.state,
        word=RUN_WORDS[row.state],
        reason=row.ended_reason,
        enrolled_at=row.enrolled_at,
        ended_at=row.ended_at,
        steps=[*_decided(conn, enrolment_id, playbook), *_to_come(row, playbook, house)],
    )


def _decided(conn: Connection, enrolment_id: int, playbook: Playbook | None) -> list[StepStory]:
    stories = []
    for row in store.list_step_runs(conn, enrolment_id):
        step = playbook.step(row.step_id) if playbook else None
        word = "已完成" if row.channel == "X" and row.state == "done" else STEP_WORDS[row.state]
        title = step.title if step else row.step_id
        stories.append(StepStory(row.step_id, title, row.channel, row.state, word, row.reason, row.intent_at))
    return stories


def _to_come(row: Row[Any], playbook: Playbook | None, house: House) -> list[StepStory]:
    """What a living run still has before it; the next one with the time it was put off to."""
    if playbook is None or row.state != "active":
        return []
    coming = list(enumerate(playbook.steps))[row.step :]
    return [
        _planned(row, playbook, step, house, index) for index, step in coming if step.channel is not Channel.WELCOME
    ]


def _planned(row: Row[Any], playbook: Playbook, step: Step, house: House, index: int) -> StepStory:
    planned = engine.planned_at(playbook, step, row.anchor_at, house, spread_key(row))
    at, word, reason = planned, "未到时间", ""
    if index == row.step and row.due_at is not None and row.due_at > planned:
        at, word, reason = row.due_at, "已推迟", "原定时间不能发送，已推迟"
    return StepStory(step.id, step.title, step.channel.value, "planned", word, reason, at)
