"""The whole way against the sandbox: it keeps WeCom's rules and was written apart from the fake of the tests."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from scrm.app import open_services
from scrm.contact_ways import acquisition, ways
from scrm.contact_ways.models import acquisition_link, contact_way
from scrm.contact_ways.plan import Plan
from scrm.profiles import mark_tags, tag_library, tags
from scrm.profiles.models import corp_tag, follow_user_tag, tag_wish
from scrm.sandbox import growth
from scrm.services import Services
from scrm.work.progress import Progress
from tests.sandbox.conftest import SECRET, Wecom, wecom
from tests.world import make_settings

__all__ = ["wecom"]


@pytest.fixture
async def services(sqlite_url: str, wecom: Wecom) -> AsyncIterator[Services]:
    more = {"wecom": {"corp_id": wecom.sandbox.config.corp_id, "secret": SECRET}}
    settings = make_settings(sqlite_url, wecom.base, **more)
    async with open_services(settings) as services:
        yield services


async def rows(services: Services, table: Any) -> list[Any]:
    return await services.db.read(lambda conn: list(conn.execute(table.select())))


async def test_a_code_lives_in_wecom_as_it_does_here(wecom: Wecom, services: Services) -> None:
    now = services.clock.now()
    await services.db.write(
        lambda conn: ways.make(
            conn, title="直播间", kind="直播", userids=["lina", "WuHao"], state="live-9", plan=Plan(cap=9), now=now
        )
    )
    await services.worker.drain()
    (code,) = [code for code in wecom.sandbox.world.contact_ways.values() if code.state == "live-9"]
    assert (code.userids, code.remark, code.skip_verify) == (["lina", "WuHao"], "直播间", True)
    await services.db.write(
        lambda conn: ways.change(
            conn, "live-9", title="晚场", kind="直播", userids=["lina"], skip_verify=False, plan=Plan(), now=now
        )
    )
    await services.worker.drain()
    assert (code.userids, code.remark, code.skip_verify) == (["lina"], "晚场", False)
    await ways.sync_ways(services, Progress(), True)
    assert {row.state for row in await rows(services, contact_way)} == {"live-9", "expo-a"}
    await services.db.write(lambda conn: ways.end(conn, "live-9", now=now))
    await services.worker.drain()
    assert [each.state for each in wecom.sandbox.world.contact_ways.values()] == ["expo-a"]


async def test_marks_and_the_library_are_the_same_on_both_sides(wecom: Wecom, services: Services) -> None:
    external_userid, _ = await wecom.scan()
    theirs = await growth.make_tag(wecom.sandbox, "等级", "金卡")
    now = services.clock.now()
    for name in ("金卡", "油皮", "老客"):
        await services.db.write(
            lambda conn, name=name: tags.want(
                conn, "lina", external_userid, add=[name], source="staff", reason="试用", now=now
            )
        )
    await services.worker.drain()
    pair = wecom.sandbox.world.pairs_of_member("lina")[0]
    carried = {row.tag_id for row in await rows(services, follow_user_tag)}
    assert (carried, len(carried), await rows(services, tag_wish)) == (set(pair.tag_ids), 3, [])
    assert sum(call.endpoint.endswith("mark_tag") for call in wecom.sandbox.call_log) == 1
    await growth.remove_tag(wecom.sandbox, theirs.id)
    await mark_tags.refresh_library(services)
    assert {row.tag_id for row in await rows(services, follow_user_tag)} == set(pair.tag_ids)
    assert {row.tag_name for row in await rows(services, corp_tag) if not row.is_deleted} == {"油皮", "老客"}


async def test_the_order_of_tags_is_the_same_on_both_sides(wecom: Wecom, services: Services) -> None:
    async def ours() -> list[str]:
        return [row.tag_name for row in await services.db.read(tags.list_library)]

    async def theirs() -> list[str]:
        return [tag.name for group in await services.wecom.corp_tags.get_corp_tag_list() for tag in group.tag]

    await tag_library.add_tags(services, "肤质", ["油皮", "干皮", "混合皮"])
    await tag_library.add_tags(services, "阶段", ["老客"])
    row = {each.tag_name: each for each in await services.db.read(tags.list_library)}
    await tag_library.place_tag(services, row["混合皮"].tag_id, row["油皮"].tag_id)
    await tag_library.place_tag(services, row["干皮"].tag_id, row["油皮"].tag_id)
    await tag_library.place_group(services, row["老客"].group_id, row["油皮"].group_id)
    await tag_library.move_tag(services, row["油皮"].tag_id, up=True)
    mine = await ours()
    assert mine.index("老客") < mine.index("混合皮") < mine.index("油皮") < mine.index("干皮")
    await mark_tags.refresh_library(services)
    assert await ours() == mine == await theirs()
    await growth.shuffle_tags(wecom.sandbox, row["油皮"].group_id)
    await mark_tags.refresh_library(services)
    assert mine != await ours() == await theirs()


async def test_a_link_lives_in_wecom_as_it_does_here(wecom: Wecom, services: Services) -> None:
    link_id = await acquisition.make_link(services, "抖音", ["lina"])
    await acquisition.change_link(services, link_id, "抖音 2", ["lina", "WuHao"], skip_verify=False)
    link = wecom.sandbox.world.acquisition.links[link_id]
    assert (link.name, link.userids, link.skip_verify) == ("抖音 2", ["lina", "WuHao"], False)
    await growth.open_link(wecom.sandbox, "xiaoman", link_id, "dy-a")
    progress = Progress()
    await acquisition.sync_links(services, progress, False)
    assert await services.db.read(acquisition.count_customers) == {link_id: (1, 0)}
    assert (await services.db.read(acquisition.find_quota)).balance == 99
    growth.drop_link(wecom.sandbox, link_id)
    await acquisition.sync_links(services, progress, False)
    assert [row.condition for row in await rows(services, acquisition_link)] == ["deleted"]
