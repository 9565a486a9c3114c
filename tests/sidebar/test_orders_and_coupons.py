"""Binding an order by its number, and sending a coupon without a playbook."""

from scrm.commerce import coupons
from scrm.profiles import store as profiles
from scrm.sop.models import send
from tests.sidebar.conftest import Member, words
from tests.sidebar.test_contact import order, save
from tests.world import ANING, XIAOMAN, World

ORDERS = f"/sidebar/contacts/{ANING}/orders"


async def test_an_order_number_binds_the_order_to_this_customer(world: World, lina: Member) -> None:
    await world.add(ANING)
    await save(world, order("3981-0277", 2, world.clock.now(), buyer_ref={}))
    said = words(await lina.press(ORDERS, order_no=" 3981-0277 "))
    assert "已绑定到这位客户" in said
    assert "清透防晒乳" in said
    page = words(await lina.page(f"/sidebar/contacts/{ANING}"))
    assert "¥256.00 · 1 单" in page
    assert "李娜绑定了订单" in page


async def test_a_number_of_two_shops_is_asked_about(world: World, lina: Member) -> None:
    await world.add(ANING)
    now = world.clock.now()
    await save(world, order("1000", 2, now, buyer_ref={}), order("1000", 3, now, buyer_ref={}, channel="jd"))
    html = await lina.press(ORDERS, order_no="1000")
    assert "是哪一个" in html
    assert "京东 · 清透防晒乳" in words(html)
    for nothing in ("²", "9" * 30):
        assert "是哪一个" in await lina.press(ORDERS, order_no="1000", order_id=nothing)
    chosen = html.split("京东")[0].rsplit('value="', 1)[1].split('"')[0]
    assert "已绑定到这位客户" in await lina.press(ORDERS, order_no="1000", order_id=chosen)


async def test_why_an_order_cannot_be_bound_is_said_in_place(world: World, lina: Member) -> None:
    await world.add()
    await world.add(ANING)
    await save(world, order("2000", 2, world.clock.now()))
    for number, reason in (("2000", "已经属于另一位客户"), ("nothing", "没有找到这个订单号"), ("  ", "请填写订单号")):
        assert reason in await lina.press(ORDERS, order_no=number)
    mine = f"/sidebar/contacts/{XIAOMAN}/orders"
    assert "已经在这位客户名下" in await lina.press(mine, order_no="2000")


async def test_a_stranger_binds_nothing(world: World, lina: Member, wanghao: Member) -> None:
    await world.add(ANING)
    await save(world, order("3000", 2, world.clock.now(), buyer_ref={}))
    response = await wanghao.tap(ORDERS, order_no="3000")
    assert response.status == 403


async def coupon_of(world: World, external_userid: str) -> coupons.Issue:
    contact = await world.services.db.read(profiles.find_contact, external_userid)
    assert contact
    (coupon,) = await world.services.db.read(coupons.list_coupons, contact.person_id)
    return coupon


async def test_a_coupon_is_sent_with_intent_and_outcome(world: World, lina: Member) -> None:
    await world.add(ANING)
    coupon = await coupon_of(world, ANING)
    path = f"/sidebar/contacts/{ANING}/coupons/{coupon.id}"
    released = await (await lina.tap(f"{path}/release")).json()
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
