"""Steps that are mass messages: one message for all, confirmed by the member, and never to the wrong person."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from scrm.content.media.library import add_original
from scrm.mass_messages import dispatch, plan, results
from scrm.mass_messages.audience import Audience
from scrm.mass_messages.models import mass_message_part
from scrm.profiles.models import follow_user, member
from scrm.sop.channels import mass
from scrm.sop.mass import carry_out, making, recalling, watch
from scrm.sop.members import task_store
from scrm.sop.members.hand_over import hand_over
from scrm.sop.models import send, step_run
from scrm.sop.rehearsal.rehearse import run_tests
from scrm.sop.schema import Channel, Content, Step, Trigger, When
from scrm.sop.text.parse import parse_playbook
from scrm.work import queue
from tests.content.media.test_library import PNG
from tests.fakes.clock import FakeClock
from tests.fakes.deaths import killed_after, killed_before, revive
from tests.sop.mass_shop import TEXT, MassShop, leave, m_step, open_mass_shop
from tests.sop.shop import Customer, Shop, playbook_of


class Killed(BaseException):
    """The process ends here: nobody catches it."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def shop(database_url: str, clock: FakeClock, tmp_path: Path) -> AsyncIterator[MassShop]:
    async with open_mass_shop(database_url, clock, tmp_path) as shop:
        yield shop


# The SQL is tested on both databases elsewhere.
one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_a_wave_becomes_one_message_of_each_member_and_its_results_come_back(shop: MassShop) -> None:
    await shop.run(playbook_of(m_step()))
    people = await shop.crowd(5)
    others = await shop.crowd(2, "WuHao")
    await shop.settle()
    assert (await shop.states(), shop.made) == ({"intent": 7}, [])
    await shop.pass_time(seconds=61)
    assert sorted(len(made.deliveries) for made in shop.made) == [2, 5]
    await shop.pass_time(seconds=1)
    assert await shop.states() == {"waiting": 7}
    assert {row.state for row in await shop.runs()} == {"active"}
    await shop.sandbox.delete_member("c0-lina", "lina")
    mine = next(made for made in shop.made if made.userids == ["lina"])
    assert mine.text == "晴屿美妆秋季上新，我是lina"
    shop.confirm(mine.msgid)
    await shop.pass_time(minutes=3)
    assert await shop.states() == {"waiting": 2, "done": 4, "failed": 1}
    (failed,) = await shop.rows(step_run, step_run.c.state == "failed")
    assert (failed.reason, "confirmed_at" in failed.facts) == ("发送失败：非好友", True)
    ledger = {row.external_userid: row.outcome for row in await shop.sends(send.c.kind == "mass")}
    assert ledger == {who.external_userid: "sent" for who in people[1:]} | {people[0].external_userid: "failed"} | {
        who.external_userid: "waiting" for who in others
    }
    assert sorted(row.state for row in await shop.runs()) == ["active"] * 2 + ["done"] * 5
    assert all(count == 1 for count in shop.received.values())


async def test_after_a_kill_in_the_middle_there_is_still_one_message(
    shop: MassShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.run(playbook_of(m_step()))
    people = await shop.crowd(3)
    await shop.settle()
    with monkeypatch.context() as patch:
        # The batch closes, and the process dies before that is committed.
        patch.setattr(making, "change_batch", _die)
        with pytest.raises(Killed):
            await shop.pass_time(seconds=61)
    with monkeypatch.context() as patch:
        # WeCom has made the message, and the process dies before it knows.
        patch.setattr(dispatch, "_note_created", _die_later)
        with pytest.raises(Killed):
            await shop.settle()
    assert len(shop.made) == 1
    await shop.services.db.write(queue.release_all)
    # Somebody leaves while nobody knows whether the message exists.
    await shop.services.db.write(leave, shop, people[0], "客户已付款")
    for _ in range(8):
        await shop.pass_time(minutes=1)
    (living,) = shop.living
    assert {each.target for each in living.deliveries} == {who.external_userid for who in people[1:]}
    assert len(shop.made) == 2
    shop.confirm(living.msgid)
    await shop.pass_time(minutes=3)
    assert await shop.states() == {"done": 2, "skipped": 1}
    assert shop.received == {who.external_userid: 1 for who in people[1:]}


def _die(*args: Any, **more: Any) -> None:
    raise Killed


async def _die_later(*args: Any) -> None:
    raise Killed


async def test_who_leaves_before_the_member_confirms_gets_nothing_and_the_others_get_it_once(
    shop: MassShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.run(playbook_of(m_step()))
    people = await shop.crowd(4)
    await shop.settle()
    db = shop.services.db
    # While it gathers: simply taken out.
    assert await db.write(leave, shop, people[0], "订单已付款") == 1
    await shop.pass_time(seconds=61)
    (first,) = shop.made
    assert len(first.deliveries) == 3
    # While it waits for the member: stopped at WeCom, and the process dies before it is made again.
    assert await db.write(leave, shop, people[1], "订单已付款") == 1
    with monkeypatch.context() as patch:
        patch.setattr(recalling, "finish_recall", _die)
        with pytest.raises(Killed):
            await shop.services.worker.drain()
    assert first.is_cancelled
    await results.poll(shop.services)
    await db.write(queue.release_all)
    await shop.settle()
    assert shop.living == []
    # Before it is made again: left out of it.
    assert await db.write(leave, shop, people[2], "订单已付款") == 1
    await shop.pass_time(minutes=3)
    (living,) = shop.living
    assert [each.target for each in living.deliveries] == [people[3].external_userid]
    shop.confirm(living.msgid)
    # Confirmed: what is sent is sent, and nothing is made again.
    assert await db.write(leave, shop, people[3], "订单已付款") == 1
    await shop.pass_time(minutes=3)
    await shop.pass_time(hours=1)
    assert shop.received == {people[3].external_userid: 1}
    assert await shop.states() == {"skipped": 3, "done": 1}
    assert await shop.reasons() == {"订单已付款，群发已撤回", "撤回之前员工已确认，客户已收到"}
    assert len(shop.made) == 2


@one_database
async def test_all_who_wait_leave_and_nothing_is_made_again(shop: MassShop) -> None:
    await shop.run(playbook_of(m_step(), exit_if={"event": "order.paid"}))
    (who,) = await shop.crowd(1)
    await shop.settle()
    await shop.pass_time(seconds=61)
    await shop.happens("order.paid", who)
    await shop.settle()
    assert [made.is_cancelled for made in shop.made] == [True]
    assert (await shop.states(), await shop.reasons()) == ({"skipped": 1}, {"订单已付款，任务已撤回。"})
    assert [row.outcome for row in await shop.sends()] == ["none"]


async def test_what_the_member_does_not_confirm_in_time_is_reminded_of_then_taken_back(shop: MassShop) -> None:
    await shop.run(playbook_of(m_step(ttl=timedelta(hours=4))))
    await shop.crowd(2)
    await shop.settle()
    await shop.pass_time(seconds=61)
    (made,) = shop.made
    await shop.pass_time(hours=1, minutes=58)
    assert made.reminded == []
    await shop.pass_time(minutes=2)
    assert len(made.reminded) == 1
    await shop.pass_time(hours=2)
    assert (made.is_cancelled, await shop.states()) == (True, {"dropped": 2})
    assert await shop.reasons() == {"已过期：员工没有在有效期内确认"}
    assert {row.outcome for row in await shop.sends(send.c.kind == "mass")} == {"none"}
    assert {row.state for row in await shop.runs()} == {"done"}
    await shop.pass_time(hours=20)
    assert (len(shop.made), shop.received) == (1, {})


@one_database
@pytest.mark.parametrize(("killed", "reminded"), [(killed_before, 0), (killed_after, 1)])
async def test_killed_around_the_call_a_member_is_reminded_at_most_once(
    shop: MassShop, monkeypatch: pytest.MonkeyPatch, killed: Any, reminded: int
) -> None:
    await shop.run(playbook_of(m_step(ttl=timedelta(hours=4))))
    await shop.crowd(1)
    await shop.settle()
    await shop.pass_time(seconds=61)
    (made,) = shop.made
    with killed(monkeypatch, "externalcontact/remind_groupmsg_send"):
        await shop.pass_time(hours=2)
    await revive(shop.services)
    await shop.pass_time(minutes=30)
    assert len(made.reminded) == reminded
    (part,) = await shop.rows(mass_message_part)
    assert len(part.reminded) == 1
    shop.confirm(made.msgid)
    await shop.pass_time(hours=1)
    await shop.pass_time(minutes=3)
    assert await shop.states() == {"done": 1}


@one_database
@pytest.mark.parametrize("killed", [killed_before, killed_after])
async def test_killed_around_the_call_a_message_is_still_recalled(
    shop: MassShop, monkeypatch: pytest.MonkeyPatch, killed: Any
) -> None:
    await shop.run(playbook_of(m_step()))
    leaves, stays = await shop.crowd(2)
    await shop.settle()
    await shop.pass_time(seconds=61)
    (first,) = shop.made
    await shop.services.db.write(leave, shop, leaves, "订单已付款")
    with killed(monkeypatch, "externalcontact/cancel_groupmsg_send"):
        await shop.settle()
    assert first.is_cancelled == (killed is killed_after)
    await revive(shop.services)
    await shop.settle()
    await shop.pass_time(minutes=3)
    (living,) = shop.living
    assert first.is_cancelled
    assert [each.target for each in living.deliveries] == [stays.external_userid]
    assert len(shop.made) == 2


@one_database
@pytest.mark.parametrize(
    ("after", "state", "reason"),
    [
        ({"hours": 3, "minutes": 50}, "done", ""),
        # The server was down when the time ran out, and the member was faster than we were afterwards.
        ({"hours": 4, "minutes": 30}, "dropped", "已过期：员工在有效期后才确认，客户已收到"),
    ],
)
async def test_a_confirmation_after_its_time_counts_as_expired(
    shop: MassShop, after: dict[str, float], state: str, reason: str
) -> None:
    await shop.run(playbook_of(m_step(ttl=timedelta(hours=4))))
    await shop.crowd(1)
    await shop.settle()
    await shop.pass_time(seconds=61)
    shop.clock.advance(**after)
    shop.confirm(shop.made[0].msgid)
    await shop.pass_time(hours=3)
    await shop.pass_time(minutes=10)
    assert (await shop.states(), await shop.reasons()) == ({state: 1}, {reason})
    assert list(shop.received.values()) == [1]
    assert [row.outcome for row in await shop.sends(send.c.kind == "mass")] == ["sent"]


async def test_a_wave_that_costs_too_many_customers_goes_no_further_and_the_manager_is_told(shop: MassShop) -> None:
    await shop.run(playbook_of(m_step(), priority="P4"))
    first = await shop.crowd(10)
    waiting = await shop.crowd(2, "WuHao")
    await shop.settle()
    await shop.pass_time(seconds=61)
    shop.confirm(next(made for made in shop.made if made.userids == ["lina"]).msgid)
    await shop.pass_time(minutes=3)
    assert await watch.watch(shop.services) == 0
    await shop.services.db.write(_delete, first[0], shop.clock.now())
    assert await watch.watch(shop.services) == 1
    assert await watch.watch(shop.services) == 0
    later = await shop.crowd(1, "lina", start=50)
    await shop.pass_time(minutes=3)
    assert await shop.states() == {"done": 10, "dropped": len(waiting) + len(later)}
    assert "24 小时内 10 位客户收到，1 位删除了员工（10.0%，上限 1.0%），这一波已自动停发" in await shop.reasons()
    assert [made.userids for made in shop.living] == [["lina"]]
    (warning,) = await shop.sends(send.c.kind == "app_message")
    assert (warning.outcome, warning.content["body"]["touser"]) == ("sent", "WuHao|lina")


def _delete(conn: Connection, who: Customer, now: Any) -> None:
    pair = (follow_user.c.userid == who.userid) & (follow_user.c.external_userid == who.external_userid)
    conn.execute(follow_user.update().where(pair).values(ended_by="customer", ended_at=now))


@one_database
async def test_more_than_one_call_takes_are_several_messages_and_nobody_gets_two(
    shop: MassShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "MOST_IN_SLICE", 2)
    monkeypatch.setattr(making, "ADDRESSED_AT_ONCE", 1)
    # Two orders of one customer are two runs, half an hour apart, and still one message.
    await shop.run(playbook_of(m_step(options={"gather": "1h"}), trigger=Trigger("order.paid"), run_key="order"))
    people = [await shop.meet(f"c{number}") for number in range(5)]
    for number, who in enumerate([*people, people[0]]):
        await shop.happens("order.paid", who, key=f"tb/main/{number}", userid="lina")
    await shop.settle()
    await shop.pass_time(minutes=31)
    assert (await shop.states(), shop.made) == ({"intent": 6}, [])
    await shop.pass_time(minutes=30)
    assert sorted(len(made.deliveries) for made in shop.made) == [1, 2, 2]
    assert len({each.target for made in shop.made for each in made.deliveries}) == 5
    assert await shop.states() == {"waiting": 5, "skipped": 1}


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (Content("{{ shop }}的{{ staff }}祝您节日快乐"), {}, ""),
        (Content("{{ nickname|默认('亲') }}你好"), {}, "同一段话发给所有人，不能用“客户昵称”"),
        (Content("你好", ({"link": {"title": "{{ remark }}", "url": "https://a.test"}},)), {}, "不能用"),
        (Content("送你", ({"coupon": "new72h"},)), {}, "不能放每人一张的优惠券"),
        (Content("好" * 1400), {}, "文字超过 4000 字节"),
        (None, {}, "缺少 content"),
        (Content("好"), {"stop_at_losses": "many"}, "stop_at_losses 要写成百分比"),
        (Content("好"), {"stop_at_losses": "none", "gather": "30m"}, ""),
        (Content("好"), {"gather": "5h"}, "gather 要比 ttl 短"),
    ],
    ids=["staff and shop", "nickname", "remark in a link", "coupon", "long", "nothing", "losses", "options", "gather"],
)
def test_what_cannot_be_said_to_everybody_is_refused_in_words(
    content: Content | None, options: dict[str, Any], words: str
) -> None:
    one = Step("news", When(), Channel.MASS, content=content, ttl=timedelta(hours=4), options=options)
    problems = mass.problems(one, {"late", "ttl"})
    assert (words in "；".join(problems)) if words else problems == []
    assert len(mass.problems(one, set())) == len(problems) + 2


@one_database
async def test_a_mini_program_of_a_mass_message_has_its_cover_at_wecom(shop: MassShop) -> None:
    await add_original(shop.services, "封面.png", PNG)
    program = {"appid": "wx0123456789abcdef", "title": "秋季上新", "page": "pages/new.html", "picture": "封面.png"}
    await shop.run(playbook_of(m_step(content=replace(TEXT, attachments=({"miniprogram": program},)))))
    await shop.crowd(2)
    await shop.settle()
    await shop.pass_time(seconds=61)
    (made,) = shop.living
    (card,) = (each["miniprogram"] for each in made.attachments)
    assert (card["title"], card["page"]) == ("秋季上新", "pages/new")
    assert card["pic_media_id"]
    assert shop.sandbox.world.find_media(card["pic_media_id"], shop.clock.now()) is not None


@one_database
async def test_a_customer_who_is_handed_over_gets_the_takers_message_and_only_that(shop: MassShop) -> None:
    await shop.run(playbook_of(m_step(ttl=timedelta(hours=8))))
    people = await shop.crowd(2)
    await shop.settle()
    await shop.pass_time(seconds=61)
    moved, stays = people
    shop.sandbox.add_contact_seed("c0-lina", "WuHao")
    await shop.services.db.write(_hand_over, shop, moved)
    for _ in range(5):
        await shop.pass_time(minutes=1)
    assert {made.userids[0]: [each.target for each in made.deliveries] for made in shop.living} == {
        "lina": [stays.external_userid],
        "WuHao": [moved.external_userid],
    }
    for made in shop.living:
        shop.confirm(made.msgid, made.userids[0])
    await shop.pass_time(minutes=3)
    assert shop.received == {moved.external_userid: 1, stays.external_userid: 1}
    assert await shop.states() == {"done": 2}
    ledger = {row.external_userid: (row.userid, row.outcome) for row in await shop.sends(send.c.kind == "mass")}
    assert ledger == {moved.external_userid: ("WuHao", "sent"), stays.external_userid: ("lina", "sent")}


def _hand_over(conn: Connection, shop: Shop, who: Customer) -> None:
    now = shop.clock.now()
    conn.execute(member.insert().values(userid="WuHao", folded="wuhao", name="吴昊"))
    relation = {"userid": "WuHao", "external_userid": who.external_userid, "person_id": who.person_id}
    conn.execute(follow_user.insert().values(**relation, followed_at=now))
    hand_over(conn, shop.services, "lina", who.external_userid, "WuHao", now=now)


@one_database
async def test_who_had_his_share_of_mass_messages_is_left_out_before_the_call(shop: MassShop) -> None:
    await shop.run(playbook_of(m_step(), priority="P1"))
    full = await shop.meet("full")
    await plan.create(shop.services, Audience(userids=("lina",)), text="手工群发")
    await shop.settle()
    other = await shop.meet("other")
    for who in (full, other):
        await shop.publish("contact.added", who)
    await shop.settle()
    await shop.pass_time(seconds=61)
    assert [each.target for each in shop.made[-1].deliveries] == [other.external_userid]
    ends = {row.state: row.reason for row in await shop.rows(step_run)}
    assert ends == {"waiting": "", "dropped": "被频控放弃：这位客户本周期的群发次数已用完"}


async def test_several_ticks_at_once_make_one_message_for_each_customer(
    shop: MassShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "MOST_IN_SLICE", 5)
    monkeypatch.setattr(making, "ADDRESSED_AT_ONCE", 2)
    await shop.run(playbook_of(m_step()))
    people = await shop.crowd(12)
    for seconds in (0, 61, 1):
        shop.clock.advance(seconds=seconds)
        for _ in range(3):
            await asyncio.gather(*(shop.tick() for _ in range(4)), shop.services.worker.drain())
    assert sorted(len(made.deliveries) for made in shop.made) == [2, 5, 5]
    addressed = [each.target for made in shop.made for each in made.deliveries]
    assert sorted(addressed) == sorted(who.external_userid for who in people)
    # Everybody but one leaves at once, through two doors, while the ticks go on.
    leavers = people[1:]
    await asyncio.gather(
        *(shop.services.db.write(leave, shop, who, "订单已付款") for who in leavers),
        *(shop.services.db.write(_leave_again, shop, who) for who in leavers),
        *(shop.tick() for _ in range(3)),
        shop.services.worker.drain(),
    )
    for _ in range(4):
        await shop.pass_time(minutes=2)
    assert [[each.target for each in made.deliveries] for made in shop.living] == [[people[0].external_userid]]
    assert await shop.states() == {"waiting": 1, "skipped": 11}


def _leave_again(conn: Connection, shop: Shop, who: Customer) -> int:
    return task_store.withdraw_relation_tasks(
        conn, who.userid, who.external_userid, "客户删除了员工", now=shop.clock.now()
    )


@one_database
async def test_a_complaint_takes_back_what_waits_and_pauses_the_run(shop: MassShop) -> None:
    later = m_step("later", "D+9 10:00-11:00", content=Content("{{ shop }}：好久不见"))
    await shop.run(playbook_of(m_step(), later, priority="P3"))
    (who,) = await shop.crowd(1)
    await shop.settle()
    await shop.pass_time(seconds=61)
    await shop.happens("case.opened", who, key="case-1")
    await shop.pass_time(minutes=1)
    assert [made.is_cancelled for made in shop.made] == [True]
    assert [row.state for row in await shop.runs()] == ["paused"]
    assert await shop.states() == {"skipped": 1}


_AS_TEXT = """
playbook: pb-mass
title: 群发两次
priority: P3
trigger: {event: contact.added}
run_key: person
reentry: never
holdout: 0%
exit_if: {event: order.paid}
goal: {event: order.paid, within: 30d}
steps:
  - {id: a, at: D+1, window: "10:00-12:00", late: defer, ttl: 24h, channel: M, content: {text: "{{ shop }}你好"}}
  - {id: b, at: D+5, window: "10:00-12:00", late: drop, ttl: 4h, channel: M, gather: 10m, stop_at_losses: 2%,
     content: {text: "{{ shop }}再见"}}
tests:
  - name: the member confirms ten minutes after the window opens
    given: [contact.added @2026-03-01T10:00]
    staff: {confirms_after: 10m}
    expect: {sent: [a, b]}
  - name: nobody confirms
    given: [contact.added @2026-03-01T10:00]
    staff: {confirms_after: never}
    expect: {sent: [], expired: [a, b]}
  - name: paid while it waits
    given: [contact.added @2026-03-01T10:00, order.paid @2026-03-02T10:05]
    staff: {confirms_after: never}
    expect: {sent: [], withdrawn: [a]}
"""


async def test_an_author_tests_mass_messages_in_his_own_text() -> None:
    results = await run_tests(parse_playbook(_AS_TEXT, file_name="pb-mass.yaml"))
    assert [(result.name, result.problems) for result in results if result.problems] == []
    assert len(results) == 3


@one_database
async def test_a_confirmation_that_shows_late_is_not_made_again(
    shop: MassShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.run(playbook_of(m_step()))
    people = await shop.crowd(2)
    await shop.settle()
    await shop.pass_time(seconds=61)
    shop.confirm(shop.made[0].msgid)
    await shop.services.db.write(leave, shop, people[0], "订单已付款")
    with monkeypatch.context() as patch:
        # WeCom does not know yet what the member has just done.
        patch.setattr(carry_out, "_confirmed_at", _nothing)
        await shop.services.worker.drain()
    for _ in range(3):
        await shop.pass_time(minutes=2)
    assert (len(shop.made), set(shop.received.values()), await shop.states()) == (1, {1}, {"done": 2})


async def _nothing(*args: Any) -> None:
    return None
