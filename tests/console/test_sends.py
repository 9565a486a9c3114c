"""发送记录 and 渠道活码: what went out, and where customers come from."""

from scrm.contact_ways.store import save_contact_way
from tests.console.conftest import Visitor
from tests.world import ANING, XIAOMAN, World


async def test_the_ledger_is_narrowed_by_kind_and_outcome(manager: Visitor, world: World) -> None:
    await world.add(XIAOMAN)
    world.wecom.say("externalcontact/send_welcome_msg", 84061)
    await world.add(ANING)
    everything = await manager.get("/console/sends")
    assert "小满" in everything
    assert "阿宁" in everything
    failed = await manager.get("/console/sends?kind=welcome&outcome=failed")
    assert "阿宁" in failed
    assert "错误码 84061" in failed
    assert "小满" not in failed
    assert "没有符合条件的记录" in await manager.get("/console/sends?kind=chat")


async def test_an_unknown_filter_is_none(manager: Visitor, world: World) -> None:
    await world.add()
    assert "小满" in await manager.get("/console/sends?kind=nonsense&outcome=%3Cb%3E")


async def test_channel_codes_count_whom_they_brought(manager: Visitor, world: World) -> None:
    now = world.clock.now()
    await world.services.db.write(
        save_contact_way, "live-1111", title="双11 直播间", kind="直播", userids=["lina", "gone"], now=now
    )
    await world.add(XIAOMAN)
    await world.add(ANING, State="leaflet")
    page = await manager.get("/console/contact-ways")
    assert "双11 直播间" in page
    assert "gone" in page
    assert "未登记的渠道" in page
    assert "leaflet" in page
    await world.pass_time(days=1)
    row = (await manager.get("/console/contact-ways")).text.split("双11 直播间")[1]
    # its state, kind and two members, then today, in 7 days, in 30 days
    assert row.split("gone")[1].split()[:3] == ["0", "1", "1"]
