"""Words for states that nobody knows are counted once an order, and a manager's meaning goes before ours."""

from datetime import timedelta
from pathlib import Path

import pytest

from scrm.commerce import hours, restating, status_words
from scrm.commerce.canonical import Order, Refund
from scrm.commerce.connectors.status_words import MOST_WORDS, Seen
from scrm.commerce.files.import_orders import Counts, Into, import_orders
from scrm.commerce.order_views import find_orders
from scrm.commerce.store import save_orders
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.errors import Invalid
from tests.commerce.conftest import NOW
from tests.commerce.test_import_platforms import SHANGHAI
from tests.fakes.clock import FakeClock

HEADINGS = "订单编号,订单状态,下单时间,付款时间,实付金额,商品名称\n"


async def bring_in(db: Database, vault: Vault, path: Path) -> Counts:
    return await import_orders(Into(db, vault, FakeClock(), SHANGHAI, shop_key="s"), [path])


async def test_a_word_is_counted_until_it_is_mapped(db: Database, vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    rows = [f"A{place},待核单,2026-06-01,2026-06-01,88,茶\nA{place},待核单,,,,碗\n" for place in range(3)]
    path.write_text(
        HEADINGS + "".join(rows) + "B1,挂起,2026-06-01,,0,茶\nB2,已完成,2026-06-01,2026-06-01,5,茶\n", "utf-8"
    )
    counts = await bring_in(db, vault, path)
    assert counts.strange == {"待核单": Seen(3, "A0", "unknown"), "挂起": Seen(1, "B1", "unknown")}
    rows = await db.read(status_words.list_words)
    assert [(row.source, row.word, row.seen, row.order_no) for row in rows] == [
        ("file:generic", "待核单", 3, "A0"),
        ("file:generic", "挂起", 1, "B1"),
    ]
    await db.write(status_words.map_word, "file:generic", "待核单", "paid", by="boss", now=NOW)
    await db.write(status_words.map_word, "file:generic", "挂起", "closed", by="boss", now=NOW)
    again = await bring_in(db, vault, path)
    assert (again.strange, again.updated, again.unchanged) == ({}, 4, 1)
    assert await db.read(status_words.count_strange) == 0


async def test_live_orders_are_read_as_the_manager_says_and_never_guessed(db: Database) -> None:
    def order(no: str, word: str) -> Order:
        return Order(channel="mall", order_no=no, status="unknown", raw_status=word, paid_at=NOW)

    known = Order(channel="mall", order_no="C0", status="shipped", raw_status="待核单")
    orders = [order("C1", "待核单"), order("C2", "已弃"), order("C3", ""), known]
    await db.write(status_words.map_word, "mall", " 已弃 ", "closed", by="boss", now=NOW)
    await db.write(status_words.settle, "mall", orders, now=NOW)
    assert [one.status for one in orders] == ["unknown", "closed", "unknown", "shipped"]
    await db.write(status_words.settle, "mall", [order("C4", "待核单")], now=NOW + timedelta(hours=1))
    (first, second) = await db.read(status_words.list_words, ["mall"])
    assert (first.word, first.seen, first.order_no, first.last_at - first.first_at) == (
        "待核单",
        2,
        "C1",
        timedelta(hours=1),
    )
    assert (second.status, second.mapped_by) == ("closed", "boss")


async def test_a_column_of_nonsense_does_not_fill_the_table(db: Database) -> None:
    words = {f"词{number:04}": Seen(1, "D1", "unknown") for number in range(MOST_WORDS + 50)}
    await db.write(status_words.note, "file:jd", words, now=NOW)
    await db.write(status_words.note, "file:jd", words, now=NOW)
    rows = await db.read(status_words.list_words)
    assert (len(rows), {row.seen for row in rows}) == (MOST_WORDS, {2})


PDD = "商品,订单号,订单状态,用户实付金额(元),商品数量(件),支付时间,售后状态,样式ID\n"


async def test_words_for_after_sales_are_treated_the_same(db: Database, vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / "pdd.csv"
    row = "茶,260601-60000000000000{},已签收,88.00,1,2026-06-01 10:00:00,{},1\n"
    path.write_text(
        PDD + row.format(1, "平台判责中") + row.format(2, "无售后或售后取消") + row.format(3, "售后关闭"), "utf-8"
    )
    counts = await bring_in(db, vault, path)
    assert counts.strange == {"售后：平台判责中": Seen(1, "260601-600000000000001", "unknown")}
    (order,) = await db.read(find_orders, None, "260601-600000000000001")
    assert (order.row["aftersale_status"], order.row["refunded_fen"]) == ("none", 0), "nothing is guessed"
    with pytest.raises(Invalid):
        await db.write(status_words.map_word, "file:pdd", "售后：平台判责中", "shipped", by="boss", now=NOW)
    await db.write(status_words.map_word, "file:pdd", "售后：平台判责中", "refunded", by="boss", now=NOW)
    assert (await bring_in(db, vault, path)).strange == {}
    (order,) = await db.read(find_orders, None, "260601-600000000000001")
    assert (order.row["status"], order.row["refunded_fen"]) == ("closed", 8800)


async def test_live_after_sales_are_read_as_the_manager_says(db: Database) -> None:
    case = Refund(refund_no="R1", status="unknown", raw_status="PLATFORM_JUDGE")
    order = Order(channel="mall", order_no="C1", status="paid", refunds=[case])
    await db.write(status_words.settle, "mall", [order], now=NOW)
    (row,) = await db.read(status_words.list_words, ["mall"])
    assert (row.word, row.seen, case.status) == ("售后：PLATFORM_JUDGE", 1, "unknown")
    await db.write(status_words.map_word, "mall", row.word, "refunding", by="boss", now=NOW)
    await db.write(status_words.settle, "mall", [order], now=NOW)
    assert case.status == "refunding"


async def test_orders_that_are_kept_are_read_again_when_the_word_is_mapped(
    db: Database, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the same file would be: one order a transaction here, so that several are needed."""
    monkeypatch.setattr(restating, "CHUNK", 1)
    path = tmp_path / "pdd.csv"
    row = "茶,260601-60000000000000{},{},88.00,1,{},{},1\n"
    text = (
        PDD
        + row.format(1, "待核单", "", "")
        + row.format(2, "待核单", "2026-06-01 10:00:00", "")
        + row.format(3, "已签收", "2026-06-01 10:00:00", "平台判责中")
        + row.format(4, "已签收", "2026-06-01 10:00:00", "平台判责中")
    )
    path.write_text(text, "utf-8")
    await bring_in(db, vault, path)
    live = Order(channel="pdd", order_no="L1", status="unknown", raw_status="待核单", ordered_at=NOW)
    await db.write(save_orders, [live], now=NOW, vault=vault, route="push")
    for word, status in (("待核单", "paid"), ("售后：平台判责中", "refunded")):
        await db.write(status_words.map_word, "file:pdd", word, status, by="boss", now=NOW)
    assert await db.read(restating.count_left) == 4
    for word in ("待核单", "售后：平台判责中"):
        while await db.write(restating.restate, "file:pdd", word, now=NOW):
            pass
    assert await db.read(restating.count_left) == 0
    kept = {no: (await db.read(find_orders, None, f"260601-60000000000000{no}"))[0] for no in (1, 2, 3, 4)}
    stood = {no: (one.row["status"], one.row["paid_fen"], one.row["refunded_fen"]) for no, one in kept.items()}
    assert stood == {1: ("paid", 8800, 0), 2: ("paid", 8800, 0), 3: ("closed", 8800, 8800), 4: ("closed", 8800, 8800)}
    assert kept[3].row["payment_status"] == "refunded"
    assert (await db.read(find_orders, None, "L1"))[0].row["status"] == "unknown", "another source's word"
    assert await db.write(hours.recount) == 0
    again = await bring_in(db, vault, path)
    assert (again.updated, again.unchanged) == (0, 4), "the file says nothing new then"


async def test_a_word_that_two_sources_mean_differently_changes_nothing_that_is_kept(
    db: Database, vault: Vault
) -> None:
    order = Order(channel="mall", order_no="L2", status="unknown", raw_status="挂起", ordered_at=NOW)
    await db.write(save_orders, [order], now=NOW, vault=vault, route="push")
    for source, status in (("mall", "paid"), ("till", "closed")):
        await db.write(status_words.map_word, source, "挂起", status, by="boss", now=NOW)
    assert await db.write(restating.restate, "mall", "挂起", now=NOW) == 0
    await db.write(status_words.map_word, "till", "挂起", "paid", by="boss", now=NOW)
    assert await db.write(restating.restate, "mall", "挂起", now=NOW) == 1
    (kept,) = await db.read(find_orders, None, "L2")
    assert kept.row["status"] == "paid"


async def test_a_word_that_came_when_the_order_had_a_state_already_takes_it_on_once_it_is_mapped(
    db: Database, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the same file would, and never back: what has gone on or ended meanwhile stays."""
    monkeypatch.setattr(restating, "STRIDE", 2)
    path = tmp_path / "orders.csv"

    async def say(*words: str) -> None:
        rows = [f"A{no},{word},2026-06-01,2026-06-01,88,茶\n" for no, word in enumerate(words)]
        path.write_text(HEADINGS + "".join(rows), "utf-8")
        await bring_in(db, vault, path)

    await say("待发货", "已完成", "待发货", "交易关闭", "待发货")
    await say("在途", "在途", "在途", "在途", "待发货")
    await say("在途", "在途", "已完成", "在途", "待发货")
    await db.write(status_words.map_word, "file:generic", "在途", "shipped", by="boss", now=NOW)
    after: int | None = 0
    while after is not None:
        after, ids = await db.read(restating.find_later, "file:generic", "在途", after)
        await db.write(restating.raise_later, "file:generic", "在途", ids, now=NOW)
    kept = [(await db.read(find_orders, None, f"A{no}"))[0].row["status"] for no in range(5)]
    assert kept == ["shipped", "completed", "completed", "closed", "paid"]
    assert await db.write(hours.recount) == 0
