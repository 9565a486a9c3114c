"""Tokens, limits and the shape of answers that hold for every endpoint."""

import asyncio
import json
from datetime import timedelta

import pytest

from tests.sandbox.conftest import CORP_ID, SECRET, Wecom


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({}, 41004),
        ({"corpid": "wrong"}, 41004),
        ({"corpsecret": SECRET}, 41002),
        ({"corpid": "wrong", "corpsecret": SECRET}, 40013),
        ({"corpid": CORP_ID, "corpsecret": "wrong"}, 40001),
    ],
)
async def test_gettoken_reports_the_secret_before_the_corp_before_the_pair(
    wecom: Wecom, query: dict[str, str], errcode: int
) -> None:
    assert (await wecom.gettoken(**query))["errcode"] == errcode


async def test_the_same_token_is_given_while_it_lives(wecom: Wecom) -> None:
    first = await wecom.gettoken(corpid=CORP_ID, corpsecret=SECRET)
    wecom.clock.advance(timedelta(seconds=3600))
    second = await wecom.gettoken(corpid=CORP_ID, corpsecret=SECRET)
    assert first["access_token"] == second["access_token"]
    assert first["expires_in"] == 7200
    assert 3590 <= second["expires_in"] <= 3600


async def test_a_token_dies_after_7200_seconds_and_a_new_one_works(wecom: Wecom) -> None:
    old = await wecom.token()
    wecom.clock.advance(timedelta(seconds=7200))
    assert (await wecom.call("externalcontact/get_follow_user_list"))["errcode"] == 42001
    wecom.sandbox.faults.expired_token_errcode = 40014
    assert (await wecom.call("externalcontact/get_follow_user_list"))["errcode"] == 40014
    wecom.access_token = ""
    assert await wecom.token() != old
    assert (await wecom.call("externalcontact/get_follow_user_list"))["errcode"] == 0


async def test_a_refusal_is_http_200_with_hint_address_and_the_endpoints_empty_fields(wecom: Wecom) -> None:
    answer = await wecom.call("externalcontact/list", {"access_token": "unknown", "userid": "lina"})
    assert answer["errcode"] == 40014
    assert answer["external_userid"] == []
    text = answer["errmsg"]
    assert text.startswith("invalid access_token, hint: [")
    assert "from ip: 127.0.0.1, more info at https://open.work.weixin.qq.com/devtool/query?e=40014" in text


async def test_a_token_outside_the_query_string_does_not_count(wecom: Wecom) -> None:
    answer = await wecom.call("externalcontact/get_follow_user_list", {"access_token": ""}, access_token="anything")
    assert answer["errcode"] == 41001


async def test_an_unknown_path_is_404_and_empty(wecom: Wecom) -> None:
    async with wecom.http.get(f"{wecom.base}/cgi-bin/externalcontact/nothing") as response:
        assert (response.status, await response.read()) == (404, b"")


async def test_broken_json_runs_with_what_could_be_read_and_warns(wecom: Wecom) -> None:
    params = {"access_token": await wecom.token()}
    address = f"{wecom.base}/cgi-bin/externalcontact/get_contact_way"
    async with wecom.http.post(address, params=params, data=b"{broken") as response:
        answer = await response.json()
    assert answer["errcode"] == 41043
    assert answer["errmsg"].startswith("Warning: wrong json format. ")


async def test_escaped_characters_are_refused_as_illegal(wecom: Wecom) -> None:
    params = {"access_token": await wecom.token()}
    raw = json.dumps({"group_name": "来源", "tag": [{"name": "展会"}]}).encode()
    async with wecom.http.post(
        f"{wecom.base}/cgi-bin/externalcontact/add_corp_tag", params=params, data=raw
    ) as response:
        assert (await response.json())["errcode"] == 40033


async def test_more_calls_than_the_minute_allows_block_the_endpoint_for_a_minute(wecom: Wecom) -> None:
    wecom.sandbox.faults.calls_per_minute = 3
    codes = [(await wecom.call("getcallbackip"))["errcode"] for _ in range(4)]
    assert codes == [0, 0, 0, 45009]
    wecom.clock.advance(timedelta(seconds=50))
    assert (await wecom.call("getcallbackip"))["errcode"] == 45009
    assert (await wecom.call("externalcontact/get_follow_user_list"))["errcode"] == 0
    wecom.clock.advance(timedelta(seconds=11))
    assert (await wecom.call("getcallbackip"))["errcode"] == 0


async def test_too_many_calls_at_one_time_are_45033(wecom: Wecom) -> None:
    await wecom.token()
    wecom.sandbox.faults.answer_delay_ms = 30
    wecom.sandbox.faults.parallel_calls = 2
    answers = await asyncio.gather(*(wecom.call("getcallbackip") for _ in range(3)))
    assert sorted(answer["errcode"] for answer in answers) == [0, 0, 45033]


async def test_switches_refuse_the_next_calls_the_address_and_the_right(wecom: Wecom) -> None:
    wecom.sandbox.faults.fail_next("getcallbackip", -1, times=2)
    assert [(await wecom.call("getcallbackip"))["errcode"] for _ in range(3)] == [-1, -1, 0]
    wecom.sandbox.faults.no_contact_permission = True
    assert (await wecom.call("externalcontact/get_follow_user_list"))["errcode"] == 48002
    wecom.sandbox.faults.untrusted_ip = True
    assert (await wecom.call("getcallbackip"))["errcode"] == 60020


async def test_the_two_tickets_differ_and_another_kind_is_refused(wecom: Wecom) -> None:
    corp = await wecom.call("get_jsapi_ticket")
    agent = await wecom.call("ticket/get", {"type": "agent_config"})
    assert corp["expires_in"] == agent["expires_in"] == 7200
    assert corp["ticket"] != agent["ticket"]
    assert (await wecom.call("ticket/get", {"type": "agent_config"}))["ticket"] == agent["ticket"]
    assert (await wecom.call("ticket/get", {"type": "wx_card"}))["errcode"] == 91040


async def test_tickets_stop_after_a_hundred_calls_an_hour(wecom: Wecom) -> None:
    for _ in range(100):
        answer = await wecom.call("get_jsapi_ticket")
    assert answer["errcode"] == 0
    assert (await wecom.call("get_jsapi_ticket"))["errcode"] == 45009


async def test_the_address_book_shows_members_by_department(wecom: Wecom) -> None:
    departments = (await wecom.call("department/simplelist"))["department_id"]
    assert [(row["id"], row["parentid"]) for row in departments] == [(1, 0), (2, 1)]
    assert (await wecom.call("user/simplelist", {"department_id": "2"}))["userlist"] == [
        {"userid": "lina", "name": "李娜", "department": [2]}
    ]
    assert (await wecom.call("user/simplelist", {"department_id": "9"}))["errcode"] == 60123
    assert (await wecom.call("user/get", {"userid": "LINA"}))["name"] == "李娜"
    assert (await wecom.call("user/get", {"userid": "nobody"}))["errcode"] == 60111


async def test_one_address_has_a_limit_of_its_own_and_wrong_secrets_shut_it_out_for_an_hour(wecom: Wecom) -> None:
    await wecom.token()
    wecom.sandbox.faults.ip_calls_per_minute = 2
    answers = [(await wecom.call("getcallbackip"))["errcode"] for _ in range(4)]
    assert answers == [0, 0, 45009, 45009]
    wecom.clock.advance(timedelta(seconds=61))
    assert (await wecom.call("getcallbackip"))["errcode"] == 0

    wecom.sandbox.faults.heal()
    for _ in range(21):
        assert (await wecom.gettoken(corpid=CORP_ID, corpsecret="wrong"))["errcode"] == 40001
    assert (await wecom.gettoken(corpid=CORP_ID, corpsecret=SECRET))["errcode"] == 45009
    wecom.clock.advance(timedelta(hours=1, seconds=1))
    assert (await wecom.gettoken(corpid=CORP_ID, corpsecret=SECRET))["errcode"] == 0


async def test_the_cursor_of_a_list_is_opaque_and_dies(wecom: Wecom) -> None:
    while len((await wecom.call("externalcontact/list_contact_way"))["contact_way"]) < 3:
        await wecom.call("externalcontact/add_contact_way", type=1, scene=2, user=["lina"])
    first = await wecom.call("externalcontact/list_contact_way", limit=2)
    again = await wecom.call("externalcontact/list_contact_way", limit=2, cursor=first["next_cursor"])
    assert (len(first["contact_way"]), len(again["contact_way"]), again["next_cursor"]) == (2, 1, "")
    assert (await wecom.call("externalcontact/list_contact_way", cursor="made up"))["errcode"] == 40058
    wecom.clock.advance(timedelta(hours=1))
    wecom.access_token = ""
    answer = await wecom.call("externalcontact/list_contact_way", limit=2, cursor=first["next_cursor"])
    assert answer["errcode"] == 50100
