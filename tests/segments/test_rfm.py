"""RFM, AIPL and life cycle on a real database, against what a reader of the rules would work out by hand."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import mean, median
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Connection, insert, select, update

from scrm.commerce import running_totals
from scrm.commerce.models import orders
from scrm.db import Database
from scrm.events import Event, event, publish
from scrm.profiles.models import person
from scrm.segments import audience, rfm_refresh, rfm_store
from scrm.segments.conditions import explain, holds
from scrm.segments.models import person_value, rfm_run
from scrm.segments.rfm import Cuts, Rules, score
from scrm.segments.stages import aipl_of, life_of
from scrm.settings import Rfm, Shop
from scrm.work.models import work_item

NOW = datetime(2026, 3, 10, 22, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


@pytest_asyncio.fixture
async def house(database_url: str) -> AsyncIterator[Any]:
    """What the computation reaches: a database, a clock, the settings."""
    database = Database(database_url)
    yield SimpleNamespace(db=database, clock=Clock(), settings=SimpleNamespace(rfm=Rfm(), shop=Shop(name="x")))
    await database.close()


NEVER = float("inf")
Bought = list[tuple[float, int, int]]  # days ago, paid and given back in fen


def add_buyers(conn: Connection, shop: list[Bought], *, now: datetime = NOW) -> list[int]:
    ids = []
    for number, bought in enumerate(shop):
        person_id = conn.execute(
            insert(person).values(name=f"客户{number}", created_at=now).returning(person.c.id)
        ).scalar_one()
        for place, (days, paid, given_back) in enumerate(bought):
            at = now - days * DAY
            row = {
                "channel": "t",
                "order_no": f"{person_id}-{place}-{now:%j}",
                "person_id": person_id,
                "status": "paid",
            }
            row |= {
                "payment_status": "paid",
                "paid_fen": paid,
                "refunded_fen": given_back,
                "ordered_at": at,
                "paid_at": at,
            }
            conn.execute(insert(orders).values(**row, first_seen_at=now, last_seen_at=now))
        running_totals.recount(conn, person_id)
        ids.append(person_id)
    return ids


def make_shop(seed: int, many: int = 60) -> list[Bought]:
    """Buyers of every kind: none, one order, many, old ones, refunds in part and in full, ties."""
    luck = random.Random(seed)
    shop = []
    for _ in range(many):
        bought: Bought = []
        for _ in range(luck.choice([0, 1, 1, 1, 2, 3, 4, 6])):
            paid = luck.choice([5_000, 10_000, 30_000, 99_900, 250_000])
            bought.append(
                (
                    luck.choice([1, 10, 30, 45, 89, 120, 200, 364, 366, 500]) + 0.5,
                    paid,
                    luck.choice([0, 0, 0, paid, paid // 2]),
                )
            )
        shop.append(bought)
    return shop


def kept_of(bought: Bought, period: float) -> tuple[int, int, float]:
    """By hand: orders with money left within the period, the money, days since the newest of all."""
    left = [(days, paid - back) for days, paid, back in bought if paid > back]
    within = [fen for days, fen in left if days <= period]
    return len(within), sum(within), min((days for days, _ in left), default=NEVER)


async def places(house: Any) -> dict[int, Any]:
    rows = await house.db.read(lambda conn: conn.execute(select(person_value)).all())
    return {row.person_id: row for row in rows}


async def moved(house: Any) -> list[tuple[int, str, str]]:
    rows = await house.db.read(
        lambda conn: conn.execute(select(event).where(event.c.name == "rfm.moved").order_by(event.c.id)).all()
    )
    return [(row.person_id, row.facts["from"], row.facts["to"]) for row in rows]


@pytest.mark.parametrize(("seed", "period"), [(1, 365), (2, 90)])
async def test_fixed_scores_are_those_of_a_reader_of_the_table(
    house: Any, seed: int, period: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rfm_refresh, "SLICE", 17)
    monkeypatch.setattr(rfm_refresh, "PIECE", 5)
    shop = make_shop(seed)
    ids = await house.db.write(add_buyers, shop)
    await house.db.write(rfm_store.save_rules, Rules(period_days=period), now=NOW, by="chenlan")
    assert await rfm_refresh.refresh(house) == 0
    found = await places(house)
    for person_id, bought in zip(ids, shop, strict=True):
        number, fen, days = kept_of(bought, period)
        if days == NEVER:
            assert person_id not in found or found[person_id].rfm == ""
            continue
        row = found[person_id]
        assert (row.orders, row.fen) == (number, fen)
        if number == 0:
            assert (row.r, row.f, row.m, row.rfm) == (0, 0, 0, "")
            continue
        r = 5 - sum(days > step for step in (30, 90, 180, 365))
        f = 1 + sum(number >= step for step in (2, 3, 5, 10))
        m = 1 + sum(fen >= step * 100 for step in (100, 300, 800, 2000))
        assert (row.r, row.f, row.m) == (r, f, m)
        assert row.rfm == "".join(str(int(each >= 3)) for each in (r, f, m))
    run = await house.db.read(rfm_store.find_run)
    buyers = [kept_of(bought, period) for bought in shop if kept_of(bought, period)[0]]
    assert run.buyers == len(buyers) == sum(cell["persons"] for cell in run.cells)
    assert run.fen == sum(fen for _, fen, _ in buyers) == sum(cell["fen"] for cell in run.cells)
    assert run.moves == []
    assert await moved(house) == []


@pytest.mark.parametrize("split", ["mean", "median"])
async def test_better_than_the_mean_or_the_middle_is_strict(house: Any, split: str) -> None:
    shop = make_shop(3, 80)
    ids = await house.db.write(add_buyers, shop)
    await house.db.write(rfm_store.save_rules, Rules(split=split), now=NOW, by="")
    await rfm_refresh.refresh(house)
    found = await places(house)
    by_hand = {person_id: kept_of(bought, 365) for person_id, bought in zip(ids, shop, strict=True)}
    buyers = {person_id: each for person_id, each in by_hand.items() if each[0]}
    middle = {"mean": mean, "median": median}[split]
    number, fen, days = (middle([each[place] for each in buyers.values()]) for place in range(3))
    for person_id, (own_number, own_fen, own_days) in buyers.items():
        expected = f"{int(own_days < days)}{int(own_number > number)}{int(own_fen > fen)}"
        assert found[person_id].rfm == expected, (person_id, split)


async def test_fifths_score_equal_values_equally_and_the_lowest_always_one(house: Any) -> None:
    shop = make_shop(4, 90)
    ids = await house.db.write(add_buyers, shop)
    await house.db.write(rfm_store.save_rules, Rules(scoring="quantile"), now=NOW, by="")
    await rfm_refresh.refresh(house)
    found = await places(house)
    buyers = {one: kept_of(bought, 365) for one, bought in zip(ids, shop, strict=True) if kept_of(bought, 365)[0]}
    values: dict[str, Callable[[tuple[int, int, float]], float]] = {
        "r": lambda each: -each[2],
        "f": lambda each: each[0],
        "m": lambda each: each[1],
    }
    for letter, value in values.items():
        ordered = sorted(value(each) for each in buyers.values())
        sizes = [len(ordered) // 5 + (place < len(ordered) % 5) for place in range(5)]
        ends = [ordered[sum(sizes[: place + 1]) - 1] for place in range(4)]
        for person_id, each in buyers.items():
            expected = 1 + sum(value(each) > end for end in ends)
            assert getattr(found[person_id], letter) == expected, (letter, person_id)
    assert min(row.f for row in found.values() if row.rfm) == 1


async def test_who_moves_is_told_of_once_and_a_new_yardstick_moves_nobody(house: Any) -> None:
    shop: list[Bought] = [[(5, 90_000, 0), (9, 90_000, 0), (15, 90_000, 0)], [(20, 5_000, 0)], [(20, 5_000, 0)]]
    one, two, three = await house.db.write(add_buyers, shop)
    await rfm_refresh.refresh(house)
    assert {person_id: row.rfm for person_id, row in (await places(house)).items()} == {
        one: "111",
        two: "100",
        three: "100",
    }
    house.clock.at += 200 * DAY

    def buy_more(conn: Connection) -> None:
        again = {"channel": "t", "order_no": "more", "person_id": two, "status": "paid"}
        again |= {"payment_status": "paid", "paid_fen": 80_000}
        at = house.clock.at - DAY
        conn.execute(insert(orders).values(**again, ordered_at=at, paid_at=at, first_seen_at=at, last_seen_at=at))
        running_totals.recount(conn, two)

    await house.db.write(buy_more)
    assert await rfm_refresh.refresh(house) == 3
    told = [
        (one, "重要价值客户", "重要保持客户"),
        (two, "一般发展客户", "重要发展客户"),
        (three, "一般发展客户", "一般挽留客户"),
    ]
    assert await moved(house) == told
    run = await house.db.read(rfm_store.find_run)
    assert {(each["from"], each["to"]): each["persons"] for each in run.moves} == {
        ("111", "011"): 1,
        ("100", "101"): 1,
        ("100", "000"): 1,
    }
    assert await rfm_refresh.refresh(house) == 0
    await house.db.write(rfm_store.save_rules, Rules(high=5), now=house.clock.at, by="chenlan")
    assert await rfm_refresh.refresh(house) == 0
    assert await moved(house) == told
    assert (await places(house))[two].rfm == "100"
    # Who has bought nothing for the whole period has left all classes; the shop's own names decide nothing.
    house.clock.at += 366 * DAY
    await house.db.write(rfm_store.save_rules, Rules(high=5, names={"111": "铁粉"}), now=house.clock.at, by="chenlan")
    assert await rfm_refresh.refresh(house) == 3
    assert (await moved(house))[-1] == (three, "一般挽留客户", "")


async def test_night_after_night_it_is_what_one_would_compute_from_nothing(house: Any) -> None:
    luck = random.Random(7)
    shop = make_shop(6, 40)
    ids = await house.db.write(add_buyers, shop)
    await rfm_refresh.refresh(house)

    def live(conn: Connection) -> None:
        """Somebody buys, somebody gives back a part, somebody looks at something."""
        now = house.clock.at
        buyer, giver, reader = luck.choice(ids), luck.choice(ids), luck.choice(ids)
        row = {"channel": "t", "order_no": f"later-{now:%j%H}", "person_id": buyer, "status": "paid", "paid_at": now}
        row |= {"payment_status": "paid", "paid_fen": 30_000, "ordered_at": now}
        conn.execute(insert(orders).values(**row, first_seen_at=now, last_seen_at=now))
        mine = select(orders.c.id).where(orders.c.person_id == giver).limit(1).scalar_subquery()
        conn.execute(update(orders).where(orders.c.id == mine).values(refunded_fen=orders.c.refunded_fen + 1))
        for person_id in (buyer, giver):
            running_totals.recount(conn, person_id)
        publish(conn, [Event("product.viewed", now, reader, once=f"v{now:%j}")], now=now)

    def plain(rows: dict[int, Any]) -> dict[int, tuple[Any, ...]]:
        return {one: tuple(row[:-1]) for one, row in rows.items() if row.orders or row.counted or row.aipl}

    for _ in range(8):
        house.clock.at += luck.choice([1, 2, 9, 31, 47]) * DAY
        await house.db.write(live)
        await rfm_refresh.refresh(house)
        grown = plain(await places(house))
        await house.db.write(lambda conn: conn.execute(person_value.delete()))
        await house.db.write(lambda conn: conn.execute(rfm_run.delete()))
        await rfm_refresh.refresh(house)
        assert plain(await places(house)) == grown


async def test_the_night_gives_the_work_once_a_day_and_changed_rules_at_once(house: Any) -> None:
    async def waiting() -> int:
        return len(await house.db.read(lambda conn: conn.execute(select(work_item)).all()))

    await rfm_refresh.tick(house)
    await rfm_refresh.tick(house)
    assert await waiting() == 1
    await house.db.write(lambda conn: conn.execute(work_item.delete()))
    await rfm_refresh.refresh(house)
    await rfm_refresh.tick(house)
    assert await waiting() == 0
    house.clock.at += timedelta(hours=20)  # two in the morning in Shanghai, of the next day
    await rfm_refresh.tick(house)
    assert await waiting() == 0
    house.clock.at += timedelta(hours=2)
    await rfm_refresh.tick(house)
    assert await waiting() == 1
    await house.db.write(lambda conn: conn.execute(work_item.delete()))
    await rfm_refresh.refresh(house)
    await house.db.write(rfm_store.save_rules, Rules(), now=house.clock.at + DAY / 24, by="")
    await rfm_refresh.tick(house)
    assert await waiting() == 1
    assert len(await house.db.read(lambda conn: conn.execute(select(rfm_run)).all())) == 2


async def test_stages_are_those_of_the_definition_and_conditions_find_them(house: Any) -> None:
    shop: list[Bought] = [
        [],  # known
        [],  # opened a radar page
        [(10, 100, 0)],  # new
        [(100, 100, 0)],  # one order, the usual cycle of 60 days: cooling
        [(40, 100, 0), (50, 100, 0), (60, 100, 0), (80, 100, 0)],  # own cycle of 10 days: lost after 30
        [(400, 100, 0)],  # lost, and out of the period
        [(31, 100, 0), (50, 100, 100), (90, 100, 0)],  # active; what was given back does not count
    ]
    ids = await house.db.write(add_buyers, shop)

    def open_page(conn: Connection) -> None:
        publish(conn, [Event("message.radar_opened", NOW - 3 * DAY, ids[1], once="r")], now=NOW)
        publish(conn, [Event("message.radar_opened", NOW - 16 * DAY, ids[0], once="r0")], now=NOW)

    await house.db.write(open_page)
    await rfm_refresh.refresh(house)
    stages = ["潜客", "潜客", "新客", "降温", "流失", "流失", "活跃"]
    aipl = ["认知（A）", "兴趣（I）", "购买（P）", "购买（P）", "忠诚（L）", "认知（A）", "忠诚（L）"]
    assert (await places(house))[ids[4]].cycle_days == 10

    def look(conn: Connection) -> None:
        for field, expected in (("life.stage", stages), ("life.aipl", aipl)):
            for wanted in sorted(set(expected)):
                those = [one for one, stage in zip(ids, expected, strict=True) if stage == wanted]
                others = [one for one in ids if one not in those]
                leaf = {"field": field, "op": "eq", "value": wanted}
                assert audience.list_ids(conn, leaf, NOW) == those, wanted
                assert [one for one in ids if holds(conn, leaf, one, NOW)] == those
                assert audience.list_ids(conn, {"not": leaf}, NOW) == others
                assert audience.list_ids(conn, {**leaf, "op": "ne"}, NOW) == others
                assert audience.list_ids(conn, {**leaf, "op": "not_in", "value": [wanted]}, NOW) == others
            both = {"field": field, "op": "in", "value": sorted(set(expected))[:2]}
            assert audience.list_ids(conn, both, NOW) == [
                one for one, stage in zip(ids, expected, strict=True) if stage in both["value"]
            ]
        told = explain(conn, {"field": "life.stage", "op": "eq", "value": "活跃"}, ids[3], NOW)[0]
        assert (told.words, told.found, told.holds) == ("生命周期 等于 活跃", "降温", False)

    await house.db.read(look)


def test_the_classic_table_of_stages() -> None:
    assert life_of(0, 0, 0, None) == ""
    assert [life_of(1, 100, days, None) for days in (60, 61, 120, 121, 180, 181)] == [
        "active",
        "cooling",
        "cooling",
        "sleeping",
        "sleeping",
        "lost",
    ]
    assert life_of(4, 30, 29, 1) == "new"
    assert life_of(2, 100, 80, 90) == "cooling"  # two orders have no cycle of their own
    assert life_of(3, 900, 366, 300) == "lost"
    assert aipl_of(0, is_interested=True, is_loyal=False) == "I"
    assert aipl_of(1, is_interested=True, is_loyal=False) == "P"
    assert aipl_of(1, is_interested=False, is_loyal=True) == "L"


def test_a_value_at_a_cut_has_not_passed_it() -> None:
    cuts = Cuts([10, 20, 30, 40], [1, 2, 4, 9], [100, 200, 300, 400], 3)
    assert score(cuts, 30, 2, 300) == (3, 2, 3, "101")
    assert score(cuts, 31, 3, 301) == (4, 3, 4, "111")
    assert Counter(score(replace(cuts, fences={"last_at": 30, "orders": 2, "fen": 100}), 30, 3, 101)) == Counter(
        [3, 3, 2, "011"]
    )
