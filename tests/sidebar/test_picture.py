"""A customer's picture: worth, what is under way, orders and happenings page by page, what they were told already."""

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from scrm.commerce.binding import bind_order_manually
from scrm.commerce.order_views import find_orders
from scrm.errors import WrongUse
from scrm.events import Event, record
from scrm.profiles import store as profiles
from scrm.profiles.timeline import save_event_type
from scrm.sidebar.cards.profile import Worth, worth_of
from scrm.sop.models import send, task
from tests.fakes.wecom import FakeWeCom
from tests.sidebar.conftest import Member, words
from tests.sidebar.test_contact import counted, order, save
from tests.world import ANING, XIAOMAN, World, make_settings

PAGE = f"/sidebar/contacts/{XIAOMAN}"
NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)


async def person_of(world: World, external_userid: str) -> int:
    contact = await world.services.db.read(profiles.find_contact, external_userid)
    assert contact
    return contact.person_id


async def tell(world: World, *names: str, external_userid: str = XIAOMAN, **facts: Any) -> None:
    """Events a minute apart, the last one now."""
    person_id, now = await person_of(world, external_userid), world.clock.now()
    told = [
        Event(
            name,
            now - timedelta(minutes=len(names) - number),
            person_id,
            external_userid,
            "lina",
            key=f"k{number}",
            facts=facts,
            once=f"{name}:{number}:{now:%H%M%S}",
        )
        for number, name in enumerate(names)
    ]
    await world.services.db.write(record, told, now=now)


async def note_send(world: World, userid: str, words: str, *, hours_ago: float, kind: str = "chat") -> None:
    person_id, at = await person_of(world, XIAOMAN), world.clock.now() - timedelta(hours=hours_ago)
    row = {
        "kind": kind,
        "userid": userid,
        "external_userid": XIAOMAN,
        "person_id": person_id,
        "content": {"messages": [{"msgtype": "text", "text": {"content": words}}]},
        "decided_at": at,
        "sent_at": at,
        "outcome": "sent",
    }
    await world.services.db.write(lambda conn: conn.execute(send.insert().values(**row)))


# Worth ----------------------------------------------------------------------------------------------------------------


async def test_what_a_customer_is_worth_counts_what_was_kept(world: World, lina: Member) -> None:
    await world.add()
    now = world.clock.now()
    back = {"refund_no": "R1", "type": "return_refund", "status": "refunded", "amount_fen": 25600}
    await save(
        world,
        order("w1", 5, now),
        order("w2", 9, now),
        order("w3", 20, now),
        order("w4", 40, now, status="closed", refunds=[back | {"finished_at": now.isoformat()}]),
    )
    said = words(await lina.page(PAGE))
    for expected in (
        "累计消费 ¥1,024.00 · 4 单",
        "¥768.00 净消费（已退 ¥256.00）",
        "¥256.00 笔单价",
        "最近下单",
        # Three orders kept, 768 yuan, five days ago.
        "RFM 重要价值客户 R5 F3 M3",
    ):
        assert expected in said, expected


def test_a_shop_sets_the_steps_of_its_classes() -> None:
    row = SimpleNamespace(**dict.fromkeys(Worth.__dataclass_fields__, 0), kept_orders=1, kept_fen=25600)
    row.r, row.f, row.m, row.rfm = 0, 0, 0, ""
    row.last_kept_at, row.last_order_at, row.level_title, row.level_benefits = NOW - timedelta(days=5), None, "", ""
    for given, letters in (({}, "R5 F1 M2"), ({"yuan": [10, 20, 30, 40]}, "R5 F1 M5")):
        found = worth_of(row, make_settings("sqlite:///x", "http://127.0.0.1:9", rfm=given), NOW).rfm
        assert found is not None
        assert found.letters == letters
    for wrong in ([1, 2, 3], [4, 3, 2, 1], [0, 1, 2, 3]):
        with pytest.raises(WrongUse, match=r"rfm\.yuan"):
            make_settings("sqlite:///x", "http://127.0.0.1:9", rfm={"yuan": wrong})
    # What the night has computed by the page's rules goes before.
    row.r, row.f, row.m, row.rfm = 2, 3, 5, "011"
    placed = worth_of(row, make_settings("sqlite:///x", "http://127.0.0.1:9"), NOW).rfm
    assert placed is not None
    assert (placed.title, placed.letters) == ("重要保持客户", "R2 F3 M5")


# Now ------------------------------------------------------------------------------------------------------------------


def under_way(html: str) -> str:
    found = re.search(r'<section class="cells under-way".*?</section>', html, re.DOTALL)
    return words(found[0]) if found else ""


async def test_nothing_under_way_takes_no_place(world: World, lina: Member) -> None:
    await world.add(ANING, State="", WelcomeCode="")
    await world.pass_time(days=12)
    assert under_way(await lina.page(f"/sidebar/contacts/{ANING}")) == ""


async def test_what_is_under_way_stands_on_top_and_leads_to_its_place(world: World, lina: Member) -> None:
    await world.add()
    world.clock.advance(days=3)
    now = world.clock.now()
    unpaid = {"status": "pending_payment", "paid_at": None, "paid_fen": 0, "shipped_at": None, "shipments": []}
    parcel = {
        "carrier_code": "SF",
        "carrier_name": "顺丰速运",
        "tracking_no": "SF100020003000",
        "state": "out_for_delivery",
    }
    case = {"refund_no": "R9", "type": "exchange", "status": "waiting_return", "amount_fen": 9900}
    await save(
        world,
        order("n1", 0, now, **unpaid, ordered_at=(now - timedelta(hours=21)).isoformat()),
        order("n2", 2, now, shipments=[parcel]),
        order("n3", 9, now, status="completed", delivered_at=now.isoformat(), shipments=[], refunds=[case]),
    )
    html = await lina.page(PAGE)
    said = under_way(html)
    for expected in (
        "待付款 ¥256.00 清透防晒乳 50ml 3 小时后关闭",
        "派送中 · 顺丰速运",
        "复制 3000",
        "换货 ¥99.00",
        "等待寄回",
        "新人券",
        "2 天后到期",
        "新客欢迎与首单 下一步：",
    ):
        assert expected in said, (expected, said)
    for place in re.findall(r'data-at="([^"]+)"', html):
        assert f'id="{place}"' in html
    # What its shop has given up is no longer waited for, though the shop forgot to say so.
    world.clock.advance(hours=4)
    assert "待付款" not in under_way(await lina.page(PAGE))


# Orders ---------------------------------------------------------------------------------------------------------------


async def test_an_order_says_all_that_is_known_of_it(world: World, lina: Member) -> None:
    await world.add(ANING)
    now = world.clock.now()
    case = {
        "refund_no": "R1",
        "type": "refund_only_shipped",
        "status": "requested",
        "amount_fen": 5000,
        "reason": "少发了一件",
    }
    line = {"line_key": "1", "title": "面霜", "spec": "30g", "qty": 2, "unit_price_fen": 12800, "paid_fen": 25600}
    await save(world, order("A-1", 3, now, buyer_ref={}, lines=[line], refunds=[case]))
    (found,) = await world.services.db.read(find_orders, None, "A-1")
    await world.services.db.write(bind_order_manually, found.row["id"], await person_of(world, ANING), "lina", now)
    said = words(await lina.page(f"/sidebar/contacts/{ANING}"))
    for expected in (
        "面霜 30g ¥128.00 ×2",
        "SF1234567890",
        "已发货",
        "仅退款 ¥50.00",
        "少发了一件",
        "申请中",
        "天猫",
        "李娜绑定",
    ):
        assert expected in said, (expected, said)


async def test_five_hundred_orders_come_page_by_page_and_are_searched(world: World, lina: Member) -> None:
    await world.add()
    now = world.clock.now()
    many = [
        order(f"many-{n:03}", 1 + n // 3, now, shipments=[], lines=[{"line_key": "1", "title": f"商品{n}", "qty": 1}])
        for n in range(61)
    ]
    # One without a time comes last.
    many.append(order("many-old", 1, now, ordered_at=None, paid_at=None, shipped_at=None, shipments=[]))
    await save(world, *many)
    with counted() as statements:
        html = await lina.page(PAGE)
    assert len(statements) <= 7
    seen = re.findall(r'复制订单号 (many-\w+)"', html)
    assert len(seen) < 10
    assert 'name="q"' in html
    while more := re.search(r'hx-get="([^"]+/orders\?before=[^"]+)"', html):
        html = await lina.page(more[1].replace("&amp;", "&"), htmx=True)
        seen += re.findall(r'复制订单号 (many-\w+)"', html)
    assert len(seen) == len(set(seen)) == 62
    assert seen[-1] == "many-old"
    found = words(await lina.page(f"{PAGE}/orders?q=商品 60", htmx=True))
    assert "没有找到“商品 60”" in found
    assert "many-060" in words(await lina.page(f"{PAGE}/orders?q=商品60", htmx=True))
    assert "many-017" in words(await lina.page(f"{PAGE}/orders?q=MANY-017", htmx=True))
    # What a pattern means is only a letter here.
    assert "没有找到" in words(await lina.page(f"{PAGE}/orders?q=%25", htmx=True))


# Timeline -------------------------------------------------------------------------------------------------------------


async def test_each_filter_shows_its_own_and_days_are_named_once(world: World, lina: Member) -> None:
    await world.add()
    await save(world, order("t1", 1, world.clock.now()))
    await tell(world, "task.sent", "talk.noted", "optout.changed", "staff.promised", title="约定的事", text="说过的话")
    html = await lina.page(PAGE)
    assert html.count('<li class="day-line">今天</li>') == 1

    async def titles(kind: str) -> str:
        return words(await lina.page(f"{PAGE}/timeline?kind={kind}", htmx=True))

    sent = await titles("sent")
    assert "李娜发送了消息" in sent
    assert "发出欢迎语" in sent
    assert "付款" not in sent
    orders = await titles("order")
    assert "付款 ¥256.00" in orders
    assert "昨天" in orders
    assert "欢迎语" not in orders
    assert "李娜发送了消息" in await titles("task")
    assert "添加了李娜" in await titles("profile")
    follow = await titles("follow")
    assert "标记客户在等回复" in follow
    assert "添加了李娜" not in follow


async def test_a_narrowed_timeline_goes_on_without_gaps(world: World, lina: Member) -> None:
    await world.add()
    for hour in range(3):
        world.clock.advance(hours=1)
        await tell(world, *(["product.viewed", "task.sent"] * 15), text=f"第{hour}轮")
    html, lines = await lina.page(f"{PAGE}/timeline?kind=sent", htmx=True), 0
    while True:
        lines += html.count("李娜发送了消息")
        assert "浏览" not in html
        more = re.search(r'hx-get="([^"]+/timeline\?before=[^"]+)"', html)
        if not more:
            break
        html = await lina.page(more[1].replace("&amp;", "&"), htmx=True)
    assert lines == 45


async def test_the_shops_own_kinds_of_events_are_told_in_its_words(world: World, lina: Member) -> None:
    await world.add()
    now = world.clock.now()
    await world.services.db.write(
        save_event_type,
        "custom.trial",
        title="试用",
        sentence="预约了{product}的试用",
        facts={"product": "text"},
        now=now,
    )
    await tell(world, "custom.trial", product="面霜")
    assert "预约了面霜的试用" in words(await lina.page(PAGE))


# Already told ---------------------------------------------------------------------------------------------------------


async def test_before_a_send_stands_what_anybody_sent_and_what_is_left(
    world: World, lina: Member, wanghao: Member, wecom: FakeWeCom
) -> None:
    await world.add()
    await world.pass_time(days=8)
    await note_send(world, "wanghao", "周末有满减，您看看？", hours_ago=50)
    await note_send(world, "lina", "今天到货了", hours_ago=30)
    await note_send(world, "lina", "上上周说的", hours_ago=24 * 8 - 1)
    await tell(world, "mass_message.sent", title="三八节群发", origin="own")
    said = words(await lina.page(f"{PAGE}/told", htmx=True))
    for expected in (
        "7 天内发过 3 次",
        "王皓 · 员工发送 周末有满减，您看看？",
        "我 · 员工发送 今天到货了",
        "群发 三八节群发",
        # The cap of the whole company is three in seven days.
        "7 天营销消息 3 次，还可 0 次",
        "还可发 0 次",
        "本月群发（企业微信） 0 次，还可 31 次",
    ):
        assert expected in said, (expected, said)
    assert "上上周说的" not in said
    # A send by hand is warned of, never stopped: it is the member's own decision.
    assert "7 天内已发 3 次营销消息，上限 3 次" in said or "不再打扰" in said
    assert "现在不能发" not in said


async def test_a_brake_that_the_tap_would_meet_is_said_before_it(world: World, lina: Member) -> None:
    await world.add(ANING)
    await world.pass_time(days=3)
    await world.pass_time(hours=1, minutes=30)
    (waiting,) = await world.rows(task, task.c.state == "open")
    path = f"/sidebar/contacts/{ANING}/told?task={waiting.id}"
    assert 'data-brake=""' in await lina.page(path, htmx=True)
    await tell(world, "case.opened", external_userid=ANING)
    html = await lina.page(path, htmx=True)
    assert 'data-brake="stop"' in html
    assert "现在不能发：客户有投诉在处理中，暂停营销" in re.sub(r"\s+", "", words(html)).replace(
        "现在不能发： ", "现在不能发："
    )
    refused = await lina.tap(f"/sidebar/tasks/{waiting.id}/release")
    assert refused.status == 409
    assert "客户有投诉在处理中" in (await refused.json())["error"]["message"]


async def test_quiet_hours_warn_and_do_not_stop(world: World, lina: Member) -> None:
    await world.add()
    await world.pass_time(hours=13)
    html = await lina.page(f"{PAGE}/told", htmx=True)
    assert "现在是勿扰时段（21:30–09:00）" in html
    assert 'data-brake="warn"' in html


async def test_only_who_follows_a_customer_reads_the_pieces(world: World, lina: Member, wanghao: Member) -> None:
    await world.add()
    for piece in ("told", "timeline?kind=sent", "orders", "orders?q=x"):
        assert (await lina.get(f"{PAGE}/{piece}", htmx=True)).status == 200
        assert (await wanghao.get(f"{PAGE}/{piece}", htmx=True)).status == 403
    for nonsense in ("orders?before=x", "orders?before=1.99999999999999999999", "timeline?before=-.5"):
        assert (await lina.get(f"{PAGE}/{nonsense}", htmx=True)).status == 422
