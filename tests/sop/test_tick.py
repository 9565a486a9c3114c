"""Steps come due, each once, in their time, and never after the run is over."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import Connection, update

from scrm.profiles.models import follow_user, follow_user_tag, person
from scrm.sop import content, enrol, ledger, store
from scrm.sop import tick as ticking
from scrm.sop.life.published import Published
from scrm.sop.models import enrolment, step_run
from scrm.sop.reasons.explain import explain_person
from scrm.sop.shelf import house_of, playbooks_of, shop_of
from scrm.work.models import work_item
from tests.sop.shop import Content, Goal, Guards, House, Late, Shop, Trigger, at, playbook_of, step

NO_ORDER = {"field": "person.paid_orders", "op": "eq", "value": 0}


async def test_a_customer_who_adds_a_member_is_enrolled_and_his_task_opens_on_the_third_day(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "D+3 10:00-11:30")))
    who = await shop.add("小满")
    (run,) = await shop.runs()
    assert (run.run_key, run.userid, run.state) == (f"person:{who.person_id}", "lina", "active")
    assert at("03-05 10:00") <= run.due_at < at("03-05 11:30")
    await shop.pass_until("03-05 09:59")
    assert await shop.tasks() == []
    await shop.pass_until("03-05 11:30")
    (opened,) = await shop.tasks()
    assert opened.text == "ask: 小满，我是丽娜"
    assert (opened.state, opened.open_at) == ("open", run.due_at)
    assert await shop.steps() == {"ask": "waiting"}


async def test_the_same_event_told_twice_enrols_once(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h")))
    who = await shop.add()
    await shop.happens("contact.added", who)
    assert len(await shop.runs()) == 1


async def test_a_playbook_that_may_be_repeated_every_month_is_not_repeated_within_one(shop: Shop) -> None:
    book = playbook_of(step("tag", "T0", "X", act=({"set": {"stage": "潜客"}},)), reentry_every=timedelta(days=30))
    await shop.run(book)
    who = await shop.add()
    await shop.settle()
    await shop.pass_time(days=29)
    await shop.happens("contact.added", who)
    assert len(await shop.runs()) == 1
    await shop.pass_time(days=2)
    await shop.happens("contact.added", who)
    assert [run.run_key for run in await shop.runs()] == [f"person:{who.person_id}#1", f"person:{who.person_id}#2"]


async def test_an_event_that_happened_long_ago_starts_nothing(shop: Shop) -> None:
    await shop.run(playbook_of(step("thank", "T0+1h"), trigger=Trigger("order.paid"), run_key="order"))
    who = await shop.meet()
    await shop.happens("order.paid", who, key="taobao/shop/1", facts={"historic": True})
    assert await shop.runs() == []
    await shop.happens("order.paid", who, key="taobao/shop/2")
    assert [run.run_key for run in await shop.runs()] == ["order:taobao/shop/2"]


async def test_only_the_channels_that_the_trigger_names_start_it(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h"), trigger=Trigger("contact.added", {"channel.kind": ("直播",)})))
    await shop.add("甲", channel={"kind": "门店", "title": "一号店"})
    await shop.add("乙")
    assert await shop.runs() == []
    await shop.add("丙", channel={"kind": "直播", "title": "晚八点"})
    assert len(await shop.runs()) == 1


async def test_who_does_not_fit_the_entry_condition_is_left_alone(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h"), enter_if=NO_ORDER))
    who = await shop.meet()
    await shop.set_stat(who, paid_orders=1)
    await shop.happens("contact.added", who)
    assert await shop.runs() == []


async def test_a_person_without_a_living_relation_gets_no_task_but_our_own_data_may_change(shop: Shop) -> None:
    bought = Trigger("order.paid")
    await shop.run(
        playbook_of(step("thank", "T0"), key="thanks", trigger=bought, run_key="order"),
        playbook_of(
            step("note", "T0", "X", act=({"set": {"stage": "首购"}},)), key="stage", trigger=bought, run_key="order"
        ),
    )
    who = await shop.meet()
    await shop.lose(who)
    await shop.happens("order.paid", who, key="taobao/shop/1")
    await shop.settle()
    assert [run.playbook_key for run in await shop.runs()] == ["stage"]
    assert [row.stage for row in await shop.rows(person)] == ["首购"]
    assert await shop.tasks() == []


async def test_an_order_event_goes_to_the_member_who_was_added_first(shop: Shop) -> None:
    await shop.run(playbook_of(step("thank", "T0"), trigger=Trigger("order.paid"), run_key="order"))
    who = await shop.meet(userid="zoe")
    shop.clock.advance(hours=1)
    await shop.services.db.write(
        lambda conn: (
            conn.exec_driver_sql(
                "INSERT INTO follow_user (userid, external_userid, person_id, followed_at) "
                f"VALUES ('amy', '{who.external_userid}', {who.person_id}, 1772500000000)"
            )
            and None
        )
    )
    await shop.happens("order.paid", who, key="taobao/shop/1")
    await shop.settle()
    assert [row.userid for row in await shop.tasks()] == ["zoe"]


async def test_two_ticks_at_once_release_each_step_once(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h"), step("again", "T0+2h")))
    for number in range(12):
        await shop.add(f"客户{number}")
    shop.clock.advance(hours=1)
    await asyncio.gather(shop.tick(), shop.tick(), shop.tick())
    assert len(await shop.tasks()) == 12
    assert len(await shop.rows(step_run)) == 12


async def test_what_is_interrupted_before_the_commit_has_not_happened_and_is_done_once_later(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h")))
    await shop.add()
    shop.clock.advance(hours=1)
    rules = ticking.Rules(*_rules(shop))

    class Killed(BaseException):
        """Nobody catches it (a KeyboardInterrupt would end the event loop of the test as well)."""

    def killed(conn: object) -> None:
        ticking.release_due(conn, rules, shop.clock.now())  # type: ignore[arg-type]
        raise Killed

    with pytest.raises(Killed):
        await shop.services.db.write(killed)
    assert await shop.tasks() == []
    await shop.tick()
    assert len(await shop.tasks()) == 1


async def test_a_run_that_cannot_be_decided_does_not_hold_up_its_neighbours(shop: Shop) -> None:
    bad = playbook_of(step("ask", "T0+1h", act=()), key="bad", trigger=Trigger("order.paid"), run_key="order")
    await shop.run(playbook_of(step("ask", "T0+1h")), bad)
    who = await shop.add("好的")
    await shop.happens("order.paid", who, key="taobao/shop/1")
    await shop.services.db.write(
        lambda conn: conn.execute(update(enrolment).where(enrolment.c.playbook_key == "bad").values(version=9)) and None
    )
    await shop.pass_time(hours=1)
    states = {run.playbook_key: (run.state, run.ended_reason) for run in await shop.runs()}
    assert states["bad"] == ("failed", "找不到剧本 bad 的第 9 版")
    assert len(await shop.tasks()) == 1


async def test_a_paid_order_ends_the_run_as_its_goal_and_takes_the_open_task_back(shop: Shop) -> None:
    book = playbook_of(
        step("ask", "T0+1h"),
        step("more", "D+3 10:00-11:30"),
        exit_if={"any": [{"event": "order.paid"}, {"event": "contact.lost_by_customer"}]},
        goal=Goal("order.paid", timedelta(days=7)),
    )
    await shop.run(book)
    who = await shop.add()
    await shop.pass_time(hours=1)
    await shop.happens("order.paid", who, key="taobao/shop/1")
    (run,) = await shop.runs()
    assert (run.state, run.ended_reason, run.due_at) == ("goal", "订单已付款", None)
    (taken,) = await shop.tasks()
    assert (taken.state, taken.reason) == ("withdrawn", "订单已付款，任务已撤回。")
    await shop.pass_time(days=4)
    assert len(await shop.tasks()) == 1
    assert await shop.steps() == {"ask": "skipped"}


async def test_an_order_that_is_known_but_not_yet_handled_stops_the_step_all_the_same(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h"), exit_if={"any": [{"event": "order.paid"}]}))
    who = await shop.add()
    shop.clock.advance(hours=1)
    await shop.publish("order.paid", who, key="taobao/shop/1")
    await shop.tick()
    assert await shop.tasks() == []
    assert [run.state for run in await shop.runs()] == ["exited"]


async def test_an_order_from_before_the_run_does_not_end_it(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h"), exit_if={"event": "order.paid"}))
    who = await shop.meet()
    await shop.happens("order.paid", who, key="taobao/shop/1")
    await shop.happens("contact.added", who)
    await shop.pass_time(hours=1)
    assert len(await shop.tasks()) == 1


async def test_the_refund_of_another_order_does_not_end_a_run_of_this_one(shop: Shop) -> None:
    book = playbook_of(
        step("care", "T0+2h"),
        trigger=Trigger("order.delivered"),
        run_key="order",
        exit_if={"event": "refund.opened"},
        priority="P1",  # a notice: what is marketing would pause
    )
    await shop.run(book)
    who = await shop.meet()
    await shop.happens("order.delivered", who, key="taobao/shop/1")
    await shop.happens("order.delivered", who, key="taobao/shop/2")
    await shop.happens("refund.opened", who, key="taobao/shop/2")
    assert {run.run_key: run.state for run in await shop.runs()} == {
        "order:taobao/shop/1": "active",
        "order:taobao/shop/2": "exited",
    }


@pytest.mark.parametrize("ended_by", ["customer", "member"])
async def test_the_end_of_a_friendship_ends_its_runs_and_takes_back_every_task_of_that_pair(
    shop: Shop, ended_by: str
) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h"), step("more", "D+3")))
    who = await shop.add()
    other = await shop.add("阿宁")
    await shop.pass_time(hours=1)
    await shop.lose(who, ended_by)
    states = {row.external_userid: (row.state, row.reason) for row in await shop.tasks()}
    assert states[who.external_userid] == ("withdrawn", "客户已不是丽娜的好友，任务已撤回。")
    assert states[other.external_userid][0] == "open"
    assert {run.external_userid: run.state for run in await shop.runs()} == {
        who.external_userid: "exited",
        other.external_userid: "active",
    }


async def test_two_workers_do_not_write_to_one_person_at_once(shop: Shop) -> None:
    """Each has a run of the same persons: the second sees what the first one sends, and waits for the next day."""
    steps = step("offer", "T0+1h", ttl=timedelta(days=3))
    kind = {"trigger": Trigger("order.paid"), "run_key": "order", "guards": Guards()}
    await shop.run(playbook_of(steps, key="one", **kind), playbook_of(steps, key="two", **kind))
    people = [await shop.meet() for _ in range(8)]
    for who in people:
        await shop.happens("order.paid", who, key=who.external_userid)
    shop.clock.advance(hours=1)
    rules = ticking.Rules(playbooks_of(shop.services), house_of(shop.services), shop_of(shop.services))
    now, db = shop.clock.now(), shop.services.db
    await asyncio.gather(*(db.write(ticking.release_due, rules, now, run.id) for run in await shop.runs()))
    assert sorted(row.person_id for row in await shop.tasks()) == [who.person_id for who in people]


async def test_what_ends_a_run_between_the_decision_and_its_record_keeps_the_step_back(shop: Shop) -> None:
    """On SQLite deciding only reads: the one writer may have ended or moved the run by the time it is written."""
    await shop.run(playbook_of(step("ask", "T0+1h"), exit_if={"event": "order.paid"}))
    who = await shop.add()
    shop.clock.advance(hours=1)
    rules = ticking.Rules(playbooks_of(shop.services), house_of(shop.services), shop_of(shop.services))
    is_sqlite = shop.services.db.is_sqlite
    decided = await shop.services.db.read(ticking.decide_due, rules, shop.clock.now()) if is_sqlite else None
    await shop.happens("order.paid", who, key="taobao/shop/1")
    if decided is not None:
        assert (len(decided.cases), await shop.services.db.write(ticking.record, decided)) == (1, 0)
    await shop.settle()
    assert await shop.tasks() == []
    # The first ending stays: nobody is told two.
    (run,) = await shop.runs()
    again = [(run.id, "goal", "又一次")]
    await shop.services.db.write(store.end_runs, again, now=shop.clock.now())
    assert [(row.state, row.ended_reason) for row in await shop.runs()] == [("exited", "订单已付款")]


async def test_who_comes_back_before_his_leaving_was_heard_of_keeps_the_new_run(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h"), reentry_every=timedelta(hours=1)))
    who = await shop.add()
    shop.clock.advance(hours=2)
    await shop.lose(who, handled=False)
    shop.clock.advance(hours=1)
    await shop.services.db.write(_follow_again, who.external_userid)
    await shop.services.db.write(store.end_runs, [(1, "exited", "走了")], now=shop.clock.now())
    rules = enrol.Rules(playbooks_of(shop.services), house_of(shop.services))
    added = await shop.publish("contact.added", who)
    # The later event has its turn first.
    await shop.services.db.write(enrol.apply_event, added, rules, shop.clock.now(), "")
    await shop.settle()
    assert [run.state for run in await shop.runs()] == ["exited", "active"]


def _follow_again(conn: Connection, external_userid: str) -> None:
    mine = follow_user.c.external_userid == external_userid
    conn.execute(update(follow_user).where(mine).values(ended_by="", ended_at=None))


async def test_nothing_is_released_for_a_relation_that_has_ended_even_when_the_event_waits(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h")))
    who = await shop.add()
    shop.clock.advance(hours=1)
    await shop.lose(who, handled=False)
    await shop.tick()
    assert await shop.tasks() == []


async def test_a_step_whose_condition_does_not_hold_is_skipped_with_what_was_compared(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h", condition=NO_ORDER), step("more", "T0+2h")))
    who = await shop.add()
    await shop.set_stat(who, paid_orders=2)
    await shop.pass_time(hours=1)
    (row,) = await shop.rows(step_run)
    assert row.state == "skipped"
    assert "条件不满足" in row.reason
    assert "2" in row.reason
    await shop.pass_time(hours=1)
    assert await shop.steps() == {"ask": "skipped", "more": "waiting"}


async def test_a_step_is_put_off_past_quiet_hours_that_cross_midnight(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+30m")))
    await shop.pass_until("03-02 23:50")
    await shop.add()
    await shop.pass_until("03-03 08:59")
    assert await shop.tasks() == []
    await shop.pass_until("03-03 09:00")
    assert len(await shop.tasks()) == 1


async def test_a_step_that_may_not_be_late_is_dropped_in_quiet_hours_and_the_run_goes_on(shop: Shop) -> None:
    book = playbook_of(
        step("nudge", "T0+30m", late=Late.DROP, window="09:00-21:30", ttl=timedelta(hours=6)),
        step("usage", "D+1 10:00-12:00"),
    )
    await shop.run(book)
    await shop.pass_until("03-02 23:10")
    await shop.add()
    await shop.pass_until("03-03 09:45")
    (row,) = await shop.rows(step_run)
    assert (row.step_id, row.state) == ("nudge", "dropped")
    assert "勿扰时段" in row.reason
    await shop.pass_until("03-03 12:00")
    assert await shop.steps() == {"nudge": "dropped", "usage": "waiting"}


async def test_a_task_that_nobody_sends_expires_and_the_run_ends(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h", ttl=timedelta(hours=4))))
    await shop.add()
    await shop.pass_time(hours=1)
    await shop.pass_time(hours=4)
    (row,) = await shop.tasks()
    assert (row.state, row.reason) == ("expired", "已超过有效期，员工未发送")
    assert await shop.steps() == {"ask": "dropped"}
    assert [run.state for run in await shop.runs()] == ["done"]


async def test_after_26_hours_without_a_server_nothing_comes_in_a_burst(shop: Shop) -> None:
    book = playbook_of(
        step("first", "T0+1h", ttl=timedelta(hours=4)),
        step("second", "T0+3h", ttl=timedelta(days=3)),
        step("third", "T0+5h", ttl=timedelta(days=3)),
    )
    await shop.run(book)
    await shop.add()
    await shop.pass_time(hours=26)
    assert await shop.steps() == {"first": "dropped", "second": "waiting"}
    await shop.pass_time(hours=23)
    assert len(await shop.tasks()) == 1
    await shop.pass_time(hours=2)
    assert await shop.steps() == {"first": "dropped", "second": "waiting", "third": "waiting"}


async def test_two_playbooks_write_to_one_person_one_after_the_other(shop: Shop) -> None:
    await shop.run(
        playbook_of(step("a", "T0+1h"), priority="P2"), playbook_of(step("b", "T0+1h"), key="second", priority="P2")
    )
    await shop.add()
    await shop.pass_time(hours=1)
    assert len(await shop.tasks()) == 1
    await shop.pass_time(minutes=30)
    assert len(await shop.tasks()) == 2


async def test_a_run_says_no_more_than_its_playbook_allows(shop: Shop) -> None:
    await shop.run(playbook_of(step("a", "T0+1h"), step("b", "T0+3h"), guards=Guards(max_pushes=1)))
    await shop.add()
    await shop.pass_time(hours=1)
    await shop.pass_time(hours=2)
    assert await shop.steps() == {"a": "waiting", "b": "skipped"}


async def test_who_refused_marketing_gets_no_more_tasks(shop: Shop) -> None:
    await shop.run(playbook_of(step("a", "T0+1h")))
    who = await shop.add()
    await shop.change(person, who.person_id, optout={"promo": True})
    await shop.pass_time(hours=1)
    (row,) = await shop.rows(step_run)
    assert (row.state, row.reason) == ("skipped", "客户已拒绝接收营销消息")


async def test_a_system_step_changes_our_data_and_tags_the_contact_in_wecom(shop: Shop) -> None:
    library = {"errcode": 0, "tag_group": [{"group_name": "阶段", "tag": [{"id": "et1", "name": "新客"}]}]}
    shop.wecom.say("externalcontact/get_corp_tag_list", library)
    act = ({"set": {"stage": "潜客", "skin": "油皮"}}, {"add_tag": "新客"})
    await shop.run(playbook_of(step("mark", "T0", "X", act=act)))
    who = await shop.add()
    await shop.settle()
    assert [row.stage for row in await shop.rows(person)] == ["潜客"]
    (call,) = shop.wecom.called("externalcontact/mark_tag")
    assert call == {"userid": "lina", "external_userid": who.external_userid, "add_tag": ["et1"]}
    assert [row.tag_name for row in await shop.rows(follow_user_tag)] == ["新客"]
    assert await shop.steps() == {"mark": "done"}
    assert await shop.rows(work_item) == []


async def test_a_tag_that_nobody_has_made_is_made_first(shop: Shop) -> None:
    shop.wecom.say("externalcontact/get_corp_tag_list", {"errcode": 0, "tag_group": []})
    made = {"group_id": "eg1", "group_name": "SCRM", "tag": [{"id": "et9", "name": "老客"}]}
    shop.wecom.say("externalcontact/add_corp_tag", {"errcode": 0, "tag_group": made})
    await shop.run(playbook_of(step("mark", "T0", "X", act=({"add_tag": "老客"},))))
    await shop.add()
    await shop.settle()
    assert shop.wecom.called("externalcontact/mark_tag")[0]["add_tag"] == ["et9"]


async def test_a_contact_that_is_gone_in_wecom_fails_the_step_with_the_reason(shop: Shop) -> None:
    library = {"errcode": 0, "tag_group": [{"group_name": "阶段", "tag": [{"id": "et1", "name": "新客"}]}]}
    shop.wecom.say("externalcontact/get_corp_tag_list", library)
    shop.wecom.say("externalcontact/mark_tag", 84061)
    await shop.run(playbook_of(step("mark", "T0", "X", act=({"add_tag": "新客"},))))
    await shop.add()
    await shop.settle()
    (row,) = await shop.rows(step_run)
    assert row.state == "failed"
    assert row.reason.startswith("客户已不是该员工的好友")


async def test_a_text_with_a_hole_is_not_said(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h", content=Content(text="您买的{{ last_product }}还好用吗"))))
    await shop.add()
    await shop.pass_time(hours=1)
    (row,) = await shop.rows(step_run)
    assert (row.state, row.reason) == ("failed", "缺少变量：最近商品")
    assert await shop.tasks() == []


async def test_the_welcome_is_a_step_that_the_ledger_answers_for(shop: Shop) -> None:
    await shop.run(playbook_of(step("hello", "T0", "W", content=Content("您好")), step("ask", "T0+1h")))
    who = await shop.meet()
    row = {
        "kind": "welcome",
        "userid": "lina",
        "external_userid": who.external_userid,
        "playbook_key": "new-customer",
        "step_id": "hello",
        "once": "welcome:1",
        "decided_at": shop.clock.now(),
        "sent_at": shop.clock.now(),
        "outcome": "sent",
    }
    await shop.services.db.write(ledger.add_send, row)
    await shop.happens("contact.added", who)
    assert await shop.steps() == {"hello": "done"}
    await shop.pass_time(hours=1)
    assert await shop.steps() == {"hello": "done", "ask": "waiting"}


async def test_a_run_that_has_said_everything_waits_for_its_goal(shop: Shop) -> None:
    book = playbook_of(
        step("note", "T0", "X", act=({"set": {"stage": "潜客"}},)), goal=Goal("order.paid", timedelta(days=7))
    )
    await shop.run(book)
    who, late = await shop.add("早"), await shop.add("晚")
    await shop.settle()
    await shop.pass_time(days=6)
    await shop.happens("order.paid", who, key="taobao/shop/1")
    await shop.pass_time(days=2)
    await shop.happens("order.paid", late, key="taobao/shop/2")
    assert {run.person_id: run.state for run in await shop.runs()} == {who.person_id: "goal", late.person_id: "done"}


async def test_a_clock_that_is_moved_by_hand_can_ask_for_the_next_moment(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "D+3 10:00-11:30")))
    await shop.add()
    moment = await ticking.next_due_at(shop.services)
    assert moment is not None
    shop.clock.move_to(moment)
    await shop.settle()
    assert len(await shop.tasks()) == 1


async def test_a_run_can_say_why_each_step_went_out_or_did_not(shop: Shop) -> None:
    book = playbook_of(
        step("ask", "T0+1h", condition=NO_ORDER), step("more", "D+3 10:00-11:30"), step("end", "D+8", "X")
    )
    await shop.run(book)
    who = await shop.add()
    await shop.set_stat(who, paid_orders=1)
    await shop.pass_time(hours=1)
    published, house, _ = _rules(shop)
    (story,) = await shop.services.db.read(explain_person, who.person_id, published, house)
    assert (story.word, story.playbook_title) == ("进行中", "新客跟进")
    assert [(one.step_id, one.word) for one in story.steps] == [
        ("ask", "已跳过"),
        ("more", "未到时间"),
        ("end", "未到时间"),
    ]
    assert story.steps[0].reason.startswith("条件不满足：")


def _rules(shop: Shop) -> tuple[Published, House, content.Shop]:
    return playbooks_of(shop.services), house_of(shop.services), shop_of(shop.services)
