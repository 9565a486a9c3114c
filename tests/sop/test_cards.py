"""A reminder's buttons: pressed once or twice, in time or too late."""

from typing import Any

import pytest
from sqlalchemy import Connection

from scrm.app import EXECUTORS
from scrm.errors import Conflict
from scrm.events import event
from scrm.sop.members import cards, tasks
from scrm.sop.models import send
from scrm.work.models import work_item
from tests.fakes.deaths import killed_after, killed_before, revive
from tests.sop.shop import Shop, playbook_of, step


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """No SQL of its own: one database is enough."""
    return sqlite_url


ASK = playbook_of(step("ask", "T0+1h"))


async def remind(shop: Shop) -> dict[str, Any]:
    """One customer's task opens, and its member gets the card."""
    shop.services.worker.prepare(shop.services, EXECUTORS)
    await shop.run(ASK)
    await shop.add("小满")
    await shop.pass_time(hours=1)
    await shop.pass_time(minutes=5)
    (message,) = shop.wecom.called("message/send")
    card: dict[str, Any] = message["template_card"]
    return card


async def press(shop: Shop, card: dict[str, Any], key: str, code: str = "code-1", userid: str = "lina") -> bool:
    zone = shop.services.settings.shop.zone

    def act(conn: Connection) -> bool:
        return cards.press(
            conn,
            userid=userid,
            pressed=card["task_id"],
            key=key,
            response_code=code,
            zone=zone,
            now=shop.clock.now(),
        )

    answer = await shop.services.db.write(act)
    await shop.settle()
    return answer


def words(shop: Shop) -> list[str]:
    return [body["button"]["replace_name"] for body in shop.wecom.called("message/update_template_card")]


async def test_done_ends_the_task_once_and_the_card_says_so(shop: Shop) -> None:
    card = await remind(shop)
    assert card["card_type"] == "button_interaction"
    assert [button["text"] for button in card["button_list"]] == ["打开待办", "已完成", "稍后"]
    assert await press(shop, card, "done", "code-1", "LINA")
    assert await press(shop, card, "done", "code-2")
    (row,) = await shop.tasks()
    assert row.state == "sent"
    assert words(shop) == ["已完成", "已完成"]
    body = shop.wecom.called("message/update_template_card")[0]
    assert (body["userids"], body["response_code"]) == (["LINA"], "code-1")
    assert len(await shop.rows(event, event.c.name == "task.sent")) == 1
    (kept,) = await shop.sends(send.c.kind == "chat")
    assert (kept.outcome, kept.reason) == ("sent", "员工在提醒卡片上点了「已完成」")
    assert await shop.steps() == {"ask": "done"}


async def test_later_puts_it_off_and_the_next_reminder_is_another_card(shop: Shop) -> None:
    card = await remind(shop)
    assert await press(shop, card, "later")
    assert await press(shop, card, "later", "code-2")
    (row,) = await shop.tasks()
    assert tasks.state_of(row, shop.clock.now()) == "postponed"
    assert words(shop) == ["已推迟到 12:05", "已推迟到 12:05"]
    await shop.pass_time(hours=1)
    await shop.pass_time(minutes=5)
    first, second = (body["template_card"]["task_id"] for body in shop.wecom.called("message/send"))
    assert first != second


@pytest.mark.parametrize("key", ["done", "later"])
async def test_a_stale_button_says_what_happened_instead(shop: Shop, key: str) -> None:
    card = await remind(shop)
    (row,) = await shop.tasks()
    await tasks.skip(shop.services, "lina", row.id)
    await press(shop, card, key)
    assert words(shop) == ["已跳过"]
    assert (await shop.tasks())[0].state == "skipped"


async def test_others_buttons_do_nothing(shop: Shop) -> None:
    card = await remind(shop)
    assert await press(shop, card, "done", userid="zoe")
    assert words(shop) == ["这条待办不存在"]
    assert not await press(shop, {"task_id": "survey-7"}, "done")
    assert not await press(shop, card, "unknown")
    assert (await shop.tasks())[0].state == "open"


async def test_a_code_that_was_used_is_as_good_as_done(shop: Shop) -> None:
    card = await remind(shop)
    shop.wecom.say("message/update_template_card", -1, 60140)
    await press(shop, card, "done")
    await shop.pass_time(seconds=3)
    assert len(words(shop)) == 2
    await shop.pass_time(minutes=30)
    assert len(words(shop)) == 2


async def test_what_expired_is_not_done(shop: Shop) -> None:
    card = await remind(shop)
    shop.clock.advance(hours=25)
    (row,) = await shop.tasks()
    with pytest.raises(Conflict):
        await shop.services.db.write(tasks.mark_done, "lina", row.id, shop.clock.now())
    await press(shop, card, "done")
    assert words(shop) == ["已过期"]


async def test_killed_around_the_call_the_buttons_are_greyed_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    card = await remind(shop)
    path = "message/update_template_card"
    with killed_before(monkeypatch, path):
        await press(shop, card, "later")
    assert words(shop) == []
    with killed_after(monkeypatch, path):
        await revive(shop.services)
        await shop.settle()
    # WeCom takes a code once: the repeat is told so, which is as good as done.
    shop.wecom.say(path, 60140)
    await revive(shop.services)
    await shop.settle()
    await shop.pass_time(minutes=10)
    assert words(shop) == ["已推迟到 12:05", "已推迟到 12:05"]
    assert await shop.rows(work_item) == []
