"""When a step is due and what becomes of it: pure functions over plain data, with the time passed in."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from scrm.sop import timing
from scrm.sop.guards import answers as guards
from scrm.sop.guards.answers import NOTHING, GuardFacts, House, Touch
from scrm.sop.guards.words import Check
from scrm.sop.placing import planned_at, quiet_of, spread_of
from scrm.sop.run_keys import LastRun as LastRun
from scrm.sop.run_keys import run_key as run_key
from scrm.sop.schema import Channel, Late, Playbook, Step, Window

# A task without a ttl of its own; publishing demands one, but older versions may lack it.
DEFAULT_TTL = timedelta(hours=24)


class Verdict(StrEnum):
    """What becomes of a step that is due."""

    RUN = "run"
    SKIP = "skip"
    DEFER = "defer"
    DROP = "drop"
    EXIT = "exit"
    # The whole run is held until the brake that stopped it lifts; it goes on at the same step with new dates.
    PAUSE = "pause"


class Decision(NamedTuple):
    """The verdict and its reason in words; `until` is set when it is put off. `checks` are the guards' answers so far."""

    verdict: Verdict
    reason: str = ""
    until: datetime | None = None
    checks: tuple[Check, ...] = ()


class Facts(NamedTuple):
    """What is known about one run at the moment its step is decided.

    `over` says why the run has ended (empty: it goes on), `unmet` why the step's own condition does not hold.
    """

    anchor_at: datetime
    spread_key: str
    over: str = ""
    unmet: str = ""
    optout: Mapping[str, Any] = MappingProxyType({})
    pushes: int = 0
    last_push_at: datetime | None = None
    guard: GuardFacts = NOTHING


def replace_push(facts: Facts, pushed_at: datetime) -> Facts:
    """The same facts after this person was written to a moment ago, by another run of the same batch."""
    touches = (*facts.guard.touches, Touch(pushed_at, "另一条同时到点的消息"))
    return facts._replace(last_push_at=pushed_at, guard=facts.guard._replace(touches=touches))


def coupon_reason(playbook_key: str, key: str) -> str:
    """All steps of one run give the same coupon: the reason it is issued for."""
    return f"{playbook_key}:{key}"


def decide(playbook: Playbook, step: Step, facts: Facts, house: House, now: datetime) -> Decision:
    """What becomes of a step whose time has come, with the answer of every guard that was asked. Pure."""
    if facts.over:
        return Decision(Verdict.EXIT, facts.over)
    if step.channel is Channel.WELCOME:
        return Decision(Verdict.SKIP, "欢迎语只在添加时发送")
    planned = planned_at(playbook, step, facts.anchor_at, house, facts.spread_key)
    if now < planned:
        return Decision(Verdict.DEFER, "还没到时间", planned)
    case = _Case(playbook, step, facts, house, now, planned, quiet_of(playbook, step, house))
    return case.ask(_SPEAKING if step.channel.speaks else _SILENT)


def expires_at(step: Step, released_at: datetime) -> datetime:
    """Until when a member may send what this step asks for."""
    return released_at + (step.ttl or DEFAULT_TTL)


def recheck(playbook: Playbook, step: Step, facts: Facts, house: House, now: datetime) -> Decision:
    """Whether what was released may still be sent now, at the member's tap: RUN, or why not.

    Hours and windows do not hold here: the member is awake and has the chat open. DEFER says until when it must wait.
    """
    if facts.over:
        return Decision(Verdict.EXIT, facts.over)
    case = _Case(playbook, step, facts, house, now, now, None)
    return case.ask((_unmet, _unwanted, _in_case, _over_cap))


@dataclass(slots=True)
class _Case:
    """A step for a person, at a moment; `checks` grows with every guard that is asked."""

    playbook: Playbook
    step: Step
    facts: Facts
    house: House
    now: datetime
    planned: datetime
    quiet: Window | None
    checks: list[Check] = field(default_factory=list)

    def ask(self, guards: Iterable["_Guard"]) -> Decision:
        """What the first of the guards says that does not let the step pass."""
        for guard in guards:
            decision = guard(self)
            if decision is not None:
                return decision._replace(checks=tuple(self.checks))
        return Decision(Verdict.RUN, checks=tuple(self.checks))

    @property
    def late(self) -> timedelta:
        return self.now - self.planned

    @property
    def ttl(self) -> timedelta:
        return self.step.ttl or DEFAULT_TTL

    @property
    def is_marketing(self) -> bool:
        return guards.is_marketing(self.playbook, self.step)

    def passes(self, guard: str, *values: Any) -> None:
        self.checks.append(Check(guard, True, values))

    def stops(self, guard: str, verdict: Verdict, words: str, until: datetime | None = None) -> Decision:
        self.checks.append(Check(guard, False, (words,)))
        return Decision(verdict, words, until)


_Guard = Callable[[_Case], Decision | None]


def _held_out(case: _Case) -> Decision | None:
    """Who is compared with hears nothing, and nothing of his is changed."""
    if case.facts.guard.is_holdout:
        return case.stops("holdout", Verdict.SKIP, "对照组，不发送")
    return None


def _unmet(case: _Case) -> Decision | None:
    if case.facts.unmet:
        return case.stops("unmet", Verdict.SKIP, case.facts.unmet)
    if case.step.condition is not None:
        case.passes("unmet")
    return None


def _unwanted(case: _Case) -> Decision | None:
    """Refused by the customer, kept out by the house, or said enough."""
    playbook, facts = case.playbook, case.facts
    if refusal := guards.refused(playbook, facts.optout, case.step):
        return case.stops("optout", Verdict.SKIP, refusal)
    case.passes("optout")
    if stop := guards.stopped(playbook, facts.guard):
        return case.stops("stop", Verdict.SKIP, stop)
    case.passes("stop")
    if enough := guards.capped(playbook, facts.pushes):
        return case.stops("pushes", Verdict.SKIP, enough)
    case.passes("pushes", facts.pushes, playbook.guards.max_pushes)
    return None


def _untimely(case: _Case) -> Decision | None:
    """Too late by its own ttl, in quiet hours, or outside its window."""
    if case.late > case.ttl:
        words = f"晚了 {timing.write_duration(case.late)}，超过有效期，未再发送"
        return case.stops("ttl", Verdict.DROP, words)
    case.passes("ttl", int(case.ttl.total_seconds()))
    closed = guards.closed_because(case.step, case.quiet, case.now, case.house.zone)
    if not closed or _is_only_a_slow_tick(case):
        case.passes("quiet", *([guards.words(case.quiet)] if case.quiet else ()))
        return None
    if case.step.late is Late.DROP:
        return case.stops("quiet", Verdict.DROP, closed)
    if _is_still_its_day(case):
        case.passes("quiet", "错过了时段，当天内仍可发")
        return None
    return _put_off(case, "quiet", case.now, closed)


def _is_only_a_slow_tick(case: _Case) -> bool:
    """It was allowed at its time, and that was a moment ago."""
    return case.late <= guards.GRACE and not guards.closed_because(case.step, case.quiet, case.planned, case.house.zone)


def _is_still_its_day(case: _Case) -> bool:
    """Its window was missed by hours: the member can act on it today, as he could on one released in time."""
    zone = case.house.zone
    is_quiet = case.quiet is not None and timing.quiet_until(case.now, case.quiet, zone) is not None
    same_day = case.now.astimezone(zone).date() == case.planned.astimezone(zone).date()
    return same_day and not is_quiet and case.step.when.days is not None


def _in_case(case: _Case) -> Decision | None:
    """A refund or complaint of the customer comes first."""
    guard = case.facts.guard
    why = guards.braked(case.playbook, guard)
    if why:
        look_at = guard.case_until or case.now + _LOOK_AGAIN
        if case.playbook.priority in guards.MARKETING:
            return case.stops("case", Verdict.PAUSE, why, max(look_at, case.now + _A_MOMENT))
        return _put_off(case, "case", look_at, why)
    case.passes("case")
    return None


def _in_promotion(case: _Case) -> Decision | None:
    """While the shop's promotion speaks, journeys wait; their dates move by its length."""
    if not case.is_marketing or not case.house.promotions or not guards.gives_way(case.playbook):
        return None
    free = guards.in_promotion(case.now, case.house)
    return case.stops("promotion", Verdict.PAUSE, free.why, free.at) if free is not None else None


def _in_talk(case: _Case) -> Decision | None:
    """Nobody is advertised to while he talks with us."""
    if not case.is_marketing:
        return None
    talk = guards.talking(case.playbook, case.facts.guard, case.now, case.house)
    if talk is not None:
        return _put_off(case, "talk", talk.at, talk.why)
    case.passes("talk")
    return None


def _over_cap(case: _Case) -> Decision | None:
    """One person gets only so much marketing, whoever sends it."""
    if not case.is_marketing:
        return None
    caps, touches = guards.caps_of(case.playbook, case.house), case.facts.guard.touches
    free = guards.full(caps, touches, case.now, case.house.zone)
    if free is None:
        case.passes("cap", *guards.counted(caps, touches, case.now, case.house.zone))
        return None
    if case.step.late is Late.DROP:
        return case.stops("cap", Verdict.DROP, f"被频控放弃：{free.why}")
    return _put_off(case, "cap", free.at, free.why, dropped="被频控放弃：")


def _outranked(case: _Case) -> Decision | None:
    """Of two on one day the more important one goes out, the other in its next window."""
    if not case.is_marketing or not case.facts.guard.rival:
        return None
    why = f"当天还有更重要的：{case.facts.guard.rival}"
    if case.step.late is Late.DROP:
        return case.stops("rival", Verdict.DROP, f"被频控放弃：{why}")
    gap = guards.caps_of(case.playbook, case.house).gap or timedelta()
    return _put_off(case, "rival", case.now + max(gap, timedelta(hours=12)), why, dropped="被频控放弃：")


def _too_soon(case: _Case) -> Decision | None:
    """One person hears from us once at a time."""
    free = guards.free_at(case.playbook, case.late, case.facts.last_push_at, case.now, case.house)
    if free > case.now:
        return _put_off(case, "gap", free, "刚给这位客户发过消息")
    case.passes("gap")
    return None


def _put_off(case: _Case, guard: str, earliest: datetime, why: str, *, dropped: str = "") -> Decision:
    spread_key = spread_of(case.step, case.facts.spread_key)
    until = guards.next_moment(case.step, case.quiet, earliest, case.house, spread_key)
    if until - case.planned > case.ttl:
        return case.stops(guard, Verdict.DROP, f"{dropped}{why}，推迟后会超过有效期")
    return case.stops(guard, Verdict.DEFER, why, max(until, case.now + _A_MOMENT))


_LOOK_AGAIN = timedelta(hours=1)
_A_MOMENT = timedelta(seconds=1)
_SPEAKING: tuple[_Guard, ...] = (
    _held_out,
    _untimely,
    _unmet,
    _unwanted,
    _in_case,
    _in_promotion,
    _in_talk,
    _over_cap,
    _outranked,
    _too_soon,
)
# Nobody outside hears of it: no refusal, no hour and no cap holds it back.
_SILENT: tuple[_Guard, ...] = (_held_out, _unmet)
