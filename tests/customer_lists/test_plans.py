"""What a list of a million rests on: pages are walked along an index, and look-ups find theirs."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event

from scrm.access.scope import EVERYONE, Scope
from scrm.customer_lists import bulk_store, pool_store
from scrm.customer_lists import store as lists
from scrm.customer_lists.filters import narrow, read_text
from tests.customer_lists.shop import open_shop
from tests.world import World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """PostgreSQL reads so small a shop as it likes; at 200,000 its plans were looked at by hand."""
    return sqlite_url


async def explained(world: World, work: Callable[[Connection], Any]) -> list[str]:
    """The plan of each statement that `work` runs."""

    def look(conn: Connection) -> list[str]:
        said: list[tuple[str, Any]] = []

        def hear(conn: Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            said.append((statement, parameters))

        event.listen(conn, "before_cursor_execute", hear)
        work(conn)
        event.remove(conn, "before_cursor_execute", hear)
        explained = [conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given) for text, given in said]
        return ["\n".join(str(row[-1]) for row in rows) for rows in explained]

    return await world.services.db.read(look)


async def page_of(world: World, query: str, scope: Scope = EVERYONE) -> list[str]:
    narrowed = narrow(read_text(query), world.services.settings.shop.zone, str)
    now = world.clock.now()
    return await explained(world, lambda conn: lists.find_page(conn, narrowed, scope, now))


async def count_of(world: World, query: str) -> list[str]:
    narrowed = narrow(read_text(query), world.services.settings.shop.zone, str)
    now = world.clock.now()
    return await explained(world, lambda conn: lists.count(conn, narrowed, EVERYONE, now))


async def test_the_first_look_at_a_page_walks_an_index_and_sorts_nothing(world: World) -> None:
    await open_shop(world)
    four = "owner=lina&channel=live-1&tag=老客&paid_from=100"
    for query, scope, index in (
        ("", EVERYONE, ""),
        (four, EVERYONE, "ix_follow_user_person_id"),
        (four, Scope("lina"), "ix_follow_user_person_id"),
        ("sort=paid", EVERYONE, "ix_person_stat_paid"),
        ("sort=paid&up=1&owner=lina", EVERYONE, "ix_person_stat_paid"),
        ("sort=ordered&ordered_from=2026-01-01", EVERYONE, "ix_person_stat_last_order"),
    ):
        plans = await page_of(world, query, scope)
        walk = next(plan for plan in plans if "listed" in plan)
        assert index in walk, (query, walk)
        assert "TEMP B-TREE FOR ORDER BY" not in walk, (query, walk)
        assert "ix_follow_user_new" not in walk, (query, walk)


async def test_few_are_counted_by_the_members_index_and_many_one_by_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of forty, twenty are 李娜's: one is found after two; of the four who are 复购 after ten, so her list is the shorter."""
    await open_shop(world, 40)
    monkeypatch.setattr(lists, "MOST_COUNTED", 1)
    for query, index in (
        ("owner=lina", "ix_follow_user_person_id"),
        ("owner=lina&stage=复购", "ix_follow_user_living"),
    ):
        counted = (await count_of(world, query))[-1]
        assert index in counted, (query, counted)


async def test_look_ups_find_their_index(world: World) -> None:
    await open_shop(world)
    now = world.clock.now()
    for work, index in (
        (lambda conn: lists.find_by_tail(conn, "6620", limit=5), "ix_identity_phone_tail"),
        (lambda conn: pool_store.list_due_picks(conn, now, 10), "ix_pool_pick_look_at"),
        (lambda conn: pool_store.count_picks(conn, "lina", now), "ix_pool_pick_userid"),
        (lambda conn: pool_store.list_entries(conn, reason="idle", limit=10), "ix_pool_entry_reason"),
        (lambda conn: bulk_store.list_waiting(conn, 1, 10), "ix_bulk_item_state"),
    ):
        plans = await explained(world, work)
        assert any(index in plan for plan in plans), plans
