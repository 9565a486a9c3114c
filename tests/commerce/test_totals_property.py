"""Whatever snapshots arrive, in whatever order, a person's totals are what a recount of their orders says."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine, event, select

from scrm.commerce import binding, order_views, running_totals, store
from scrm.commerce.canonical import Order, read_order
from scrm.db import metadata
from scrm.db.vault import Vault
from scrm.profiles.models import person_stat
from tests.commerce.conftest import NOW, add_person

VAULT = Vault("a secret that is long enough for tests")
STATUSES = ["pending_payment", "paid", "partially_shipped", "shipped", "completed", "cancelled", "closed", "unknown"]
moments = st.one_of(st.none(), st.integers(0, 5).map(lambda minute: (NOW + timedelta(minutes=minute)).isoformat()))
refunds = st.lists(
    st.fixed_dictionaries(
        {
            "refund_no": st.sampled_from(["R1", "R2"]),
            "status": st.sampled_from(["requested", "refunding", "refunded", "rejected"]),
            "amount_fen": st.integers(0, 300),
        }
    ),
    max_size=2,
    unique_by=lambda case: case["refund_no"],
)
snapshots = st.fixed_dictionaries(
    {"order_no": st.sampled_from(["1", "2"]), "status": st.sampled_from(STATUSES)},
    optional={
        "paid_fen": st.integers(0, 500),
        "refunded_fen": st.integers(0, 500),
        "ordered_at": moments,
        "paid_at": moments,
        "platform_updated_at": moments,
        "payment_status": st.sampled_from(["", "partially_paid", "unpaid"]),
        "is_test": st.booleans(),
        "buyer_ref": st.sampled_from([{}, {"wx_unionid": "o6_lin"}]),
        "refunds": refunds,
    },
)
arrivals = st.lists(st.tuples(snapshots, st.sampled_from(["api", "push", "file"])), min_size=1, max_size=8)


def an_order(values: dict[str, Any]) -> Order:
    return read_order({"channel": "pos", **values})


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Tables in memory; every example rolls back to them."""
    engine = create_engine("sqlite://")

    @event.listens_for(engine, "connect")
    def on_connect(dbapi: Any, record: Any) -> None:
        dbapi.isolation_level = None

    @event.listens_for(engine, "begin")
    def on_begin(conn: Connection) -> None:
        conn.exec_driver_sql("BEGIN")

    metadata.create_all(engine)
    yield engine
    engine.dispose()


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals=arrivals, batches=st.integers(1, 4), bound_by_hand=st.booleans())
def test_totals_equal_a_recount(
    engine: Engine, arrivals: list[tuple[dict[str, Any], Any]], batches: int, bound_by_hand: bool
) -> None:
    with engine.connect() as conn:
        person_id = add_person(conn, wx_unionid="o6_lin")
        for start in range(0, len(arrivals), batches):
            for values, route in arrivals[start : start + batches]:
                (saved,) = store.save_orders(conn, [an_order(values)], now=NOW, vault=VAULT, route=route)
                if bound_by_hand and saved.person_id is None:
                    binding.bind_order_manually(conn, saved.order_id, person_id, "zhangmin", NOW)
        row = conn.execute(select(person_stat).where(person_stat.c.person_id == person_id)).mappings().one_or_none()
        counted = running_totals.count_totals(conn, person_id)
        kept = {name: row[name] for name in counted} if row is not None else dict.fromkeys(counted, 0)
        nothing = {name: value or 0 for name, value in counted.items()}
        assert {name: value or 0 for name, value in kept.items()} == nothing
        conn.rollback()


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(4)), repeat=st.integers(0, 3))
def test_every_order_of_arrival_ends_alike(engine: Engine, order: list[int], repeat: int) -> None:
    story = [
        {"status": "pending_payment", "paid_fen": 0, "payable_fen": 900},
        {"status": "paid", "paid_fen": 900, "paid_at": (NOW + timedelta(minutes=1)).isoformat()},
        {"status": "shipped", "paid_fen": 900, "paid_at": (NOW + timedelta(minutes=1)).isoformat()},
        {"status": "completed", "paid_fen": 900, "paid_at": (NOW + timedelta(minutes=1)).isoformat()},
    ]
    with engine.connect() as conn:
        for index in [*order, order[repeat]]:
            told = {"order_no": "1", "ordered_at": NOW.isoformat(), "version": index + 1, **story[index]}
            store.save_orders(conn, [an_order(told)], now=NOW, vault=VAULT, route="api")
        (view,) = order_views.find_orders(conn, "pos", "1")
        assert (view.row["status"], view.row["paid_fen"]) == ("completed", 900)
        assert view.row["paid_at"] == NOW + timedelta(minutes=1)
        conn.rollback()
