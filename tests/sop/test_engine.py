"""The engine alone: any playbook, any ticks, any customer; what must never happen does not."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scrm.errors import ScrmError
from scrm.events import Event
from scrm.sop import engine, guards, timing
from scrm.sop.engine import Facts, LastRun, Verdict
from scrm.sop.schema import Channel, Late, Playbook, Step
from tests.sop.shop import Content, Guards, House, at, playbook_of, step

ZONE = ZoneInfo("Asia/Shanghai")
HOUSE = House(ZONE, timing.parse_window("21:30-09:00"))
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

    @initialize(steps=steps, minutes=st.integers(0, 24 * 60), cap=st.sampled_from([None, 1, 3]))
    def begin(self, steps: list[Step], minutes: int, cap: int | None) -> None:
        self.playbook = playbook_of(*steps, guards=Guards(max_pushes=cap))
        self.anchor = START + timedelta(minutes=minutes)
        self.now = self.anchor
        self.facts = Facts(self.anchor, "new-customer/person:1")
        self.place = engine.first_due(self.playbook, self.anchor, HOUSE, self.facts.spread_key)
        self.done = Done()

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
        assert pushed <= 1

    def _decide(self, due: Step) -> int:
        decision = engine.decide(self.playbook, due, self.facts, HOUSE, self.now)
        if decision.verdict is Verdict.DEFER:
            assert decision.until is not None
            assert decision.until > self.now
            self.place = replace(self.place, due_at=decision.until)
            return 0
        if decision.verdict is Verdict.EXIT:
            self.done.over_at = self.done.over_at or self.now
            self.place = replace(self.place, due_at=None)
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
            self.facts = replace(self.facts, last_push_at=self.now, pushes=self.facts.pushes + 1)
        self.place = engine.next_due(self.playbook, self.place.step, self.anchor, HOUSE, self.facts.spread_key)
        return int(is_push)

    def _check_push(self, due: Step) -> None:
        planned = engine.planned_at(self.playbook, due, self.anchor, HOUSE, self.facts.spread_key)
        assert timedelta() <= self.now - planned <= (due.ttl or timedelta())
        quiet = guards.quiet_hours(self.playbook, due, HOUSE)
        if self.now - planned > guards.GRACE:
            assert quiet is None or timing.quiet_until(self.now, quiet, ZONE) is None
        last = self.facts.last_push_at
        assert last is None or self.now - last >= HOUSE.gap
        cap = self.playbook.guards.max_pushes
        assert cap is None or self.facts.pushes < cap

    @rule()
    def the_customer_orders(self) -> None:
        self.facts = replace(self.facts, over="订单已付款")
        self.done.over_at = self.now

    @rule()
    def the_customer_refuses(self) -> None:
        self.facts = replace(self.facts, optout={"promo": True})

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
        planned = engine.planned_at(playbook, one, anchor, HOUSE, "key")
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
    place = engine.first_due(playbook, START, HOUSE, "key")
    assert (place.step, place.due_at) == (1, START + timedelta(hours=2))


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
