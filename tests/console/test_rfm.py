"""RFM 与生命周期 as a manager reads it: classes, the grid, who moved, the rules, and the people behind each figure."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from scrm.commerce import running_totals
from scrm.commerce.models import orders
from scrm.profiles.models import person
from scrm.segments import rfm_refresh
from tests.console.conftest import SignIn, Visitor
from tests.world import World

# Days ago and yuan of each order.
SHOP: tuple[list[tuple[int, int]], ...] = (
    [(3, 900), (8, 900), (30, 900)],
    [(12, 60)],
    [(14, 60)],
    [(300, 2500)],
    [(400, 100)],
    [],
)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def fill(world: World) -> None:
    def add(conn: Any) -> None:
        now = world.services.clock.now()
        for number, bought in enumerate(SHOP, 901):
            conn.execute(insert(person).values(id=number, name=f"买家{number}", created_at=now))
            for days, yuan in bought:
                at = now - timedelta(days=days)
                row = {"channel": "t", "order_no": f"{number}-{days}", "person_id": number, "status": "paid"}
                row |= {"payment_status": "paid", "paid_fen": yuan * 100, "ordered_at": at, "paid_at": at}
                conn.execute(insert(orders).values(**row, first_seen_at=now, last_seen_at=now))
            running_totals.recount(conn, number)

    await world.services.db.write(add)


def rules(**changed: str) -> dict[str, str]:
    form = {"period_days": "365", "scoring": "fixed", "split": "score", "high": "3"}
    for name, steps in (
        ("recency_days", (30, 90, 180, 365)),
        ("orders", (2, 3, 5, 10)),
        ("yuan", (100, 300, 800, 2000)),
    ):
        form |= {f"{name}_{place}": str(step) for place, step in enumerate(steps)}
    return form | changed


async def test_classes_grid_moves_and_the_people_behind_them(world: World, manager: Visitor, sign_in: SignIn) -> None:
    assert "还没有算过" in await manager.get("/console/rfm")
    await fill(world)
    await rfm_refresh.refresh(world.services)
    page = await manager.get("/console/rfm")
    assert "买家 4 人，净消费 ¥5,320" in page
    assert "一般发展客户 R↑ F↓ M↓ 2 50.0% 的买家 ¥120" in page
    assert "重要挽留客户 R↓ F↓ M↑ 1 25.0% 的买家" in page
    assert "没有人换类" in page
    for link in ("rfm=100", "r=5&f=1", "life=lost", "aipl=L"):
        assert f"/console/rfm/people?{link}" in page.links, link
    shown = await manager.get("/console/rfm/people?rfm=100")
    assert "一般发展客户" in shown
    assert "买家902" in shown
    assert "买家903" in shown
    assert "买家901" not in shown
    (keep,) = (link for link in shown.links if "segments/new" in link)
    assert "{field: rfm.class, op: eq, value: 一般发展客户}" in (await manager.get(keep)).html
    assert "买家905" in await manager.get("/console/rfm/people?life=lost")
    assert "这里没有人" in await manager.get("/console/rfm/people?r=1&f=5")
    for wrong in ("rfm=112", "r=6", "life=x", "f=zwei"):
        assert (await manager.get(f"/console/rfm/people?{wrong}")).status == 422

    world.clock.advance(days=200)
    await rfm_refresh.refresh(world.services)
    manager = await sign_in("chenlan", "陈岚", "manager")
    later = await manager.get("/console/rfm")
    assert "一般发展客户 一般挽留客户 2" in later
    assert "各类人数的变化" in later
    before = await manager.get("/console/rfm?run=1")
    assert "人数不能点开" in before
    assert not any("rfm/people?rfm" in link for link in before.links)


async def test_a_shop_without_buyers_is_told_how_they_come(world: World, manager: Visitor) -> None:
    await rfm_refresh.refresh(world.services)
    page = await manager.get("/console/rfm")
    assert "还没有买家" in page
    assert "一般发展客户" not in page
    assert "生命周期" in page


async def test_rules_are_checked_kept_and_used_at_once(world: World, manager: Visitor, sign_in: SignIn) -> None:
    await fill(world)
    await rfm_refresh.refresh(world.services)
    form = await manager.get("/console/rfm/rules")
    assert 'name="yuan_3" value="2000"' in form.html
    for wrong, says in (
        ({"yuan_1": "100"}, "金额（元）的四档要一档比一档大，写的是 100、100、800、2000"),
        ({"recency_days_0": "十"}, "最近下单（天）要写 1 到 100000000 的整数，写的是“十”"),
        ({"period_days": "7"}, "统计周期要写 30 到 1095 的整数，写的是“7”"),
        ({"scoring": "magic"}, "请在 固定分档、五等分 里选一个"),
        ({"name_111": "好" * 21}, "客户群的名称最多 20 个字"),
    ):
        refused = await manager.send("/console/rfm/rules", **rules(**wrong))
        assert refused.status == 422
        assert says in await refused.text()
    kept = await manager.send("/console/rfm/rules", **rules(split="median", name_111="铁粉"))
    assert kept.status == 303
    await world.settle()
    page = await manager.get("/console/rfm")
    assert "高低：好于全部买家的中位数" in page
    assert "铁粉 R↑ F↑ M↑ 1" in page
    assert "没有人换类" in page
    staff = await sign_in("lina", "李娜", "member")
    assert (await staff.send("/console/rfm/rules", **rules())).status in (302, 303, 403)
