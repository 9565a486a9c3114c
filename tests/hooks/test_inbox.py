"""Kept before it is answered, applied once, shown and replayed where it cannot be read."""

import asyncio
import json
import random
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from scrm.app import open_services
from scrm.commerce.connectors.hook import Answer, Delivery
from scrm.commerce.hooks import inbox, store
from scrm.commerce.hooks.inbox import Kept
from scrm.commerce.hooks.kinds import Hooks, open_hooks
from scrm.commerce.hooks.models import hook_message
from scrm.commerce.hooks.run import tick
from scrm.commerce.models import orders
from scrm.work.models import work_item
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.hooks.conftest import SOURCES, Platforms
from tests.world import make_settings

ORDER = {"order_no": "M1", "status": "paid", "paid_fen": 100, "updated_at": "2026-03-02T09:59:00+08:00"}


@pytest.mark.parametrize(
    ("source", "body", "status"),
    [
        ("nobody", b"{}", 404),
        ("yz", b"", 401),
        ("dd", b"[]" * 10, 401),
        ("shopify", b"\xff\xfe", 401),
        ("store", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml>&e;</xml>', 401),
        ("mall", b"x" * 2_000_001, 413),
    ],
)
async def test_what_no_platform_sent_is_refused_and_not_kept(
    platforms: Platforms, source: str, body: bytes, status: int
) -> None:
    response = await platforms.client.post(f"/hooks/{source}", data=body)
    assert response.status == status
    assert (await response.json())["error"]["message"]
    assert await platforms.rows(hook_message) == []


async def test_strange_but_signed_messages_are_acknowledged_kept_and_shown(platforms: Platforms) -> None:
    strange: list[tuple[str, Any]] = [
        ("yz", b"not json \xff"),
        ("yz", {"type": "trade_TradePaid", "msg": "%7Bbroken"}),
        ("dd", [{"tag": "101", "msg_id": "x", "data": "{"}]),
        ("dd", [{"tag": "101", "msg_id": "y", "data": '{"shop_id":1}'}]),
        ("shopify", {"id": 1, "total_price": "a lot", "financial_status": "paid"}),
        ("shopify", {"id": 2, "created_at": "yesterday"}),
        ("woo", b"[" * 100_000),
        ("store", b'<!DOCTYPE x [<!ENTITY e "x">]><xml><Event>channels_ec_order_pay</Event></xml>'),
        ("store", {"Event": "channels_ec_order_pay", "order_info": {}}),
        ("mall", [{"order_no": "bad\0number", "status": "paid"}]),
        ("mall", [{"order_no": "M9", "status": "paid", "paid_at": "2199-01-01T00:00:00+08:00"}]),
    ]
    for source, told in strange:
        await platforms.push(source, told)
    rows = await platforms.rows(hook_message)
    assert [(row.source, row.state) for row in rows] == [(source, "unreadable") for source, _ in strange]
    assert all(row.reason for row in rows)
    await platforms.push("mall", [ORDER])
    assert (await platforms.order("M1"))["paid_fen"] == 100


@pytest.mark.parametrize("note", [r"\ud83d", "\ufeff", "\t"])
async def test_half_a_character_in_a_note_costs_no_order(platforms: Platforms, note: str) -> None:
    body = json.dumps({**ORDER, "buyer_note": "NOTE"}).replace("NOTE", f"送到前台{note}")
    await platforms.push("mall", f"\ufeff{body}".encode())
    ((status, paid_fen),) = [(row.status, row.paid_fen) for row in await platforms.rows(orders)]
    assert (status, paid_fen) == ("paid", 100)


async def test_a_message_is_replayed_after_a_mend(platforms: Platforms) -> None:
    await platforms.post("mall", [ORDER])
    mended = platforms.services.memory[Hooks].pop("mall")
    await platforms.services.worker.drain()
    (row,) = await platforms.rows(hook_message)
    assert (row.state, "没有来源 mall" in row.reason) == ("failed", True)
    platforms.services.memory[Hooks]["mall"] = mended
    assert await platforms.services.db.write(store.replay, now=platforms.clock.now()) == 1
    await platforms.services.worker.drain()
    assert (await platforms.rows(hook_message))[0].state == "done"
    assert (await platforms.order("M1"))["paid_fen"] == 100


async def test_the_same_message_is_applied_once_and_a_used_nonce_is_refused(platforms: Platforms) -> None:
    first = await platforms.post("mall", [ORDER])
    signed = {
        name: first.request_info.headers[name] for name in ("X-Scrm-Timestamp", "X-Scrm-Nonce", "X-Scrm-Signature")
    }
    again = await platforms.client.post("/hooks/mall", data=json.dumps([ORDER]).encode(), headers=signed)
    assert (first.status, again.status) == (200, 200)
    platforms._count -= 1
    other = await platforms.post("mall", [ORDER | {"paid_fen": 1}])
    assert other.status == 409
    assert len(await platforms.rows(hook_message)) == 1


async def test_a_number_alone_is_asked_for_when_the_keys_are_there(
    platforms: Platforms, aiohttp_server: Any, clock: FakeClock
) -> None:
    asked: list[tuple[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.path, await request.json()))
        if request.path.endswith("stable_token"):
            return web.json_response({"access_token": "t", "expires_in": 7200})
        if len(asked) == 2:
            return web.json_response({"errcode": 40001})
        order = {"order_id": 37, "status": 20, "update_time": 1772416800}
        order |= {"is_present": True, "unionid": "oUnionWhoGetsIt", "present_giver_unionid": "oUnionXiaoman"}
        order["order_detail"] = {
            "price_info": {"product_price": 12800, "order_price": 11800, "freight": 0, "discounted_price": 1000},
            "pay_info": {"pay_time": 1772416740, "transaction_id": "42", "payment_method": 1},
            "product_infos": [{"product_id": 5, "sku_id": 6, "sku_cnt": 1, "title": "Tea", "sale_price": 12800}],
        }
        return web.json_response({"errcode": 0, "order": order})

    app = web.Application()
    app.router.add_post("/{tail:.*}", answer)
    server = await aiohttp_server(app)
    options = SOURCES["store"] | {"secret": "s", "api_base": str(server.make_url("")).rstrip("/")}
    settings = make_settings("sqlite:///x", "https://qyapi.example.test", sources={"store": options})
    platforms.services.memory[Hooks] = open_hooks(settings)
    for at in (1772416740, 1772416741):
        await platforms.push(
            "store", {"Event": "channels_ec_order_pay", "CreateTime": at, "order_info": {"order_id": 37}}
        )
    for _ in range(3):
        clock.advance(seconds=6)
        await platforms.services.worker.drain()
    assert [path.rsplit("/", 1)[-1] for path, _ in asked] == ["stable_token", "get", "stable_token", "get"]
    order = await platforms.order("37")
    assert (order["paid_fen"], order["lines"][0]["title"], order["payments"][0]["method"]) == (11800, "Tea", "wechat")
    assert [row.buyer_unionid for row in await platforms.rows(orders)] == ["oUnionXiaoman"]  # who gave it


@pytest.fixture(params=["sqlite", "postgresql"])
def either_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


async def test_a_burst_is_kept_and_applied_without_a_loss_in_whatever_order(
    either_url: str, clock: FakeClock, wecom: FakeWeCom
) -> None:
    settings = make_settings(either_url, wecom.url, sources=SOURCES)  # type: ignore[attr-defined]
    updates = [(order, version) for order in range(60) for version in range(5)]
    random.Random(3).shuffle(updates)
    async with open_services(settings, clock) as services:

        async def push(order: int, version: int) -> Kept:
            status = ("pending_payment", "paid", "shipped", "shipped", "completed")[version]
            told = ORDER | {
                "order_no": f"B{order}",
                "status": status,
                "updated_at": f"2026-03-02T09:0{version}:00+08:00",
            }
            delivery = Delivery(json.dumps(told).encode(), f"{order}-{version}", "orders", Answer())
            return await inbox.accept(services.db, services.vault, "mall", delivery, clock.now())

        waiting = [push(*update) for update in updates] + [push(*updates[0])]
        kept = await asyncio.gather(*waiting)
        assert kept.count(Kept.NEW) == len(updates)
        assert kept.count(Kept.REPEATED) == 1
        await services.worker.drain()
        rows = await services.db.read(lambda conn: list(conn.execute(orders.select())))
        assert {row.status for row in rows} == {"completed"}
        assert len(rows) == 60
        left = await services.db.read(
            lambda conn: list(conn.execute(work_item.select().where(work_item.c.lane == "hook")))
        )
        assert left == []

        # A work item that was buried comes back by the clock, and old bodies are emptied.
        await services.db.write(lambda conn: conn.execute(hook_message.update().values(state="new")))
        clock.advance(seconds=30)
        await tick(services)
        await services.worker.drain()
        clock.advance(seconds=timedelta(days=services.settings.retention.hook_body_days, seconds=1).total_seconds())
        await tick(services)
        rows = await services.db.read(lambda conn: list(conn.execute(hook_message.select())))
        assert {(row.state, row.body_sealed) for row in rows} == {("done", "")}
