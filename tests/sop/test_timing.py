"""When steps fall due."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.sop.schema import When, Window
from scrm.sop.timing import (
    due_at,
    earliest_gap,
    fits,
    latest_gap,
    next_open,
    opens_outside,
    parse_duration,
    parse_when,
    parse_window,
    quiet_until,
    write_duration,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
QUIET = parse_window("21:30-09:00")


def shanghai(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


times = st.times().map(lambda at: at.replace(second=0, microsecond=0, tzinfo=None))
windows = st.builds(Window, times, times).filter(lambda window: window.start != window.end)
moments = st.timedeltas(timedelta(), timedelta(days=1800)).map(lambda gap: datetime(2024, 1, 1, tzinfo=UTC) + gap)
zones = st.sampled_from([SHANGHAI, BERLIN, ZoneInfo("America/New_York"), ZoneInfo("UTC")])


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("T0", When()),
        ("T0+5s", When(offset=timedelta(seconds=5))),
        ("T0+1h30m", When(offset=timedelta(minutes=90))),
        ("T0-2h", When(offset=-timedelta(hours=2))),
        ("D+3", When(days=3)),
        ("D+3 10:00-11:30", When(days=3, window=Window(time(10), time(11, 30)))),
        ("D+1 20:00", When(days=1, window=Window(time(20), time(20, 30)))),
        ("D-3 9:45", When(days=-3, window=Window(time(9, 45), time(10, 15)))),
        ("D+1 23:40", When(days=1, window=Window(time(23, 40), time(0, 10)))),
        ("D+0 22:00–24:00", When(days=0, window=Window(time(22), time(0)))),
    ],
)
def test_times_are_read_as_authors_write_them(text: str, when: When) -> None:
    assert parse_when(text) == when


@pytest.mark.parametrize("text", ["", "T1", "T0+", "T0+30", "T0+0m", "T0-", "D3", "D+3 25:00-26:00", "D+3 10:60", "3d"])
def test_a_time_that_is_no_time_is_refused_with_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"[一-鿿]"):
        parse_when(text)


@pytest.mark.parametrize("text", ["10:00-10:00", "9-12", "10:60-11:00", "10:00-24:01", ""])
def test_a_window_without_time_in_it_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="时间段"):
        parse_window(text)


@pytest.mark.parametrize(("text", "hours"), [("30m", 0.5), ("4h", 4), ("3d", 72), ("72h", 72)])
def test_durations_are_read(text: str, hours: float) -> None:
    assert parse_duration(text) == timedelta(hours=hours)


def test_d_plus_three_is_the_third_calendar_day_of_the_shop() -> None:
    late = due_at(When(days=3), shanghai("2026-03-01T23:59"), SHANGHAI, spread_key="a")
    early = due_at(When(days=3), shanghai("2026-03-01T00:01"), SHANGHAI, spread_key="a")
    assert late == early == shanghai("2026-03-04T10:00")
    assert late.tzinfo is UTC


def test_days_cross_month_ends_and_leap_days() -> None:
    assert due_at(When(days=1), shanghai("2028-02-28T12:00"), SHANGHAI, spread_key="") == shanghai("2028-02-29T10:00")
    assert due_at(When(days=1), shanghai("2026-12-31T12:00"), SHANGHAI, spread_key="") == shanghai("2027-01-01T10:00")


def test_the_day_after_a_clock_change_still_begins_at_ten() -> None:
    anchor = datetime(2026, 3, 28, 9, 0, tzinfo=UTC)  # Berlin turns its clocks on the 29th
    assert due_at(When(days=1), anchor, BERLIN, spread_key="") == datetime(2026, 3, 29, 8, 0, tzinfo=UTC)


@given(moments, windows, zones, st.integers(0, 40), st.text(max_size=12))
def test_a_step_of_a_day_lies_in_its_window_and_stays_there(
    anchor: datetime, window: Window, zone: ZoneInfo, days: int, key: str
) -> None:
    when = When(days=days, window=window)
    due = due_at(when, anchor, zone, spread_key=key)
    assert due == due_at(when, anchor, zone, spread_key=key)
    if zone is SHANGHAI:  # without clock changes
        assert fits(due, window, zone)
        assert (due.astimezone(zone).date() - anchor.astimezone(zone).date()).days in (days, days + 1)


@given(moments, windows, st.integers(0, 40), st.text(max_size=12))
def test_gaps_enclose_every_due_time(anchor: datetime, window: Window, days: int, key: str) -> None:
    when = When(days=days, window=window)
    gap = due_at(when, anchor, SHANGHAI, spread_key=key) - anchor
    assert gap <= latest_gap(when)
    assert gap >= earliest_gap(when) or days == 0


def test_tasks_of_many_customers_are_spread_over_the_window() -> None:
    when = parse_when("D+1 10:00-11:00")
    due = [due_at(when, shanghai("2026-03-01T12:00"), SHANGHAI, spread_key=f"run:{n}") for n in range(600)]
    by_ten_minutes = [sum(moment.minute // 10 == part for moment in due) for part in range(6)]
    assert all(60 < count < 140 for count in by_ten_minutes)


def test_a_window_across_midnight_holds_both_sides_of_it() -> None:
    assert fits(shanghai("2026-03-01T23:00"), QUIET, SHANGHAI)
    assert fits(shanghai("2026-03-01T08:59"), QUIET, SHANGHAI)
    assert not fits(shanghai("2026-03-01T09:00"), QUIET, SHANGHAI)
    assert not fits(shanghai("2026-03-01T21:29"), QUIET, SHANGHAI)


def test_quiet_hours_end_the_next_morning() -> None:
    morning = shanghai("2026-03-02T09:00")
    assert quiet_until(shanghai("2026-03-01T21:30"), QUIET, SHANGHAI) == morning
    assert quiet_until(shanghai("2026-03-02T03:00"), QUIET, SHANGHAI) == morning
    assert quiet_until(shanghai("2026-03-01T12:00"), QUIET, SHANGHAI) is None


def test_what_comes_too_late_waits_for_the_next_day() -> None:
    window = parse_window("10:00-20:00")
    assert next_open(shanghai("2026-03-01T20:00"), window, SHANGHAI) == shanghai("2026-03-02T10:00")
    assert next_open(shanghai("2026-03-01T03:00"), window, SHANGHAI) == shanghai("2026-03-01T10:00")
    inside = shanghai("2026-03-01T12:34")
    assert next_open(inside, window, SHANGHAI) == inside


@given(moments, windows, zones)
def test_the_next_opening_is_never_in_the_past_and_never_far(moment: datetime, window: Window, zone: ZoneInfo) -> None:
    opening = next_open(moment, window, zone)
    assert moment <= opening <= moment + timedelta(hours=50)
    until = quiet_until(moment, window, zone)
    assert (until is not None) == fits(moment, window, zone)
    assert until is None or until > moment


def test_a_window_inside_the_quiet_hours_is_never_open() -> None:
    assert not opens_outside(parse_window("22:00-23:00"), QUIET)
    assert not opens_outside(parse_window("23:00-08:00"), QUIET)
    assert opens_outside(parse_window("08:00-10:00"), QUIET)
    assert opens_outside(parse_window("19:30-21:00"), QUIET)


@pytest.mark.parametrize("text", ["99999999999999999999d", "9999999d" * 400, "0m", "3651d"])
def test_a_duration_longer_than_any_is_refused_with_words(text: str) -> None:
    with pytest.raises(ValueError, match="时长"):
        parse_duration(text)


def test_durations_are_written_in_words() -> None:
    words = [write_duration(parse_duration(text)) for text in ("72h", "7d", "30m", "5s", "83h30m")]
    assert words == ["72 小时", "7 天", "30 分钟", "5 秒", "83 小时 30 分钟"]


@pytest.mark.parametrize(
    ("text", "only", "anchor", "expected"),
    [
        ("D-3", "", "2026-11-22 00:00", "2026-11-19 10:00"),
        ("W+2", "", "2026-11-20 15:00", "2026-11-24 10:00"),  # a Friday: Saturday and Sunday do not count
        ("W+1", "", "2026-09-30 15:00", "2026-10-08 10:00"),  # the National Day holiday
        ("W+1", "", "2026-02-13 15:00", "2026-02-14 10:00"),  # a Saturday that is worked before the Spring Festival
        ("W-1", "", "2026-10-08 00:00", "2026-09-30 10:00"),
        ("D+1", "workdays", "2026-11-20 15:00", "2026-11-23 10:00"),
        ("D+1", "restdays", "2026-11-23 15:00", "2026-11-28 10:00"),
        ("T0+2h", "workdays", "2026-11-21 09:00", "2026-11-23 11:00"),
        ("W+1", "", "2027-12-31 15:00", "2028-01-03 10:00"),  # not published yet: Monday to Friday
    ],
)
def test_working_days_and_days_of_rest_follow_the_chinese_calendar(
    text: str, only: str, anchor: str, expected: str
) -> None:
    when = replace(parse_when(text), only=only)
    begun = datetime.fromisoformat(anchor).replace(tzinfo=SHANGHAI)
    due = due_at(when, begun, SHANGHAI, spread_key="x").astimezone(SHANGHAI)
    assert f"{due:%Y-%m-%d %H:%M}" == expected
