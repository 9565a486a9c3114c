"""A member sends, skips and puts off; what may no longer be said is refused at the tap, in words."""

import asyncio
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from scrm.errors import Conflict, Invalid, NotFound
from scrm.events import list_events
from scrm.profiles.models import person
from scrm.sop.members import tasks
from scrm.sop.models import send, task
from tests.sop.shop import Content, Customer, Goal, Shop, at, playbook_of, step

NO_ORDER = {"field": "person.paid_orders", "op": "eq", "value": 0}
LINK = {"link": {"title": "使用指南", "url": "https://shop.example.test/guide", "desc": "三步上手"}}


@pytest.fixture
def book() -> object:
    return playbook_of(
        step("ask", "T0+1h", condition=NO_ORDER, content=Content("{{ nickname }}，用得还好吗？", (LINK,))),
        step("more", "D+3"),
        exit_if={"any": [{"event": "order.paid"}, {"event": "contact.lost_by_customer"}]},
        goal=Goal("order.paid", timedelta(days=7)),
    )


async def open_task(shop: Shop, book: object) -> tuple[Customer, int]:
    await shop.run(book)  # type: ignore[arg-type]
    who = await shop.add("小满")
    await shop.pass_time(hours=1)
    (row,) = await shop.tasks()
    return who, row.id


async def test_one_tap_hands_over_text_and_attachments_and_the_ledger_knows(shop: Shop, book: object) -> None:
    who, task_id = await open_task(shop, book)
    release = await tasks.release(shop.services, "lina", task_id)
    assert release.messages == [
        {"msgtype": "text", "text": {"content": "小满，用得还好吗？"}},
        {
            "msgtype": "news",
            "news": {"title": "使用指南", "desc": "三步上手", "link": "https://shop.example.test/guide"},
        },
    ]
    (intent,) = await shop.sends(_chat(task_id))
    assert (intent.kind, intent.outcome, intent.step_id) == ("chat", "intent", "ask")
    sent = await tasks.confirm_sent(shop.services, "lina", task_id, True)
    assert (sent.state, sent.word) == ("sent", "已发送")
    (row,) = await shop.sends(_chat(task_id))
    assert (row.outcome, row.sent_at) == ("sent", shop.clock.now())
    assert await shop.steps() == {"ask": "done"}
    told = await shop.services.db.read(list_events, who.person_id)
    assert told[0].name == "task.sent"


async def test_a_double_tap_releases_once(shop: Shop, book: object) -> None:
    _, task_id = await open_task(shop, book)
    answers = await asyncio.gather(
        *(tasks.release(shop.services, "lina", task_id) for _ in range(3)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "Conflict", "Release"]
    shop.clock.advance(seconds=61)
    await tasks.release(shop.services, "lina", task_id)
    await tasks.confirm_sent(shop.services, "lina", task_id, True)
    with pytest.raises(Conflict, match="已经发送过"):
        await tasks.release(shop.services, "lina", task_id)
    assert len(await shop.sends(_chat(task_id))) == 1


async def test_a_client_that_refuses_leaves_the_task_open(shop: Shop, book: object) -> None:
    _, task_id = await open_task(shop, book)
    await tasks.release(shop.services, "lina", task_id)
    view = await tasks.confirm_sent(shop.services, "lina", task_id, False, "sendChatMessage:fail no permission")
    assert (view.state, view.is_unconfirmed) == ("open", False)
    (row,) = await shop.sends(_chat(task_id))
    assert (row.outcome, row.reason) == ("failed", "sendChatMessage:fail no permission")
    await tasks.release(shop.services, "lina", task_id)


async def test_a_task_belongs_to_its_member(shop: Shop, book: object) -> None:
    _, task_id = await open_task(shop, book)
    with pytest.raises(NotFound):
        await tasks.release(shop.services, "zoe", task_id)
    with pytest.raises(NotFound):
        await tasks.skip(shop.services, "zoe", task_id)
    assert (await tasks.release(shop.services, "LiNa", task_id)).task_id == task_id


@pytest.mark.parametrize("handled", [True, False])
async def test_an_order_paid_between_release_and_tap_refuses_the_tap(shop: Shop, book: object, handled: bool) -> None:
    who, task_id = await open_task(shop, book)
    await (shop.happens if handled else shop.publish)("order.paid", who, key="taobao/shop/1")
    with pytest.raises(Conflict, match="订单已付款"):
        await tasks.release(shop.services, "lina", task_id)
    (row,) = await shop.tasks()
    assert (row.state, row.reason) == ("withdrawn", "订单已付款，任务已撤回。")
    assert [run.state for run in await shop.runs()] == ["goal"]
    assert await shop.sends(_chat(task_id)) == []


async def test_a_refund_that_nobody_has_heard_of_yet_stops_the_tap(shop: Shop, book: object) -> None:
    who, task_id = await open_task(shop, book)
    await shop.publish("refund.opened", who, key="taobao/shop/1")
    with pytest.raises(Conflict, match="退款在处理中，暂停营销，任务已撤回"):
        await tasks.release(shop.services, "lina", task_id)
    assert [(run.state, run.held_reason) for run in await shop.runs()] == [("paused", "客户有退款在处理中，暂停营销")]
    assert [row.state for row in await shop.tasks()] == ["withdrawn"]
    assert await shop.sends(_chat(task_id)) == []


async def test_a_customer_who_left_is_not_written_to(shop: Shop, book: object) -> None:
    who, task_id = await open_task(shop, book)
    await shop.lose(who, handled=False)
    with pytest.raises(Conflict, match="客户已不是丽娜的好友，任务已撤回。"):
        await tasks.release(shop.services, "lina", task_id)
    assert [run.state for run in await shop.runs()] == ["exited"]


async def test_a_condition_that_no_longer_holds_skips_the_step_at_the_tap(shop: Shop, book: object) -> None:
    who, task_id = await open_task(shop, book)
    await shop.set_stat(who, paid_orders=1)
    with pytest.raises(Conflict, match="条件已不满足"):
        await tasks.release(shop.services, "lina", task_id)
    (row,) = await shop.tasks()
    assert row.state == "skipped"
    assert await shop.steps() == {"ask": "skipped"}


async def test_a_refusal_of_marketing_counts_at_the_tap(shop: Shop, book: object) -> None:
    who, task_id = await open_task(shop, book)
    await shop.change(person, who.person_id, optout={"promo": True})
    with pytest.raises(Conflict, match="拒绝接收营销消息"):
        await tasks.release(shop.services, "lina", task_id)


async def test_a_task_that_ran_out_is_refused_before_a_tick_has_said_so(shop: Shop, book: object) -> None:
    _, task_id = await open_task(shop, book)
    shop.clock.advance(hours=24)
    with pytest.raises(Conflict, match="已过期"):
        await tasks.release(shop.services, "lina", task_id)
    (row,) = await shop.tasks()
    assert row.state == "expired"


async def test_what_went_out_is_sent_even_when_it_was_withdrawn_meanwhile(shop: Shop, book: object) -> None:
    who, task_id = await open_task(shop, book)
    await tasks.release(shop.services, "lina", task_id)
    await shop.happens("order.paid", who, key="taobao/shop/1")
    view = await tasks.confirm_sent(shop.services, "lina", task_id, True)
    assert view.state == "sent"
    assert [run.state for run in await shop.runs()] == ["goal"]


async def test_a_member_may_say_it_in_his_own_words(shop: Shop, book: object) -> None:
    _, task_id = await open_task(shop, book)
    with pytest.raises(Invalid, match="空的"):
        await tasks.edit(shop.services, "lina", task_id, "  ")
    release = await tasks.edit(shop.services, "lina", task_id, "小满，在吗？")
    assert release.messages[0] == {"msgtype": "text", "text": {"content": "小满，在吗？"}}
    assert len(release.messages) == 2


async def test_a_skip_can_be_undone_for_ten_minutes(shop: Shop, book: object) -> None:
    _, task_id = await open_task(shop, book)
    view = await tasks.skip(shop.services, "lina", task_id, "已经聊过了")
    assert (view.word, view.reason, view.can_undo) == ("已跳过", "已经聊过了", True)
    assert (await tasks.unskip(shop.services, "lina", task_id)).state == "open"
    await tasks.skip(shop.services, "lina", task_id)
    shop.clock.advance(minutes=11)
    with pytest.raises(Conflict, match="10 分钟"):
        await tasks.unskip(shop.services, "lina", task_id)


async def test_undoing_the_skip_of_the_last_step_brings_the_run_back(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h")))
    await shop.add()
    await shop.pass_time(hours=1)
    (row,) = await shop.tasks()
    await tasks.skip(shop.services, "lina", row.id)
    assert [run.state for run in await shop.runs()] == ["done"]
    await tasks.unskip(shop.services, "lina", row.id)
    assert [run.state for run in await shop.runs()] == ["active"]
    await tasks.release(shop.services, "lina", row.id)
    await tasks.confirm_sent(shop.services, "lina", row.id, True)
    assert [run.state for run in await shop.runs()] == ["done"]


async def test_a_task_can_be_put_off_but_not_beyond_its_end(shop: Shop, book: object) -> None:
    who, task_id = await open_task(shop, book)
    with pytest.raises(Conflict, match="不能推迟到那之后"):
        await tasks.postpone(shop.services, "lina", task_id, shop.clock.now() + timedelta(hours=24))
    view = await tasks.postpone(shop.services, "lina", task_id, shop.clock.now() + timedelta(hours=2))
    assert (view.state, view.word) == ("postponed", "已推迟")
    shop.clock.advance(hours=2)
    (again,) = await _for_contact(shop, who)
    assert again.state == "open"


async def test_choices_for_putting_off_lie_between_now_and_the_end() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    labels = [label for label, _ in tasks.postpone_choices(at("03-02 10:00"), zone, at("03-03 09:00"))]
    assert labels == ["1 小时后", "今晚 20:00"]
    labels = [label for label, _ in tasks.postpone_choices(at("03-02 21:00"), zone, None)]
    assert labels == ["1 小时后", "明天 10:00"]


async def test_the_lists_show_what_waits_first(shop: Shop, book: object) -> None:
    who, task_id = await open_task(shop, book)
    (view,) = await _for_contact(shop, who)
    assert (view.customer_name, view.playbook_title, view.step_number) == ("小满", "新客跟进", 1)
    (mine,) = await shop.services.db.read(tasks.list_for_member, "LINA", shop.clock.now())
    assert mine.id == task_id
    assert await shop.services.db.read(tasks.list_for_member, "zoe", shop.clock.now()) == []


@pytest.mark.parametrize("has_left", [False, True])
async def test_a_task_without_a_playbook_is_sent_like_any_other(shop: Shop, has_left: bool) -> None:
    who = await shop.meet()
    now = shop.clock.now()
    values = {
        "userid": "lina",
        "external_userid": who.external_userid,
        "person_id": who.person_id,
        "title": "欢迎语没有送达，请亲自打个招呼",
        "text": "您好",
        "open_at": now,
        "created_at": now,
    }
    await shop.services.db.write(lambda conn: conn.execute(task.insert().values(**values)) and None)
    (row,) = await shop.tasks()
    if has_left:
        await shop.lose(who, handled=False)
        with pytest.raises(Conflict, match="的好友，任务已撤回"):
            await tasks.release(shop.services, "lina", row.id)
        return
    await tasks.release(shop.services, "lina", row.id)
    assert (await tasks.confirm_sent(shop.services, "lina", row.id, True)).state == "sent"


async def test_a_step_whose_version_was_replaced_keeps_its_own(shop: Shop, book: object) -> None:
    _, task_id = await open_task(shop, book)
    await shop.run(
        playbook_of(step("ask", "T0+1h", condition={"field": "person.orders", "op": "gt", "value": 99}), version=2)
    )
    assert (await tasks.release(shop.services, "lina", task_id)).messages


async def _for_contact(shop: Shop, who: Customer) -> list[tasks.TaskView]:
    return await shop.services.db.read(tasks.list_for_contact, "lina", who.external_userid, shop.clock.now())


def _chat(task_id: int) -> object:
    return send.c.once == f"chat:{task_id}"
