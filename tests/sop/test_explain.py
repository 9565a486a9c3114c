"""Why somebody is in a playbook, why not, what comes next and what blocked it."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from scrm.errors import NotFound, ScrmError
from scrm.profiles.models import follow_user, person
from scrm.sop.members import tasks
from scrm.sop.models import send
from scrm.sop.reasons import explain_cli, why
from scrm.sop.reasons.why import Why
from scrm.sop.results.tables import refusal
from scrm.sop.schema import Arm, Split, Wait
from scrm.sop.shelf import house_of, playbooks_of
from tests.sop.shop import Customer, Goal, Shop, Trigger, playbook_of, step

NO_ORDER = {"field": "person.paid_orders", "op": "eq", "value": 0}


async def tell(shop: Shop, who: Customer, key: str = "new-customer") -> Why:
    published, house, now = playbooks_of(shop.services), house_of(shop.services), shop.clock.now()
    return await shop.services.db.read(why.tell, who.person_id, key, published, house, now)


async def test_who_is_in_is_told_the_event_the_version_the_condition_and_what_comes_when(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h"), step("again", "D+3 10:00-11:30"), enter_if=NO_ORDER))
    who = await shop.add()
    story = await tell(shop, who)
    (run,) = story.runs
    assert run.cause is not None
    assert (run.cause.name, run.cause.words, run.version) == ("contact.added", "客户添加了员工", 1)
    assert [(leaf.words, leaf.found, leaf.holds) for leaf in run.entry] == [("已付款订单数 等于 0", "0", True)]
    assert story.summary == "因“客户添加了员工”进入，进行中"
    assert story.next is not None
    assert (story.next.title, story.next.at, story.next.verdict) == (
        "步骤 ask",
        shop.clock.now() + timedelta(hours=1),
        "到时会发出",
    )
    assert [each.step_id for each in run.steps] == ["ask", "again"]
    await shop.change(person, who.person_id, optout={"all": True})
    refused = (await tell(shop, who)).next
    assert refused is not None
    assert (refused.verdict, refused.reason) == ("到时会跳过", "客户已拒绝接收消息")


async def test_who_is_not_in_is_told_the_last_reason_and_what_the_condition_says_now(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h"), enter_if=NO_ORDER))
    who = await shop.meet()
    assert (await tell(shop, who)).summary == "没有进入：还没有发生“客户添加了员工”"
    await shop.set_stat(who, paid_orders=2)
    await shop.happens("contact.added", who)
    story = await tell(shop, who)
    assert story.summary == "没有进入：不符合进入条件"
    assert story.not_in is not None
    assert story.not_in.cause is not None
    assert story.not_in.cause.words == "客户添加了员工"
    assert [(leaf.found, leaf.holds) for leaf in story.entry] == [("2", False)]
    with pytest.raises(NotFound, match="没有编号为 other 的剧本"):
        await tell(shop, who, "other")


async def test_a_refusal_is_kept_once_for_each_person_and_playbook_and_not_for_ever(shop: Shop) -> None:
    who, other = await shop.meet(), await shop.meet("小圆")
    db, now = shop.services.db, shop.clock.now()
    refused = [
        why.Refused("a", who.person_id, 1, "甲"),
        why.Refused("a", other.person_id, 1, "乙"),
        why.Refused("a", who.person_id, 2, "丙"),
    ]
    await db.write(why.note_refusals, refused, now)
    await db.write(why.note_refusal, "b", who.person_id, None, "丁", now + timedelta(days=1))
    rows = await shop.rows(refusal)
    assert [(row.playbook_key, row.person_id, row.event_id, row.reason) for row in rows] == [
        ("a", who.person_id, 2, "丙"),
        ("a", other.person_id, 1, "乙"),
        ("b", who.person_id, None, "丁"),
    ]
    assert await db.write(why.forget_refusals, now + why.KEPT + timedelta(hours=1)) == 2
    count = select(func.count()).select_from(refusal)
    assert await db.read(lambda conn: conn.execute(count).scalar_one()) == 1


async def test_the_same_event_told_twice_is_no_reason_for_not_being_in(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h")))
    who = await shop.add()
    (run,) = await shop.runs()
    note = why.note_refusal
    await shop.services.db.write(
        note, "new-customer", who.person_id, run.event_id, why.ENTERED_BEFORE, shop.clock.now()
    )
    assert (await tell(shop, who)).not_in is None


async def test_a_send_leads_back_to_its_step_its_run_and_its_event(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h"), goal=Goal("order.paid", timedelta(days=7))))
    who = await shop.add()
    await shop.pass_time(hours=1)
    (task,) = await shop.tasks()
    await tasks.release(shop.services, who.userid, task.id)
    await tasks.confirm_sent(shop.services, who.userid, task.id, ok=True)
    (chat,) = await shop.sends(send.c.kind == "chat")
    published, house = playbooks_of(shop.services), house_of(shop.services)
    told = await shop.services.db.read(why.tell_send, chat.id, published, house)
    assert told.run is not None
    assert told.run.cause is not None
    assert told.step is not None
    assert (told.outcome, told.run.version, told.run.cause.name, told.step.word) == (
        "sent",
        1,
        "contact.added",
        "已发送",
    )


async def test_the_command_finds_people_by_id_name_and_remark_and_says_when_several_match(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h"), trigger=Trigger("contact.added")))
    xiaoman, twin = await shop.add("小满"), await shop.add("小满")
    remark = update(follow_user).where(follow_user.c.person_id == twin.person_id).values(remark="小满-敏感肌")
    await shop.services.db.write(lambda conn: conn.execute(remark) and None)
    find = explain_cli.find_person
    read = shop.services.db.read
    assert await read(find, str(xiaoman.person_id)) == xiaoman.person_id
    assert await read(find, twin.external_userid) == twin.person_id
    assert await read(find, "小满-敏感肌") == twin.person_id
    with pytest.raises(ScrmError, match="有 2 位客户叫“小满”，请改用编号：1（小满，跟进人 lina）；2（小满，备注"):
        await read(find, "小满")
    with pytest.raises(NotFound, match="找不到客户“小暑”"):
        await read(find, "小暑")
    with pytest.raises(NotFound, match="现有的有：new-customer"):
        await read(explain_cli.find_playbook, "care")
    story = "\n".join(explain_cli.lines(await tell(shop, xiaoman), shop.services.settings.shop.zone))
    assert "新客跟进（new-customer，第 1 版） · 客户 1" in story
    assert "下一步  03-02 11:00 步骤 ask · 到时会发出" in story
    assert "进行中  03-02 10:00 因“客户添加了员工”进入第 1 版（person:1，lina）" in story


async def test_what_lies_behind_a_fork_is_told_as_far_as_it_is_known(shop: Shop) -> None:
    ask, late, one, two = (step(name, "T0+1h") for name in ("ask", "late", "one", "two"))
    paid = Wait("paid", timedelta(days=3), event="order.paid", timed_out=(late,))
    chance = Split("ab", (Arm("A", (one,), share=0.5), Arm("B", (two,), share=0.5)))
    await shop.run(playbook_of(ask, late, one, two, parts=(ask, paid, chance)))
    who = await shop.add()
    (run,) = (await tell(shop, who)).runs
    assert [each.title for each in run.steps] == ["步骤 ask", "等待客户付款", "随机分流：A / B"]
    await shop.pass_time(hours=1)
    waiting = await tell(shop, who)
    assert waiting.next is not None
    assert (waiting.next.title, waiting.next.verdict) == ("等待客户付款", "等待中")
    await shop.pass_time(days=3, hours=2)
    (run,) = (await tell(shop, who)).runs
    assert run.arms["paid"] == "没等到"
    assert [each.step_id for each in run.steps][:2] == ["ask", "late"]
    await shop.pass_time(hours=2)
    (run,) = (await tell(shop, who)).runs
    assert run.arms["ab"] in ("A", "B")
    assert run.ways == (("等待客户付款", "没等到"), ("随机分流：A / B", run.arms["ab"]))
