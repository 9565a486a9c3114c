"""WeCom's limits as the sandbox plays them, and our client that lives with each of them."""

from typing import Any

import pytest

from scrm.app import open_services
from scrm.profiles.models import follow_user
from scrm.sandbox import Sandbox
from scrm.sync.models import sync_part
from scrm.wecom.errors import WindowFull
from tests.fakes.clock import FakeClock
from tests.sync.conftest import Shop
from tests.world import make_settings

BATCH = "externalcontact/batch/get_by_user"


async def test_an_address_that_calls_too_often_is_shut_out_and_the_run_goes_on_later(shop: Shop) -> None:
    for number in range(450):
        shop.befriend(f"c{number}")
    shop.sandbox.faults.ip_calls_per_minute = 3
    outcome = (await shop.sync())["contacts"]
    assert "45009" in str(outcome.error)
    assert shop.sandbox.gateway.usage[BATCH].refused == 1
    # Nothing is asked while the door is shut, whoever wants to.
    assert "45009" in str((await shop.sync("contacts"))["contacts"].error)
    assert shop.sandbox.gateway.usage[BATCH].refused == 1
    shop.clock.advance(minutes=1, seconds=1)
    outcome = (await shop.sync("contacts"))["contacts"]
    assert outcome.error is None
    assert len(await shop.rows(follow_user)) == 450
    # Six pages, each of them asked for once, and the one refusal.
    assert (shop.sandbox.gateway.usage[BATCH].calls, shop.sandbox.gateway.usage[BATCH].refused) == (7, 1)


async def test_a_cursor_that_has_expired_begins_its_part_again_and_loses_nothing(shop: Shop) -> None:
    for number in range(450):
        shop.befriend(f"c{number}")
    shop.sandbox.faults.ip_calls_per_minute = 3
    assert (await shop.sync())["contacts"].error is not None
    assert any(row.cursor for row in await shop.rows(sync_part))
    shop.sandbox.faults.ip_calls_per_minute = 20_000
    shop.sandbox.faults.cursor_life_seconds = 600
    shop.clock.advance(minutes=11)
    outcome = (await shop.sync("contacts"))["contacts"]
    assert outcome.error is None
    assert [call.errcode for call in shop.sandbox.gateway.calls if call.endpoint == BATCH].count(50100) == 1
    assert (outcome.progress.done, len(await shop.rows(follow_user))) == (450, 450)


async def test_messages_beyond_the_day_wait_for_the_next_instead_of_being_lost(
    database_url: str, sandbox: Sandbox, clock: FakeClock
) -> None:
    for number in range(60):
        sandbox.add_member(f"m{number}", f"员工{number}")
    names = [f"m{number}" for number in range(60)]
    sandbox.faults.account_cap = 1
    settings = make_settings(database_url, sandbox.config.base_url, wecom={"account_cap": 1})

    async with open_services(settings, clock) as services:

        async def send(count: int) -> Any:
            body = {"touser": "|".join(names[:count]), "msgtype": "text", "text": {"content": "今天的名单"}}
            return await services.wecom.messages.send_message(body)

        for _ in range(3):
            await send(60)
        with pytest.raises(WindowFull) as full:
            await send(21)
        assert full.value.retry_after == 14 * 3600 + 1  # it is ten in the morning
        await send(20)
        with pytest.raises(WindowFull):
            await send(1)
        assert arrived(sandbox) == 200
        clock.advance(seconds=full.value.retry_after)
        await send(60)
        assert arrived(sandbox) == 260


def arrived(sandbox: Sandbox) -> int:
    return sum(map(len, sandbox.world.app_messages.values()))
