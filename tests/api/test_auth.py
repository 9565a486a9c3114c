"""Who may use the API, and how it says no."""

import re
from typing import Any

import pytest

from scrm.api import store
from scrm.api.models import api_key
from tests.world import XIAOMAN, World


@pytest.fixture
async def key(world: World) -> str:
    return await world.services.db.write(store.make_key, "erp", "administrator", now=world.clock.now())


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic abc"}])
async def test_without_a_key_nothing_is_told(world: World, headers: dict[str, str]) -> None:
    response = await world.client.get("/api/v1/customers?external_userid=x", headers=headers)
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    error = (await response.json())["error"]
    assert error["code"] == "unauthorized"
    is_wrong = headers.get("Authorization", "").startswith("Bearer")
    words = "接口密钥不对、已停用或已过期" if is_wrong else "请求头要有 Authorization: Bearer"
    assert words in error["message"]
    assert words in await response.text()  # as it is, for whoever reads it in a terminal


async def test_a_key_is_kept_only_as_its_hash(world: World, key: str) -> None:
    (row,) = await world.rows(api_key)
    assert key not in str(dict(row._mapping))


async def test_a_readonly_key_reads_and_does_not_write(world: World) -> None:
    key = await world.services.db.write(store.make_key, "bi", "readonly", now=world.clock.now())
    assert (await world.client.get("/api/v1/sends?external_userid=x", headers=bearer(key))).status == 200
    assert (await world.client.post("/api/v1/orders", json=[], headers=bearer(key))).status == 403


async def test_a_customer_is_told_whole_and_without_clear_phone_numbers(world: World, key: str) -> None:
    world.wecom.add_contact(
        XIAOMAN,
        "小满",
        "lina",
        unionid="oUnionXiaoman",
        follow={
            "remark": "小满 油皮",
            "remark_mobiles": ["13800136620"],
            "tags": [{"tag_id": "et1", "tag_name": "直播间", "group_name": "来源", "type": 1}],
        },
    )
    await world.add()
    response = await world.client.get(f"/api/v1/customers?external_userid={XIAOMAN}", headers=bearer(key))
    assert response.status == 200
    told: dict[str, Any] = await response.json()
    assert "13800136620" not in await response.text()
    values = {one["kind"]: one["value"] for one in told["identities"]}
    assert values == {
        "wecom_external_userid": XIAOMAN,
        "wx_unionid": "oUnionXiaoman",
        "mobile_e164": "138****6620",
    }
    assert [follow["userid"] for follow in told["follow_users"]] == ["lina"]
    assert {tag["tag_name"] for tag in told["tags"]} >= {"直播间"}
    assert told["totals"] == {
        "orders": 0,
        "paid_orders": 0,
        "paid_fen": 0,
        "refunded_fen": 0,
        "first_paid_at": None,
        "last_paid_at": None,
        "last_order_at": None,
    }
    timeline = await world.client.get(f"/api/v1/customers/{told['id']}/timeline", headers=bearer(key))
    names = {item["name"] for item in (await timeline.json())["items"]}
    assert {"contact.added", "coupon.issued"} <= names


async def test_an_unknown_customer_is_a_404_and_a_missing_parameter_a_422(world: World, key: str) -> None:
    assert (await world.client.get("/api/v1/customers?external_userid=wmNobody", headers=bearer(key))).status == 404
    assert (await world.client.get("/api/v1/customers", headers=bearer(key))).status == 422
    assert (await world.client.get("/api/v1/nothing", headers=bearer(key))).status == 404


async def test_the_api_describes_itself_without_a_key(world: World) -> None:
    response = await world.client.get("/api/openapi.json")
    told = await response.json()
    assert response.status == 200
    assert told["openapi"].startswith("3.1")
    routes = {
        re.sub(r"{\w+}", "{}", route.resource.canonical)
        for route in world.client.app.router.routes()  # type: ignore[union-attr]
        if route.resource and route.resource.canonical.startswith("/api/")
    }
    assert routes == {re.sub(r"{\w+}", "{}", path) for path in told["paths"]}
