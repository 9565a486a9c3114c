"""Bulk tagging: thousands of edits become a fetch per customer, and the last state is always seen."""

import asyncio
import random

import pytest
from prometheus_client import REGISTRY

from scrm.callbacks import inbox
from scrm.callbacks.handlers.refresh import KIND
from scrm.profiles.models import follow_user
from tests.fakes import wecom as fake
from tests.waiting import eventually
from tests.world import XIAOMAN, World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


def edit(external_userid: str, number: int) -> bytes:
    fields = {"UserID": "lina", "ExternalUserID": external_userid, "Number": str(number)}
    return fake.event_xml("edit_external_contact", created_at=1772416800, **fields).encode()


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("scrm_callback_fetches_total", {"kind": KIND, "outcome": outcome}) or 0.0


async def test_a_storm_of_edits_is_about_one_call_per_customer_and_the_rest_is_counted(world: World) -> None:
    customers = [f"wmStorm{number:_>25}" for number in range(20)]
    for customer in customers:
        world.wecom.add_contact(customer, "小满", "lina")
    bodies = [edit(customer, number) for number, customer in enumerate(random.Random(1).choices(customers, k=500))]
    before = {outcome: counted(outcome) for outcome in ("asked", "coalesced", "covered")}
    for body in bodies:
        world.clock.advance(seconds=0.01)  # the storm lasts five seconds
        await inbox.accept(world.services.db, body, world.clock.now())
    await world.settle()
    await world.pass_time(seconds=35)
    calls = len(world.wecom.called("externalcontact/get"))
    assert len(customers) <= calls <= 2 * len(customers)
    after = {outcome: counted(outcome) - before[outcome] for outcome in before}
    assert after["asked"] == calls
    assert sum(after.values()) == len(bodies)


async def test_an_edit_that_comes_while_an_earlier_one_is_fetched_is_fetched_again(world: World) -> None:
    """What WeCom answered before the edit must not count as its answer."""
    await world.add()
    await world.tell(edit(XIAOMAN, 1))
    await world.settle()
    world.wecom.say("externalcontact/get", {"errcode": 0, "errmsg": "ok", **world.wecom.contacts[XIAOMAN]})
    world.wecom.add_contact(XIAOMAN, "小满", "lina", follow={"remark": "改过的备注"})
    world.wecom.delay, asked = 0.2, len(world.wecom.called("externalcontact/get"))
    world.clock.advance(seconds=4)
    fetching = asyncio.create_task(world.services.worker.drain())
    await eventually(lambda: len(world.wecom.called("externalcontact/get")) > asked)
    await world.tell(edit(XIAOMAN, 2))
    await world.services.worker.drain()
    await fetching
    await world.pass_time(seconds=17)
    (follow,) = await world.rows(follow_user)
    assert follow.remark == "改过的备注"


async def test_edits_of_one_span_wait_for_its_end(world: World) -> None:
    await world.add()
    before = len(world.wecom.called("externalcontact/get"))
    await world.tell(edit(XIAOMAN, 1))
    await world.pass_time(seconds=0.9)
    assert len(world.wecom.called("externalcontact/get")) == before
    await world.pass_time(seconds=3)
    assert len(world.wecom.called("externalcontact/get")) == before + 1
