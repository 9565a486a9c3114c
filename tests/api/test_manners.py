"""How the API treats programs: limits, sending again, and errors in one shape."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from scrm.api import once
from scrm.api.models import api_answer, api_rate
from scrm.api.store import make_key
from scrm.app import build_app, open_services
from scrm.audit import audit_entry
from scrm.db.tables import to_millis
from scrm.services import SERVICES, Services
from tests.fakes.clock import FakeClock
from tests.world import make_settings

Api = TestClient[Any, Any]
BATCH = {"key": "new72h", "title": "新人券", "face_fen": 3000}


async def counted(services: Services, table: Any) -> int:
    return len(await services.db.read(lambda conn: conn.execute(table.select()).all()))


async def test_the_same_post_under_the_same_key_is_done_once_and_answered_again(
    api: Api, services: Services, clock: FakeClock
) -> None:
    event = {"name": "custom.sample", "person": {"external_userid": "wm-nobody"}}
    path = "/api/v1/coupon_batches"
    first = await api.post(path, json=BATCH, headers={once.HEADER: "a-1"})
    assert (first.status, "Idempotent-Replayed" in first.headers) == (200, False)
    changed = await api.post(path, json={**BATCH, "title": "改过的"}, headers={once.HEADER: "a-2"})
    assert changed.status == 200
    again = await api.post(path, json=BATCH, headers={once.HEADER: "a-1"})
    assert (again.status, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert await again.json() == await first.json()
    assert again.content_type == first.content_type
    items = (await (await api.get(path)).json())["items"]
    (batch,) = [each for each in items if each["key"] == BATCH["key"]]
    assert batch["title"] == "改过的"  # the third request changed nothing
    other = await api.post(path, json={**BATCH, "face_fen": 1}, headers={once.HEADER: "a-1"})
    assert (other.status, "已用于另一个请求" in (await other.json())["detail"]) == (422, True)
    elsewhere = await api.post("/api/v1/events", json=event, headers={once.HEADER: "a-1"})
    assert elsewhere.status == 422
    (row, _) = await services.db.read(lambda conn: conn.execute(api_answer.select()).all())
    assert "新人券" not in str(row)
    clock.advance(hours=24, seconds=1)
    await once.tick(services)
    assert await counted(services, api_answer) == 0
    assert "Idempotent-Replayed" not in (await api.post(path, json=BATCH, headers={once.HEADER: "a-1"})).headers


async def test_two_at_once_are_one_and_a_refusal_may_be_tried_again(api: Api, services: Services) -> None:
    headers = {once.HEADER: "b-1"}
    answers = await asyncio.gather(*(api.post("/api/v1/coupon_batches", json=BATCH, headers=headers) for _ in range(4)))
    assert {each.status for each in answers} <= {200, 409}
    assert sum(each.status == 200 and "Idempotent-Replayed" not in each.headers for each in answers) == 1
    issue = {"batch": "none", "reason": "r", "external_userid": "wm-nobody"}
    for _ in range(2):
        refused = await api.post("/api/v1/coupons/issue", json=issue, headers={once.HEADER: "b-2"})
        assert (refused.status, "Idempotent-Replayed" in refused.headers) == (404, False)
    wrong = await api.post("/api/v1/coupon_batches", json=BATCH, headers={once.HEADER: "有 空格"})
    assert wrong.status == 422
    kept = await services.db.read(lambda conn: conn.execute(audit_entry.select()).all())
    assert sum(row.outcome == "done" and row.entity == "coupon_batch" for row in kept) == 1


async def test_who_died_in_the_middle_leaves_the_key_to_the_next(
    api: Api, services: Services, clock: FakeClock
) -> None:
    asked = once._Asked(once._hash(b"x"), once._hash(b"y"))
    begin = lambda: services.db.write(once._begin, asked, clock.now())  # noqa: E731
    assert await begin() is None
    waiting = await begin()
    assert waiting is not None
    assert waiting.status is None
    clock.advance(seconds=timedelta(minutes=2).total_seconds())
    assert await begin() is None


async def open_twice(stack: AsyncExitStack, database_url: str, wecom: Any, clock: FakeClock, most: int) -> list[Api]:
    """The same shop served by two processes."""
    settings = make_settings(database_url, wecom.url, api={"per_minute": most})
    doors = []
    for _ in range(2):
        services = await stack.enter_async_context(open_services(settings, clock))
        doors.append(await stack.enter_async_context(TestClient(TestServer(build_app(services, with_worker=False)))))
    keys = [await services.db.write(make_key, name, "manager", now=clock.now()) for name in ("erp", "bi")]
    doors[0].keys = [{"Authorization": f"Bearer {key}"} for key in keys]  # type: ignore[attr-defined]
    return doors


async def test_a_key_that_asks_too_often_is_told_when_to_come_again_by_every_process(
    database_url: str, wecom: Any, clock: FakeClock
) -> None:
    async with AsyncExitStack() as stack:
        one, two = await open_twice(stack, database_url, wecom, clock, 3)
        busy, calm = one.keys  # type: ignore[attr-defined]
        left = []
        for door in (one, two, one):
            answer = await door.get("/api/v1/fields", headers=busy)
            assert (answer.status, answer.headers["RateLimit-Limit"]) == (200, "3")
            left.append((answer.headers["RateLimit-Remaining"], answer.headers["RateLimit-Reset"]))
        assert left == [("2", "20"), ("1", "40"), ("0", "60")]
        for door in (two, one):
            refused = await door.get("/api/v1/fields", headers=busy)
            assert (refused.status, refused.headers["Retry-After"]) == (429, "20")
            assert "每分钟最多 3 次" in (await refused.json())["detail"]
            assert (await door.get("/api/v1/fields", headers=calm)).status == 200
        clock.advance(seconds=20)
        assert (await two.get("/api/v1/customers/9", headers=busy)).headers["RateLimit-Remaining"] == "0"
        assert (await one.get("/api/v1/fields", headers=busy)).status == 429


async def test_a_busy_key_asks_the_database_once_a_second(database_url: str, wecom: Any, clock: FakeClock) -> None:
    async with AsyncExitStack() as stack:
        one, two = await open_twice(stack, database_url, wecom, clock, 600)
        busy, _ = one.keys  # type: ignore[attr-defined]
        for door in (one, two) * 8:
            assert (await door.get("/api/v1/fields", headers=busy)).status == 200
        services = one.server.app[SERVICES]  # type: ignore[union-attr]
        (row,) = await services.db.read(lambda conn: conn.execute(api_rate.select()).all())
        # Ten for each of the two.
        assert row.full_at_ms - to_millis(clock.now()) == 20 * 100


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/customers", 422, "invalid"),
        ("/api/v1/customers/999", 404, "not_found"),
        ("/api/v1/nothing", 404, "not_found"),
        ("/api/v1/events", 405, "method_not_allowed"),
        ("/api/v1/coupons/issue", 405, "method_not_allowed"),
        ("/api/v1/coupons/redeem", 405, "method_not_allowed"),
        ("/api/v1/coupons/issued", 404, "not_found"),
    ],
)
async def test_every_error_has_one_shape(api: Api, path: str, status: int, code: str) -> None:
    answer = await api.get(path)
    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    told = await answer.json()
    assert told["type"] == f"urn:scrm:error:{code}"
    assert (told["status"], told["detail"]) == (status, told["error"]["message"])
    assert told["title"]
    assert told["error"]["code"] == code
    assert answer.headers["RateLimit-Limit"] == "600"
    assert answer.headers.get("Allow", "") == ("POST" if status == 405 else "")
