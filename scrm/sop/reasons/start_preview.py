"""What a start by hand would do, before it is done: the first steps with their times, or why not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection, Row

from scrm.profiles.conditions import tree as conditions
from scrm.sop import store, timing
from scrm.sop.channels import CHANNELS
from scrm.sop.enrol import Rules
from scrm.sop.guards.answers import House
from scrm.sop.placing import Course, course_of, decided_at
from scrm.sop.schema import Branch, Fork, Jump, Playbook, Step, Wait
from scrm.sop.starts import By, start_by_hand
from scrm.sop.text import start_fields

_SHOWN = 5
_TEXT_CHARS = 60


@dataclass(frozen=True, slots=True)
class Coming:
    """One thing that will come: what, by whom, when (None: not known yet), and its first words."""

    title: str
    channel: str
    at: datetime | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """A playbook that would start; `note` is what a member should know before."""

    key: str
    title: str
    steps: list[Coming]
    has_more: bool
    note: str = ""
    # What was answered before: (title, words), and as a form says it again.
    answers: Sequence[tuple[str, str]] = ()
    given: Mapping[str, str] = field(default_factory=dict)


Say = Callable[[str], str]


def preview(
    conn: Connection,
    rules: Rules,
    playbook_key: str,
    person_id: int,
    by: By,
    now: datetime,
    say: Say = str,
    *,
    given: Mapping[str, str] | None = None,
) -> Preview:
    """Start it and take that back in the same breath: what is shown is what would happen. Raises as a start does.

    `say` fills a text for whom it is meant.
    """
    trial = conn.begin_nested()
    try:
        started = start_by_hand(conn, rules, playbook_key, person_id, by, now, facts=given)
        run = store.find_run(conn, started.enrolment_id)
        assert run is not None  # noqa: S101 - it was just begun
        playbook = rules.published.current[playbook_key]
        answers, _ = start_fields.filled(playbook.trigger.ask, given or {})
        found = _describe(playbook, run, rules.house, now, say)
        return replace(found, answers=start_fields.said(playbook.trigger.ask, answers), given=given or {})
    finally:
        trial.rollback()


def _describe(playbook: Playbook, run: Row[object], house: House, now: datetime, say: Say) -> Preview:
    coming, has_more = upcoming(playbook, course_of(playbook, run, house), now, say)
    return Preview(playbook.key, playbook.title, coming, has_more, _note(run))


def _note(run: Row[object]) -> str:
    if run.is_holdout:
        return "这位客户在这个 SOP 的对照组里：只记录，不会发送。"
    if run.state == "queued":
        return "客户还有进行中的 SOP，会先排队，轮到时再开始，时间顺延。"
    return ""


def upcoming(playbook: Playbook, course: Course, now: datetime, say: Say = str) -> tuple[list[Coming], bool]:
    """The first steps of the way, as far as it is known; and whether there are more. Pure."""
    found: list[Coming] = []
    index, arrived, program = 0, now, playbook.program
    while index < len(program):
        node = program[index]
        if len(found) == _SHOWN:
            return found, True
        if isinstance(node, Jump):
            index = node.target
            continue
        if isinstance(node, Fork):
            found.append(_fork(course, node, arrived))
            return found, True
        at = max(arrived, course.planned_at(node))
        found.append(_step(node, at, say))
        index, arrived = index + 1, at
    return found, False


_TITLES = {each.letter: each.title.partition("（")[0] for each in CHANNELS}


def _step(step: Step, at: datetime, say: Say) -> Coming:
    text = step.contents[0].text if step.contents else ""
    line = " ".join(say(text).split())
    channel = _TITLES[step.channel.value]
    title = channel if step.title in ("", step.id) else step.title
    return Coming(title, channel, at, line[:_TEXT_CHARS] + ("…" if len(line) > _TEXT_CHARS else ""))


def _fork(course: Course, node: Fork, arrived: datetime) -> Coming:
    if isinstance(node.part, Wait):
        longest = timing.write_duration(node.part.timeout)
        event = conditions.EVENTS.get(node.part.event, "")
        words = f"等“{event}”，最多 {longest}" if event else f"等 {longest}"
        return Coming(words, "等待", None)
    words = "按客户情况走不同的分支" if isinstance(node.part, Branch) else "分组走不同的路"
    return Coming(words, "分支", decided_at(course, node, arrived))
