"""What holds a step back: quiet hours, refusals, too many messages."""

from datetime import date, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.sop.guards import answers as guards
from scrm.sop.guards.answers import GuardFacts, Touch
from scrm.sop.members.reminders import choose_told
from scrm.sop.reasons.explain import checks_of
from scrm.sop.schema import Caps, Window
from tests.sop.shop import Content, Guards, House, Trigger, at, playbook_of, step

NIGHT = Window(time(21, 30), time(9, 0))
HOUSE = House(ZoneInfo("Asia/Shanghai"), NIGHT)
ASK = step("ask", "T0")


def test_a_playbook_inherits_the_house_s_quiet_hours_or_brings_its_own() -> None:
    assert guards.quiet_hours(playbook_of(ASK), ASK, HOUSE) == NIGHT
    own = Window(time(20, 0), time(10, 0))
    assert guards.quiet_hours(playbook_of(ASK, guards=Guards(quiet=own)), ASK, HOUSE) == own
    assert guards.quiet_hours(playbook_of(ASK, guards=Guards(quiet="none")), ASK, HOUSE) is None


def test_complaints_know_no_quiet_hours_and_parcel_notices_may_come_until_ten() -> None:
    assert guards.quiet_hours(playbook_of(ASK, priority="P0"), ASK, HOUSE) is None
    assert guards.quiet_hours(playbook_of(ASK, priority="P1"), ASK, HOUSE) == Window(time(22, 0), time(9, 0))
    # A house that is awake until one is not quiet for its notices at ten.
    late = House(HOUSE.zone, Window(time(1, 0), time(8, 0)))
    assert guards.quiet_hours(playbook_of(ASK, priority="P1"), ASK, late) == late.quiet


def test_hours_that_an_author_wrote_hold_for_complaints_too() -> None:
    own = Window(time(23, 0), time(8, 0))
    assert guards.quiet_hours(playbook_of(ASK, priority="P0", guards=Guards(quiet=own)), ASK, HOUSE) == own


@pytest.mark.parametrize(
    ("local", "closed"),
    [
        ("03-02 21:29", ""),
        ("03-02 21:30", "勿扰时段（21:30–09:00）"),
        ("03-03 00:10", "勿扰时段（21:30–09:00）"),
        ("03-03 08:59", "勿扰时段（21:30–09:00）"),
        ("03-03 09:00", ""),
    ],
)
def test_quiet_hours_cross_midnight(local: str, closed: str) -> None:
    assert guards.closed_because(ASK, NIGHT, at(local), HOUSE.zone) == closed


def test_a_step_waits_for_the_first_moment_that_suits_window_and_night() -> None:
    evening = step("ask", "T0", window="21:00-22:00")
    moment = guards.next_moment(evening, NIGHT, at("03-02 21:40"), HOUSE, "key")
    assert at("03-03 21:00") <= moment < at("03-03 22:00")
    assert guards.next_moment(ASK, NIGHT, at("03-02 23:00"), HOUSE, "key") == at("03-03 09:00")
    assert guards.next_moment(ASK, NIGHT, at("03-02 12:00"), HOUSE, "key") == at("03-02 12:00")
    # Its window opens in the night, and what is left of it after the night counts.
    early = step("ask", "T0", window="07:00-09:30")
    assert guards.next_moment(early, NIGHT, at("03-02 20:00"), HOUSE, "key") == at("03-03 09:00")


@pytest.mark.parametrize(
    ("priority", "brake", "braked"), [("P3", "", True), ("P3", "none", False), ("P2", "", True), ("P1", "", False)]
)
def test_a_case_brakes_all_but_notices_and_what_goes_on_in_spite_of_brakes(
    priority: str, brake: str, braked: bool
) -> None:
    book = playbook_of(ASK, priority=priority, guards=Guards(brake=brake) if brake else Guards())
    assert bool(guards.braked(book, GuardFacts(case="客户有退款在处理中"))) is braked


@pytest.mark.parametrize(
    ("priority", "optout", "refused"),
    [
        ("P3", {}, False),
        ("P3", {"promo": False}, False),
        ("P3", {"promo": True}, True),
        ("P1", {"promo": True}, False),
        ("P3", {"all": True}, True),
        ("P1", {"all": True}, False),
        ("P0", {"all": True}, False),
    ],
)
def test_a_refusal_stops_what_was_refused(priority: str, optout: dict[str, bool], refused: bool) -> None:
    assert bool(guards.refused(playbook_of(ASK, priority=priority), optout)) is refused


def test_overdue_messages_are_a_day_apart_others_half_an_hour() -> None:
    now, before = at("03-02 12:00"), at("03-02 11:50")
    book = playbook_of(ASK)
    assert guards.free_at(book, timedelta(), before, now, HOUSE) == at("03-02 12:20")
    assert guards.free_at(book, timedelta(hours=2), before, now, HOUSE) == at("03-03 11:50")
    assert guards.free_at(book, timedelta(), None, now, HOUSE) == now
    assert guards.free_at(playbook_of(ASK, priority="P0"), timedelta(), before, now, HOUSE) == now


@pytest.mark.parametrize(
    ("channel", "optout", "own", "refused"),
    [
        ("M", "mass", "", True),
        ("T", "mass", "", False),
        ("T", "chat", "", True),
        ("M", "chat", "", False),
        ("T", "birthday", "", False),
        ("T", "birthday", "birthday", True),
        ("T", "live", "live", True),
    ],
)
def test_a_way_that_was_refused_is_not_used_and_the_others_are(
    channel: str, optout: str, own: str, refused: bool
) -> None:
    asked = step("ask", "T0", channel, content=Content("您好"))
    book = playbook_of(asked, priority="P2", guards=Guards(optout=own))
    assert bool(guards.refused(book, {optout: True}, asked)) is refused


@given(
    hours=st.lists(st.integers(0, 24 * 40), max_size=14),
    gap=st.one_of(st.none(), st.integers(1, 100)),
    week=st.one_of(st.none(), st.integers(1, 5)),
    month=st.one_of(st.none(), st.integers(1, 9)),
)
def test_from_the_moment_that_is_named_a_message_is_under_every_cap(
    hours: list[int], gap: int | None, week: int | None, month: int | None
) -> None:
    now = at("03-31 12:00")
    caps = Caps(timedelta(hours=gap) if gap else None, week, month)
    touches = [Touch(moment) for hour in sorted(hours, reverse=True) if (moment := now - timedelta(hours=hour))]
    for _ in range(12):
        free = guards.full(caps, touches, now, HOUSE.zone)
        if free is None:
            break
        assert free.at > now
        assert free.why
        now = free.at
    assert free is None
    for days, most in ((7, week), (30, month)):
        assert most is None or sum(touch.at > now - timedelta(days=days) for touch in touches) < most
    assert not gap or not touches or now - touches[-1].at >= timedelta(hours=gap)


@pytest.mark.parametrize(
    ("kept", "name", "words"),
    [
        (["ttl", True, [86400]], "有效期", "24 小时"),
        (["quiet", True, []], "勿扰时段", "不受限"),
        (["quiet", True, ["21:30–09:00"]], "勿扰时段", "21:30–09:00"),
        (["pushes", True, [1, 3]], "本流程次数", "已发 1 次，上限 3 次"),
        (["pushes", True, [1, None]], "本流程次数", "不限"),
        (["cap", True, ["", 0, None, 0, None]], "频控", "近 30 天没有发过营销消息"),
        (
            ["cap", True, ["3月4日 10:00", 2, 3, 3, 8]],
            "频控",
            "上一条营销消息：3月4日 10:00，7 天内 2 次（上限 3 次），30 天内 3 次（上限 8 次）",
        ),
        (["rival", False, ["当天还有更重要的：“售后”"]], "当天优先级", "当天还有更重要的：“售后”"),
        # As steps kept it before there were codes.
        ({"name": "退订", "ok": False, "words": "客户已拒绝接收消息"}, "退订", "客户已拒绝接收消息"),
    ],
)
def test_what_a_guard_answered_is_put_into_words_when_it_is_read(kept: Any, name: str, words: str) -> None:
    (read,) = checks_of({"checks": [kept]})
    ok = kept["ok"] if isinstance(kept, dict) else kept[1]
    assert (read.name, read.words, read.ok) == (name, words, ok)


def test_a_member_is_told_of_what_matters_most_and_always_of_complaints_and_promises() -> None:
    priorities = {1: "P4", 2: "P3", 3: "P0", 4: "P2", 5: "P3", 6: ""}
    assert choose_told([1, 2, 3, 4, 5, 6], priorities, 5) == {2, 3, 4, 5, 6}
    assert choose_told([1, 2, 3, 4, 5, 6], priorities, 0) == {3, 4, 6}
    assert choose_told([1, 2], priorities, 40) == {1, 2}


def test_journeys_give_way_to_a_promotion_but_not_notices_dates_and_what_goes_on_in_spite_of_brakes() -> None:
    house = House(ZoneInfo("Asia/Shanghai"), promotions=(guards.Promotion(date(2026, 3, 3), date(2026, 3, 6)),))
    assert guards.in_promotion(at("03-02 23:59"), house) is None
    free = guards.in_promotion(at("03-06 23:59"), house)
    assert free is not None
    assert (free.at, free.why) == (at("03-07 23:59"), "大促期间（到 3月6日），生命周期的营销等结束再接着走")
    assert guards.gives_way(playbook_of(ASK))
    stays = {"priority": "P4"}, {"priority": "P1"}, {"guards": Guards(brake="none")}
    assert not any(guards.gives_way(playbook_of(ASK, **more)) for more in stays)
    assert not guards.gives_way(playbook_of(ASK, trigger=Trigger("date.reached", date="birthday")))
