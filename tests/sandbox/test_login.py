"""Login: inside WeCom by the desk's cookie, in a browser by choosing."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sandbox.conftest import AGENT_ID, CORP_ID, Wecom


def good_query(wecom: Wecom) -> dict[str, str]:
    return {
        "appid": CORP_ID,
        "redirect_uri": f"{wecom.sandbox.config.public_url}/sidebar/login?next=1",
        "response_type": "code",
        "scope": "snsapi_base",
        "state": "abc123",
        "agentid": str(AGENT_ID),
    }


async def log_in(wecom: Wecom, **changes: str) -> tuple[int, str]:
    query = {**good_query(wecom), **changes}
    address = f"{wecom.base}/connect/oauth2/authorize"
    async with wecom.http.get(address, params=query, allow_redirects=False) as response:
        return response.status, response.headers.get("Location", "") or await response.text()


async def test_the_desks_member_is_logged_in_without_a_question(wecom: Wecom) -> None:
    await wecom.page("/desk?member=lina")
    status, location = await log_in(wecom)
    query = parse_qs(urlsplit(location).query)
    assert (status, query["state"], query["next"]) == (302, ["abc123"], ["1"])
    answer = await wecom.call("auth/getuserinfo", {"code": query["code"][0]})
    assert answer["userid"] == "lina"
    again = await wecom.call("auth/getuserinfo", {"code": query["code"][0]})
    assert again["errcode"] == 40029


async def test_a_code_lives_five_minutes(wecom: Wecom) -> None:
    _, location = await log_in(wecom, sandbox_member="wuhao")
    wecom.clock.advance(timedelta(minutes=5))
    code = parse_qs(urlsplit(location).query)["code"][0]
    assert (await wecom.call("auth/getuserinfo", {"code": code}))["errcode"] == 40029


async def test_an_outsider_gets_an_openid_and_a_customer_an_external_userid_too(wecom: Wecom) -> None:
    async def info() -> dict[str, str]:
        _, location = await log_in(wecom, sandbox_customer="xiaoman")
        code = parse_qs(urlsplit(location).query)["code"][0]
        answer: dict[str, str] = await wecom.call("auth/getuserinfo", {"code": code})
        return answer

    assert not {"userid", "external_userid"} & (await info()).keys()
    external_userid, _ = await wecom.scan()
    assert (await info())["external_userid"] == external_userid


async def test_without_a_known_member_the_page_asks(wecom: Wecom) -> None:
    status, html = await log_in(wecom)
    assert status == 200
    assert "李娜" in html
    assert "sandbox_member=lina" in html


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"appid": "wwother"}, "appid 参数错误"),
        ({"redirect_uri": "https://evil.example/x"}, "redirect_uri 参数错误"),
        ({"redirect_uri": "//evil.example"}, "redirect_uri 参数错误"),
        ({"response_type": "token"}, "response_type 参数错误"),
        ({"scope": "all"}, "scope 参数错误"),
        ({"state": "a-b_c"}, "state 参数错误"),
    ],
)
async def test_a_wrong_parameter_is_named_on_a_page(wecom: Wecom, change: dict[str, str], words: str) -> None:
    status, html = await log_in(wecom, **change)
    assert status == 400
    assert words in html


async def test_the_login_page_of_a_browser_always_asks(wecom: Wecom) -> None:
    await wecom.page("/desk?member=lina")
    query = good_query(wecom) | {"login_type": "CorpApp"}
    async with wecom.http.get(f"{wecom.base}/wwlogin/sso/login", params=query, allow_redirects=False) as response:
        assert response.status == 200
        assert "以谁的身份登录" in await response.text()
    query["login_type"] = "Other"
    async with wecom.http.get(f"{wecom.base}/wwlogin/sso/login", params=query) as response:
        assert response.status == 400


async def test_changing_the_member_drops_the_apps_session(wecom: Wecom) -> None:
    object.__setattr__(wecom.sandbox.config, "session_cookies", ("scrm_member",))
    async with wecom.http.get(f"{wecom.base}/desk?member=lina") as response:
        assert any("scrm_member=;" in cookie for cookie in response.headers.getall("Set-Cookie"))
    async with wecom.http.get(f"{wecom.base}/desk?member=lina") as response:
        assert not any("scrm_member=;" in cookie for cookie in response.headers.getall("Set-Cookie"))
