"""Visitors on both databases: one owner for everything they did, however many requests come at once."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.db import Database
from scrm.profiles import identities
from scrm.profiles.models import identity, person
from scrm.tracking import abandonment, store
from scrm.tracking.abandonment import Act
from scrm.tracking.models import tracked_event
from scrm.tracking.reading import Batch, Claim, Told


@pytest.fixture(params=["sqlite_url", "postgresql_url"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    db = Database(url)
    yield db
    await db.close()


NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)


def make_persons(conn: Any, count: int) -> list[int]:
    made = []
    for number in range(count):
        person_id = conn.execute(person.insert().values(created_at=NOW).returning(person.c.id)).scalar_one()
        identities.claim(conn, person_id, identities.Known("wx_unionid", f"oUnion{number}"), now=NOW)
        made.append(person_id)
    return made


def batch(number: int, visitor_id: str, union: int | None) -> Batch:
    told = Told(f"event-{number}", "cart.added", visitor_id, NOW, {"sku": f"S{number}"})
    claims = () if union is None else (Claim("wx_unionid", "", f"oUnion{union}", False),)
    return Batch(NOW, (told,), claims, visitor_id)


async def test_events_told_and_identified_at_once_have_one_owner_and_none_is_lost(db: Database) -> None:
    await db.write(make_persons, 4)
    chance = random.Random(7)
    batches = [
        batch(number, f"visitor-{number % 8:04}", chance.choice([None, None, number % 4])) for number in range(160)
    ]
    batches += [batch(number, f"visitor-{number % 8:04}", number % 4) for number in range(160, 168)]
    saved = await asyncio.gather(*(db.write(store.save_batches, [one]) for one in batches[:80]))
    saved += [[one] for one in await asyncio.gather(*(db.together(store.save_batches, one) for one in batches[80:]))]
    assert sum(one.accepted for (one,) in saved) == len(batches)
    again = await asyncio.gather(*(db.together(store.save_batches, one) for one in batches[:50]))
    assert sum(one.accepted for one in again) == 0

    def look(conn: Any) -> tuple[list[Any], dict[str, int]]:
        owners = conn.execute(identity.select().where(identity.c.kind == "anonymous_id")).all()
        return list(conn.execute(tracked_event.select())), {row.value: row.person_id for row in owners}

    events, owners = await db.read(look)
    assert len(events) == len(batches)
    assert len(owners) == 8
    assert [row.event_id for row in events if row.person_id is None] == []
    # A visitor here is always the same person, so nothing may belong to another.
    assert {(row.anonymous_id, row.person_id) for row in events} == set(owners.items())


ACTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["cart.added", "cart.removed", "checkout.started", "order.paid", "product.viewed", "page.viewed"]
        ),
        st.integers(0, 1400),
        st.sampled_from(["", "A", "B"]),
    ),
    max_size=12,
)


@given(ACTS)
def test_only_what_lies_there_unpaid_and_in_peace_is_abandoned(told: list[tuple[str, int, str]]) -> None:
    acts = [
        Act(str(number), name, NOW + timedelta(minutes=minute), frozenset({sku} - {""}), {})
        for number, (name, minute, sku) in enumerate(sorted(told, key=lambda one: one[1]))
    ]
    now = NOW + timedelta(minutes=1440)
    found = abandonment.cart(acts, [], now)
    if found.act is not None:
        assert found.act.name == "cart.added"
        assert all(now - act.at >= abandonment.CART_QUIET for act in acts)
        later = [act for act in acts if act.name == "order.paid" and act.at > found.act.at]
        assert not any(not act.skus or act.skus & found.act.skus for act in later)
    # An order of everything ends every rule.
    bought = [abandonment.Bought(now, frozenset())]
    assert not any(rule(acts, bought, now).act for rule in abandonment.RULES.values())
