"""The client against a WeCom on loopback: tokens, errors, and how many calls at a time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from scrm.wecom.callback_xml import Unreadable, parse_xml
from scrm.wecom.calls import App
from scrm.wecom.client import WeCom
from scrm.wecom.errors import RetryClass, WeComError, WeComUnreachable
from scrm.wecom.events import parse_event
from scrm.wecom.pacing import in_bulk, within
from tests.fakes import wecom as fake
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.world import XIAOMAN


@pytest.fixture
async def client(wecom: FakeWeCom, clock: FakeClock) -> AsyncIterator[WeCom]:
    app = App(fake.CORP_ID, fake.AGENT_ID, fake.SECRET, api_base=wecom.url, timeout_seconds=0.5)  # type: ignore[attr-defined]
    async with aiohttp.ClientSession() as http:
        yield WeCom(http, clock, app)


async def test_many_callers_share_one_token(client: WeCom, wecom: FakeWeCom) -> None:
    await asyncio.gather(*(client.contacts.get_external_contact(XIAOMAN) for _ in range(20)))
    assert wecom.tokens_given == 1


@pytest.mark.parametrize("errcode", [40014, 42001])
async def test_a_dead_token_is_refreshed_once_and_the_call_repeated(
    client: WeCom, wecom: FakeWeCom, errcode: int
) -> None:
    await client.contacts.get_follow_user_list()
    wecom.say("externalcontact/get_follow_user_list", errcode)
    await client.contacts.get_follow_user_list()
    assert wecom.tokens_given == 2
    wecom.say("externalcontact/get_follow_user_list", errcode, errcode)
    with pytest.raises(WeComError) as caught:
        await client.contacts.get_follow_user_list()
    assert caught.value.errcode == errcode


async def test_a_token_is_renewed_before_it_ends(client: WeCom, wecom: FakeWeCom, clock: FakeClock) -> None:
    await client.contacts.get_follow_user_list()
    clock.advance(seconds=7200 * 0.89)
    await client.contacts.get_follow_user_list()
    assert wecom.tokens_given == 1
    clock.advance(seconds=7200 * 0.02)
    await client.contacts.get_follow_user_list()
    assert wecom.tokens_given == 2


async def test_a_wrong_secret_is_not_asked_for_in_a_loop(client: WeCom, wecom: FakeWeCom, clock: FakeClock) -> None:
    wecom.say("gettoken", 40001)
    for _ in range(5):
        with pytest.raises(WeComError) as caught:
            await client.contacts.get_follow_user_list()
        assert caught.value.errcode == 40001
        assert caught.value.retry_class is RetryClass.CONFIGURATION
    assert len(wecom.called("gettoken")) == 1
    clock.advance(seconds=61)
    await client.contacts.get_follow_user_list()


async def test_reads_of_one_endpoint_keep_to_five_at_a_time_and_slow_down_when_told(
    client: WeCom, wecom: FakeWeCom
) -> None:
    wecom.delay = 0.01
    await asyncio.gather(*(client.contacts.get_external_contact(XIAOMAN) for _ in range(30)))
    assert wecom.most_under_way["externalcontact/get"] == 5
    wecom.say("externalcontact/get", 45033, 45033, 45033)
    await asyncio.gather(*(client.contacts.get_external_contact(XIAOMAN) for _ in range(3)), return_exceptions=True)
    wecom.most_under_way.clear()
    await asyncio.gather(*(client.contacts.get_external_contact(XIAOMAN) for _ in range(6)))
    assert wecom.most_under_way["externalcontact/get"] < 5


async def test_a_corp_that_takes_two_at_a_time_is_seldom_asked_for_more_and_used_in_full_again(
    client: WeCom, wecom: FakeWeCom
) -> None:
    path, refused = "externalcontact/get", []
    wecom.delay = 0.002

    def take_two(body: dict[str, Any]) -> dict[str, Any]:
        is_full = wecom.under_way[path] > 2
        refused.append(is_full)
        return {"errcode": 45033} if is_full else wecom.contacts[XIAOMAN]

    wecom.always(path, take_two)
    await asyncio.gather(*(client.contacts.get_external_contact(XIAOMAN) for _ in range(300)), return_exceptions=True)
    assert 0 < sum(refused) <= 30
    wecom.always(path, lambda body: wecom.contacts[XIAOMAN])
    wecom.most_under_way.clear()
    await asyncio.gather(*(client.contacts.get_external_contact(XIAOMAN) for _ in range(120)))
    assert wecom.most_under_way[path] == 5


async def test_an_error_says_in_chinese_what_to_do_and_never_the_token(client: WeCom, wecom: FakeWeCom) -> None:
    wecom.say("user/get", 60020)
    with pytest.raises(WeComError) as caught:
        await client.members.get_user("lina")
    assert "可信" in caught.value.text
    assert "token-1" not in str(caught.value)


async def test_no_answer_in_time_is_an_error_that_may_have_been_carried_out(client: WeCom, wecom: FakeWeCom) -> None:
    await client.contacts.get_follow_user_list()
    wecom.delay = 1.0
    with pytest.raises(WeComUnreachable) as caught:
        await client.members.get_user("lina")
    assert caught.value.perhaps_done
    assert caught.value.retry_class is RetryClass.TRANSIENT
    assert "token" not in str(caught.value)


async def test_nobody_listening_is_an_error_that_was_not_carried_out(clock: FakeClock, unused_tcp_port: int) -> None:
    app = App(fake.CORP_ID, 1, "s", api_base=f"http://127.0.0.1:{unused_tcp_port}")
    async with aiohttp.ClientSession() as http:
        with pytest.raises(WeComUnreachable) as caught:
            await WeCom(http, clock, app).members.get_user("lina")
    assert not caught.value.perhaps_done


async def test_a_call_refused_with_40001_silences_every_call_for_a_minute_and_then_takes_a_new_token(
    client: WeCom, wecom: FakeWeCom, clock: FakeClock
) -> None:
    wecom.say("user/get", 40001)
    for _ in range(4):
        with pytest.raises(WeComError, match="40001"):
            await client.members.get_user("lina")
        with pytest.raises(WeComError, match="40001"):
            await client.contacts.get_follow_user_list()
    assert len(wecom.called("user/get")) == 1
    assert wecom.called("externalcontact/get_follow_user_list") == []
    clock.advance(seconds=61)
    await client.members.get_user("lina")
    assert wecom.tokens_given == 2


@pytest.mark.parametrize(
    ("status", "text", "errcode", "perhaps_done"),
    [
        (500, '{"errcode": 45035, "errmsg": "conflict"}', 45035, None),
        (200, '{"errcode": "60020", "external_userid": []}', 60020, None),
        (502, "<html>bad gateway</html>", -1, True),
        (404, "", -1, True),
        (200, "[1]", -1, True),
        (200, '{"errcode": "what"}', -1, True),
    ],
)
async def test_the_errcode_is_judged_before_the_status_and_the_data(
    aiohttp_server: Any, clock: FakeClock, status: int, text: str, errcode: int, perhaps_done: bool | None
) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("gettoken"):
            return web.json_response({"access_token": "t"})
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    server = await aiohttp_server(app)
    async with aiohttp.ClientSession() as http:
        client = WeCom(http, clock, App("ww1", 1, "s", api_base=str(server.make_url("")).rstrip("/")))
        with pytest.raises(WeComError) as caught:
            await client.get("externalcontact/list", userid="lina")
    assert caught.value.errcode == errcode
    assert getattr(caught.value, "perhaps_done", None) == perhaps_done


async def test_a_deadline_ends_the_wait_for_a_turn_and_the_wait_for_an_answer(client: WeCom, wecom: FakeWeCom) -> None:
    await client.contacts.get_follow_user_list()
    wecom.delay = 0.3
    others = [asyncio.create_task(client.contacts.get_external_contact(XIAOMAN)) for _ in range(5)]
    await asyncio.sleep(0.01)
    with pytest.raises(WeComUnreachable) as caught, within(0.05):
        await client.contacts.get_external_contact(XIAOMAN)
    assert not caught.value.perhaps_done
    with pytest.raises(WeComUnreachable) as caught, within(0.05):
        await client.members.get_user("lina")
    assert caught.value.perhaps_done
    await asyncio.gather(*others)


async def test_bulk_work_waits_behind_everybody_else(client: WeCom, wecom: FakeWeCom) -> None:
    wecom.delay = 0.01
    order: list[str] = []

    async def call(kind: str) -> None:
        await client.contacts.get_external_contact(XIAOMAN)
        order.append(kind)

    await client.contacts.get_follow_user_list()
    with in_bulk():
        tasks = [asyncio.create_task(call("bulk")) for _ in range(15)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(call("urgent")) for _ in range(5)]
    await asyncio.gather(*tasks)
    assert order == ["bulk"] * 5 + ["urgent"] * 5 + ["bulk"] * 10


async def test_followers_beyond_the_first_page_are_fetched_too(client: WeCom, wecom: FakeWeCom) -> None:
    page: dict[str, Any] = {"errcode": 0, "external_contact": {"external_userid": "wm1"}}
    wecom.say(
        "externalcontact/get",
        {**page, "follow_user": [{"userid": "a"}], "next_cursor": "c2"},
        {**page, "follow_user": [{"userid": "b"}]},
    )
    found = await client.contacts.get_external_contact("wm1")
    assert [follow["userid"] for follow in found["follow_user"]] == ["a", "b"]


async def test_a_list_ends_with_an_empty_cursor_or_one_seen_before_and_resumes_anywhere(
    client: WeCom, wecom: FakeWeCom
) -> None:
    path = "externalcontact/batch/get_by_user"
    first: dict[str, Any] = {"errcode": 0, "external_contact_list": [1], "next_cursor": "c2"}
    empty = {"errcode": 0, "external_contact_list": [], "next_cursor": "c3"}
    for last in ({"errcode": 0, "external_contact_list": [2], "next_cursor": ""}, {"errcode": 0}, first):
        wecom.say(path, first, empty, last)
        pages = [page async for page in client.pages(path, {"limit": 100}, "external_contact_list")]
        assert [page.next_cursor for page in pages] == ["c2", "c3", ""]
        assert [page.items for page in pages[:2]] == [[1], []]
    wecom.say(path, {"errcode": 0, "external_contact_list": [3]})
    resumed = [page.items async for page in client.pages(path, {"limit": 100}, "external_contact_list", start="c9")]
    assert resumed == [[3]]
    assert wecom.called(path)[-1]["cursor"] == "c9"


def test_elements_that_repeat_or_nest_are_kept() -> None:
    xml = (
        "<xml><CreateTime>1</CreateTime><MsgType>event</MsgType><Event>change_external_chat</Event>"
        "<ChangeType>update</ChangeType><MemChangeList><Item>a</Item><Item>b</Item></MemChangeList><State></State></xml>"
    )
    event = parse_event(xml.encode())
    assert event.fields["MemChangeList"] == {"Item": ["a", "b"]}
    assert (event.name, event.change_type, event.text("State"), event.text("Nothing")) == (
        "change_external_chat",
        "update",
        "",
        "",
    )


@given(body=st.binary(max_size=300))
def test_no_body_makes_the_parser_stumble(body: bytes) -> None:
    try:
        parse_xml(body)
    except Unreadable as reason:
        assert str(reason)  # noqa: PT017 - most bodies are not XML, and that is all there is to say
