"""Orders of which only the number was pushed, asked for with the calls that each platform documents."""

import json
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from scrm.commerce.canonical import read_order
from scrm.commerce.connectors import doudian_hook
from scrm.commerce.connectors.hook import Hook
from scrm.commerce.hooks.kinds import open_hooks
from tests.world import make_settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Platform:
    """Answers by path, and remembers what it was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.app = web.Application()
        self.app.router.add_post("/{tail:.*}", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, dict(request.query), await request.json()))
        answer = self.answers[request.path]
        return web.Response(status=answer) if isinstance(answer, int) else web.json_response(answer)


@pytest.fixture
async def fetch(aiohttp_server: Any) -> Any:
    async def fetch(platform: Platform, number: str, **options: str) -> list[dict[str, Any]]:
        server = await aiohttp_server(platform.app)
        options["api_base"] = str(server.make_url("")).rstrip("/")
        settings = make_settings("sqlite:///x", "https://qyapi.example.test", sources={"shop": options})
        hook: Hook = open_hooks(settings)["shop"]
        async with aiohttp.ClientSession() as session:
            await hook.fetch(session, number, NOW)
            return await hook.fetch(session, number, NOW)

    return fetch


async def test_youzan_gives_a_token_once_and_the_order_each_time(fetch: Any) -> None:
    info = {
        "tid": "E1",
        "status": "TRADE_SUCCESS",
        "pay_time": "2026-01-01 08:00:00",
        "success_time": "2026-01-09 08:00:00",
    }
    delivery = [{"oids": [{"oid": "1"}], "dists": [{"express_info": {"express_id": 1, "express_no": "SF1"}}]}]
    full = {
        "order_info": info,
        "pay_info": {"payment": "88.00", "real_payment": "80.00"},
        "orders": [{"oid": "1", "title": "Tea"}],
    }
    platform = Platform(
        {
            "/auth/token": {"code": 200, "data": {"access_token": "t", "expires": 1767800000000}},
            "/api/youzan.trade.get/4.0.2": {"code": 200, "data": {"full_order_info": full, "delivery_order": delivery}},
        }
    )
    (order,) = await fetch(platform, "E1", kind="youzan", client_id="cid", client_secret="cs", kdt_id="5")
    assert [path for path, _, _ in platform.asked].count("/auth/token") == 1
    assert platform.asked[0][2]["authorize_type"] == "silent"
    assert platform.asked[1][1:] == ({"access_token": "t"}, {"tid": "E1"})
    read = read_order(order)
    assert (read.status, read.paid_fen, read.shop_key) == ("completed", 8000, "5")
    assert read.shipments is not None
    assert read.shipments[0].tracking_no == "SF1"


async def test_doudian_is_asked_with_its_signature(fetch: Any) -> None:
    detail = {"order_id": "69", "order_status": 4, "pay_time": 1767225600, "order_amount": 8800, "pay_amount": 8000}
    platform = Platform(
        {
            "/token/create": {"code": 10000, "data": {"access_token": "t", "expires_in": 604800}},
            "/order/orderDetail": {"code": 10000, "data": {"shop_order_detail": detail}},
        }
    )
    (order,) = await fetch(platform, "69", kind="doudian", app_key="71", app_secret="ds", shop_id="7")
    assert [path for path, _, _ in platform.asked] == ["/token/create", "/order/orderDetail", "/order/orderDetail"]
    query = platform.asked[1][1]
    assert query["param_json"] == json.dumps({"shop_order_id": "69"}, separators=(",", ":"))
    assert query["sign"] == doudian_hook.sign_call("ds", "71", "order.orderDetail", query["param_json"], "1767225600")
    assert (read_order(order).status, order["paid_fen"]) == ("closed", 8000)


async def test_a_platform_that_does_not_answer_is_asked_again_later(fetch: Any) -> None:
    for answer in (500, {"gw_err_resp": {"err_code": 4202, "err_msg": "expired"}}, {"code": 200, "data": None}):
        token = {"data": {"access_token": "secret-token", "expires": 1767800000000}}
        platform = Platform({"/auth/token": token, "/api/youzan.trade.get/4.0.2": answer})
        with pytest.raises(ConnectionError) as caught:
            await fetch(platform, "E1", kind="youzan", client_id="cid", client_secret="cs", kdt_id="5")
        assert "secret-token" not in str(caught.value)
