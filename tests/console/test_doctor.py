"""体检 as managers see it: what must be mended first, with cause and place."""

import pytest

from tests.console.conftest import Visitor
from tests.world import World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


async def test_what_is_broken_stands_first_with_its_cause_and_where_to_mend_it(world: World, manager: Visitor) -> None:
    refusal = {"errcode": 60020, "errmsg": "not allow to access from your ip, from ip: 203.0.113.9, more info at x"}
    world.wecom.say("agent/get", refusal)
    page = await manager.get("/console/doctor")
    assert page.status == 200
    assert "体检" in page
    assert page.html.index('id="trouble-trusted_ip"') < page.html.index('id="check-database"')
    assert "本机出口 IP：203.0.113.9" in page
    assert "企业可信IP" in page
    assert "/console/doctor" in page.links
    assert (await manager.get("/console/")).links.count("/console/doctor") == 1
