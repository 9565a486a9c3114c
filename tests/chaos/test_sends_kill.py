"""`kill -9` in the middle of a send: WeCom has the call, and nobody lived to hear the answer. Once, and never lost."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from sqlalchemy import Connection, insert

from scrm.app import open_services
from scrm.clock import SystemClock
from scrm.events import Event, publish
from scrm.mass_messages import plan as mass
from scrm.mass_messages.audience import Audience
from scrm.profiles.models import external_contact, follow_user, member, person
from scrm.sandbox import Sandbox, SandboxConfig, make_routes
from scrm.transfers.begin import begin
from scrm.transfers.store import Plan
from tests.chaos.test_journeys_kill import SECOND, TEXT
from tests.fakes import wecom as fake
from tests.server_process import ServerProcess, environment, start_serve
from tests.waiting import eventually
from tests.world import make_settings

pytestmark = pytest.mark.chaos

MASS, APP, TRANSFER = "externalcontact/add_msg_template", "message/send", "externalcontact/transfer_customer"
NAMES = ("小满", "阿宁", "小周")


@dataclass
class House:
    """The server, what it speaks to, and where it dies."""

    sandbox: Sandbox
    database: Path
    environ: dict[str, str]
    log: Path
    # The first call of each of these ends the server, when WeCom has done it and before it answers.
    deadly: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    server: ServerProcess | None = None

    async def start(self) -> None:
        self.server = await asyncio.to_thread(start_serve, self.environ, self.log)

    def is_dead(self) -> bool:
        assert self.server is not None
        return self.server.process.poll() is not None

    def rows(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.database)) as conn:
            return conn.execute(sql).fetchall()

    def time_passes(self) -> None:
        """Four minutes, while nobody is alive."""
        with closing(sqlite3.connect(self.database)) as conn:
            for change in (
                "UPDATE work_item SET lease_until = lease_until - 240000, due_at = due_at - 240000 WHERE state < 2",
                "UPDATE mass_message_part SET intent_at = intent_at - 240000, poll_at = poll_at - 240000",
                "UPDATE notice SET look_at = look_at - 240000",
            ):
                conn.execute(change)
            conn.commit()

    def is_done(self) -> bool:
        waiting = self.rows(
            "SELECT kind FROM work_item WHERE state < 2 AND kind IN ('mass_message.create', 'mass_message.prepare',"
            " 'transfer.ask', 'sop.notify', 'sop.event')"
        )
        states = dict(self.rows("SELECT state, count(*) FROM mass_message_part GROUP BY state"))
        told = self.rows("SELECT outcome FROM send WHERE kind = 'app_message'")
        return not waiting and set(states) == {"created"} and told == [("sent",)]


@web.middleware
async def fatally(request: web.Request, handler: Any) -> web.StreamResponse:
    house: House = request.app[HOUSE]
    path = request.path.rpartition("/cgi-bin/")[2]
    house.calls.append(path)
    answer: web.StreamResponse = await handler(request)
    if path in house.deadly:
        house.deadly.discard(path)
        assert house.server is not None
        house.server.kill()
    return answer


HOUSE = web.AppKey("house", House)


@pytest.fixture
async def house(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[House]:
    port = unused_port()
    url = f"http://127.0.0.1:{port}"
    config = SandboxConfig(
        fake.CORP_ID, fake.AGENT_ID, fake.SECRET, fake.TOKEN, fake.AES_KEY, f"{url}/none", f"{url}/", public_url=url
    )
    database, playbooks = tmp_path / "scrm.db", tmp_path / "playbooks"
    shutil.copy(sqlite_template, database)
    playbooks.mkdir()
    (playbooks / "i.yaml").write_text(TEXT.format(name="i", letter="I", second=SECOND["I"]), encoding="utf-8")
    async with aiohttp.ClientSession() as http:
        sandbox = Sandbox(config, SystemClock(), http)
        sandbox.add_member("lina", "李娜")
        sandbox.add_member("meiqi", "美琪")
        environ = environment(f"sqlite:///{database}", config.base_url, SCRM_PLAYBOOKS__DIR=str(playbooks))
        house = House(sandbox, database, environ, tmp_path / "scrm.log")
        app = web.Application(middlewares=[fatally])
        app[HOUSE] = house
        app.router.add_routes(make_routes(sandbox))
        async with TestServer(app, port=port):
            yield house
            if house.server is not None and not house.is_dead():
                house.server.kill()
            await sandbox.stop()


async def _decide(house: House) -> None:
    """A manager sends to everybody and hands one customer over; a playbook has something urgent to tell."""
    now = SystemClock().now()
    ids = [house.sandbox.add_wechat_user(name, name).external_userid for name in NAMES]

    def know(conn: Connection) -> None:
        conn.execute(insert(member), [{"userid": one, "folded": one, "name": one} for one in ("lina", "meiqi")])
        for number, (name, contact) in enumerate(zip(NAMES, ids, strict=True), 1):
            house.sandbox.add_contact_seed(name, "lina")
            who = {"external_userid": contact, "person_id": number}
            conn.execute(insert(person).values(id=number, name=name, created_at=now))
            conn.execute(insert(external_contact).values(**who, name=name, type=1, created_at=now))
            conn.execute(insert(follow_user).values(**who, userid="lina", followed_at=now))
        publish(conn, [Event("custom.chaos", now, 1, facts={"letter": "I"}, once="chaos:1")], now=now)
        begin(conn, Plan("lina", "meiqi", resigned=False, external_userids=(ids[2],)), now=now)

    settings = make_settings(f"sqlite:///{house.database}", house.sandbox.config.base_url)
    async with open_services(settings, SystemClock()) as services:
        await services.db.write(know)
        await mass.create(services, Audience(userids=("lina",)), text="秋季上新")


async def test_killed_at_each_send_it_is_made_once(house: House) -> None:
    await _decide(house)
    house.deadly = {MASS, APP, TRANSFER}
    for _ in range(3):
        await house.start()
        await eventually(house.is_dead, 30)
        house.time_passes()
    assert house.deadly == set()
    await house.start()
    await eventually(house.is_done, 30)
    assert house.server is not None
    assert house.server.stop() == 0

    world = house.sandbox.world
    (made,) = world.sending.mass_messages.values()
    assert sorted(each.target for each in made.deliveries) == sorted(
        user.external_userid for user in world.wechat_users.values()
    )
    assert [message.body["msgtype"] for message in world.app_messages["lina"]] == ["textcard"]
    (handed,) = world.transfers.rows
    assert (handed.handover_userid, handed.takeover_userid) == ("lina", "meiqi")
    assert house.rows("SELECT state FROM transfer_customer") == [("waiting",)]
    assert dict(house.rows("SELECT state, count(*) FROM work_item WHERE state = 2 GROUP BY state")) == {}
    # A mass message and a transfer are looked up before they are repeated; a message is repeated, and WeCom knows it.
    assert {path: house.calls.count(path) for path in (MASS, TRANSFER, APP)} == {MASS: 1, TRANSFER: 1, APP: 2}
