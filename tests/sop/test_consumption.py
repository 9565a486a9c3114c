"""When goods are used up: one's own gaps between orders, then everybody's, then what the author says."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from scrm.commerce.models import order_line, orders
from scrm.profiles.models import person
from scrm.sop.calendar import consumption_store
from scrm.sop.calendar.consumption import Bought, choose, gaps
from scrm.sop.calendar.tables import consumption_cycle
from scrm.sop.results.tables import entry_note
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import PlaybookErrors
from tests.sop.shop import Shop, Trigger, at, playbook_of, step

DAY = timedelta(days=1)
MARCH = date(2026, 3, 1)


def test_a_gap_is_days_a_piece_and_what_is_bought_on_one_day_is_bought_at_once() -> None:
    days = [(1, 0, 1), (1, 30, 2), (1, 30, 1), (1, 120, 1), (2, 5, 3), (3, 0, 1), (3, 0, 1)]
    assert gaps([Bought(who, MARCH + day * DAY, qty) for who, day, qty in days]) == [30.0, 30.0]


@pytest.mark.parametrize(
    ("orders_of_own", "of_all", "days", "words"),
    [
        (3, (50.0, 900), 20.0, "客户自己的复购间隔（3 次购买）"),
        (2, (50.0, 900), 50.0, "本店的复购间隔（900 次复购的中位数）"),
        (2, (50.0, 49), 30.0, "剧本里写的周期，数据还不够"),
        (0, None, 30.0, "剧本里写的周期，数据还不够"),
        (0, (0.2, 50), 1.0, "本店的复购间隔（50 次复购的中位数）"),
    ],
)
def test_ones_own_rhythm_counts_before_everybodys_and_that_before_the_authors_word(
    orders_of_own: int, of_all: tuple[float, int] | None, days: float, words: str
) -> None:
    own = [Bought(1, MARCH + 20 * number * DAY, 1) for number in range(orders_of_own)]
    assert choose(own, of_all, 30 * DAY) == (days, words)


def _buy(conn: Connection, person_id: int, number: int, moment: datetime, **line: Any) -> None:
    order = {
        "channel": "mall",
        "shop_key": "main",
        "order_no": f"{person_id}-{number}",
        "status": "completed",
        "payment_status": "paid",
        "person_id": person_id,
        "paid_fen": 100,
        "paid_at": moment,
        "ordered_at": moment,
        "first_seen_at": moment,
        "last_seen_at": moment,
    }
    order_id = conn.execute(insert(orders).values(**order).returning(orders.c.id)).scalar_one()
    values = {"order_id": order_id, "line_key": "1", "merchant_sku": "M50", "title": "面霜", "qty": 1, **line}
    conn.execute(insert(order_line).values(**values))


async def test_a_shop_with_regulars_reminds_by_its_median_and_says_so(shop: Shop) -> None:
    used_up = Trigger("order.delivered", {"sku": ("M50",)}, anchor="used_up", cycle=30 * DAY)
    await shop.run(playbook_of(step("left", "D-7 10:00-11:00"), trigger=used_up, run_key="sku_family"))

    def fill(conn: Connection) -> None:
        """Sixty buyers came again after 40 days; gifts, other goods and what was given back say nothing."""
        begun = datetime(2025, 9, 1, 4, tzinfo=UTC)
        for number in range(60):
            made = conn.execute(insert(person).values(name="", created_at=begun).returning(person.c.id)).scalar_one()
            _buy(conn, made, 1, begun)
            _buy(conn, made, 2, begun + 40 * DAY)
            other = {"is_gift": True} if number % 3 == 0 else {"merchant_sku": "X"} if number % 3 else {}
            _buy(conn, made, 3, begun + 45 * DAY, **(other or {"refunded_qty": 1}))

    await shop.services.db.write(fill)
    assert await consumption_store.tick(shop.services) == 1
    assert await consumption_store.tick(shop.services) == 0  # known for a day
    assert [(row.days, row.samples) for row in await shop.rows(consumption_cycle)] == [(40.0, 60)]
    who = await shop.meet()
    await shop.happens("order.delivered", who, key="mall/main/9", facts={"sku": "M50", "qty": 2})
    (run,) = await shop.runs()
    assert run.anchor_at == at("05-21 00:00")  # 80 days after March 2
    assert at("05-14 10:00") <= run.due_at <= at("05-14 11:00")
    (note,) = await shop.rows(entry_note)
    assert note.leaves == [
        ["预计用完的日子", "2026年5月21日（40 天 × 2 件，本店的复购间隔（60 次复购的中位数））", True]
    ]


TEXT = """\
playbook: refill
title: 补货
trigger: {event: order.delivered, where: {sku: [M50]}, anchor: used_up, cycle: 30d}
run_key: sku_family
reentry: {every: 5d}
exit_if: none
goal: none
steps:
  - {id: left, at: D-7, channel: T, late: drop, ttl: 4h, content: {text: 还剩多少？}}
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("cycle: 30d", "cycle: 30 days", "第 3 行"),
        (", cycle: 30d", "", "第 3 行：按用完的日子算，缺少 cycle"),
        (", where: {sku: [M50]}", "", "where 里要写 sku"),
        ("anchor: used_up", "anchor: bought", "trigger 的 anchor 只能是 used_up"),
        ("order.delivered", "contact.added", "只能和 order.* 一起用"),
    ],
)
def test_what_lasts_is_named_by_its_codes_and_has_a_usual_time(old: str, new: str, words: str) -> None:
    assert parse_playbook(TEXT, file_name="r").trigger.cycle == 30 * DAY
    with pytest.raises(PlaybookErrors) as refused:
        parse_playbook(TEXT.replace(old, new), file_name="r")
    assert words in str(refused.value)
