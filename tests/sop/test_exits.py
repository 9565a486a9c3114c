"""Which events have to do with a run: those of its own order, product and live."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scrm.events import Event
from scrm.sop.exits import Run, concerns, goal_reached
from scrm.sop.schema import Goal, Playbook, Trigger
from scrm.sop.triggers import anchor_of

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("run_key", "value", "trigger", "name", "key", "facts", "expected"),
    [
        ("order", "A1", "order.paid", "refund.opened", "A1", {}, True),
        ("order", "A1", "order.paid", "refund.opened", "A2", {}, False),
        ("order", "A1", "custom.deposit", "custom.balance", "A1", {}, True),
        ("order", "A1", "custom.deposit", "custom.balance", "A2", {}, False),
        ("order", "A1", "order.paid", "custom.talked", "T7", {}, True),
        ("product", "12@S1", "stock.available", "order.paid", "A1", {"sku": "S1"}, True),
        ("product", "12@S1", "stock.available", "order.paid", "A1", {"sku": "S2", "skus": ["S2", "S1"]}, True),
        ("product", "12@S1", "stock.available", "order.paid", "A1", {"sku": "S2", "skus": ["S2"]}, False),
        ("product", "12@S1", "stock.available", "order.paid", "A1", {}, True),
        ("live", "12@L1", "live.booked", "live.moved", "L1", {}, True),
        ("live", "12@L1@2026-03-03T20:00", "live.moved", "live.moved", "L1", {}, True),
        ("live", "12@L1", "live.booked", "live.moved", "L2", {}, False),
        ("live", "12@L1@A", "live.moved", "live.moved", "L1", {"live_id": "L1@A"}, False),
        ("person", "12", "order.paid", "order.paid", "A2", {"sku": "S2"}, True),
    ],
)
def test_a_run_hears_of_its_own_order_product_and_live_only(
    run_key: str, value: str, trigger: str, name: str, key: str, facts: dict[str, Any], expected: bool
) -> None:
    playbook = Playbook("p", "试", Trigger(trigger), run_key, "per_key", ())
    run = Run(f"{run_key}:{value}#2", "lina", "wm1", 1, NOON)
    event = Event(name, NOON + timedelta(hours=1), 12, "wm1", "lina", key, facts, id=2)
    assert concerns(playbook, run, event) is expected


def test_an_own_event_may_say_when_what_it_tells_of_begins() -> None:
    said = {"starts_at": "2026-03-05T20:00:00+08:00"}
    assert (
        anchor_of(Event("custom.deposit_paid", NOON, 12, facts=said), SHANGHAI).isoformat().startswith("2026-03-05T20")
    )
    assert anchor_of(Event("order.paid", NOON, 12, facts=said), SHANGHAI) == NOON


def test_a_promise_counts_from_the_moment_it_is_due() -> None:
    said = {"due_at": "2026-03-05T16:00:00"}
    due = anchor_of(Event("staff.promised", NOON, 12, facts=said), SHANGHAI)
    assert due.isoformat() == "2026-03-05T16:00:00+08:00"
    assert anchor_of(Event("staff.promised", NOON, 12, facts={"due_at": "soon"}), SHANGHAI) == NOON


def test_a_goal_may_ask_what_its_event_says() -> None:
    run = Run("sku_family:12@S1", "lina", "wm1", 1, NOON)
    bought = Event("order.paid", NOON + timedelta(days=3), 12, facts={"sku": "S1"}, id=2)
    other = Event("order.paid", NOON + timedelta(days=2), 12, facts={"sku": "S2"}, id=3)
    assert goal_reached(Goal("order.paid", where={"sku": ("S1",)}), run, [other, bought]) is bought
    assert goal_reached(Goal("order.paid", where={"sku": ("S1",)}), run, [other]) is None


def test_a_goal_that_is_reached_too_late_is_not_this_runs() -> None:
    run = Run("person:12", "lina", "wm1", 1, NOON)
    goal = Goal("order.paid", timedelta(days=7))
    paid = [Event("order.paid", NOON + timedelta(days=days), 12, id=2) for days in (7, 7.01)]
    assert [goal_reached(goal, run, [each]) is each for each in paid] == [True, False]
