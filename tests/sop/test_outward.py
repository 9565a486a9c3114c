"""Calls of systems outside WeCom: signed, done once, repeated when that helps, never into our own network."""

import hashlib
import hmac
import ipaddress
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from scrm.addresses import NotPublic, is_public, resolve
from scrm.outgoing import post
from scrm.profiles.models import person
from scrm.sop import outward
from scrm.sop.channels import channel_of
from scrm.sop.models import step_run
from scrm.sop.outward import secret_for
from scrm.sop.schema import Content, Step
from tests.fakes.clock import FakeClock
from tests.fakes.deaths import Killed, revive
from tests.fakes.wecom import FakeWeCom
from tests.sop.shop import Shop, open_shop, playbook_of, step

SECRET = "a secret of the sms service"


@dataclass
class SmsService:
    """A real server on loopback that keeps what it gets, and answers as it is told."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)

    async def receive(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        return self.answers.pop(0) if self.answers else web.json_response({"receipt": "SMS-1", "phone": "13800000000"})


@pytest.fixture
async def sms(aiohttp_server: Any) -> SmsService:
    service = SmsService()
    app = web.Application()
    app.router.add_post("/send", service.receive)
    service.url = str((await aiohttp_server(app)).make_url("/send"))
    return service


@pytest.fixture
async def shop(sqlite_url: str, clock: FakeClock, wecom: FakeWeCom, sms: SmsService) -> AsyncIterator[Shop]:
    endpoints = {
        "sms": {"url": sms.url, "secret": SECRET, "allow_private": True},
        "inside": {"url": sms.url, "secret": SECRET},
    }
    async with open_shop(sqlite_url, clock, wecom, outward=endpoints) as shop:
        yield shop


def call(to: str = "sms", **more: Any) -> Step:
    said = Content(text="{{ nickname }}，您的券明晚到期")
    return step("sms", "T0", "K", content=said, options={"to": to, "data": {"template": "SMS_123"}}, **more)


async def outcome(shop: Shop) -> tuple[str, str]:
    (row,) = await shop.rows(step_run)
    return row.state, row.reason


async def test_a_call_is_signed_carries_the_steps_key_and_its_receipt_is_kept(shop: Shop, sms: SmsService) -> None:
    await shop.run(playbook_of(call()))
    who = await shop.add()
    await shop.settle()
    ((headers, body),) = sms.got
    stamp = headers["X-Scrm-Timestamp"]
    expected = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["X-Scrm-Signature"] == f"v1={expected}"
    assert headers["Idempotency-Key"] == "outward:1"
    assert headers["Host"] == URL(sms.url).authority
    said = json.loads(body)
    assert (said["text"], said["data"]) == ("小满，您的券明晚到期", {"template": "SMS_123"})
    assert said["customer"] == {"id": who.person_id, "external_userid": who.external_userid}
    assert await outcome(shop) == ("done", "回执 SMS-1")
    (row,) = await shop.sends()
    assert (row.kind, row.outcome, row.once) == ("outward", "sent", "outward:1")


async def test_what_passes_is_repeated_with_the_same_key_and_body_until_it_gets_through(
    shop: Shop, sms: SmsService
) -> None:
    sms.answers = [web.Response(status=502), web.Response(status=429, headers={"Retry-After": "90"})]
    await shop.run(playbook_of(call()))
    await shop.add()
    await shop.settle()
    (row,) = await shop.sends()
    assert (row.outcome, row.reason) == ("unknown", "对方返回 HTTP 502，将自动重试")
    await shop.pass_time(seconds=5)
    await shop.pass_time(seconds=60)
    assert len(sms.got) == 2
    await shop.pass_time(seconds=31)
    assert len(sms.got) == 3
    assert len({(headers["Idempotency-Key"], body) for headers, body in sms.got}) == 1
    assert len({headers["X-Scrm-Signature"] for headers, _ in sms.got}) == 3
    assert await outcome(shop) == ("done", "回执 SMS-1")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (web.Response(status=302, headers={"Location": "http://127.0.0.1/"}), "推送不跟随跳转"),
        (web.Response(status=400), "对方拒收（HTTP 400）"),
    ],
)
async def test_what_does_not_pass_is_not_repeated(
    shop: Shop, sms: SmsService, answer: web.Response, words: str
) -> None:
    sms.answers = [answer]
    await shop.run(playbook_of(call()))
    await shop.add()
    await shop.settle()
    await shop.pass_time(hours=1)
    assert len(sms.got) == 1
    state, reason = await outcome(shop)
    assert state == "failed"
    assert words in reason


@pytest.mark.parametrize(("to", "words"), [("inside", "内网地址"), ("none", "[outward.none]")])
async def test_our_own_network_and_unknown_endpoints_are_never_called(
    shop: Shop, sms: SmsService, to: str, words: str
) -> None:
    await shop.run(playbook_of(call(to)))
    await shop.add()
    await shop.settle()
    assert sms.got == []
    state, reason = await outcome(shop)
    assert state == "failed"
    assert words in reason


async def test_who_refused_meanwhile_is_not_tried_again_and_nobody_is_at_night(shop: Shop, sms: SmsService) -> None:
    sms.answers = [web.Response(status=503) for _ in range(9)]
    await shop.run(playbook_of(call(ttl=timedelta(hours=20))))
    shop.clock.advance(hours=10)
    who = await shop.add()
    await shop.settle()
    for _ in range(6):
        await shop.pass_time(minutes=15)
    before_night = len(sms.got)
    for _ in range(10):
        await shop.pass_time(hours=1)
    assert 1 < len(sms.got) == before_night  # 21:30 to 07:30 in Shanghai
    await shop.change(person, who.person_id, optout={"all": True})
    await shop.pass_time(hours=2)
    assert len(sms.got) == before_night
    assert await outcome(shop) == ("skipped", "客户已拒绝接收消息")


async def test_a_call_that_did_not_get_through_is_not_tried_again_while_a_case_is_open(
    shop: Shop, sms: SmsService
) -> None:
    sms.answers = [web.Response(status=503)]
    await shop.run(playbook_of(call(ttl=timedelta(hours=20)), step("later", "D+3")))
    who = await shop.add()
    await shop.settle()
    assert len(sms.got) == 1
    await shop.happens("refund.opened", who, key="taobao/shop/1")
    await shop.pass_time(minutes=15)
    assert len(sms.got) == 1
    assert (await outcome(shop))[0] == "skipped"


async def test_the_time_of_the_step_ends_the_tries(shop: Shop, sms: SmsService) -> None:
    sms.answers = [web.Response(status=503) for _ in range(9)]
    await shop.run(playbook_of(call(ttl=timedelta(minutes=5))))
    await shop.add()
    await shop.settle()
    for _ in range(8):
        await shop.pass_time(minutes=1)
    assert await outcome(shop) == ("failed", "多次重试仍失败：对方返回 HTTP 503")
    assert len(sms.got) == 4


@pytest.mark.parametrize("is_said", [False, True], ids=["before", "after"])
async def test_killed_around_the_call_the_repeat_has_the_same_key_and_body(
    shop: Shop, sms: SmsService, monkeypatch: pytest.MonkeyPatch, is_said: bool
) -> None:
    async def die(http: Any, made: Any, now: Any) -> str:
        if is_said:
            await post(http, made, now)
        raise Killed

    await shop.run(playbook_of(call()))
    await shop.add()
    with monkeypatch.context() as patch:
        patch.setattr(outward, "post", die)
        with pytest.raises(Killed):
            await shop.settle()
    (row,) = await shop.sends()
    assert (row.outcome, await outcome(shop)) == ("intent", ("intent", ""))
    await revive(shop.services)
    await shop.settle()
    assert len(sms.got) == 1 + is_said
    assert len({(headers["Idempotency-Key"], body) for headers, body in sms.got}) == 1
    assert await outcome(shop) == ("done", "回执 SMS-1")
    await shop.pass_time(hours=1)
    assert len(sms.got) == 1 + is_said


def test_each_host_has_a_secret_of_its_own(shop: Shop) -> None:
    secrets = {secret_for(shop.services.settings, host) for host in ("a.example", "A.example", "b.example")}
    assert len(secrets) == 2


PRIVATE = (
    "127.0.0.1",
    "10.1.2.3",
    "192.168.1.1",
    "172.16.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
    "::10.0.0.1",
)


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_of_our_own_networks_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_open_internet_are(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("url", ["http://localhost/", "http://127.1/", "http://0x7f000001/", "http://[::1]:8080/"])
async def test_names_that_lead_home_are_refused(url: str) -> None:
    with pytest.raises(NotPublic):
        await resolve(URL(url))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "二选一"),
        ({"to": "sms", "url": "https://a.example"}, "二选一"),
        ({"to": "SMS!"}, "小写字母"),
        ({"url": "http://a.example"}, "https://"),
        ({"url": "https://me:pw@a.example"}, "用户名和密码"),
        ({"to": "sms", "data": "x"}, "键: 值"),
        ({"to": "sms"}, "缺少 content"),
    ],
)
def test_an_author_reads_what_is_wrong(options: dict[str, Any], words: str) -> None:
    made = step("sms", "T0", "K", options=options)
    assert any(words in problem for problem in channel_of("K").problems(made, ()))
