"""What an event does to playbooks: it ends runs, and it begins them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from scrm.errors import Conflict, ScrmError
from scrm.events import Event
from scrm.profiles import redirects
from scrm.profiles.conditions import tree as conditions
from scrm.profiles.conditions.tree import Whom
from scrm.profiles.members import member_names
from scrm.services import Services
from scrm.sop import exits, ledger, run_keys, store, triggers, turns
from scrm.sop.calendar import consumption, consumption_store
from scrm.sop.facts import Due, Ending, ended_by, whom_of
from scrm.sop.guards import arbitration, refusals
from scrm.sop.guards.answers import House
from scrm.sop.guards.arbitration import Admission
from scrm.sop.life.published import Published
from scrm.sop.members import owners, task_store
from scrm.sop.members.owners import Owner
from scrm.sop.placing import Course, Place, ends_at, place_from, spread_key
from scrm.sop.reasons import why
from scrm.sop.run_keys import LastRun
from scrm.sop.schema import Channel, Fork, Playbook, Wait
from scrm.sop.shelf import find_version, house_of, playbooks_of
from scrm.sop.triggers.facts import fits
from scrm.sop.turns import progress
from scrm.work import queue

log = structlog.get_logger()

_GOES_ON = frozenset({"active", "paused", "queued"})
# What the ledger of welcomes says, as the state of the step.
_WELCOME_STATES = {
    "sent": "done",
    "done_by_other": "skipped",
    "none": "skipped",
    "too_late": "dropped",
    "failed": "failed",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What every decision needs besides the database."""

    published: Published
    house: House


async def run_event(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.event", payload {"event_id"}; doing it twice changes nothing."""
    rules = Rules(playbooks_of(services), house_of(services))
    event_id = int(item.payload["event_id"])
    if await services.db.read(concerns_anybody, event_id, rules):
        await services.db.write(apply_event, event_id, rules, services.clock.now(), item.correlation)


def concerns_anybody(conn: Connection, event_id: int, rules: Rules) -> bool:
    """Whether there is a run that may end or one that may begin; most events of an import are neither."""
    event = told(conn, event_id)
    if event is None:
        return False
    assert event.person_id is not None  # noqa: S101 - else there is no event
    if event.name in exits.LOST | arbitration.HEEDED or triggers.started_by(rules.published.by_event, event):
        return True
    return bool(store.list_living_runs(conn, event.person_id))


def told(conn: Connection, event_id: int) -> Event | None:
    """An event that speaks of a person, who may have become one with another since it was told."""
    event, became = store.find_told(conn, event_id)
    if event is None or event.person_id is None:
        return None
    return event if became is None else replace(event, person_id=redirects.follow(conn, became))


def apply_event(conn: Connection, event_id: int, rules: Rules, now: datetime, correlation: str) -> None:
    """Runs end before others begin: what ends one may be what begins the next."""
    event = told(conn, event_id)
    if event is None or event.person_id is None:
        return
    running = store.list_living_runs(conn, event.person_id)
    end_runs(conn, event, running, rules, now)
    end_waits(conn, event, running, rules, now)
    refusals.take_back(conn, event, running, rules.published, now)
    arbitration.heed(conn, event, now)
    for playbook in triggers.started_by(rules.published.by_event, event):
        # What happened while it stood still begins nothing afterwards.
        if rules.published.begins(playbook.key, event.occurred_at):
            enrol(conn, playbook, event, rules.house, now, correlation)


def end_runs(conn: Connection, event: Event, running: Sequence[Row[Any]], rules: Rules, now: datetime) -> None:
    """End the runs that this event ends, and take back what their members have not sent yet."""
    assert event.person_id is not None  # noqa: S101 - the callers have checked
    if event.name in exits.LOST:
        _end_relation(conn, event, now)
        return
    for row in running:
        playbook = find_version(conn, rules.published, row.playbook_key, row.version)
        if playbook is None or event.name not in exits.watched(playbook):
            continue
        ending = _ending(conn, Due(row, playbook, None), event, now)
        if ending is not None:
            _end(conn, row, ending, now, playbook)


def _ending(conn: Connection, one: Due, event: Event, now: datetime) -> Ending | None:
    """With all that happened since the run began: an exit may want several events."""
    happened = store.list_events_of(conn, [one.row.person_id], exits.watched(one.playbook), one.row.event_id or 0).get(
        one.row.person_id, []
    )
    ending = ended_by(one, happened)
    if isinstance(ending, Ending) or ending is None:
        return ending
    if conditions.holds_for(conn, ending, whom_of(one.row), now):
        return Ending("exited", exits.event_words(event.name))
    return None


def _end_relation(conn: Connection, event: Event, now: datetime) -> None:
    """Nobody is written to by a member who is no longer his contact; also tasks without a playbook go."""
    names = member_names(conn, [event.userid])
    words = exits.lost_words(names.get(event.userid.lower(), event.userid))
    if store.find_relation(conn, event.userid, event.external_userid) is not None:
        # Added again since: the events came late, and the runs that were meant are over already.
        rows = [row for row in _runs_of(conn, event) if row.enrolled_at <= event.occurred_at]
    else:
        rows = _runs_of(conn, event)
        task_store.withdraw_relation_tasks(conn, event.userid, event.external_userid, words, now=now)
        rows = owners.pass_on(conn, rows)
    for row in rows:
        _end(conn, row, Ending("exited", words), now)


def _runs_of(conn: Connection, event: Event) -> list[Row[Any]]:
    assert event.person_id is not None  # noqa: S101 - the callers have checked
    return [
        row
        for row in store.list_living_runs(conn, event.person_id)
        if (row.userid.casefold(), row.external_userid) == (event.userid.casefold(), event.external_userid)
    ]


def _end(conn: Connection, row: Row[Any], ending: Ending, now: datetime, playbook: Playbook | None = None) -> None:
    # The run first: a tick that holds it has written its task before we look for tasks.
    store.end_runs(conn, [(row.id, ending.state, ending.reason)], now=now)
    task_store.withdraw_tasks(conn, [row.id], exits.withdrawn_words(ending.reason, playbook), now=now)
    log.info("sop.run_ended", enrolment=row.id, playbook=row.playbook_key, state=ending.state)


def end_waits(conn: Connection, event: Event, running: Sequence[Row[Any]], rules: Rules, now: datetime) -> None:
    """The runs that waited for this go on, counted anew from now."""
    assert event.person_id is not None  # noqa: S101 - the callers have checked
    if not any(row.awaits == event.name for row in running):
        return
    for row in store.list_waiting(conn, event.person_id, event.name):
        playbook = find_version(conn, rules.published, row.playbook_key, row.version)
        node = playbook.node(row.step) if playbook is not None else None
        if playbook is None or not isinstance(node, Fork) or not isinstance(node.part, Wait):
            continue
        one = Due(row, playbook, node)
        if exits.concerns(playbook, one.run, event) and fits(node.part.where, event.facts):
            turn = turns.end_wait(node, node.part, came=True)
            # What follows moves by the length of a pause: it is counted from its end.
            counted = row.paused_at if row.state == "paused" else now
            course = Course(playbook, row.anchor_at, counted, spread_key(row), rules.house)
            place = place_from(course, turn.target, now)
            gone_on = progress(one, place, row.held_reason, counted_from=counted, arms=turns.arms_with(one, turn))
            if row.state == "paused":
                store.save_place_of_paused(conn, gone_on)
                continue
            store.save_progress(conn, [{**gone_on, "held_reason": ""}])
            if place.due_at is None:
                store.finish_idle(conn, [row.id], now=now)


def enrol(
    conn: Connection, playbook: Playbook, event: Event, house: House, now: datetime, correlation: str = ""
) -> int | None:
    """Begin a run; None when there is one with its key, the person does not fit, or no member can speak for us.

    Why somebody was not let in is kept.
    """
    assert event.person_id is not None  # noqa: S101 - the callers have checked
    try:
        enrolment_id = let_in(conn, playbook, event, house, now, correlation)
    except NotLetIn as refusal:
        log.info("sop.not_enrolled", playbook=playbook.key, person=event.person_id, reason=refusal.text)
        why.note_refusal(conn, playbook.key, event.person_id, event.id, refusal.text, now)
        return None
    return enrolment_id


def let_in(
    conn: Connection, playbook: Playbook, event: Event, house: House, now: datetime, correlation: str = ""
) -> int:
    """`enrol` for somebody who waits for the answer: the new run's id, or NotLetIn with the words."""
    return _Asked(conn, playbook, event, house, now).enter(correlation)


class NotLetIn(Conflict):
    """Why a person does not enter a playbook, in words."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One event asks whether one person enters one playbook."""

    conn: Connection
    playbook: Playbook
    event: Event
    house: House
    now: datetime

    @property
    def person_id(self) -> int:
        assert self.event.person_id is not None  # noqa: S101 - the callers have checked
        return self.event.person_id

    def enter(self, correlation: str) -> int:
        """The new run's id; raises NotLetIn, or ScrmError when the event does not say what the run is about."""
        playbook, event = self.playbook, self.event
        key = self.run_key()
        owner = owners.choose(self.conn, event, playbook)
        if owner is None:
            raise NotLetIn(why.NO_MEMBER)
        whom = Whom(0, self.person_id, owner.userid, owner.external_userid, facts=event.facts)
        fits, leaves = conditions.judge(self.conn, playbook.enter_if, whom, self.now)
        if not fits:
            raise NotLetIn(why.NOT_ADMITTED)
        admission = arbitration.admit(self.conn, playbook, self.person_id, self.now, self.house)
        anchor_at, counted = self.anchor()
        place = self.place(key, admission, anchor_at)
        enrolment_id = store.add_enrolment(
            self.conn,
            {
                **admission.columns,
                "playbook_key": playbook.key,
                "version": playbook.version,
                "run_key": key,
                "person_id": self.person_id,
                "userid": owner.userid,
                "external_userid": owner.external_userid,
                "event_id": event.id,
                "anchor_at": anchor_at,
                "step": place.step,
                "due_at": place.due_at,
                "awaits": place.awaits,
                "enrolled_at": self.now,
                "correlation": correlation,
            },
        )
        if enrolment_id is None:
            raise NotLetIn(why.ENTERED_BEFORE)
        why.note_entry(self.conn, enrolment_id, [*leaves, *counted])
        self.note_welcomes(enrolment_id, owner)
        if admission.state == "active" and place.due_at is None:
            store.finish_idle(self.conn, [enrolment_id], now=self.now)
        return enrolment_id

    def anchor(self) -> tuple[datetime, list[conditions.Compared]]:
        """What D+0 is counted from, and for goods that last how that day was found."""
        zone = self.house.zone
        if self.playbook.trigger.anchor != consumption.ANCHOR:
            return triggers.anchor_of(self.event, zone), []
        moment, cycle = consumption_store.used_up_at(self.conn, self.playbook, self.event, zone)
        pieces = f"{cycle.days:.3g} 天 × {consumption.qty_of(self.event)} 件"
        found = f"{moment.year}年{moment.month}月{moment.day}日（{pieces}，{cycle.words}）"
        return moment, [conditions.Compared("预计用完的日子", found, holds=True)]

    def place(self, key: str, admission: Admission, anchor_at: datetime) -> Place:
        """Where the run sets out: its first step with its date; one that is only watched, its end; queued, nowhere."""
        if admission.state != "active":
            return Place(0, None)
        spread = f"{self.playbook.key}/{key}"
        course = Course(self.playbook, anchor_at, anchor_at, spread, self.house)
        if admission.is_holdout:
            return Place(len(self.playbook.program), ends_at(course))
        return place_from(course, 0, self.now)

    def run_key(self) -> str:
        """Which run this would be; raises NotLetIn when there is one already, also by the rules of an earlier version."""
        try:
            last = last_run(self.conn, self.playbook, self.person_id, self.base_key())
            key = run_keys.run_key(self.playbook, self.event, last, self.house.zone)
        except ScrmError as error:
            raise NotLetIn(error.text) from None
        is_taken = (last is not None and key == last.run_key) or (
            self.playbook.reentry_every is None
            and store.has_run_of_key(self.conn, self.playbook.key, self.person_id, key)
        )
        if is_taken:
            raise NotLetIn(why.ENTERED_BEFORE)
        return key

    def base_key(self) -> str:
        """What the last run must share to stand in the way: of one product another does not. '': any run does."""
        if self.playbook.run_key == "person" or self.playbook.reentry_every is None:
            return ""
        return run_keys.base_key(self.playbook, self.event, self.house.zone)

    def note_welcomes(self, enrolment_id: int, owner: Owner) -> None:
        """The welcome's step is what the ledger says."""
        for welcome in _welcomes(self.conn, enrolment_id, self.playbook, self.event, owner, self.now):
            store.add_step_runs(self.conn, [welcome])


def _welcomes(
    conn: Connection, enrolment_id: int, playbook: Playbook, event: Event, owner: Owner, now: datetime
) -> list[dict[str, Any]]:
    steps = [step for step in playbook.steps if step.channel is Channel.WELCOME]
    if not steps:
        return []
    told = ledger.list_welcomes(conn, playbook.key, owner.userid, owner.external_userid)
    newest = {row.step_id: row for row in reversed(told)}
    rows: list[dict[str, Any]] = []
    for step in steps:
        sent = newest.get(step.id)
        rows.append(
            {
                "enrolment_id": enrolment_id,
                "step_id": step.id,
                "channel": step.channel.value,
                "state": _WELCOME_STATES.get(sent.outcome, "unknown") if sent else "skipped",
                "reason": sent.reason if sent else "这次添加没有发本剧本的欢迎语",
                "facts": {},
                "intent_at": sent.decided_at if sent else now,
                "outcome_at": (sent.sent_at or now) if sent else now,
            }
        )
    return rows


def last_run(conn: Connection, playbook: Playbook, person_id: int, base: str = "") -> LastRun | None:
    """The run that re-entry counts from; with `base` the last one of that key."""
    if playbook.reentry_every is None:
        return None
    row = store.find_last_run(conn, playbook.key, person_id, base)
    return None if row is None else LastRun(row.run_key, row.enrolled_at, row.state in _GOES_ON)
