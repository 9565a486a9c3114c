"""The 18 acceptance scenarios of the playbooks, through callbacks, the shop's programs, the sidebar's tap and the tick.

docs/scenarios.md says which test stands for which number.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from scrm.membership import store as membership
from scrm.membership.models import points_account
from scrm.membership.rules import Level, Rules
from scrm.sop import tick as ticking
from scrm.sop.calendar import ticks as calendar_ticks
from scrm.sop.models import enrolment, send, step_run, task
from scrm.sop.results.tables import refusal
from tests.fakes.clock import FakeClock
from tests.sop.shop import Customer
from tests.sop.stage import Stage, open_stage


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def stage(database_url: str, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(database_url, clock, tmp_path) as stage:
        yield stage


def book(key: str, event: str, *steps: str, **more: str) -> str:
    """A playbook's text, as short as a test wants it."""
    lines = {
        "playbook": key,
        "title": f"剧本{key}",
        "trigger": f"{{event: {event}}}" if not event.startswith("{") else event,
        "run_key": "person",
        "reentry": "never",
        "exit_if": "none",
        "goal": "none",
        "holdout": "0%",
        **more,
    }
    return "\n".join([*(f"{name}: {value}" for name, value in lines.items()), "steps:", *(f"  - {s}" for s in steps)])


def t(step_id: str, at: str, *, ttl: str = "24h", late: str = "defer", **more: str) -> str:
    extra = "".join(f", {name}: {value}" for name, value in more.items())
    return (
        f'{{id: {step_id}, at: "{at}", channel: T, late: {late}, ttl: {ttl}, content: {{text: "{step_id}！"}}{extra}}}'
    )


def m(step_id: str, at: str, *, ttl: str = "8h", **more: str) -> str:
    return t(step_id, at, ttl=ttl, **more).replace("channel: T", "channel: M")


def w(text: str) -> str:
    return f'{{id: welcome, at: T0, channel: W, content: {{text: "{text}"}}}}'


async def test_01_codes_of_two_playbooks_scanned_on_one_day_are_a_welcome_each_and_one_journey(stage: Stage) -> None:
    """1: PB-02 and PB-01 codes scanned by one person on one day: one welcome per relation, one lifecycle run."""
    first = book("pb-02", "contact.added", w("新朋友您好"), t("nudge", "T0+1h"), priority="P3")
    parcel = "{event: contact.added, where: {state: parcel-WuHao}}"
    second = book("pb-01", parcel, w("谢谢惠顾"), t("usage", "T0+2h"), priority="P3")
    await stage.publish_texts(first, second)
    who = await stage.scan("小满", "ads", "lina")
    await stage.pass_time(minutes=30)
    again = await stage.scan("小满", "parcel", "WuHao")
    assert again.person_id == who.person_id
    await stage.scan("小满", "ads", "lina")  # a friend already: only the chat opens
    welcomes = [(one.body["text"]["content"], one.errcode) for one in stage.called("send_welcome_msg")]
    assert welcomes == [("新朋友您好", 0), ("谢谢惠顾", 0)]
    assert [row.userid for row in await stage.sends(send.c.outcome == "sent")] == ["lina", "WuHao"]
    assert {run.playbook_key: run.state for run in await stage.runs()} == {"pb-02": "active", "pb-01": "queued"}
    assert "排队" in await stage.why(who)
    await stage.pass_until("03-02 13:00")
    assert [one.step_id for one in await stage.tasks()] == ["nudge"]


async def test_02_paid_a_second_before_the_tap_the_tap_is_refused_and_the_step_cancelled(stage: Stage) -> None:
    """2: PB-03, paid 1 s before staff taps: the tap says 订单已付款，无需催付."""
    remind = book(
        "pb-03", "order.created", t("remind", "T0+30m", ttl="6h"),
        run_key="order", reentry="per_key", priority="P1", exit_if="{event: order.paid}",
    )  # fmt: skip
    await stage.publish_texts(remind)
    await stage.scan("小满")
    await stage.order("小满", "A1", "pending_payment")
    await stage.order("小满", "A2", "pending_payment")
    await stage.pass_time(minutes=31)
    await stage.pass_time(minutes=31)  # a customer has half an hour between two of them
    paid, other = sorted(await stage.tasks(), key=lambda one: one.enrolment_id)
    stage.clock.advance(seconds=5)
    # The shop has told us; nobody has drawn any conclusion from it yet.
    await stage.order("小满", "A1", "paid", handled=False)
    stage.clock.advance(seconds=1)
    assert await stage.tap(paid.id) == "订单已付款，无需催付。"
    (row,) = await stage.rows(step_run, step_run.c.id == paid.step_run_id)
    assert (row.state, "订单已付款" in row.reason) == ("skipped", True)
    assert await stage.tap(other.id) == ""
    await stage.pass_time(hours=3)
    assert [row.task_id for row in await stage.sends(send.c.kind == "chat")] == [other.id]


async def test_03_delivered_before_shipped_and_told_again_is_one_message(stage: Stage) -> None:
    """3: PB-05, delivered arrives before shipped; re-import of the same order: one message."""
    care = book(
        "pb-05", "order.delivered", t("arrived", "T0+5m"), run_key="order", reentry="per_key", priority="P1",
        exit_if="{event: refund.opened}",
    )  # fmt: skip
    shipped = book("pb-05s", "order.shipped", t("sent", "T0+1m"), run_key="order", reentry="per_key", priority="P1")
    await stage.publish_texts(care, shipped)
    await stage.scan("小满")
    await stage.order("小满", "A1", "paid")
    for state in ("delivered", "shipped", "delivered", "in_transit"):
        await stage.parcel("A1", state)
        stage.clock.advance(seconds=1)
    for status in ("shipped", "paid", "shipped"):
        await stage.order("小满", "A1", status)
    for until in ("03-02 10:20", "03-02 12:00"):
        await stage.pass_until(until)
        await stage.tap_all()
    for _ in range(2):
        await stage.order("小满", "A1", "shipped")
    await stage.pass_time(days=1)
    told = [one.step_id for one in await stage.tasks()]
    assert told.count("arrived") == 1
    assert told.count("sent") <= 1
    sent = await stage.sends(send.c.kind == "chat")
    assert len({row.task_id for row in sent}) == len(sent) == len(told)


async def test_04_a_complaint_takes_back_an_unconfirmed_mass_message_and_the_run_goes_on_after_it(stage: Stage) -> None:
    """4: PB-07 opens while PB-08 step 3 waits as unconfirmed mass-send."""
    second = book(
        "pb-08", "contact.added",
        t("hello", "T0+1m"), t("tips", "D+1 10:00-10:30"), m("news", "D+3 10:00-10:10", ttl="30h"),
        t("later", "D+6 10:00-10:30"), priority="P3", guards="{cap: none}",
    )  # fmt: skip
    case = book("pb-07", "refund.opened", t("sorry", "T0"), run_key="case", reentry="per_key", priority="P0")
    await stage.publish_texts(second, case)
    who = await stage.scan("小满")
    await stage.order("小满", "A1", "paid")
    for until in ("03-02 10:30", "03-03 11:00", "03-05 10:30"):
        await stage.pass_until(until)
        await stage.tap_all()
    (made,) = stage.made
    assert (await stage.states())["news"] == "waiting"
    refund = {"refund_no": "R1", "type": "refund_only", "amount_fen": 5000}
    opened = stage.clock.now().isoformat()
    await stage.order("小满", "A1", "paid", refunds=[refund | {"status": "requested", "created_at": opened}])
    await stage.pass_time(minutes=2)
    assert made.is_cancelled
    assert [one.errcode for one in stage.called("cancel_groupmsg_send")] == [0]
    assert (await stage.run_of("pb-08", who)).state == "paused"
    assert "sorry" in await stage.tap_all()
    await stage.pass_until("03-06 12:00")
    closed = {"status": "refunded", "created_at": opened, "finished_at": stage.clock.now().isoformat()}
    await stage.order("小满", "A1", "paid", refunds=[refund | closed])
    await stage.pass_until("03-13 09:00")
    assert (await stage.run_of("pb-08", who)).state == "paused"
    await stage.pass_until("03-13 12:30")
    assert (await stage.run_of("pb-08", who)).state == "active"
    living = [one for one in stage.made if not one.is_cancelled]
    assert len(living) == 1
    stage.confirm(living[0].msgid)
    await stage.pass_time(minutes=10)
    assert stage.sandbox.world.sending.received.keys() == {who.external_userid}
    assert len(stage.sandbox.world.sending.received[who.external_userid]) == 1
    await stage.pass_until("03-16 12:00")
    assert [one.step_id for one in await stage.tasks()] == ["hello", "tips", "sorry", "later"]


async def test_05_three_bottles_last_three_cycles_and_a_reorder_in_any_shop_closes_the_run(stage: Stage) -> None:
    """5: PB-09, three bottles: reminder at 3xC; reorder on another shop closes the run."""
    again = book(
        "pb-09", "{event: order.delivered, where: {sku: TEA}}",
        "branch: [{name: 三瓶, if: {trigger: qty, op: gte, value: 3}, steps: [" + t("three", "D+15 10:00-10:30") + "]}, "
        "{else: [" + t("one", "D+5 10:00-10:30") + "]}]",
        run_key="sku_family", reentry="{every: 1d}", exit_if="{event: order.paid, where: {sku: TEA}}",
    )  # fmt: skip
    await stage.publish_texts(again)
    three, one, back = [await stage.scan(name) for name in ("三瓶", "一瓶", "再买")]
    for who, number, count in (("三瓶", "A1", 3), ("一瓶", "A2", 1), ("再买", "A3", 3)):
        await stage.order(who, number, "paid", line={"qty": count})
        await stage.parcel(number, "delivered")
    await stage.pass_until("03-08 12:00")
    assert [(task.person_id, task.step_id) for task in await stage.tasks()] == [(one.person_id, "one")]
    # Another product is no reorder; the same in another shop on another channel is.
    await stage.order("三瓶", "B1", "paid", line={"merchant_sku": "CUP"})
    await stage.order("再买", "T9", "paid", channel="taobao", shop_key="tmall-2")
    assert (await stage.run_of("pb-09", back)).state == "exited"
    await stage.pass_until("03-17 09:59")
    assert len(await stage.tasks()) == 1
    await stage.pass_until("03-17 12:00")
    last = (await stage.tasks())[-1]
    assert (last.person_id, last.step_id, len(await stage.tasks())) == (three.person_id, "three", 2)


async def test_06_a_refund_that_takes_the_level_back_refuses_the_tap(stage: Stage) -> None:
    """6: PB-10, refund pulls growth back under the line between step 1's release and the tap."""

    def rules(conn: Connection) -> None:
        since = stage.clock.now() - timedelta(days=1)
        membership.save_rules(conn, Rules(since=since), by="boss", now=stage.clock.now())
        membership.save_level(conn, Level("silver", "银卡", 100, 100))

    await stage.services.db.write(rules)
    up = "{event: level.changed, where: {direction: up}}"
    down = "{event: level.changed, where: {direction: down}}"
    await stage.publish_texts(book("pb-10", up, t("congrats", "T0+10m"), exit_if=down, priority="P2"))
    await stage.scan("小满")
    await stage.order("小满", "A1", "completed", paid_at=stage.clock.now().isoformat())
    await stage.pass_time(minutes=11)
    (waiting,) = await stage.tasks()
    assert waiting.step_id == "congrats"
    now = stage.clock.now().isoformat()
    refund = {"refund_no": "R1", "status": "refunded", "amount_fen": 15000, "created_at": now, "finished_at": now}
    # Told and drawn on, but no tick has come by.
    await stage.order("小满", "A1", "completed", refunds=[refund], handled=False)
    await stage.services.worker.drain()
    assert await stage.tap(waiting.id) != ""
    (after,) = await stage.tasks()
    assert (after.state, bool(after.reason)) == ("withdrawn", True)
    assert await stage.sends(send.c.kind == "chat") == []


# The looks at the calendar are tested on both databases in tests/sop/test_dates.py.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_07_birthdays_on_leap_days_by_the_moon_edited_and_at_night_are_defined(stage: Stage) -> None:
    """7: PB-12. Each kind of birthday by itself is in tests/sop/test_dates.py."""
    await stage.post("fields", {"key": "birthday", "title": "生日", "type": "date"})
    solar = book(
        "pb-12", "{event: date.reached, date: birthday}", t("greet", "D+0 09:00-11:00", ttl="2h", late="drop"),
        run_key="person+year", reentry="per_key", priority="P3", guards="{cap: none, queue: none}",
    )  # fmt: skip
    night = book(
        "pb-12n", "{event: date.reached, date: birthday}", t("owl", "D+0 22:00-23:00", ttl="2h", late="drop"),
        run_key="person+year", reentry="per_key", priority="P3", guards="{cap: none, queue: none}",
    )  # fmt: skip
    with pytest.raises(Exception, match="永远不会"):
        await stage.publish_texts(night)
    await stage.publish_texts(solar)
    leap, today = await stage.scan("闰日"), await stage.scan("今天")
    stage.clock.move_to(datetime(2027, 2, 20, 2, 0, tzinfo=UTC))
    await set_field(stage, leap, "birthday", "1996-02-29")
    await set_field(stage, today, "birthday", "1990-02-21")
    await days_pass(stage, until=datetime(2027, 2, 21, 12, 0, tzinfo=UTC))
    assert [one.person_id for one in await stage.tasks()] == [today.person_id]
    # Edited after the greeting: not again this year, and next year on the new day.
    await set_field(stage, today, "birthday", "1990-02-26")
    await days_pass(stage, until=datetime(2027, 3, 2, 12, 0, tzinfo=UTC))
    greeted = [(one.person_id, one.created_at.date().isoformat()) for one in await stage.tasks()]
    assert greeted == [(today.person_id, "2027-02-21"), (leap.person_id, "2027-02-28")]
    stage.clock.move_to(datetime(2028, 2, 25, 2, 0, tzinfo=UTC))
    await days_pass(stage, until=datetime(2028, 3, 2, 12, 0, tzinfo=UTC))
    later = [(one.person_id, one.created_at.date().isoformat()) for one in (await stage.tasks())[2:]]
    assert later == [(today.person_id, "2028-02-26"), (leap.person_id, "2028-02-29")]


async def set_field(stage: Stage, who: Customer, key: str, value: str) -> None:
    await stage.post(f"customers/{who.person_id}/fields", {key: value}, method="PATCH")
    await stage.settle()


async def days_pass(stage: Stage, *, until: datetime) -> None:
    """By quarters of a day: the look at the calendar, then whatever falls due, when it does."""
    while (now := stage.clock.now()) < until:
        await calendar_ticks.tick_dates(stage.services)
        await stage.settle()
        due_at = await ticking.next_due_at(stage.services)
        quarter = now + timedelta(hours=6)
        stage.clock.move_to(due_at if due_at is not None and now < due_at < quarter else quarter)
    await stage.settle()


async def test_09_who_deletes_the_member_while_four_tasks_wait_has_none_within_one_tick(stage: Stage) -> None:
    """9: PB-15b."""
    four = [book(f"open-{n}", "contact.added", t(f"ask{n}", f"T0+{1 + 31 * n}m"), priority="P2") for n in range(4)]
    await stage.publish_texts(*four)
    who, other = await stage.scan("小满"), await stage.scan("阿宁")
    await stage.pass_until("03-02 14:00")
    mine = task.c.external_userid == who.external_userid
    assert [one.state for one in await stage.tasks(mine)] == ["open"] * 4
    await stage.sandbox.delete_member("小满", "lina")
    await stage.sandbox.settle()
    await stage.services.worker.drain()
    await stage.tick()
    taken = await stage.tasks(mine)
    assert {(one.state, one.reason) for one in taken} == {("withdrawn", "客户已不是李娜的好友，任务已撤回。")}
    assert {run.state for run in await stage.runs(enrolment.c.person_id == who.person_id)} == {"exited"}
    assert {one.state for one in await stage.tasks(task.c.external_userid == other.external_userid)} == {"open"}
    assert await stage.tap(taken[0].id) != ""
    await stage.pass_time(days=3)
    assert await stage.sends(send.c.external_userid == who.external_userid, send.c.kind == "chat") == []


async def test_10_a_confirmation_after_the_ttl_is_expired_in_ledger_and_heat_map(stage: Stage) -> None:
    """10: PB-16; a task tapped after its time sends nothing, a mass message confirmed late counts as 已过期."""
    promo = book(
        "pb-16", "contact.added", m("wave", "T0", ttl="4h"), t("pay", "T0+30m", ttl="2h"),
        guards="{cap: none, queue: none}", priority="P4",
    )  # fmt: skip
    await stage.publish_texts(promo)
    await stage.scan("小满")
    await stage.pass_time(minutes=2)
    await stage.pass_time(minutes=40)
    (waiting,) = await stage.tasks()
    stage.clock.advance(hours=6)
    # Nobody ticked: the tap itself knows that it is too late.
    assert "过期" in await stage.tap(waiting.id) or "有效期" in await stage.tap(waiting.id)
    stage.confirm(stage.made[0].msgid)
    await stage.settle()
    await stage.pass_time(minutes=10)
    assert await stage.states() == {"wave": "dropped", "pay": "dropped"}
    assert await stage.sends(send.c.kind == "chat") == []
    figures = await stage.get("playbooks/pb-16/results")
    steps = {one["id"]: one for one in figures["steps"]}
    assert (steps["pay"]["expired"], steps["wave"]["expired"]) == (1, 1), figures
    assert figures["members"], figures


async def test_11_a_live_that_is_moved_is_told_of_once_and_the_old_reminders_are_gone(stage: Stage) -> None:
    """11: PB-18."""
    remind = book(
        "pb-18", "live.booked", t("soon", "T0-2h"), run_key="live", reentry="per_key",
        priority="P2", exit_if="{event: live.moved}",
    )  # fmt: skip
    moved = book("pb-18m", "live.moved", t("moved", "T0+1m"), run_key="live", reentry="per_key", priority="P2")
    await stage.publish_texts(remind, moved)
    people = [await stage.scan(name) for name in ("甲", "乙")]
    stranger = await stage.scan("丙")
    for who in people:
        await stage.tell("live.booked", who, key="L1", facts={"starts_at": "2026-03-02T20:00:00+08:00"})
    for _ in range(3):
        news = {"name": "live.moved", "key": "L1", "facts": {"starts_at": "2026-03-03T15:00:00+08:00"}}
        await stage.post("events", [news])
        await stage.settle()
        stage.clock.advance(minutes=1)
    await stage.pass_until("03-02 21:00")
    await stage.pass_until("03-03 16:00")
    told = [(one.step_id, one.person_id) for one in await stage.tasks()]
    assert sorted(told) == sorted(("moved", who.person_id) for who in people)
    assert stranger.person_id not in {person_id for _, person_id in told}


async def test_12_a_friend_counted_through_two_inviters_rewards_the_first_valid_one_once(stage: Stage) -> None:
    """12: PB-20; the shop's own system says whose friend has placed a first valid order, with the friend as key."""
    reward = book(
        "pb-20", "custom.friend_valid", '{id: reward, at: T0, channel: X, do: [{points: {amount: 50, reason: friend}}]}',
        run_key="case", reentry="per_key", priority="P2",
    )  # fmt: skip
    await stage.publish_texts(reward)
    first, second = await stage.scan("甲"), await stage.scan("乙")
    claims = [
        {"name": "custom.friend_valid", "person": {"id": who.person_id}, "key": "friend-丙", "event_id": f"e{number}"}
        for number, who in enumerate((first, second, first))
    ]
    answers = [await stage.post("events", [claims[0]])]
    await stage.settle()
    answers += await asyncio.gather(*(stage.post("events", [claim]) for claim in claims[1:]))
    assert len(answers) == 3
    await stage.settle()
    assert [(run.person_id, run.run_key) for run in await stage.runs()] == [(first.person_id, "case:friend-丙")]
    accounts = {row.person_id: row.available for row in await stage.rows(points_account)}
    assert accounts == {first.person_id: 50}
    assert "已经进入过" in str(await stage.rows(refusal, refusal.c.person_id == second.person_id))


async def test_14_a_day_without_a_server_brings_no_burst_on_any_channel(stage: Stage) -> None:
    """14: server down 26 h; overdue steps are skipped or deferred by their own rule."""
    notices = book(
        "care", "order.paid", t("first", "T0+1h", ttl="4h"), t("second", "T0+2h", ttl="72h"),
        t("third", "T0+3h", ttl="72h", late="drop"), run_key="order", reentry="per_key", priority="P1",
    )  # fmt: skip
    promo = book("promo", "contact.added", m("wave", "T0+2h", ttl="6h"), m("again", "D+2 10:00-11:00", ttl="6h"))
    await stage.publish_texts(notices, promo)
    people = [await stage.scan(f"客户{n}") for n in range(3)]
    for n, _ in enumerate(people):
        await stage.order(f"客户{n}", f"A{n}", "paid")
    stage.clock.advance(hours=26)
    before = len(await stage.sends(send.c.kind != "app_message"))
    await stage.settle()
    states = await stage.states()
    assert (states["first"], states["second"], states["wave"]) == (
        "dropped,dropped,dropped",
        "waiting,waiting,waiting",
        "dropped,dropped,dropped",
    )
    assert len(await stage.tasks()) == 3
    assert (stage.made, len(await stage.sends(send.c.kind != "app_message"))) == ([], before)
    reasons = {row.reason for row in await stage.rows(step_run) if row.state == "dropped"}
    assert all("过" in reason for reason in reasons), reasons
    await stage.pass_until("03-04 12:00")
    assert len(stage.made) == 1


async def test_16_of_two_journeys_of_one_person_the_further_goes_on_and_the_caps_add_up(stage: Stage) -> None:
    """16: both sides are in PB-08; joined by a program, with undo."""
    await stage.publish_texts(
        book("pb-08", "contact.added", t("hello", "T0+1m"), t("offer", "T0+24h", ttl="6h"), t("last", "D+4"),
             priority="P3"),
    )  # fmt: skip
    one = await stage.scan("甲")
    await stage.pass_time(minutes=2)
    await stage.tap_all()
    await stage.pass_time(hours=2)
    other = await stage.scan("乙")
    await stage.pass_time(minutes=2)
    await stage.tap_all()
    await stage.post("merges", {"kept": other.person_id, "gone": one.person_id})
    await stage.settle()
    states = sorted((run.state, run.person_id) for run in await stage.runs())
    assert states == [("active", other.person_id), ("merged", other.person_id)]
    (goes_on,) = await stage.runs(enrolment.c.state == "active")
    assert goes_on.enrolled_at == min(run.enrolled_at for run in await stage.runs())
    await stage.pass_until("03-03 14:00")
    # The day after the second one's greeting, not after the first one's: both count.
    offered = [one for one in await stage.tasks() if one.step_id == "offer"]
    assert len(offered) == 1
    assert offered[0].created_at >= datetime(2026, 3, 3, 4, 2, tzinfo=UTC)
    await stage.pass_time(days=6)
    assert (await stage.states())["offer"].count(",") == 0


async def test_17_who_is_held_out_hears_nothing_is_measured_and_stays_so_after_a_join(stage: Stage) -> None:
    """17."""
    text = book("pb-02", "contact.added", w("您好"), t("offer", "T0+1h"), goal="{event: order.paid, within: 7d}")
    await stage.publish_texts(text.replace("holdout: 0%", "holdout: 100%"))
    left_alone = await stage.scan("甲")
    await stage.publish_texts(text + "\n# 2\n")
    other = await stage.scan("乙")
    await stage.post("merges", {"kept": other.person_id, "gone": left_alone.person_id})
    await stage.pass_time(hours=3)
    (goes_on,) = await stage.runs(enrolment.c.state == "active")
    assert (goes_on.is_holdout, await stage.tasks()) == (True, [])
    await stage.order("乙", "A1", "paid")
    assert sorted(run.state for run in await stage.runs()) == ["goal", "merged"]
    figures = await stage.get("playbooks/pb-02/results")
    assert "holdout" in str(figures), figures
    assert "is_holdout=True" in await stage.why(other)


async def test_18_who_replies_5_hears_no_marketing_from_anybody_but_still_his_notices(stage: Stage) -> None:
    """18: PB-14; the customer writes 5, the member notes it with one tap."""
    awake = book(
        "pb-14", "contact.added", t("miss", "T0+1m"), t("again", "D+1 10:00-11:00"), priority="P4", guards="{cap: none}"
    )
    lying = book("promo", "contact.added", m("lying", "T0"), priority="P4", guards="{cap: none, queue: none}")
    wave = book("wave", "order.paid", m("news", "T0+2m"), run_key="order", reentry="per_key", priority="P3")
    parcel = book("pb-05", "order.paid", t("sent", "T0+5m"), run_key="order", reentry="per_key", priority="P1")
    case = book("pb-07", "refund.opened", t("sorry", "T0"), run_key="case", reentry="per_key", priority="P0")
    await stage.publish_texts(awake, lying, wave, parcel, case)
    who = await stage.scan("小满")
    await stage.scan("小满", "other", "WuHao")
    aning = await stage.scan("阿宁")
    await stage.pass_until("03-02 10:40")
    (made,) = stage.made
    assert len(made.deliveries) == 2
    await stage.sandbox.say("lina", who.external_userid, "5", "customer")
    headers = await stage.sign_in("lina")
    path = f"{stage.url}/sidebar/contacts/{who.external_userid}/optout"
    async with stage.http.post(
        path, data={"flag": "promo", "on": "1"}, headers=headers | {"HX-Request": "true"}
    ) as response:
        assert response.status == 200, await response.text()
    await stage.settle()
    miss = (await stage.tasks(task.c.person_id == who.person_id))[0]
    await stage.pass_time(minutes=2)
    (living,) = [one for one in stage.made if not one.is_cancelled]
    assert (made.is_cancelled, [each.target for each in living.deliveries]) == (True, [aning.external_userid])
    stage.confirm(living.msgid)
    assert (miss.state, "拒绝" in await stage.tap(miss.id)) == ("withdrawn", True)
    await stage.order("小满", "A1", "paid")
    await stage.pass_time(minutes=6)
    now = stage.clock.now().isoformat()
    refund = {"refund_no": "R1", "status": "requested", "amount_fen": 100, "created_at": now}
    await stage.order("小满", "A1", "paid", refunds=[refund])
    await stage.pass_time(minutes=40)
    await stage.pass_time(days=2)
    mine = await stage.tasks(task.c.person_id == who.person_id)
    assert {one.step_id for one in mine if one.state != "withdrawn"} == {"sent", "sorry"}
    assert (await stage.states())["news"] == "skipped"
    assert who.external_userid not in stage.sandbox.world.sending.received
    assert "客户已拒绝接收营销消息" in await stage.why(who)
