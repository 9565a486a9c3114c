"""Schedules: which fire counts, and that each member of the segment is told once, whatever interrupts it."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert

from scrm.events import event
from scrm.segments.models import segment, segment_member
from scrm.sop.calendar import schedules
from scrm.sop.calendar import store as calendar_store
from scrm.sop.calendar import ticks as calendar_ticks
from scrm.sop.calendar.tables import schedule_fire
from tests.sop.shop import Shop, Trigger, at, playbook_of, step

ZONE = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("cron", "after", "now", "fire"),
    [
        ("0 10 * * 1", "03-01 00:00", "03-02 10:00", "03-02 10:00"),  # 2 March 2026 is a Monday
        ("0 10 * * 1", "03-01 00:00", "03-02 09:59", None),
        ("0 10 * * 1", "03-02 10:00", "03-02 18:00", None),  # that one was dealt with
        ("0 10 * * 0", "03-01 00:00", "03-01 12:00", "03-01 10:00"),
        ("0 10 * * 7", "03-01 00:00", "03-01 12:00", "03-01 10:00"),
        ("30 * * * *", "03-02 00:00", "03-02 12:10", "03-02 11:30"),  # of several missed ones the last
        ("0 9 * * *", "03-01 00:00", "03-05 08:00", "03-04 09:00"),
        ("0 9 1 * *", "02-01 00:00", "03-05 08:00", None),  # four days ago: not made up for
        ("0 9 * * fri-sun", "03-01 00:00", "03-02 08:59", "03-01 09:00"),
    ],
)
def test_a_schedule_fires_in_the_shops_zone(cron: str, after: str, now: str, fire: str | None) -> None:
    found = schedules.last_fire(schedules.parse_cron(cron), ZONE, at(after), at(now))
    assert found == (None if fire is None else at(fire))


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 10 * *", "有 4 段"),
        ("*/5 * * * *", "最多每小时一次"),
        ("0 10 1 * 1", "同时写了日期和星期"),
        ("0 25 * * *", "看不懂"),
        ("0 10 * * 8", "看不懂"),
        ("0 10 * * mo", "看不懂"),
        ("0 10 31 2 *", "永远不会到"),
    ],
)
def test_authors_are_told_what_is_wrong_with_a_schedule(cron: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        schedules.parse_cron(cron)


def weekly(**more: Any) -> Any:
    trigger = Trigger("schedule.due", cron="0 10 * * 1", segment="vip")
    return playbook_of(step("care", "T0"), trigger=trigger, run_key="batch", **more)


async def furnish(shop: Shop, people: int) -> list[int]:
    ids = [(await shop.meet(f"贵宾{number}")).person_id for number in range(people)]
    now = shop.clock.now()

    def write(conn: Any) -> None:
        row = {
            "key": "vip",
            "title": "贵宾",
            "kind": "static",
            "created_at": now,
            "changed_at": now,
            "computed_at": now,
        }
        conn.execute(insert(segment).values(**row, members=people))
        rows = [{"segment_key": "vip", "person_id": person_id, "entered_at": now} for person_id in ids]
        conn.execute(insert(segment_member), rows)

    await shop.services.db.write(write)
    return ids


async def test_every_member_of_the_segment_enters_once_a_fire(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendar_store, "PAGE", 2)
    shop.clock.move_to(at("03-01 12:00"))
    await shop.run(weekly())
    ids = await furnish(shop, 5)
    await shop.meet("路人")
    assert await calendar_ticks.tick_schedules(shop.services) == 0
    shop.clock.move_to(at("03-02 10:00") + timedelta(seconds=10))
    # Two pages, then the process is gone.
    monkeypatch.setattr(calendar_ticks, "_MOST_PAGES", 2)
    assert await calendar_ticks.tick_schedules(shop.services) == 4
    monkeypatch.setattr(calendar_ticks, "_MOST_PAGES", 200)
    assert await calendar_ticks.tick_schedules(shop.services) == 1
    assert await calendar_ticks.tick_schedules(shop.services) == 0
    await shop.settle()
    runs = await shop.runs()
    assert {run.run_key for run in runs} == {f"batch:{person_id}@2026-03-02T10:00" for person_id in ids}
    assert {run.anchor_at for run in runs} == {at("03-02 10:00")}
    assert len(await shop.tasks()) == 5
    shop.clock.move_to(at("03-09 10:01"))
    assert await calendar_ticks.tick_schedules(shop.services) == 5
    await shop.settle()
    assert len(await shop.runs()) == 10


async def test_a_fire_that_is_a_day_old_or_older_than_the_playbook_is_not_made_up_for(shop: Shop) -> None:
    await furnish(shop, 1)
    await shop.run(weekly())  # published at 10:00 sharp
    shop.clock.advance(minutes=5)
    assert await calendar_ticks.tick_schedules(shop.services) == 1
    shop.clock.move_to(at("03-17 10:01"))
    assert await calendar_ticks.tick_schedules(shop.services) == 0
    assert len(await shop.rows(schedule_fire)) == 1
    assert len(await shop.rows(event, event.c.name == "schedule.due")) == 1
