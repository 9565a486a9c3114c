"""The application beside a whole WeCom: whatever people do in groups, and however it is told, we end where it is."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer, unused_port

from scrm.app import build_app, open_services
from scrm.group_chats import code_store, figure_store, join_codes, store
from scrm.group_chats.models import group_chat, group_chat_member, group_join_code
from scrm.sandbox import Sandbox, SandboxConfig, gathering, make_routes
from scrm.services import Services
from scrm.sync import groups as sync
from scrm.work.progress import Progress
from tests.fakes import wecom as fake
from tests.fakes.clock import FakeClock
from tests.world import make_settings


@dataclass
class Shop:
    sandbox: Sandbox
    services: Services
    clock: FakeClock
    url: str
    http: aiohttp.ClientSession

    async def settle(self) -> None:
        await self.sandbox.settle()
        for _ in range(8):
            await self.services.worker.drain()
            self.clock.advance(seconds=6)
        await self.services.worker.drain()

    async def ours(self) -> dict[str, Any]:
        def look(conn: Any) -> dict[str, Any]:
            groups = conn.execute(group_chat.select().where(group_chat.c.dismissed_at.is_(None))).all()
            rows = conn.execute(group_chat_member.select()).all()
            return {
                group.chat_id: (
                    group.name,
                    group.owner,
                    group.notice,
                    sorted((row.userid, row.join_scene, row.state) for row in rows if row.chat_id == group.chat_id),
                )
                for group in groups
            }

        return await self.services.db.read(look)

    def theirs(self) -> dict[str, Any]:
        return {
            group.chat_id: (
                group.name,
                group.owner,
                group.notice,
                sorted((seat.userid, seat.join_scene, seat.state) for seat in group.seats.values()),
            )
            for group in self.sandbox.world.group_chats.groups.values()
            if group.dismissed_at is None
        }


@pytest.fixture
async def shop(sqlite_url: str) -> AsyncIterator[Shop]:
    clock, port = FakeClock(), unused_port()
    url = f"http://127.0.0.1:{port}"
    config = SandboxConfig(
        fake.CORP_ID, fake.AGENT_ID, fake.SECRET, fake.TOKEN, fake.AES_KEY,
        f"{url}/callbacks/wecom", f"{url}/sidebar/", public_url=url,
    )  # fmt: skip
    async with aiohttp.ClientSession() as http:
        sandbox = Sandbox(config, clock, http)
        sandbox.add_member("lina", "李娜")
        sandbox.add_member("WuHao", "吴昊")
        for number in range(12):
            sandbox.add_wechat_user(f"guest{number}", f"顾客{number}", unionid=f"oUnion{number}")
        settings = make_settings(sqlite_url, config.base_url, server={"public_url": url})
        async with open_services(settings, clock) as services:
            app = build_app(services, with_worker=False, more_routes=make_routes(sandbox))
            async with TestServer(app, port=port):
                yield Shop(sandbox, services, clock, url, http)
                await sandbox.stop()


def act(shop: Shop, random_: random.Random) -> None:
    """Somebody does something; what cannot be done is left."""
    sandbox, groups = shop.sandbox, list(shop.sandbox.world.group_chats.groups.values())
    living = [group for group in groups if group.dismissed_at is None]
    choice = random_.random()
    if not living or choice < 0.08:
        gathering.create_group(sandbox, random_.choice(["lina", "WuHao"]), f"群{len(groups)}")
        return
    group = random_.choice(living)
    inside = [seat.userid for seat in group.seats.values() if seat.userid != group.owner]
    outside = [u.key for u in sandbox.world.wechat_users.values() if u.external_userid not in group.seats]
    if choice < 0.55 and outside:
        people = random_.sample(outside, min(len(outside), random_.randint(1, 3)))
        gathering.join(
            sandbox, group.chat_id, people, scene=random_.choice([1, 3]), state=random_.choice(["", "grp-a"])
        )
    elif choice < 0.85 and inside:
        gathering.leave(sandbox, group.chat_id, random_.sample(inside, 1), is_removed=random_.random() < 0.5)
    elif choice < 0.9:
        gathering.rename(sandbox, group.chat_id, f"群{random_.randint(0, 99)}")
    elif choice < 0.94:
        gathering.post_notice(sandbox, group.chat_id, f"公告{random_.randint(0, 99)}")
    elif choice < 0.98:
        gathering.hand_over(sandbox, group.chat_id, random_.choice(["lina", "WuHao"]))
    else:
        gathering.dismiss(sandbox, group.chat_id)


@pytest.mark.parametrize("seed", [1, 2])
async def test_doubled_reordered_and_late_callbacks_end_in_wecoms_state_and_lost_ones_after_a_sync(
    shop: Shop, seed: int
) -> None:
    random_ = random.Random(seed)
    faults, state = shop.sandbox.faults, shop.sandbox.world.group_chats
    faults.duplicate_callbacks = faults.reorder_callbacks = True
    for step in range(80):
        state.lag_seconds = random_.choice([0.0, 2.0])
        act(shop, random_)
        shop.clock.advance(seconds=random_.choice([0.2, 1.0, 20.0]))
        if step % 5 == 0:
            await shop.services.worker.drain()
    act(shop, random_)  # whatever was held back for reordering goes out behind it
    await shop.settle()
    assert await shop.ours() == shop.theirs()
    for chat_id in shop.theirs():
        group = await shop.services.db.read(store.find_group, chat_id)
        assert (group.members, group.customers) == await shop.services.db.read(figure_store.recount, chat_id)

    faults.duplicate_callbacks = faults.reorder_callbacks = False
    faults.drop_callbacks = 30
    for _ in range(30):
        act(shop, random_)
        shop.clock.advance(minutes=1)
    await shop.settle()
    shop.clock.advance(minutes=30)
    await sync.run(shop.services, Progress(), False)
    assert await shop.ours() == shop.theirs()


async def test_a_printed_code_leads_into_the_group_whose_turn_it_is(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(join_codes, "FEWEST_MEMBERS", 2)
    first, second = (gathering.create_group(shop.sandbox, "lina", name).chat_id for name in ("一群", "二群"))
    await shop.settle()
    settings = join_codes.Settings("福利群", most_members=4)
    state = await join_codes.make_code(shop.services, settings, [first, second])
    (code,) = await shop.services.db.read(lambda conn: conn.execute(group_join_code.select()).all())
    for number in range(5):
        async with shop.http.get(f"{shop.url}/g/{code.token}") as response:
            html = await response.text()
        config_id = html.split("/group-qr/")[1].split(".png")[0]
        gathering.scan_join_way(shop.sandbox, f"guest{number}", config_id)
        await shop.settle()
    counts = [len(shop.sandbox.world.group_chats.groups[chat_id].seats) for chat_id in (first, second)]
    assert counts == [4, 3]
    joins = await shop.services.db.read(code_store.count_joins_by_state, [state], shop.clock.now().replace(year=2000))
    assert joins == {state: (5, 5)}
    await join_codes.drop_code(shop.services, state)
    assert shop.sandbox.world.group_chats.join_ways == {}
