"""What each platform pushes, as the merchant sees it afterwards."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from scrm.commerce.hooks.models import hook_message
from tests.hooks.conftest import Platforms

TID = "E20260302100000000000001"


def youzan(kind: str, msg: Any, version: int = 1, msg_id: str = "", **more: Any) -> dict[str, Any]:
    told = quote(json.dumps(msg, ensure_ascii=False)) if isinstance(msg, dict) else msg
    msg_id = msg_id or f"{kind}-{version}"
    return {"type": kind, "id": TID, "kdt_id": 5, "msg": told, "msg_id": msg_id, "version": version, **more}


def full(status: str, updated: str, **info: Any) -> dict[str, Any]:
    return {
        "full_order_info": {
            "order_info": {
                "tid": TID,
                "status": status,
                "created": "2026-03-02 09:58:00",
                "update_time": updated,
                **info,
            },
            "pay_info": {"total_fee": "128.00", "post_fee": "8.00", "payment": "118.00", "real_payment": "118.00"},
            "buyer_info": {"yz_open_id": "yz1", "buyer_phone": "13800138000"},
            "address_info": {
                "receiver_name": "林小满",
                "receiver_tel": "13800138000",
                "delivery_address": "文三路 1 号",
            },
            "orders": [
                {
                    "oid": "1",
                    "title": "桂花 乌龙+礼盒",
                    "num": 2,
                    "price": "64.00",
                    "total_fee": "128.00",
                    "payment": "110.00",
                }
            ],
            "order_promotion": {"order_discount_fee": "18.00", "item_discount_fee": "0.00"},
        }
    }


async def test_youzan_tells_the_whole_order_and_time_never_goes_back(platforms: Platforms) -> None:
    paid = {"pay_time": "2026-03-02 09:59:00"}
    sent = {**paid, "consign_time": "2026-03-02 10:30:00"}
    pushes = [
        youzan("trade_TradeSellerShip", full("WAIT_BUYER_CONFIRM_GOODS", "2026-03-02 10:30:00", **sent), 3),
        youzan("trade_TradePaid", full("WAIT_SELLER_SEND_GOODS", "2026-03-02 09:59:00", **paid), 2),
        youzan("trade_TradeCreate", full("WAIT_BUYER_PAY", "2026-03-02 09:58:00"), 1),
    ]
    for push in [*pushes, pushes[0], pushes[0] | {"sendCount": 2}]:
        await platforms.push("yz", push)
    order = await platforms.order(TID)
    assert (order["channel"], order["shop_key"], order["status"]) == ("youzan", "s1", "shipped")
    assert (order["goods_fen"], order["freight_fen"], order["discount_fen"], order["paid_fen"]) == (
        12800,
        800,
        1800,
        11800,
    )
    assert (order["paid_at"], order["shipped_at"]) == ("2026-03-02T01:59:00+00:00", "2026-03-02T02:30:00+00:00")
    assert order["lines"][0]["title"] == "桂花 乌龙+礼盒"
    assert len(await platforms.rows(hook_message)) == 3
    assert "13800138000" not in str(await platforms.rows(hook_message))


async def test_youzan_numbers_alone_move_the_state_whatever_their_order(platforms: Platforms) -> None:
    for kind, version in (("trade_TradeSellerShip", 3), ("trade_TradePaid", 2), ("trade_TradeCreate", 1)):
        await platforms.push("yz", youzan(kind, {"tid": TID}, version))
    assert (await platforms.order(TID))["status"] == "shipped"
    assert "只更新了状态" in (await platforms.rows(hook_message))[0].reason
    refund = {"tid": TID, "refund_id": "R1", "refunded_fee": "9.90", "refund_type": "REFUND_ONLY"}
    await platforms.push("yz", youzan("youzan_trade_RefundSuccess", refund, 5) | {"msg": refund})
    await platforms.push("yz", youzan("youzan_trade_RefundCreated", refund, 4) | {"msg": refund})
    order = await platforms.order(TID)
    (case,) = order["refunds"]
    assert (case["status"], case["amount_fen"], order["refunded_fen"]) == ("refunded", 990, 990)


async def test_an_older_version_of_the_same_thing_changes_nothing(platforms: Platforms) -> None:
    def memo(text: str, version: int) -> dict[str, Any]:
        told = full("WAIT_SELLER_SEND_GOODS", "2026-03-02 09:59:00", pay_time="2026-03-02 09:59:00")
        told["full_order_info"]["remark_info"] = {"trade_memo": text}
        return youzan("trade_TradeMemoModified", told, version)

    await platforms.push("yz", memo("新的备注", 9))
    await platforms.push("yz", memo("旧的备注", 8))
    assert (await platforms.order(TID))["seller_note"] == "新的备注"
    assert [row.state for row in await platforms.rows(hook_message)] == ["done", "stale"]


async def test_doudian_tells_states_amounts_parcels_and_refunds(platforms: Platforms) -> None:
    def tell(tag: str, number: int, **data: Any) -> list[dict[str, Any]]:
        data = {"p_id": 6900000000000000001, "shop_id": 77, **data}
        return [{"tag": tag, "msg_id": f"m{number}", "data": json.dumps(data)}]

    logistics = {"express_company_id": "7", "logistics_code": "SF100"}
    await platforms.push("dd", tell("102", 3, logistics_msg=logistics, update_time=1772420000))
    await platforms.push("dd", tell("101", 2, pay_amount=8800, pay_time=1772416740, pay_type=1))
    await platforms.push("dd", tell("100", 1, create_time=1772416700))
    await platforms.push("dd", tell("206", 4, aftersale_id=123, s_id=1, refund_amount=800, success_time=1772430000))
    order = await platforms.order("6900000000000000001")
    assert (order["shop_key"], order["status"], order["paid_fen"], order["refunded_fen"]) == (
        "77",
        "shipped",
        8800,
        800,
    )
    assert order["paid_at"] == "2026-03-02T01:59:00+00:00"
    assert order["shipments"][0]["tracking_no"] == "SF100"


SHOPIFY: dict[str, Any] = {
    "id": 820000000001,
    "name": "#1001",
    "currency": "CNY",
    "financial_status": "paid",
    "fulfillment_status": None,
    "created_at": "2026-03-02T09:58:00+08:00",
    "processed_at": "2026-03-02T09:59:00+08:00",
    "updated_at": "2026-03-02T09:59:00+08:00",
    "subtotal_price": "110.00",
    "total_discounts": "18.00",
    "total_price": "118.00",
    "total_shipping_price_set": {"shop_money": {"amount": "8.00"}},
    "customer": {"id": 7, "first_name": "Xiaoman", "email": "xiaoman@example.test"},
    "phone": "+86 138 0013 8000",
    "discount_codes": [{"code": "SPRING18", "amount": "18.00", "type": "fixed_amount"}],
    "line_items": [{"id": 1, "title": "Tea", "quantity": 2, "price": "64.00", "total_discount": "18.00", "sku": "T1"}],
}


async def test_shopify_orders_refunds_and_fulfilments_meet_in_one_order(platforms: Platforms) -> None:
    refund = {"id": 5, "order_id": 820000000001, "created_at": "2026-03-02T11:00:00+08:00"}
    refund["transactions"] = [{"kind": "refund", "status": "success", "amount": "10.00", "currency": "CNY"}]
    parcel = {
        "id": 9,
        "order_id": 820000000001,
        "status": "success",
        "tracking_number": "YT1",
        "tracking_company": "YTO",
    }
    await platforms.push("shopify", refund, **{"X-Shopify-Topic": "refunds/create", "X-Shopify-Webhook-Id": "w1"})
    await platforms.push("shopify", SHOPIFY, **{"X-Shopify-Topic": "orders/paid", "X-Shopify-Webhook-Id": "w2"})
    await platforms.push("shopify", parcel, **{"X-Shopify-Topic": "fulfillments/create", "X-Shopify-Webhook-Id": "w3"})
    order = await platforms.order("820000000001")
    assert (order["goods_fen"], order["freight_fen"], order["discount_fen"], order["paid_fen"]) == (
        12800,
        800,
        1800,
        11800,
    )
    assert (order["status"], order["refunded_fen"], order["payment_status"]) == ("paid", 1000, "partially_refunded")
    assert order["shipments"][0]["tracking_no"] == "YT1"
    assert (await platforms.order("#1001"))["id"] == order["id"]
    assert "example.test" not in str(order)
    cancelled = SHOPIFY | {"cancelled_at": "2026-03-02T12:00:00+08:00", "updated_at": "2026-03-02T12:00:00+08:00"}
    await platforms.push(
        "shopify", cancelled | {"financial_status": "refunded"}, **{"X-Shopify-Topic": "orders/updated"}
    )
    assert (await platforms.order("820000000001"))["status"] == "closed"
    await platforms.push("shopify", {"id": 1}, **{"X-Shopify-Topic": "products/update"})
    assert (await platforms.rows(hook_message))[-1].state == "unused"


async def test_woocommerce_orders_come_with_their_times_in_gmt(platforms: Platforms) -> None:
    order = {
        "id": 727,
        "number": "A-727",
        "status": "processing",
        "currency": "CNY",
        "date_created_gmt": "2026-03-02T01:58:00",
        "date_modified_gmt": "2026-03-02T01:59:30",
        "date_paid_gmt": "2026-03-02T01:59:00",
        "total": "29.35",
        "discount_total": "1.00",
        "shipping_total": "10.00",
        "customer_id": 0,
        "billing": {"first_name": "小满", "phone": "13800138000"},
        "line_items": [
            {"id": 315, "name": "Tea", "product_id": 93, "quantity": 2, "subtotal": "20.35", "total": "19.35"}
        ],
        "refunds": [{"id": 728, "reason": "破损", "total": "-10.00"}],
    }
    await platforms.push("woo", order, **{"X-WC-Webhook-Topic": "order.updated", "X-WC-Webhook-Delivery-ID": "d1"})
    found = await platforms.order("727")
    assert (found["channel"], found["status"], found["paid_at"]) == ("woo", "paid", "2026-03-02T01:59:00+00:00")
    assert (found["paid_fen"], found["goods_fen"], found["freight_fen"], found["refunded_fen"]) == (
        2935,
        2035,
        1000,
        1000,
    )
    assert (await platforms.order("A-727"))["order_no"] == "727"


@pytest.mark.parametrize("form", ["json", "xml"])
async def test_the_wechat_store_names_an_order_and_its_state(platforms: Platforms, form: str) -> None:
    def tell(event: str, at: int, **fields: Any) -> Any:
        fields = {"order_id": 3700000000000000001, **fields}
        if form == "json":
            return {"Event": event, "CreateTime": at, "order_info": fields}
        inside = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
        return (
            f"<xml><Event>{event}</Event><CreateTime>{at}</CreateTime><order_info>{inside}</order_info></xml>".encode()
        )

    await platforms.push("store", tell("channels_ec_order_deliver", 1772420000, finish_delivery=1))
    await platforms.push("store", tell("channels_ec_order_pay", 1772416740, pay_time=1772416740))
    await platforms.push("store", tell("channels_ec_order_new", 1772416700))
    order = await platforms.order("3700000000000000001")
    assert (order["status"], order["paid_at"]) == ("shipped", "2026-03-02T01:59:00+00:00")


async def test_the_own_mall_hears_of_each_order_what_will_become_of_it(platforms: Platforms) -> None:
    good = {"order_no": "M1", "status": "paid", "paid_fen": 100, "updated_at": "2026-03-02T09:59:00+08:00"}
    response = await platforms.post("mall", [good, {"order_no": "M2", "paid_fen": 1.5}])
    results = (await response.json())["results"]
    assert [(one["order_no"], one["status"]) for one in results] == [("M1", "accepted"), ("M2", "rejected")]
    assert "整数" in results[1]["reason"]
    await platforms.services.worker.drain()
    order = await platforms.order("M1")
    assert (order["channel"], order["shop_key"], order["paid_fen"]) == ("mall", "main", 100)
    assert await platforms.orders("M2") == []
    (row,) = await platforms.rows(hook_message)
    assert (row.state, row.reason) == ("unreadable", "1 个订单有误：M2：paid_fen：应为整数（金额以分为单位），收到 1.5")
