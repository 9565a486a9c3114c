"""Birthdays, anniversaries and other dates of customers: who is told of them, when, and only once."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, update
from sqlalchemy import event as hooks

from scrm.events import event
from scrm.membership.models import points_account
from scrm.profiles.models import follow_user, person, person_field, person_stat
from scrm.profiles.own_fields.tables import custom_field
from scrm.sop.calendar import dates
from scrm.sop.calendar import store as calendar_store
from scrm.sop.calendar import ticks as calendar_ticks
from scrm.sop.calendar.tables import date_watch
from scrm.sop.members import tasks
from scrm.sop.models import step_run, task
from scrm.sop.shelf import playbooks_of
from scrm.sop.store import end_step_runs
from tests.sop.shop import Content, Customer, Shop, Trigger, at, playbook_of, step


def birthday(*steps: Any, **more: Any) -> Any:
    """A playbook that greets three days before and on the day, unless the test says otherwise."""
    steps = steps or (step("hint", "D-3", "X", act=({"set": {"stage": "生日"}},)), step("greet", "D+0 09:00-11:00"))
    wanted = Trigger("date.reached", date=more.pop("date", "birthday"), lunar=more.pop("lunar", False))
    yearly = more.pop("yearly", True)
    trigger = Trigger(wanted.event, date=wanted.date, lunar=wanted.lunar, yearly=yearly, lead=dates.lead_of(steps))
    return playbook_of(*steps, key="birthday", trigger=trigger, run_key="person+year", **more)


async def set_field(shop: Shop, who: Customer, value: str | None, key: str = "birthday") -> None:
    row = {"value": value, "text_value": value, "changed_at": shop.clock.now()}

    def write(conn: Any) -> None:
        mine = person_field.c.person_id == who.person_id, person_field.c.key == key
        if value is None:
            conn.execute(delete(person_field).where(*mine))
            return
        if not conn.execute(update(person_field).where(*mine).values(**row)).rowcount:
            conn.execute(insert(person_field).values(person_id=who.person_id, key=key, **row))

    await shop.services.db.write(write)


async def told(shop: Shop) -> list[tuple[int, str]]:
    """(person, day) of everybody who was told of, after one tick."""
    await calendar_ticks.tick_dates(shop.services)
    await shop.settle()
    rows = await shop.rows(event, event.c.name == "date.reached")
    return [(row.person_id, row.facts["date"]) for row in rows]


@pytest.mark.parametrize(
    ("day", "values", "strangers"),
    [
        (
            "2026-03-05",
            ["1990-03-05", "2026-03-05", "03-05", "3月5日", "农历正月十七"],
            ["1990-03-06", "2027-03-05", "13-05"],
        ),
        ("2026-02-28", ["1992-02-29", "2025-02-28", "02-29"], ["1992-02-27"]),
        ("2028-02-28", ["1991-02-28"], ["1992-02-29", "2-29"]),
        ("2028-02-29", ["1992-02-29"], ["1991-02-28", "1991-03-01"]),
        ("2026-08-31", ["1990-08-31"], ["1990-09-01"]),
    ],
)
def test_a_solar_birthday_has_one_day_in_every_year(day: str, values: list[str], strangers: list[str]) -> None:
    texts = {
        text for meant in dates.meanings(date.fromisoformat(day), lunar=False, yearly=True) for text in meant.texts
    }
    assert texts >= set(values)
    assert not texts & set(strangers)


def test_a_lunar_birthday_has_one_day_in_every_lunar_year() -> None:
    """Of a leap month in the month of its number, of the 30th in a short month on the 29th."""
    born = {
        "1978-09-17": "2026-09-25",  # 八月十五, the mid-autumn festival
        "2000-02-05": "2026-02-17",  # 正月初一
        "1984-12-13": "2026-11-29",  # 闰十月廿一
        "1985-02-19": "2027-02-05",  # 腊月三十: the twelfth month of 2026 has 29 days
        "2020-06-20": "2026-06-14",  # 闰四月廿九
    }
    found: dict[str, list[str]] = {}
    for number in range(354):
        day = date(2026, 2, 17) + timedelta(days=number)
        for meant in dates.meanings(day, lunar=True, yearly=True):
            assert meant.year == 2026
            for each in born.keys() & set(meant.texts):
                found.setdefault(each, []).append(day.isoformat())
    assert found == {each: [day] for each, day in born.items()}


def test_a_leap_month_is_nobodys_birthday() -> None:
    """2025 has a sixth month and a leap sixth month, and everybody one birthday."""
    found: dict[str, list[str]] = {"1990-08-01": [], "1987-08-01": [], "农历六月十一": [], "农历闰六月十一": []}
    for number in range(384):
        day = date(2025, 1, 29) + timedelta(days=number)
        for meant in dates.meanings(day, lunar=True, yearly=True):
            for each in found.keys() & set(meant.texts):
                found[each].append(day.isoformat())
    # 六月十一, and 闰六月初七 of 1987 in the sixth month.
    assert found == {
        "1990-08-01": ["2025-07-05"],
        "1987-08-01": ["2025-07-01"],
        "农历六月十一": ["2025-07-05"],
        "农历闰六月十一": ["2025-07-05"],
    }


async def test_who_has_a_birthday_hears_of_it_once_a_year_and_not_again_when_it_is_mended(shop: Shop) -> None:
    await shop.run(birthday())
    who, leap, other = await shop.meet("小满"), await shop.meet("阿闰"), await shop.meet("路人")
    await set_field(shop, who, "1990-03-05")
    await set_field(shop, leap, "农历正月十七")
    await set_field(shop, other, "1990-03-06")
    assert await told(shop) == [(who.person_id, "2026-03-05"), (leap.person_id, "2026-03-05")]
    assert len(await told(shop)) == 2
    await shop.pass_until("03-05 11:00")
    assert len(await shop.tasks()) == 2
    # Greeted, and the birthday turns out to be tomorrow.
    (greeting,) = await shop.tasks(task.c.person_id == who.person_id)
    await tasks.finish(shop.services, who.userid, greeting.id)
    await set_field(shop, who, "1990-03-06")
    await told(shop)
    await shop.pass_until("03-08 12:00")
    assert len(await shop.tasks()) == 3  # the passer-by's
    runs = await shop.runs()
    assert {run.run_key for run in runs} == {f"person+year:{each.person_id}@2026" for each in (who, leap, other)}
    assert all(run.anchor_at in (at("03-05 00:00"), at("03-06 00:00")) for run in runs)


async def test_a_birthday_that_is_put_in_late_still_counts_and_a_moved_one_ends_its_run(shop: Shop) -> None:
    await shop.run(birthday())
    who = await shop.meet()
    assert await told(shop) == []
    shop.clock.advance(hours=3)
    await set_field(shop, who, "1990-03-04")
    assert await told(shop) == [(who.person_id, "2026-03-04")]
    # Before anybody was greeted it is mended: the wrong day is forgotten, the right one comes.
    await set_field(shop, who, "1990-03-08")
    shop.clock.advance(hours=2)
    await told(shop)
    (run,) = await shop.runs()
    assert (run.state, run.ended_reason) == ("exited", "生日改了日期")
    shop.clock.advance(days=3)
    await told(shop)
    _, run = await shop.runs()
    assert (run.run_key, run.anchor_at) == (f"person+year:{who.person_id}@2026", at("03-08 00:00"))


async def test_a_birthday_that_is_taken_away_is_no_reason_any_more_and_put_back_it_is(shop: Shop) -> None:
    await shop.run(birthday())
    who = await shop.meet()
    await set_field(shop, who, "1990-03-04")
    await told(shop)
    await set_field(shop, who, None)
    shop.clock.advance(hours=2)
    await told(shop)
    (run,) = await shop.runs()
    assert (run.state, run.ended_reason) == ("exited", "生日被清空")
    await set_field(shop, who, "1990-03-04")
    shop.clock.advance(hours=2)
    await told(shop)
    await shop.pass_until("03-04 11:30")
    assert [row.person_id for row in await shop.tasks()] == [who.person_id]


async def test_an_appointment_that_is_moved_after_its_reminder_is_reminded_of_again(shop: Shop) -> None:
    """A date that comes once: its run is that of the day, and the old one ends."""
    steps = step("remind", "D-1 10:00-11:00"), step("after", "D+1 10:00-11:00")
    trigger = Trigger("date.reached", date="field.visit", lead=1)
    await shop.run(playbook_of(*steps, key="visit", trigger=trigger, run_key="batch"))
    who = await shop.meet()
    await set_field(shop, who, "2026-03-04", "visit")
    for moment in ("03-03 00:05", "03-03 12:00", "03-03 14:00", "03-06 00:05", "03-08 12:00"):
        await shop.pass_until(moment)
        await told(shop)
        if moment == "03-03 12:00":
            await set_field(shop, who, "2026-03-07", "visit")
    assert (await shop.runs())[0].ended_reason == "visit改了日期"
    reminded = [(row.step_id, row.created_at.date().isoformat()) for row in await shop.tasks()]
    assert reminded == [("remind", "2026-03-03"), ("remind", "2026-03-06"), ("after", "2026-03-08")]


@pytest.mark.parametrize("channel", ["K", "M"])
async def test_who_was_greeted_on_whatever_way_is_not_greeted_again_when_his_birthday_is_mended(
    shop: Shop, channel: str
) -> None:
    more: dict[str, Any] = {"options": {"to": "sms"}} if channel == "K" else {}
    greet = step("greet", "D+0 09:00-11:00", channel, content=Content(text="生日快乐"), **more)
    await shop.run(birthday(greet, step("later", "D+6")))
    who = await shop.meet()
    await set_field(shop, who, "1990-03-05")
    await told(shop)
    await shop.pass_until("03-05 00:05")
    await told(shop)
    await shop.pass_until("03-05 11:30")
    (said,) = await shop.rows(step_run)
    await shop.services.db.write(end_step_runs, [said.id], "done", "", now=shop.clock.now())
    await set_field(shop, who, "1990-03-08")
    for moment in ("03-05 14:00", "03-08 00:05", "03-08 12:00"):
        await told(shop)
        await shop.pass_until(moment)
    assert len(await shop.rows(step_run)) == len(await shop.runs()) == 1


async def test_days_asleep_are_made_up_for_but_no_season_and_no_pause(shop: Shop) -> None:
    await shop.run(birthday(step("greet", "D+0 09:00-11:00", late="drop")))
    people = {day: await shop.meet(day) for day in ("03-02", "03-05", "03-20", "03-30", "04-10")}
    for day, who in people.items():
        await set_field(shop, who, f"1990-{day}")
    assert [day for _, day in await told(shop)] == ["2026-03-02"]
    shop.clock.advance(days=4)
    assert [day for _, day in await told(shop)] == ["2026-03-02", "2026-03-05"]
    # Nobody waits for birthdays for a while: who comes back begins with that day.
    published = playbooks_of(shop.services)
    kept, published.current = published.current, {}
    await told(shop)
    shop.clock.advance(days=20)
    published.current = kept
    assert [day for _, day in await told(shop)] == ["2026-03-02", "2026-03-05"]
    assert len(await shop.rows(date_watch)) == 1
    # Asleep for three weeks: the last fourteen days are made up for.
    shop.clock.advance(days=21)
    assert [day for _, day in await told(shop)] == ["2026-03-02", "2026-03-05", "2026-04-10"]


async def test_anniversaries_ends_of_levels_and_own_dates_are_found(shop: Shop) -> None:
    await shop.run(
        birthday(date="contact.added"),
        replace_key(birthday(date="order.first_paid"), "paid"),
        replace_key(birthday(date="level.ends", yearly=False), "level"),
        replace_key(birthday(date="field.预约日", yearly=False), "visit"),
    )
    old, buyer, member, guest = [await shop.meet(name) for name in ("老友", "老客", "会员", "预约")]

    def furnish(conn: Any) -> None:
        mine = follow_user.c.person_id == old.person_id
        conn.execute(update(follow_user).where(mine).values(followed_at=at("03-04 23:30") - timedelta(days=730)))
        row = {"person_id": buyer.person_id, "first_paid_at": at("03-03 00:10") - timedelta(days=365)}
        conn.execute(insert(person_stat).values(**row))
        conn.execute(insert(points_account).values(person_id=member.person_id, level_until=at("03-05 10:00")))

    await shop.services.db.write(furnish)
    await set_field(shop, guest, "2026-03-03", "预约日")
    expected = {
        (old.person_id, "2026-03-04"),
        (buyer.person_id, "2026-03-03"),
        (member.person_id, "2026-03-05"),
        (guest.person_id, "2026-03-03"),
    }
    assert set(await told(shop)) == expected
    archived = {"entity": "person", "key": "birthday", "title": "生日", "type": "date", "options": []}
    await shop.services.db.write(
        lambda conn: (
            conn.execute(
                insert(custom_field).values(**archived, created_at=shop.clock.now(), archived_at=shop.clock.now())
            )
            and None
        )
    )
    await shop.run(replace_key(birthday(), "gone"))
    await set_field(shop, guest, "1990-03-03")
    assert set(await told(shop)) == expected


def replace_key(playbook: Any, key: str) -> Any:
    return replace(playbook, key=key)


async def test_a_million_birthdays_are_looked_up_by_their_index(shop: Shop) -> None:
    """The plan, not the time: no scan of the fields of everybody."""
    kind = dates.find_kind("birthday")
    assert kind is not None
    texts = dates.meanings(date(2026, 3, 5), lunar=False, yearly=True)[0].texts
    statements: list[Any] = []
    now = shop.clock.now()

    def furnish(conn: Any) -> None:
        rows = [{"id": number, "name": "客户", "created_at": now} for number in range(1, 20_001)]
        conn.execute(insert(person), rows)
        days = [(date(1960, 1, 1) + timedelta(days=number)).isoformat() for number in range(20_000)]
        fields = [
            {"person_id": number, "key": "birthday", "value": day, "text_value": day, "changed_at": now}
            for number, day in enumerate(days, 1)
        ]
        conn.execute(insert(person_field), fields)
        for table in ("person_field", "person", "custom_field"):
            conn.exec_driver_sql(f"ANALYZE {table}")

    def plan(conn: Any) -> str:
        def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            statements.append((statement, parameters))

        hooks.listen(conn, "before_cursor_execute", note)
        calendar_store.list_field_persons(conn, kind, texts)
        hooks.remove(conn, "before_cursor_execute", note)
        statement, parameters = statements[-1]
        explain = "EXPLAIN " if conn.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
        if conn.dialect.name == "postgresql":
            # Twenty thousand rows are few: whether an index can serve is asked, not whether it pays yet.
            conn.exec_driver_sql("SET LOCAL enable_seqscan = off")
        return "\n".join(str(row) for row in conn.exec_driver_sql(explain + statement, parameters))

    await shop.services.db.write(furnish)
    said = await shop.services.db.write(plan)
    # Which of its indexes PostgreSQL takes is its own business, as long as it takes one.
    assert "ix_person_field_text" in said or "on person_field" in said
    assert "SCAN person_field" not in said
    assert "Seq Scan on person_field" not in said
