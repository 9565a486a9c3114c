"""The Official Account: kept once, answered at once by keyword, known by openid and unionid; nonsense is one line."""

import base64
import os
import re
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from wechatpy.crypto import WeChatCrypto

from scrm.app import build_app, open_services
from scrm.errors import WrongUse
from scrm.events import event
from scrm.profiles import store as profiles
from scrm.profiles.models import identity, person
from scrm.wechat import store
from scrm.wechat.keywords import fold
from scrm.wechat.models import oa_follower, oa_message
from tests.fakes import wecom as fake
from tests.fakes.clock import FakeClock
from tests.world import World, make_settings

APP_ID, TOKEN = "wx5823bf96d3bd56c7", "official-account-token"
KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
OPENID = "oFollower000000000000000001"


class FakeWeChat:
    """api.weixin.qq.com: unionids by openid; a token works until it is `ended`."""

    def __init__(self) -> None:
        self.unionids: dict[str, str] = {}
        self.tokens, self.ended, self.asked, self.errcode = 0, 0, 0, 0
        self.app = web.Application()
        self.app.add_routes([web.post("/cgi-bin/stable_token", self._token), web.get("/cgi-bin/user/info", self._info)])

    async def _token(self, request: web.Request) -> web.Response:
        self.tokens += 1
        return web.json_response({"access_token": f"oa-token-{self.tokens}", "expires_in": 7200})

    async def _info(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.errcode:
            return web.json_response({"errcode": self.errcode, "errmsg": "no"})
        if int(request.query["access_token"].rpartition("-")[2]) <= self.ended:
            return web.json_response({"errcode": 42001, "errmsg": "access_token expired"})
        openid = request.query["openid"]
        return web.json_response({"subscribe": 1, "openid": openid, "unionid": self.unionids.get(openid, "")})


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
async def wechat(aiohttp_server: Any) -> FakeWeChat:
    wechat = FakeWeChat()
    server = await aiohttp_server(wechat.app)
    wechat.url = str(server.make_url("")).rstrip("/")  # type: ignore[attr-defined]
    return wechat


@pytest.fixture
async def world(database_url: str, clock: FakeClock, wechat: FakeWeChat) -> AsyncIterator[World]:
    account = {"app_id": APP_ID, "token": TOKEN, "encoding_aes_key": KEY, "secret": "oa", "api_base": wechat.url}  # type: ignore[attr-defined]
    settings = make_settings(database_url, "http://127.0.0.1:9", official_account=account)
    async with open_services(settings, clock) as services:
        now = clock.now()
        await services.db.write(store.save_reply, fold("营业时间"), "contains", "每天 10:00-22:00。", "both", now=now)
        await services.db.write(store.save_reply, fold("客服专用"), "exact", "只在客服里答", "kf", now=now)
        async with TestClient(TestServer(build_app(services, with_worker=False))) as client:
            yield World(services, clock, None, client)  # type: ignore[arg-type]


def xml(kind: str, *, at: int, openid: str = OPENID, **fields: str) -> str:
    parts = "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items())
    return (
        f"<xml><ToUserName><![CDATA[gh_shop]]></ToUserName><FromUserName><![CDATA[{openid}]]></FromUserName>"
        f"<CreateTime>{at}</CreateTime><MsgType><![CDATA[{kind}]]></MsgType>{parts}</xml>"
    )


async def post(world: World, plain: str, *, app_id: str = APP_ID, token: str = TOKEN, key: str = KEY) -> Any:
    """WeChat's side, by an envelope of the tests' own."""
    encrypted = fake.encrypt(plain.encode(), app_id, key)
    timestamp, nonce = "1772416800", os.urandom(6).hex()
    query = {
        "signature": "x",
        "timestamp": timestamp,
        "nonce": nonce,
        "encrypt_type": "aes",
        "msg_signature": fake.sign(encrypted, timestamp, nonce, token),
    }
    body = f"<xml><ToUserName>gh_shop</ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    return await world.client.post("/callbacks/oa", params=query, data=body)


def opened(answer: str) -> str:
    """The words of a sealed answer; its signature is checked."""
    found = dict(re.findall(r"<(\w+)>(?:<!\[CDATA\[)?([^<\]]+)", answer))
    assert found["MsgSignature"] == fake.sign(found["Encrypt"], found["TimeStamp"], found["Nonce"], TOKEN)
    key = base64.b64decode(KEY + "=")
    decryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
    raw = decryptor.update(base64.b64decode(found["Encrypt"])) + decryptor.finalize()
    raw = raw[: -raw[-1]]
    (length,) = struct.unpack(">I", raw[16:20])
    assert raw[20 + length :].decode() == APP_ID
    inner = raw[20 : 20 + length].decode()
    assert f"<ToUserName><![CDATA[{OPENID}]]></ToUserName>" in inner
    return re.findall(r"<Content><!\[CDATA\[(.*?)\]\]></Content>", inner, re.S)[0]


def seconds(world: World) -> int:
    return int(world.clock.now().timestamp())


async def test_a_keyword_is_answered_within_the_request_and_a_repeat_gets_the_same_and_is_one(world: World) -> None:
    plain = xml("text", at=seconds(world), Content="请问 营业时间？", MsgId="23456789012345678")
    for _ in range(3):
        answer = await post(world, plain)
        assert answer.status == 200
        assert opened(await answer.text()) == "每天 10:00-22:00。"
    (kept,) = await world.rows(oa_message)
    assert kept.answer == "每天 10:00-22:00。"
    assert len(await world.rows(event, event.c.name == "oa.message")) == 1


@pytest.mark.parametrize("said", ["你好", "客服专用", "  ", ""])
async def test_what_nobody_prepared_is_kept_and_not_answered(world: World, said: str) -> None:
    answer = await post(world, xml("text", at=seconds(world), Content=said, MsgId="1"))
    assert (answer.status, await answer.text()) == (200, "success")
    assert len(await world.rows(oa_message)) == 1


async def test_subscribe_scan_and_farewell_in_any_order_end_in_one_state(world: World) -> None:
    at = seconds(world)
    told = [
        xml("event", at=at, Event="subscribe", EventKey="qrscene_poster_618", Ticket="t"),
        xml("event", at=at + 10, Event="SCAN", EventKey="shelf_3", Ticket="t"),
        xml("event", at=at + 20, Event="unsubscribe", EventKey=""),
        xml("event", at=at + 30, Event="subscribe", EventKey=""),
    ]
    for plain in (told[3], told[2], told[0], told[1], told[0], told[3]):
        assert (await post(world, plain)).status == 200
    (follower,) = await world.rows(oa_follower)
    assert follower.subscribed
    names = sorted(row.name for row in await world.rows(event))
    assert names == ["oa.scanned", "oa.subscribed", "oa.subscribed", "oa.unsubscribed"]
    scanned = next(row for row in await world.rows(event) if row.name == "oa.scanned")
    assert scanned.key == "shelf_3"
    first = min(await world.rows(event, event.c.name == "oa.subscribed"), key=lambda row: row.occurred_at)
    assert first.facts["scene"] == "poster_618"
    await post(world, xml("event", at=at + 40, Event="unsubscribe"))
    assert not (await world.rows(oa_follower))[0].subscribed


async def test_a_follower_is_the_person_whom_the_unionid_means(world: World, wechat: FakeWeChat) -> None:
    now = world.clock.now()
    wechat.unionids[OPENID] = "oUnionXiaoman"

    def meet(conn: Any) -> int:
        contact = profiles.ensure_contact(conn, "wmXiaoman", now=now)
        profiles.add_identity(conn, contact.person_id, "wx_unionid", "oUnionXiaoman", source="auto", now=now)
        return contact.person_id

    person_id = await world.services.db.write(meet)
    await post(world, xml("event", at=seconds(world), Event="subscribe"))
    await world.settle()
    (follower,) = await world.rows(oa_follower)
    assert (follower.person_id, follower.unionid) == (person_id, "oUnionXiaoman")
    (openid,) = await world.rows(identity, identity.c.kind == "oa_openid")
    assert (openid.person_id, openid.scope, openid.value) == (person_id, APP_ID, OPENID)
    told = await world.rows(event)
    assert [(row.name, row.person_id) for row in told] == [("oa.subscribed", person_id), ("person.merged", person_id)]
    assert [row.id for row in await world.rows(person)] == [person_id]


async def test_a_token_that_ended_is_fetched_once_more_and_a_refusal_is_no_dead_letter(
    world: World, wechat: FakeWeChat
) -> None:
    wechat.ended = 1
    await post(world, xml("event", at=seconds(world), Event="subscribe"))
    await world.settle()
    assert (wechat.tokens, wechat.asked) == (2, 2)
    wechat.errcode = 48001
    await post(world, xml("event", at=seconds(world), openid="oOther", Event="subscribe"))
    await world.settle()
    assert wechat.asked == 3


BAD = {
    "another token": ({"token": "not the token"}, 403),
    "another app": ({"app_id": "wx0000000000000000"}, 403),
    "another key": ({"key": "GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba"}, 400),
}


@pytest.mark.parametrize(("how", "status"), BAD.values(), ids=BAD.keys())
async def test_a_wrong_envelope_is_refused(world: World, how: dict[str, str], status: int) -> None:
    assert (await post(world, xml("text", at=1, Content="x", MsgId="1"), **how)).status == status
    assert await world.rows(oa_message) == []


BROKEN = [
    "",
    "no xml",
    "<xml>",
    "<xml></xml>",
    "<xml><MsgType>text</MsgType></xml>",
    "<xml><MsgType>text</MsgType><FromUserName>o</FromUserName><CreateTime>soon</CreateTime></xml>",
    "<xml><MsgType>text</MsgType><FromUserName>o</FromUserName><CreateTime>99999999999999999</CreateTime></xml>",
    '<!DOCTYPE xml [<!ENTITY a "aa">]><xml><MsgType>text</MsgType><FromUserName>&a;</FromUserName></xml>',
    "<xml>" + "<a>" * 5000 + "</a>" * 5000 + "</xml>",
]


@pytest.mark.parametrize("plain", BROKEN)
async def test_a_rightly_sealed_nonsense_is_a_400(world: World, plain: str) -> None:
    answer = await post(world, plain)
    assert answer.status == 400
    assert len((await answer.text()).splitlines()) == 1


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ({}, b"", 400),
        ({"encrypt_type": "aes"}, b"x", 400),
        ({"encrypt_type": "aes", "msg_signature": "s", "timestamp": "1", "nonce": "n"}, b"\xff\xfe", 400),
        (
            {"encrypt_type": "aes", "msg_signature": "s", "timestamp": "1", "nonce": "n"},
            b"<xml><Encrypt>aGFsbG8=</Encrypt></xml>",
            403,
        ),
        ({"encrypt_type": "aes", "msg_signature": "s", "timestamp": "1", "nonce": "n"}, b"x" * 1_100_000, 413),
    ],
)
async def test_an_unsealed_nonsense_is_refused_in_one_line(
    world: World, query: dict[str, str], body: bytes, status: int
) -> None:
    answer = await world.client.post("/callbacks/oa", params=query, data=body)
    assert answer.status == status


async def test_saving_the_address_brings_the_echo_back_and_only_with_the_right_signature(world: World) -> None:
    signature = fake.sign("", "1772416800", "n", TOKEN)
    query = {"signature": signature, "timestamp": "1772416800", "nonce": "n", "echostr": "5921884"}
    answer = await world.client.get("/callbacks/oa", params=query)
    assert (answer.status, await answer.text()) == (200, "5921884")
    assert (await world.client.get("/callbacks/oa", params={**query, "nonce": "m"})).status == 403


async def test_wechatpys_own_crypto_and_ours_are_understood_alike(world: World) -> None:
    crypto = WeChatCrypto(TOKEN, KEY, APP_ID)
    plain = xml("text", at=seconds(world), Content="营业时间", MsgId="77")
    sealed = crypto.encrypt_message(plain, "nonce", "1772416800")
    found = dict(re.findall(r"<(\w+)>(?:<!\[CDATA\[)?([^<\]]+)", sealed))
    query = {
        "encrypt_type": "aes",
        "msg_signature": found["MsgSignature"],
        "timestamp": "1772416800",
        "nonce": "nonce",
    }
    answer = await (await world.client.post("/callbacks/oa", params=query, data=sealed.encode())).text()
    assert opened(answer) == "每天 10:00-22:00。"


async def test_without_an_account_there_is_no_such_address(database_url: str, clock: FakeClock) -> None:
    async with (
        open_services(make_settings(database_url, "http://127.0.0.1:9"), clock) as services,
        TestClient(TestServer(build_app(services, with_worker=False))) as client,
    ):
        assert (await client.get("/callbacks/oa")).status == 404
        assert (await client.post("/callbacks/oa", data=b"x")).status == 404


@pytest.mark.parametrize(
    ("account", "line"),
    [
        ({"app_id": "my-app"}, "official_account.app_id: found 'my-app'; expected wx"),
        (
            {"app_id": APP_ID, "encoding_aes_key": KEY},
            "official_account.token: found an empty value; expected the Token",
        ),
        (
            {"app_id": APP_ID, "token": "secret-token", "encoding_aes_key": "short-secret"},
            "official_account.encoding_aes_key: found a value (not shown); expected 43",
        ),
    ],
)
def test_each_wrong_setting_is_one_line(account: dict[str, str], line: str) -> None:
    with pytest.raises(WrongUse) as caught:
        make_settings("sqlite:///x.db", "http://127.0.0.1:9", official_account=account)
    (told,) = str(caught.value).splitlines()
    assert told.startswith(line)
    assert "secret" not in told.replace("official_account", "")
