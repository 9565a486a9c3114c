"""Mass messages that are taken back: by a crash in the middle, a case, a new version; and nobody gets one twice."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from scrm.mass_messages import dispatch
from scrm.sop.life import migration
from scrm.sop.life.published import By, Published
from scrm.work import queue
from tests.fakes.clock import FakeClock
from tests.fakes.deaths import Killed
from tests.sop.mass_shop import MassShop, leave, m_step, open_mass_shop
from tests.sop.shop import Guards, playbook_of, step


@pytest.fixture
async def shop(sqlite_url: str, clock: FakeClock, tmp_path: Path) -> AsyncIterator[MassShop]:
    """The SQL is tested on both databases elsewhere."""
    async with open_mass_shop(sqlite_url, clock, tmp_path) as shop:
        yield shop


async def _die(*args: Any) -> None:
    raise Killed


async def test_a_lost_call_is_not_taken_for_the_message_that_was_stopped_before(
    shop: MassShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same member, same words, same customers: only its number tells that the stopped one was ours already."""
    await shop.run(playbook_of(m_step()))
    leaves, stays = await shop.crowd(2)
    await shop.settle()
    await shop.pass_time(seconds=61)
    await shop.services.db.write(leave, shop, leaves, "订单已付款")
    await shop.settle()
    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "_note_created", _die)
        with pytest.raises(Killed):
            await shop.pass_time(minutes=3)
    await shop.services.db.write(queue.release_all)
    for _ in range(5):
        await shop.pass_time(minutes=1)
    (living,) = shop.living
    shop.confirm(living.msgid)
    await shop.pass_time(minutes=3)
    assert (len(shop.made), shop.received) == (2, {stays.external_userid: 1})
    assert await shop.states() == {"done": 1, "skipped": 1}


async def test_what_the_member_confirmed_before_a_case_paused_the_run_is_not_said_again_after_it(
    shop: MassShop,
) -> None:
    book = playbook_of(m_step(ttl=timedelta(days=3)), step("later", "D+3"), guards=Guards(queue="none"))
    await shop.run(book)
    (who,) = await shop.crowd(1)
    await shop.settle()
    await shop.pass_time(seconds=61)
    shop.confirm(shop.made[0].msgid)
    await shop.happens("refund.opened", who, key="taobao/shop/1")
    await shop.pass_time(minutes=10)
    assert [run.state for run in await shop.runs()] == ["paused"]
    assert (await shop.states(), await shop.reasons()) == ({"done": 1}, {"撤回之前员工已确认，客户已收到"})
    await shop.happens("refund.closed", who, key="taobao/shop/1")
    await shop.pass_time(days=8)
    await shop.pass_time(minutes=5)
    assert [run.state for run in await shop.runs()] == ["active"]
    assert (len(shop.made), list(shop.received.values())) == (1, [1])


@pytest.mark.parametrize(("mode", "got"), [("migrate", []), ("restart", [1, 1])])
async def test_a_new_version_takes_back_what_members_have_not_confirmed(
    shop: MassShop, mode: str, got: list[int]
) -> None:
    """A mass step that is gone goes to nobody; begun anew it goes out once."""
    await shop.run(playbook_of(m_step(), step("last", "D+2")))
    await shop.crowd(1)
    await shop.settle()
    await shop.pass_time(seconds=61)
    await shop.crowd(1, start=1)
    await shop.settle()
    # One waits for the member's confirmation, the other is still being gathered.
    (first,) = shop.made
    steps = (m_step(),) if mode == "restart" else ()
    await shop.run(playbook_of(*steps, step("last", "D+2"), version=2))
    published = shop.services.memory[Published]
    by = By("lina", "console", "改版")
    await shop.services.db.write(migration.start, published, "new-customer", mode, by, now=shop.clock.now())
    for _ in range(4):
        await shop.pass_time(minutes=2)
    for made in shop.living:
        shop.confirm(made.msgid)
    await shop.pass_time(minutes=10)
    assert first.is_cancelled
    assert list(shop.received.values()) == got
