"""Members are told once in a half hour, of everything, and not at night."""

from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.sop.guards import house
from scrm.sop.members import reminders, tasks
from scrm.sop.models import send, task
from scrm.wecom.errors import WeComError
from tests.fakes.deaths import killed_before, revive
from tests.sop.shop import Shop, at, playbook_of, step

ASK = playbook_of(step("ask", "T0+1h"))


async def tell(shop: Shop, *names: str, userid: str = "lina") -> None:
    """Customers whose tasks open in an hour, and that hour."""
    await shop.run(ASK)
    for name in names:
        await shop.add(name, userid)
    await shop.pass_time(hours=1)


async def test_tasks_of_one_half_hour_are_one_message(shop: Shop) -> None:
    await tell(shop, "小满", "阿宁", "林晓")
    assert shop.wecom.called("message/send") == []
    await shop.pass_time(minutes=5)
    (message,) = shop.wecom.called("message/send")
    card = message["template_card"]
    assert (message["touser"], message["msgtype"], card["card_type"]) == ("lina", "template_card", "text_notice")
    assert card["main_title"]["title"] == "3 位客户等你跟进"
    assert card["card_action"] == {"type": 1, "url": "https://crm.example.test/sidebar/tasks"}
    assert [line["value"] for line in card["horizontal_content_list"]] == [
        "小满｜步骤 ask",
        "阿宁｜步骤 ask",
        "林晓｜步骤 ask",
    ]
    (row,) = await shop.sends(send.c.kind == "app_message")
    assert (row.outcome, row.once) == ("sent", "reminder:lina:2026-03-02T03:00Z")
    await shop.pass_time(minutes=20)
    assert len(shop.wecom.called("message/send")) == 1


async def test_beyond_the_tasks_of_a_day_nobody_is_told_until_the_next_one(shop: Shop) -> None:
    limit = {"tasks_per_day": 2}
    await shop.services.db.write(house.save, limit, by="boss", now=shop.clock.now())
    await tell(shop, "小满", "阿宁")
    await shop.pass_time(minutes=5)
    await shop.add("林晓")
    await shop.pass_time(hours=1)
    await shop.pass_time(minutes=5)
    assert len(shop.wecom.called("message/send")) == 1
    assert sorted(row.reminder for row in await shop.tasks()) == ["sent", "sent", "spared"]
    await shop.pass_time(days=1)
    await shop.add("晚晚")
    await shop.pass_time(hours=1)
    await shop.pass_time(minutes=5)
    assert len(shop.wecom.called("message/send")) == 2


async def test_a_single_task_leads_to_itself(shop: Shop) -> None:
    await tell(shop, "小满")
    await shop.pass_time(minutes=5)
    (message,) = shop.wecom.called("message/send")
    (row,) = await shop.tasks()
    card = message["template_card"]
    assert card["main_title"]["title"] == "小满等你跟进"
    assert card["card_action"]["url"] == f"https://crm.example.test/sidebar/tasks?task={row.id}"
    assert message["enable_duplicate_check"] == 1


async def test_what_opens_after_the_message_waits_for_the_next_half_hour(shop: Shop) -> None:
    await tell(shop, "小满")
    await shop.add("阿宁")
    await shop.pass_time(minutes=5)
    await shop.pass_time(minutes=55)
    await shop.pass_time(minutes=5)
    assert len(shop.wecom.called("message/send")) == 2


async def test_every_member_gets_his_own(shop: Shop) -> None:
    await shop.run(ASK)
    await shop.add("小满", "lina")
    await tell(shop, "阿宁", userid="zoe")
    await shop.pass_time(minutes=5)
    assert sorted(message["touser"] for message in shop.wecom.called("message/send")) == ["lina", "zoe"]


async def test_nobody_is_told_at_night(shop: Shop) -> None:
    shop.clock.move_to(at("03-02 20:29"))
    await tell(shop, "小满")
    assert len(await shop.tasks()) == 1
    await shop.pass_time(minutes=10)
    assert shop.wecom.called("message/send") == []
    await shop.pass_until("03-03 09:01")
    assert len(shop.wecom.called("message/send")) == 1


async def test_a_clock_that_jumps_tells_at_once(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "D+3 10:00-11:30")))
    await shop.add()
    await shop.pass_time(days=3, hours=2)
    assert len(shop.wecom.called("message/send")) == 1


async def test_a_task_that_was_sent_meanwhile_is_not_told_of(shop: Shop) -> None:
    await tell(shop, "小满")
    (row,) = await shop.tasks()
    shop.clock.advance(minutes=5)
    await shop.tick()
    await tasks.release(shop.services, "lina", row.id)
    await tasks.confirm_sent(shop.services, "lina", row.id, True)
    await shop.settle()
    assert shop.wecom.called("message/send") == []
    (kept,) = await shop.sends(send.c.kind == "app_message")
    assert (kept.outcome, kept.reason) == ("none", "待办都已处理，不再提醒")


async def test_a_repeat_is_the_same_request_with_the_duplicate_check(shop: Shop) -> None:
    shop.wecom.say("message/send", -1)
    await tell(shop, "小满")
    await shop.pass_time(minutes=5)
    (row,) = await shop.sends(send.c.kind == "app_message")
    assert (row.outcome, row.errcode) == ("failed", -1)
    await shop.pass_time(seconds=5)
    first, second = shop.wecom.called("message/send")
    assert second == first
    assert second["enable_duplicate_check"] == 1
    (row,) = await shop.sends(send.c.kind == "app_message")
    assert (row.outcome, row.errcode) == ("sent", 0)


async def test_a_member_whom_wecom_does_not_know_is_not_tried_again(shop: Shop) -> None:
    shop.wecom.say("message/send", 81013)
    await tell(shop, "小满")
    await shop.pass_time(minutes=5)
    await shop.pass_time(minutes=5)
    assert len(shop.wecom.called("message/send")) == 1
    (row,) = await shop.sends(send.c.kind == "app_message")
    assert (row.outcome, row.reason) == ("failed", WeComError(81013).text)
    assert [row.reminder for row in await shop.rows(task)] == ["unsent"]


async def test_a_task_that_was_put_off_is_told_of_again(shop: Shop) -> None:
    await tell(shop, "小满")
    await shop.pass_time(minutes=5)
    (row,) = await shop.tasks()
    await tasks.postpone(shop.services, "lina", row.id, shop.clock.now() + timedelta(hours=2))
    await shop.pass_time(hours=1)
    assert len(shop.wecom.called("message/send")) == 1
    await shop.pass_time(hours=1)
    await shop.pass_time(minutes=5)
    assert len(shop.wecom.called("message/send")) == 2


@given(
    first=st.integers(0, 8 * 86400).map(lambda after: at("03-01 00:00") + timedelta(seconds=after)),
    opened=st.lists(st.tuples(st.sampled_from(["lina", "zoe", "amy"]), st.integers(0, 5400)), min_size=1, max_size=12),
)
def test_of_any_tasks_each_is_told_once_and_soon(first: datetime, opened: list[tuple[str, int]]) -> None:
    waiting = {
        number: SimpleNamespace(id=number, userid=userid, open_at=first + timedelta(seconds=after))
        for number, (userid, after) in enumerate(opened)
    }
    told: dict[int, datetime] = {}
    messages: set[str] = set()
    for minute in range(180):
        now = first + timedelta(minutes=minute)
        before = reminders.slot_of(now) + reminders.SLOT
        untold = sorted((row for row in waiting.values() if row.open_at < before), key=lambda row: row.open_at)
        for bundle in reminders.choose_bundles(untold, now):  # type: ignore[arg-type]
            if bundle.once in messages:
                continue
            messages.add(bundle.once)
            for task_id in bundle.task_ids:
                told[task_id] = now
                del waiting[task_id]
    assert waiting == {}
    for number, (_, after) in enumerate(opened):
        assert told[number] - (first + timedelta(seconds=after)) <= timedelta(minutes=36)


@pytest.mark.parametrize("userid", ["lina", "zoe", "amy", "a", "陈"])
def test_reminders_avoid_the_first_minute_of_a_half_hour(userid: str) -> None:
    row = SimpleNamespace(id=1, userid=userid, open_at=at("03-02 09:58"))
    assert reminders.choose_bundles([row], at("03-02 10:00")) == []  # type: ignore[list-item]
    assert reminders.choose_bundles([row], at("03-02 10:04"))  # type: ignore[list-item]


async def test_killed_before_the_call_the_member_is_told_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await tell(shop, "小满")
    with killed_before(monkeypatch, "message/send"):
        await shop.pass_time(minutes=5)
    assert shop.wecom.called("message/send") == []
    await revive(shop.services)
    await shop.pass_time(seconds=1)
    assert len(shop.wecom.called("message/send")) == 1
    (row,) = await shop.sends(send.c.kind == "app_message")
    assert row.outcome == "sent"
