"""A shop in which every operation of the API finds something, served over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import select

from scrm.api.store import make_key
from scrm.app import build_app, open_services, publish_playbooks
from scrm.group_chats import tag_store as group_tag_store
from scrm.group_chats.keep import keep
from scrm.profiles.models import external_contact
from scrm.profiles.store import remember_tag
from scrm.segments.store import Draft, save_segment
from scrm.sop.life.published import publish
from scrm.sop.shelf import playbooks_of
from scrm.sop.text.parse import parse_playbook
from scrm.wecom.group_chats import read_group_chat
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.world import ANING, XIAOMAN, World, make_settings

_TRACKED = {"write_key": "tk_0123456789abcdef", "domains": "mall.example.test"}
_BY_HAND = """
playbook: care
title: 回访
priority: P2
trigger: {event: manual.started}
run_key: batch
reentry: per_key
exit_if: none
goal: {event: order.paid, within: 7d}
holdout: 10%
steps:
  - {id: say, at: "T0+1h", channel: T, late: drop, ttl: 24h, quiet: none, content: {text: 您好}}
"""
ORDER = {
    "channel": "mall",
    "shop_key": "main",
    "order_no": "M1",
    "status": "shipped",
    "paid_fen": 12800,
    "ordered_at": "2026-03-01T09:58:00+08:00",
    "paid_at": "2026-03-01T09:59:00+08:00",
    "buyer_ref": {"wecom_external_userid": XIAOMAN, "mobile_e164": "+8613800138000"},
    "receiver": {"name": "林小满", "phone": "13800138000", "address": "文三路 1 号"},
    "lines": [{"line_key": "1", "title": "桂花乌龙礼盒", "unit_price_fen": 12800}],
    "payments": [{"pay_key": "wx1", "amount_fen": 12800, "paid_at": "2026-03-01T09:59:00+08:00"}],
    "shipments": [{"tracking_no": "SF1", "carrier_code": "sf", "shipped_at": "2026-03-01T12:00:00+08:00"}],
    "refunds": [{"refund_no": "R1", "status": "requested", "amount_fen": 100}],
}


@dataclass
class Window:
    """The client carries an administrator's key; `names` are what stands in for the names of an address."""

    world: World
    client: "TestClient[Any, Any]"
    key: str
    names: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return str(self.client.make_url("")).rstrip("/")

    async def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The answer of a call that goes well."""
        answer = await self.client.request(method, path, json=body, params=query)
        assert answer.status < 300, (method, path, await answer.text())
        return await answer.json() if answer.status != 204 else None


@asynccontextmanager
async def open_window(database_url: str, wecom: FakeWeCom, wecom_url: str) -> AsyncIterator[Window]:
    clock = FakeClock()
    settings = make_settings(
        database_url, wecom_url, api={"per_minute": 1_000_000}, tracking=_TRACKED, webhooks={"allow_private": True}
    )
    async with open_services(settings, clock) as services:
        assert await publish_playbooks(services) == []
        key = await services.db.write(make_key, "erp", "administrator", now=clock.now(), sees_private=True)
        server = TestServer(build_app(services, with_worker=False))
        async with TestClient(server, headers={"Authorization": f"Bearer {key}"}) as client:
            window = Window(World(services, clock, wecom, client), client, key)
            await _furnish(window)
            yield window


async def _furnish(window: Window) -> None:
    world, ask = window.world, window.ask
    await world.services.db.write(_publish, _BY_HAND, world.clock.now())
    await world.services.db.read(playbooks_of(world.services).load)
    await world.add(XIAOMAN)
    await world.add(ANING)
    await world.services.db.write(_gather, world.clock.now())
    persons = dict(await world.services.db.read(lambda conn: conn.execute(select(*_OWNERS)).all()))
    batch = {"key": "new72h", "title": "新人券", "face_fen": 3000, "valid_hours": 72}
    order = (await ask("POST", "/api/v1/orders", [ORDER]))["items"][0]
    await ask("POST", "/api/v1/coupon_batches", batch)
    coupon = await ask(
        "POST", "/api/v1/coupons/issue", {"batch": "new72h", "reason": "first", "external_userid": XIAOMAN}
    )
    field_wanted = {"entity": "person", "title": "肤质", "key": "skin", "type": "text"}
    await ask("POST", "/api/v1/fields", field_wanted)
    await ask("PUT", "/api/v1/event_types/custom.trial", {"title": "预约试用", "facts": {"product": "text"}})
    link = {"key": "guide", "title": "护理指南", "url": "https://mall.example.test/guide", "userid": "lina"}
    await ask("POST", "/api/v1/radar/links", link)
    hook = {"title": "数据仓库", "url": f"{window.url}/nowhere", "events": ["custom.trial"]}
    hook_id = (await ask("POST", "/api/v1/webhooks", hook))["id"]
    event = {"name": "custom.trial", "person": {"external_userid": XIAOMAN}, "facts": {"product": "面霜"}}
    await ask("POST", "/api/v1/events", event)
    await world.pass_time(hours=1)
    (delivery,) = (await ask("GET", f"/api/v1/webhooks/{hook_id}/deliveries"))["items"]
    window.names |= {
        "person_id": persons[XIAOMAN],
        "other_id": persons[ANING],
        "order_id": order["id"],
        "code": coupon["code"],
        "entity": "person",
        "event_type": "custom.trial",
        "webhook": hook_id,
        "delivery_id": delivery["id"],
        "userid": "lina",
        "external_userid": XIAOMAN,
        "chat_id": "wr1",
    }


_OWNERS = (external_contact.c.external_userid, external_contact.c.person_id)


def _publish(conn: Any, text: str, now: Any) -> None:
    publish(conn, parse_playbook(text, file_name="care.yaml"), now=now)


def _gather(conn: Any, now: Any) -> None:
    people = [{"userid": "lina", "type": 1, "join_time": 1772416800}, {"userid": XIAOMAN, "type": 2}]
    told = {"chat_id": "wr1", "owner": "lina", "create_time": 1772416800, "member_list": people}
    keep(conn, read_group_chat(told), now=now)
    group_tag_store.set_tags(conn, "wr1", ["老客"])
    remember_tag(conn, "et1", "老客", "类别")
    save_segment(conn, Draft("list", "名单"), now=now)
