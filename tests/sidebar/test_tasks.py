"""What a member does with a task beside the chat, by HTTP."""

import re
from typing import Any

import pytest
from yarl import URL

from scrm.sop.models import send, task
from tests.sidebar.conftest import Member, words
from tests.world import ANING, World

PAGE = f"/sidebar/contacts/{ANING}"


@pytest.fixture
async def task_id(world: World, lina: Member) -> int:
    """Three days after Aning added Lina, the playbook asks Lina to remind her."""
    await world.add(ANING, "lina")
    await world.pass_time(days=3)
    await world.pass_time(hours=1, minutes=30)
    (row,) = await world.rows(task, task.c.external_userid == ANING)
    return int(row.id)


async def state_of(world: World, task_id: int) -> Any:
    (row,) = await world.rows(task, task.c.id == task_id)
    return row


async def test_the_task_stands_on_top_with_one_green_button(lina: Member, task_id: int) -> None:
    html = await lina.page(PAGE)
    said = words(html)
    assert "新客欢迎与首单 · 第 3 步" in said
    assert "前" in said
    assert "就到期了" in said
    assert "新人券 ¥30｜满 199 元可用" in said
    visible = [tag for tag in re.findall(r"<button[^>]*data-tone=\"main\"[^>]*>", html) if "hidden" not in tag]
    assert len(visible) == 1


async def test_one_tap_releases_and_reports(world: World, lina: Member, task_id: int) -> None:
    response = await lina.tap(f"/sidebar/tasks/{task_id}/release")
    assert response.status == 200
    messages = (await response.json())["messages"]
    assert [message["msgtype"] for message in messages] == ["text", "news"]
    assert messages[1]["news"]["link"].startswith("https://crm.example.test/c/")
    html = await lina.press(f"/sidebar/tasks/{task_id}/sending", ok="true")
    assert "已发送" in words(html)
    assert 'id="tasks-count" hx-swap-oob="true"></span>' in html
    assert (await state_of(world, task_id)).state == "sent"
    (row,) = await world.rows(send, send.c.kind == "chat")
    assert row.outcome == "sent"
    assert "李娜发送了消息" in words(await lina.page(PAGE))


async def test_a_second_tap_sends_nothing_twice(lina: Member, task_id: int) -> None:
    assert (await lina.tap(f"/sidebar/tasks/{task_id}/release")).status == 200
    again = await lina.tap(f"/sidebar/tasks/{task_id}/release")
    assert again.status == 409
    assert "正在发送" in (await again.json())["error"]["message"]
    await lina.tap(f"/sidebar/tasks/{task_id}/sending", ok=True)
    late = await lina.tap(f"/sidebar/tasks/{task_id}/release")
    assert "已经发送过了" in (await late.json())["error"]["message"]


async def test_the_members_own_words_go_out(lina: Member, task_id: int) -> None:
    response = await lina.tap(f"/sidebar/tasks/{task_id}/release", text="阿宁，券快到期啦")
    assert (await response.json())["messages"][0]["text"]["content"] == "阿宁，券快到期啦"


@pytest.mark.parametrize("text", ["", "  \n", "长" * 2001])
async def test_words_that_cannot_be_sent_are_refused_with_the_reason(lina: Member, task_id: int, text: str) -> None:
    response = await lina.tap(f"/sidebar/tasks/{task_id}/release", text=text)
    assert response.status == 422
    assert (await response.json())["error"]["message"]


async def test_what_the_client_refused_stays_open(world: World, lina: Member, task_id: int) -> None:
    await lina.tap(f"/sidebar/tasks/{task_id}/release")
    await lina.tap(f"/sidebar/tasks/{task_id}/sending", ok=False, error="sendChatMessage:fail no permission")
    assert (await state_of(world, task_id)).state == "open"
    (row,) = await world.rows(send, send.c.kind == "chat")
    assert (row.outcome, row.reason) == ("failed", "sendChatMessage:fail no permission")
    assert (await lina.tap(f"/sidebar/tasks/{task_id}/release")).status == 200


async def test_an_outcome_that_never_came_is_asked_for(lina: Member, task_id: int) -> None:
    await lina.tap(f"/sidebar/tasks/{task_id}/release")
    said = words(await lina.page(PAGE))
    assert "还不知道有没有发出" in said
    assert "没有发出" in said
    assert "发送到聊天" not in said
    said = words(await lina.press(f"/sidebar/tasks/{task_id}/sending", ok="", error="员工看过聊天"))
    assert "发送到聊天" in said


async def test_a_task_whose_time_is_over_says_so_at_the_tap(world: World, lina: Member, task_id: int) -> None:
    world.clock.advance(days=2)
    response = await lina.tap(f"/sidebar/tasks/{task_id}/release")
    assert response.status == 409
    said = words(await lina.page(f"{PAGE}/now?task={task_id}", htmx=True))
    assert "已过期" in said


async def test_a_customer_who_left_gets_nothing(world: World, lina: Member, task_id: int) -> None:
    await world.lose("del_follow_user", ANING)
    response = await lina.tap(f"/sidebar/tasks/{task_id}/release")
    assert response.status == 409
    assert "客户已不是李娜的好友" in (await response.json())["error"]["message"]


async def test_a_skip_has_a_reason_and_can_be_undone(world: World, lina: Member, task_id: int) -> None:
    said = words(await lina.press(f"/sidebar/tasks/{task_id}/skip", reason="已经聊过了"))
    assert "已跳过" in said
    assert "已经聊过了" in said
    assert "撤销" in said
    assert "发送到聊天" in words(await lina.press(f"/sidebar/tasks/{task_id}/skip", method="DELETE"))
    await lina.press(f"/sidebar/tasks/{task_id}/skip", reason="现在不合适")
    world.clock.advance(minutes=11)
    response = await lina.tap(f"/sidebar/tasks/{task_id}/skip", method="DELETE")
    assert response.status == 409


async def test_a_postponed_task_says_when_it_comes_back(world: World, lina: Member, task_id: int) -> None:
    html = await lina.page(PAGE)
    found = re.search(r"hx-vals='\{\"until\": \"([^\"]+)\"\}'[^>]*>1 小时后", html)
    assert found
    said = words(await lina.press(f"/sidebar/tasks/{task_id}/postpone", until=found[1]))
    assert "已推迟 到 今天" in said or "已推迟到 今天" in said
    await world.pass_time(hours=1, minutes=1)
    assert "发送到聊天" in words(await lina.page(PAGE))


@pytest.mark.parametrize("until", ["", "soon", "2026-03-05T10:00:00", "1e400", "-1"])
async def test_a_moment_that_is_none_is_refused(lina: Member, task_id: int, until: str) -> None:
    response = await lina.tap(f"/sidebar/tasks/{task_id}/postpone", until=until)
    assert response.status == 422


async def test_a_task_is_its_members_alone(lina: Member, wanghao: Member, task_id: int) -> None:
    assert (await wanghao.get(f"/sidebar/tasks/{task_id}")).status == 404
    for path in ("release", "sending", "skip"):
        assert (await wanghao.tap(f"/sidebar/tasks/{task_id}/{path}")).status == 404
    refused = await wanghao.get(f"{PAGE}/now?task={task_id}", htmx=True)
    assert refused.status == 403
    assert "就到期了" not in await refused.text()


async def test_without_the_pages_proof_nothing_is_written(world: World, lina: Member, task_id: int) -> None:
    forged = Member(world, "lina", lina.token, "guessed")
    assert (await forged.tap(f"/sidebar/tasks/{task_id}/skip")).status == 403
    assert (await state_of(world, task_id)).state == "open"


async def test_the_day_lists_what_waits_and_the_reminders_link_leads_there(
    world: World, lina: Member, task_id: int
) -> None:
    said = words(await lina.page("/sidebar/today"))
    assert "0 / 1" in said
    assert "阿宁" in said
    (reminder,) = world.wecom.called("message/send")
    link = reminder["template_card"]["card_action"]["url"].removeprefix("https://crm.example.test")
    response = await lina.get(link)
    while response.status == 302:
        link = response.headers["Location"]
        response = await lina.get(link)
    assert link == f"{PAGE}?task={task_id}"
    assert "发送到聊天" in await response.text()


async def test_an_empty_day_says_what_will_come(lina: Member) -> None:
    said = words(await lina.page("/sidebar/today"))
    assert "今天没有待办了" in said
    assert "企业微信会提醒你" in said


async def test_a_body_that_is_no_object_is_refused(world: World, lina: Member, task_id: int) -> None:
    for body in ("[1]", "{", "null"):
        response = await world.client.post(
            f"/sidebar/tasks/{task_id}/release",
            data=body,
            headers={
                "Cookie": f"scrm_session={lina.token}",
                "X-CSRF": lina.csrf,
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
        )
        assert response.status == 422
    assert (await lina.get(f"/sidebar/contacts/{ANING}/now")).status == 200


@pytest.mark.parametrize(
    "until",
    ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-12:00", "²", "9" * 40, "253402300799", "0", "2026-03-09"],
)
async def test_a_moment_that_nobody_means_is_no_moment(lina: Member, task_id: int, until: str) -> None:
    response = await lina.tap(f"/sidebar/tasks/{task_id}/postpone", until=until)
    assert response.status == 422
    assert "没有看懂推迟到什么时候" in (await response.json())["error"]["message"]


@pytest.mark.parametrize("number", ["%C2%B2", "9" * 30, "-1", "x"])
async def test_a_task_that_cannot_be_is_no_task_to_show(lina: Member, task_id: int, number: str) -> None:
    response = await lina.get(URL(f"{PAGE}/now?task={number}", encoded=True))  # type: ignore[arg-type]
    assert response.status == 200


async def test_what_cannot_be_kept_is_refused_in_one_line(lina: Member, task_id: int) -> None:
    for text in ("您好\0", "您好\ud800"):
        response = await lina.tap(f"/sidebar/tasks/{task_id}/release", text=text)
        assert response.status == 422
        assert "“text”含有无法保存的字符" in (await response.json())["error"]["message"]
    headers = {"Cookie": f"scrm_session={lina.token}", "X-CSRF": lina.csrf}
    path = f"/sidebar/tasks/{task_id}/skip"
    response = await lina.world.client.post(path, data={"reason": "不\0用"}, headers=headers)
    assert response.status == 422


async def test_a_task_says_why_it_is_there(lina: Member, wanghao: Member, task_id: int) -> None:
    why = f"{PAGE}/tasks/{task_id}/why"
    assert f'hx-get="{why}"' in await lina.page(PAGE)
    said = words(await lina.page(why, htmx=True))
    assert "起因 客户添加了员工" in said
    assert "进入 新客欢迎与首单" in said
    assert "轮到这一步" in said
    assert (await wanghao.get(why, htmx=True)).status == 403
    assert (await lina.get(f"{PAGE}/tasks/{task_id + 1}/why", htmx=True)).status == 404
