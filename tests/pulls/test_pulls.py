"""Sources that are asked: pages, windows, pieces of orders, and what happens when they stumble."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from scrm.commerce import order_views
from scrm.commerce import store as order_store
from scrm.commerce.connectors.jushuitan import Jushuitan
from scrm.commerce.pulls import run, store
from scrm.commerce.pulls.kinds import open_pulls, pulls_of
from scrm.errors import WrongUse
from tests.fakes.erp import local
from tests.pulls.conftest import Mill, ago
from tests.world import make_settings

ORDERS = "/open/orders/single/query"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


def jst_order(o_id: int, at: datetime, *, ts: int, so_id: str = "", status: str = "WaitConfirm", **more: Any) -> Any:
    item = {"oi_id": o_id * 10, "sku_id": f"SKU{o_id}", "name": "面霜", "qty": 1, "price": "128.00", "amount": "128.00"}
    return {
        "o_id": o_id,
        "so_id": so_id or f"32000000000000{o_id:05d}",
        "shop_id": 10001,
        "shop_site": "淘宝天猫",
        "status": status,
        "pay_amount": "128.00",
        "paid_amount": "128.00",
        "order_date": local(at),
        "pay_date": local(at),
        "modified": local(at),
        "ts": ts,
        "items": [item],
        **more,
    }


async def test_every_order_of_every_page_arrives_and_is_asked_for_once(mill: Mill) -> None:
    at = ago(mill.clock, days=2)
    mill.jst.records[ORDERS] = [jst_order(number, at, ts=number) for number in range(1, 121)]
    await mill.pull()
    cursor = await mill.cursor("jst", "orders")
    assert (cursor.error, cursor.version, cursor.counts["created"]) == ("", 120, 120)
    view = await mill.order("3200000000000000007")
    assert (view.row["channel"], view.row["shop_key"], view.row["paid_fen"]) == ("taobao", "qingyu", 12800)
    # From now on by row version: one call, and only what is newer.
    mill.jst.calls.clear()
    now = mill.clock.now()
    mill.jst.records[ORDERS] += [jst_order(7, now, ts=121, status="Sent", l_id="SF1", send_date=local(now))]
    await mill.pull()
    assert [biz.get("start_ts") for path, biz in mill.jst.calls if path == ORDERS] == [120]
    view = await mill.order("3200000000000000007")
    assert (view.row["status"], view.shipments[0]["tracking_no"]) == ("shipped", "SF1")


async def test_two_orders_in_one_parcel_keep_their_own_money(mill: Mill) -> None:
    at = ago(mill.clock, hours=1)
    first, second = jst_order(1, at, ts=1, so_id="S1"), jst_order(2, at, ts=2, so_id="S2", pay_amount="50.00")
    mill.jst.records[ORDERS] = [first, second]
    await mill.pull()
    items = [
        {"oi_id": 10, "sku_id": "SKU1", "qty": 1, "amount": "128.00", "raw_so_id": "S1"},
        {"oi_id": 20, "sku_id": "SKU2", "qty": 1, "amount": "50.00", "raw_so_id": "S2"},
    ]
    now = mill.clock.now()
    joined = jst_order(1, now, ts=4, so_id="S1", items=items, pay_amount="178.00", paid_amount="178.00", status="Sent")
    mill.jst.records[ORDERS] = [{**second, "status": "Merged", "ts": 3}, {**joined, "l_id": "SF1", "merge_so_id": "S2"}]
    await mill.pull()
    for number, paid_fen in (("S1", 12800), ("S2", 5000)):
        view = await mill.order(number)
        assert (view.row["status"], view.row["paid_fen"], view.shipments[0]["tracking_no"]) == (
            "shipped",
            paid_fen,
            "SF1",
        )


async def test_what_happened_before_a_source_was_known_starts_nothing(mill: Mill) -> None:
    person_id = await mill.know("oUnion")
    yesterday = ago(mill.clock, hours=20).isoformat()
    mill.shop.orders = [
        {
            "order_no": "M1",
            "status": "paid",
            "paid_fen": 9900,
            "ordered_at": yesterday,
            "paid_at": yesterday,
            "platform_updated_at": yesterday,
            "buyer_ref": {"wx_unionid": "oUnion"},
        }
    ]
    await mill.pull()
    assert (await mill.order("M1")).row["person_id"] == person_id
    assert await mill.events() == [("order.paid", True)]
    now = mill.clock.now().isoformat()
    mill.shop.orders = [{**mill.shop.orders[0], "status": "shipped", "shipped_at": now, "platform_updated_at": now}]
    await mill.pull()
    await mill.pull()
    assert await mill.events() == [("order.paid", True), ("order.shipped", False)]


async def test_a_record_that_cannot_be_read_is_kept_and_read_again_after_a_fix(mill: Mill) -> None:
    at = ago(mill.clock, hours=1)
    mill.jst.records[ORDERS] = [
        jst_order(1, at, ts=1),
        jst_order(2, at, ts=2, pay_amount="一百", receiver_name="林晓晓"),
    ]
    await mill.pull()
    assert (await mill.order("3200000000000000001")).row["status"] == "paid"
    (reject,) = await mill.services.db.read(store.list_rejects)
    assert reject.record_key == "2"
    assert "应为金额，收到 一百" in reject.reason
    (sealed,) = await mill.services.db.read(store.list_sealed, "jst")
    assert "林晓晓" not in sealed.sealed
    # The source mends it.
    mill.jst.records[ORDERS] = [jst_order(2, mill.clock.now(), ts=3)]
    await mill.pull()
    assert await mill.services.db.read(store.list_rejects) == []


async def test_one_broken_record_of_a_page_stops_no_other(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    at = ago(mill.clock, hours=1)
    broken = {2: {"shop_buyer_id": "小满\ud83d"}, 3: {"end_time": "0001-01-01T00:00:00"}}
    mill.jst.records[ORDERS] = [jst_order(number, at, ts=number, **broken.get(number, {})) for number in range(1, 51)]
    mill.jst.records[ORDERS][5]["items"][0]["qty"] = "9" * 5000
    reads, saves = Jushuitan.read, order_store.save_orders

    def read(self: Jushuitan, stream: str, record: Any, zone: Any) -> Any:
        assert record.get("o_id") != 4
        return reads(self, stream, record, zone)

    def save(conn: Any, batch: Any, **how: Any) -> Any:
        if any(order.order_no.endswith("00005") for order in batch):
            raise ValueError("the phone is 13800138000")
        return saves(conn, batch, **how)

    monkeypatch.setattr(Jushuitan, "read", read)
    monkeypatch.setattr(order_store, "save_orders", save)
    await mill.pull()
    cursor = await mill.cursor("jst", "orders")
    assert (cursor.error, cursor.counts["created"], cursor.counts["unreadable"]) == ("", 47, 3)
    rejects = {row.record_key: row.reason for row in await mill.services.db.read(store.list_rejects)}
    assert sorted(rejects) == ["4", "5", "6"]
    assert "138" not in "".join(rejects.values())
    monkeypatch.undo()
    await mill.services.db.write(run.ask_replay, pulls_of(mill.services), "jst", now=mill.clock.now())
    await mill.services.worker.drain()
    assert [row.record_key for row in await mill.services.db.read(store.list_rejects)] == ["6"]
    assert (await mill.order("3200000000000000005")).row["status"] == "paid"


async def test_history_that_is_read_late_or_in_pieces_starts_nothing(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mill.know("oUnion")
    told = {"status": "paid", "paid_fen": 9900, "buyer_ref": {"wx_unionid": "oUnion"}}
    yesterday = {name: ago(mill.clock, hours=20).isoformat() for name in ("paid_at", "platform_updated_at")}
    mill.shop.orders = [{"order_no": "M1", **told, **yesterday}]
    mill.jst.records[ORDERS] = [
        jst_order(1, ago(mill.clock, days=2.5), ts=1, so_id="S1"),
        jst_order(2, ago(mill.clock, hours=20), ts=2, so_id="S2"),
    ]
    mill.shop.is_down = True
    monkeypatch.setattr(run, "TURN", timedelta(0))
    await mill.pull()
    now = mill.clock.now().isoformat()
    mill.shop.orders += [{"order_no": "M2", **told, "paid_at": now, "platform_updated_at": now}]
    mill.shop.is_down = False
    await mill.pull(hours=1)
    monkeypatch.undo()
    await mill.pull(hours=1)
    await mill.pull(hours=1)
    assert sorted(await mill.events()) == [("order.created", False), ("order.paid", False), ("order.paid", True)]
    assert (await mill.cursor("jst", "orders")).version == 2
    rows = {number: (await mill.order(number)).row["route"] for number in ("S1", "S2", "M1", "M2")}
    assert rows == {"S1": "file", "S2": "file", "M1": "file", "M2": "api"}


async def test_what_a_source_told_late_is_found_at_night(mill: Mill) -> None:
    mill.jst.records[ORDERS] = [jst_order(1, ago(mill.clock, minutes=30), ts=10)]
    await mill.pull()
    late = ago(mill.clock, hours=2)
    mill.jst.records[ORDERS] += [jst_order(2, late, ts=9)]
    mill.shop.orders = [{"order_no": "M1", "status": "paid", "platform_updated_at": late.isoformat()}]
    await mill.pull()
    assert await mill.services.db.read(order_views.find_orders, None, "M1") == []
    mill.shop.goes_round = True  # what is new is not kept waiting by what cannot be read again
    await mill.pull(hours=24)
    assert (await mill.order("3200000000000000002")).row["status"] == "paid"
    assert (await mill.order("M1")).row["status"] == "paid"
    assert (await mill.cursor("mall", "orders")).error == ""
    mill.jst.calls.clear()
    await mill.pull()
    assert [biz.get("start_ts") for path, biz in mill.jst.calls if path == ORDERS] == [10]


async def test_fifteen_days_are_read_once_more_at_night_in_turns_and_a_day_each_hour(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mill.pull()
    await mill.pull(days=20)  # there is something to look back at
    monkeypatch.setattr(run, "TURN", timedelta(0))
    mill.jst.calls.clear()
    mill.jst.records[ORDERS] = [
        jst_order(days, ago(mill.clock, days=days), ts=days, so_id=f"S{days}") for days in (1, 13)
    ]
    await mill.pull(hours=24)
    for _ in range(3):
        await mill.pull(minutes=1)
    assert (await mill.cursor("jst", "orders")).review_until is not None
    assert (await mill.order("S1")).row["status"] == "paid"
    assert await mill.services.db.read(order_views.find_orders, None, "S13") == []
    for _ in range(16):
        await mill.pull(minutes=1)
    assert (await mill.order("S13")).row["status"] == "paid"
    assert (await mill.cursor("jst", "orders")).review_until is None
    asked = [biz["modified_begin"][:10] for path, biz in mill.jst.calls if path == ORDERS and "modified_begin" in biz]
    older = [day for day in asked if day < f"{ago(mill.clock, days=2):%Y-%m-%d}"]
    assert older == sorted(set(older), reverse=True)  # each day once, the newest first
    assert len(older) >= 12
    # And what a source told late in the day, within the hour.
    mill.shop.orders += [
        {"order_no": "M0", "status": "paid", "platform_updated_at": ago(mill.clock, hours=3).isoformat()}
    ]
    await mill.pull(hours=1)
    assert (await mill.order("M0")).row["status"] == "paid"


async def test_what_stands_open_for_longer_is_asked_for_by_its_number_at_night(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "NIGHTLY", timedelta(hours=2))
    await mill.pull()
    at = mill.clock.now()
    mill.jst.records[ORDERS] = [jst_order(number, at, ts=number, so_id=f"S{number}") for number in (1, 2)]
    trade = {"src_tids": "T1", "trade_no": "W1", "trade_status": "30", "shop_no": "1", "paid": "66.0000"}
    mill.wdt.trades = [{**trade, "trade_time": local(at), "pay_time": local(at), "modified": local(at)}]
    await mill.pull()
    await mill.pull(hours=12)
    assert (await mill.order("T1")).row["status"] == "paid"
    # Both are shipped, and nobody tells of a change.
    mill.jst.records[ORDERS][0] |= {"status": "Sent", "l_id": "SF1"}
    mill.wdt.trades[0] |= {"trade_status": "95", "logistics_no": "YT1", "modified": local(at + timedelta(minutes=1))}
    await mill.pull(hours=6)
    assert (await mill.order("S1")).row["status"] == "shipped"
    assert (await mill.order("T1")).row["status"] == "shipped"
    asked = [biz["so_ids"] for path, biz in mill.jst.calls if path == ORDERS and "so_ids" in biz]
    assert [sorted(numbers) for numbers in asked] == [["S1", "S2"]]
    mill.jst.calls.clear()
    await mill.pull(days=1)
    assert [biz["so_ids"] for path, biz in mill.jst.calls if path == ORDERS and "so_ids" in biz] == [["S2"]]


async def test_a_token_that_another_process_renewed_is_taken(mill: Mill) -> None:
    await mill.pull()
    here = mill.services.memory.pop(run.Callers)
    mill.jst.token = "tok-other"
    await mill.pull()  # by another process
    mill.services.memory[run.Callers] = here
    renewed = mill.jst.refresh
    await mill.pull()
    assert ((await mill.cursor("jst", "orders")).error, mill.jst.refresh) == ("", renewed)
    there = mill.services.memory.pop(run.Callers)
    mill.jst.token = "tok-ended"
    await mill.pull()
    mill.services.memory[run.Callers] = there
    mill.jst.token = "tok-ended-again"
    await mill.pull()
    assert (await mill.cursor("jst", "orders")).error == ""


async def test_a_source_that_is_asked_too_often_is_left_alone_for_a_while(mill: Mill) -> None:
    mill.jst.records[ORDERS] = [jst_order(1, ago(mill.clock, hours=1), ts=1)]
    mill.jst.too_often = 2
    await mill.pull()
    assert (await mill.cursor("jst", "orders")).error == ""
    assert (await mill.order("3200000000000000001")).row["status"] == "paid"


async def test_pages_that_go_round_in_a_circle_come_to_an_end(mill: Mill) -> None:
    at = ago(mill.clock, hours=1).isoformat()
    mill.shop.orders = [{"order_no": f"M{number}", "status": "paid", "platform_updated_at": at} for number in range(4)]
    mill.shop.goes_round = True
    await mill.pull()
    assert "两次给出同一个 next_cursor" in (await mill.cursor("mall", "orders")).error


async def test_a_token_that_has_ended_is_renewed_and_remembered(mill: Mill) -> None:
    await mill.pull()
    mill.jst.token = "tok-other"
    mill.jst.records[ORDERS] = [jst_order(1, mill.clock.now(), ts=1)]
    await mill.pull()
    assert (await mill.cursor("jst", "orders")).error == ""
    mill.services.memory.pop(run.Callers)  # another process
    mill.jst.calls.clear()
    await mill.pull()
    assert (await mill.cursor("jst", "orders")).error == ""
    assert mill.jst.token == "tok-other2"


async def test_a_source_in_trouble_is_asked_again_later_and_loses_nothing(mill: Mill) -> None:
    mill.jst.records[ORDERS] = [jst_order(1, ago(mill.clock, hours=1), ts=1)]
    mill.jst.failures = 9  # three tries for each of three streams
    await mill.pull()
    cursor = await mill.cursor("jst", "orders")
    assert (cursor.failures, cursor.reached_at) == (1, None)
    assert "HTTP 502" in cursor.error
    await mill.pull(seconds=30)
    assert (await mill.cursor("jst", "orders")).failures == 1  # not yet
    await mill.pull(minutes=2)
    assert (await mill.cursor("jst", "orders")).failures == 0
    assert (await mill.order("3200000000000000001")).row["status"] == "paid"


async def test_a_wrong_secret_is_told_and_not_tried_every_minute(mill: Mill) -> None:
    mill.jst.SECRET = "another"  # type: ignore[misc]
    await mill.pull()
    cursor = await mill.cursor("jst", "orders")
    assert "签名错误" in cursor.error
    assert "app_secret" in cursor.error
    assert (cursor.due_at - cursor.ended_at).total_seconds() == 1800


async def test_wangdiantong_is_read_from_the_last_page_in_hours(mill: Mill) -> None:
    await mill.pull()
    now = mill.clock.now()
    mill.wdt.trades = [
        {
            "trade_no": f"JY{number}",
            "src_tids": f"T{number}",
            "shop_no": "pos1",
            "platform_id": 0,
            "trade_status": 95,
            "receivable": "66.00",
            "paid": "66.00",
            "trade_time": local(now),
            "pay_time": local(now),
            "modified": local(now),
            "logistics_no": f"YT{number}",
            "goods_list": [{"rec_id": number, "src_tid": f"T{number}", "num": "1.0000", "share_amount": "66.0000"}],
        }
        for number in range(250)
    ]
    mill.wdt.pages.clear()
    await mill.pull(hours=3)
    assert (await mill.cursor("wdt", "trades")).error == ""
    assert [page for name, page in mill.wdt.pages if name == "trade_query.php" and page] == [2, 1]
    view = await mill.order("T249")
    assert (view.row["channel"], view.row["status"], view.row["paid_fen"]) == ("wdt", "shipped", 6600)


async def test_only_one_process_leaves_the_work_and_a_second_press_changes_nothing(mill: Mill) -> None:
    assert await run.tick(mill.services) == 7
    assert await run.tick(mill.services) == 0
    pull = pulls_of(mill.services)["jst"]
    await mill.services.db.write(run.ask_now, pull, now=mill.clock.now())
    assert await mill.services.worker.drain() == 7


def test_wrong_settings_are_named_one_by_one(sqlite_url: str) -> None:
    sources = {"jst": {"kind": "jushuitan", "app_key": "k", "app_secret": "s", "shops": {"1": "Taobao"}}}
    with pytest.raises(WrongUse) as wrong:
        open_pulls(make_settings(sqlite_url, "https://example.test", sources=sources))
    assert "sources.jst.access_token: found nothing" in str(wrong.value)
    assert "channel/shop_key" in str(wrong.value)
