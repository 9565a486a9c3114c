"""公海 in the workbench: who waits there and why, one tap to pick, and whoever may not is told so."""

import re

import pytest
from sqlalchemy import Connection, insert, update

from scrm.customer_lists import pool, pool_store
from scrm.customer_lists.models import pool_entry, pool_pick
from scrm.customer_lists.pool_store import Rule
from scrm.events import event
from scrm.profiles.models import follow_user, member, person
from scrm.transfers.models import transfer_customer
from tests.customer_lists.shop import open_shop, wm
from tests.sidebar.conftest import Member, words
from tests.sidebar.test_contact import counted
from tests.world import World


@pytest.fixture
async def shop(world: World, wanghao: Member) -> None:
    """The pool is on; customers 2, 4, 6, 8 and 10 have lost their colleague 王伟."""
    await open_shop(world)

    def write(conn: Connection) -> None:
        conn.execute(update(member).where(member.c.userid == "wangwei").values(is_active=False))
        pool_store.save_rule(conn, Rule(is_on=True, picks_per_day=2), by="boss", now=world.clock.now())

    await world.services.db.write(write)
    await pool.tick(world.services)


@pytest.mark.usefixtures("shop")
async def test_a_member_sees_who_waits_and_why_and_picks_with_one_tap(world: World, wanghao: Member) -> None:
    assert 'href="/sidebar/pool"' in await wanghao.page("/sidebar/today")
    with counted() as statements:
        html = await wanghao.page("/sidebar/pool")
    assert len(statements) <= 5, [line[:80] for line in statements]
    said = words(html)
    assert "今天还能领 2 位" in said
    assert "员工已离开 5" in said
    assert "员工已离开 · 原来是 王伟 的客户" in said
    assert "¥600" in said
    assert "1 单" in said
    # Nobody's name before he is somebody's customer.
    assert "顾客 6" not in html
    assert "顾***" in said
    picked = words(await wanghao.press("/sidebar/pool/6/pick"))
    assert "已领取 · 顾客 6" in picked
    assert "客户 24 小时内可以拒绝" in picked
    assert "今天还能领 1 位" in picked
    owner = [row.owner_userid for row in await world.rows(person, person.c.id == 6)]
    assert owner == ["wanghao"]
    assert [row.external_userid for row in await world.rows(transfer_customer)] == [wm(6)]
    assert 'id="pool-6"' not in await wanghao.page("/sidebar/pool")
    # The same tap again takes nothing more.
    assert "已领取" in words(await wanghao.press("/sidebar/pool/6/pick"))
    assert len(await world.rows(pool_pick)) == 1
    assert [row.userid for row in await world.rows(event, event.c.name == "pool.picked")] == ["wanghao"]


@pytest.mark.usefixtures("shop")
async def test_the_day_is_over_when_its_picks_are_used_and_who_comes_too_late_is_told(
    world: World, wanghao: Member
) -> None:
    def colleague(conn: Connection) -> None:
        pool.take(conn, [2], pool.Taker("lina"), world.services.settings.shop.zone, now=world.clock.now())

    await world.services.db.write(colleague)
    late = words(await wanghao.press("/sidebar/pool/2/pick"))
    assert "可能刚被同事领走" in late
    assert "今天还能领 2 位" in late
    for number in (4, 6):
        await wanghao.press(f"/sidebar/pool/{number}/pick")
    refused = await wanghao.tap("/sidebar/pool/8/pick")
    assert refused.status == 409
    assert "今天的 2 位已经领完，明天再来" in (await refused.json())["error"]["message"]
    assert "今天的 2 位已经领完" in words(await wanghao.page("/sidebar/pool"))
    await world.pass_time(days=1)
    assert "今天还能领 2 位" in words(await wanghao.page("/sidebar/pool"))


@pytest.mark.usefixtures("shop")
async def test_rights_are_asked_again_at_each_tap(world: World, wanghao: Member) -> None:
    def be_friends(conn: Connection) -> None:
        row = {"userid": "wanghao", "external_userid": wm(4), "person_id": 4, "followed_at": world.clock.now()}
        conn.execute(insert(follow_user).values(**row))

    def turn_off(conn: Connection) -> None:
        pool_store.save_rule(conn, Rule(is_on=False), by="boss", now=world.clock.now())

    def stop(conn: Connection) -> None:
        conn.execute(update(member).where(member.c.userid == "wanghao").values(is_active=False))

    await world.services.db.write(be_friends)
    html = await wanghao.page("/sidebar/pool")
    assert "顾客 4" in html, "a friend has his name"
    assert f'href="/sidebar/contacts/{wm(4)}"' in html
    assert "现在就能聊" in await wanghao.press("/sidebar/pool/4/pick")
    await world.services.db.write(turn_off)
    refused = await wanghao.tap("/sidebar/pool/6/pick")
    assert (refused.status, "公海没有启用" in (await refused.json())["error"]["message"]) == (409, True)
    off = words(await wanghao.page("/sidebar/pool"))
    assert "公海没有启用" in off
    assert "顾" not in off
    assert "/sidebar/pool" not in await wanghao.page("/sidebar/today")
    assert (await wanghao.get("/sidebar/pool/more?after=1.1", htmx=True)).status == 409
    await world.services.db.write(stop)
    assert (await wanghao.tap("/sidebar/pool/6/pick")).status in (401, 403)
    assert {row.id for row in await world.rows(person, person.c.owner_userid != "")} == {4}


@pytest.mark.usefixtures("shop")
async def test_a_large_pool_comes_page_by_page_each_customer_once(world: World, wanghao: Member) -> None:
    def fill(conn: Connection) -> None:
        conn.execute(
            insert(person), [{"id": n, "name": f"客{n}", "created_at": world.clock.now()} for n in range(100, 150)]
        )
        rows = [{"person_id": n, "reason": "by_hand", "entered_at": world.clock.now()} for n in range(100, 150)]
        conn.execute(insert(pool_entry), rows)

    await world.services.db.write(fill)
    html = await wanghao.page("/sidebar/pool?reason=by_hand")
    seen = re.findall(r'id="pool-(\d+)"', html)
    while found := re.search(r'hx-get="(/sidebar/pool/more[^"]+)"', html):
        html = await wanghao.page(found[1].replace("&amp;", "&"), htmx=True)
        seen += re.findall(r'id="pool-(\d+)"', html)
    assert seen == [str(n) for n in range(149, 99, -1)]
    assert (await wanghao.get("/sidebar/pool/more?after=x", htmx=True)).status == 422
