"""A contact's page: who may see it, what it says, and what it costs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from scrm.commerce.canonical import read_order
from scrm.commerce.store import save_orders
from scrm.commerce.words import order_state
from scrm.events import Event, record
from scrm.profiles import store as profiles
from scrm.profiles.words import add_way
from tests.fakes.wecom import FakeWeCom
from tests.sidebar.conftest import Member, words
from tests.world import ANING, XIAOMAN, World


def order(order_no: str, days_ago: int, now: datetime, **more: Any) -> dict[str, Any]:
    paid_at = now - timedelta(days=days_ago)
    return {
        "channel": "tmall",
        "shop_key": "qingyu",
        "order_no": order_no,
        "status": "shipped",
        "paid_fen": 25600,
        "payable_fen": 25600,
        "ordered_at": paid_at.isoformat(),
        "paid_at": paid_at.isoformat(),
        "shipped_at": (paid_at + timedelta(hours=6)).isoformat(),
        "buyer_ref": {"wx_unionid": "oUnionXiaoman"},
        "lines": [
            {"line_key": "1", "title": "清透防晒乳 50ml", "spec": "自然色", "qty": 2, "paid_fen": 25600},
            {"line_key": "2", "title": "洁面小样", "qty": 1, "paid_fen": 0, "is_gift": True},
        ],
        "shipments": [{"carrier_code": "SF", "carrier_name": "顺丰速运", "tracking_no": "SF1234567890"}],
        **more,
    }


async def save(world: World, *given: dict[str, Any]) -> None:
    await world.services.db.write(
        save_orders,
        [read_order(one) for one in given],
        now=world.clock.now(),
        vault=world.services.vault,
        route="api",
    )


async def test_the_shell_is_small_and_carries_what_the_sdk_needs(lina: Member) -> None:
    html = await lina.page("/sidebar/")
    assert len(html.encode()) < 4000
    assert 'data-corp="ww7f2c19e0a4d83b56"' in html
    assert 'data-agent="1000021"' in html
    assert "bridge" not in html
    assert "<noscript>" in html


async def test_the_clients_dark_scheme_is_believed(lina: Member) -> None:
    async def media(agent: str) -> str:
        html = await (await lina.get("/sidebar/", headers={"User-Agent": agent})).text()
        found = re.search(r'dark-\w+\.css" media="([^"]+)"', html)
        assert found
        return found[1]

    assert await media("wxwork/5.0.2 Android ColorScheme/Dark") == "all"
    assert await media("wxwork/5.0.2 Android ColorScheme/Light") == "not all"
    assert await media("wxwork/5.0.11 WindowsWechat ColorScheme/Light") == "(prefers-color-scheme: dark)"


async def test_one_answer_holds_the_whole_customer(world: World, lina: Member, wecom: FakeWeCom) -> None:
    wecom.contacts[XIAOMAN]["follow_user"][0] |= {
        "remark": "小满 油皮",
        "remark_mobiles": ["13800136620"],
        "tags": [
            {"group_name": "肤质", "tag_name": "油皮", "tag_id": "et1", "type": 1},
            {"group_name": "个人", "tag_name": "爱喝茶", "type": 2},
        ],
    }
    await world.add(State="live-1111")
    await save(world, order("398102774556", 2, world.clock.now()))
    said = words(await lina.page(f"/sidebar/contacts/{XIAOMAN}"))
    for expected in (
        "小满 油皮 @微信",
        "跟进 1 天",
        "昵称 小满",
        "油皮",
        "爱喝茶",
        "138****6620",
        "¥256.00 · 1 单",
        "清透防晒乳 50ml 自然色 ×2",
        "洁面小样 赠品 ×1",
        "天猫",
        "已发货",
        "顺丰速运 SF1234567890",
        "新人券",
        "已发放",
        "发出欢迎语",
        "添加了李娜",
        "付款 ¥256.00",
    ):
        assert expected in said, expected
    assert "13800136620" not in said


async def test_the_piece_for_htmx_is_the_same_without_the_frame(world: World, lina: Member) -> None:
    await world.add()
    piece = await lina.page(f"/sidebar/contacts/{XIAOMAN}", htmx=True)
    assert "<html" not in piece
    assert piece.strip() in await lina.page(f"/sidebar/contacts/{XIAOMAN}")


async def test_nothing_stands_below_the_fields_that_come_late(world: World, lina: Member) -> None:
    await world.add()
    page = await lina.page(f"/sidebar/contacts/{XIAOMAN}")
    profile = page.partition('<section class="panel" role="tabpanel" id="panel-orders"')[0]
    below = profile.partition(f'hx-get="/sidebar/contacts/{XIAOMAN}/fields"')[2]
    assert below
    assert words(below.partition(">")[2]) == ""


async def test_only_who_follows_a_customer_sees_them(world: World, lina: Member, wanghao: Member) -> None:
    await world.add()
    for path in (f"/sidebar/contacts/{XIAOMAN}", f"/sidebar/contacts/{XIAOMAN}/timeline"):
        assert (await lina.get(path)).status == 200
        response = await wanghao.get(path)
        assert response.status == 403
        text = await response.text()
        assert "不在你的跟进列表里" in text
        assert "小满" not in text
    assert (await lina.get("/sidebar/contacts/wmUnknown")).status == 403


async def test_a_member_who_deleted_the_customer_sees_them_no_more(world: World, lina: Member) -> None:
    await world.add()
    await world.lose("del_external_contact")
    assert (await lina.get(f"/sidebar/contacts/{XIAOMAN}")).status == 403


async def test_a_customer_who_left_is_still_seen_and_it_is_said(world: World, lina: Member) -> None:
    await world.add()
    await world.lose("del_follow_user")
    assert "客户已把你删除" in await lina.page(f"/sidebar/contacts/{XIAOMAN}")


async def test_a_customer_of_nobody_elses_shows_colleagues_by_name(
    world: World, lina: Member, wanghao: Member, wecom: FakeWeCom
) -> None:
    await world.add()
    wecom.contacts[XIAOMAN]["follow_user"].append(
        {
            "userid": "wanghao",
            "remark": "满满",
            "createtime": 1772416900,
            "add_way": 1,
            "tags": [{"group_name": "个人", "tag_name": "难搞", "type": 2}],
        }
    )
    await world.add(userid="wanghao", State="", WelcomeCode="")
    said = words(await lina.page(f"/sidebar/contacts/{XIAOMAN}"))
    assert "我、王皓" in said
    assert "难搞" not in said  # a personal tag is its writer's own
    assert "难搞" in words(await wanghao.page(f"/sidebar/contacts/{XIAOMAN}"))


async def test_a_stranger_to_every_shop_gets_a_page_of_words_not_of_holes(world: World, lina: Member) -> None:
    await world.add(ANING, State="", WelcomeCode="")
    said = words(await lina.page(f"/sidebar/contacts/{ANING}"))
    for expected in ("还没有成交", "还没有发过券", "还没有认出这位客户的订单", "这位客户现在没有待办"):
        assert expected in said
    assert "None" not in said


async def test_what_customers_write_is_shown_and_not_run(world: World, lina: Member, wecom: FakeWeCom) -> None:
    wecom.contacts[XIAOMAN]["external_contact"]["name"] = "<script>alert(1)</script>"
    wecom.contacts[XIAOMAN]["follow_user"][0]["remark"] = '"><img src=x onerror=alert(2)>'
    await world.add()
    response = await lina.get(f"/sidebar/contacts/{XIAOMAN}")
    html = await response.text()
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"] == "no-store"
    assert " style=" not in html
    assert " onclick=" not in html


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that any engine of this process reads with meanwhile."""
    statements: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield statements
    event.remove(Engine, "before_cursor_execute", note)


async def test_the_page_costs_six_statements_behind_the_session(world: World, lina: Member) -> None:
    await world.add()
    await save(world, *(order(f"no-{number}", number + 1, world.clock.now()) for number in range(5)))
    with counted() as statements:
        await lina.page(f"/sidebar/contacts/{XIAOMAN}")
    assert len(statements) <= 7, [line[:80] for line in statements]


@pytest.mark.parametrize(
    "part", ["told", "tags", "tags/chips", "scripts", "scripts/list", "colleagues", "fields", "phones"]
)
async def test_no_part_of_the_page_costs_more_than_the_page(world: World, lina: Member, part: str) -> None:
    await world.add()
    await save(world, order("no-1", 1, world.clock.now()))
    with counted() as statements:
        response = await lina.get(f"/sidebar/contacts/{XIAOMAN}/{part}", htmx=True)
    assert response.status == 200
    assert len(statements) <= 7, [line[:80] for line in statements]


async def test_older_happenings_follow_without_gaps_or_repeats(world: World, lina: Member) -> None:
    await world.add()
    person_id = (await world.services.db.read(profiles.find_contact, XIAOMAN)).person_id  # type: ignore[union-attr]
    start = world.clock.now()

    def fill(conn: Connection) -> None:
        # Written in another order than they happened, two at a time.
        told = [
            Event(
                "task.sent", start - timedelta(hours=(7 * n) % 45 // 2 + 1), person_id, XIAOMAN, "lina",
                facts={"text": f"第{n:02d}条"}, once=f"t{n}",
            )
            for n in range(45)
        ]  # fmt: skip
        record(conn, told, now=start)

    await world.services.db.write(fill)
    html = await lina.page(f"/sidebar/contacts/{XIAOMAN}")
    seen = re.findall(r"第(\d\d)条", html)
    while more := re.search(r'hx-get="([^"]+/timeline\?before=[^"]+)"', html):
        html = await lina.page(more[1], htmx=True)
        seen += re.findall(r"第(\d\d)条", html)
    assert len(seen) == 45
    assert len(set(seen)) == 45
    at = [(7 * int(n)) % 45 // 2 for n in seen]
    assert at == sorted(at)


async def test_a_page_number_that_means_nothing_is_said_so(world: World, lina: Member) -> None:
    await world.add()
    for before in ("1.99999999999999999999", "99999999999999999999.1"):
        assert (await lina.get(f"/sidebar/contacts/{XIAOMAN}/timeline?before={before}", htmx=True)).status == 422
    response = await lina.get(f"/sidebar/contacts/{XIAOMAN}/timeline?before=x.y", htmx=True)
    assert response.status == 422
    assert "请刷新页面" in await response.text()


def test_goods_states_are_one_word_each() -> None:
    then = datetime(2026, 3, 1, tzinfo=UTC)
    states = [
        ("pending_payment", None, "待付款"),
        ("paid", None, "已付款"),
        ("partially_shipped", None, "部分发货"),
        ("shipped", None, "已发货"),
        ("shipped", then, "已签收"),
        ("completed", then, "交易成功"),
        ("closed", None, "交易关闭"),
        ("cancelled", None, "交易关闭"),
        ("unknown", None, "等待成团"),
    ]
    for status, delivered_at, word in states:
        assert order_state(status, delivered_at, "等待成团").text == word
    assert order_state("unknown", None, "").text == "状态未知"
    assert add_way(99) == "其他方式"
    assert add_way(0) == ""
