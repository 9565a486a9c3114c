"""勿扰与频控 as an administrator changes it, and the stop list as managers keep it."""

from datetime import date

import pytest

from scrm.profiles.stop_list import stop_entry
from scrm.sop.guards.answers import Promotion
from scrm.sop.shelf import house_of
from tests.console.conftest import SignIn, Visitor
from tests.console.test_tags import post
from tests.world import XIAOMAN, World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
async def administrator(sign_in: SignIn) -> Visitor:
    return await sign_in("boss", "老板", "administrator")


FORM = {
    "quiet": "22:00-08:00",
    "gap_hours": "48",
    "per_week": "2",
    "per_month": "",
    "after_sale_days": "3",
    "talk_hours": "4",
    "tasks_per_day": "20",
    "holdout_percent": "0",
    "stop_tags": "停发，家人",
    "promotions": "2026-11-08 到 2026-11-12、2026-06-16至2026-06-20",
}


async def test_an_administrator_changes_the_house_s_guards_and_a_zero_is_refused(
    world: World, manager: Visitor, administrator: Visitor
) -> None:
    assert "由管理员，或有“改全店规则”权限的人修改" in await manager.get("/console/guards")
    assert (await post(manager, "/console/guards", **FORM))[0] == 403
    status, text = await post(administrator, "/console/guards", **{**FORM, "per_week": "0"})
    assert (status, "7 天内最多要填 1 到 100 的整数，填的是“0”；不限制请留空，0 不是“不限”" in text) == (422, True)
    assert (await post(administrator, "/console/guards", **FORM))[0] == 303
    house = house_of(world.services)
    assert (house.caps.per_week, house.caps.per_month, house.tasks_per_day, house.holdout) == (2, None, 20, 0)
    assert house.stop_tags == {"停发", "家人"}
    assert house.promotions == (
        Promotion(date(2026, 6, 16), date(2026, 6, 20)),
        Promotion(date(2026, 11, 8), date(2026, 11, 12)),
    )
    for wrong in ("618", "2026-06-20 到 2026-06-16", "2026-02-30 到 2026-03-01"):
        status, text = await post(administrator, "/console/guards", **{**FORM, "promotions": wrong})
        assert (status, "大促" in text) == (422, True)
    assert 'value="22:00-08:00"' in (await administrator.get("/console/guards")).html
    assert (await post(administrator, "/console/guards", reset="1"))[0] == 303
    assert house_of(world.services).caps.per_week == 3


async def test_a_manager_puts_somebody_on_the_stop_list_and_takes_him_off(world: World, manager: Visitor) -> None:
    assert "名单是空的" in await manager.get("/console/guards")
    await world.add()
    status, text = await post(manager, "/console/guards/stop", who="没有这个人", kind="peer")
    assert (status, "没有找到“没有这个人”" in text) == (404, True)
    assert (await post(manager, "/console/guards/stop", who=XIAOMAN, kind="peer", note="隔壁店"))[0] == 303
    (row,) = await world.rows(stop_entry)
    assert "隔壁店" in await manager.get("/console/guards")
    assert (await post(manager, f"/console/guards/stop/{row.person_id}/delete"))[0] == 303
    assert await world.rows(stop_entry) == []
