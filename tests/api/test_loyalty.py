"""Other programs issue coupons, read batches with their figures, and move points."""

from typing import Any

from aiohttp.test_utils import TestClient

from scrm.services import Services
from tests.commerce.conftest import add_person

Api = TestClient[Any, Any]


async def ask(api: Api, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    response = await api.request(method, f"/api/v1/{path}", json=body)
    return response.status, await response.json()


async def test_a_batch_is_made_issued_used_and_counted(api: Api, services: Services) -> None:
    person_id = await services.db.write(add_person)
    batch = {
        "key": "mall-30",
        "title": "商城券",
        "face_fen": 3000,
        "threshold_fen": 19900,
        "budget": 2,
        "per_person": 1,
    }
    assert (await ask(api, "POST", "coupon_batches", {**batch, "threshold_fen": 100}))[0] == 422
    assert (await ask(api, "POST", "coupon_batches", batch))[0] == 200
    wanted = {"batch": "mall-30", "reason": "sign-up", "person_id": person_id}
    status, coupon = await ask(api, "POST", "coupons/issue", wanted)
    assert (status, "/c/" in coupon["url"]) == (200, True)
    assert (await ask(api, "POST", "coupons/issue", wanted))[1]["code"] == coupon["code"]
    status, refused = await ask(api, "POST", "coupons/issue", {**wanted, "reason": "again"})
    assert (status, "每人限领 1 张" in str(refused)) == (409, True)
    assert (await ask(api, "GET", f"coupons/{coupon['code'].lower()}"))[1]["state"] == "issued"
    too_little = {"code": coupon["code"], "amount_fen": 100}
    assert (await ask(api, "POST", "coupons/redeem", too_little))[0] == 409
    order = {
        "channel": "pos",
        "order_no": "M1",
        "status": "paid",
        "paid_fen": 20000,
        "paid_at": services.clock.now().isoformat(),
        "coupons": [{"code": coupon["code"], "discount_fen": 2900}],
    }
    assert (await ask(api, "POST", "orders", [order]))[0] == 200
    _, found = await ask(api, "GET", "coupon_batches")
    (figures,) = [one["figures"] for one in found["items"] if one["key"] == "mall-30"]
    assert figures == {
        "issued": 1,
        "reserved": 0,
        "opened": 0,
        "redeemed": 1,
        "expired": 0,
        "released": 0,
        "cost_fen": 2900,
        "revenue_fen": 20000,
        "orders": 1,
    }
    assert (await ask(api, "POST", f"coupons/{coupon['code']}/void"))[0] == 409


async def test_points_move_once_for_each_business_key(api: Api, services: Services) -> None:
    path = f"customers/{await services.db.write(add_person)}/points"
    moved = {"business_key": "sign-in-1", "points": 5, "reason": "sign_in"}
    (_, first), (status, again) = await ask(api, "POST", path, moved), await ask(api, "POST", path, moved)
    assert (status, first["id"], first["balance"]) == (200, again["id"], 5)
    assert (await ask(api, "POST", path, {"business_key": "a", "points": -6, "reason": "deduct"}))[0] == 409
    assert (await ask(api, "POST", path, {"business_key": "b", "points": 1, "reason": "expired"}))[0] == 422
    assert (await ask(api, "POST", "customers/999999/points", moved | {"business_key": "c"}))[0] == 404
    status, found = await ask(api, "GET", path)
    assert (status, found["available"], found["level"], len(found["items"])) == (200, 5, None, 1)
    assert (await ask(api, "GET", "customers/999999/points"))[0] == 404
