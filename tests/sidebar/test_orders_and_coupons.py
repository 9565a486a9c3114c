"""Binding an order by what a customer reads out, taking it back, and sending a coupon without a playbook."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection

from scrm.commerce.canonical import read_order
from scrm.commerce.connectors.values import picture
from scrm.commerce.coupons import store as coupons
from scrm.commerce.models import orders
from scrm.errors import Invalid
from scrm.profiles import store as profiles
from scrm.profiles.merge_tables import merge_suggestion
from scrm.profiles.models import person_stat
from scrm.sop.models import enrolment, send
from tests.sidebar.conftest import Member, words
from tests.sidebar.test_contact import order, save
from tests.world import ANING, XIAOMAN, World

BIND = f"/sidebar/contacts/{ANING}/bind"
RECEIVER = {"name": "陈宁宁", "phone": "13912346620", "province": "上海市", "city": "上海市", "address": "徐汇路 1 号"}


def nobodys(order_no: str, world: World, **more: Any) -> dict[str, Any]:
    return order(order_no, 2, world.clock.now(), **{"buyer_ref": {}, **more})


async def find(member: Member, text: str) -> str:
    return await member.press(f"{BIND}/find", q=text)


def choices(html: str) -> list[dict[str, str]]:
    """What the forms of the candidates post."""
    found = re.findall(r'name="order_id" value="(\d+)">\s*<input type="hidden" name="proof" value="([^"]+)"', html)
    return [{"order_id": order_id, "proof": proof} for order_id, proof in found]


async def bound_to(world: World, order_no: str) -> int | None:
    (row,) = await world.rows(orders, orders.c.order_no == order_no)
    return row.person_id  # type: ignore[no-any-return]


async def test_number_tail_and_phone_all_lead_to_the_order(world: World, lina: Member) -> None:
    await world.add(ANING)
    await save(world, nobodys("3981-0277-5566", world, receiver=RECEIVER))
    phones = ("6620", "139 1234 6620", "+86 13912346620")
    for typed in ("3981-0277-5566", "订单号：3981-0277-5566", "5566", "0277-5566", *phones):
        html = await find(lina, typed)
        said = words(html)
        assert "清透防晒乳 50ml ×2" in said, typed
        assert "¥256.00" in said
        assert "陈** 139****6620" in said
        assert "绑定后：订单、物流和累计消费记在这位客户名下" in said
        # The phone stands nowhere but in the field that it was typed into.
        assert html.count("13912346620") <= ("13912346620" in typed)


async def test_one_tap_binds_says_what_it_switches_on_and_is_taken_back(world: World, lina: Member) -> None:
    await world.add(ANING)
    await save(world, nobodys("3981-0277", world, receiver=RECEIVER))
    (chosen,) = choices(await find(lina, "0277"))
    said = words(await lina.press(BIND, **chosen))
    assert "已绑定到这位客户" in said
    assert "会自动触发" in said
    await world.settle()
    page = words(await lina.page(f"/sidebar/contacts/{ANING}"))
    assert "李娜绑定了订单" in page
    person_id = await bound_to(world, "3981-0277")
    (stat,) = await world.rows(person_stat, person_stat.c.person_id == person_id)
    assert (stat.paid_orders, stat.paid_fen) == (1, 25600)
    began = await world.rows(enrolment, enrolment.c.person_id == person_id, enrolment.c.state == "active")
    said = words(await lina.press(f"{BIND}/{chosen['order_id']}/undo"))
    assert "已撤销绑定" in said
    assert await bound_to(world, "3981-0277") is None
    (stat,) = await world.rows(person_stat, person_stat.c.person_id == person_id)
    assert (stat.paid_orders, stat.paid_fen, stat.last_order_at) == (0, 0, None)
    left = await world.rows(enrolment, enrolment.c.person_id == person_id, enrolment.c.state == "active")
    assert len(left) < len(began)
    page = words(await lina.page(f"/sidebar/contacts/{ANING}"))
    assert "李娜撤销了订单绑定" in page
    assert "订单发货" not in page
    # It can be bound anew, to this customer or to another, and all of it happens again.
    (chosen,) = choices(await find(lina, "0277"))
    html = await lina.press(BIND, **chosen)
    assert "已绑定到这位客户" in words(html)
    assert re.search(r'id="orders-count" hx-swap-oob="innerHTML">\d+<', html)
    await world.settle()
    again = await world.rows(enrolment, enrolment.c.person_id == person_id, enrolment.c.state == "active")
    assert len(again) == len(began)


async def test_it_is_taken_back_only_by_who_bound_it_and_only_for_a_while(
    world: World, lina: Member, wanghao: Member
) -> None:
    await world.add(ANING)
    world.wecom.add_contact(ANING, "阿宁", "wanghao")
    await world.add(ANING, "wanghao")
    await save(world, nobodys("3981-0277", world))
    (chosen,) = choices(await find(lina, "3981-0277"))
    await lina.press(BIND, **chosen)
    undo = f"{BIND}/{chosen['order_id']}/undo"
    assert "由绑定的人撤销" in await wanghao.press(undo)
    world.clock.advance(minutes=11)
    assert "10 分钟内" in await lina.press(undo)
    assert await bound_to(world, "3981-0277") is not None


async def test_a_number_of_two_shops_is_asked_about(world: World, lina: Member) -> None:
    await world.add(ANING)
    await save(world, nobodys("1000", world), nobodys("1000", world, channel="jd"))
    html = await find(lina, "1000")
    assert "京东" in words(html)
    assert len(choices(html)) == 2


async def test_an_order_of_somebody_else_is_not_taken_but_may_be_asked_about(world: World, lina: Member) -> None:
    await world.add()
    await world.add(ANING)
    await save(world, order("2000-7788", 2, world.clock.now()))
    html = await find(lina, "2000-7788")
    assert "在另一位客户名下" in html
    assert "清透防晒乳" not in html
    assert "¥" not in words(html).split("绑定订单")[-1]
    (chosen,) = choices(html)
    assert "已经属于另一位客户" in await lina.press(BIND, **chosen)
    assert "已请店长核对" in await lina.press(f"{BIND}/suggest", **chosen)
    (row,) = await world.rows(merge_suggestion)
    assert row.evidence[0]["key"] == "order_no"
    assert await bound_to(world, "2000-7788") == (await person_of(world, XIAOMAN))
    # By its end alone nobody learns that somebody else has such an order.
    assert "没有找到对应的订单" in await find(lina, "7788")


async def person_of(world: World, external_userid: str) -> int:
    contact = await world.services.db.read(profiles.find_contact, external_userid)
    assert contact
    return contact.person_id


async def test_what_is_wrong_is_said_in_place(world: World, lina: Member) -> None:
    await world.add()
    await save(world, order("2000", 2, world.clock.now()))
    mine = f"/sidebar/contacts/{XIAOMAN}/bind"
    assert "已在名下" in await lina.press(f"{mine}/find", q="2000")
    for typed, reason in (("nothing", "没有找到对应的订单"), ("12", "末 4–8 位"), ("  ", "末 4–8 位")):
        assert reason in await lina.press(f"{mine}/find", q=typed)


async def test_the_customers_own_phone_has_nothing_left_to_bind(world: World, lina: Member) -> None:
    await world.add(ANING)
    assert "没有找到对应的订单" in await find(lina, "13912346620")
    await lina.press(f"/sidebar/contacts/{ANING}/phones", mobile="13912346620")
    await world.settle()
    assert "已经是这位客户的" in await find(lina, "139 1234 6620")


async def test_only_what_was_shown_can_be_bound(world: World, lina: Member, wanghao: Member) -> None:
    await world.add(ANING)
    await world.add()
    await save(world, nobodys("3000", world), nobodys("3001", world))
    (chosen,) = choices(await find(lina, "3000"))
    (other,) = await world.rows(orders, orders.c.order_no == "3001")
    for wrong in (
        {"order_id": str(other.id), "proof": chosen["proof"]},
        {"order_id": chosen["order_id"], "proof": ""},
        {"order_id": "²", "proof": "1.x"},
    ):
        assert "重新查找" in await lina.press(BIND, **wrong)
    assert "重新查找" in await lina.press(f"/sidebar/contacts/{XIAOMAN}/bind", **chosen)
    assert (await wanghao.tap(BIND, **chosen)).status == 403
    assert (await wanghao.tap(f"{BIND}/find", q="3000")).status == 403
    assert (await wanghao.tap(f"{BIND}/suggest", **chosen)).status == 403
    assert (await wanghao.tap(f"{BIND}/{chosen['order_id']}/undo")).status == 403
    world.clock.advance(minutes=31)
    assert "已过期" in await lina.press(BIND, **chosen)
    assert await bound_to(world, "3000") is None


async def test_nobody_tries_number_after_number(world: World, lina: Member) -> None:
    await world.add(ANING)
    for number in range(30):
        assert "没有找到" in await find(lina, f"{number:04}")
    assert "查得太频繁了" in await find(lina, "0031")
    world.clock.advance(minutes=12)
    assert "没有找到" in await find(lina, "0031")


async def test_the_ends_are_served_by_their_indexes(world: World) -> None:
    """Ten million orders do not make it slower."""

    def plans(conn: Connection) -> str:
        is_sqlite = conn.dialect.name == "sqlite"
        if not is_sqlite:
            conn.exec_driver_sql("SET LOCAL enable_seqscan = off")
        told = []
        for column in ("no_tail", "phone_tail"):
            query = f"SELECT id FROM orders WHERE orders.person_id IS NULL AND {column} = '6620' AND {column} <> ''"
            rows = conn.exec_driver_sql(("EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN ") + query)
            told += [" ".join(map(str, row)) for row in rows]
        return "\n".join(told)

    said = await world.services.db.write(plans)
    assert "ix_orders_waiting_no_tail" in said
    assert "ix_orders_waiting_phone_tail" in said


async def coupon_of(world: World, external_userid: str) -> coupons.Issue:
    contact = await world.services.db.read(profiles.find_contact, external_userid)
    assert contact
    (coupon,) = await world.services.db.read(coupons.list_coupons, contact.person_id)
    return coupon


async def test_a_coupon_is_sent_with_intent_and_outcome(world: World, lina: Member) -> None:
    await world.add(ANING)
    coupon = await coupon_of(world, ANING)
    path = f"/sidebar/contacts/{ANING}/coupons/{coupon.id}"
    await lina.tap(f"{path}/release", once="0123456789abcdef")
    # The answer was lost on its way: the next tap goes on with the same sending.
    released = await (await lina.tap(f"{path}/release", once="0123456789abcdef", again=True)).json()
    (message,) = released["messages"]
    assert message["news"]["link"] == f"https://crm.example.test/c/{coupon.token}"
    (row,) = await world.rows(send, send.c.kind == "chat")
    assert row.outcome == "intent"
    assert (await lina.tap(f"{path}/sending", once=released["once"], ok=True)).status == 200
    (row,) = await world.rows(send, send.c.kind == "chat")
    assert row.outcome == "sent"
    assert "李娜发送了新人券" in words(await lina.page(f"/sidebar/contacts/{ANING}"))


async def test_a_used_coupon_is_not_sent(world: World, lina: Member) -> None:
    await world.add(ANING)
    coupon = await coupon_of(world, ANING)
    await world.services.db.write(coupons.redeem, coupon.code, now=world.clock.now(), by="erp")
    response = await lina.tap(f"/sidebar/contacts/{ANING}/coupons/{coupon.id}/release")
    assert response.status == 409
    assert "已核销" in (await response.json())["error"]["message"]


async def test_coupons_of_others_are_out_of_reach(world: World, lina: Member, wanghao: Member) -> None:
    await world.add()
    await world.add(ANING)
    theirs = await coupon_of(world, XIAOMAN)
    assert (await lina.tap(f"/sidebar/contacts/{ANING}/coupons/{theirs.id}/release")).status == 404
    mine = await coupon_of(world, ANING)
    assert (await wanghao.tap(f"/sidebar/contacts/{ANING}/coupons/{mine.id}/release")).status == 403
    response = await lina.tap(f"/sidebar/contacts/{ANING}/coupons/{mine.id}/sending", once="chat:1", ok=True)
    assert response.status == 404


async def test_what_was_bought_is_seen_where_the_channel_tells_its_picture(world: World, lina: Member) -> None:
    await world.add()
    now, http = world.clock.now(), "http://img.example.com/sun.jpg"
    sold = {"title": "清透防晒乳 50ml", "paid_fen": 25600}
    lines = [{"line_key": "1", "image_url": http, **sold}, {"line_key": "2", "title": "洁面小样", "is_gift": True}]
    await save(world, order("p-1", 1, now, lines=lines), order("p-2", 2, now))
    # An ERP tells the same goods without their pictures: the one that is known stays.
    bare = order("p-1", 1, now, status="completed", completed_at=now.isoformat())
    await save(world, bare | {"lines": [{"line_key": "1", **sold, "qty": 1}]})
    html = await lina.page(f"/sidebar/contacts/{XIAOMAN}/orders")
    with_picture, without = html.split('id="order-')[1:]
    assert 'src="https://img.example.com/sun.jpg"' in with_picture
    assert 'loading="lazy"' in with_picture
    assert 'referrerpolicy="no-referrer"' in with_picture
    assert "order-picture" not in without
    card = await lina.get(f"/sidebar/contacts/{XIAOMAN}/cards/goods/{with_picture.partition(chr(34))[0]}?line=1")
    assert card.status == 200


def test_what_is_no_picture_never_costs_an_order() -> None:
    assert picture("//img.example.com/a.jpg") == "https://img.example.com/a.jpg"
    for told in (None, "", "a.jpg", "javascript:alert(1)", "https://a b", "https://img.example.com/" + "x" * 500):
        assert picture(told) == ""
    with pytest.raises(Invalid, match=r"lines\[0\]\.image_url：应为 http:// 或 https:// 开头的图片地址"):
        read_order(order("p-3", 1, datetime(2026, 1, 1, tzinfo=UTC), lines=[{"image_url": "javascript:1"}]))
