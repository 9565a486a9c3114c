"""The application's services in front of the sandbox: both run on a clock that stands still."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from sqlalchemy import Connection

from scrm.app import open_services
from scrm.content.media import copies
from scrm.mass_messages import plan, results
from scrm.mass_messages.audience import Audience
from scrm.mass_messages.models import mass_message, mass_message_part, mass_message_target
from scrm.profiles import store as profiles
from scrm.profiles.models import follow_user, follow_user_tag
from scrm.sandbox import Sandbox, SandboxConfig, make_routes
from scrm.sandbox.sending import MassMessage
from scrm.sandbox.world import Pair
from scrm.services import Services
from tests.fakes import wecom as fake
from tests.fakes.clock import FakeClock
from tests.world import make_settings


@dataclass
class House:
    """What tests do: customers come, messages go out, members confirm, time goes on."""

    services: Services
    sandbox: Sandbox
    clock: FakeClock

    async def meet(self, key: str, *userids: str, tags: tuple[str, ...] = (), state: str = "") -> str:
        """A customer whom these members follow, known on both sides."""
        user = self.sandbox.add_wechat_user(key, key)
        for userid in userids or ("lina",):
            self.sandbox.add_contact_seed(key, userid)

        def know(conn: Connection) -> None:
            now = self.clock.now()
            known = profiles.ensure_contact(conn, user.external_userid, now=now)
            for index, userid in enumerate(userids or ("lina",)):
                relation = {
                    "userid": userid,
                    "external_userid": user.external_userid,
                    "person_id": known.person_id,
                    "state": state,
                    "followed_at": now + timedelta(seconds=index),
                }
                conn.execute(follow_user.insert().values(**relation))
                rows = [{"userid": userid, "external_userid": user.external_userid, "tag_id": tag} for tag in tags]
                if rows:
                    conn.execute(follow_user_tag.insert(), rows)

        await self.services.db.write(know)
        return user.external_userid

    async def lose(self, external_userid: str, userid: str = "lina") -> None:
        """The customer deletes the member, and we know."""
        now = self.clock.now()

        def end(conn: Connection) -> None:
            pair = (follow_user.c.userid == userid) & (follow_user.c.external_userid == external_userid)
            conn.execute(follow_user.update().where(pair).values(ended_by="customer", ended_at=now))

        await self.services.db.write(end)

    def pair(self, userid: str, external_userid: str) -> Pair:
        return self.sandbox.get_pair(userid, external_userid)

    async def settle(self) -> None:
        while await self.services.worker.drain():
            pass

    async def pass_time(self, **by: float) -> None:
        self.clock.advance(**by)
        await self.settle()
        await results.poll(self.services)
        await copies.renew(self.services)

    async def rows(self, table: Any, *where: Any) -> list[Any]:
        query = table.select().where(*where).order_by(*table.primary_key.columns)
        return await self.services.db.read(lambda conn: list(conn.execute(query)))

    async def states(self, message_id: int) -> dict[str, str]:
        """By customer: what became of him."""
        rows = await self.rows(mass_message_target, mass_message_target.c.mass_message_id == message_id)
        return {row.target: row.state for row in rows}

    async def parts(self, message_id: int) -> list[Any]:
        return await self.rows(mass_message_part, mass_message_part.c.mass_message_id == message_id)

    async def message(self, message_id: int) -> Any:
        (row,) = await self.rows(mass_message, mass_message.c.id == message_id)
        return row

    @property
    def made(self) -> list[MassMessage]:
        """What WeCom has."""
        return list(self.sandbox.world.sending.mass_messages.values())


APPROVE_ABOVE = 5
LINA = Audience(userids=("lina",))


async def send(house: House, audience: Audience = LINA, text: str = "秋季上新", **more: Any) -> int:
    message_id = await plan.create(house.services, audience, text=text, **more)
    await house.settle()
    return message_id


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def sandbox(clock: FakeClock) -> AsyncIterator[Sandbox]:
    port = unused_port()
    url = f"http://127.0.0.1:{port}"
    config = SandboxConfig(
        fake.CORP_ID, fake.AGENT_ID, fake.SECRET, fake.TOKEN, fake.AES_KEY, f"{url}/none", f"{url}/", public_url=url
    )
    async with aiohttp.ClientSession() as http:
        sandbox = Sandbox(config, clock, http)
        sandbox.faults.member_confirms_after = None
        for userid, name in (("lina", "李娜"), ("WuHao", "吴昊")):
            sandbox.add_member(userid, name)
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_routes(make_routes(sandbox))
        async with TestServer(app, port=port):
            yield sandbox
            await sandbox.stop()


@pytest.fixture
async def house(database_url: str, clock: FakeClock, sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[House]:
    settings = make_settings(
        database_url,
        sandbox.config.base_url,
        content={"media_dir": str(tmp_path / "media")},
        wecom={"timeout_seconds": 2},
        mass_messages={"approve_above": APPROVE_ABOVE},
    )
    async with open_services(settings, clock) as services:
        yield House(services, sandbox, clock)
