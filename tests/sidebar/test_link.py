"""Signed links into the sidebar: they open it, for a while, and cannot be bent."""

from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

from scrm.http import COOKIE
from scrm.sidebar.link import sidebar_link
from tests.sidebar.conftest import Member
from tests.world import XIAOMAN, World


def link(world: World, userid: str = "lina", contact: str = XIAOMAN) -> str:
    return sidebar_link(world.services.vault, userid, contact, world.clock.now() + timedelta(minutes=5))


async def test_a_link_signs_in_and_leaves_a_clean_address(world: World, lina: Member) -> None:
    response = await world.client.get(link(world), allow_redirects=False)
    assert response.status == 302
    assert response.headers["Location"] == f"/sidebar/contacts/{XIAOMAN}"
    assert response.headers["Set-Cookie"].startswith(COOKIE)


async def test_a_link_without_a_contact_leads_to_the_day(world: World, lina: Member) -> None:
    response = await world.client.get(link(world, contact=""), allow_redirects=False)
    assert response.headers["Location"] == "/sidebar/today"


async def test_an_old_or_bent_link_opens_nothing(world: World, lina: Member) -> None:
    good = link(world)
    query = {key: values[0] for key, values in parse_qs(urlsplit(good).query).items()}
    for change in ({"member": "wanghao"}, {"external_userid": "wmOther"}, {"proof": "é"}, {"expires": "99999999999"}):
        response = await world.client.get(f"/sidebar/enter?{urlencode(query | change)}", allow_redirects=False)
        assert response.status == 403
    world.clock.advance(minutes=6)
    assert (await world.client.get(good, allow_redirects=False)).status == 403


async def test_a_link_of_nobody_opens_nothing(world: World) -> None:
    assert (await world.client.get(link(world, "nobody"), allow_redirects=False)).status == 403
