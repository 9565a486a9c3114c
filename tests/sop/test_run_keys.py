"""Run keys: what makes two runs the same, and that no edit of a playbook lets a second one in."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.errors import ScrmError
from scrm.events import Event
from scrm.sop import run_keys
from scrm.sop.run_keys import LastRun, run_key
from tests.sop.shop import Shop, at, playbook_of, step

START = at("03-02 10:00")
ORDER = Event("order.paid", START, person_id=12, key="taobao/shop/123", facts={"sku": "M1", "product_id": "P1"})
LATE = replace(ORDER, occurred_at=at("12-31 23:59"))


@pytest.mark.parametrize(
    ("kind", "event", "key"),
    [
        ("person", ORDER, "person:12"),
        ("order", ORDER, "order:taobao/shop/123"),
        ("parcel", ORDER, "parcel:taobao/shop/123"),
        ("product", ORDER, "product:12@M1"),
        ("sku_family", ORDER, "sku_family:12@P1"),
        ("person+year", LATE, "person+year:12@2026"),
        ("person+year", replace(LATE, occurred_at=LATE.occurred_at + timedelta(minutes=1)), "person+year:12@2027"),
        ("person+year", replace(ORDER, facts={"year": 2024}), "person+year:12@2024"),
        ("case", replace(ORDER, facts={"refund_no": "r9"}), "case:taobao/shop/123/r9"),
        ("coupon", Event("coupon.issued", START, 12, key="31", facts={"batch": "new72h"}), "coupon:31"),
        ("batch", Event("coupon.issued", START, 12, key="31", facts={"batch": "new72h"}), "batch:12@new72h"),
        ("live", Event("live.booked", START, 12, key="L1"), "live:12@L1"),
        ("live", Event("live.booked", START, 12, key="a#2"), "live:12@a＃2"),
    ],
)
def test_a_key_says_what_the_run_is_about(kind: str, event: Event, key: str) -> None:
    assert run_key(playbook_of(run_key=kind), event) == key
    assert kind in run_keys.TITLES


@pytest.mark.parametrize("kind", ["order", "product", "live", "case"])
def test_an_event_without_the_number_begins_nothing(kind: str) -> None:
    with pytest.raises(ScrmError, match="没有这个编号"):
        run_key(playbook_of(run_key=kind), replace(ORDER, key="", facts={}))


@given(st.lists(st.integers(0, 80), min_size=1, max_size=12), st.sampled_from(["person", "order", "person+year"]))
def test_with_a_pause_between_runs_none_begins_within_it(gaps: list[int], kind: str) -> None:
    """Whatever the events: within 30 days of the last run the key is that run's, and later a new one."""
    playbook = playbook_of(run_key=kind, reentry="every", reentry_every=timedelta(days=30))
    taken: dict[str, Any] = {}
    last, moment = None, START
    for gap in gaps:
        moment += timedelta(days=gap)
        key = run_key(playbook, replace(ORDER, occurred_at=moment), last)
        if key not in taken:
            assert last is None or moment >= last.enrolled_at + timedelta(days=30)
            taken[key] = moment
            last = LastRun(key, moment, False)
        else:
            assert last is not None
            assert key == last.run_key


def test_a_run_that_goes_on_is_not_joined_by_a_second() -> None:
    playbook = playbook_of(reentry="every", reentry_every=timedelta(days=30))
    later = replace(ORDER, occurred_at=START + timedelta(days=99))
    assert run_key(playbook, later, LastRun("person:12#4", START, True)) == "person:12#4"
    assert run_key(playbook, later, LastRun("person:12#4", START, False)) == "person:12#5"


@pytest.mark.parametrize(
    ("key", "moved"),
    [
        ("person:7", "person:5"),
        ("person:7#3", "person:5#3"),
        ("person:77", "person:77"),
        ("person+year:7@2026#2", "person+year:5@2026#2"),
        ("live:7@7", "live:5@7"),
        ("order:7", "order:7"),
        ("person:7~9", "person:7~9"),
        ("batch:8@7", "batch:8@7"),
    ],
)
def test_the_key_of_a_run_goes_with_its_person(key: str, moved: str) -> None:
    assert run_keys.moved(key, 7, 5) == moved


async def test_no_edit_of_the_rules_lets_a_second_run_in(shop: Shop) -> None:
    """Leave and return, every and never and back: only the days that the rule names let somebody in again."""
    every = {"reentry": "every", "reentry_every": timedelta(days=30)}
    act = step("note", "T0", "X", act=({"set": {"stage": "新客"}},))
    await shop.run(playbook_of(act, **every))
    who = await shop.add()
    await shop.settle()

    async def again(**rules: Any) -> list[str]:
        published = playbook_of(act, version=(version := rules.pop("version")), **rules)
        assert version
        await shop.run(published)
        await shop.happens("contact.added", who)
        await shop.settle()
        return [run.run_key for run in await shop.runs()]

    first = f"person:{who.person_id}#1"
    assert await again(version=2, reentry="never") == [first]
    assert await again(version=3, reentry="per_key") == [first]
    assert await again(version=4, **every) == [first]
    shop.clock.advance(days=31)
    assert await again(version=5, reentry="never") == [first]
    assert await again(version=6, **every) == [first, f"person:{who.person_id}#2"]
    await shop.lose(who)
    assert len(await again(version=7, **every)) == 2
