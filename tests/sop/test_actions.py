"""What a step of channel X does, for one person and for a whole batch."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import insert

from scrm.commerce.coupons import store as coupons
from scrm.commerce.models import coupon_issue
from scrm.joining import join
from scrm.membership.models import points_movement
from scrm.profiles.merge import Act
from scrm.profiles.models import member, person, person_field
from scrm.sop.actions import ACTIONS, find_action
from scrm.sop.models import enrolment, step_run, task
from tests.sop.shop import Content, Shop, Trigger, playbook_of, step

# What only runs through statements that other tests run on both.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PROBLEMS = [
    ("points", 0, "不等于 0"),
    ("points", "许多", "不等于 0"),
    ("points", {"amount": 10, "reason": "bribe"}, "reason 只能是"),
    ("assign", [], "员工账号"),
    ("start_playbook", "all", "剧本编号"),
    ("stop_playbook", "", "剧本编号"),
    ("set", {}, "字段和值"),
    ("add_tag", {"x": 1}, "标签名"),
    ("issue_coupon", 5, "券批次"),
]


@pytest.mark.parametrize(("name", "value", "words"), PROBLEMS)
def test_an_author_reads_what_is_wrong_with_an_act(name: str, value: Any, words: str) -> None:
    action = find_action(name)
    assert action is not None
    assert words in action.problem(value)


def test_every_action_takes_its_own_example() -> None:
    good = {
        "add_tag": "新客",
        "remove_tag": ["新客", "潜客"],
        "set": {"stage": "潜客"},
        "issue_coupon": "new72h",
        "points": {"amount": 100, "note": "首单积分"},
        "assign": ["lina", "zoe"],
        "start_playbook": "pb-07-recovery",
        "stop_playbook": "all",
    }
    assert {action.name: action.problem(good[action.name]) for action in ACTIONS} == dict.fromkeys(good, "")


def acting(*acts: dict[str, Any], **more: Any) -> Any:
    return playbook_of(step("act", "T0", "X", act=acts), **more)


async def test_a_step_gives_points_a_stage_a_field_and_an_owner_once(shop: Shop) -> None:
    await shop.run(acting({"points": 100, "set": {"stage": "首购客", "field.肤质": "干"}}, {"assign": ["lina", "zoe"]}))
    await shop.services.db.write(
        lambda conn: conn.execute(insert(member).values(userid="zoe", folded="zoe", name="佐伊")) and None
    )
    await shop.add()
    await shop.settle()
    (known,) = await shop.rows(person)
    assert (known.stage, known.owner_userid) == ("首购客", "lina")  # zoe is free as well, but no contact of his
    assert [(row.key, row.value) for row in await shop.rows(person_field)] == [("肤质", "干")]
    (moved,) = await shop.rows(points_movement)
    assert (moved.available, moved.note) == (100, "新客跟进：步骤 act")
    assert await shop.steps() == {"act": "done"}


@on_sqlite
async def test_what_cannot_be_done_fails_the_step_in_words_and_nothing_else(shop: Shop) -> None:
    await shop.run(acting({"issue_coupon": "gone"}, {"assign": "nobody"}, {"start_playbook": "none"}, {"points": -5}))
    await shop.add()
    await shop.settle()
    (done,) = await shop.rows(step_run)
    assert done.state == "failed"
    for words in ("没有券批次“gone”", "找不到在职的员工 nobody", "剧本 none 没有发布", "可用积分只有 0"):
        assert words in done.reason


@on_sqlite
async def test_a_batch_with_a_coupon_for_two_serves_two_and_tells_the_third(shop: Shop) -> None:
    await shop.services.db.write(
        lambda conn: coupons.ensure_batch(
            conn, key="few", kind="generated", title="先到先得", budget=2, now=shop.clock.now()
        )
    )
    await shop.run(acting({"issue_coupon": "few"}))
    for name in "甲乙丙":
        await shop.publish("contact.added", await shop.meet(name))
    await shop.settle()
    assert len(await shop.rows(coupon_issue)) == 2
    states = [(row.state, row.reason) for row in await shop.rows(step_run)]
    assert states.count(("done", "")) == 2
    assert [reason for state, reason in states if state == "failed"] == ["优惠券“先到先得”已发完"]


@on_sqlite
async def test_all_steps_of_a_run_speak_of_one_coupon_also_after_a_join(shop: Shop) -> None:
    await shop.services.db.write(
        lambda conn: coupons.ensure_batch(conn, key="new", kind="generated", title="新人", now=shop.clock.now())
    )
    card = Content("{{ nickname }}，您的券", ({"coupon": "new"},))
    await shop.run(
        playbook_of(
            step("give", "T0", "X", act=({"issue_coupon": "new"},)),
            step("tell", "T0+1h", content=card),
            step("again", "D+1 10:00-11:00", content=card),
        )
    )
    who, kept = await shop.add(), await shop.meet("同一人")
    await shop.pass_time(hours=1)
    await shop.services.db.write(join, kept.person_id, who.person_id, Act("boss", "同一人"), now=shop.clock.now())
    await shop.pass_time(days=1, hours=1)
    assert [row.step_id for row in await shop.tasks()] == ["tell", "again"]
    assert [(row.person_id, row.state) for row in await shop.rows(coupon_issue)] == [(kept.person_id, "issued")]


@on_sqlite
async def test_one_playbook_ends_the_others_and_takes_back_their_tasks(shop: Shop) -> None:
    lost = Trigger("group.left")
    await shop.run(
        playbook_of(step("ask", "T0"), key="other"),
        acting({"stop_playbook": "all"}, key="stopper", title="流失挽回", trigger=lost),
    )
    who = await shop.add()
    await shop.settle()
    assert [row.state for row in await shop.tasks()] == ["open"]
    await shop.happens("group.left", who)
    await shop.settle()
    ended, stopper = await shop.runs()
    assert (ended.state, ended.ended_reason) == ("exited", "被“流失挽回：步骤 act”结束")
    assert stopper.state == "done"
    assert [row.state for row in await shop.rows(task)] == ["withdrawn"]


@on_sqlite
async def test_one_playbook_begins_another_about_the_same_order(shop: Shop) -> None:
    await shop.run(
        acting({"start_playbook": "care"}, key="paid", trigger=Trigger("order.paid"), run_key="order"),
        playbook_of(step("ask", "T0"), key="care", trigger=Trigger("refund.opened"), run_key="order"),
    )
    who = await shop.meet()
    await shop.happens("order.paid", who, key="taobao/shop/1")
    await shop.settle()
    assert [(run.playbook_key, run.run_key) for run in await shop.runs()] == [
        ("paid", "order:taobao/shop/1"),
        ("care", "order:taobao/shop/1"),
    ]


@on_sqlite
async def test_what_a_playbook_does_to_others_reaches_who_was_joined_with_another_meanwhile(shop: Shop) -> None:
    await shop.run(
        playbook_of(step("ask", "T0"), key="other"),
        playbook_of(step("ask", "T0"), key="care", trigger=Trigger("refund.opened"), run_key="order"),
        acting(
            {"stop_playbook": "other"},
            {"start_playbook": "care"},
            key="paid",
            trigger=Trigger("order.paid"),
            run_key="order",
        ),
    )
    who, kept = await shop.add(), await shop.meet("同一人")
    await shop.happens("order.paid", who, key="taobao/shop/1")
    await shop.tick()
    await shop.services.db.write(join, kept.person_id, who.person_id, Act("boss", "同一人"), now=shop.clock.now())
    await shop.settle()
    runs = {run.playbook_key: (run.state, run.person_id) for run in await shop.runs()}
    assert runs["other"] == ("exited", kept.person_id)
    assert runs["care"] == ("active", kept.person_id)


@on_sqlite
async def test_playbooks_that_start_each_other_are_cut_and_the_step_says_so(shop: Shop) -> None:
    again = {"reentry": "every", "reentry_every": timedelta()}
    await shop.run(
        acting({"start_playbook": "pong"}, key="ping", **again),
        acting({"start_playbook": "ping"}, key="pong", trigger=Trigger("manual.started"), **again),
    )
    await shop.add()
    await shop.settle()
    runs = await shop.runs()
    assert [run.playbook_key for run in runs] == ["ping", "pong", "ping", "pong", "ping", "pong"]
    *chain, cut = await shop.rows(step_run)
    assert {row.state for row in chain} == {"done"}
    assert (cut.state, cut.reason) == ("failed", "剧本互相启动超过 5 层，已在这里切断，没有开始 ping")


async def test_a_batch_costs_as_many_statements_for_forty_persons_as_for_four(shop: Shop) -> None:
    acts = ({"set": {"stage": "新客", "肤质": "干"}}, {"add_tag": "新客"}, {"assign": "lina"}, {"issue_coupon": "all"})
    await shop.services.db.write(
        lambda conn: coupons.ensure_batch(conn, key="all", kind="generated", title="人人有份", now=shop.clock.now())
    )
    counts = []
    await shop.run(acting(*acts))
    for size in (4, 40):
        for number in range(size):
            await shop.publish("contact.added", await shop.meet(f"{size}/{number}"))
        await shop.services.worker.drain()
        counts.append(await count_statements(shop))
    assert counts[1] <= counts[0] + 4  # rows that are written in pages of a fixed size


async def count_statements(shop: Shop) -> int:
    count = 0

    def note(*_: Any) -> None:
        nonlocal count
        count += 1

    engines: list[Any] = []

    def listen(conn: Any) -> None:
        engines.append(conn.engine)
        sqlalchemy_event.listen(conn.engine, "before_cursor_execute", note)

    await shop.services.db.write(listen)
    try:
        await shop.tick()
    finally:
        for engine in engines:
            sqlalchemy_event.remove(engine, "before_cursor_execute", note)
    assert len(await shop.rows(enrolment)) in (4, 44)
    return count
