"""A page that stands open while things happen: it is told of them, and read anew when the member wants it."""

import re

from tests.sidebar.conftest import Member, words
from tests.sidebar.test_contact import order, save
from tests.world import ANING, XIAOMAN, World


def place_of(page: str) -> str:
    """Where the page asks for its news."""
    found = re.search(r'<page-news path="([^"]+)"', page)
    assert found
    return found[1]


async def test_what_came_since_the_page_was_read_is_told_once_in_a_line(world: World, lina: Member) -> None:
    await world.add(XIAOMAN)
    place = place_of(await lina.page(f"/sidebar/contacts/{XIAOMAN}"))
    assert (await lina.get(place, htmx=True)).status == 204
    world.clock.advance(minutes=5)
    await save(world, order("n-1", 0, world.clock.now(), status="paid", shipments=[], shipped_at=None))
    assert "2 条新动态" in words(await lina.page(place, htmx=True))
    world.clock.advance(seconds=1)
    place = place_of(await lina.page(f"/sidebar/contacts/{XIAOMAN}"))
    assert (await lina.get(place, htmx=True)).status == 204


async def test_a_task_that_comes_while_the_page_is_open_is_told_of_by_name(world: World, lina: Member) -> None:
    await world.add(ANING)
    place = place_of(await lina.page(f"/sidebar/contacts/{ANING}"))
    await world.pass_time(days=3)
    await world.pass_time(hours=1, minutes=30)
    assert "新待办：新人券" in words(await lina.page(place, htmx=True))


async def test_only_who_follows_the_customer_is_told(world: World, lina: Member, wanghao: Member) -> None:
    await world.add(XIAOMAN, "lina")
    place = place_of(await lina.page(f"/sidebar/contacts/{XIAOMAN}"))
    assert (await wanghao.get(place, htmx=True)).status == 403
    assert (await lina.get(place.replace("since=", "since=x"), htmx=True)).status == 422
