"""Whom a message is for by segment, when it begins, who must agree, and what came of it."""

from datetime import timedelta
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from scrm.commerce.models import orders
from scrm.errors import Conflict, Forbidden, Invalid
from scrm.events import Event, record
from scrm.mass_messages import acts, effects, plan, saying, store
from scrm.mass_messages.audience import Audience
from scrm.profiles.models import follow_user, member
from scrm.sandbox.confirming import confirm_mass_message
from scrm.segments import store as segments
from scrm.segments.store import Draft
from scrm.work import queue
from tests.mass_messages.conftest import APPROVE_ABOVE, House, send


async def _person_of(house: House, external_userid: str) -> int:
    (row,) = await house.rows(follow_user, follow_user.c.external_userid == external_userid)
    return int(row.person_id)


async def _list(house: House, key: str, *people: str) -> None:
    """A static segment of these customers."""
    ids = [await _person_of(house, each) for each in people]
    now = house.clock.now()

    def write(conn: Connection) -> None:
        segments.save_segment(conn, Draft(key, key), now=now)
        segments.put_members(conn, key, ids, now=now)

    await house.services.db.write(write)


async def test_a_segment_says_who_gets_it_and_another_who_does_not(house: House) -> None:
    xiaoman, aning, dada = await house.meet("xiaoman"), await house.meet("aning"), await house.meet("dada")
    await house.meet("outside")
    await _list(house, "vip", xiaoman, aning, dada)
    await _list(house, "sad", aning)
    vip = Audience(segment="vip", without="sad")
    found = await plan.foresee(house.services, vip)
    assert (found.customers, found.by_member, found.tired) == (2, {"lina": 2}, 0)
    message_id = await send(house, vip)
    assert await house.states(message_id) == {xiaoman: "waiting", dada: "waiting"}
    confirm_mass_message(house.sandbox, "lina", house.made[0].msgid)
    await house.pass_time(minutes=2)
    house.clock.advance(days=2)
    rested = Audience(segment="vip", rested=3)
    assert (await plan.foresee(house.services, rested)).by_member == {"lina": 1}
    assert await house.states(await send(house, rested, text="第二条")) == {aning: "waiting"}


async def test_a_deleted_segment_is_nobody(house: House) -> None:
    xiaoman = await house.meet("xiaoman")
    await _list(house, "vip", xiaoman)
    await house.services.db.write(lambda conn: segments.delete_segment(conn, "vip", now=house.clock.now()))
    assert (await plan.foresee(house.services, Audience(segment="vip"))).customers == 0
    assert await house.states(await send(house, Audience(segment="vip"))) == {}
    assert (await plan.foresee(house.services, Audience(userids=("lina",), without="gone"))).customers == 0


async def test_who_had_two_in_a_week_is_foretold_to_get_too_many(house: House) -> None:
    xiaoman = await house.meet("xiaoman")
    await house.meet("fresh")
    person_id, now = await _person_of(house, xiaoman), house.clock.now()
    had = [Event("task.sent", now - timedelta(days=n), person_id, xiaoman, "lina", once=f"t{n}") for n in (2, 3)]
    await house.services.db.write(lambda conn: record(conn, had, now=now))
    found = await plan.foresee(house.services, Audience(userids=("lina",)))
    assert (found.by_member, found.tired_by_member) == ({"lina": 2}, {"lina": 1})


async def test_a_scheduled_message_begins_at_its_time_with_who_fits_then(house: House) -> None:
    await house.meet("xiaoman")
    at = house.clock.now() + timedelta(hours=3)
    message_id = await send(house, scheduled_at=at)
    stopped = await send(house, text="不发了", scheduled_at=at)
    await acts.cancel(house.services, stopped)
    later = await house.meet("later")
    await house.pass_time(hours=2)
    assert house.made == []
    await house.pass_time(hours=1, seconds=1)
    assert later in await house.states(message_id)
    assert (len(house.made), len(await house.states(message_id)), await house.states(stopped)) == (1, 2, {})
    with pytest.raises(Invalid, match="已经过了"):
        await send(house, scheduled_at=house.clock.now() - timedelta(seconds=1))


async def _restore(house: House, message_id: int) -> None:
    now = house.clock.now()
    await house.services.db.write(acts.restore, message_id, approve_above=APPROVE_ABOVE, opens_at=now, now=now)


async def test_a_stop_is_taken_back_while_nothing_reached_wecom(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once and for later; the list is made anew, clicking twice is once, and nobody gets it twice."""
    xiaoman, leaving = await house.meet("xiaoman"), await house.meet("leaving")
    monkeypatch.setattr(plan, "CHUNK", 1)
    atonce = await plan.create(house.services, Audience(userids=("lina",)), text="马上发")
    item = queue.Item(lane="bulk", kind=plan.PREPARE, payload={"id": atonce})
    await plan.run_prepare(house.services, cast(queue.Claimed, item))
    await acts.cancel(house.services, atonce)
    assert await house.states(atonce) == {xiaoman: "cancelled", leaving: "cancelled"}
    await house.lose(leaving)
    newcomer = await house.meet("newcomer")
    for _ in range(2):
        await _restore(house, atonce)
    await house.settle()
    assert await house.states(atonce) == {xiaoman: "waiting", newcomer: "waiting"}
    (made,) = house.made
    listed = await house.services.db.read(store.list_parts, atonce)
    assert [(part.msgid, part.targets) for part in listed] == [(made.msgid, 2)]
    await acts.cancel(house.services, atonce)
    with pytest.raises(Conflict, match="已经交给企业微信"):
        await _restore(house, atonce)
    house.clock.advance(days=2)
    later = await send(house, text="晚点发", scheduled_at=house.clock.now() + timedelta(hours=3))
    await acts.cancel(house.services, later)
    await house.pass_time(hours=4)
    assert (await house.message(later)).state == "cancelled"
    await _restore(house, later)
    await house.settle()
    assert await house.states(later) == {xiaoman: "waiting", newcomer: "waiting"}


async def test_a_big_message_that_is_stopped_and_taken_back_waits_for_its_approval_again(house: House) -> None:
    for number in range(APPROVE_ABOVE + 1):
        await house.meet(f"c{number}")
    message_id = await send(house, created_by="lina")
    await acts.cancel(house.services, message_id)
    await _restore(house, message_id)
    await house.settle()
    assert ((await house.message(message_id)).state, house.made) == ("pending", [])


async def test_a_big_message_waits_for_somebody_else_and_can_be_sent_back(house: House) -> None:
    for number in range(APPROVE_ABOVE):
        await house.meet(f"c{number}")
    assert (await house.message(await send(house, created_by="lina"))).state == "running"
    house.clock.advance(days=2)
    await house.meet("aning")
    first, second = await send(house, created_by="lina"), await send(house, text="另一条", created_by="lina")
    now, write = house.clock.now(), house.services.db.write
    row = await house.message(first)
    assert (row.state, row.expected, len(house.made)) == ("pending", APPROVE_ABOVE + 1, 1)
    with pytest.raises(Forbidden, match="另一位"):
        await write(acts.approve, first, "LINA", may_own=False, opens_at=now, now=now)
    with pytest.raises(Invalid, match="原因"):
        await write(acts.refuse, second, "wuhao", " ", now=now)
    await write(acts.refuse, second, "wuhao", "价格写错了", now=now)
    await write(acts.approve, first, "wuhao", may_own=False, opens_at=now + timedelta(hours=1), now=now)
    with pytest.raises(Conflict, match="不在等待审批"):
        await write(acts.approve, first, "wuhao", may_own=False, opens_at=now, now=now)
    await house.settle()
    assert len(house.made) == 1
    await house.pass_time(hours=1, seconds=1)
    assert [made.text for made in house.made] == ["秋季上新", "秋季上新"]
    refused = await house.message(second)
    assert (refused.state, refused.why, refused.decided_by) == ("refused", "价格写错了", "wuhao")


async def test_each_member_says_the_words_in_the_own_name_and_a_lost_call_is_found_again(house: House) -> None:
    await house.meet("xiaoman")
    await house.meet("aning", "WuHao")
    known = [{"userid": userid, "folded": userid.lower(), "name": name} for userid, name in
             (("lina", "李娜"), ("WuHao", "吴昊"))]  # fmt: skip
    await house.services.db.write(lambda conn: conn.execute(member.insert(), known))
    await send(house, Audience(userids=("lina", "wuhao")), text="我是{{ 员工姓名 }}，{{ 店铺名 }}上新")
    shop = house.services.settings.shop.name
    assert {made.text for made in house.made} == {f"我是李娜，{shop}上新", f"我是吴昊，{shop}上新"}
    for wrong, words in (("{{ 客户昵称 }}您好", "客户昵称"), ("{{ 没有这个 }}", "没有这个"), ("好评返现", "好评返现")):
        with pytest.raises(Invalid, match=words):
            await send(house, text=wrong)


def test_words_that_went_out_are_known_again_by_any_name_of_the_member() -> None:
    text = "我是{{ 员工姓名 }}（{{ 店铺名 }}）"
    assert saying.is_said(text, "我是李娜（花店）", "花店")
    assert not saying.is_said(text, "我是李娜（果店）", "花店")
    assert not saying.is_said("别的", "我是李娜（花店）", "花店")


async def test_what_customers_did_afterwards_is_counted_once_each(house: House) -> None:
    xiaoman, aning = await house.meet("xiaoman"), await house.meet("aning")
    message_id = await send(house)
    confirm_mass_message(house.sandbox, "lina", house.made[0].msgid)
    await house.pass_time(minutes=2)
    now, person_id = house.clock.now(), await _person_of(house, xiaoman)
    other = await _person_of(house, aning)

    def act(conn: Connection) -> None:
        told = [
            Event("kf.message", now + timedelta(hours=1), person_id, xiaoman, once="a"),
            Event("oa.message", now + timedelta(hours=2), person_id, xiaoman, once="b"),
            Event("message.radar_opened", now + timedelta(days=4), other, aning, once="late"),
            Event("contact.lost_by_customer", now + timedelta(hours=3), other, aning, "lina", once="c"),
            Event("mass_message.sent", now + timedelta(days=1, hours=1), person_id, xiaoman, key="0", once="other"),
        ]
        record(conn, told, now=now)
        for number, (at, fen) in enumerate([(timedelta(days=1), 5000), (timedelta(days=2), 2500), (-timedelta(1), 99)]):
            conn.execute(orders.insert().values(**_order(str(number), person_id, now + at, fen)))

    await house.services.db.write(act)
    found = await house.services.db.read(effects.count, message_id)
    assert found == effects.Effects(
        sent=2, replied=1, opened=0, bought=1, fen=7500, credited=1, credited_fen=5000, left=1
    )


def _order(number: str, person_id: int, at: Any, fen: int) -> dict[str, Any]:
    return {
        "channel": "taobao",
        "order_no": number,
        "person_id": person_id,
        "status": "paid",
        "payment_status": "paid",
        "paid_fen": fen,
        "ordered_at": at,
        "paid_at": at,
        "first_seen_at": at,
        "last_seen_at": at,
    }
