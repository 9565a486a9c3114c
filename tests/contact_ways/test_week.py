"""The week of a channel: gaps and overlaps by the minute, over midnight too, as who receives is decided."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from scrm.contact_ways.plan import Period
from scrm.contact_ways.week import gaps, overlaps, told, week_of

TIMES = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02d}:{quarter % 4 * 15:02d}")
PERIODS = st.lists(
    st.builds(
        lambda start, end, days: Period(start=start, end=end, days=tuple(sorted(days))),
        TIMES,
        st.one_of(TIMES, st.just("24:00")),
        st.sets(st.integers(0, 6), min_size=1),
    ),
    max_size=4,
)


@given(PERIODS)
def test_the_week_says_what_each_period_says_at_every_quarter(periods: list[Period]) -> None:
    week = week_of(periods)
    assert sum(each.end - each.start for each in week) == 7 * 24 * 60
    monday = datetime(2026, 6, 1, tzinfo=UTC)
    for quarter in range(0, 7 * 96, 3):
        moment = monday + timedelta(minutes=15 * quarter)
        minute = moment.hour * 60 + moment.minute
        (stretch,) = [one for one in week if one.day == moment.weekday() and one.start <= minute < one.end]
        assert stretch.periods == tuple(n for n, period in enumerate(periods, 1) if period.has(moment))


def test_gaps_and_overlaps_are_told_with_days_of_the_same_hours_together() -> None:
    day, night = Period(start="09:00", end="22:00", days=(0, 1, 2, 3, 4)), Period(start="21:00", end="02:00", days=(4,))
    week = week_of([day, night])
    assert told(overlaps(week)) == "周五 21:00–22:00"
    assert told(gaps(week)) == (
        "周一、二、三、四 00:00–09:00、22:00–24:00；周五 00:00–09:00；周六 02:00–24:00；周日 全天"
    )
    assert told(gaps(week_of([]))) == "每天 全天"
    assert told(gaps(week_of([Period()]))) == ""
