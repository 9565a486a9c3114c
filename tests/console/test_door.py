"""Who comes in, who does not, and what they are told."""

import pytest
from yarl import URL

from tests.console.conftest import Page, SignIn, Visitor
from tests.world import World


async def test_strangers_are_sent_to_the_login_and_come_back_to_their_page(world: World) -> None:
    response = await world.client.get("/console/customers?q=小满", allow_redirects=False)
    assert response.status == 302
    location = URL(response.headers["Location"])
    assert (location.path, location.query["next"]) == ("/login", str(URL("/console/customers?q=小满")))


async def test_a_member_learns_whom_to_ask(sign_in: SignIn) -> None:
    await sign_in("boss", "周总", "administrator")
    lina = await sign_in("lina", "李娜", "member")
    page = await lina.get("/console/playbooks")
    assert page.status == 403
    assert "李娜，你的角色是“员工”，这里需要“剧本 SOP：查看”的权限" in page
    assert "请联系管理员 周总 为你开通" in page


async def test_without_any_administrator_the_command_is_told(sign_in: SignIn) -> None:
    lina = await sign_in("lina", "李娜", "member")
    assert "scrm user add lina --role administrator" in await lina.get("/console/")


@pytest.mark.parametrize("role", ["manager", "administrator"])
async def test_managers_and_administrators_come_in(sign_in: SignIn, role: str) -> None:
    visitor = await sign_in("chenlan", "陈岚", role)
    assert (await visitor.get("/console/")).status == 200


async def test_a_member_cannot_write_either(sign_in: SignIn, world: World) -> None:
    lina = await sign_in("lina", "李娜", "member")
    assert (await lina.post("/console/playbooks/new-customer/pause")).status == 403
    assert (await lina.delete("/console/playbooks/new-customer/pause")).status == 403


async def test_a_forged_write_is_refused(manager: Visitor) -> None:
    response = await manager.post("/console/playbooks/new-customer/pause", csrf="guessed")
    assert response.status == 403
    assert "已启用" in await manager.get("/console/playbooks/new-customer")


async def test_signing_out_ends_the_session(manager: Visitor) -> None:
    response = await manager.post("/console/logout")
    assert response.status == 303
    assert (await manager.get("/console/")).status == 302


async def test_the_address_without_its_slash_leads_in(manager: Visitor) -> None:
    response = await manager.world.client.get("/console", allow_redirects=False)
    assert response.headers["Location"] == "/console/"


PAGES = (
    "/console/",
    "/console/reports",
    "/console/reports/channels",
    "/console/reports/people?of=added",
    "/console/reports/board/sop",
    "/console/reports/board/staff",
    "/console/reports/board/repurchase",
    "/console/reports/board/coupons",
    "/console/reports/mine",
    "/console/reports/build",
    "/console/customers",
    "/console/customers?q=小满",
    "/console/customers/1",
    "/console/customers?friend=lost&sort=paid",
    "/console/customers/bulk",
    "/console/customers/bulk/new?act=tag&all=1&query=",
    "/console/pool",
    "/console/pool/rules",
    "/console/contact-ways",
    "/console/tags",
    "/console/segments",
    "/console/segments/new?template=dormant-60d",
    "/console/imports",
    "/console/radar",
    "/console/referrals",
    "/console/referrals/campaigns/new",
    "/console/coupons",
    "/console/coupons/new",
    "/console/coupons/new5d",
    "/console/membership",
    "/console/customers/1/points",
    "/console/hooks",
    "/console/hooks?state=done",
    "/console/merge",
    "/console/contact-ways/new",
    "/console/acquisition",
    "/console/playbooks",
    "/console/playbooks/new-customer",
    "/console/playbooks/first-order-care",
    "/console/playbooks/new",
    "/console/playbooks/new-customer/edit",
    "/console/playbooks/new-customer/versions",
    "/console/playbooks/new-customer/migrate",
    "/console/sends",
    "/console/sends?kind=welcome&outcome=failed",
    "/console/mass-messages",
    "/console/mass-messages/new",
    "/console/mass-messages/new?kind=group",
    "/console/moments",
    "/console/plans",
    "/console/plans/new",
    "/console/moments/new",
    "/console/media",
    "/console/callbacks",
    "/console/sync",
    "/console/work",
    "/console/backups",
)


async def test_every_page_of_an_empty_shop_says_what_will_appear(manager: Visitor) -> None:
    for path in PAGES:
        if not path.startswith("/console/customers/1"):
            check_page(path, await manager.get(path))


async def test_every_page_of_a_busy_shop_is_whole_and_its_links_lead_somewhere(manager: Visitor, world: World) -> None:
    await world.add()
    links: set[str] = set()
    for path in PAGES:
        page = await manager.get(path)
        check_page(path, page)
        links |= {link.split("#")[0] for link in page.links if link.startswith("/console/")}
    for link in sorted(links):
        assert (await manager.get(link)).status == 200, link


def check_page(path: str, page: Page) -> None:
    assert page.status == 200, (path, page.text[:300])
    tags = [tag for tag, _ in page.tags]
    assert tags.count("h1") == 1, path
    assert page.tags[0] == ("html", {"lang": "zh-CN"})
    assert "style" not in tags, path
    assert not [found for _, found in page.tags if "style" in found or any(key.startswith("on") for key in found)], path
    assert all(found.get("src") for tag, found in page.tags if tag == "script"), path
    fields = [found for tag, found in page.tags if tag in ("input", "textarea", "select")]
    hidden = [found for found in fields if found.get("type") == "hidden" or "hidden" in found]
    assert len(fields) == tags.count("label") + len(hidden), path


async def test_what_is_not_there_is_not_called_unfinished(manager: Visitor) -> None:
    page = await manager.get("/console/customers/999999")
    assert (page.status, "没有找到 没有这位客户，可能已被删除" in page) == (404, True)
