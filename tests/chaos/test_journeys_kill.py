"""Two workers on PostgreSQL, killed again and again in the middle of everything: each step once, none lost.

CHAOS_STEPS says how many steps are due (500; scenario 15 is `CHAOS_STEPS=10000 python3 dev.py chaos -k journeys`).
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from sqlalchemy import Connection, insert

from scrm.clock import SystemClock
from scrm.db import Database
from scrm.events import Event, publish
from scrm.profiles.models import external_contact, follow_user, member, person
from scrm.sandbox import Sandbox, SandboxConfig, make_routes
from scrm.sandbox.confirming import confirm_mass_message
from tests import server_process
from tests.fakes import wecom as fake
from tests.postgresql_server import die_with_parent
from tests.waiting import eventually

STEPS = int(os.environ.get("CHAOS_STEPS", "500"))
LETTERS = "TMIKX"
EACH = STEPS // (2 * len(LETTERS))  # customers of each playbook, of two steps each
KILLS = 3 if STEPS <= 1000 else 12
PER_MEMBER = 8
STUCK = 2.0  # seconds without any progress
PATIENCE = 60 + STEPS / 20  # seconds; a busy machine is no failure

pytestmark = pytest.mark.chaos

# What the second step is; the first one gives a point, which nothing but its own ledger keeps from being given twice.
SECOND = {
    "T": '{id: second, at: T0, channel: T, late: defer, ttl: 20h, content: {text: "{{ 客户昵称 }}在吗"}}',
    "M": '{id: second, at: T0, channel: M, late: defer, ttl: 20h, content: {text: "上新啦"}}',
    "I": '{id: second, at: T0, channel: I, notify: owner, content: {text: "加急：{{ 客户昵称 }}。"}}',
    "K": '{id: second, at: T0, channel: K, to: sms, data: {template: S1}, content: {text: "{{ 客户昵称 }}您好"}}',
    "X": "{id: second, at: T0, channel: X, do: [{add_tag: 到过}, {set: {stage: 老客}}]}",
}
TEXT = """
playbook: chaos-{name}
title: 混乱{letter}
trigger: {{event: custom.chaos, where: {{letter: {letter}}}}}
run_key: person
reentry: never
priority: P1
exit_if: none
goal: none
holdout: 0%
guards: {{quiet: none}}
steps:
  - {{id: first, at: T0, channel: X, do: [{{points: 1}}]}}
  - {second}
"""


@dataclass
class SmsService:
    """Keeps what it gets, slowly enough to be killed in the middle."""

    got: dict[str, list[bytes]] = field(default_factory=dict)

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.got.setdefault(request.headers["Idempotency-Key"], []).append(body)
        await asyncio.sleep(0.02)
        return web.json_response({"receipt": "SMS-1"})


class Workers:
    """Two real `scrm worker` processes on one database."""

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        self._environ, self._folder = environ, folder
        self._alive: dict[int, subprocess.Popen[bytes]] = {}

    def begin(self, number: int) -> None:
        with (self._folder / f"worker-{number}.log").open("ab") as log:
            self._alive[number] = subprocess.Popen(
                [sys.executable, "-m", "scrm", "worker"],
                env=self._environ,
                cwd=server_process.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent if threading.current_thread() is threading.main_thread() else None,
            )

    def running(self) -> int:
        """How often a worker has said so, in all their lives."""
        return sum(log.read_bytes().count(b"worker is running") for log in self._folder.glob("worker-*.log"))

    def kill(self, number: int) -> None:
        process = self._alive.pop(number)
        process.kill()
        process.wait()

    def kill_all(self) -> None:
        for number in list(self._alive):
            self.kill(number)

    def stop(self) -> list[int]:
        """SIGTERM to all, and their exit codes."""
        for process in self._alive.values():
            process.send_signal(signal.SIGTERM)
        return [process.wait(30) for process in self._alive.values()]

    def said(self) -> str:
        return "\n".join(log.read_text(errors="replace")[-3000:] for log in self._folder.glob("worker-*.log"))


@dataclass
class House:
    """The database, the WeCom and the other system that the workers speak to."""

    database_url: str
    sandbox: Sandbox
    sms: SmsService
    workers: Workers
    pool: "asyncpg.Connection"

    async def number(self, sql: str) -> int:
        return int(await self.pool.fetchval(sql) or 0)

    async def counts(self, sql: str) -> dict[Any, int]:
        return {row[0]: row[1] for row in await self.pool.fetch(sql)}

    async def time_passes(self) -> None:
        """Four minutes: leases of the dead are over, batches close, WeCom's list is asked. Nobody may be alive."""
        by = 240_000
        for change in (
            f"UPDATE work_item SET lease_until = lease_until - {by}, due_at = due_at - {by} WHERE state < 2",
            f"UPDATE mass_message_part SET intent_at = intent_at - {by}, poll_at = poll_at - {by}",
            f"UPDATE mass_step_batch SET look_at = look_at - {by}",
            f"UPDATE notice SET look_at = look_at - {by}",
        ):
            await self.pool.execute(change)

    async def is_done(self) -> bool:
        """Everything was decided and every call has its outcome."""
        for sql in (
            f"SELECT {len(LETTERS) * EACH} - count(*) FROM enrolment",
            "SELECT count(*) FROM enrolment WHERE state = 'active' AND due_at IS NOT NULL",
            "SELECT count(*) FROM step_run WHERE state IN ('intent', 'unknown')",
            "SELECT count(*) FROM work_item WHERE state < 2 AND lane IN ('event', 'outward', 'sync', 'step')"
            " AND kind NOT LIKE '%poll%' AND kind <> 'sop.event'",
        ):
            if await self.number(sql):
                return False
        return True


@pytest.fixture
def customers() -> list[tuple[str, str, str]]:
    """(letter, name, member) of everybody."""
    return [
        (letter, f"{letter}{number:05}", f"m{number // PER_MEMBER}") for letter in LETTERS for number in range(EACH)
    ]


@pytest.fixture
async def house(postgresql_url: str, tmp_path: Path, customers: list[tuple[str, str, str]]) -> AsyncIterator[House]:
    port, sms = unused_port(), SmsService()
    url = f"http://127.0.0.1:{port}"
    config = SandboxConfig(
        fake.CORP_ID, fake.AGENT_ID, fake.SECRET, fake.TOKEN, fake.AES_KEY, f"{url}/none", f"{url}/", public_url=url
    )

    @web.middleware
    async def slowly(request: web.Request, handler: Any) -> web.StreamResponse:
        """The answer takes its time, after the deed: who is killed meanwhile does not know."""
        answer = await handler(request)
        await asyncio.sleep(random.uniform(0, 0.03))
        return answer

    app = web.Application(client_max_size=32 * 1024 * 1024, middlewares=[slowly])
    app.router.add_post("/sms", sms.receive)
    playbooks = tmp_path / "playbooks"
    playbooks.mkdir()
    for letter, second in SECOND.items():
        text = TEXT.format(name=letter.lower(), letter=letter, second=second)
        (playbooks / f"{letter}.yaml").write_text(text, encoding="utf-8")
    async with aiohttp.ClientSession() as http:
        sandbox = Sandbox(config, SystemClock(), http)
        for userid in sorted({userid for _, _, userid in customers}):
            sandbox.add_member(userid, f"员工{userid}")
        app.router.add_routes(make_routes(sandbox))
        async with TestServer(app, port=port):
            await _know(postgresql_url, sandbox, customers)
            environ = server_process.environment(
                postgresql_url,
                config.base_url,
                SCRM_PLAYBOOKS__DIR=str(playbooks),
                SCRM_CONTENT__MEDIA_DIR=str(tmp_path / "media"),
                SCRM_OUTWARD__SMS__URL=f"{url}/sms",
                SCRM_OUTWARD__SMS__SECRET="a secret of the sms service",
                SCRM_OUTWARD__SMS__ALLOW_PRIVATE="true",
            )
            pool = await asyncpg.connect(postgresql_url)
            workers = Workers(environ, tmp_path)
            yield House(postgresql_url, sandbox, sms, workers, pool)
            workers.kill_all()
            await pool.close()
            await sandbox.stop()


async def _know(database_url: str, sandbox: Sandbox, customers: list[tuple[str, str, str]]) -> None:
    """Friends since long, known to both sides."""
    now, db = SystemClock().now(), Database(database_url)

    def write(conn: Connection) -> None:
        people = [{"id": number, "name": name, "created_at": now} for number, (_, name, _) in enumerate(customers, 1)]
        conn.execute(insert(person), people)
        names = sorted({userid for _, _, userid in customers})
        conn.execute(insert(member), [{"userid": one, "folded": one, "name": f"员工{one}"} for one in names])
        contacts, relations = [], []
        for number, (_, name, userid) in enumerate(customers, 1):
            user = sandbox.add_wechat_user(name, name)
            sandbox.add_contact_seed(name, userid)
            who = {"external_userid": user.external_userid, "person_id": number}
            contacts.append(who | {"name": name, "type": 1, "created_at": now})
            relations.append(who | {"userid": userid, "remark": "", "followed_at": now})
        conn.execute(insert(external_contact), contacts)
        conn.execute(insert(follow_user), relations)

    await db.write(write)
    await db.close()


async def _tell(house: House, customers: list[tuple[str, str, str]], numbers: Iterator[int], most: int) -> None:
    """The next customers do what starts their playbooks."""
    now, db = SystemClock().now(), Database(house.database_url)
    told = [
        Event("custom.chaos", now, number + 1, facts={"letter": customers[number][0]}, once=f"chaos:{number}")
        for _, number in zip(range(most), numbers, strict=False)
    ]
    for start in range(0, len(told), 200):
        chunk = told[start : start + 200]
        await db.write(lambda conn, chunk=chunk: publish(conn, chunk, now=now) and None)
    await db.close()


async def test_two_workers_killed_again_and_again_do_each_step_once(
    house: House, customers: list[tuple[str, str, str]]
) -> None:
    random_ = random.Random(int(os.environ.get("CHAOS_SEED", "20260315")))
    order = list(range(len(customers)))
    random_.shuffle(order)
    numbers = iter(order)
    house.workers.begin(1)
    await eventually(lambda: house.workers.running() >= 1, 60)
    house.workers.begin(2)
    await eventually(lambda: house.workers.running() >= 2, 60)
    share = -(-len(customers) // (KILLS + 1))
    for kill in range(KILLS):
        await _tell(house, customers, numbers, share)
        await asyncio.sleep(random_.uniform(0.05, 1.2))
        if kill == KILLS // 2:
            house.workers.kill_all()
            await house.time_passes()
            house.workers.begin(1)
            house.workers.begin(2)
        else:
            number = random_.choice((1, 2))
            house.workers.kill(number)
            house.workers.begin(number)
    await _tell(house, customers, numbers, share)
    await _finish(house)
    assert set(house.workers.stop()) == {0}
    await _each_step_once(house, customers)


async def _finish(house: House) -> None:
    """Until all is done; where nothing moves for a while, minutes pass: leases of the dead, and WeCom's own time."""
    began = moved = time.monotonic()
    before = await _left(house)
    while not await house.is_done():
        assert time.monotonic() - began < PATIENCE, (before, house.workers.said())
        await asyncio.sleep(0.3)
        now = await _left(house)
        if now != before:
            before, moved = now, time.monotonic()
        elif time.monotonic() - moved > STUCK:
            house.workers.kill_all()
            await house.time_passes()
            running = house.workers.running()
            house.workers.begin(1)
            house.workers.begin(2)
            await eventually(lambda running=running: house.workers.running() >= running + 2, 60)
            moved = time.monotonic()


async def _left(house: House) -> dict[str, Any]:
    return {
        "runs": await house.counts("SELECT state, count(*) FROM enrolment GROUP BY 1"),
        "steps": await house.counts("SELECT channel || ' ' || state, count(*) FROM step_run GROUP BY 1"),
        "why": await house.counts("SELECT reason, count(*) FROM step_run WHERE state = 'failed' GROUP BY 1"),
        "work": await house.counts("SELECT kind || ' ' || state, count(*) FROM work_item GROUP BY 1"),
        "errors": await house.counts("SELECT last_error, count(*) FROM work_item GROUP BY 1"),
    }


async def _each_step_once(house: House, customers: list[tuple[str, str, str]]) -> None:
    story = await _left(house)
    assert await house.number("SELECT count(DISTINCT person_id) FROM enrolment") == len(customers), story
    assert story["steps"] == {
        "X done": len(customers) + EACH,
        "T waiting": EACH,
        "M waiting": EACH,
        "I done": EACH,
        "K done": EACH,
    }, story
    # Nothing is dead, and nobody had a step of a pass that was not his.
    assert await house.number("SELECT count(*) FROM work_item WHERE state = 3") == 0, story
    # Our own changes: each point once.
    points = await house.counts("SELECT available, count(*) FROM points_account GROUP BY 1")
    assert points == {1: len(customers)}
    assert await house.number("SELECT count(*) FROM task WHERE state = 'open'") == EACH
    _every_tag_is_there(house, customers)
    _every_notice_was_read_once(house, customers)
    _every_call_was_made_once(house)
    await _every_mass_message_has_each_customer_once(house, customers)
    ledger = await house.counts(
        "SELECT kind || ' ' || outcome, count(*) FROM send WHERE kind <> 'app_message' GROUP BY 1"
    )
    assert ledger == {"mass waiting": EACH, "outward sent": EACH}, ledger
    assert await house.number("SELECT count(*) FROM send WHERE outcome IN ('intent', 'unknown')") == 0


def _names(customers: list[tuple[str, str, str]], letter: str) -> list[str]:
    return [name for one, name, _ in customers if one == letter]


def _every_tag_is_there(house: House, customers: list[tuple[str, str, str]]) -> None:
    world = house.sandbox.world
    made = [tag for group in world.tag_groups for tag in group.tags if tag.name == "到过"]
    assert len(made) == 1
    wanted = {house.sandbox.get_wechat_user(name).external_userid for name in _names(customers, "X")}
    tagged = {pair.external_userid for pair in world.pairs.values() if made[0].id in pair.tag_ids}
    assert tagged == wanted


def _every_notice_was_read_once(house: House, customers: list[tuple[str, str, str]]) -> None:
    said = "\n".join(str(message.body) for inbox in house.sandbox.world.app_messages.values() for message in inbox)
    read = Counter({name: said.count(f"加急：{name}。") for name in _names(customers, "I")})
    assert set(read.values()) == {1}, read.most_common(5)


def _every_call_was_made_once(house: House) -> None:
    """A call whose answer nobody lived to hear is repeated with its key and its body, and the other side sees it."""
    assert len(house.sms.got) == EACH
    assert all(len(set(bodies)) == 1 for bodies in house.sms.got.values())
    repeated = sum(len(bodies) - 1 for bodies in house.sms.got.values())
    assert repeated <= 12 * 2 * (KILLS + 12)


async def _every_mass_message_has_each_customer_once(house: House, customers: list[tuple[str, str, str]]) -> None:
    living = [made for made in house.sandbox.world.sending.mass_messages.values() if not made.is_cancelled]
    addressed = Counter(each.target for made in living for each in made.deliveries)
    wanted = {house.sandbox.get_wechat_user(name).external_userid for name in _names(customers, "M")}
    assert (set(addressed), set(addressed.values())) == (wanted, {1})
    assert len(living) == await house.number("SELECT count(*) FROM mass_message_part WHERE msgid <> ''")
    for made in living:
        for userid in made.userids:
            with suppress(Exception):
                confirm_mass_message(house.sandbox, userid, made.msgid)
    assert {len(moments) for moments in house.sandbox.world.sending.received.values()} == {1}
