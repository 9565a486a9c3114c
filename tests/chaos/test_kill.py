"""What survives when the process, the disk or the lock does not: nothing acknowledged is lost, nothing is said twice."""

import asyncio
import itertools
import random
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scrm.clock import SystemClock
from tests.fakes import wecom as fake
from tests.fakes.wecom import FakeWeCom
from tests.postgresql_server import free_port, rows_of
from tests.server_process import ServerProcess, environment, start_serve
from tests.waiting import eventually

pytestmark = pytest.mark.chaos

SEND = "externalcontact/send_welcome_msg"
AT_ONCE = 16
# A burst without it grows as fast as the machine allows, and all of it is worked off at the end of the test.
BREATH = 0.05


class Customers:
    """Customers who add a member one after the other, and WeCom's own insistence when it is not answered."""

    def __init__(self, http: aiohttp.ClientSession, wecom: FakeWeCom, url: str) -> None:
        self._http, self._wecom, self._url = http, wecom, url
        self._numbers = itertools.count(1)
        self._stopped = False
        self.acknowledged: list[str] = []
        self.statuses: list[int] = []

    async def add_one(self) -> None:
        """Post until it is acknowledged, as WeCom does (here without end); a code is kept once it was."""
        code = f"code-{next(self._numbers)}"
        external_userid = f"wmChaos{code:_>25}"
        self._wecom.add_contact(external_userid, "小满", "lina")
        xml = fake.event_xml(
            "add_external_contact",
            created_at=int(SystemClock().now().timestamp()),
            UserID="lina",
            ExternalUserID=external_userid,
            State="live-1111",
            WelcomeCode=code,
        )
        while await self._post(xml) != 200:  # noqa: ASYNC110 - it tries again, it does not wait for ours
            await asyncio.sleep(0.05)
        self.acknowledged.append(code)

    async def _post(self, xml: str) -> int:
        query, body = fake.callback(xml)
        try:
            async with self._http.post(f"{self._url}/callbacks/wecom", params=query, data=body) as response:
                await response.read()
                self.statuses.append(response.status)
                return response.status
        except aiohttp.ClientError:
            return 0

    async def burst(self, most: int = 10_000) -> None:
        """Until `stop`, or `most` of them."""
        left = itertools.count(most, -1)

        async def one_after_the_other() -> None:
            while not self._stopped and next(left) > 0:
                await self.add_one()
                await asyncio.sleep(BREATH)

        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))

    def stop(self) -> None:
        self._stopped = True


@pytest.fixture
async def wecom(aiohttp_server: Any) -> FakeWeCom:
    fake_wecom = FakeWeCom()
    fake_wecom.delay = 0.03
    server = await aiohttp_server(fake_wecom.app)
    fake_wecom.url = str(server.make_url("")).rstrip("/")  # type: ignore[attr-defined]
    return fake_wecom


class Machine:
    """A computer with one database on which the server is started, killed and started again."""

    def __init__(self, folder: Path, database_url: str, api_base: str) -> None:
        self.database_url = database_url
        self.log = folder / "scrm.log"
        self._environ = environment(database_url, api_base)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.server: ServerProcess | None = None

    async def start(self) -> ServerProcess:
        self.server = await asyncio.to_thread(start_serve, self._environ, self.log, port=self._port)
        return self.server

    @property
    def database(self) -> Path:
        """SQLite's file."""
        return Path(self.database_url.removeprefix("sqlite:///"))

    def rows(self, sql: str) -> list[Any]:
        if self.database_url.startswith("postgresql:"):
            return rows_of(self.database_url, sql)
        with closing(sqlite3.connect(self.database)) as conn:
            return conn.execute(sql).fetchall()

    def number(self, sql: str) -> int:
        return int(self.rows(sql)[0][0])

    def a_minute_passes(self) -> None:
        """On PostgreSQL another process may be alive: what a dead one held is free when its leases end."""
        if self.database_url.startswith("postgresql:"):
            self.rows("UPDATE work_item SET lease_until = lease_until - 60000 WHERE state = 1")

    def kept_codes(self) -> set[str]:
        """Welcome codes in the bodies that the store has."""
        bodies = (body.decode() for (body,) in self.rows("SELECT body FROM inbox_event"))
        return {body.split("<WelcomeCode><![CDATA[")[1].split("]")[0] for body in bodies}

    def is_idle(self) -> bool:
        return not self.number("SELECT count(*) FROM work_item WHERE lane IN ('welcome', 'event') AND state < 2")

    async def everything_is_handled(self) -> None:
        await eventually(self.is_idle, 60)
        states = dict(self.rows("SELECT state, count(*) FROM inbox_event GROUP BY state"))
        assert set(states) == {"done"}, states


on_a_file = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def machine(tmp_path: Path, database_url: str, wecom: FakeWeCom) -> Iterator[Machine]:
    machine = Machine(tmp_path, database_url, wecom.url)  # type: ignore[attr-defined]
    yield machine
    if machine.server is not None and machine.server.process.poll() is None:
        machine.server.kill()


@pytest.fixture
async def customers(machine: Machine, wecom: FakeWeCom) -> AsyncIterator[Customers]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
        yield Customers(http, wecom, machine.url)


async def test_killed_in_a_burst_it_loses_no_acknowledged_add_and_greets_nobody_twice(
    machine: Machine, customers: Customers, wecom: FakeWeCom
) -> None:
    server = await machine.start()
    burst = asyncio.create_task(customers.burst())
    for _ in range(2):
        answered = len(customers.acknowledged)
        await eventually(lambda answered=answered: len(customers.acknowledged) > answered + 20, 10)
        await asyncio.sleep(random.uniform(0.0, 0.4))
        server.kill()
        machine.a_minute_passes()
        server = await machine.start()
    customers.stop()
    await asyncio.wait_for(burst, 20)
    await machine.everything_is_handled()
    assert set(customers.acknowledged) <= machine.kept_codes()
    assert wecom.used_codes.keys() == machine.kept_codes()
    outcomes = dict(machine.rows("SELECT outcome, count(*) FROM send WHERE kind = 'welcome' GROUP BY outcome"))
    assert outcomes == {"sent": len(machine.kept_codes())}
    # A code is tried again only when a kill came between the call and its outcome; WeCom's 41051 then says it was sent.
    assert max(wecom.used_codes.values()) <= 1 + 2
    assert server.stop() == 0


async def test_a_graceful_end_under_load_loses_nothing_and_exits_with_0(
    machine: Machine, customers: Customers, wecom: FakeWeCom
) -> None:
    server = await machine.start()
    burst = asyncio.create_task(customers.burst())
    await eventually(lambda: len(customers.acknowledged) > 50, 10)
    assert await asyncio.to_thread(server.stop, 20) == 0
    customers.stop()
    assert set(customers.acknowledged) <= machine.kept_codes()
    # Whatever had begun was finished: no welcome was sent whose outcome nobody wrote down.
    assert machine.number("SELECT count(*) FROM send WHERE outcome = 'intent'") == 0
    await machine.start()
    await asyncio.wait_for(burst, 20)
    await machine.everything_is_handled()
    assert set(wecom.used_codes.values()) == {1}
    assert set(wecom.used_codes) == set(customers.acknowledged)


@on_a_file
async def test_a_database_that_is_locked_is_waited_for_and_nothing_is_acknowledged_meanwhile(
    machine: Machine, customers: Customers
) -> None:
    await machine.start()
    with closing(sqlite3.connect(machine.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        burst = asyncio.create_task(customers.burst(AT_ONCE))
        await asyncio.sleep(1.0)
        assert not customers.acknowledged
        other.execute("COMMIT")
    await asyncio.wait_for(burst, 10)
    assert len(customers.acknowledged) == AT_ONCE
    assert set(customers.acknowledged) <= machine.kept_codes()


@on_a_file
async def test_a_full_disk_is_told_as_an_error_and_once_there_is_room_all_goes_on(
    machine: Machine, customers: Customers, wecom: FakeWeCom
) -> None:
    server = await machine.start()
    await customers.burst(20)
    await machine.everything_is_handled()
    room = machine.database.with_name("scrm.db-wal").stat().st_size + 50_000
    _, most = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (room, most))
    burst = asyncio.create_task(customers.burst(200))
    await eventually(lambda: any(status >= 500 for status in customers.statuses), 10)
    assert set(customers.statuses) <= {200, 500, 503}
    assert set(customers.acknowledged) <= machine.kept_codes()
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most, most))
    await asyncio.wait_for(burst, 20)
    await machine.everything_is_handled()
    assert set(customers.acknowledged) <= machine.kept_codes()
    assert max(wecom.used_codes.values()) <= 2
    assert server.process.poll() is None
