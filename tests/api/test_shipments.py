"""POST /api/v1/shipments as a warehouse or an express company uses it."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from sqlalchemy import select

from scrm.events import event
from scrm.services import Services
from tests.api.test_orders import ORDER, get, post

Api = TestClient[Any, Any]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def tell(api: Api, *items: Any) -> list[dict[str, Any]]:
    response = await api.post("/api/v1/shipments", json=list(items))
    assert response.status == 200, await response.text()
    return list((await response.json())["items"])


def news(state: str, minute: int, **more: Any) -> dict[str, Any]:
    return {"tracking_no": "SF1", "state": state, "happened_at": f"2026-03-02T10:{minute:02}:00+08:00", **more}


async def test_a_parcel_told_in_any_order_is_delivered_once(api: Api, services: Services) -> None:
    await post(api, ORDER)
    of_order = {"channel": "mall", "shop_key": "main", "order_no": ORDER["order_no"], "carrier_name": "顺丰速运"}
    (unknown,) = await tell(api, news("in_transit", 5))
    assert unknown["result"] == "unknown"
    (first,) = await tell(api, news("in_transit", 5, **of_order))
    assert first["result"] == "updated"
    # Only the number now, the last first, and everything twice.
    for told in (news("delivered", 30), news("shipped", 1), news("delivered", 30), news("in_transit", 5)):
        await tell(api, told)
    (found,) = await get(api, order_no=ORDER["order_no"])
    (parcel,) = found["shipments"]
    assert (found["status"], found["fulfillment_status"], parcel["state"]) == ("shipped", "delivered", "delivered")
    assert parcel["delivered_at"] == "2026-03-02T02:30:00+00:00"
    names = select(event.c.name).where(event.c.name.in_(("order.shipped", "order.delivered")))
    told_names = await services.db.read(lambda conn: sorted(conn.execute(names).scalars()))
    assert told_names in (["order.delivered", "order.shipped"], [])  # [] while nobody is known as its buyer


async def test_one_of_two_parcels_does_not_ship_the_order(api: Api) -> None:
    lines = [{"line_key": key, "title": key} for key in ("1", "2")]
    await post(api, {**ORDER, "lines": lines})
    of_order = {"channel": "mall", "shop_key": "main", "order_no": ORDER["order_no"]}
    await tell(api, news("delivered", 1, line_keys=["1"], **of_order))
    (found,) = await get(api, order_no=ORDER["order_no"])
    assert (found["status"], found["delivered_at"]) == ("partially_shipped", None)
    await tell(api, news("shipped", 2, **of_order, line_keys=["2"]) | {"tracking_no": "SF2"})
    (found,) = await get(api, order_no=ORDER["order_no"])
    assert (found["status"], found["delivered_at"]) == ("shipped", None)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"tracking_no": "SF1"}, "state"),
        (news("lost", 1), "in_transit"),
        (news("shipped", 1, order_no="M1"), "channel"),
        ({"tracking_no": "SF1", "state": "shipped", "happened_at": "2026-03-02T10:00:00"}, "时区"),
        (7, "tracking_no"),
    ],
)
async def test_what_cannot_be_read_says_what_was_expected(api: Api, item: Any, words: str) -> None:
    (answer,) = await tell(api, item)
    assert answer["result"] == "rejected"
    assert words in answer["error"]
