"""今日: the figures of this day in the shop's zone, and what needs a hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, update

from scrm import sessions
from scrm.access import account_store
from scrm.events import Event, record
from scrm.profiles.models import member
from scrm.reports.today import Today, compute_today, span_of
from scrm.settings import Shop
from tests.console.conftest import Visitor
from tests.world import World

ZONE = Shop().zone


async def test_an_add_and_its_welcome_are_counted_and_told(manager: Visitor, world: World) -> None:
    await world.add()
    page = await manager.get("/console/")
    assert "新增客户 1" in page
    assert "欢迎语 1" in page
    assert "没有失败" in page
    assert "小满" in page
    assert "一切正常" in page


async def test_a_welcome_that_failed_leads_to_its_reason(manager: Visitor, world: World) -> None:
    world.wecom.say("externalcontact/send_welcome_msg", 84061)
    await world.add()
    page = await manager.get("/console/")
    assert "1 条未送达" in page
    (link,) = {link for link in page.links if "outcome=failed" in link}
    assert "客户已不是该员工的好友" in await manager.get(link)


async def test_what_needs_a_hand_is_on_the_first_page_and_in_the_menu(manager: Visitor, world: World) -> None:
    assert (await world.tell(_unknown_event())).status == 200
    await world.settle()
    page = await manager.get("/console/")
    assert "不认识的事件 回调 full_moon" in page
    assert "企业微信回调 1" in page


def _unknown_event() -> str:
    return (
        "<xml><ToUserName>ww</ToUserName><CreateTime>1772416800</CreateTime><MsgType>event</MsgType>"
        "<Event>change_moon</Event><ChangeType>full_moon</ChangeType></xml>"
    )


def test_a_day_begins_at_midnight_in_the_zone_of_the_shop() -> None:
    span = span_of(datetime(2026, 3, 2, 16, 30, tzinfo=UTC), ZONE)  # half past midnight on the third
    assert span.start == datetime(2026, 3, 2, 16, 0, tzinfo=UTC)
    assert span.until_before == datetime(2026, 3, 1, 16, 30, tzinfo=UTC)


async def test_money_and_orders_are_compared_with_the_same_hours_of_yesterday(world: World) -> None:
    now = world.clock.now()  # 10:00 in Shanghai

    def paid(hours_ago: int, fen: int, key: str) -> Event:
        return Event("order.paid", now - timedelta(hours=hours_ago), key=key, facts={"paid_fen": fen}, once=key)

    told = [paid(1, 12_800, "a"), paid(2, 1, "b"), paid(26, 5_000, "c"), paid(20, 9_900, "late yesterday")]
    today = await _compute(world, told)
    assert (today.orders, today.paid_fen) == (2, 12_801)
    assert (today.orders_before, today.paid_fen_before) == (1, 5_000)


async def test_an_empty_day_has_zeros(world: World) -> None:
    today = await _compute(world, [])
    assert (today.added, today.lost, today.orders, today.paid_fen, today.waiting) == (0, 0, 0, 0, 0)
    assert today.funnel.made == 0


async def test_customers_who_left_by_either_side_are_counted(world: World) -> None:
    await world.add()
    world.clock.advance(minutes=1)
    await world.lose()
    today = await _compute(world, [])
    assert (today.added, today.lost) == (1, 1)


async def _compute(world: World, told: list[Event]) -> Today:
    now = world.clock.now()

    def work(conn: Connection) -> None:
        record(conn, told, now=now)

    await world.services.db.write(work)
    return await world.services.db.read(compute_today, now, ZONE)


async def test_the_funnel_follows_a_task_from_open_to_expired(manager: Visitor, world: World) -> None:
    await world.add()
    await world.pass_time(days=3, hours=1, minutes=30)
    made: Any = await world.services.db.read(compute_today, world.clock.now(), ZONE)
    assert (made.funnel.made, made.funnel.waiting) == (1, 1)
    await world.pass_time(days=1, hours=2)
    late: Any = await world.services.db.read(compute_today, world.clock.now(), ZONE)
    assert (late.funnel.made, late.funnel.waiting, late.funnel.expired) == (1, 0, 1)
    assert late.waiting == 0


async def test_an_empty_shop_is_told_where_to_begin_until_a_code_and_a_customer_are_there(
    manager: Visitor, world: World
) -> None:
    page = await manager.get("/console/")
    assert "从这里开始 读取企业微信 员工" in page
    assert {"/console/contact-ways/new", "/console/playbooks/new-customer"} <= set(page.links)
    assert (await manager.post("/console/sync")).status == 303
    await world.settle()
    assert "读取企业微信 已完成" in await manager.get("/console/")
    await world.add()
    assert "建第一个渠道活码" in await manager.get("/console/")
    form = {"title": "直播间", "kind": "直播", "userid": "lina"}
    assert (await manager.send("/console/contact-ways/new", **form)).status == 303
    assert "从这里开始" not in await manager.get("/console/")


async def test_a_form_without_anybody_to_choose_leads_to_the_sync(world: World) -> None:
    """The first to come in is an account of the house, who is no member of WeCom's."""
    now = world.clock.now()

    def enter(conn: Connection) -> tuple[str, str]:
        userid = account_store.add_account(conn, "boss", "administrator", "x", now=now)
        account_store.set_password(conn, userid, "y", must_change=False, now=now)
        conn.execute(update(member).values(is_active=False))
        token = sessions.open_session(conn, userid, now=now, lives=timedelta(hours=1), way="local")
        found = sessions.find_session(conn, token, now=now)
        assert found is not None
        return token, found.csrf

    boss = Visitor(world, *await world.services.db.write(enter))
    for path in ("/console/contact-ways/new", "/console/acquisition"):
        assert "还没有员工。 先同步一次 ，通常一分钟内就能选。" in await boss.get(path), path
