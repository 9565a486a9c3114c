"""The page beside a customer group."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection, insert

from scrm.group_chats.models import group_chat, group_chat_member, group_chat_tag
from scrm.profiles import store as profiles
from tests.sidebar.conftest import Member, sign_in, words
from tests.world import ANING, XIAOMAN, World

GROUP, OTHER = "wrFans000000000000000000000001", "wrTrial00000000000000000000002"
PAGE = f"/sidebar/groups/{GROUP}"


@pytest.fixture
async def group(world: World, lina: Member, wanghao: Member) -> str:
    """Lina's group: her customer, Wang Hao's customer, somebody who is nobody's, and Lina herself."""
    await world.add()
    world.wecom.add_contact(ANING, "阿宁", "wanghao")
    await world.add(ANING, "wanghao")
    now = world.clock.now()

    def write(conn: Connection) -> None:
        for chat_id, name in ((GROUP, "晴屿会员福利群"), (OTHER, "新品试用群")):
            values = {"chat_id": chat_id, "name": name, "owner": "lina", "notice": "每周三上新", "members": 4}
            conn.execute(insert(group_chat).values(**values, customers=3, created_at=now, refreshed_at=now))
        people = (("lina", 1, ""), (XIAOMAN, 2, "小满"), (ANING, 2, "阿宁"), ("wmStranger", 2, "路过的人"))
        for userid, kind, name in people:
            row = {"chat_id": GROUP, "userid": userid, "type": kind, "name": name, "join_scene": 3}
            conn.execute(insert(group_chat_member).values(**row, joined_at=now - timedelta(days=2)))
        again = {"chat_id": OTHER, "userid": "wmStranger", "type": 2, "name": "路过的人", "joined_at": now}
        conn.execute(insert(group_chat_member).values(**again))
        conn.execute(insert(group_chat_tag).values(chat_id=GROUP, name="老客"))

    await world.services.db.write(write)
    return GROUP


async def test_each_person_says_whose_customer_it_is(lina: Member, group: str) -> None:
    html = await lina.page(PAGE)
    said = words(html)
    assert "晴屿会员福利群" in said
    assert "群主 李娜" in said
    assert "老客" in said
    assert "每周三上新" in said
    assert "小满 我的客户" in said
    assert "阿宁 王皓的客户" in said
    assert "路过的人 还没加好友" in said
    assert "还在：新品试用群" in said
    assert f'href="/sidebar/contacts/{XIAOMAN}"' in html
    assert f'href="/sidebar/contacts/{ANING}"' not in html
    assert "<!doctype" not in await lina.page(PAGE, htmx=True)


async def test_views_and_search_narrow_the_list(lina: Member, group: str) -> None:
    async def shown(query: str) -> str:
        return words(await lina.page(f"{PAGE}?part=people&{query}", htmx=True))

    assert "小满" not in await shown("show=nobody")
    assert "路过的人" in await shown("show=several")
    assert "李娜 群主" in await shown("show=staff")
    assert "阿宁" in await shown("q=阿")
    assert "小满" not in await shown("q=阿")
    assert "没有叫“没有的人”的人" in await shown("q=没有的人")


async def test_only_who_belongs_to_the_group_or_whose_role_allows_sees_it(
    world: World, group: str, wanghao: Member
) -> None:
    response = await wanghao.get(PAGE)
    assert response.status == 403
    assert "你不在这个群里" in await response.text()
    joined = {"chat_id": GROUP, "userid": "WangHao", "type": 1, "joined_at": world.clock.now()}
    await world.services.db.write(lambda conn: conn.execute(insert(group_chat_member).values(**joined)))
    assert "王皓 员工" in words(await wanghao.page(PAGE))
    # Of another's customer his tags and worth are not shown, of his own they are.
    assert "阿宁 我的客户" in words(await wanghao.page(PAGE))
    boss = await sign_in(world, "chenlan", "陈岚")
    assert (await boss.get(PAGE)).status == 403
    await world.services.db.write(profiles.set_role, "chenlan", "manager")
    assert "小满 李娜的客户" in words(await boss.page(PAGE))


async def test_a_group_that_nobody_has_read_is_read_at_a_tap(world: World, lina: Member) -> None:
    assert "还没有读到这个群" in await lina.page("/sidebar/groups/wrNew")
    assert "正在向企业微信读取" in await lina.press("/sidebar/groups/wrNew/refresh")
    for _ in range(9):
        await lina.press("/sidebar/groups/wrNew/refresh")
    response = await lina.tap("/sidebar/groups/wrNew/refresh")
    assert response.status == 409
    assert "查得太频繁了" in (await response.json())["error"]["message"]
