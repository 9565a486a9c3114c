"""What no sender should send: each gets one line and a 4xx, on both databases."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from yarl import URL

Api = TestClient[Any, Any]

HUGE = "99999999999999999999999"


async def told(api: Api, method: str, path: str, **more: Any) -> tuple[int, str]:
    response = await api.request(method, URL(path, encoded=True), **more)
    message = (await response.json())["error"]["message"]
    assert "\n" not in message
    return response.status, message


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        (f"/api/v1/customers/{HUGE}", 404, "没有客户"),
        (f"/api/v1/customers/{HUGE}/timeline", 404, "没有客户"),
        ("/api/v1/customers/1/timeline?limit=%C2%B2", 422, "参数 limit：收到“²”，需要非负整数"),
        (f"/api/v1/customers/1/timeline?cursor={HUGE}", 422, "应为上一页回答里的 next_cursor"),
        (f"/api/v1/customers/1/timeline?cursor={'9' * 15}.1", 422, "应为上一页回答里的 next_cursor"),
        (f"/api/v1/tasks?cursor={HUGE}", 422, f"参数 cursor：收到“{HUGE}”"),
        (f"/api/v1/merges?person_id={HUGE}", 422, "参数 person_id：收到 23 位数字，最多 18 位"),
        ("/api/v1/tasks?before=7", 422, "参数 before 不认识：可用的有 userid、external_userid、state、cursor、limit"),
        ("/api/v1/customers/search?stage=a&stage=b", 422, "参数 stage 写了 2 次，只能写一次"),
        ("/api/v1/customers/search?" + "tag=a&" * 21, 422, "参数 tag 写了 21 次，最多 20 次"),
        ("/api/v1/customers/search?tag=a&tag=" + "b" * 65, 422, "每个最多 64 个可见的字符"),
        ("/api/v1/tasks?limit=0", 422, "参数 limit：收到 0，应不小于 1"),
        ("/api/v1/playbooks/none/results?since=2026-13-01", 422, "应写成 2026-03-05"),
        ("/api/v1/customers?external_userid=wm%00", 422, "“external_userid”含有无法保存的字符"),
        ("/api/v1/orders?order_no=%00&channel=mall", 422, "“order_no”含有无法保存的字符"),
        ("/api/v1/tasks?userid=%00", 422, "“userid”含有无法保存的字符"),
        ("/api/v1/sends?external_userid=%00", 422, "含有无法保存的字符"),
        ("/api/v1/%00", 404, "没有这个页面"),
    ],
)
async def test_an_address_that_means_nothing(api: Api, path: str, status: int, says: str) -> None:
    found, message = await told(api, "GET", path)
    assert (found, says in message) == (status, True), message


@pytest.mark.parametrize("values", [{"code": "A\0B1"}, {"code": "AB12", "store": "\0"}])
async def test_a_till_that_sends_a_nul(api: Api, values: dict[str, str]) -> None:
    status, message = await told(api, "POST", "/api/v1/coupons/redeem", json=values)
    assert (status, "含有无法保存的字符" in message) == (422, True)
