"""Events that other systems are told of: signed, in order, until they have arrived."""

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from scrm import events
from scrm.api.store import make_key
from scrm.app import build_app, open_services, publish_playbooks
from scrm.audit import audit_entry
from scrm.doctor.checks.webhooks import webhooks
from scrm.doctor.look import Look
from scrm.profiles import store as profiles
from scrm.sop.members.notice_tables import notice
from scrm.webhooks import deliver
from scrm.webhooks.models import webhook, webhook_delivery
from scrm.work import queue
from tests.console.conftest import SignIn, Visitor, sign_in
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.postgresql_server import free_port
from tests.waiting import eventually
from tests.world import XIAOMAN, World, make_settings
from web import build

__all__ = ["sign_in"]

PATH = "/api/v1/webhooks"


@dataclass
class Warehouse:
    """A real server on loopback that keeps what it is told, and answers as it should."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    always: int = 200

    async def receive(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else self.always)

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]

    @property
    def numbers(self) -> list[int]:
        return [each["facts"]["number"] for each in self.told]


@pytest.fixture
async def warehouse(aiohttp_server: Any) -> Warehouse:
    there, app = Warehouse(), web.Application()
    app.router.add_post("/events", there.receive)
    there.url = str((await aiohttp_server(app)).make_url("/events"))
    return there


@pytest.fixture
async def world(database_url: str, clock: FakeClock, wecom: FakeWeCom) -> AsyncIterator[World]:
    settings = make_settings(database_url, wecom.url, webhooks={"allow_private": True})  # type: ignore[attr-defined]
    async with open_services(settings, clock) as services:
        assert await publish_playbooks(services) == []
        key = await services.db.write(make_key, "erp", "manager", now=clock.now())
        client = TestClient(
            TestServer(build_app(services, with_worker=False)), headers={"Authorization": f"Bearer {key}"}
        )
        async with client:
            world = World(services, clock, wecom, client)
            await world.add()
            yield world


async def subscribe(world: World, url: str, *names: str) -> dict[str, Any]:
    body = {"title": "数据仓库", "url": url, "events": list(names) or ["custom.sample"]}
    answer = await world.client.post(PATH, json=body)
    assert answer.status == 201, await answer.text()
    made: dict[str, Any] = await answer.json()
    return made


async def happen(world: World, *numbers: int, name: str = "custom.sample") -> None:
    """Something that was told of Xiaoman."""
    now = world.clock.now()
    contact = await world.services.db.read(profiles.find_contact, XIAOMAN)
    assert contact is not None
    told = [events.Event(name, now, contact.person_id, XIAOMAN, "lina", facts={"number": number}) for number in numbers]
    await world.services.db.write(events.publish, told, now=now)
    await world.services.worker.drain()


async def later(world: World, **by: float) -> None:
    world.clock.advance(**by)
    await world.services.worker.drain()


async def states(world: World) -> list[str]:
    return [row.state for row in sorted(await world.rows(webhook_delivery), key=lambda row: row.event_id)]


async def test_an_event_is_told_signed_to_who_asked_for_it_and_to_nobody_else(
    world: World, warehouse: Warehouse
) -> None:
    made = await subscribe(world, warehouse.url, "custom.sample", "order.*")
    await happen(world, 1)
    await happen(world, 2, name="kf.entered")
    await later(world, seconds=1)
    ((headers, body),) = warehouse.got
    signed = f"{headers['X-Scrm-Timestamp']}.".encode() + body
    expected = hmac.new(made["secret"].encode(), signed, hashlib.sha256).hexdigest()
    assert headers["X-Scrm-Signature"] == f"v1={expected}"
    told = json.loads(body)
    (row,) = await world.rows(webhook_delivery)
    assert told["id"] == headers["Idempotency-Key"] == f"webhook:{row.id}"
    assert (told["type"], headers["X-Scrm-Event"]) == ("custom.sample", "custom.sample")
    assert told["customer"]["external_userid"] == XIAOMAN
    assert (told["member"], told["facts"]) == ({"userid": "lina"}, {"number": 1})
    assert row.state == "done"
    (kept,) = await world.rows(webhook)
    assert made["secret"] not in str(kept)
    assert "secret" not in (await (await world.client.get(PATH)).json())["items"][0]
    assert made["secret"] not in str(await world.rows(audit_entry))


async def test_what_cannot_be_delivered_waits_in_order_and_goes_out_once_the_other_side_is_back(
    world: World, warehouse: Warehouse
) -> None:
    await subscribe(world, warehouse.url)
    warehouse.statuses = [500, 503]
    await happen(world, 1, 2)
    await later(world, seconds=1)
    await happen(world, 3)
    assert warehouse.numbers == [1]
    await later(world, seconds=5)
    assert warehouse.numbers == [1, 1]  # the second try waits for half a minute
    await later(world, seconds=29)
    assert warehouse.numbers == [1, 1]
    await later(world, seconds=2)
    await later(world, seconds=1)
    assert warehouse.numbers == [1, 1, 1, 2, 3]
    assert len({headers["Idempotency-Key"] for headers, _ in warehouse.got}) == 3
    assert await states(world) == ["done"] * 3
    (row,) = await world.rows(webhook)
    assert (row.failing_since, row.refusals) == (None, 0)


async def test_who_is_killed_in_the_middle_tells_it_again_under_the_same_id(world: World, warehouse: Warehouse) -> None:
    await subscribe(world, warehouse.url)
    await happen(world, 1)
    world.clock.advance(seconds=1)
    (item,) = await world.services.db.write(queue.claim, "outward", now=world.clock.now())

    class Killed(BaseException):
        """The process ends after the call, before anything is written."""

    write = world.services.db.write

    async def killed(work: Any, *args: Any, **more: Any) -> Any:
        if work is deliver._note_arrival:
            raise Killed
        return await write(work, *args, **more)

    object.__setattr__(world.services.db, "write", killed)
    with pytest.raises(Killed):
        await deliver.run_deliver(world.services, item)
    object.__setattr__(world.services.db, "write", write)
    assert await states(world) == ["waiting"]
    world.clock.advance(seconds=61)
    await world.services.db.write(queue.release_expired, now=world.clock.now())
    await world.services.worker.drain()
    first, second = (headers["Idempotency-Key"] for headers, _ in warehouse.got)
    assert first == second
    assert await states(world) == ["done"]


async def test_a_refusal_does_not_hold_up_the_next_and_can_be_told_again(world: World, warehouse: Warehouse) -> None:
    made = await subscribe(world, warehouse.url)
    warehouse.statuses = [400]
    await happen(world, 1, 2)
    await later(world, seconds=1)
    assert (warehouse.numbers, await states(world)) == ([1, 2], ["failed", "done"])
    log = f"{PATH}/{made['id']}/deliveries"
    (failed,) = (await (await world.client.get(f"{log}?state=failed")).json())["items"]
    assert "HTTP 400" in failed["said"]
    assert (await world.client.post(f"{log}/{failed['id']}/replay")).status == 202
    await later(world, seconds=1)
    assert warehouse.numbers == [1, 2, 1]
    assert warehouse.got[0][0]["Idempotency-Key"] == warehouse.got[2][0]["Idempotency-Key"]
    assert await states(world) == ["done", "done"]
    page = await (await world.client.get(f"{log}?limit=1&cursor={failed['id'] + 1}")).json()
    assert [each["id"] for each in page["items"]] == [failed["id"]]
    assert (await world.client.post(f"{log}/999999/replay")).status == 404


async def test_after_a_day_of_failures_it_is_paused_administrators_are_told_and_nothing_is_lost(
    world: World, warehouse: Warehouse, sign_in: SignIn
) -> None:
    boss = await sign_in("boss", "老板", "administrator")
    made = await subscribe(world, warehouse.url)
    warehouse.always = 503
    await happen(world, 1)
    for _ in range(30):
        await later(world, hours=1)
    tried = len(warehouse.got)
    assert 20 < tried < 35
    (row,) = await world.rows(webhook)
    assert (row.state, "24 小时没有推送成功" in row.paused_why) == ("paused", True)
    (told,) = await world.rows(notice)
    assert (told.title, told.notify, told.is_urgent) == ("事件推送“数据仓库”已暂停", "role:administrator", True)
    await happen(world, 2)
    await later(world, hours=1)
    assert len(warehouse.got) == tried
    page = await boss.get(f"/console/webhooks/{made['id']}")
    assert "有 2 条在等，恢复后按顺序补发" in page
    warehouse.always, warehouse.got = 200, []
    assert (await boss.post(f"/console/webhooks/{made['id']}/resume")).status == 303
    await later(world, seconds=2)
    assert warehouse.numbers == [1, 2]


async def test_an_address_that_is_gone_or_refuses_everything_is_paused(world: World, warehouse: Warehouse) -> None:
    made = await subscribe(world, warehouse.url)
    warehouse.statuses = [410]
    await happen(world, 1)
    await later(world, seconds=1)
    (row,) = await world.rows(webhook)
    assert (row.state, "HTTP 410" in row.paused_why) == ("paused", True)
    assert (await world.client.patch(f"{PATH}/{made['id']}", json={"state": "on"})).status == 200
    warehouse.always = 401
    await happen(world, *range(2, 40))
    await later(world, seconds=1)
    (row,) = await world.rows(webhook)
    assert (row.state, row.paused_why[:6]) == ("paused", "连续 20 ")
    assert (await states(world)).count("waiting") == 18


async def test_our_own_network_is_closed_and_addresses_and_events_are_checked(
    database_url: str, clock: FakeClock, wecom: FakeWeCom, warehouse: Warehouse, world: World
) -> None:
    for body, says in (
        ({"url": "ftp://x.example"}, "https://"),
        ({"url": "https://u:p@x.example"}, "用户名和密码"),
        ({"events": []}, "至少选择一种"),
        ({"events": ["order.payed"]}, "不认识的事件 order.payed"),
        ({"title": " "}, "请填写名称"),
    ):
        asked = {"title": "仓库", "url": "https://x.example", "events": ["*"], **body}
        answer = await world.client.post(PATH, json=asked)
        assert (answer.status, says in (await answer.json())["detail"]) == (422, True), body
    await subscribe(world, warehouse.url)
    closed = world.services.settings.webhooks.model_copy(update={"allow_private": False})
    settings = world.services.settings.model_copy(update={"webhooks": closed})
    object.__setattr__(world.services, "settings", settings)
    await happen(world, 1)
    await later(world, seconds=1)
    (row,) = await world.rows(webhook_delivery)
    assert (warehouse.got, row.state, "内网地址" in row.said) == ([], "failed", True)
    answer = await world.client.post(PATH, json={"title": "仓库", "url": warehouse.url, "events": ["*"]})
    assert answer.status == 422


async def test_the_safety_net_wakes_what_has_no_work_and_sweeps_what_is_old(world: World, warehouse: Warehouse) -> None:
    made = await subscribe(world, warehouse.url)
    await happen(world, 1)
    await world.services.db.write(lambda conn: conn.exec_driver_sql("DELETE FROM work_item") and None)
    await later(world, seconds=5)
    assert warehouse.got == []
    await deliver.tick(world.services)
    await later(world, seconds=1)
    assert warehouse.numbers == [1]
    world.clock.advance(days=30, seconds=10)
    await deliver.tick(world.services)
    assert await world.rows(webhook_delivery) == []
    await happen(world, 2)
    assert (await world.client.delete(f"{PATH}/{made['id']}")).status == 204
    await later(world, seconds=1)
    assert (warehouse.numbers, await world.rows(webhook), await world.rows(webhook_delivery)) == ([1], [], [])


async def send(visitor: Visitor, path: str, **fields: Any) -> tuple[int, str]:
    data = {"csrf": visitor.csrf, **fields}
    answer = await visitor.world.client.post(path, data=data, headers=visitor.cookie, allow_redirects=False)
    return answer.status, await answer.text()


async def test_the_page_makes_shows_the_secret_once_changes_pauses_replays_and_deletes(
    world: World, warehouse: Warehouse, sign_in: SignIn
) -> None:
    boss = await sign_in("boss", "老板", "administrator")
    home = "/console/webhooks"
    assert "还没有推送" in await boss.get(home)
    status, html = await send(boss, home, title="仓库", url="not a url", events="order.paid")
    assert (status, "https://" in html, 'value="not a url"' in html) == (422, True, True)
    status, html = await send(boss, home, title="仓库", url=warehouse.url, events="order.paid", own="custom.sample")
    assert (status, "whsec_" in html) == (200, True)
    (row,) = await world.rows(webhook)
    assert row.events == ["order.paid", "custom.sample"]
    page = await boss.get(home)
    assert "whsec_" not in page.html
    assert "付款、custom.sample" in page
    one = f"{home}/{row.id}"
    warehouse.statuses = [400, 400]
    await happen(world, 1, 2)
    await later(world, seconds=1)
    page = await boss.get(f"{one}?state=failed")
    assert "对方拒收（HTTP 400）" in page
    assert (await boss.post(f"{one}/replay")).headers["Location"] == f"{one}?replayed=2"
    await later(world, seconds=1)
    assert await states(world) == ["done", "done"]
    (first, _) = sorted(await world.rows(webhook_delivery), key=lambda each: each.event_id)
    assert (await boss.post(f"{one}/{first.id}/replay")).status == 303
    await later(world, seconds=1)
    assert warehouse.numbers == [1, 2, 1, 2, 1]
    status, html = await send(boss, f"{one}/secret")
    assert (status, "whsec_" in html) == (200, True)
    await boss.post(f"{one}/pause")
    assert "已暂停：老板 暂停" in await boss.get(one)
    assert (await send(boss, one, title="新仓库", url=warehouse.url, all="1"))[0] == 303
    (row,) = await world.rows(webhook)
    assert (row.title, row.events) == ("新仓库", ["*"])
    assert (await (await sign_in("chen", "陈岚", "manager")).get(home)).status == 403
    await boss.post(f"{one}/delete")
    assert (await boss.get(one)).status == 404


async def test_an_erased_customers_events_are_not_told(world: World, warehouse: Warehouse) -> None:
    await subscribe(world, warehouse.url)
    await happen(world, 1)
    await world.services.db.write(lambda conn: conn.execute(events.event.delete()) and None)
    await later(world, seconds=1)
    (row,) = await world.rows(webhook_delivery)
    assert (warehouse.got, row.state, row.said) == ([], "failed", "客户资料已删除，不再推送")


def test_delays_grow_with_the_tries_of_the_delivery() -> None:
    waits = [deliver._later(deliver.TryAgain("x", delays=()), tries, 3).delays for tries in range(8)]
    assert [each[2] for each in waits] == [5, 30, 120, 600, 1800, 3600, 3600, 3600]
    asked = deliver._later(deliver.TryAgain("x", delays=(), retry_after=7), 0, 1)
    assert timedelta(seconds=asked.delays[0]) == timedelta(seconds=7)


async def test_a_sample_is_sent_at_once_and_the_page_shows_what_came_back(
    world: World, warehouse: Warehouse, sign_in: SignIn
) -> None:
    boss = await sign_in("boss", "老板", "administrator")
    made = await subscribe(world, warehouse.url)
    one = f"/console/webhooks/{made['id']}"
    await boss.post(f"{one}/pause")
    status, html = await send(boss, f"{one}/test")
    assert (status, "测试已送达" in html, "HTTP 200" in html) == (200, True, True)
    ((headers, body),) = warehouse.got
    signed = f"{headers['X-Scrm-Timestamp']}.".encode() + body
    assert headers["X-Scrm-Signature"] == f"v1={hmac.new(made['secret'].encode(), signed, hashlib.sha256).hexdigest()}"
    told = json.loads(body)
    assert (told["type"], told["id"]) == ("webhook.test", headers["Idempotency-Key"])
    assert set(told) == {"id", "type", "event_id", "occurred_at", "customer", "member", "key", "facts"}
    warehouse.always = 401
    status, html = await send(boss, f"{one}/test")
    assert (status, "测试没有送达" in html, "对方拒收（HTTP 401）" in html) == (200, True, True)
    answer = await (await world.client.post(f"{PATH}/{made['id']}/test")).json()
    assert (answer["is_good"], answer["status"]) == (False, 401)
    (row,) = await world.rows(webhook)
    assert (row.state, row.refusals, row.failing_since) == ("paused", 0, None)
    assert await world.rows(webhook_delivery) == []
    await world.client.patch(f"{PATH}/{made['id']}", json={"url": "http://127.0.0.1:9/none"})
    assert "连不上对方" in (await send(boss, f"{one}/test"))[1]


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_the_receiver_of_the_documentation_takes_what_is_ours_once_and_nothing_else(
    world: World, tmp_path: Path
) -> None:
    """In another language than ours: the example as it stands in docs/api.md."""
    (script,) = re.findall(r"```js\n(.*?)```", (Path(__file__).parents[2] / "docs/api.md").read_text(), re.DOTALL)
    (tmp_path / "receiver.mjs").write_text(script)
    port = free_port()
    world.clock.move_to(datetime.now(UTC))
    made = await subscribe(world, f"http://127.0.0.1:{port}/")
    process = await asyncio.create_subprocess_exec(
        build.node_program(),
        str(tmp_path / "receiver.mjs"),
        env={"SCRM_SECRET": made["secret"], "PORT": str(port)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await eventually(partial(listens, port))
        await happen(world, 1, 2)
        await later(world, seconds=1)
        first, *_ = sorted(await world.rows(webhook_delivery), key=lambda row: row.event_id)
        await world.client.post(f"{PATH}/{made['id']}/deliveries/{first.id}/replay")
        await later(world, seconds=1)
        assert [row.said for row in await world.rows(webhook_delivery)] == ["回执 2", "回执 2"]
        async with world.services.http.post(f"http://127.0.0.1:{port}/", json={"id": "forged"}) as answer:
            assert answer.status == 401
    finally:
        process.kill()
        out, _ = await process.communicate()
    assert out.decode().splitlines() == ["custom.sample 1 { number: 1 }", "custom.sample 1 { number: 2 }"]


async def test_the_doctor_tells_of_a_hook_that_fails_or_is_paused(world: World, warehouse: Warehouse) -> None:
    async def state() -> tuple[str, str]:
        finding = await webhooks(Look(world.services))
        return finding.state.value, finding.found

    assert await state() == ("good", "没有设置事件推送。")
    made = await subscribe(world, warehouse.url)
    assert (await state())[0] == "good"
    warehouse.always = 503
    await happen(world, 1)
    await later(world, seconds=1)
    assert (await state())[0] == "good"
    await later(world, hours=1)
    assert await state() == ("warn", "“数据仓库”推送失败，正在自动重试。")
    await world.client.patch(f"{PATH}/{made['id']}", json={"state": "paused"})
    assert await state() == ("bad", "“数据仓库”（1 条在等）已暂停：接口暂停。")
