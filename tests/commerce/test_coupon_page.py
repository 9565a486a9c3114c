"""GET /c/{token}: what the customer sees of their coupon."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import Connection
from yarl import URL

from scrm.app import build_app
from scrm.commerce.coupons import pages
from scrm.commerce.coupons import store as coupons
from scrm.services import Services
from tests.commerce.conftest import add_person

Page = TestClient[Any, Any]


@pytest.fixture
async def page(services: Services) -> AsyncIterator[Page]:
    async with TestClient(TestServer(build_app(services, with_worker=False))) as client:
        yield client


async def issued(services: Services, **batch: Any) -> coupons.Issue:
    now = services.clock.now()
    values: dict[str, Any] = {"kind": "generated", "title": "新人券", "face_fen": 3000, "threshold_fen": 19900, **batch}

    def issue(conn: Connection) -> coupons.Issue:
        coupons.ensure_batch(conn, key="shown", valid=timedelta(hours=72), now=now, **values)
        return coupons.issue(conn, batch_key="shown", person_id=add_person(conn), reason_key="new-customer", now=now)

    return await services.db.write(issue)


async def show(page: Page, coupon: coupons.Issue) -> str:
    response = await page.get(f"/c/{coupon.token}")
    assert response.status == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert "noindex" in response.headers["X-Robots-Tag"]
    return await response.text()


async def test_a_fresh_coupon_shows_its_value_code_and_how_long_it_lasts(page: Page, services: Services) -> None:
    coupon = await issued(services, rules="每单限用一张\n不与其他优惠同享")
    html = await show(page, coupon)
    for text in (
        "新人券",
        "满 199 元可用",
        "还剩 3 天",
        "晴屿美妆",
        "<svg",
        coupon.code,
        "复制券码",
        "不与其他优惠同享",
    ):
        assert text in html
    assert "<style" not in html
    assert "style=" not in html


async def test_opening_it_is_noticed_once(page: Page, services: Services) -> None:
    coupon = await issued(services)
    await show(page, coupon)
    services.clock.advance(hours=1)  # type: ignore[attr-defined]
    await show(page, coupon)
    kept = await services.db.read(coupons.get_issue, coupon.id)
    assert kept.opened_at == services.clock.now() - timedelta(hours=1)


async def test_a_used_coupon_shows_no_code_to_scan(page: Page, services: Services) -> None:
    coupon = await issued(services)
    await services.db.write(coupons.redeem, coupon.code, now=services.clock.now(), by="till")
    html = await show(page, coupon)
    assert "已使用" in html
    assert "<svg" not in html


async def test_an_expired_coupon_says_so(page: Page, services: Services) -> None:
    coupon = await issued(services)
    services.clock.advance(days=4)  # type: ignore[attr-defined]
    html = await show(page, coupon)
    assert "已过期" in html
    assert "<svg" not in html


async def test_an_unknown_link_is_a_friendly_404(page: Page) -> None:
    response = await page.get("/c/nosuchtoken")
    assert response.status == 404
    assert "没有找到这张券" in await response.text()


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(minutes=-1), "已过期"),
        (timedelta(seconds=30), "还剩 1 分钟"),
        (timedelta(hours=5, minutes=3), "还剩 5 小时 3 分钟"),
        (timedelta(days=2, hours=4), "还剩 2 天 4 小时"),
        (timedelta(days=30, hours=4), "还剩 30 天"),
    ],
)
def test_the_time_left_is_said_as_people_say_it(left: timedelta, words: str) -> None:
    now = datetime(2026, 6, 18, 12, 0, tzinfo=UTC)
    assert pages.describe_expiry(now + left, now, ZoneInfo("Asia/Shanghai"))[0] == words


@pytest.mark.parametrize("token", ["%00", "A%00B", "%EF%BF%BD", "%0A"])
async def test_an_address_that_cannot_be_a_coupon_is_told_as_kindly_as_an_unknown_one(page: Page, token: str) -> None:
    unknown = await page.get("/c/unknown")
    response = await page.get(URL(f"/c/{token}", encoded=True))
    assert response.status == 404
    assert await response.text() == await unknown.text()
