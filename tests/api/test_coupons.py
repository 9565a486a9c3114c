"""A till redeems a customer's coupon, once."""

from datetime import timedelta
from typing import Any

from aiohttp.test_utils import TestClient
from sqlalchemy import Connection

from scrm.commerce.coupons import store as coupons
from scrm.services import Services
from tests.commerce.conftest import add_person

Api = TestClient[Any, Any]


async def issued(services: Services, *, valid: timedelta | None = timedelta(hours=72)) -> coupons.Issue:
    now = services.clock.now()

    def issue(conn: Connection) -> coupons.Issue:
        coupons.ensure_batch(
            conn, key="till", kind="generated", title="新人券", face_fen=3000, threshold_fen=19900, valid=valid, now=now
        )
        return coupons.issue(conn, batch_key="till", person_id=add_person(conn), reason_key="new-customer", now=now)

    return await services.db.write(issue)


async def redeem(api: Api, **body: Any) -> tuple[int, dict[str, Any]]:
    response = await api.post("/api/v1/coupons/redeem", json=body)
    return response.status, await response.json()


async def test_a_coupon_is_redeemed_once_and_the_second_try_hears_of_the_first(api: Api, services: Services) -> None:
    coupon = await issued(services)
    status, used = await redeem(api, code=coupon.code, order_no="M1", store="湖滨店")
    assert (status, used["state"], used["code"]) == (200, "redeemed", coupon.code)
    assert used["redeemed_at"] == services.clock.now().isoformat()
    status, refused = await redeem(api, code=coupon.code, order_no="M2")
    assert status == 409
    assert refused["redemption"]["order_no"] == "M1"
    assert refused["redemption"]["store"] == "湖滨店"


async def test_a_code_may_be_typed_in_small_letters_with_gaps(api: Api, services: Services) -> None:
    code = (await issued(services)).code
    assert (await redeem(api, code=f" {code[:3].lower()} {code[3:6]}-{code[6:]} "))[0] == 200


async def test_an_unknown_code_is_not_found(api: Api) -> None:
    assert (await redeem(api, code="NOSUCHCODE"))[0] == 404


async def test_an_expired_coupon_is_gone(api: Api, services: Services) -> None:
    coupon = await issued(services, valid=timedelta(hours=1))
    services.clock.advance(hours=1)  # type: ignore[attr-defined]
    assert (await redeem(api, code=coupon.code))[0] == 410


async def test_a_body_without_a_code_is_refused_in_one_line(api: Api) -> None:
    for body in (b"", b"[]", b"{}", b'{"code": 5}', b'{"code": ""}'):
        response = await api.post("/api/v1/coupons/redeem", data=body)
        assert response.status == 422
        assert "code" in (await response.json())["error"]["message"]
