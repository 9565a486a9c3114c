"""The engine alone: any playbook, any ticks, any customer; what must never happen does not."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scrm.errors import ScrmError
from scrm.events import Event
from scrm.sop import engine, placing, timing
from scrm.sop.engine import Facts, LastRun, Verdict
from scrm.sop.guards import answers as guards
from scrm.sop.guards.answers import GuardFacts, Touch
from scrm.sop.placing import Course, Place
from scrm.sop.schema import Caps, Channel, Late, Playbook, Step
from tests.sop.shop import Content, Guards, House, at, playbook_of, step

ZONE = ZoneInfo("Asia/Shanghai")
CAPS = Caps(timedelta(hours=24), per_week=3, per_month=8)
HOUSE = House(ZONE, timing.parse_window("21:30-09:00"), caps=CAPS)
START = at("03-02 10:00")

TIMES = ["T0", "T0+30m", "T0+5h", "T0+20h", "D+0 18:00-20:00", "D+1", "D+1 10:00-11:30", "D+3 19:30-21:00", "D+8"]

steps = st.lists(
    st.builds(
        lambda number, at_text, channel, late, hours: step(
            f"s{number}", at_text, channel, late=late, ttl=timedelta(hours=hours), content=Content("您好")
        ),
        st.uuids().map(lambda value: value.hex[:6]),
        st.sampled_from(TIMES),
        st.sampled_from(["T", "T", "X", "W"]),
        st.sampled_from(list(Late)),
        st.sampled_from([4, 24, 72]),
    ),
    min_size=1,
    max_size=6,
)


@dataclass
class Done:
    """What the walk of one run came to."""

    ran: list[tuple[str, datetime]] = field(default_factory=list)
    decided: list[str] = field(default_factory=list)
    over_at: datetime | None = None


class OneRun(RuleBasedStateMachine):
    """A run with ticks at any time, a server that sleeps for days, and a customer who leaves or refuses."""

    @initialize(
        steps=steps,
        minutes=st.integers(0, 24 * 60),
        cap=st.sampled_from([None, 1, 3]),
        priority=st.sampled_from(["P0", "P1", "P2", "P3", "P3", "P4"]),
    )
    def begin(self, steps: list[Step], minutes: int, cap: int | None, priority: str) -> None:
        self.playbook = playbook_of(*steps, guards=Guards(max_pushes=cap), priority=priority)
        self.anchor = START + timedelta(minutes=minutes)
        self.now = self.anchor
        self.facts = Facts(self.anchor, "new-customer/person:1")
        self.course = Course(self.playbook, self.anchor, self.anchor, self.facts.spread_key, HOUSE)
        self.place = placing.place_from(self.course, 0, self.now)
        self.done = Done()

    def _guards(self, **changed: Any) -> None:
        self.facts = self.facts._replace(guard=self.facts.guard._replace(**changed))

    @rule(minutes=st.one_of(st.integers(0, 40), st.integers(0, 60 * 26), st.integers(0, 60 * 24 * 5)))
    def time_passes_and_ticks(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        pushed = 0
        for _ in range(50):
            if self.place.due_at is None or self.place.due_at > self.now or self.place.step >= len(self.playbook.steps):
                break
            pushed += self._decide(self.playbook.steps[self.place.step])
        else:
            raise AssertionError("a tick must come to its end")
        # Complaints are not spaced out.
        assert pushed <= 1 or self.playbook.priority == "P0"

    def _decide(self, due: Step) -> int:
        decision = engine.decide(self.playbook, due, self.facts, HOUSE, self.now)
        if decision.verdict in (Verdict.DEFER, Verdict.PAUSE):
            assert decision.until is not None
            assert decision.reason
            assert decision.until > self.now
            self.place = self.place._replace(due_at=decision.until)
            return 0
        if decision.verdict is Verdict.EXIT:
            self.done.over_at = self.done.over_at or self.now
            self.place = self.place._replace(due_at=None)
            return 0
        self.done.decided.append(due.id)
        is_push = decision.verdict is Verdict.RUN and due.channel is Channel.TASK
        if decision.verdict is Verdict.RUN:
            assert self.done.over_at is None
            self.done.ran.append((due.id, self.now))
        else:
            assert decision.reason
        if is_push:
            self._check_push(due)
            self.facts = self.facts._replace(last_push_at=self.now, pushes=self.facts.pushes + 1)
            if self.playbook.priority in guards.MARKETING:
                self._guards(touches=(*self.facts.guard.touches, Touch(self.now)))
        self.place = placing.place_from(self.course, self.place.step + 1, self.now)
        return int(is_push)

    def _check_push(self, due: Step) -> None:
        planned = self.course.planned_at(due)
        assert timedelta() <= self.now - planned <= (due.ttl or timedelta())
        quiet = guards.quiet_hours(self.playbook, due, HOUSE)
        if self.now - planned > guards.GRACE:
            assert quiet is None or timing.quiet_until(self.now, quiet, ZONE) is None
        last = self.facts.last_push_at
        assert last is None or self.now - last >= HOUSE.gap or self.playbook.priority == "P0"
        cap = self.playbook.guards.max_pushes
        assert cap is None or self.facts.pushes < cap
        guard, priority = self.facts.guard, self.playbook.priority
        if priority not in ("P0", "P1"):
            assert not self.facts.optout
            assert not guard.stopped
            assert not guard.case
        if priority in guards.MARKETING:
            self._check_caps(guard)

    def _check_caps(self, guard: GuardFacts) -> None:
        touches = [touch.at for touch in guard.touches]
        assert all(self.now - at >= timedelta(hours=24) for at in touches)
        assert sum(at > self.now - timedelta(days=7) for at in touches) < 3
        assert sum(at > self.now - timedelta(days=30) for at in touches) < 8
        assert guard.spoke_at is None or self.now - guard.spoke_at >= HOUSE.talk
        assert not guard.is_waiting

    @rule()
    def the_customer_orders(self) -> None:
        self.facts = self.facts._replace(over="订单已付款")
        self.done.over_at = self.now

    @rule()
    def the_customer_refuses(self) -> None:
        self.facts = self.facts._replace(optout={"all": True})

    @rule()
    def somebody_puts_him_on_the_stop_list(self) -> None:
        self._guards(stopped="同行")

    @rule(is_open=st.booleans(), days=st.integers(1, 7))
    def he_asks_his_money_back(self, is_open: bool, days: int) -> None:
        self._guards(case="退款在处理", case_until=None if is_open else self.now + timedelta(days=days))

    @rule()
    def the_case_is_over(self) -> None:
        self._guards(case="", case_until=None)

    @rule(waits=st.booleans())
    def he_says_something(self, waits: bool) -> None:
        self._guards(spoke_at=self.now, is_waiting=waits)

    @rule()
    def a_member_sends_him_something_by_hand(self) -> None:
        self._guards(touches=(*self.facts.guard.touches, Touch(self.now, "一条群发")))

    @invariant()
    def no_step_is_decided_twice_and_their_order_is_kept(self) -> None:
        order = [one.id for one in self.playbook.steps]
        places = [order.index(step_id) for step_id in self.done.decided]
        assert places == sorted(set(places))

    @invariant()
    def nothing_runs_after_the_end(self) -> None:
        over_at = self.done.over_at
        assert over_at is None or all(ran_at <= over_at for _, ran_at in self.done.ran)


TestOneRun = OneRun.TestCase


@given(steps=steps, minutes=st.integers(0, 3 * 24 * 60))
def test_a_server_that_is_always_there_runs_every_step_in_its_window(steps: list[Step], minutes: int) -> None:
    anchor = START + timedelta(minutes=minutes)
    for one in steps:
        if one.channel is not Channel.TASK or one.late is Late.DROP:
            continue
        playbook = playbook_of(one)
        planned = placing.planned_at(playbook, one, anchor, HOUSE, "key")
        decision = engine.decide(playbook, one, Facts(anchor, "key"), HOUSE, planned + timedelta(seconds=1))
        assert decision.verdict is Verdict.RUN, decision


def test_a_run_is_the_person_s_or_the_order_s() -> None:
    event = Event("order.paid", START, person_id=12, key="taobao/shop/123")
    assert engine.run_key(playbook_of(), event) == "person:12"
    assert engine.run_key(playbook_of(run_key="order"), event) == "order:taobao/shop/123"
    with pytest.raises(ScrmError, match="没有这个编号"):
        engine.run_key(playbook_of(run_key="coupon"), replace(event, key=""))


@given(days=st.lists(st.integers(0, 20), max_size=8))
def test_re_entry_every_n_days_never_comes_sooner(days: list[int]) -> None:
    playbook = playbook_of(reentry_every=timedelta(days=7))
    entered: dict[str, datetime] = {}
    now, last = START, None
    for gap in days:
        now += timedelta(days=gap)
        key = engine.run_key(playbook, Event("contact.added", now, person_id=1), last)
        if key in entered:
            continue
        assert last is None or now - last.enrolled_at >= timedelta(days=7)
        entered[key] = now
        last = LastRun(key, now, False)
    assert list(entered) == [f"person:1#{number}" for number in range(1, len(entered) + 1)]


def test_a_run_that_goes_on_is_not_begun_again_however_long_it_takes() -> None:
    playbook = playbook_of(reentry_every=timedelta(days=7))
    event = Event("contact.added", START + timedelta(days=30), person_id=1)
    assert engine.run_key(playbook, event, LastRun("person:1#1", START, True)) == "person:1#1"


def test_the_welcome_is_not_waited_for() -> None:
    playbook = playbook_of(step("hello", "T0", "W"), step("ask", "T0+2h"))
    place = placing.place_from(Course(playbook, START, START, "key", HOUSE), 0, START)
    assert place == Place(1, START + timedelta(hours=2))


def test_a_window_missed_by_hours_is_still_today_s_task() -> None:
    playbook = playbook_of(step("ask", "D+1 10:00-11:30"))
    facts = Facts(START, "key")
    one = playbook.steps[0]
    assert engine.decide(playbook, one, facts, HOUSE, at("03-03 15:00")).verdict is Verdict.RUN
    night = engine.decide(playbook, one, facts, HOUSE, at("03-03 22:00"))
    assert night.verdict is Verdict.DEFER
    assert night.until is not None
    assert at("03-04 10:00") <= night.until < at("03-04 11:30")
    dropping = playbook_of(step("ask", "D+1 10:00-11:30", late=Late.DROP))
    decision = engine.decide(dropping, dropping.steps[0], facts, HOUSE, at("03-03 15:00"))
    assert (decision.verdict, decision.reason) == (Verdict.DROP, "不在发送时段（10:00–11:30）")


def test_a_step_that_is_later_than_its_ttl_is_dropped() -> None:
    playbook: Playbook = playbook_of(step("ask", "T0+1h", ttl=timedelta(hours=4)))
    decision = engine.decide(
        playbook, playbook.steps[0], Facts(START, "key"), HOUSE, START + timedelta(hours=5, minutes=1)
    )
    assert decision.verdict is Verdict.DROP
    assert "超过有效期" in decision.reason
