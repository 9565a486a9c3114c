"""What the curve of a message says, at each moment: against what members did, and against a count of its own."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from scrm.mass_messages import course
from scrm.mass_messages.audience import Audience
from scrm.sandbox.confirming import confirm_mass_message
from tests.mass_messages.conftest import House, send

SHANGHAI = ZoneInfo("Asia/Shanghai")


async def read(house: House, message_id: int) -> list[course.Moment]:
    return await house.services.db.read(course.read, message_id, house.clock.now(), SHANGHAI)


async def test_a_curve_begins_with_nothing_and_rises_when_members_confirm(house: House) -> None:
    for key in ("xiaoman", "aning", "lost"):
        await house.meet(key)
    await house.meet("second", "WuHao")
    message_id = await send(house, Audience(userids=("lina", "WuHao")))
    made_at = house.clock.now()
    assert {(each.confirmed, each.sent, each.failed) for each in await read(house, message_id)} == {(0, 0, 0)}
    await house.sandbox.delete_member("lost", "lina")
    await house.pass_time(minutes=20)
    for userid, minutes in (("lina", 90), ("WuHao", 0)):
        (made,) = [each for each in house.made if {one.userid for one in each.deliveries} == {userid}]
        confirm_mass_message(house.sandbox, userid, made.msgid)
        await house.pass_time(minutes=10)
        await house.pass_time(minutes=minutes)
    moments = await read(house, message_id)
    assert moments[0].at <= made_at
    told = [(each.confirmed, each.sent, each.failed) for each in course.changes(moments)]
    assert told == [(0, 0, 0), (1, 2, 1), (2, 3, 1)]
    first, second = course.changes(moments)[1:]
    step = moments[2].at - moments[1].at
    assert timedelta() <= first.at - (made_at + timedelta(minutes=20)) <= step
    assert timedelta() <= second.at - (made_at + timedelta(minutes=120)) <= step
    # It is over: the curve ends with the last thing that happened, however late somebody looks.
    house.clock.advance(days=3)
    assert await read(house, message_id) == moments


@pytest.mark.parametrize(
    ("minutes", "width", "begins"),
    [(3, 1, "10:07"), (200, 5, "10:05"), (60 * 24, 60, "10:00"), (60 * 24 * 14, 480, "08:00")],
)
def test_the_steps_are_round_in_the_shops_zone_and_never_too_many(minutes: int, width: int, begins: str) -> None:
    made_at = datetime(2026, 11, 11, 2, 7, 30, tzinfo=UTC)
    start, step = course.steps_of(made_at, made_at + timedelta(minutes=minutes), SHANGHAI)
    assert (step, f"{start.astimezone(SHANGHAI):%H:%M}") == (timedelta(minutes=width), begins)
    assert (made_at + timedelta(minutes=minutes) - start) / step <= course.MOST_STEPS
