"""Who receives through a code, and what the customer is told, hour by hour."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.contact_ways.plan import (
    Crew,
    Period,
    Plan,
    Shift,
    Welcome,
    crew_at,
    next_border,
    plan_of,
    problems,
    remark_of,
    welcome_of,
)

ZONE = ZoneInfo("Asia/Shanghai")
MONDAY = datetime(2026, 3, 2, tzinfo=ZONE)
DAY = Shift(start="09:00", end="18:00", days=(0, 1, 2, 3, 4), userids=("lina", "wuhao"))
NIGHT = Shift(start="22:00", end="02:00", days=(4,), userids=("yebo",))


def at(days: int, hours: float) -> datetime:
    return MONDAY + timedelta(days=days, hours=hours)


def crew(plan: Plan, moment: datetime, **adds: int) -> Crew:
    return crew_at(plan, ("lina", "wuhao"), True, moment, adds)


@pytest.mark.parametrize(
    ("moment", "user"),
    [
        (at(0, 8.99), ("boss",)),
        (at(0, 9), ("lina", "wuhao")),
        (at(0, 17.99), ("lina", "wuhao")),
        (at(0, 18), ("boss",)),
        (at(4, 22), ("yebo",)),
        (at(5, 1.99), ("yebo",)),  # Friday's night ends on Saturday
        (at(5, 2), ("boss",)),
        (at(5, 22), ("boss",)),
        (at(4, 1), ("boss",)),  # Thursday had no night shift
    ],
)
def test_shifts_change_by_weekday_and_hour_and_go_over_midnight(moment: datetime, user: tuple[str, ...]) -> None:
    assert crew(Plan(shifts=(DAY, NIGHT), backup=("boss",)), moment).user == user


@pytest.mark.parametrize(
    ("plan", "adds", "user", "because"),
    [
        (Plan(), {"lina": 99}, ("lina", "wuhao"), ""),
        (Plan(cap=5), {"lina": 5, "wuhao": 4}, ("wuhao",), "over_cap"),
        (Plan(cap=5, caps={"LiNa": 9}), {"lina": 5, "wuhao": 5}, ("lina",), "over_cap"),
        (Plan(cap=5, caps={"lina": 0}), {"lina": 50}, ("lina", "wuhao"), ""),
        (Plan(cap=1, backup=("boss", "boss")), {"lina": 1, "wuhao": 2}, ("boss",), "backup"),
        (Plan(cap=1), {"lina": 1, "wuhao": 2}, ("lina", "wuhao"), "backup"),  # never a dead code
    ],
)
def test_who_has_had_enough_rests_until_midnight(
    plan: Plan, adds: dict[str, int], user: tuple[str, ...], because: str
) -> None:
    found = crew(plan, at(0, 12), **adds)
    assert (found.user, found.because) == (user, because)


def test_verification_is_waived_only_in_its_hours() -> None:
    plan = Plan(skip_verify=(Period(start="20:00", end="08:00"),))
    assert [crew(plan, at(0, hour)).skip_verify for hour in (7.99, 8, 19.99, 20)] == [True, False, False, True]


def test_the_welcome_of_the_hour_goes_before_the_welcome_of_the_code() -> None:
    plan = Plan(welcome="你好", welcomes=(Welcome(start="22:00", end="09:00", days=(5, 6), text="夜深了"),))
    hours = [at(5, 21.9), at(5, 22), at(6, 3), at(7, 8.9), at(7, 9), at(5, 3)]
    told = [welcome_of(plan, moment.astimezone(UTC), ZONE) for moment in hours]
    assert told == ["你好", "夜深了", "夜深了", "夜深了", "你好", "你好"]
    assert welcome_of(Plan(), MONDAY, ZONE) == ""


@pytest.mark.parametrize(
    ("template", "nickname", "remark"),
    [
        ("", "小满", ""),
        ("{昵称}-直播", "小满", "小满-直播"),
        ("{昵称}-直播间三月", "一个特别特别特别特别特别特别长的昵称", "一个特别特别特别特别特别特别-直播间三月"),
        ("直播客户", "小满", "直播客户"),
    ],
)
def test_a_long_nickname_gives_way_to_what_the_author_wrote(template: str, nickname: str, remark: str) -> None:
    assert remark_of(template, nickname) == remark
    assert len(remark) <= 20


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Plan(shifts=(Shift(start="9点", userids=("lina",)),)), "时间“9点”看不懂"),
        (Plan(shifts=(Shift(start="25:00", userids=("lina",)),)), "时间“25:00”看不懂"),
        (Plan(shifts=(Shift(days=(), userids=("lina",)),)), "至少要选一天"),
        (Plan(shifts=(Shift(),)), "都要有接待员工"),
        (Plan(cap=-1), "每日上限"),
        (Plan(remark="一" * 21), "备注模板最多 20 个字"),
        (Plan(welcome="一" * 1334), "4000 字节"),
        (Plan(tags=("一" * 31,)), "标签名最多 30 个字"),
    ],
)
def test_a_plan_that_cannot_be_kept_is_refused_with_the_reason(plan: Plan, words: str) -> None:
    (problem,) = problems(plan)
    assert words in problem


def test_a_plan_comes_back_as_it_was_kept() -> None:
    import msgspec

    plan = Plan(shifts=(DAY, NIGHT), caps={"lina": 3}, welcomes=(Welcome(start="22:00", end="09:00", text="夜深了"),))
    assert plan_of(msgspec.to_builtins(plan)) == plan
    assert plan_of({}) == plan_of(None) == Plan()


CLOCKS = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.sampled_from((0, 1, 30, 59)))
DAYS = st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days)))
SHIFTS = st.builds(
    lambda start, end, days: Shift(start=start, end=end, days=days, userids=("a",)), CLOCKS, CLOCKS, DAYS
)


@given(st.lists(SHIFTS, min_size=1, max_size=3), st.integers(0, 7 * 24 * 60), st.booleans())
def test_between_two_borders_nothing_changes(shifts: list[Shift], minute: int, capped: bool) -> None:
    plan = Plan(shifts=tuple(shifts), backup=("b",), cap=int(capped))
    now = (MONDAY + timedelta(minutes=minute)).astimezone(UTC)
    border = next_border(plan, now, ZONE)
    assert border is not None
    assert now < border <= now + timedelta(days=8)
    here = [crew(plan, moment.astimezone(ZONE)).user for moment in (now, border - timedelta(seconds=1))]
    assert here[0] == here[1]


def test_a_plan_that_never_changes_has_no_border() -> None:
    assert next_border(Plan(backup=("boss",), welcomes=(Welcome(text="你好"),)), MONDAY, ZONE) is None
