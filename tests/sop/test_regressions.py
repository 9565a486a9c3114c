"""Regressions that other people's bugs hand us, where no test of the feature itself tells the whole of it.

docs/scenarios.md names the test of each of the 22.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scrm.commerce.models import orders
from scrm.membership.models import points_account
from scrm.sop import tick as ticking
from scrm.sop.models import enrolment, send, step_run
from scrm.sop.results.tables import refusal
from tests.fakes.clock import FakeClock
from tests.sop.shop import Shop, playbook_of, step
from tests.sop.stage import Stage, open_stage
from tests.sop.test_scenarios import book, t


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def stage(database_url: str, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(database_url, clock, tmp_path) as stage:
        yield stage


async def test_08_two_customers_of_one_member_at_different_steps_get_their_own_words(stage: Stage) -> None:
    """8: customer A due step 1 and customer B due step 2, same employee: two tasks, no content crossing."""
    said = '{{id: {0}, at: "{1}", channel: T, late: defer, ttl: 20h, content: {{text: "{0}：{{{{ 客户昵称 }}}}"}}}}'
    await stage.publish_texts(
        book("two", "contact.added", said.format("one", "T0+2h"), said.format("two", "T0+4h"), priority="P2")
    )
    early = await stage.scan("阿早")
    await stage.pass_until("03-02 12:00")
    await stage.tap_all()
    late = await stage.scan("阿晚")
    # Both fall due in one batch of one tick.
    await stage.pass_until("03-02 14:00")
    waiting = {one.external_userid: one for one in await stage.tasks() if one.state == "open"}
    words = {who: (one.step_id, one.text) for who, one in waiting.items()}
    assert words == {
        early.external_userid: ("two", "two：阿早"),
        late.external_userid: ("one", "one：阿晚"),
    }
    for who, one in waiting.items():
        status, answer = await stage.press("lina", f"tasks/{one.id}/release")
        assert (status, answer["messages"][0]["text"]["content"]) == (200, words[who][1])
        # Nobody else may open it, and it is not for another chat.
        assert (await stage.press("WuHao", f"tasks/{one.id}/release"))[0] in (403, 404, 409)


async def test_09_overlapping_ticks_and_a_jumping_clock_do_each_step_at_most_once(stage: Stage) -> None:
    """9: tick overlaps, two workers, clock jump. A killed worker is in tests/chaos/test_journeys_kill.py."""
    await stage.publish_texts(
        book("steps", "contact.added", t("a", "T0+1h", ttl="90h"), t("b", "T0+2h", ttl="90h"),
             "{id: c, at: T0+2h, channel: X, do: [{points: 3}]}", priority="P2"),
    )  # fmt: skip
    people = [await stage.scan(f"客户{number}") for number in range(5)]
    for hours in (1, -2, 1, 26, -26, 3, 30, 0):
        stage.clock.advance(hours=hours)
        await asyncio.gather(*(ticking.tick(stage.services) for _ in range(4)), stage.services.worker.drain())
    await stage.settle()
    done = Counter((row.enrolment_id, row.step_id) for row in await stage.rows(step_run))
    assert (len(done), set(done.values())) == (3 * len(people), {1})
    assert {row.available for row in await stage.rows(points_account)} == {3}
    per_step = Counter((one.person_id, one.step_id) for one in await stage.tasks())
    assert set(per_step.values()) == {1}


@pytest.mark.parametrize(
    ("reentry", "run_key", "expected"),
    [
        # (after an hour, while it runs; 2 days later, over; 11 days later): how many runs there are
        ("never", "person", (1, 1, 1)),
        ("{every: 10d}", "person", (1, 1, 2)),
        ("per_key", "order", (2, 3, 4)),
    ],
)
async def test_11_re_entry_does_what_its_switch_says(
    stage: Stage, reentry: str, run_key: str, expected: tuple[int, ...]
) -> None:
    """11: re-entry off, once per N days, per order id; leave and return; while a run is active."""
    await stage.publish_texts(
        book("again", "order.paid", t("ask", "T0+1h", ttl="20h"), run_key=run_key, reentry=reentry, priority="P1",
             exit_if="{event: contact.lost_by_customer}"),
    )  # fmt: skip
    who = await stage.scan("小满")
    await stage.order("小满", "A1", "paid")
    stage.clock.advance(minutes=30)
    await stage.order("小满", "A2", "paid")
    await stage.order("小满", "A1", "paid")
    found = [len(await stage.runs())]
    # Leaves, and comes back: what ended by that does not begin anew by itself.
    await stage.delete("小满")
    assert {run.state for run in await stage.runs()} == {"exited"}
    await stage.scan("小满")
    stage.clock.advance(days=2)
    await stage.order("小满", "A3", "paid")
    found.append(len(await stage.runs()))
    stage.clock.advance(days=9)
    await stage.order("小满", "A4", "paid")
    found.append(len(await stage.runs()))
    assert tuple(found) == expected
    assert len({run.run_key for run in await stage.runs()}) == found[-1]
    if found[-1] == 1:
        reasons = {row.reason for row in await stage.rows(refusal, refusal.c.person_id == who.person_id)}
        assert reasons == {"已经进入过，按规则不再进入"}


async def test_14_joined_with_runs_points_and_orders_and_parted_again_nothing_is_lost(stage: Stage) -> None:
    """14: two people in one playbook, with points, coupons and orders; undo; the old id leads on."""
    await stage.publish_texts(book("care", "contact.added", t("hi", "T0+30m"), t("later", "D+3"), priority="P3"))
    one, two = await stage.scan("甲"), await stage.scan("乙")
    batch = {"key": "b", "title": "券", "face_fen": 100, "threshold_fen": 0, "budget": 9}
    await stage.post("coupon_batches", batch)
    for who, name, number in ((one, "甲", "A1"), (two, "乙", "B1")):
        await stage.post("coupons/issue", {"batch": "b", "reason": name, "person_id": who.person_id})
        await stage.order(name, number, "paid")
    before = {who.person_id: await stage.get(f"customers/{who.person_id}") for who in (one, two)}
    merge = await stage.post("merges", {"kept": one.person_id, "gone": two.person_id})
    await stage.settle()
    assert (await stage.get(f"customers/{two.person_id}"))["id"] == one.person_id
    assert sorted(run.state for run in await stage.runs()) == ["active", "merged"]
    assert {row.person_id for row in await stage.rows(orders)} == {one.person_id}
    await stage.pass_until("03-02 11:00")
    assert Counter(each.person_id for each in await stage.tasks()) == {one.person_id: 1}
    await stage.post(f"merges/{merge['id']}/undo", {})
    await stage.settle()
    after = {who.person_id: await stage.get(f"customers/{who.person_id}") for who in (one, two)}
    assert [after[who.person_id]["id"] for who in (one, two)] == [one.person_id, two.person_id]
    owners = {row.order_no: row.person_id for row in await stage.rows(orders)}
    assert owners == {"A1": one.person_id, "B1": two.person_id}
    for person_id, told in before.items():
        assert after[person_id].get("totals") == told.get("totals")
    living = [run.person_id for run in await stage.runs(enrolment.c.state.in_(("active", "merged", "done", "exited")))]
    assert len(living) == 2


async def test_15_paid_refunded_partly_imported_again_and_out_of_order_exits_once(stage: Stage) -> None:
    """15: order paid while "unpaid" waits; refund during upsell; partial refund; re-import; shipped before paid."""
    unpaid = book(
        "unpaid", "order.created", t("remind", "T0+2h"), run_key="order", reentry="per_key", priority="P1",
        exit_if="{event: order.paid}",
    )  # fmt: skip
    upsell = book(
        "upsell", "order.paid", t("more", "T0+26h"), run_key="order", reentry="per_key", priority="P2",
        exit_if="{event: refund.opened}",
    )  # fmt: skip
    await stage.publish_texts(unpaid, upsell)
    await stage.scan("小满")
    for number in ("A1", "A2", "A3"):
        await stage.order("小满", number, "pending_payment")
    stage.clock.advance(minutes=5)
    await stage.order("小满", "A1", "paid")
    # Shipped is the first that is told of it, the payment comes after, and the beginning once more at the end.
    paid_at = stage.clock.now().isoformat()
    await stage.order("小满", "A2", "shipped", paid_at=paid_at)
    old = {"platform_updated_at": paid_at}
    stage.clock.advance(seconds=1)
    assert await stage.order("小满", "A2", "paid", **old) in ("stale", "unchanged", "updated")
    assert await stage.order("小满", "A1", "paid", **old) in ("stale", "unchanged")
    states = Counter((run.playbook_key, run.state) for run in await stage.runs())
    assert states == {("unpaid", "exited"): 2, ("unpaid", "active"): 1, ("upsell", "active"): 2}
    now = stage.clock.now().isoformat()
    part = {"refund_no": "R1", "status": "refunded", "amount_fen": 500, "created_at": now, "finished_at": now}
    for _ in range(2):
        await stage.order("小满", "A1", "paid", refunds=[part])
    ended = [run for run in await stage.runs(enrolment.c.playbook_key == "upsell") if run.state == "exited"]
    assert [(run.run_key, run.ended_reason) for run in ended] == [("order:mall/main/A1", "客户申请了退款")]
    await stage.pass_until("03-02 14:00")
    assert [one.step_id for one in await stage.tasks()] == ["remind"]
    await stage.tap_all()
    await stage.pass_until("03-03 16:00")
    await stage.tap_all()
    # The refund of one order keeps advertising away from the other one too.
    assert [one.step_id for one in await stage.tasks()] == ["remind"]
    (braked,) = await stage.rows(step_run, step_run.c.step_id == "more")
    assert (braked.state, "售后结束不久" in braked.reason) == ("dropped", True)
    assert len(await stage.sends(send.c.kind == "chat")) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_17_a_tag_that_another_process_makes_in_this_moment_is_taken_as_it_is(shop: Shop) -> None:
    """17, found by killing workers: of two that make a tag at once the second is refused with 40071, and goes on."""
    made = {"errcode": 0, "tag_group": [{"group_name": "SCRM", "tag": [{"id": "et1", "name": "老客"}]}]}
    shop.wecom.say("externalcontact/get_corp_tag_list", {"errcode": 0, "tag_group": []}, made)
    shop.wecom.say("externalcontact/add_corp_tag", 40071)
    await shop.run(playbook_of(step("mark", "T0", "X", act=({"add_tag": "老客"},))))
    await shop.add()
    await shop.settle()
    assert shop.wecom.called("externalcontact/mark_tag")[0]["add_tag"] == ["et1"]
    assert await shop.steps() == {"mark": "done"}
