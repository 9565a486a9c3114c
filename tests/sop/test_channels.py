"""Suggestions, notices and what becomes of tasks that nobody does."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from scrm.errors import Conflict
from scrm.profiles.models import member
from scrm.sop.channels import channel_of
from scrm.sop.members import notices, tasks
from scrm.sop.members.notice_tables import notice
from scrm.sop.models import send, step_run
from scrm.sop.schema import Content, Step
from scrm.sop.shelf import house_of
from tests.fakes.deaths import killed_after, killed_before, revive
from tests.sop.shop import Shop, playbook_of, step

# What only runs through statements that other tests run on both.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

HELLO = Content(text="{{ nickname }} 最近用得怎么样？")


def suggest(**more: Any) -> Step:
    return step("care", "T0", "S", **({"content": HELLO} | more))


def tell(notify: Any, **more: Any) -> Step:
    return step(
        "tell", "T0", "I", content=Content(text="{{ nickname }} 申请了退款"), options={"notify": notify}, **more
    )


async def settle(shop: Shop, **by: float) -> None:
    """Like the server: the tick of the playbooks, then that of the notices."""
    shop.clock.advance(**by)
    await shop.settle()
    while await notices.tick(shop.services):
        await shop.settle()


# Suggestions ----------------------------------------------------------------------------------------------------------


@on_sqlite
async def test_a_suggestion_never_pings_does_not_hold_others_back_and_is_used_like_a_task(shop: Shop) -> None:
    await shop.run(playbook_of(suggest()), playbook_of(step("ask", "T0+1m"), key="other"))
    who = await shop.add()
    await shop.settle()
    (hint,) = await shop.services.db.read(tasks.list_for_contact, "lina", who.external_userid, shop.clock.now())
    assert (hint.kind, hint.text, hint.is_open) == ("suggestion", "小满 最近用得怎么样？", True)
    assert await shop.services.db.read(tasks.list_for_member, "lina", shop.clock.now()) == []
    await settle(shop, minutes=10)
    assert len(await shop.tasks()) == 2  # the other message was not put off by it
    assert [row["template_card"]["main_title"]["title"] for row in shop.wecom.called("message/send")] == [
        "小满等你跟进"
    ]
    said = await tasks.release(shop.services, "lina", hint.id)
    assert said.messages == [{"msgtype": "text", "text": {"content": "小满 最近用得怎么样？"}}]
    used = await tasks.confirm_sent(shop.services, "lina", hint.id, True)
    assert (used.state, used.word) == ("sent", "已发送")
    assert (await shop.steps())["care"] == "done"


@on_sqlite
async def test_a_hint_is_for_the_members_eyes_and_ends_when_nobody_uses_it(shop: Shop) -> None:
    await shop.run(playbook_of(suggest(content=None, options={"hint": "聊到时问一句收货地址"}, ttl=timedelta(days=3))))
    await shop.add("甲")
    await shop.add("乙")
    await shop.settle()
    first, _ = await shop.tasks()
    with pytest.raises(Conflict, match="提示"):
        await tasks.release(shop.services, "lina", first.id)
    used = await tasks.use_hint(shop.services, "lina", first.id)
    assert (used.word, await shop.sends(send.c.kind == "chat")) == ("已采用", [])
    await settle(shop, days=3, minutes=1)
    assert [row.state for row in await shop.tasks()] == ["sent", "expired"]
    assert {run.state for run in await shop.runs()} == {"done"}


# Notices --------------------------------------------------------------------------------------------------------------


async def test_an_urgent_notice_goes_out_at_once_to_each_once(shop: Shop) -> None:
    await shop.run(playbook_of(tell(["lina", "boss"]), priority="P0"))
    await shop.add()
    await settle(shop)
    assert [body["touser"] for body in shop.wecom.called("message/send")] == ["lina", "boss"]
    card = shop.wecom.called("message/send")[0]["textcard"]
    assert (card["title"], card["description"]) == ("步骤 tell", "小满 申请了退款")
    await settle(shop, minutes=40)
    assert len(shop.wecom.called("message/send")) == 2
    assert await shop.steps() == {"tell": "done"}
    assert {row.outcome for row in await shop.sends()} == {"sent"}


async def test_what_is_not_urgent_is_one_message_for_half_an_hour_and_waits_for_the_morning(shop: Shop) -> None:
    await shop.run(playbook_of(tell("owner")))
    for name in "甲乙丙":
        await shop.add(name)
    await settle(shop)
    assert shop.wecom.called("message/send") == []
    await settle(shop, minutes=3)
    (body,) = shop.wecom.called("message/send")
    assert body["textcard"]["title"] == "3 条客户提醒"
    assert body["textcard"]["description"].splitlines()[0] == "甲｜步骤 tell：甲 申请了退款"
    await shop.add("丁")
    await settle(shop, minutes=3)
    assert len(shop.wecom.called("message/send")) == 1  # told in this half hour already
    await settle(shop, minutes=30)
    assert len(shop.wecom.called("message/send")) == 2
    shop.clock.advance(hours=12)  # 22:36 in Shanghai
    await shop.add("戊")
    await settle(shop, minutes=3)
    assert len(shop.wecom.called("message/send")) == 2
    await settle(shop, hours=10, minutes=30)
    assert len(shop.wecom.called("message/send")) == 3


@on_sqlite
async def test_the_manager_is_the_leader_then_the_leader_of_the_department_then_the_settings(shop: Shop) -> None:
    await shop.run(playbook_of(tell("manager"), priority="P0"))
    rules = notices.Rules(house_of(shop.services))

    async def told(**leads: Any) -> list[str]:
        await shop.add()
        if leads:
            await shop.services.db.write(lambda conn: conn.execute(update(member).values(**leads)) and None)
        await shop.settle()
        await shop.services.db.write(notices.plan, rules, shop.clock.now())
        newest = (await shop.rows(notice))[-1]
        return [newest.userid, newest.state]

    assert await told() == ["", "none"]
    assert (await shop.rows(step_run))[-1].state == "failed"
    assert "playbooks.managers" in (await shop.rows(step_run))[-1].reason
    assert await told(leaders=["wang"]) == ["wang", "waiting"]
    rules = notices.Rules(rules.house, ("boss", "lina"))
    assert await told(leaders=["lina"]) == ["boss", "waiting"]


async def test_a_notice_of_which_nothing_is_known_is_repeated_with_the_duplicate_check(shop: Shop) -> None:
    await shop.run(playbook_of(tell("owner"), priority="P0"))
    await shop.add()
    shop.wecom.say("message/send", -1)
    await settle(shop)
    (row,) = await shop.sends()
    assert row.outcome == "failed"
    await settle(shop, seconds=5)
    first, *_, last = shop.wecom.called("message/send")
    assert last == first
    assert last["enable_duplicate_check"] == 1
    assert await shop.steps() == {"tell": "done"}


@on_sqlite
@pytest.mark.parametrize(("killed", "calls"), [(killed_before, 1), (killed_after, 2)])
async def test_killed_around_the_call_a_manager_is_told_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, killed: Any, calls: int
) -> None:
    await shop.run(playbook_of(tell("manager"), priority="P0"))
    await shop.add()
    await shop.services.db.write(lambda conn: conn.execute(update(member).values(leaders=["boss"])) and None)
    with killed(monkeypatch, "message/send"):
        await settle(shop)
    assert await shop.steps() != {"tell": "done"}
    await revive(shop.services)
    await settle(shop, minutes=5)
    await settle(shop, hours=1)
    told = shop.wecom.called("message/send")
    # The same words with the duplicate check: WeCom tells the manager once, however often they come.
    assert (len(told), len({str(body) for body in told})) == (calls, 1)
    assert (told[0]["touser"], told[0]["enable_duplicate_check"]) == ("boss", 1)
    assert await shop.steps() == {"tell": "done"}
    assert [row.outcome for row in await shop.sends()] == ["sent"]


# Overdue --------------------------------------------------------------------------------------------------------------


@on_sqlite
async def test_a_manager_hears_once_of_a_task_that_waits_past_half_its_time(shop: Shop) -> None:
    await shop.run(
        playbook_of(step("ask", "T0", ttl=timedelta(hours=4)), step("later", "T0+1m", options={"escalate": "none"}))
    )
    await shop.services.db.write(lambda conn: conn.execute(update(member).values(leaders=["boss"])) and None)
    await shop.add("小满")
    await settle(shop)
    await shop.services.db.write(lambda conn: conn.execute(update(member).values(leaders=["boss"])) and None)
    await settle(shop, hours=1)
    to_boss = lambda: [each for each in shop.wecom.called("message/send") if each["touser"] == "boss"]  # noqa: E731
    assert to_boss() == []
    await settle(shop, hours=1, minutes=1)
    (body,) = to_boss()
    assert body["textcard"]["title"] == "丽娜有一条待办还没确认"
    assert "客户：小满\n事项：步骤 ask" in body["textcard"]["description"]
    await settle(shop, hours=1)
    assert len(to_boss()) == 1


@pytest.mark.parametrize(
    ("letter", "options", "words"),
    [
        ("I", {}, "缺少 notify"),
        ("I", {"notify": {"role": "king"}}, "notify 要写"),
        ("I", {"notify": []}, "notify 要写"),
        ("T", {"escalate": "3d"}, "比 ttl 短"),
        ("T", {"escalate": "soon"}, "escalate"),
        ("S", {"hint": ""}, "hint"),
    ],
)
def test_an_author_reads_what_is_wrong(letter: str, options: dict[str, Any], words: str) -> None:
    made = step("ask", "T0", letter, content=HELLO, options=options, ttl=timedelta(hours=24))
    assert any(words in problem for problem in channel_of(letter).problems(made, ("late", "ttl")))
