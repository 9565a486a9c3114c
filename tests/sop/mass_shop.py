"""The shop of tests about mass messages: in front of a sandbox, whose members confirm when a test says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from sqlalchemy import Connection

from scrm.app import open_services
from scrm.mass_messages import results
from scrm.profiles import store as profiles
from scrm.profiles.models import follow_user, member
from scrm.sandbox import Sandbox, SandboxConfig, make_routes
from scrm.sandbox.confirming import confirm_mass_message
from scrm.sop import store
from scrm.sop.members import task_store
from scrm.sop.models import enrolment, step_run
from scrm.sop.schema import Content, Step
from tests.fakes import wecom as fake
from tests.fakes.clock import FakeClock
from tests.sop.shop import Customer, Shop, step
from tests.world import make_settings

TEXT = Content(text="{{ shop }}秋季上新，我是{{ staff }}")


class MassShop(Shop):
    """The shop in front of a sandbox, whose members confirm when a test says so."""

    sandbox: Sandbox

    async def meet(self, name: str = "小满", userid: str = "lina", **more: Any) -> Customer:
        user = self.sandbox.add_wechat_user(name, name)
        self.sandbox.add_contact_seed(name, userid)

        def know(conn: Connection) -> Customer:
            now = self.clock.now()
            known = profiles.ensure_contact(conn, user.external_userid, now=now)
            relation = {"userid": userid, "external_userid": user.external_userid, "person_id": known.person_id}
            conn.execute(follow_user.insert().values(**relation, followed_at=now))
            row = {"userid": userid, "folded": userid.lower(), "name": userid, "role": "manager"}
            if conn.execute(member.select().where(member.c.userid == userid)).first() is None:
                conn.execute(member.insert().values(**row))
            return Customer(known.person_id, user.external_userid, userid)

        return await self.services.db.write(know)

    async def crowd(self, count: int, userid: str = "lina", start: int = 0) -> list[Customer]:
        """So many customers add a member at the same time."""
        people = [await self.meet(f"c{start + number}-{userid}", userid) for number in range(count)]
        for who in people:
            await self.publish("contact.added", who)
        await self.services.worker.drain()
        return people

    async def settle(self) -> None:
        """Everything that is due now is done, and results that are due are asked for."""
        while await self.services.worker.drain() + await self.tick():
            pass
        await results.poll(self.services)
        while await self.services.worker.drain() + await self.tick():
            pass

    async def states(self) -> dict[str, int]:
        """How many steps are in each state."""
        counted: dict[str, int] = {}
        for row in await self.rows(step_run):
            counted[row.state] = counted.get(row.state, 0) + 1
        return counted

    async def reasons(self) -> set[str]:
        return {row.reason for row in await self.rows(step_run)}

    @property
    def made(self) -> list[Any]:
        return list(self.sandbox.world.sending.mass_messages.values())

    @property
    def living(self) -> list[Any]:
        return [made for made in self.made if not made.is_cancelled]

    @property
    def received(self) -> dict[str, int]:
        """How many each customer really got."""
        return {name: len(moments) for name, moments in self.sandbox.world.sending.received.items()}

    def confirm(self, msgid: str, userid: str = "lina") -> None:
        confirm_mass_message(self.sandbox, userid, msgid)


def m_step(step_id: str = "news", at: str = "T0", **more: Any) -> Step:
    more.setdefault("content", TEXT)
    more.setdefault("ttl", timedelta(hours=4))
    return step(step_id, at, "M", **more)


@asynccontextmanager
async def open_mass_shop(database_url: str, clock: FakeClock, folder: Path) -> AsyncIterator[MassShop]:
    port = unused_port()
    url = f"http://127.0.0.1:{port}"
    config = SandboxConfig(
        fake.CORP_ID, fake.AGENT_ID, fake.SECRET, fake.TOKEN, fake.AES_KEY, f"{url}/none", f"{url}/", public_url=url
    )
    async with aiohttp.ClientSession() as http:
        sandbox = Sandbox(config, clock, http)
        sandbox.faults.member_confirms_after = None
        for userid in ("lina", "WuHao"):
            sandbox.add_member(userid, userid)
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_routes(make_routes(sandbox))
        async with TestServer(app, port=port):
            settings = make_settings(
                database_url,
                sandbox.config.base_url,
                content={"media_dir": str(folder / "media")},
            )
            async with open_services(settings, clock) as services:
                shop = MassShop(services, clock, fake.FakeWeCom())
                shop.sandbox = sandbox
                yield shop
            await sandbox.stop()


def leave(conn: Connection, shop: Shop, who: Customer, reason: str) -> int:
    """As wherever a run ends: its tasks and messages are taken back."""
    run = conn.execute(enrolment.select().where(enrolment.c.person_id == who.person_id)).one()
    store.end_runs(conn, [(run.id, "exited", reason)], now=shop.clock.now())
    return task_store.withdraw_tasks(conn, [run.id], reason, now=shop.clock.now())
