"""老带新 from outside: customers open their own page, friends scan it, order, refund, leave; the ledger says who counts."""

import asyncio
import itertools
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from scrm import inviting, joining
from scrm.commerce.models import coupon_issue
from scrm.contact_ways.models import contact_way
from scrm.events import Event, event, publish
from scrm.privacy.erase import erase
from scrm.profiles import store as profiles
from scrm.profiles.merge import Act
from scrm.profiles.models import member
from scrm.profiles.stop_list import add_to_stop_list
from scrm.referrals import addresses, campaigns, ledger, run
from scrm.referrals.models import referral
from scrm.sop.models import task
from tests.referrals.conftest import Friends
from tests.sop.shop import Customer

TEMPLATES = Path("config/playbooks/templates")


async def test_the_three_playbooks_invite_welcome_and_reward_without_any_other_system(stage: Friends) -> None:
    texts = [(TEMPLATES / f"pb-20-{name}.yaml").read_text() for name in ("referral", "friend", "reward")]
    await stage.publish_texts(*texts)
    inviter = await stage.scan("小满")
    await stage.begin()
    await stage.order("小满", "A1", "paid")
    await stage.services.db.write(_start, inviter, stage)
    await stage.settle()
    await stage.days(1)
    (invite,) = await stage.tasks(task.c.step_id == "invite")
    assert addresses.path_of(stage.services.vault, inviter.person_id) in invite.text
    await stage.brings(inviter, "阿朗")
    (welcome,) = (one for one in stage.called("send_welcome_msg"))
    assert "小满把您介绍给我" in str(welcome)
    await stage.days(1)
    await stage.order("阿朗", "B1", "paid")
    await stage.days(14)
    assert await stage.ledger() == [("pending", "")]
    await stage.days(1)
    (row,) = await stage.rows(referral)
    assert (row.state, row.inviter_id, row.look_at) == ("valid", inviter.person_id, None)
    assert await stage.told() == [
        ("custom.referral_added", inviter.person_id),
        ("custom.referral_valid", inviter.person_id),
        ("custom.referral_confirmed", row.person_id),
    ]
    issued = {(one.person_id, one.batch_key) for one in await stage.rows(coupon_issue)}
    assert issued == {(inviter.person_id, "thanks30"), (row.person_id, "friend30"), (row.person_id, "welcome20")}


def _start(conn: Any, who: Customer, stage: Friends) -> None:
    facts = {"playbook": "pb-20-referral"}
    now = stage.clock.now()
    publish(
        conn,
        [Event("manual.started", now, who.person_id, who.external_userid, who.userid, "pb-20-referral", facts)],
        now=now,
    )


async def test_the_page_makes_one_code_however_many_open_it_and_shows_its_picture_with_the_rules(
    stage: Friends,
) -> None:
    inviter = await stage.scan("小满")
    status, text = await stage.page(inviter)
    assert (status, "活动没有进行" in text) == (200, True)
    await stage.begin(daily_most=3, most=500)
    answers = await asyncio.gather(*(stage.page(inviter) for _ in range(4)))
    assert all("正在准备二维码" in text for _, text in answers)
    await stage.settle()
    (way,) = await stage.rows(contact_way, contact_way.c.inviter_id.is_not(None))
    assert way.userids == ["lina"]
    assert inviter.external_userid not in str(way._mapping)
    _, text = await stage.page(inviter)
    assert way.qr_code in text.replace("&amp;", "&")
    assert "每位客户每天最多算 3 位；名额 500 位，还剩 500 位，先到先得" in text
    async with stage.http.get(f"{stage.url}/i/{inviter.person_id}-{'0' * 32}") as response:
        assert response.status == 404


async def test_a_code_whose_making_was_cut_off_is_found_again_and_not_made_twice(stage: Friends) -> None:
    inviter = await stage.scan("小满")
    await stage.begin()
    before = len(stage.sandbox.world.contact_ways)
    stage.sandbox.faults.make_trouble("externalcontact/add_contact_way", "lost")
    await stage.page(inviter)
    await stage.settle()
    for _ in range(5):
        stage.clock.advance(minutes=2)
        await stage.settle()
    (way,) = await stage.rows(contact_way, contact_way.c.inviter_id == inviter.person_id)
    assert way.config_id in stage.sandbox.world.contact_ways
    assert len(stage.sandbox.world.contact_ways) == before + 1


async def test_a_customer_whose_data_was_deleted_invites_nobody_any_more(stage: Friends) -> None:
    inviter = await stage.scan("小满")
    await stage.begin()
    code = await stage.code(inviter)
    await stage.brings(inviter, "阿朗")
    await erase(stage.services, inviter.person_id, actor="chenlan", reason="客户要求")
    assert "活动没有进行" in (await stage.page(inviter))[1]
    await stage.days(1)
    assert await stage.ledger() == [("void", "inviter_stopped")]
    assert [await inviting.tend(stage.services) for _ in range(2)] == [1, 0]
    await stage.settle()
    assert code not in stage.sandbox.world.contact_ways


async def test_codes_lead_on_from_members_who_left_and_end_a_week_after_the_campaign(stage: Friends) -> None:
    texts = [(TEMPLATES / "pb-20-friend.yaml").read_text()]
    await stage.publish_texts(*texts)
    inviter = await stage.scan("小满")
    campaign = await stage.begin()
    code = await stage.code(inviter)
    await stage.scan("小满", userid="WuHao")
    await stage.delete("小满", "lina")
    await stage.services.db.write(_leave, "lina")
    assert await inviting.tend(stage.services) == 1
    await stage.settle()
    assert stage.sandbox.world.contact_ways[code].userids == ["WuHao"]
    await stage.services.db.write(campaigns.stop, campaign, now=stage.clock.now())
    await stage.brings(inviter, "阿朗", "WuHao")
    assert await stage.rows(referral) == []
    assert await stage.rows(coupon_issue) == []
    assert await inviting.tend(stage.services) == 0
    stage.clock.advance(days=7, seconds=1)
    assert [await inviting.tend(stage.services) for _ in range(2)] == [1, 0]
    await stage.settle()
    assert code not in stage.sandbox.world.contact_ways
    await stage.begin()
    assert await stage.code(inviter) != code


def _leave(conn: Any, userid: str) -> None:
    conn.execute(update(member).where(member.c.userid == userid).values(is_active=False))


async def test_a_customer_who_is_handed_over_brings_friends_to_the_new_member(stage: Friends) -> None:
    inviter = await stage.scan("小满")
    await stage.begin()
    await stage.code(inviter)
    await stage.scan("小满", userid="WuHao")
    await stage.delete("小满", "lina")
    await stage.page(inviter)
    await stage.settle()
    (way,) = await stage.rows(contact_way, contact_way.c.inviter_id == inviter.person_id)
    assert (way.userids, way.live["user"]) == (["WuHao"], ["WuHao"])


async def test_whoever_was_a_customer_before_or_is_the_inviter_or_a_relative_brings_nothing(stage: Friends) -> None:
    inviter, old, aunt = await stage.scan("小满"), await stage.scan("老客"), await stage.scan("姨妈", userid="chenlan")
    assert old.person_id != inviter.person_id
    await stage.begin()
    await stage.services.db.write(add_to_stop_list, aunt.person_id, "relative", note="", by="", now=stage.clock.now())
    # The sandbox hands out a code of the same member: friends just open their chat, so they come by another member.
    (way,) = [await stage.code(inviter)]
    stage.sandbox.world.contact_ways[way].userids[:] = ["WuHao"]
    for name in ("老客", "小满"):
        await stage.sandbox.delete_member(name, "lina")
        await stage.brings(inviter, name, "WuHao")
    await stage.brings(aunt, "表弟", "chenlan")
    found = {(state, reason) for state, reason in await stage.ledger()}
    assert found == {("void", "not_new"), ("void", "self"), ("void", "inviter_stopped")}
    assert await stage.told() == []


async def test_a_friend_of_two_customers_is_the_first_ones_even_when_wecom_tells_in_another_order(
    stage: Friends,
) -> None:
    """Scenario 12 of the document: the first row of the ledger wins."""
    first, second = await stage.scan("甲"), await stage.scan("乙", userid="WuHao")
    await stage.begin()
    await stage.brings(first, "丙")
    await stage.brings(second, "丙", "WuHao")
    (row,) = await stage.rows(referral)
    assert row.inviter_id == first.person_id
    # As if the later add had been told first.
    later = {"inviter_id": second.person_id, "added_at": row.added_at + timedelta(minutes=5), "event_id": 10**9}
    told = (await stage.rows(event, event.c.id == row.event_id))[0]

    def again(conn: Any) -> None:
        from scrm.events import event_of

        conn.execute(referral.update().values(**later))
        opener, zone = run.opener(stage.services), stage.services.settings.shop.zone
        ledger.note_add(conn, event_of(told), first.person_id, opener, zone, stage.clock.now())

    await stage.services.db.write(again)
    (row,) = await stage.rows(referral)
    assert (row.inviter_id, row.state, row.event_id) == (first.person_id, "pending", told.id)


@pytest.mark.parametrize(
    ("what", "verdict"),
    [
        ("leaves", ("void", "left")),
        ("refunds", ("void", "refunded")),
        ("no order", ("void", "no_order")),
        ("same address", ("void", "same_address")),
        ("same phone", ("void", "same_phone")),
        ("buys again", ("valid", "")),
    ],
)
async def test_a_friend_counts_only_by_a_kept_order_of_somebody_else(
    stage: Friends, what: str, verdict: tuple[str, str]
) -> None:
    inviter = await stage.scan("小满")
    await stage.begin()
    home = {"name": "林", "phone": "13800138000", "city": "杭州市", "address": "文三路 1 号"}
    away = {"name": "周", "phone": "13900139000", "city": "杭州市", "address": "文一路 9 号"}
    await stage.order("小满", "A1", "paid", receiver=home)
    await stage.brings(inviter, "阿朗")
    await stage.days(1)
    if what != "no order":
        receiver = {"same address": {**away, "address": "文三路1号"}, "same phone": {**away, "phone": home["phone"]}}
        await stage.order("阿朗", "B1", "paid", receiver=receiver.get(what, away))
    if what == "leaves":
        await stage.delete("阿朗")
    if what in ("refunds", "buys again"):
        stage.clock.advance(hours=1)
        refund = {"refund_no": "R1", "type": "refund_only", "status": "refunded", "amount_fen": 20000}
        await stage.order("阿朗", "B1", "closed", refunds=[refund])
    if what == "buys again":
        await stage.order("阿朗", "B2", "paid", receiver=away)
    await stage.days(32)
    assert await stage.ledger() == [verdict]


async def test_ceilings_a_managers_look_and_the_last_place_hold_and_nobody_is_told_twice(stage: Friends) -> None:
    inviter = await stage.scan("小满")
    campaign = await stage.begin(return_days=0, daily_most=3, review_above=1, most=2)
    for name in ("一", "二", "三", "四"):
        await stage.brings(inviter, name)
    assert [state for state, _ in await stage.ledger()] == ["pending", "pending", "pending", "void"]
    for number, name in enumerate(("一", "二", "三")):
        await stage.order(name, f"B{number}", "paid")
    await stage.days(1)
    rows = await stage.rows(referral)
    assert [(row.state, row.reason) for row in rows][:3] == [("valid", ""), ("review", "many"), ("review", "many")]
    now, write = stage.clock.now(), stage.services.db.write
    asked: Any = (rows[1].id, run.opener(stage.services), stage.services.settings.shop.zone)
    await asyncio.gather(*(write(ledger.approve, *asked, by="chenlan", now=now) for _ in range(2)))
    await write(ledger.refuse, rows[2].id, "同一家人", by="chenlan", now=now)
    await write(ledger.take_back, rows[2].id, now=now)
    await stage.days(1)
    assert await stage.ledger() == [("valid", ""), ("valid", ""), ("void", "full"), ("void", "daily")]
    told = [name for name, _ in await stage.told()]
    assert (told.count("custom.referral_valid"), told.count("custom.referral_added")) == (2, 3)
    assert campaign == rows[0].campaign_id
    assert "还剩 0 位" in (await stage.page(inviter))[1]
    assert "目前介绍最多的 1 位客户：2 位有效朋友" in (await stage.page(inviter))[1]


async def test_of_two_files_of_one_friend_the_reward_stays_one_and_inviters_who_are_one_share_it(
    stage: Friends,
) -> None:
    inviter, twin = await stage.scan("小满"), await stage.scan("小满二号", userid="WuHao")
    await stage.begin(return_days=0)
    await stage.brings(inviter, "阿朗")
    await stage.brings(twin, "阿朗二号", "WuHao")
    await stage.order("阿朗二号", "B1", "paid")
    await stage.days(1)
    pending, valid = await stage.rows(referral)
    assert (pending.state, valid.state) == ("pending", "valid")
    db, now = stage.services.db, stage.clock.now()
    await db.write(joining.join, pending.person_id, valid.person_id, Act("chenlan", "manual"), now=now)
    await db.write(joining.join, inviter.person_id, twin.person_id, Act("chenlan", "manual"), now=now)
    await stage.days(3)
    (row,) = await stage.rows(referral)
    assert (row.state, row.person_id, row.inviter_id) == ("valid", pending.person_id, inviter.person_id)
    assert [name for name, _ in await stage.told()].count("custom.referral_valid") == 1
    # Both codes lead to the one who is left.
    states = await stage.services.db.read(lambda conn: conn.execute(select(contact_way.c.inviter_id)).scalars().all())
    assert {inviter.person_id, twin.person_id} <= set(states)


async def test_in_whatever_order_adds_orders_and_losses_are_told_the_ledger_says_the_same(stage: Friends) -> None:
    first, second = await stage.scan("甲"), await stage.scan("乙", userid="WuHao")
    await stage.begin()
    for who in (first, second):
        await stage.code(who)
    states = {row.inviter_id: row.state for row in await stage.rows(contact_way, contact_way.c.inviter_id.is_not(None))}
    began = stage.clock.now()
    stage.clock.advance(days=3)
    wanted = {}
    for number, told in enumerate((*itertools.permutations("abc"), *itertools.permutations("abcd"))):
        leaves = "d" in told
        name = f"friend-{number}"
        person_id = await stage.services.db.write(_know, name, now=stage.clock.now())
        wanted[person_id] = (first.person_id, "void", "left") if leaves else (first.person_id, "valid", "")
        happened = {
            "a": Event("contact.added", began, person_id, name, "lina", facts={"state": states[first.person_id]}),
            "b": Event(
                "contact.added",
                began + timedelta(hours=1),
                person_id,
                name,
                "WuHao",
                facts={"state": states[second.person_id]},
            ),
            "d": Event("contact.lost_by_customer", began + timedelta(days=2), person_id, name, "lina"),
        }
        for what in told:
            if what == "c":
                paid_at = (began + timedelta(days=1)).isoformat()
                await stage.order(name, f"C{number}", "paid", handled=False, paid_at=paid_at)
            else:
                await stage.services.db.write(publish, [happened[what]], now=stage.clock.now())
            await stage.services.worker.drain()
    await stage.days(16)
    found = {row.person_id: (row.inviter_id, row.state, row.reason) for row in await stage.rows(referral)}
    assert found == wanted
    told_of = [person_id for name, person_id in await stage.told() if name == ledger.CONFIRMED]
    assert sorted(told_of) == sorted(who for who, (_, state, _) in wanted.items() if state == "valid")


def _know(conn: Any, name: str, now: datetime) -> int:
    """A contact whose orders are told by their unionid."""
    person_id = profiles.ensure_contact(conn, name, now=now).person_id
    profiles.add_identity(conn, person_id, "wx_unionid", f"oU{name}", source="auto", now=now)
    return person_id
