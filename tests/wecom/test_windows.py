"""Rate windows: whatever is asked for, nobody who counts at WeCom's door ever counts too many."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from scrm import allowances
from scrm.allowances import DatabaseLedger
from scrm.db import Database
from scrm.wecom import windows
from scrm.wecom.calls import App
from scrm.wecom.client import WeCom
from scrm.wecom.errors import RetryClass, WeComError, WindowFull
from scrm.wecom.pacing import in_bulk, within
from scrm.wecom.windows import HOUR, MARGIN_SECONDS, MINUTE, Ledger, Limit, MemoryLedger, Windows
from tests.fakes.clock import FakeClock

START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


class HurryingClock:
    """Time that jumps to whatever somebody sleeps for: hours of load in milliseconds."""

    def __init__(self) -> None:
        self.seconds = START.timestamp()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    async def sleep(self, seconds: float) -> None:
        until = self.seconds + seconds
        await asyncio.sleep(0)
        self.seconds = max(self.seconds, until)


def most_in_a_window(arrivals: list[float], seconds: float) -> int:
    """Counted as WeCom may: any span of that length."""
    inside: deque[float] = deque()
    most = 0
    for at in sorted(arrivals):
        inside.append(at)
        while inside[0] <= at - seconds:
            inside.popleft()
        most = max(most, len(inside))
    return most


STEPS = st.lists(
    st.tuples(st.floats(0, 9), st.integers(1, 40), st.integers(0, 2), st.booleans()), min_size=5, max_size=60
)


@settings(max_examples=60)
@given(steps=STEPS, seed=st.integers(0, 2**16))
def test_no_span_of_a_window_holds_more_than_its_limit(steps: list[Any], seed: int) -> None:
    """Three processes with one ledger, calls in bulk and not, and a network that delays each as it likes."""
    limits = (Limit(200, MINUTE), Limit(700, HOUR))
    pocket, shared = (tuple(limit.share(part) for limit in limits) for part in (0.05, 0.85))
    delays, arrivals = random.Random(seed), []
    patched = pytest.MonkeyPatch()
    patched.setattr(windows, "POCKET", pocket)
    patched.setattr(windows, "SHARED", shared)

    async def play() -> None:
        clock, ledger = HurryingClock(), MemoryLedger()
        processes = [Windows(ledger, clock, "ww1") for _ in range(3)]
        for pause, count, process, is_bulk in steps:
            clock.seconds += pause
            for _ in range(count):
                try:
                    await processes[process].enter("externalcontact/get", {}, is_bulk=is_bulk, patience=0)
                except WindowFull:
                    break
                arrivals.append(clock.seconds + delays.uniform(0, MARGIN_SECONDS))

    try:
        asyncio.run(play())
    finally:
        patched.undo()
    for limit in limits:
        assert most_in_a_window(arrivals, limit.seconds) <= limit.most


@pytest.fixture
async def ledgers(database_url: str) -> AsyncIterator[list[Ledger]]:
    """Two processes on one database."""
    databases = [Database(database_url), Database(database_url)]
    yield [DatabaseLedger(database) for database in databases]
    for database in databases:
        await database.close()


async def test_processes_that_take_at_the_same_time_share_one_count(ledgers: list[Ledger]) -> None:
    limits = (Limit(100, MINUTE), Limit(150, HOUR))
    grants = await asyncio.gather(*(ledgers[n % 2].take(["ww1:x"], limits, 9, now=START) for n in range(20)))
    assert sum(grant.count for grant in grants) == 100
    full = next(grant for grant in grants if not grant.count)
    assert MINUTE < full.retry_after < MINUTE + 10
    later = START + timedelta(seconds=full.retry_after)
    half, rest = [(await ledgers[0].take(["ww1:x"], limits, 100, now=later)).count for _ in range(2)]
    assert (half, rest) == (25, 12)
    assert sum([(await ledgers[n % 2].take(["ww1:x"], limits, 9, now=later)).count for n in range(9)]) == 13
    none = await ledgers[1].take(["ww1:x"], limits, 1, now=later + timedelta(minutes=2))
    assert (none.count, none.retry_after > 3000) == (0, True)
    assert (await ledgers[1].take(["ww1:x"], limits, 1, now=START + timedelta(hours=3))).count == 1


async def test_a_key_that_is_full_holds_up_the_call_that_names_it(ledgers: list[Ledger]) -> None:
    limits = (Limit(2, MINUTE),)
    assert (await ledgers[0].take(["lina", "zhou"], limits, 1, now=START)).count == 1
    assert (await ledgers[1].take(["lina"], limits, 1, now=START)).count == 1
    assert (await ledgers[0].take(["zhou", "lina"], limits, 1, now=START)).count == 0
    assert (await ledgers[0].take(["zhou"], limits, 1, now=START)).count == 1


async def test_both_ledgers_count_alike(ledgers: list[Ledger]) -> None:
    choice, now, memory = random.Random(7), START, MemoryLedger()
    limits = (Limit(40, MINUTE), Limit(90, 300))
    for _ in range(120):
        now += timedelta(seconds=choice.choice((0, 0.3, 2.0, 11.0)))
        keys, count = choice.choice((["a"], ["b"], ["a", "b"])), choice.randint(1, 7)
        assert await ledgers[0].take(keys, limits, count, now=now) == await memory.take(keys, limits, count, now=now)


async def test_old_counts_are_swept_away(ledgers: list[Ledger]) -> None:
    for minute in range(5):
        await ledgers[0].take(["ww1:x"], (Limit(10, MINUTE),), 1, now=START + timedelta(minutes=3 * minute))
    ledger = ledgers[0]
    assert isinstance(ledger, DatabaseLedger)
    rows = await ledger.db.read(lambda conn: list(conn.execute(allowances.wecom_allowance.select())))
    assert len(rows) == 2  # the gate and the last slot


class CountingServer:
    """A WeCom that does nothing but note when each call arrived."""

    def __init__(self) -> None:
        self.arrivals: dict[str, list[float]] = {}
        self.clock = HurryingClock()
        self.app = web.Application()
        self.app.router.add_route("*", "/cgi-bin/{path:.+}", self.answer)
        self.refuse: Counter[str] = Counter()

    async def answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.arrivals.setdefault(path, []).append(self.clock.seconds)
        if self.refuse[path]:
            self.refuse[path] -= 1
            return web.json_response({"errcode": 45009, "errmsg": "api freq out of limit"})
        return web.json_response({"errcode": 0, "access_token": "t", "expires_in": 7200})


@pytest.fixture
async def server(aiohttp_server: Any) -> tuple[CountingServer, str]:
    counting = CountingServer()
    listening = await aiohttp_server(counting.app)
    return counting, str(listening.make_url("")).rstrip("/")


@pytest.mark.parametrize("shared_by", ["memory", "database"])
async def test_under_load_the_documented_limits_are_never_exceeded_and_urgent_calls_keep_their_share(
    server: tuple[CountingServer, str], monkeypatch: pytest.MonkeyPatch, shared_by: str, sqlite_url: str
) -> None:
    """Two processes want far more than a tenth of WeCom's limits allows (scaled down: the machine is small)."""
    counting, url = server
    scaled = tuple(limit.share(0.1) for limit in windows.BASE)
    monkeypatch.setattr(windows, "POCKET", tuple(limit.share(0.01) for limit in scaled))
    monkeypatch.setattr(windows, "SHARED", tuple(limit.share(0.9) for limit in scaled))
    database, clock = Database(sqlite_url), counting.clock
    ledger: Ledger = MemoryLedger() if shared_by == "memory" else DatabaseLedger(database)
    app = App("ww1", 1, "s", api_base=url, read_concurrency=64)
    outcome: Counter[str] = Counter()

    async def call(client: WeCom, kind: str) -> None:
        try:
            if kind == "bulk":
                with in_bulk(), within(30.0):
                    await client.post("externalcontact/batch/get_by_user", {})
            else:
                await client.post("externalcontact/batch/get_by_user", {})
            outcome[kind] += 1
        except WindowFull:
            outcome["refused"] += 1

    async with aiohttp.ClientSession() as http:
        processes = [WeCom(http, clock, app, ledger=ledger) for _ in range(2)]
        await asyncio.gather(*(call(processes[n % 2], "bulk") for n in range(1000)))
        await asyncio.gather(*(call(processes[n % 2], "urgent") for n in range(150)))
    await database.close()
    assert 600 <= outcome["bulk"] <= 720
    assert outcome["urgent"] == 150
    for limit in scaled:
        assert most_in_a_window(counting.arrivals["externalcontact/batch/get_by_user"], limit.seconds) <= limit.most


async def test_45009_closes_the_endpoint_alone_until_its_window_is_over_and_longer_when_it_comes_again(
    server: tuple[CountingServer, str], clock: FakeClock
) -> None:
    counting, url = server
    path = "externalcontact/list"
    async with aiohttp.ClientSession() as http:
        client = WeCom(http, clock, App("ww1", 1, "s", api_base=url))

        async def refused() -> float:
            with pytest.raises(WeComError) as caught:
                await client.get(path)
            assert caught.value.retry_class is RetryClass.WINDOW
            return caught.value.retry_after or 0

        for rest in (60, 3600, 86400):
            counting.refuse[path] = 1
            assert await refused() == rest
            asked = len(counting.arrivals[path])
            clock.advance(seconds=rest / 3)
            assert await refused() == pytest.approx(rest * 2 / 3)
            assert len(counting.arrivals[path]) == asked
            assert not client.has_room(path)
            await client.get("externalcontact/get")  # others go on
            clock.advance(seconds=rest)
        await client.get(path)
        counting.refuse[path] = 1
        assert await refused() == 60


async def test_a_member_gets_no_more_app_messages_than_wecom_delivers(
    server: tuple[CountingServer, str], clock: FakeClock
) -> None:
    _, url = server
    async with aiohttp.ClientSession() as http:
        client = WeCom(http, clock, App("ww1", 1, "s", api_base=url))
        for _ in range(30):
            await client.post("message/send", {"touser": "LiNa|zhou"})
        with pytest.raises(WindowFull):
            await client.post("message/send", {"touser": "lina"})
        await client.post("message/send", {"touser": "wang"})
        clock.advance(seconds=70)
        await client.post("message/send", {"touser": "lina"})
