"""A hundred thousand customers from a sandbox in another process: how fast, with how much memory, and what a second run costs."""

import asyncio
import http.client
import json
import resource
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import func, select

from bench.figures import Figure, say, tell
from bench.stores import both
from scrm.app import open_services
from scrm.db.migrate import migrate
from scrm.events import event
from scrm.profiles.models import external_contact, follow_user
from scrm.services import Services
from scrm.sync.runs import run_sources
from scrm.sync.sources import choose
from scrm.wecom.errors import WeComError
from tests.server_process import ServerProcess, environment, start
from tests.world import make_settings

CUSTOMERS = 100_000
MEMBERS = 50
NAIVE_CALLS = 1_000
# As a call over the internet takes: without it the naive way is as fast as this machine's loopback, which no corp has.
WECOM_MS = 50
# 10,000 calls a minute of a hundred rows (doc 90312).
LIMIT = 10_000 * 100 / 60


def main() -> list[Figure]:
    return [figure for store in both("sync") for figure in measured(*store)]


def measured(store: str, url: str, folder: Path) -> list[Figure]:
    migrate(url)
    sandbox = start(["-m", "bench.sandbox_server"], environment("", ""), folder / f"sandbox-{store[:4]}.log")
    try:
        began = time.perf_counter()
        seeded = _seed(sandbox)
        say(f"sync: {seeded['relations']:,} relations seeded in {time.perf_counter() - began:.1f} s")
        return asyncio.run(_measure(store, url, sandbox, seeded["relations"]))
    finally:
        sandbox.stop()


async def _measure(store: str, url: str, sandbox: ServerProcess, relations: int) -> list[Figure]:
    async with open_services(make_settings(url, f"{sandbox.url}/sandbox")) as services:
        naive = await _naive(services)
        before = _rss()
        first, added = await _sync(services)
        grown = _rss() - before
        assert added == relations, f"{added} of {relations}"
        kept = await services.db.read(_counts)
        again, changed = await _sync(services)
        assert changed == 0
        assert kept == await services.db.read(_counts)
    name = f"sync, {store}, {CUSTOMERS:,} customers"
    rate = relations / first
    return [
        tell(Figure(f"{name}, first", rate, "relations/s", "one externalcontact/get each", naive, rate / naive, 3)),
        tell(Figure(f"{name}, first, share of WeCom's limit", rate / LIMIT * 100, "%")),
        tell(
            Figure(f"{name}, unchanged", relations / again, "relations/s", "the first sync", rate, first / again, 1.2)
        ),
        tell(Figure(f"{name}, memory grown by", grown, "MB", goal=120, at_most=True)),
    ]


async def _sync(services: Services) -> tuple[float, int]:
    """Seconds, and relations written."""
    began, spent = time.perf_counter(), time.process_time()
    now = services.clock.now()
    outcomes = await run_sources(services, choose(["members", "contacts"]), full=False, asked_at=now)
    seconds = time.perf_counter() - began
    assert not any(outcome.error for outcome in outcomes), outcomes
    progress = outcomes[-1].progress
    spent = (time.process_time() - spent) / max(progress.done, 1) * 1e6
    say(f"sync: {progress.done:,} in {seconds:.1f} s, {spent:.0f} us processor time each")
    return seconds, progress.added + progress.changed + progress.ended


async def _naive(services: Services) -> float:
    """Customers per second with one call for each, five at a time, nothing kept."""
    userids = await services.wecom.contacts.get_follow_user_list()
    ids = [one for userid in userids for one in await services.wecom.contacts.list(userid)][:NAIVE_CALLS]
    began = time.perf_counter()

    async def ask(mine: list[str]) -> None:
        for one in mine:
            try:
                await services.wecom.contacts.get_external_contact(one)
            except WeComError as error:
                say(f"sync: {error}")

    await asyncio.gather(*(ask(ids[start::5]) for start in range(5)))
    return len(ids) / (time.perf_counter() - began)


def _counts(conn: Any) -> tuple[int, ...]:
    return tuple(
        conn.execute(select(func.count()).select_from(table)).scalar_one()
        for table in (external_contact, follow_user, event)
    )


def _seed(sandbox: ServerProcess) -> Any:
    seeded = _ask(sandbox, "seed", customers=CUSTOMERS, members=MEMBERS)
    _ask(sandbox, "faults", answer_delay_ms=WECOM_MS)
    return seeded


def _ask(sandbox: ServerProcess, act: str, **fields: int) -> Any:
    address = urlsplit(sandbox.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=120)
    connection.request("POST", f"/sandbox/api/{act}", json.dumps(fields), {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    assert response.status == 200, answer
    return answer


def _rss() -> float:
    """The most memory this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
