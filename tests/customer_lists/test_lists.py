"""客户列表: narrowed by everything people ask for, ordered, paged, counted, kept as views."""

import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from sqlalchemy import Connection, insert

from scrm.access.roles import made_of
from scrm.access.scope import EVERYONE
from scrm.access.store import save_role
from scrm.api.store import make_key
from scrm.customer_lists import store as lists
from scrm.customer_lists.filters import narrow, read_text
from scrm.customer_lists.models import customer_view
from scrm.profiles.models import corp_tag, follow_user_tag
from tests.console.conftest import Page, SignIn, Visitor
from tests.customer_lists.shop import open_shop, owner_of, wm
from tests.world import World

LIST = "/console/customers"


def numbers(page: Page) -> list[int]:
    return [int(link.rpartition("/")[2]) for link in page.links if re.fullmatch(r"/console/customers/\d+", link)]


def add_oily(conn: Connection) -> None:
    """6 and 8 wear 油皮 too."""
    conn.execute(insert(corp_tag), [{"tag_id": "t-oily", "tag_name": "油皮"}])
    worn = [{"userid": owner_of(n), "external_userid": wm(n), "tag_id": "t-oily", "tag_name": "油皮"} for n in (6, 8)]
    conn.execute(insert(follow_user_tag), worn)


async def test_every_filter_narrows_the_list_its_count_and_that_of_the_api(manager: Visitor, world: World) -> None:
    await open_shop(world)
    key = await world.services.db.write(make_key, "erp", "manager", now=world.clock.now())
    await world.services.db.write(add_oily)
    today = world.clock.now().astimezone(world.services.settings.shop.zone).date()
    day = {days: str(today - timedelta(days=days)) for days in range(13)}
    expected = {
        "": [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
        "owner=lina": [11, 9, 7, 5, 3, 1],
        "channel=live-1": [11, 10, 9, 8, 7],  # 12 has left
        "tag=老客": [8, 4],
        # Several: any of the members and channels, of the tags as is said.
        "owner=lina&owner=wangwei&stage=复购": [10, 5],
        "owner=lina&owner=nobody": [11, 9, 7, 5, 3, 1],
        "channel=live-1&channel=gone": [11, 10, 9, 8, 7],
        "tag=老客&tag=油皮": [8, 6, 4],
        "tag=老客&tag=油皮&tagged=all": [8],
        "tag=老客&tag=油皮&tagged=none": [12, 11, 10, 9, 7, 5, 3, 2, 1],
        "tagged=all": [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
        # Of what does not exist nobody can be said to have it or not.
        "tag=老客&tag=没有的标签&tagged=none": [],
        "tag=老客&tag=没有的标签": [],
        "stage=复购": [10, 5],
        "segment=vip": [2, 1],
        "friend=yes": [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
        "friend=lost": [12],
        "friend=lost&owner=wangwei": [12],
        "friend=none": [],
        f"added_from={day[4]}&added_to={day[3]}": [4, 3],
        f"ordered_from={day[6]}": [6, 3],
        f"ordered_to={day[9]}": [12, 9],
        "paid_from=600": [12, 9, 6],
        "paid_from=0.01&paid_to=899.99": [6, 3],
        "paid_to=0": [11, 10, 8, 7, 5, 4, 2, 1],
        "owner=lina&channel=live-1&paid_from=100&friend=yes": [9],
        "owner=wangwei&tag=老客&segment=vip&stage=复购": [],
        # What does not exist is nobody's.
        "owner=nobody": [],
        "tag=没有的标签": [],
        "segment=gone": [],
        "channel=gone": [],
        "q=顾客 1": [12, 11, 10, 1],
        "q=顾客 1&owner=lina": [11, 1],
    }
    for query, wanted in expected.items():
        page = await manager.get(f"{LIST}?{query}")
        assert (page.status, numbers(page)) == (200, wanted), query
        assert (await manager.get(f"{LIST}/count?{query}")).text == f"共 {len(wanted)} 位", query
        in_fen = re.sub(r"(paid_\w+)=([\d.]+)", lambda said: f"{said[1]}_fen={round(float(said[2]) * 100)}", query)
        answer = await world.client.get(
            f"/api/v1/customers/search?{in_fen}", headers={"Authorization": f"Bearer {key}"}
        )
        assert [one["id"] for one in (await answer.json())["items"]] == wanted, query


async def test_what_cannot_be_read_is_told_and_lists_nobody(manager: Visitor, world: World) -> None:
    await open_shop(world)
    for query, words in {
        "paid_from=很多": "累计实付要写金额（元），最多两位小数，写的是“很多”",
        "added_from=昨天": "添加时间要写日期，例如 2026-03-01，写的是“昨天”",
        "ordered_to=2026-13-40": "最近下单要写日期",
        "friend=maybe": "好友状态没有“maybe”",
        "tag=老客&tagged=some": "标签的关系没有“some”",
        "&".join(f"tag=标签{n}" for n in range(21)): "标签一次最多选 20 个，现在选了 21 个",
    }.items():
        page = await manager.get(f"{LIST}?{query}")
        assert (numbers(page), words in page) == ([], True), query
        assert (await manager.get(f"{LIST}/count?{query}")).text == "共 0 位"


async def test_each_order_shows_everybody_once_whatever_the_page(
    manager: Visitor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the first rows of the order do not fill a page, and everybody has to be asked."""
    await open_shop(world)
    bought, others = [12, 9, 6, 3], [11, 10, 8, 7, 5, 4, 2, 1]
    expected = {
        "sort=new": sorted(range(1, 13), reverse=True),
        "up=1": list(range(1, 13)),
        "sort=paid": bought + others,
        "sort=paid&up=1": bought[::-1] + others,
        "sort=ordered": bought[::-1] + others,
        "sort=paid&friend=yes&owner=lina": [9, 3, 11, 7, 5, 1],
        "sort=ordered&tag=老客": [8, 4],
        "sort=paid&paid_from=300&friend=yes": [9, 6, 3],
    }
    for window in (2_000, 3):
        monkeypatch.setattr(lists, "WINDOW", window)
        for query, wanted in expected.items():
            assert await _walk(world, query, limit=5) == wanted, (window, query)
    page = await manager.get(f"{LIST}?sort=paid")
    assert numbers(page) == bought + others
    assert "累计实付 ↓" in page


async def _walk(world: World, query: str, limit: int) -> list[int]:
    narrowed = narrow(read_text(query), world.services.settings.shop.zone, str)
    seen: list[int] = []
    before = ""
    while True:
        found = await world.services.db.read(
            lists.find_page, narrowed, EVERYONE, world.clock.now(), before=before, limit=limit
        )
        seen += found.ids
        if not (before := found.before):
            return seen


async def test_nobody_sees_more_than_their_own_customers(world: World, sign_in: SignIn) -> None:
    await open_shop(world)

    def role(conn: Connection) -> None:
        save_role(
            conn,
            made_of("shop", "店长", ["customers:view"], "own", []),
            by="x",
            now=world.clock.now(),
        )

    await world.services.db.write(role)
    lina = await sign_in("lina", "李娜", "shop")
    for query in ("", "sort=paid&up=1", "q=顾客", "paid_from=0.01", "owner=wangwei", "segment=vip"):
        page = await lina.get(f"{LIST}?{query}")
        assert page.status == 200
        assert all(number % 2 for number in numbers(page)), query
    assert (await lina.get(f"{LIST}/count")).text == "共 6 位"
    assert "打标签" not in await lina.get(LIST)  # nothing to be done with them


async def test_a_view_is_kept_shared_changed_and_deleted(manager: Visitor, world: World, sign_in: SignIn) -> None:
    await open_shop(world)
    query = urlencode({"owner": "lina", "sort": "paid"})
    kept = await manager.send(f"{LIST}/views", title="李娜的老客", query=query, is_shared="1")
    assert kept.headers["Location"] == f"{LIST}?{query}&view=1"
    page = await manager.get(f"{LIST}?{query}&view=1")
    assert numbers(page) == [9, 3, 11, 7, 5, 1]
    assert "李娜的老客" in page
    assert "更新视图" not in page
    assert "更新视图" in await manager.get(f"{LIST}?owner=wangwei&view=1")
    # Again under the same name; under none; of somebody else.
    assert (await manager.send(f"{LIST}/views", title="李娜的老客", query="")).status == 409
    assert (await manager.send(f"{LIST}/views", title=" ", query="")).status == 422
    other = await sign_in("wangwei", "王伟", "manager")
    assert "同事共享" in await other.get(LIST)
    assert (await other.send(f"{LIST}/views", view="1", title="我的了", query="")).status == 403
    assert (await other.send(f"{LIST}/views/1/delete")).status == 403
    await manager.send(f"{LIST}/views", view="1", title="只给我", query="friend=lost")
    assert "只给我" not in await other.get(LIST)
    assert (await manager.send(f"{LIST}/views/1/delete")).status == 303
    assert await world.rows(customer_view) == []


async def test_columns_are_chosen_for_oneself_and_for_a_view(manager: Visitor, world: World) -> None:
    await open_shop(world)
    assert "客单价" not in (await manager.get(LIST)).html.partition("<thead>")[2].partition("</thead>")[0]
    await manager.send(f"{LIST}/columns", column="average")
    head = (await manager.get(LIST)).html.partition("<thead>")[2].partition("</thead>")[0]
    assert "客单价" in head
    assert "来源渠道" not in head
    await manager.send(f"{LIST}/views", title="只看阶段", query="stage=复购")
    await manager.send(f"{LIST}/columns", column="stage", view="1", query="stage=复购")
    of_view = (await manager.get(f"{LIST}?stage=复购&view=1")).html.partition("<thead>")[2].partition("</thead>")[0]
    assert "阶段" in of_view
    assert "客单价" not in of_view


async def test_more_than_ten_thousand_are_not_counted_out(
    manager: Visitor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_shop(world)
    monkeypatch.setattr(lists, "MOST_COUNTED", 10)
    assert "以上" in (await manager.get(f"{LIST}/count")).text
    assert (await manager.get(f"{LIST}/count?owner=lina")).text == "共 6 位"
