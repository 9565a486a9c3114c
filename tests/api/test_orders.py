"""POST and GET /api/v1/orders as another system uses them."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from scrm.commerce.running_totals import find_totals
from scrm.profiles.models import identity, person
from scrm.services import Services

Api = TestClient[Any, Any]

ORDER = {
    "channel": "mall",
    "shop_key": "main",
    "order_no": "M20260302001",
    "status": "paid",
    "paid_fen": 12800,
    "ordered_at": "2026-03-02T09:58:00+08:00",
    "paid_at": "2026-03-02T09:59:00+08:00",
    "platform_updated_at": "2026-03-02T09:59:00+08:00",
    "buyer_ref": {"wx_unionid": "oUnionXiaoman", "mobile_e164": "+8613800138000"},
    "lines": [{"line_key": "1", "title": "桂花乌龙礼盒", "qty": 1, "unit_price_fen": 12800}],
    "payments": [{"pay_key": "wx1", "method": "wechat", "amount_fen": 12800, "paid_at": "2026-03-02T09:59:00+08:00"}],
}


async def post(api: Api, *items: Any) -> list[dict[str, Any]]:
    response = await api.post("/api/v1/orders", json=list(items))
    assert response.status == 200
    return list((await response.json())["items"])


async def get(api: Api, **query: str) -> list[dict[str, Any]]:
    response = await api.get("/api/v1/orders", params=query)
    assert response.status == 200
    return list((await response.json())["items"])


async def test_an_order_is_created_and_found_again(api: Api) -> None:
    (result,) = await post(api, ORDER)
    assert (result["index"], result["order_no"], result["result"]) == (0, "M20260302001", "created")
    (found,) = await get(api, channel="mall", order_no="M20260302001")
    assert (found["status"], found["paid_fen"], found["paid_at"]) == ("paid", 12800, "2026-03-02T01:59:00+00:00")
    assert found["lines"][0]["title"] == "桂花乌龙礼盒"
    assert found["payments"][0]["pay_key"] == "wx1"
    assert await get(api, channel="jd", order_no="M20260302001") == []


async def test_no_private_value_comes_back(api: Api) -> None:
    receiver = {"name": "林小满", "phone": "13800138000", "address": "文三路 1 号"}
    await post(api, ORDER | {"receiver": receiver})
    shown = str(await get(api, order_no="M20260302001"))
    assert "13800138000" not in shown
    assert "文三路" not in shown
    assert "林** 138****8000" in shown


async def test_repeated_older_and_newer_messages_each_hear_what_became_of_them(api: Api) -> None:
    newer = ORDER | {"status": "shipped", "platform_updated_at": "2026-03-02T10:00:00+08:00"}
    results = [(await post(api, item))[0]["result"] for item in (ORDER, ORDER, newer, ORDER)]
    assert results == ["created", "unchanged", "updated", "stale"]


async def test_one_bad_item_does_not_hold_up_the_others(api: Api) -> None:
    bad = ORDER | {"order_no": "M2", "paid_fen": 128.5}
    good, rejected = await post(api, ORDER, bad)
    assert good["result"] == "created"
    assert (rejected["index"], rejected["result"]) == (1, "rejected")
    assert rejected["error"] == "paid_fen：应为整数（金额以分为单位），收到 128.5"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"paid_at": "2026-03-02T09:59:00"}, "paid_at：时间须带时区"),
        ({"order_no": 20260302001}, "order_no：应为文本，请加引号"),
        ({"status": "done"}, "status：不是认识的取值"),
        ({"lines": [{"qty": -1}]}, "lines[0].qty：不能小于 0"),
        ({"channel": "淘宝"}, "channel：应为小写英文渠道代码"),
    ],
)
async def test_errors_name_the_field_what_was_found_and_what_was_expected(
    api: Api, change: dict[str, Any], says: str
) -> None:
    (result,) = await post(api, ORDER | change)
    assert result["error"].startswith(says)
    assert "\n" not in result["error"]


async def test_a_missing_field_is_named(api: Api) -> None:
    (result,) = await post(api, {"channel": "mall", "order_no": "1"})
    assert result["error"] == "缺少必填字段 status"


async def test_unknown_fields_are_ignored_and_said_so(api: Api) -> None:
    (result,) = await post(api, ORDER | {"paied_fen": 1})
    assert (result["result"], result["ignored"]) == ("created", ["paied_fen"])


@pytest.mark.parametrize("body", [b"{}", b"[", b"", b'"x"', b"[" * 100000, "[{}]".encode("utf-16")])
async def test_a_body_that_is_no_list_is_refused(api: Api, body: bytes) -> None:
    response = await api.post("/api/v1/orders", data=body)
    assert response.status == 400
    assert "\n" not in (await response.json())["error"]["message"]


async def test_more_than_a_thousand_are_refused_and_a_thousand_are_taken(api: Api) -> None:
    many = [ORDER | {"order_no": f"M{number}"} for number in range(1001)]
    assert (await api.post("/api/v1/orders", json=many)).status == 400
    results = await post(api, *many[:1000])
    assert [item["result"] for item in results] == ["created"] * 1000
    assert [item["order_no"] for item in results] == [f"M{number}" for number in range(1000)]


async def test_a_body_beyond_the_limit_is_refused(api: Api) -> None:
    response = await api.post("/api/v1/orders", data=b" " * (17 * 1024 * 1024))
    assert response.status == 413


async def test_a_number_is_needed_to_find_orders(api: Api) -> None:
    assert (await api.get("/api/v1/orders")).status == 422


async def test_nul_and_overlong_texts_are_cut_to_what_both_databases_take(api: Api) -> None:
    (result,) = await post(api, ORDER | {"buyer_note": "好\0" * 2000, "lines": [{"title": "茶" * 1000}]})
    assert result["result"] == "created"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"order_no": "M\0 1"}, r'order_no：不能含有空字符 \u0000，收到 "M\u0000 1"'),
        ({"shop_key": "\0"}, "shop_key：不能含有空字符"),
        ({"buyer_ref": {"nick": "小\0满"}}, "buyer_ref.nick：不能含有空字符"),
        ({"buyer_ref": {"ni\0ck": "小满"}}, "buyer_ref：不能含有空字符"),
        ({"lines": [{"line_key": "1"}, {"merchant_sku": "\0"}]}, "lines[1].merchant_sku：不能含有空字符"),
        ({"shipments": [{"tracking_no": "SF1", "line_keys": ["\0"]}]}, "shipments[0].line_keys[0]：不能含有空字符"),
    ],
)
async def test_a_nul_in_what_identifies_rejects_that_order_alone(api: Api, change: dict[str, Any], says: str) -> None:
    bad, good = await post(api, ORDER | change, ORDER)
    assert (bad["result"], good["result"]) == ("rejected", "created")
    assert says in bad["error"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"ordered_at": "0001-01-01T00:00:00+23:00"}, "ordered_at"),
        ({"paid_at": "9999-12-31T23:59:59-12:00"}, "paid_at"),
        ({"platform_updated_at": "1999-12-31T23:59:59Z"}, "platform_updated_at"),
        ({"payments": [{"paid_at": "2100-01-01T00:00:00Z"}]}, "payments[0].paid_at"),
        ({"refunds": [{"refund_no": "R1", "status": "refunded", "created_at": "0001-01-01T00:00:00Z"}]}, "created_at"),
        ({"shipments": [{"tracking_no": "SF1", "delivered_at": "9999-01-01T00:00:00Z"}]}, "shipments[0].delivered_at"),
    ],
)
async def test_a_time_that_nobody_means_is_rejected(api: Api, change: dict[str, Any], path: str) -> None:
    (result,) = await post(api, ORDER | change)
    assert result["result"] == "rejected"
    assert f"{path}：时间应在 2000 年到 2099 年之间，收到 " in result["error"]


async def test_the_first_and_last_moments_are_taken(api: Api) -> None:
    (result,) = await post(api, ORDER | {"ordered_at": "2000-01-01T00:00:00Z", "paid_at": "2099-12-31T23:59:59Z"})
    assert result["result"] == "created"


async def test_the_buyers_totals_follow_at_once(api: Api, services: Services) -> None:
    def add(conn: Any) -> int:
        person_id = conn.execute(
            person.insert().values(name="小满", created_at=services.clock.now()).returning(person.c.id)
        ).scalar_one()
        known = {"person_id": person_id, "kind": "wx_unionid", "value": "oUnionXiaoman", "source": "auto"}
        conn.execute(identity.insert().values(**known, created_at=services.clock.now()))
        return int(person_id)

    person_id = await services.db.write(add)
    (result,) = await post(api, ORDER)
    assert result["person_id"] == person_id
    totals = await services.db.read(find_totals, person_id)
    assert totals is not None
    assert (totals["orders"], totals["paid_fen"]) == (1, 12800)
