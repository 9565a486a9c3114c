"""What a member's day reads and writes, on both databases."""

import re

from scrm.sop.models import send
from tests.sidebar.conftest import Member, words
from tests.sidebar.test_contact import order, save
from tests.sidebar.test_today import queue, state
from tests.world import ANING, XIAOMAN, World

__all__ = ["queue"]


async def test_done_in_the_list_counts_and_can_be_taken_back(world: World, lina: Member, queue: dict[str, int]) -> None:
    path = f"/sidebar/today/tasks/{queue['soon']}"
    html = await lina.press(f"{path}/done")
    assert "已发送" in words(html)
    assert "撤销" in html
    assert "1 / 3" in words(html)
    assert 'id="today-progress" hx-swap-oob="true"' in html
    (row,) = await world.rows(send, send.c.task_id == queue["soon"])
    assert (row.outcome, row.reason) == ("sent", "员工在今日待办里点了「已完成」")
    assert "催付提醒" not in "".join(re.findall(r'errand-title">([^<]+)', await lina.page("/sidebar/today")))
    back = await lina.press(f"{path}/undo")
    assert "0 / 3" in words(back)
    assert await state(world, queue["soon"]) == "open"
    (row,) = await world.rows(send, send.c.task_id == queue["soon"])
    assert row.outcome == "failed"
    assert "李娜发送了消息" not in words(await lina.page(f"/sidebar/contacts/{XIAOMAN}"))
    # And again, as if it had never been.
    await lina.press(f"{path}/done")
    world.clock.advance(minutes=11)
    assert "只能在处理后的 10 分钟内撤销" in await lina.press(f"{path}/undo")


async def test_sales_after_a_message_are_told(world: World, lina: Member, queue: dict[str, int]) -> None:
    await lina.press(f"/sidebar/today/tasks/{queue['soon']}/done")
    world.clock.advance(minutes=5)
    await save(world, order("2", 0, world.clock.now()))
    assert "联系过的客户里 1 位随后下单，共 ¥256.00" in words(await lina.page("/sidebar/today"))


async def test_a_missed_welcome_is_made_up_for(world: World, lina: Member) -> None:
    world.wecom.say("externalcontact/send_welcome_msg", {"errcode": 41050, "errmsg": "fail"})
    await world.add(ANING)
    html = await lina.page("/sidebar/today")
    assert "没收到欢迎语" in html
    said = words(await lina.page("/sidebar/today?show=welcomes"))
    assert "阿宁" in said
    assert "复制欢迎语" in said
    done = f"/sidebar/today/welcomes/{ANING}"
    assert "已打招呼" in await lina.press(f"{done}/done")
    assert "没收到欢迎语" not in await lina.page("/sidebar/today")
    assert "复制欢迎语" in words(await lina.press(f"{done}/undo"))


async def test_a_lost_customer_is_told_with_what_he_was_worth(world: World, lina: Member) -> None:
    await world.add()
    await save(world, order("1", 9, world.clock.now(), paid_fen=128600))
    world.clock.advance(days=3)
    await world.lose("del_follow_user", XIAOMAN)
    said = words(await lina.page("/sidebar/today?show=lost"))
    assert "小满 ¥1,286.00" in said
    assert "删除了你" in said
    assert "做了 4 天好友 · 1 单" in said
    path = f"/sidebar/today/lost/{XIAOMAN}"
    assert "撤销" in await lina.press(f"{path}/done")
    assert "流失客户" not in await lina.page("/sidebar/today")
    assert "删除了你" in await lina.press(f"{path}/undo")
