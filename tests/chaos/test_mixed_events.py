"""Every kind of callback, doubled, in any order and through two kills: the end is that of a quiet month in order.

CHAOS_EVENTS says how many are posted (600; the long run is
`CHAOS_EVENTS=20000 python3 dev.py chaos -o faulthandler_timeout=0`).
"""

import asyncio
import itertools
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import server_process
from tests.chaos.mixed_events import FinalWeCom, Month
from tests.chaos.test_kill import Machine
from tests.fakes import wecom as fake
from tests.waiting import eventually

EVENTS = int(os.environ.get("CHAOS_EVENTS", "600"))
DOUBLED = 0.3
CONNECTIONS = 64
IN_ORDER = 16
SEED = 20260301
PATIENCE = 120 + EVENTS / 10  # seconds; a busy machine is no failure

pytestmark = pytest.mark.chaos

STATE = {
    "relations": "SELECT userid, external_userid, remark, state, add_way, is_half, followed_at, ended_by, ended_at"
    " FROM follow_user",
    "contacts": "SELECT external_userid, name, type, unionid FROM external_contact",
    "persons": "SELECT external_userid, person.name FROM external_contact JOIN person ON person.id = person_id",
    "identities": "SELECT kind, value FROM identity",
    # What a playbook does at once depends on who is still there when its turn comes; a busy machine may be later.
    "tags": "SELECT userid, external_userid, tag_id, tag_name FROM follow_user_tag WHERE source != 'playbook'",
    "members": "SELECT userid, name, is_active FROM member",
    "groups": "SELECT chat_id, name, owner, dismissed_at IS NULL FROM group_chat",
    "seats": "SELECT chat_id, userid, type FROM group_chat_member",
    "inbox": "SELECT digest, state, name, change_type FROM inbox_event",
    "transfers": "SELECT once FROM event WHERE name = 'contact.transfer_failed'",
}
RUNS_OF_LOST = """
    SELECT count(*) FROM enrolment JOIN follow_user USING (external_userid, userid)
    WHERE enrolment.state = 'active' AND follow_user.ended_by != ''
"""


class Post:
    """Posts bodies until each was answered 200."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http, self._url = http, url
        self.answered = 0

    async def __call__(self, xml: str) -> None:
        while not await self._once(xml):  # noqa: ASYNC110 - it tries again, as WeCom does
            await asyncio.sleep(0.05)
        self.answered += 1

    async def _once(self, xml: str) -> bool:
        query, body = fake.callback(xml)
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.post(f"{self._url}/callbacks/wecom", params=query, data=body) as response:
                return response.status == 200
        return False

    async def all_of(self, lists: list[list[str]]) -> None:
        """A connection for each list."""

        async def one_by_one(bodies: list[str]) -> None:
            for xml in bodies:
                await self(xml)

        await asyncio.gather(*(one_by_one(bodies) for bodies in lists))


class Shop:
    """A server on a database of its own, and the WeCom it asks."""

    def __init__(self, machine: Machine, wecom: FinalWeCom, http: aiohttp.ClientSession) -> None:
        self.machine, self.wecom, self.post = machine, wecom, Post(http, machine.url)

    def is_idle(self) -> bool:
        open_work = "SELECT count(*) FROM work_item WHERE lane IN ('welcome', 'event', 'sync') AND state < 2"
        return not self.machine.number(open_work)

    async def settle(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self.is_idle():  # noqa: ASYNC110 - another process works
                await asyncio.sleep(0.2)

    def state(self) -> dict[str, list[Any]]:
        return {name: sorted(self.machine.rows(sql), key=repr) for name, sql in STATE.items()}


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes migrated databases of one kind; answers their URLs."""
    if request.param == "sqlite":
        template, numbers = request.getfixturevalue("sqlite_template"), itertools.count()
        yield lambda: f"sqlite:///{shutil.copy(template, tmp_path / f'scrm{next(numbers)}.db')}"
        return
    shelf, taken = request.getfixturevalue("postgresql_shelf"), []

    def take() -> str:
        taken.append(name := shelf.take())
        return str(shelf.server.url(name))

    yield take
    for name in taken:
        shelf.give_back(name)


@pytest.fixture
async def open_shop(
    tmp_path: Path, new_database: Callable[[], str], aiohttp_server: Any, monkeypatch: pytest.MonkeyPatch
) -> Any:
    # Two servers, two WeComs and the posts share the processors with a third server that starts.
    monkeypatch.setattr(server_process, "START_SECONDS", PATIENCE)
    machines: list[Machine] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def open_one(month: Month) -> Shop:
            wecom = FinalWeCom()
            month.tell(wecom)
            server = await aiohttp_server(wecom.app)
            folder = tmp_path / f"shop{len(machines)}"
            folder.mkdir()
            machines.append(machine := Machine(folder, new_database(), str(server.make_url("")).rstrip("/")))
            await machine.start()
            return Shop(machine, wecom, http)

        yield open_one
    for machine in machines:
        if machine.server is not None and machine.server.process.poll() is None:
            machine.server.kill()


def by_subject(events: list[tuple[str, str]]) -> list[list[str]]:
    """Lists in which what is about one subject stays in order."""
    lists: list[list[str]] = [[] for _ in range(IN_ORDER)]
    numbers: dict[str, int] = {}
    for subject, xml in events:
        lists[numbers.setdefault(subject, len(numbers)) % IN_ORDER].append(xml)
    return lists


def shuffled(events: list[tuple[str, str]], count: int) -> list[list[str]]:
    """`count` posts of them in random order, dealt to the connections; the surplus are doubles."""
    chaos = random.Random(SEED)
    bodies = [xml for _, xml in events]
    bodies += chaos.choices(bodies, k=count - len(bodies))
    chaos.shuffle(bodies)
    return [bodies[number::CONNECTIONS] for number in range(CONNECTIONS)]


async def kill_twice(shop: Shop, count: int) -> None:
    for share in (1 / 3, 2 / 3):
        await eventually(lambda share=share: shop.post.answered >= count * share, PATIENCE)
        assert shop.machine.server is not None
        shop.machine.server.kill()
        shop.machine.a_minute_passes()
        await shop.machine.start()


async def test_events_doubled_shuffled_and_killed_twice_end_as_a_quiet_month_in_order(
    open_shop: Callable[[Month], Any],
) -> None:
    month = Month(round(EVENTS / (1 + DOUBLED)), SEED)
    quiet, wild = await open_shop(month), await open_shop(month)
    began = time.perf_counter()
    posts, quiet_posts = shuffled(month.events, EVENTS), by_subject(month.events)
    await asyncio.gather(wild.post.all_of(posts), kill_twice(wild, EVENTS), quiet.post.all_of(quiet_posts))
    posted = time.perf_counter() - began
    await asyncio.gather(wild.settle(), quiet.settle())
    print(
        f"{EVENTS} events posted in {posted:.1f} s, both settled after {time.perf_counter() - began:.1f} s; "
        f"{len(wild.wecom.called('externalcontact/get'))} fetches of contacts"
    )
    expected, found = quiet.state(), wild.state()
    for name, rows in expected.items():
        assert rows, name
        assert found[name] == rows, name
    assert {(row[0], row[1]) for row in found["relations"] if not row[7]} == month.alive
    assert {row[1] for row in found["inbox"]} == {"done", "unused", "unknown", "unreadable"}
    for shop in (quiet, wild):
        assert shop.machine.number("SELECT count(*) FROM work_item WHERE state = 2") == 0
        assert shop.machine.number(RUNS_OF_LOST) == 0
        assert shop.wecom.used_codes == {} or max(shop.wecom.used_codes.values()) <= 3


STORM, STORM_CUSTOMERS = 5000, 200

# Two minutes of load; the suite has the small storm of tests/callbacks/test_storm.py.
if EVENTS >= 20_000:

    async def test_a_storm_of_edits_asks_wecom_about_once_per_customer(open_shop: Callable[[Month], Any]) -> None:
        month = Month(0, SEED)
        shop = await open_shop(month)
        customers = [f"wmStorm{number:_>25}" for number in range(STORM_CUSTOMERS)]
        for customer in customers:
            shop.wecom.add_contact(customer, "小满", "u_1")
        numbers, chaos = itertools.count(), random.Random(SEED)
        edits = [
            fake.event_xml(
                "edit_external_contact",
                created_at=1772416800 + next(numbers),
                UserID="u_1",
                ExternalUserID=chaos.choice(customers),
            )
            for _ in range(STORM)
        ]
        began = time.perf_counter()
        await shop.post.all_of([edits[number::CONNECTIONS] for number in range(CONNECTIONS)])
        await shop.settle()
        calls = len(shop.wecom.called("externalcontact/get"))
        print(f"{STORM} edits of {STORM_CUSTOMERS} customers: {calls} calls in {time.perf_counter() - began:.1f} s")
        assert STORM_CUSTOMERS <= calls <= 3 * STORM_CUSTOMERS
