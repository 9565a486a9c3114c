"""Tokens in the database: one refresh at a time in all processes, once more after a refusal's pause, never in a loop."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from scrm.clock import SystemClock
from scrm.credentials import DatabaseTokens, wecom_token
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.wecom.errors import WeComError
from scrm.wecom.tokens import LEASE, MemoryTokens, TokenKeeper, TokenStore
from tests.fakes.clock import FakeClock

VAULT = Vault("a key of more than thirty-two characters")


class Source:
    """WeCom's gettoken: counts, takes its time, fails when told to."""

    def __init__(self) -> None:
        self.fetched = 0
        self.under_way = 0
        self.most_under_way = 0
        self.errors: list[Exception] = []
        self.delay = 0.0

    async def __call__(self) -> tuple[str, int]:
        self.fetched += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(self.delay)
        self.under_way -= 1
        if self.errors:
            raise self.errors.pop(0)
        return f"token-{self.fetched}", 7200


@pytest.fixture
async def stores(database_url: str) -> AsyncIterator[list[TokenStore]]:
    """Two processes on one database."""
    databases = [Database(database_url), Database(database_url)]
    yield [DatabaseTokens(database, VAULT) for database in databases]
    for database in databases:
        await database.close()


async def test_of_many_processes_one_refreshes_and_the_others_take_its_value(stores: list[TokenStore]) -> None:
    source = Source()
    source.delay = 0.05
    keepers = [TokenKeeper("app", store, SystemClock(), source) for store in (*stores, *stores)]
    assert set(await asyncio.gather(*(keeper.get() for keeper in keepers * 3))) == {"token-1"}
    assert set(await asyncio.gather(*(keeper.refresh("token-1") for keeper in keepers * 3))) == {"token-2"}
    assert (source.fetched, source.most_under_way) == (2, 1)
    late = TokenKeeper("app", stores[0], SystemClock(), source)
    assert await late.get() == "token-2"
    assert await TokenKeeper("another app", stores[1], SystemClock(), source).get() == "token-3"


async def test_a_token_lies_sealed_and_with_another_key_there_is_none(stores: list[TokenStore]) -> None:
    source, clock = Source(), FakeClock()
    await TokenKeeper("app", stores[0], clock, source).get()
    store = stores[0]
    assert isinstance(store, DatabaseTokens)
    (row,) = await store.db.read(lambda conn: list(conn.execute(wecom_token.select())))
    assert "token-1" not in str(row)
    assert "app" not in row.name_hash
    other = DatabaseTokens(store.db, Vault("another key of more than thirty-two characters"))
    assert (await other.look("app")).value == ""


@pytest.mark.parametrize("kind", ["memory", "database"])
async def test_refusals_deaths_and_clocks_that_jump(kind: str, sqlite_url: str) -> None:
    database = Database(sqlite_url)
    store: TokenStore = MemoryTokens() if kind == "memory" else DatabaseTokens(database, VAULT)
    clock, source = FakeClock(), Source()
    one, two = (TokenKeeper("app", store, clock, source) for _ in range(2))

    # A refused secret is asked for once a minute, by all processes together.
    source.errors = [WeComError(40001), WeComError(40001)]
    for minute in range(2):
        for keeper in (one, two, one):
            with pytest.raises(WeComError, match="40001"):
                await keeper.get()
        assert source.fetched == minute + 1
        clock.advance(seconds=61)
    assert await one.get() == "token-3"

    # A token that WeCom calls invalid, without wanting a new one (40001 again), rests for everybody too.
    await one.refuse(WeComError(40001))
    with pytest.raises(WeComError, match="40001"):
        await TokenKeeper("app", store, clock, source).get()
    clock.advance(seconds=61)
    assert await one.get() == "token-4"

    # Trouble on the way is no refusal: the claim ends at once.
    source.errors = [WeComError(-1), ConnectionError("x")]
    with pytest.raises(WeComError, match="-1"):
        await one.refresh("token-4")
    with pytest.raises(ConnectionError):
        await one.refresh("token-4")
    assert await one.refresh("token-4") == "token-7"

    # Whoever died while refreshing is replaced when the claim has ended.
    version = (await store.look("app")).version
    assert await store.claim("app", version, now=clock.now(), until=clock.now() + LEASE)
    waiting = asyncio.create_task(one.refresh("token-7"))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    clock.advance(seconds=LEASE.total_seconds() + 1)
    assert await waiting == "token-8"

    # The clock goes back by a day: a claim and a token from the future hold nobody up.
    clock.advance(days=-2)
    assert await claimed(store, clock.now() + timedelta(days=2))
    assert await TokenKeeper("app", store, clock, source).get() == "token-9"
    await database.close()


async def claimed(store: TokenStore, now: datetime) -> bool:
    return await store.claim("app", (await store.look("app")).version, now=now, until=now + LEASE)
