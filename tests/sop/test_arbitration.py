"""Several playbooks want one customer: caps over all of them, brakes, queues, owners, and what a join makes of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from scrm.errors import Conflict
from scrm.events import Event, record
from scrm.joining import join
from scrm.profiles.merge import Act
from scrm.profiles.models import follow_user, follow_user_tag, member, person
from scrm.profiles.stop_list import add_to_stop_list
from scrm.profiles.store import save_member
from scrm.sop import ledger
from scrm.sop.guards import arbitration, house
from scrm.sop.guards.answers import HOLDOUT_FROM
from scrm.sop.members import owners, tasks
from scrm.sop.members.hand_over import HandedOver, hand_over
from scrm.sop.models import enrolment, step_run
from scrm.sop.reasons.explain import checks_of
from scrm.sop.schema import Caps, Playbook, Wait
from scrm.sop.shelf import house_of
from tests.sop.shop import Customer, Goal, Guards, Late, Shop, Trigger, at, playbook_of, step


def care(key: str, *steps: Any, **more: Any) -> Playbook:
    """A keyed P3 playbook with the house's guards: it does not queue, but it shares the caps."""
    values = {"trigger": Trigger("order.delivered"), "run_key": "order", "guards": Guards(), "title": f"剧本 {key}"}
    return playbook_of(*steps, key=key, **(values | more))


def journey(key: str, *steps: Any, **more: Any) -> Playbook:
    return playbook_of(*steps, key=key, **({"guards": Guards(), "title": f"旅程 {key}"} | more))


async def states(shop: Shop) -> dict[str, str]:
    return {run.playbook_key: run.state for run in await shop.runs()}


async def send_all(shop: Shop) -> None:
    for task in await shop.tasks():
        if task.state == "open":
            await tasks.release(shop.services, task.userid, task.id)
            await tasks.confirm_sent(shop.services, task.userid, task.id, ok=True)


async def tell(shop: Shop, name: str, who: Customer, key: str = "", **facts: Any) -> None:
    event = Event(name, shop.clock.now(), who.person_id, key=key, facts=facts)
    await shop.services.db.write(record, [event], now=shop.clock.now())


# Caps -----------------------------------------------------------------------------------------------------------------


async def test_of_two_marketing_steps_on_one_day_one_is_put_off_and_says_why(shop: Shop) -> None:
    """Scenario 13."""
    expiring = care("points", step("points", "D+1 10:00-11:00", ttl=timedelta(hours=30)))
    birthday = care("birthday", step("birthday", "D+1 15:00-16:00"), guards=Guards(value=100))
    await shop.run(expiring, birthday)
    who = await shop.meet()
    await shop.happens("order.delivered", who, key="taobao/shop/1")
    await shop.pass_until("03-03 10:59")
    waiting = next(run for run in await shop.runs() if run.playbook_key == "points")
    assert waiting.held_reason == "当天还有更重要的：“剧本 birthday”"
    assert waiting.due_at >= at("03-04 10:00")
    await shop.pass_until("03-03 16:00")
    await send_all(shop)
    assert [task.step_id for task in await shop.tasks()] == ["birthday"]
    await shop.pass_until("03-04 11:00")
    # A day after the other one would be 15:00, outside the window: its time to live is over by then.
    story = {row.step_id: (row.state, row.reason) for row in await shop.rows(step_run)}
    assert story["points"][0] == "dropped"
    assert story["points"][1].startswith("被频控放弃：3月3日 16:00 已有一条营销消息")


async def test_what_anybody_sent_counts_and_after_three_in_a_week_it_is_enough(shop: Shop) -> None:
    await shop.run(care("offer", step("offer", "T0+1h", ttl=timedelta(days=9))))
    who = await shop.meet()
    for day in (0, 1, 2):
        await tell(shop, "mass_message.sent", who, title="三月上新", origin="personal" if day else "corp")
        # What a step sends is counted with its step, not once more by its result.
        await tell(shop, "mass_message.sent", who, title="剧本的群发", origin="playbook")
        shop.clock.advance(days=1)
    await shop.happens("order.delivered", who, key="taobao/shop/1")
    await shop.pass_time(hours=1)
    (run,) = await shop.runs()
    assert run.held_reason == "7 天内已发 3 次营销消息，上限 3 次"
    assert run.due_at == at("03-09 10:00")
    await shop.pass_until("03-09 10:00")
    (opened,) = await shop.tasks()
    (decided,) = await shop.rows(step_run)
    checks = {check.name: check.words for check in checks_of(decided.facts)}
    assert checks["频控"] == "上一条营销消息：3月4日 10:00，7 天内 2 次（上限 3 次），30 天内 3 次（上限 8 次）"
    assert all(check.ok for check in checks_of(decided.facts))
    assert opened.state == "open"


async def test_what_a_member_sends_by_hand_counts_but_not_what_a_customer_asked_for(shop: Shop) -> None:
    await shop.run(care("offer", step("offer", "T0+1h", ttl=timedelta(days=3))))
    for name, once in (("问订单的", "card:orders:7"), ("收到券的", "card:coupons:7")):
        who = await shop.meet(name)
        row = {"kind": "chat", "userid": "lina", "external_userid": who.external_userid, "once": f"{once}:{name}"}
        sent = row | {"decided_at": shop.clock.now(), "sent_at": shop.clock.now(), "outcome": "sent", "content": {}}
        await shop.services.db.write(ledger.add_send, sent)
        await shop.happens("order.delivered", who, key=f"taobao/shop/{name}")
    await shop.pass_time(hours=1)
    asked, given = await shop.runs()
    assert (asked.held_reason, given.held_reason) == (
        "",
        "3月2日 10:00 已有员工从侧边栏发的消息，24 小时内不再打扰",
    )
    assert [row.person_id for row in await shop.tasks()] == [asked.person_id]


async def test_a_notice_and_a_playbook_without_caps_are_not_held_back(shop: Shop) -> None:
    notice = care("notice", step("notice", "T0+1h"), priority="P1")
    loose = care("loose", step("loose", "T0+2h"), guards=Guards(cap="none"))
    tight = care("tight", step("tight", "T0+3h", late=Late.DROP), guards=Guards(cap=Caps(gap=timedelta(days=3))))
    await shop.run(notice, loose, tight)
    who = await shop.meet()
    await tell(shop, "mass_message.sent", who, title="三月上新", origin="own")
    await shop.happens("order.delivered", who, key="taobao/shop/1")
    await shop.pass_time(hours=1)
    await shop.pass_time(hours=1)
    await shop.pass_time(hours=1)
    assert await shop.steps() == {"notice": "waiting", "loose": "waiting", "tight": "dropped"}


async def test_at_the_tap_a_message_that_somebody_else_sent_meanwhile_puts_it_off(shop: Shop) -> None:
    await shop.run(care("offer", step("offer", "T0+1h", ttl=timedelta(days=3))))
    who = await shop.meet()
    await shop.happens("order.delivered", who, key="taobao/shop/1")
    await shop.pass_time(hours=1)
    (task,) = await shop.tasks()
    await tell(shop, "mass_message.sent", who, title="三月上新", origin="personal")
    with pytest.raises(Conflict, match="已有一条群发「三月上新」，24 小时内不再打扰。已推迟到 3月3日 11:00"):
        await tasks.release(shop.services, "lina", task.id)
    await shop.pass_time(hours=24)
    await tasks.release(shop.services, "lina", task.id)


# Refusals and the stop list -------------------------------------------------------------------------------------------


async def test_who_refuses_promotions_hears_no_marketing_but_his_notices(shop: Shop) -> None:
    """Scenario 18."""
    await shop.run(care("offer", step("offer", "T0+1h")), care("notice", step("notice", "T0+1h"), priority="P1"))
    who = await shop.meet()
    await shop.change(person, who.person_id, optout={"promo": True})
    await shop.happens("order.delivered", who, key="taobao/shop/1")
    await shop.pass_time(hours=1)
    assert await shop.steps() == {"offer": "skipped", "notice": "waiting"}


async def test_the_stop_list_and_its_tags_keep_people_out(shop: Shop) -> None:
    await shop.run(care("offer", step("offer", "T0+1h")), care("notice", step("notice", "T0+1h"), priority="P1"))
    listed, tagged = await shop.meet("同行"), await shop.meet("亲友")
    now = shop.clock.now()
    await shop.services.db.write(add_to_stop_list, listed.person_id, "black", note="", by="boss", now=now)
    carries = {"userid": "lina", "external_userid": tagged.external_userid, "tag_id": "et1", "tag_name": "员工亲友"}
    await shop.services.db.write(lambda conn: conn.execute(insert(follow_user_tag).values(**carries)) and None)
    for who in (listed, tagged):
        await shop.happens("order.delivered", who, key=f"taobao/shop/{who.person_id}")
    await shop.pass_time(hours=1)
    reasons = {(row.enrolment_id, row.step_id): row.reason for row in await shop.rows(step_run)}
    assert sorted(reason for reason in reasons.values() if reason) == [
        "客户在停发名单：标签“员工亲友”",
        "客户在停发名单：黑名单",
        "客户在停发名单：黑名单",
    ]
    (notice,) = await shop.tasks()
    assert notice.external_userid == tagged.external_userid


# Brakes ---------------------------------------------------------------------------------------------------------------


async def test_a_refund_pauses_marketing_and_a_week_after_it_the_run_goes_on_at_the_same_step(shop: Shop) -> None:
    """Scenario 4, with a task instead of a mass message."""
    steps = step("tips", "D+0 12:00-13:00"), step("offer", "D+2 10:00-11:00")
    await shop.run(
        journey("second", *steps), care("case", step("sorry", "T0"), trigger=Trigger("refund.opened"), priority="P0")
    )
    who = await shop.add()
    await shop.pass_until("03-02 13:00")
    (tips,) = await shop.tasks()
    await shop.happens("refund.opened", who, key="taobao/shop/1")
    await shop.settle()
    assert await states(shop) == {"second": "paused", "case": "done"} | {"case": (await states(shop))["case"]}
    (withdrawn,) = [task for task in await shop.tasks() if task.id == tips.id]
    assert (withdrawn.state, withdrawn.reason) == ("withdrawn", "客户有售后在处理，暂停营销，任务已撤回。")
    with pytest.raises(Conflict, match="暂停营销"):
        await tasks.release(shop.services, "lina", tips.id)
    await send_all(shop)
    await shop.pass_until("03-03 10:00")
    await shop.happens("refund.closed", who, key="taobao/shop/1")
    await shop.pass_until("03-10 09:59")
    assert (await states(shop))["second"] == "paused"
    await shop.pass_until("03-10 13:00")
    assert (await states(shop))["second"] == "active"
    again = [task for task in await shop.tasks() if task.step_id == "tips"]
    assert [task.state for task in again] == ["withdrawn", "open"]
    await send_all(shop)
    await shop.pass_until("03-12 11:00")
    assert [task.step_id for task in await shop.tasks()][-1] == "offer"


@pytest.mark.parametrize("when", ["while it is paused", "before it is paused"])
async def test_a_paused_run_that_was_inherited_goes_on_with_the_new_member(shop: Shop, when: str) -> None:
    """Operational A, with a case in the middle of it."""
    await shop.run(journey("second", step("tips", "D+0 12:00-13:00"), step("offer", "D+2 10:00")))
    who = await shop.add()
    await shop.services.db.write(save_member, "meiqi", name="梅琪", now=shop.clock.now())
    await shop.pass_until("03-02 13:00")

    async def inherit() -> HandedOver:
        def write(conn: Connection) -> HandedOver:
            conn.execute(update(follow_user).where(follow_user.c.userid == "lina").values(userid="meiqi"))
            return hand_over(conn, shop.services, "lina", who.external_userid, "meiqi", now=shop.clock.now())

        return await shop.services.db.write(write)

    if when == "before it is paused":
        # A tap that nobody confirmed was the old member's: it does not keep the new one waiting.
        (tapped,) = await shop.tasks()
        await tasks.release(shop.services, "lina", tapped.id)
        assert await inherit() == HandedOver(runs=1, tasks=1)
        assert [(row.userid, row.released_at) for row in await shop.tasks()] == [("meiqi", None)]
    await shop.happens("refund.opened", who, key="taobao/shop/1")
    await shop.settle()
    assert [task.state for task in await shop.tasks()] == ["withdrawn"]
    if when == "while it is paused":
        assert await inherit() == HandedOver(runs=1, tasks=0)
    assert await inherit() == HandedOver(runs=0, tasks=0)
    (run,) = await shop.runs()
    assert (run.state, run.userid) == ("paused", "meiqi")
    await shop.happens("refund.closed", who, key="taobao/shop/1")
    await shop.pass_until("03-09 15:00")
    (_, again) = await shop.tasks()
    assert (again.userid, again.state, again.text) == ("meiqi", "open", "tips: 小满，我是梅琪")
    await send_all(shop)
    await shop.pass_until("03-12 11:00")
    assert [(task.step_id, task.userid) for task in await shop.tasks()][-1] == ("offer", "meiqi")


async def test_a_refund_of_long_ago_that_an_import_brings_pauses_nothing(shop: Shop) -> None:
    await shop.run(journey("second", step("offer", "T0+1h")))
    who = await shop.add()
    await shop.happens("refund.opened", who, key="taobao/shop/1", facts={"historic": True})
    await shop.pass_time(hours=1)
    assert (await states(shop), await shop.steps()) == ({"second": "active"}, {"offer": "waiting"})


async def test_a_pause_makes_a_wait_longer_by_its_own_length(shop: Shop) -> None:
    wait = Wait("paid", timedelta(days=3), "order.paid", came=())
    await shop.run(replace(journey("first", step("ask", "T0+1h")), parts=(wait,)))
    who = await shop.add()
    await shop.pass_time(hours=20)
    await shop.happens("refund.opened", who, key="taobao/shop/1")
    await shop.pass_time(hours=4)
    await shop.happens("refund.closed", who, key="taobao/shop/1")
    await shop.pass_time(days=7, hours=1)
    (run,) = await shop.runs()
    # Of its three days twenty hours were over.
    assert (run.state, run.awaits) == ("active", "order.paid")
    assert run.due_at - shop.clock.now() == timedelta(days=3) - timedelta(hours=20)


async def test_a_case_that_takes_too_long_ends_what_it_paused(shop: Shop) -> None:
    await shop.run(journey("second", step("offer", "D+2 10:00-11:00")))
    who = await shop.add()
    await shop.happens("refund.opened", who, key="taobao/shop/1")
    await shop.pass_time(days=14, hours=7)
    (run,) = await shop.runs()
    assert (run.state, run.ended_reason) == ("exited", "暂停超过 14 天")
    assert await shop.tasks() == []


async def test_what_stands_still_ends_when_its_event_comes_not_when_it_would_go_on(shop: Shop) -> None:
    goal = Goal("order.paid", timedelta(days=30))
    later = step("later", "D+5 10:00-11:00")
    exit_if = {"event": "coupon.redeemed"}
    await shop.run(journey("first", later, goal=goal), journey("second", later, exit_if=exit_if, priority="P4"))
    who, lost = await shop.add(), await shop.add("走了")
    await shop.happens("refund.opened", who, key="taobao/shop/1")
    await shop.happens("coupon.redeemed", who, key="C1")
    await shop.happens("order.paid", who, key="taobao/shop/2")
    await shop.lose(lost)
    ended = [(run.state, run.ended_reason, run.look_at, run.held_reason) for run in await shop.runs()]
    assert ended[:2] == [("goal", "订单已付款", None, ""), ("exited", "优惠券已核销", None, "")]
    assert {run[0] for run in ended[2:]} == {"exited"}


async def test_what_a_paused_run_waits_for_is_noticed_and_its_times_count_from_the_end_of_the_pause(shop: Shop) -> None:
    wait = Wait("paid", timedelta(days=3), "order.paid", came=(step("thanks", "T0+1h"),))
    await shop.run(replace(journey("first", step("thanks", "T0+1h")), parts=(wait,)))
    who = await shop.add()
    await shop.settle()
    await shop.happens("refund.opened", who, key="taobao/shop/1")
    await shop.pass_time(hours=1)
    await shop.happens("order.paid", who, key="taobao/shop/2")
    (run,) = await shop.runs()
    assert (run.state, run.awaits, run.arms) == ("paused", "", {"paid": "等到了"})
    await shop.happens("refund.closed", who, key="taobao/shop/1")
    await shop.pass_until("03-09 11:59")
    assert await shop.tasks() == []
    await shop.pass_until("03-09 12:10")
    assert [task.step_id for task in await shop.tasks()] == ["thanks"]


async def test_while_a_promotion_speaks_journeys_wait_and_go_on_after_it(shop: Shop) -> None:
    """Section 4 of the playbooks: a great promotion."""
    days = {"promotions": [["2026-03-03", "2026-03-06"]]}
    await shop.services.db.write(house.save, days, by="boss", now=shop.clock.now())
    await shop.run(
        care("tips", step("tips", "D+1 10:00-11:00", ttl=timedelta(hours=4))),
        care("sale", step("sale", "D+1 10:00-11:00"), priority="P4"),
        care("parcel", step("parcel", "D+1 10:00-11:00"), priority="P1"),
    )
    who = await shop.meet()
    await shop.happens("order.delivered", who, key="taobao/shop/1")
    await shop.pass_until("03-03 12:00")
    assert await shop.steps() == {"parcel": "waiting", "sale": "waiting"}
    (run,) = await shop.runs(enrolment.c.playbook_key == "tips")
    assert (run.state, run.look_at - run.paused_at) == ("paused", timedelta(days=4))
    assert run.held_reason == "大促期间（到 3月6日），生命周期的营销等结束再接着走"
    await shop.happens("order.completed", who, key="taobao/shop/1")  # looks at what is held
    await shop.pass_until("03-07 09:59")
    assert (await states(shop))["tips"] == "paused"
    await shop.pass_until("03-07 12:00")
    assert (await shop.steps())["tips"] == "waiting"


async def test_nobody_is_advertised_to_while_he_talks_with_us(shop: Shop) -> None:
    await shop.run(care("offer", step("offer", "T0+1h")))
    who = await shop.meet()
    await shop.happens("order.delivered", who, key="taobao/shop/1")
    await tell(shop, "talk.answered", who)  # what was asked before
    shop.clock.advance(minutes=50)
    await tell(shop, "kf.message", who)
    await shop.pass_time(minutes=10)
    (run,) = await shop.runs()
    assert (run.held_reason, run.due_at) == ("客户 3月2日 10:50 刚说过话", at("03-02 12:50"))
    await tell(shop, "talk.noted", who)
    await shop.pass_until("03-02 15:30")
    assert await shop.tasks() == []
    await tell(shop, "talk.answered", who)
    await shop.pass_until("03-02 17:30")
    assert len(await shop.tasks()) == 1


async def test_after_a_day_of_downtime_nobody_gets_a_burst(shop: Shop) -> None:
    """Scenario 14."""
    fits, late = step("fits", "T0+1h", ttl=timedelta(hours=72)), step("late", "T0+2h", ttl=timedelta(hours=4))
    await shop.run(care("a", fits), care("b", late), care("c", replace(fits, id="third")))
    who = await shop.meet()
    await shop.happens("order.delivered", who, key="taobao/shop/1")
    await shop.pass_time(hours=26)
    assert await shop.steps() == {"fits": "waiting", "late": "dropped"}
    await shop.pass_until("03-04 18:00")
    assert await shop.steps() == {"fits": "waiting", "late": "dropped", "third": "waiting"}
    opened = [task.created_at for task in await shop.tasks()]
    assert opened[1] - opened[0] >= timedelta(hours=24)


# One journey at a time ------------------------------------------------------------------------------------------------


async def test_journeys_come_one_after_the_other_and_count_from_their_turn(shop: Shop) -> None:
    """Scenario 1."""
    first = journey(
        "first", step("hello", "T0+1h"), step("offer", "D+2 10:00-11:00"), goal=Goal("order.paid", timedelta(days=7))
    )
    second = journey("second", step("care", "D+1 10:00-11:00"), priority="P4")
    await shop.run(first, second)
    await shop.add()
    assert await states(shop) == {"first": "active", "second": "queued"}
    await shop.pass_until("03-02 12:00")
    await send_all(shop)
    await shop.pass_until("03-04 12:00")
    # The first has nothing more to say; that it still waits for its goal keeps nobody waiting.
    assert await states(shop) == {"first": "active", "second": "active"}
    await send_all(shop)
    # Its first day would be the 5th; what the first one sent at noon on the 4th keeps it off until the 6th.
    await shop.pass_until("03-06 12:00")
    assert [task.step_id for task in await shop.tasks()] == ["hello", "offer", "care"]


async def test_of_those_who_queue_the_more_important_one_comes_first(shop: Shop) -> None:
    ask = step("ask", "T0+1h")
    await shop.run(journey("first", ask), journey("promotion", ask, priority="P4"))
    who = await shop.add()
    later = journey("care", ask, trigger=Trigger("contact.confirmed"))
    await shop.run(later)
    await shop.happens("contact.confirmed", who)
    assert await states(shop) == {"first": "active", "promotion": "queued", "care": "queued"}
    await shop.pass_time(hours=1)
    await send_all(shop)
    await shop.pass_time(hours=1)
    assert await states(shop) == {"first": "done", "promotion": "queued", "care": "active"}


async def test_whose_turn_comes_is_asked_again_and_nobody_waits_for_ever(shop: Shop) -> None:
    endless = journey("endless", step("often", "D+40"))
    picky = journey(
        "picky", step("offer", "T0+1h"), priority="P4", enter_if={"field": "person.paid_orders", "op": "eq", "value": 0}
    )
    await shop.run(endless, picky)
    who = await shop.add()
    await shop.pass_time(days=14, hours=1)
    runs = {run.playbook_key: run for run in await shop.runs()}
    assert (runs["picky"].state, runs["picky"].ended_reason) == ("exited", "排队超过 14 天")
    assert who.person_id == runs["endless"].person_id
    await shop.run(replace(picky, key="other"))
    await shop.happens("contact.added", who)
    await shop.set_stat(who, paid_orders=1)
    await shop.services.db.write(
        lambda conn: (
            conn.execute(update(enrolment).where(enrolment.c.playbook_key == "endless").values(state="done")) and None
        )
    )
    await shop.pass_time(hours=1)
    runs = {run.playbook_key: run for run in await shop.runs()}
    assert (runs["other"].state, runs["other"].ended_reason) == ("exited", "重新检查时已不符合进入条件")


# Owners ---------------------------------------------------------------------------------------------------------------


async def follow_too(shop: Shop, who: Customer, userid: str) -> Customer:
    now = shop.clock.now()
    values = {"userid": userid, "external_userid": who.external_userid, "person_id": who.person_id, "followed_at": now}
    await shop.services.db.write(lambda conn: conn.execute(insert(follow_user).values(remark="", **values)) and None)
    name = {"userid": userid, "folded": userid, "name": "王五", "alias": "小五"}
    if not await shop.rows(member, member.c.folded == userid):
        await shop.services.db.write(lambda conn: conn.execute(insert(member).values(**name)) and None)
    return replace(who, userid=userid)


async def test_the_owner_speaks_else_who_talked_last_else_who_was_added_first(shop: Shop) -> None:
    who = await shop.meet()
    shop.clock.advance(hours=1)
    other = await follow_too(shop, who, "wangwu")

    async def speaker() -> str:
        owner = await shop.services.db.read(owners.owner_of, who.person_id)
        assert owner is not None
        return owner.userid

    assert await speaker() == "lina"
    await shop.run(playbook_of(step("hi", "T0")))
    await shop.happens("contact.added", other)
    await shop.settle()
    await send_all(shop)
    assert await speaker() == "wangwu"
    await shop.services.db.write(owners.set_owner, who.person_id, "LINA")
    assert await speaker() == "lina"
    await shop.lose(who)
    assert await speaker() == "wangwu"


async def test_when_a_member_is_deleted_only_who_spoke_before_goes_on(shop: Shop) -> None:
    """Scenario 9, and the rule for colleagues."""
    await shop.run(playbook_of(step("hi", "T0"), step("later", "D+1 10:00-11:00")))
    who = await shop.add()
    await follow_too(shop, who, "wangwu")
    await shop.settle()
    await shop.lose(who)
    (run,) = await shop.runs()
    assert (run.state, {task.state for task in await shop.tasks()}) == ("exited", {"withdrawn"})
    known = await shop.add("熟客")
    colleague = await follow_too(shop, known, "wangwu")
    await shop.run(playbook_of(step("once", "T0"), key="talk", trigger=Trigger("order.paid")))
    await shop.services.db.write(owners.set_owner, known.person_id, "wangwu")
    await shop.happens("order.paid", known, key="taobao/shop/9")
    await shop.settle()
    await shop.pass_time(minutes=40)
    await send_all(shop)
    await shop.lose(known, handled=False)
    shop.clock.advance(days=1)
    await shop.tick()  # the step is due, and the event of the loss still waits
    assert not [task for task in await shop.tasks() if task.step_id == "later" and task.person_id == known.person_id]
    await shop.services.worker.drain()
    (goes_on,) = [run for run in await shop.runs() if run.person_id == known.person_id and run.playbook_key != "talk"]
    assert (goes_on.state, goes_on.userid) == ("active", colleague.userid)


async def test_of_several_colleagues_the_one_who_spoke_last_goes_on(shop: Shop) -> None:
    await shop.run(playbook_of(step("hi", "T0"), step("later", "D+2 10:00-11:00")))
    known = await shop.add("熟客")
    await shop.run(playbook_of(step("once", "T0"), key="talk", trigger=Trigger("order.paid")))
    for number, userid in enumerate(("wangwu", "amy", "wangwu")):
        if userid not in {relation.userid for relation in await shop.rows(follow_user)}:
            await follow_too(shop, known, userid)
        await shop.services.db.write(owners.set_owner, known.person_id, userid)
        await shop.happens("order.paid", known, key=f"taobao/shop/{number}")
        await shop.settle()
        await shop.pass_time(minutes=40)
        await send_all(shop)
    await shop.services.db.write(owners.set_owner, known.person_id, "lina")
    await shop.lose(known)
    (goes_on,) = [run for run in await shop.runs() if run.playbook_key != "talk"]
    assert (goes_on.state, goes_on.userid) == ("active", "wangwu")


# Joining and holdout --------------------------------------------------------------------------------------------------


async def test_of_two_persons_in_one_playbook_the_further_run_goes_on_and_caps_count_both(shop: Shop) -> None:
    """Scenario 16."""
    await shop.run(journey("second", step("tips", "T0"), step("offer", "D+1 12:00-13:00", ttl=timedelta(hours=2))))
    one, other = await shop.add("一"), await shop.meet("二")
    await shop.settle()
    await send_all(shop)
    shop.clock.advance(hours=1)
    await shop.happens("contact.added", other)
    for day in range(2):
        await tell(shop, "mass_message.sent", other, title=f"群发{day}", origin="own")
    now = shop.clock.now()
    await shop.services.db.write(join, other.person_id, one.person_id, Act("boss", "同一人"), now=now)
    assert sorted((run.state, run.step) for run in await shop.runs()) == [("active", 1), ("merged", 0)]
    await shop.pass_until("03-03 13:00")
    story = {row.step_id: (row.state, row.reason) for row in await shop.rows(step_run)}
    assert story["offer"] == ("dropped", "被频控放弃：7 天内已发 3 次营销消息，上限 3 次，推迟后会超过有效期")


async def test_who_is_held_out_hears_nothing_is_still_measured_and_stays_so_after_a_join(shop: Shop) -> None:
    """Scenario 17."""
    book = journey("second", step("offer", "T0+1h"), goal=Goal("order.paid", timedelta(days=7)), holdout=1.0)
    await shop.run(book)
    who, other = await shop.add(), await shop.meet("二")
    await shop.pass_time(hours=2)
    (run,) = await shop.runs()
    assert (run.is_holdout, run.state, await shop.tasks()) == (True, "active", [])
    await shop.run(replace(book, version=2, holdout=None))
    await shop.happens("contact.added", other)
    await shop.services.db.write(join, other.person_id, who.person_id, Act("boss", "同一人"), now=shop.clock.now())
    (kept,) = [run for run in await shop.runs() if run.state == "active"]
    assert kept.is_holdout
    await shop.happens("order.paid", other, key="taobao/shop/1")
    assert {run.state for run in await shop.runs()} == {"goal", "merged"}
    assert await shop.tasks() == []


async def test_who_was_left_alone_once_is_so_with_every_order_and_under_the_number_he_was_joined_to(shop: Shop) -> None:
    book = care("offer", step("offer", "T0+1h"), holdout=1.0)
    await shop.run(book)
    alone, other, third = await shop.meet(), await shop.meet("二"), await shop.meet("三")
    await shop.happens("order.delivered", alone, key="taobao/shop/1")
    # From now on chance leaves hardly anybody out.
    await shop.run(replace(book, version=2, holdout=0.000001))
    await shop.happens("order.delivered", alone, key="taobao/shop/2")
    await shop.happens("order.delivered", third, key="taobao/shop/3")
    await shop.services.db.write(join, other.person_id, alone.person_id, Act("boss", "同一人"), now=shop.clock.now())
    await shop.happens("order.delivered", other, key="taobao/shop/4")
    await shop.pass_time(hours=1)
    assert [run.is_holdout for run in await shop.runs()] == [True, True, False, True]
    assert [row.person_id for row in await shop.tasks()] == [third.person_id]


async def test_who_is_left_alone_keeps_no_journey_waiting_and_no_case_pauses_him(shop: Shop) -> None:
    """He is only measured: what is done with the others must not change how."""
    goal = Goal("order.paid", timedelta(days=7))
    await shop.run(
        journey("first", step("offer", "D+3"), goal=goal, holdout=1.0), journey("second", step("ask", "T0+1h"))
    )
    who = await shop.add()
    assert await states(shop) == {"first": "active", "second": "active"}
    await shop.happens("refund.opened", who, key="taobao/shop/1")
    assert await states(shop) == {"first": "active", "second": "paused"}


async def test_the_house_s_share_begins_with_a_playbook_s_two_hundredth_customer(shop: Shop) -> None:
    book = journey("second", step("offer", "T0+1h"))
    await shop.run(book)
    house = replace(house_of(shop.services), holdout=0.5)

    def held_out(conn: Any) -> int:
        return sum(arbitration.is_held_out(conn, book, person_id, house) for person_id in range(10_000, 11_000))

    assert await shop.services.db.read(held_out) == 0
    who = await shop.meet()
    rows = [
        {
            "playbook_key": "second",
            "version": 1,
            "run_key": f"person:{n}",
            "person_id": who.person_id,
            "anchor_at": at("03-02 10:00"),
            "enrolled_at": at("03-02 10:00"),
        }
        for n in range(HOLDOUT_FROM)
    ]
    await shop.services.db.write(lambda conn: conn.execute(insert(enrolment), rows) and None)
    assert 400 < await shop.services.db.read(held_out) < 600
    book = replace(book, priority="P1")
    assert await shop.services.db.read(held_out) == 0
