"""Order and product cards, sent in one tap."""

import re
from typing import Any

import pytest

from scrm.commerce.models import orders
from scrm.errors import WrongUse
from scrm.settings import load_settings
from scrm.sop.models import send
from tests.sidebar.conftest import Member, words
from tests.sidebar.test_contact import order, save
from tests.world import ANING, XIAOMAN, World

CARDS = f"/sidebar/contacts/{XIAOMAN}/cards"


async def order_id(world: World, order_no: str) -> int:
    (row,) = await world.rows(orders, orders.c.order_no == order_no)
    return int(row.id)


async def test_an_order_is_sent_in_words_where_its_shop_has_no_page(world: World, lina: Member) -> None:
    await world.add()
    await save(world, order("3981-0277", 2, world.clock.now()))
    assert "发订单" in await lina.page(f"/sidebar/contacts/{XIAOMAN}")
    path = f"{CARDS}/orders/{await order_id(world, '3981-0277')}"
    await lina.tap(f"{path}/release", once="0123456789abcdef")
    released = await (await lina.tap(f"{path}/release", once="0123456789abcdef", again=True)).json()
    (message,) = released["messages"]
    assert message["text"]["content"] == (
        "您的订单（尾号 0277）已发货\n清透防晒乳 50ml ×2 等 2 件，¥256\n顺丰速运 SF1234567890"
    )
    (row,) = await world.rows(send, send.c.kind == "chat")
    assert (row.once, row.outcome) == (released["once"], "intent")
    for _ in range(2):
        assert (await lina.tap(f"{path}/sending", once=released["once"], ok=True)).status == 200
    (row,) = await world.rows(send, send.c.once == released["once"])
    assert row.outcome == "sent"
    said = words(await lina.page(f"/sidebar/contacts/{XIAOMAN}"))
    assert said.count("李娜发送了订单 3981-0277") == 1


async def test_an_order_is_an_answer_and_goods_are_marketing(world: World, lina: Member) -> None:
    await world.add()
    await save(world, order("1", 2, world.clock.now()))
    number = await order_id(world, "1")

    async def count_left() -> list[str]:
        told = words(await lina.page(f"/sidebar/contacts/{XIAOMAN}/told", htmx=True))
        return re.findall(r"7 天营销消息 (\d+) 次", told)

    before = await count_left()
    for kind, used in (("orders", 0), ("goods", 1)):
        released = await (await lina.tap(f"{CARDS}/{kind}/{number}/release", line="1")).json()
        await lina.tap(f"{CARDS}/{kind}/{number}/sending", once=released["once"], ok=True)
        assert await count_left() == [str(int(before[0]) + used)], kind


async def test_two_goods_of_one_title_are_told_apart_by_their_spec(world: World, lina: Member) -> None:
    await world.add()
    named = [("a", "男士 T 恤", "黑色 L"), ("b", "男士 T 恤", "白色 M"), ("c", "运动袜", "均码")]
    lines = [{"line_key": key, "title": title, "spec": spec, "qty": 1, "paid_fen": 9900} for key, title, spec in named]
    await save(world, order("8", 2, world.clock.now(), lines=lines))
    page = await lina.page(f"/sidebar/contacts/{XIAOMAN}")
    assert re.findall(r'aria-label="发商品 ([^"]+)">([^<]+)<', page) == [
        ("男士 T 恤 黑色 L", "发商品 黑色 L"),
        ("男士 T 恤 白色 M", "发商品 白色 M"),
        ("运动袜", "发商品 运动袜"),
    ]


async def test_goods_are_a_link_where_the_channel_has_one(world: World, lina: Member) -> None:
    await world.add()
    lines = [
        {"line_key": "a/1", "title": "男士 T 恤", "spec": "L", "qty": 1, "paid_fen": 9900, "platform_sku_id": "100 8"}
    ]
    await save(world, order("9", 2, world.clock.now(), channel="jd", lines=lines))
    path = f"{CARDS}/goods/{await order_id(world, '9')}"
    (message,) = (await (await lina.tap(f"{path}/release", line="a/1")).json())["messages"]
    assert message["news"]["title"] == "男士 T 恤 L"
    assert message["news"]["link"] == "https://item.jd.com/100%208.html"
    assert (await lina.tap(f"{path}/release", line="b")).status == 404
    shown = await (await lina.get(f"{path}?line=a/1")).json()
    assert shown["messages"] == [message]


async def test_goods_without_a_page_are_named_with_the_day_they_were_bought(world: World, lina: Member) -> None:
    await world.add()
    await save(world, order("1", 2, world.clock.now()))
    path = f"{CARDS}/goods/{await order_id(world, '1')}"
    (message,) = (await (await lina.tap(f"{path}/release", line="1")).json())["messages"]
    assert message["text"]["content"] == "您 2 月 28 日买的是这款：清透防晒乳 50ml 自然色"


async def test_what_the_client_refused_stands_in_the_ledger(world: World, lina: Member) -> None:
    await world.add()
    await save(world, order("1", 2, world.clock.now()))
    path = f"{CARDS}/orders/{await order_id(world, '1')}"
    once = (await (await lina.tap(f"{path}/release")).json())["once"]
    await lina.tap(f"{path}/sending", once=once, ok=False, error="sendChatMessage:fail no permission")
    (row,) = await world.rows(send, send.c.once == once)
    assert (row.outcome, row.reason) == ("failed", "sendChatMessage:fail no permission")


async def test_only_this_customers_orders_by_the_member_who_follows(
    world: World, lina: Member, wanghao: Member
) -> None:
    await world.add()
    await world.add(ANING)
    await save(world, order("1", 2, world.clock.now()))
    number = await order_id(world, "1")
    for act in ("release", "sending"):
        assert (await wanghao.tap(f"{CARDS}/orders/{number}/{act}")).status == 403
    assert (await wanghao.get(f"{CARDS}/orders/{number}")).status == 403
    assert (await lina.tap(f"/sidebar/contacts/{ANING}/cards/orders/{number}/release")).status == 404
    once = (await (await lina.tap(f"{CARDS}/orders/{number}/release")).json())["once"]
    assert (
        await lina.tap(f"/sidebar/contacts/{ANING}/cards/orders/{number}/sending", once=once, ok=True)
    ).status == 404


def settings(**cards: Any) -> Any:
    return load_settings(
        environ={},
        wecom={"corp_id": "ww1", "agent_id": "1", "secret": "s", "token": "t", "encoding_aes_key": "a" * 43},
        security={"secret_key": "a key of more than thirty-two characters"},
        cards=cards,
    ).cards


def test_addresses_of_cards_are_checked_when_they_are_read() -> None:
    mini = {"youzan": "wx1234567890abcdef:pages/order.html?no={order_no}"}
    assert settings(order=mini, cover="https://img.example.com/1.png").order == mini
    with pytest.raises(WrongUse, match=r"cards\.cover"):
        settings(order=mini)
    for wrong in ("ftp://x", "https://shop.example/{unknown}", "wx1:pages"):
        with pytest.raises(WrongUse, match="cards"):
            settings(order={"youzan": wrong})
