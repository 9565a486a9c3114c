"""Plays playbooks for many persons at once, in the order of time, by the same pure rules as the running engine.

Nothing is read from a database and nothing is written to one: rows are objects, the clock is the next thing due.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any
from zoneinfo import ZoneInfo

from scrm.errors import ScrmError
from scrm.events import Event
from scrm.sop import engine, exits, placing, run_keys
from scrm.sop.calendar import consumption
from scrm.sop.engine import Decision, Facts, Verdict
from scrm.sop.facts import Ending, ended_by
from scrm.sop.guards import answers as guards
from scrm.sop.guards import arbitration
from scrm.sop.guards.answers import GuardFacts, House, Touch
from scrm.sop.guards.facts import ANSWERED, CASE_CLOSED, CASE_OPENED, SPOKE
from scrm.sop.placing import Course, Place
from scrm.sop.rehearsal import answers as answering
from scrm.sop.rehearsal.answers import Answers
from scrm.sop.rehearsal.findings import Findings
from scrm.sop.rehearsal.terms import Behaviour
from scrm.sop.rehearsal.walks import OPEN, SENT, Asked, Person, Walk
from scrm.sop.run_keys import LastRun
from scrm.sop.schema import Branch, Channel, Condition, Fork, Playbook, Split, Step, Wait
from scrm.sop.triggers import anchor_of, index, started_by
from scrm.sop.triggers.facts import fits
from scrm.sop.turns import NONE, Turn, choose_arm, end_wait

# At one moment steps come due first, then tasks run out, then members tap.
_DUE, _EXPIRE, _CONFIRM, _RESUME = 0, 1, 2, 3
# Somebody has to tap before it goes out.
_ASKS = frozenset({Channel.TASK, Channel.MASS, Channel.GROUP, Channel.MOMENT})
_SILENT_DONE = frozenset({Channel.SYSTEM, Channel.NOTICE, Channel.SUGGESTION})
_A_MOMENT = timedelta(seconds=1)
_TELL_EVERY = 5000
# What other playbooks sent to a person, as a rehearsal of recorded days is told of it.
TOUCHED = "rehearsal.touched"
_CASE_OPEN = "客户有售后在处理中，暂停营销"
_ALREADY = "已经进入过"


@dataclass
class Simulation:
    """One rehearsal; `persons` are those that events may come of, by id, and grow as others come."""

    playbooks: Sequence[Playbook]
    house: House
    answers: Answers
    behaviour: Behaviour
    findings: Findings
    persons: dict[int, Person]
    until: datetime
    # Told the moment that was reached, now and then; may raise to break off.
    reached: Callable[[datetime], None] | None = None

    def __post_init__(self) -> None:
        self._agenda: list[tuple[datetime, int, int, Any, int]] = []
        self._count = self._done = 0
        # No agenda lies in the past: what is overdue comes now.
        self._now = datetime.min.replace(tzinfo=UTC)
        self._begins = index(self.playbooks)
        self._watched = {id(each): exits.watched(each) for each in self.playbooks}
        # Exits that only data or a span of time can decide are asked about before every step.
        self._unprompted = {id(each): each.exit_if and _left(exits.settle(each.exit_if, ())) for each in self.playbooks}
        # Made-up customers refuse nothing.
        is_made_up = self.answers.today is None
        self._asks_exit = {
            id(each): any(not (is_made_up and "flag" in leaf) for leaf in set_apart(each)) for each in self.playbooks
        }
        self._kept = set().union(*(answering.asked_events(each) for each in self.playbooks), *self._watched.values())
        self._kept |= {event for each in self.playbooks for event in waited_for(each)}

    def play(self, events: Iterable[Event]) -> None:
        """Let the events happen, oldest first, and all that follows from them until `until`."""
        for event in events:
            if event.occurred_at > self.until:
                break
            self._pass_until(event.occurred_at)
            self._now = event.occurred_at
            if event.person_id is not None:
                self._happen(event)
        self._pass_until(self.until + _A_MOMENT)

    # Time ------------------------------------------------------------------------------------------------------------

    def _plan(self, at: datetime, act: int, subject: Any, turn: int = 0) -> None:
        self._count += 1
        heappush(self._agenda, (max(at, self._now), act, self._count, subject, turn))

    def _pass_until(self, moment: datetime) -> None:
        """Everything that comes before the moment; what happens at the moment itself happens first."""
        agenda = self._agenda
        while agenda and agenda[0][0] < moment:
            at, act, _, subject, turn = heappop(agenda)
            self._now = at
            self._done += 1
            if self.reached is not None and not self._done % _TELL_EVERY:
                self.reached(at)
            if act == _DUE:
                if subject.turn == turn and subject.state == "active":
                    self._come_due(subject, at)
            elif act == _EXPIRE:
                self._expire(subject, at)
            elif act == _CONFIRM:
                self._confirm(subject, at)
            elif subject.turn == turn and subject.state == "paused":
                self._resume(subject, at)

    def _move(self, walk: Walk, place: Place) -> None:
        walk.turn += 1
        walk.step, walk.due_at, walk.awaits = place.step, place.due_at, place.awaits
        if place.due_at is not None:
            self._plan(place.due_at, _DUE, walk, walk.turn)

    # Events ----------------------------------------------------------------------------------------------------------

    def _happen(self, event: Event) -> None:
        """As the runtime does it: runs end, waits end, then others begin."""
        assert event.person_id is not None  # noqa: S101 - the caller has checked
        person = self.persons.get(event.person_id)
        if person is None:
            person = self.persons[event.person_id] = Person(event.person_id, event.userid, event.external_userid)
        if event.name in self._kept:
            person.history.append(event)
        if person.walks:
            for walk in [walk for walk in person.walks if event.name in self._watched[id(walk.playbook)]]:
                self._may_end(walk, event)
            for walk in [walk for walk in person.walks if walk.awaits == event.name]:
                self._end_wait(walk, event)
        self._heed(person, event)
        for playbook in started_by(self._begins, event):
            self._enter(playbook, person, event)

    def _heed(self, person: Person, event: Event) -> None:
        """What the guards remember of a person."""
        now = event.occurred_at
        if event.name in CASE_OPENED:
            person.cases.add(_case_of(event))
            self._pause_all(person, now)
        elif event.name in CASE_CLOSED:
            person.cases.discard(_case_of(event))
            person.case_closed_at = now
            self._look_again(person, now)
        elif event.name in SPOKE:
            person.spoke_at = now
            person.is_waiting = event.name == "talk.noted" or event.facts.get("answered") is False
        elif event.name in ANSWERED:
            person.is_waiting = False
        elif event.name == TOUCHED:
            person.touches.append(Touch(now, "其他剧本的一条营销消息"))
        elif event.name == "mass_message.sent" and event.facts.get("origin") != "playbook":
            person.touches.append(Touch(now, "一条群发"))
            person.masses.append(now)

    def _may_end(self, walk: Walk, event: Event) -> None:
        one = walk.due(None)
        mine = [each for each in walk.person.history if each.name in self._watched[id(walk.playbook)]]
        ending = ended_by(one, mine)
        if isinstance(ending, dict):
            # What only the data can say; it must say so to end a run.
            holds = self.answers.holds(ending, self._asked(walk, event.occurred_at), otherwise=False)
            ending = Ending("exited", exits.event_words(event.name)) if holds else None
        if isinstance(ending, Ending):
            self._end(walk, ending, event.occurred_at)

    def _end_wait(self, walk: Walk, event: Event) -> None:
        node, now = walk.playbook.node(walk.step), event.occurred_at
        if walk.state == "paused":
            walk.is_behind = True
            return
        if not isinstance(node, Fork) or not isinstance(node.part, Wait):
            return
        if exits.concerns(walk.playbook, walk.due(None).run, event) and fits(node.part.where, event.facts):
            self._turn(walk, node, end_wait(node, node.part, came=True), now)

    def _enter(self, playbook: Playbook, person: Person, event: Event) -> None:
        now = event.occurred_at
        try:
            key = self._key(playbook, person, event)
        except ScrmError as error:
            return self.findings.refuse(error.text)
        if key is None:
            return self.findings.refuse(_ALREADY)
        userid, external = event.userid or person.userid, event.external_userid or person.external_userid
        if not external and any(step.needs_member for step in playbook.steps):
            return self.findings.refuse("没有员工是这位客户的好友")
        asked = answering.Asked(person, event.facts, now, now)
        if not self.answers.holds(playbook.enter_if, asked):
            return self.findings.refuse("不符合进入条件")
        walk = Walk(
            id=self._count,
            person=person,
            playbook=playbook,
            run_key=key,
            userid=userid,
            external_userid=external,
            event_id=event.id,
            anchor_at=_anchor_of(playbook, event, self.house.zone),
            enrolled_at=now,
            facts=event.facts,
            spread_key=f"{playbook.key}/{key}",
            is_holdout=self._is_held_out(playbook, person),
        )
        # Where nobody enters again the key alone is enough, and what is over need not be kept.
        person.keys[key] = walk if playbook.reentry_every is not None else now
        person.walks.append(walk)
        self.findings.enter(walk, now)
        if event.name == "contact.added":
            for step in playbook.steps:
                if step.channel is Channel.WELCOME:
                    self.findings.become(walk, step, "sent", now)
        course = self._course(walk)
        end = Place(len(playbook.program), placing.ends_at(course))
        self._settle(walk, end if walk.is_holdout else placing.place_from(course, 0, now), now)
        return None

    def _key(self, playbook: Playbook, person: Person, event: Event) -> str | None:
        """The run's key, None when that run has been; of runs before the rehearsal only their keys are known."""
        base = run_keys.base_key(playbook, event, self.house.zone)
        mine = [key for key in person.keys if key.partition("#")[0] == base]
        last = max(mine, key=run_keys.number_of, default=None)
        if playbook.reentry_every is None:
            return base if last is None else None
        known = person.keys[last] if last is not None else None
        run = None
        if isinstance(known, Walk):
            run = LastRun(known.run_key, known.enrolled_at, known.state in ("active", "paused"))
        elif last is not None and isinstance(known, datetime):
            run = LastRun(last, known, False)
        key = run_keys.run_key(playbook, event, run, self.house.zone)
        return None if key in person.keys else key

    def _is_held_out(self, playbook: Playbook, person: Person) -> bool:
        share = playbook.holdout
        if share is None:
            has_many = self.findings.entered[playbook.key] >= guards.HOLDOUT_FROM
            share = self.house.holdout if playbook.priority in guards.MARKETING and has_many else 0.0
        return share > 0 and arbitration.draw(playbook.key, person.id) < share

    # Steps -----------------------------------------------------------------------------------------------------------

    def _come_due(self, walk: Walk, now: datetime) -> None:
        if (self._asks_exit[id(walk.playbook)] or walk.is_behind) and self._exits(walk, now):
            return
        node = walk.playbook.node(walk.step)
        if isinstance(node, Fork):
            self._turn(walk, node, self._way(walk, node, now), now)
        elif isinstance(node, Step):
            self._decide(walk, node, now)
        else:
            self._settle(walk, Place(walk.step, None), now)

    def _exits(self, walk: Walk, now: datetime) -> bool:
        """Conditions that end a run without an event of their own."""
        watched = self._watched[id(walk.playbook)]
        mine = [each for each in walk.person.history if each.name in watched] if walk.person.history else []
        ending = ended_by(walk.due(None), mine) if mine else self._unprompted[id(walk.playbook)]
        if isinstance(ending, dict):
            holds = self.answers.holds(ending, self._asked(walk, now), otherwise=False)
            ending = Ending("exited", "符合退出条件") if holds else None
        if isinstance(ending, Ending):
            self._end(walk, ending, now)
            return True
        return False

    def _decide(self, walk: Walk, step: Step, now: datetime) -> None:
        decision = engine.decide(walk.playbook, step, self._facts(walk, step, now), self.house, now)
        guard = _guard_of(decision)
        if decision.verdict is Verdict.RUN:
            self._release(walk, step, now)
            self._go_on(walk, now)
        elif decision.verdict is Verdict.PAUSE:
            self.findings.become(walk, step, "paused", now, decision.reason, guard)
            self._pause(walk, now, decision.until, decision.reason)
        elif decision.verdict is Verdict.DEFER and decision.until is not None:
            self.findings.become(walk, step, "deferred", now, decision.reason, guard)
            self._move(walk, Place(walk.step, max(decision.until, now + _A_MOMENT)))
        else:
            is_dropped = decision.verdict is Verdict.DROP
            told = guard if guard not in ("条件", "对照组") else ""
            self.findings.become(walk, step, "dropped" if is_dropped else "skipped", now, decision.reason, told)
            self._go_on(walk, now)

    def _facts(self, walk: Walk, step: Step, now: datetime) -> Facts:
        person = walk.person
        holds = step.condition is None or self.answers.holds(step.condition, self._asked(walk, now))
        counting = [each for each in person.asked if each.counts] if person.asked else []
        return Facts(
            anchor_at=walk.counted,
            spread_key=walk.spread_key,
            unmet="" if holds else "条件不满足",
            optout=person.optout,
            pushes=sum(each.walk is walk for each in counting),
            last_push_at=max((each.asked_at for each in counting), default=None),
            guard=self._guard(walk, counting, now) if step.channel.speaks or walk.is_holdout else GuardFacts(),
        )

    def _facts_at_tap(self, asked: Asked, now: datetime) -> Facts:
        """Only what went out counts: others that wait as well must not block each other, nor a task itself."""
        facts = self._facts(asked.walk, asked.step, now)
        sent = [each for each in asked.walk.person.asked if each.state == SENT]
        return facts._replace(pushes=max(facts.pushes - 1, 0), guard=self._guard(asked.walk, sent, now))

    def _guard(self, walk: Walk, counting: Sequence[Asked], now: datetime) -> GuardFacts:
        person = walk.person
        words, until = self._case(walk, now)
        return GuardFacts(
            is_holdout=walk.is_holdout,
            stopped=person.stopped,
            is_black=person.is_black,
            case=words,
            case_until=until,
            spoke_at=person.spoke_at,
            is_waiting=person.is_waiting,
            touches=_touches(person, counting, now - guards.COUNTED),
        )

    def _case(self, walk: Walk, now: datetime) -> tuple[str, datetime | None]:
        person = walk.person
        if person.cases:
            return _CASE_OPEN, None
        if any(other.playbook.priority == "P0" and other is not walk for other in person.walks):
            return "客户的售后还没有结束，暂停营销", None
        if person.case_closed_at is None or person.case_closed_at + self.house.after_sale <= now:
            return "", None
        return "售后结束不久", person.case_closed_at + self.house.after_sale

    def _release(self, walk: Walk, step: Step, now: datetime) -> None:
        """What the step's channel does; where a member has to tap, the behaviour says when he does."""
        is_marketing = guards.is_marketing(walk.playbook, step)
        if step.channel not in _ASKS:
            if is_marketing:
                walk.person.touches.append(Touch(now, "一条营销消息"))
            self.findings.become(walk, step, "done" if step.channel in _SILENT_DONE else "sent", now)
            return
        asked = Asked(walk, step, now, is_marketing)
        walk.person.asked.append(asked)
        walk.open_tasks += 1
        self.findings.become(walk, step, "asked", now)
        self._plan(engine.expires_at(step, now), _EXPIRE, asked)
        after = self.behaviour.sends_after(walk.userid, f"{walk.spread_key}/{step.id}")
        if after is not None:
            self._plan(now + max(after, _A_MOMENT), _CONFIRM, asked)

    def _confirm(self, asked: Asked, now: datetime) -> None:
        """The member taps; everything is asked once more."""
        walk, step = asked.walk, asked.step
        if asked.state != OPEN:
            return
        if self._asks_exit[id(walk.playbook)] and self._exits(walk, now):
            return
        facts = self._facts_at_tap(asked, now)
        decision = engine.recheck(walk.playbook, step, facts, self.house, now)
        if decision.verdict is Verdict.RUN:
            self._finish(asked, SENT, "sent", now)
            if step.channel is Channel.MASS:
                self._count_mass(walk, step, now)
        elif decision.until is not None and decision.until < engine.expires_at(step, asked.asked_at):
            self._plan(decision.until, _CONFIRM, asked)
        else:
            state = "skipped" if facts.unmet else "withdrawn"
            self._finish(asked, state, state, now, decision.reason, _guard_of(decision))

    def _count_mass(self, walk: Walk, step: Step, now: datetime) -> None:
        """WeCom lets a customer have one a day where the administrator chose so, and never more than days in a month."""
        zone, masses = self.house.zone, walk.person.masses
        today = now.astimezone(zone)
        if any(at.astimezone(zone).date() == today.date() for at in masses):
            self.findings.collide(walk, step, "群发次数", "发送失败", now, "这位客户当天已收过一条群发")
        masses.append(now)

    def _expire(self, asked: Asked, now: datetime) -> None:
        if asked.state == OPEN:
            self._finish(asked, "expired", "expired", now, "员工没有在有效期内发送")

    def _finish(self, asked: Asked, state: str, told: str, now: datetime, reason: str = "", guard: str = "") -> None:
        asked.state, asked.ended_at = state, now
        walk = asked.walk
        walk.open_tasks -= 1
        if state != SENT:
            walk.person.asked.remove(asked)
        self.findings.become(walk, asked.step, told, now, reason, guard)
        if walk.state == "active" and walk.due_at is None and not walk.open_tasks:
            self._end(walk, Ending("done", "流程已走完"), now)

    # Places ----------------------------------------------------------------------------------------------------------

    def _course(self, walk: Walk) -> Course:
        return Course(walk.playbook, walk.anchor_at, walk.counted, walk.spread_key, self.house)

    def _go_on(self, walk: Walk, now: datetime) -> None:
        self._settle(walk, placing.place_from(self._course(walk), walk.step + 1, now), now)

    def _settle(self, walk: Walk, place: Place, now: datetime) -> None:
        self._move(walk, place)
        if place.due_at is None and not walk.open_tasks:
            self._end(walk, Ending("done", "流程已走完"), now)

    def _way(self, walk: Walk, fork: Fork, now: datetime) -> Turn:
        part = fork.part
        if isinstance(part, Wait):
            return self._wait(walk, fork, part, now)
        if isinstance(part, Split):
            return choose_arm(fork, part, walk.due(fork))
        return self._branch(walk, fork, part, now)

    def _wait(self, walk: Walk, fork: Fork, wait: Wait, now: datetime) -> Turn:
        run = walk.due(None).run
        if wait.event and not walk.awaits:  # it has just come here, and looks back
            if self._came(walk, wait, walk.counted_from or run.since):
                return end_wait(fork, wait, came=True)
            return Turn(walk.step, "", stays=placing.waiting(walk.step, wait, now))
        came = not wait.event or (walk.is_behind and self._came(walk, wait, now - wait.timeout))
        return end_wait(fork, wait, came=came)

    def _came(self, walk: Walk, wait: Wait, since: datetime) -> bool:
        """Whether what it waits for has come since then."""
        run = walk.due(None).run
        return any(
            told.name == wait.event
            and told.occurred_at >= since
            and exits.concerns(walk.playbook, run, told)
            and fits(wait.where, told.facts)
            for told in walk.person.history
        )

    def _branch(self, walk: Walk, fork: Fork, branch: Branch, now: datetime) -> Turn:
        asked = self._asked(walk, now)
        for arm, target in zip(branch.arms, fork.targets, strict=True):
            if arm.condition is None or self.answers.holds(arm.condition, asked):
                return Turn(target, arm.name)
        return Turn(fork.after, NONE)

    def _turn(self, walk: Walk, fork: Fork, turn: Turn, now: datetime) -> None:
        if turn.stays is not None:
            return self._move(walk, turn.stays)
        if turn.ends:
            return self._end(walk, Ending("exited", turn.ends), now)
        if not isinstance(fork.part, Wait) or fork.part.event:
            self.findings.take(walk, fork.part.id, turn.arm, now)
            walk.arms[fork.part.id] = turn.arm
        if turn.counts_anew:
            walk.counted_from = now
        self._settle(walk, placing.place_from(self._course(walk), turn.target, now), now)
        return None

    def _end(self, walk: Walk, ending: Ending, now: datetime) -> None:
        walk.state, walk.due_at = ending.state, None
        walk.turn += 1
        walk.person.walks.remove(walk)
        self._withdraw(walk, now, exits.withdrawn_words(ending.reason, walk.playbook))
        if walk.playbook.priority == "P0":
            walk.person.case_closed_at = now
            self._look_again(walk.person, now)
        self.findings.end(walk, now, ending.reason)

    def _withdraw(self, walk: Walk, now: datetime, reason: str) -> str:
        """Take back what nobody has sent yet; returns the first step of it."""
        taken = [each for each in walk.person.asked if each.walk is walk and each.state == OPEN]
        for asked in taken:
            asked.state, asked.ended_at = "withdrawn", now
            walk.open_tasks -= 1
            walk.person.asked.remove(asked)
            self.findings.become(walk, asked.step, "withdrawn", now, reason)
        return taken[0].step.id if taken else ""

    # Pauses ----------------------------------------------------------------------------------------------------------

    def _pause_all(self, person: Person, now: datetime) -> None:
        for walk in list(person.walks):
            if walk.playbook.priority in guards.MARKETING and walk.state == "active" and not walk.is_holdout:
                self._pause(walk, now, None, _CASE_OPEN)

    def _pause(self, walk: Walk, now: datetime, until: datetime | None, reason: str) -> None:
        walk.state, walk.paused_at = "paused", now
        walk.turn += 1
        walk.again = self._withdraw(walk, now, f"{reason}，任务已撤回。")
        self.findings.tell(walk.person, now, f"暂停：{reason}")
        give_up = now + self.house.held_at_most + _A_MOMENT
        self._plan(min(until or give_up, give_up), _RESUME, walk, walk.turn)

    def _look_again(self, person: Person, now: datetime) -> None:
        for walk in person.walks:
            if walk.state == "paused":
                walk.turn += 1
                self._plan(now + self.house.after_sale, _RESUME, walk, walk.turn)

    def _resume(self, walk: Walk, now: datetime) -> None:
        """At the same step, as much later as the pause was long, or over when that was too long."""
        paused = now - (walk.paused_at or now)
        words, until = self._case(walk, now)
        if paused > self.house.held_at_most:
            return self._end(walk, Ending("exited", f"暂停超过 {self.house.held_at_most.days} 天"), now)
        if words:
            give_up = (walk.paused_at or now) + self.house.held_at_most + _A_MOMENT
            return self._plan(min(until or give_up, give_up), _RESUME, walk, walk.turn)
        walk.state, walk.paused_at = "active", None
        walk.counted_from = walk.counted + paused
        again = walk.playbook.index_of(walk.again) if walk.again else None
        place = placing.place_from(self._course(walk), walk.step if again is None else again, now)
        if again is None and walk.awaits and walk.due_at is not None:
            # What it waited for is as much farther away.
            place = place._replace(due_at=walk.due_at + paused)
        self._settle(walk, place, now)
        return None

    def _asked(self, walk: Walk, now: datetime) -> answering.Asked:
        return answering.Asked(walk.person, walk.facts, walk.anchor_at, now)


def waited_for(playbook: Playbook) -> set[str]:
    """The events for which its runs wait."""
    forks = (node.part for node in playbook.program if isinstance(node, Fork))
    return {part.event for part in forks if isinstance(part, Wait) and part.event}


def set_apart(playbook: Playbook) -> list[Any]:
    """The leaves of an exit condition that no event of the run itself decides."""
    leaves = answering.leaves_of(playbook.exit_if)
    return [leaf for leaf in leaves if "event" not in leaf or "within" in leaf]


def _anchor_of(playbook: Playbook, event: Event, zone: ZoneInfo) -> datetime:
    """Goods last as long as the author says: what their buyers will do nobody knows yet."""
    if playbook.trigger.anchor == consumption.ANCHOR:
        return consumption.used_up_at(event, consumption.usual_of(playbook.trigger), zone)
    return anchor_of(event, zone)


def _left(answer: bool | Condition) -> Ending | Condition | None:
    """What is left of an exit condition while nothing has happened."""
    if isinstance(answer, bool):
        return Ending("exited", "符合退出条件") if answer else None
    return answer


def _case_of(event: Event) -> str:
    return "refund" if event.name.startswith("refund.") else f"case {event.key}"


def _guard_of(decision: Decision) -> str:
    return decision.checks[-1].name if decision.checks and not decision.checks[-1].ok else ""


def _touches(person: Person, counting: Sequence[Asked], since: datetime) -> tuple[Touch, ...]:
    """What counts as marketing for a person, oldest first."""
    touches = [touch for touch in person.touches if touch.at > since]
    touches += [
        Touch(each.ended_at or each.asked_at, "一条营销消息")
        for each in counting
        if each.is_marketing and (each.ended_at or each.asked_at) > since
    ]
    return tuple(sorted(touches, key=_at)) if len(touches) > 1 else tuple(touches)


def _at(touch: Touch) -> datetime:
    return touch.at
