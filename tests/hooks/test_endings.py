"""How orders end: all money given back closes them, a thin cancellation of what was paid for too; coupons follow."""

import json
from datetime import timedelta
from typing import Any

import pytest

from scrm.commerce.connectors.doudian_hook import read_doudian_order
from scrm.commerce.connectors.youzan import read_youzan_order
from scrm.commerce.coupons import store as coupons
from scrm.profiles.models import person
from tests.hooks.conftest import Platforms
from tests.hooks.test_platforms import full

PAID, LATER = 1_767_225_600, 1_767_229_200  # 2026-01-01 08:00 and 09:00


def doudian(tag: str, number: int, **data: Any) -> list[dict[str, Any]]:
    return [{"tag": tag, "msg_id": f"{tag}-{number}", "data": json.dumps({"p_id": number, "shop_id": 5, **data})}]


def store(event: str, number: int, at: int, **inside: Any) -> dict[str, Any]:
    return {"Event": event, "CreateTime": at, "order_info": {"order_id": number, **inside}}


async def ends(platforms: Platforms, number: str) -> tuple[str, str]:
    order = await platforms.order(number)
    return order["status"], order["aftersale_status"]


@pytest.mark.parametrize("refund_first", [True, False])
async def test_all_money_given_back_closes_the_order_whichever_came_first(
    platforms: Platforms, refund_first: bool
) -> None:
    paid = doudian("101", 71, pay_amount=9900, pay_time=PAID, order_amount=9900)
    back = doudian("206", 71, aftersale_id=1, refund_amount=9900, success_time=LATER)
    for told in [back, paid] if refund_first else [paid, back]:
        await platforms.push("dd", told)
    assert await ends(platforms, "71") == ("closed", "refunded")
    order = await platforms.order("71")
    assert order["closed_at"].startswith("2026-01-01T01:00:00")
    # What the platform says of it later opens nothing again.
    await platforms.push("dd", doudian("103", 71, complete_time=LATER + 60))
    assert (await ends(platforms, "71"))[0] == "closed"


async def test_a_part_of_the_money_closes_nothing(platforms: Platforms) -> None:
    await platforms.push("dd", doudian("101", 72, pay_amount=9900, pay_time=PAID))
    await platforms.push("dd", doudian("206", 72, aftersale_id=2, refund_amount=100, success_time=LATER))
    assert await ends(platforms, "72") == ("paid", "partially_refunded")


async def test_thin_cancellations_close_what_was_paid_for_and_cancel_the_rest(platforms: Platforms) -> None:
    await platforms.push("dd", doudian("101", 73, pay_amount=9900, pay_time=PAID))
    await platforms.push("dd", doudian("106", 73, cancel_time=LATER))  # says nothing of the payment
    await platforms.push("dd", doudian("106", 74, cancel_time=LATER))
    assert (await ends(platforms, "73"))[0] == "closed"
    assert (await ends(platforms, "74"))[0] == "cancelled"
    await platforms.push("store", store("channels_ec_order_cancel", 81, LATER, cancel_type=3))
    await platforms.push("store", store("channels_ec_order_cancel", 82, LATER, cancel_type=2))
    assert (await ends(platforms, "81"))[0] == "closed"
    assert (await ends(platforms, "82"))[0] == "cancelled"


async def test_a_coupon_of_doudian_is_redeemed_by_the_order_and_given_back_with_its_money(
    platforms: Platforms,
) -> None:
    services, now = platforms.services, platforms.clock.now()

    def give(conn: Any) -> coupons.Issue:
        person_id = conn.execute(
            person.insert().values(name="林晓", created_at=now).returning(person.c.id)
        ).scalar_one()
        coupons.ensure_batch(conn, now=now, key="dd", kind="pool", title="抖店券")
        coupons.add_codes(conn, "dd", ["4781320682406"])
        return coupons.issue(conn, batch_key="dd", person_id=person_id, reason_key="r", now=now)

    made = await services.db.write(give)
    discount = {"coupon_info": [{"coupon_id": 4781320682406, "coupon_amount": 500}]}
    paid = {"order_id": "75", "main_status": 2, "pay_time": PAID, "pay_amount": 9900, "update_time": PAID}
    order = read_doudian_order({**paid, "promotion_detail": {"shop_discount_detail": discount}}, "5")
    assert order["coupons"] == [{"code": "4781320682406", "discount_fen": 500}]

    async def post(told: dict[str, Any]) -> coupons.Issue:
        body = json.dumps([told], default=lambda moment: moment.isoformat())
        headers = {"Content-Type": "application/json"}
        response = await platforms.client.post("/api/v1/orders", data=body, headers=headers)
        assert response.status == 200, await response.text()
        return await services.db.read(coupons.get_issue, made.id)

    used = await post(order)
    assert (used.state, used.order_no, used.discount_fen) == ("redeemed", "75", 500)
    refund = {"refund_no": "R1", "status": "refunded", "amount_fen": 9900, "finished_at": now + timedelta(0)}
    assert (await post(order | {"refunds": [refund]})).state == "issued"


def test_youzan_says_which_coupon_an_order_used() -> None:
    promotion = {"order": [{"coupon_id": 31, "discount_fee": "8.00"}, {"promotion_type": "meetReduce"}]}
    told = full("WAIT_SELLER_SEND_GOODS", "2026-03-02 10:00:00")["full_order_info"] | {"order_promotion": promotion}
    assert read_youzan_order(told, "5")["coupons"] == [{"code": "31", "discount_fen": 800}]
