"""Whose customers somebody sees in the console, and how the pages of access themselves look."""

import pytest

from scrm.access.roles import made_of
from scrm.access.store import save_role
from scrm.audit import audit_entry
from scrm.profiles.models import external_contact
from tests.console.conftest import SignIn, Visitor
from tests.console.test_door import check_page
from tests.world import ANING, XIAOMAN, World

RIGHTS = ("customers:edit", "customers:reveal", "sends:view", "playbooks:view", "segments:view", "merge:view")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The condition itself is tried on both databases in test_scope.py."""
    return sqlite_url


@pytest.fixture
async def wanghao(world: World, sign_in: SignIn) -> Visitor:
    """Follows 阿宁; lina follows 小满."""
    own = made_of("own", "自己的", RIGHTS, "own", ("phone",))
    await world.services.db.write(save_role, own, by="boss", now=world.clock.now())
    world.wecom.add_contact(ANING, "阿宁", "wanghao")
    await world.add(XIAOMAN, "lina")
    await world.add(ANING, "wanghao")
    return await sign_in("wanghao", "王皓", "own")


async def persons(world: World) -> dict[str, int]:
    return {row.external_userid: row.person_id for row in await world.rows(external_contact)}


async def test_lists_and_pages_have_only_the_readers_own_customers(world: World, wanghao: Visitor) -> None:
    known = await persons(world)
    page = await wanghao.get("/console/customers")
    assert f"/console/customers/{known[ANING]}" in page.links
    assert f"/console/customers/{known[XIAOMAN]}" not in page.links
    for text in ("小满", XIAOMAN):
        assert f"/console/customers/{known[XIAOMAN]}" not in (await wanghao.get(f"/console/customers?q={text}")).links
    sends = await wanghao.get("/console/sends")
    assert "阿宁" in sends
    assert "小满" not in sends
    assert (await wanghao.get(f"/console/customers/{known[ANING]}")).status == 200
    for path in ("", "/privacy", "/points"):
        page = await wanghao.get(f"/console/customers/{known[XIAOMAN]}{path}")
        assert page.status == 403, path
        assert "小满" not in page, path
    why = f"/console/why?playbook=new-customer&person={known[XIAOMAN]}"
    assert "不在你的数据范围里" in await wanghao.get(why)
    refused = await wanghao.post(f"/console/customers/{known[XIAOMAN]}/privacy/optout")
    assert (refused.status, "数据范围" in await refused.text()) == (403, True)


async def test_pages_of_the_whole_shop_stay_closed_to_a_smaller_reach(wanghao: Visitor) -> None:
    for path in ("/console/segments", "/console/merge", "/console/playbooks/new-customer/rehearsal"):
        assert (await wanghao.get(path)).status == 403, path
    home = await wanghao.world.client.get("/console/", headers=wanghao.cookie, allow_redirects=False)
    assert home.headers["Location"] == "/console/customers"


async def test_only_the_fields_of_the_role_are_shown_in_clear(world: World, wanghao: Visitor) -> None:
    known = await persons(world)
    path = f"/console/customers/{known[ANING]}/privacy"
    data = {"csrf": wanghao.csrf, "reason": "核对号码"}
    response = await world.client.post(f"{path}/reveal", data=data, headers=wanghao.cookie)
    assert response.status == 200
    row = [row for row in await world.rows(audit_entry) if row.act == "reveal"][-1]
    assert (row.actor, row.key, row.after) == ("wanghao", str(known[ANING]), {"seen": ["phone"], "reason": "核对号码"})


async def test_the_pages_of_access_are_whole(world: World, sign_in: SignIn) -> None:
    boss = await sign_in("boss", "周总", "administrator")
    await boss.post("/console/playbooks/new-customer/pause")
    for path in (
        "/console/account",
        "/console/access",
        "/console/access?q=周&role=administrator",
        "/console/access/roles",
        "/console/access/roles/new?copy=manager",
        "/console/access/roles/manager",
        "/console/access/accounts",
        "/console/api-keys",
        "/console/audit",
        "/console/audit?key=new-customer&since=2026-01-01&until=2026-12-31",
    ):
        check_page(path, await boss.get(path))
