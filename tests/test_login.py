"""Login: WeCom says who it is, once; then the address is clean and the session is ours."""

from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import aiohttp
import pytest

from scrm.http import COOKIE
from scrm.login import LIFE, local_path
from scrm.profiles import store as profiles
from scrm.profiles.models import member
from tests.fakes import wecom as fake
from tests.fakes.wecom import FakeWeCom
from tests.world import World

IN_CLIENT = "Mozilla/5.0 Chrome/107.0.5304.110 wxwork/4.1.36 (MicroMessenger/6.2) WindowsWechat"
IN_BROWSER = "Mozilla/5.0 Chrome/130.0"


class Browser:
    """Follows nothing by itself, and keeps its cookies though there is no TLS here."""

    def __init__(self, world: World, agent: str = IN_CLIENT) -> None:
        self.world, self.agent = world, agent
        self.cookies: dict[str, str] = {}

    async def get(self, path: str) -> aiohttp.ClientResponse:
        headers = {"User-Agent": self.agent, "Cookie": "; ".join(f"{key}={it}" for key, it in self.cookies.items())}
        response = await self.world.client.get(path, headers=headers, allow_redirects=False)
        for line in response.headers.getall("Set-Cookie", []):
            for key, morsel in SimpleCookie(line).items():
                if morsel.value:
                    self.cookies[key] = morsel.value
                else:
                    self.cookies.pop(key, None)
        return response

    async def begin(self, target: str = "/sidebar/") -> tuple[str, dict[str, str]]:
        """The address we are sent to, and its query."""
        response = await self.get(f"/login?next={target}")
        assert response.status == 302
        address = response.headers["Location"]
        return address, {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}

    async def come_back(self, target: str = "/sidebar/", code: str = "code-1") -> aiohttp.ClientResponse:
        _, query = await self.begin(target)
        return await self.get(f"/login/return?code={code}&state={query['state']}")


def says(wecom: FakeWeCom, **told: Any) -> None:
    wecom.say("auth/getuserinfo", {"errcode": 0, "errmsg": "ok", **told})


async def test_a_page_without_a_session_leads_through_login(world: World) -> None:
    response = await Browser(world).get("/sidebar/contacts/wm1?task=3")
    assert response.status == 302
    assert unquote(response.headers["Location"]) == "/login?next=/sidebar/contacts/wm1?task=3"


async def test_inside_wecom_the_login_is_silent_and_its_address_is_wecoms(world: World) -> None:
    address, query = await Browser(world).begin()
    assert address.startswith("https://open.weixin.qq.com/connect/oauth2/authorize?appid=")
    assert address.endswith("#wechat_redirect")
    assert query["appid"] == fake.CORP_ID
    assert query["agentid"] == str(fake.AGENT_ID)
    assert query["scope"] == "snsapi_base"
    assert query["response_type"] == "code"
    assert query["redirect_uri"] == "https://crm.example.test/login/return"
    assert len(query["state"]) == 32
    assert query["state"].isalnum()


async def test_an_ordinary_browser_is_shown_a_code_to_scan(world: World) -> None:
    address, query = await Browser(world, IN_BROWSER).begin("/console/")
    assert address.startswith("https://login.work.weixin.qq.com/wwlogin/sso/login?login_type=CorpApp&")
    assert query["appid"] == fake.CORP_ID
    assert query["agentid"] == str(fake.AGENT_ID)


async def test_the_code_is_exchanged_once_and_the_address_is_clean(world: World, wecom: FakeWeCom) -> None:
    browser = Browser(world)
    says(wecom, userid="lina")
    response = await browser.come_back("/sidebar/tasks")
    assert response.status == 302
    assert response.headers["Location"] == "/sidebar/tasks"
    assert COOKIE in browser.cookies
    cookie = next(line for line in response.headers.getall("Set-Cookie") if line.startswith(COOKIE))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" in cookie
    assert (await browser.get("/sidebar/today")).status == 200
    assert len(wecom.called("auth/getuserinfo")) == 1


async def test_a_member_we_have_not_met_is_learnt(world: World, wecom: FakeWeCom) -> None:
    says(wecom, userid="ZhaoYi")
    wecom.say("user/get", {"errcode": 0, "userid": "ZhaoYi", "name": "赵一", "alias": "Yi", "status": 1})
    await Browser(world).come_back()
    (row,) = await world.rows(member, member.c.folded == "zhaoyi")
    assert (row.userid, row.name, row.alias, row.role) == ("ZhaoYi", "赵一", "Yi", "member")


async def test_a_member_outside_the_visible_range_comes_in_under_the_userid(world: World, wecom: FakeWeCom) -> None:
    says(wecom, userid="qiansan")
    wecom.say("user/get", 60011)
    response = await Browser(world).come_back()
    assert response.status == 302
    (row,) = await world.rows(member, member.c.folded == "qiansan")
    assert row.name == "qiansan"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"openid": "oABC", "external_userid": "wm1"}, "不是本企业成员"),
        ({"userid": "ww1234567890/lina"}, "互联企业"),
        ({"errcode": 40029, "errmsg": "invalid code"}, "重新登录"),
        ({"errcode": 50001, "errmsg": "redirect_url domain error"}, "可信域名"),
    ],
)
async def test_who_may_not_come_in_is_told_why(
    world: World, wecom: FakeWeCom, told: dict[str, Any], reason: str
) -> None:
    browser = Browser(world)
    says(wecom, **told)
    response = await browser.come_back()
    assert response.status == 403
    assert reason in await response.text()
    assert COOKIE not in browser.cookies


async def test_an_inactive_member_stays_out(world: World, wecom: FakeWeCom) -> None:
    await world.services.db.write(profiles.save_member, "lina", name="李娜", is_active=False, now=world.clock.now())
    says(wecom, userid="LiNa")
    response = await Browser(world).come_back()
    assert response.status == 403
    assert "已停用" in await response.text()


async def test_wecom_that_does_not_answer_is_no_refusal(world: World, wecom: FakeWeCom) -> None:
    wecom.say("auth/getuserinfo", -1, -1)
    response = await Browser(world).come_back()
    assert response.status == 503
    assert "稍后重试" in await response.text()


async def test_a_state_works_once(world: World, wecom: FakeWeCom) -> None:
    browser = Browser(world)
    says(wecom, userid="lina")
    _, query = await browser.begin("/sidebar/tasks")
    path = f"/login/return?code=code-1&state={query['state']}"
    assert (await browser.get(path)).headers["Location"] == "/sidebar/tasks"
    again = await browser.get(path)
    assert again.headers["Location"] == "/sidebar/"  # signed in already: nothing to exchange
    browser.cookies.clear()
    assert (await browser.get(path)).status == 403
    assert len(wecom.called("auth/getuserinfo")) == 1


async def test_anothers_state_and_an_old_one_are_refused(world: World, wecom: FakeWeCom) -> None:
    mine, theirs = Browser(world), Browser(world)
    _, query = await theirs.begin()
    assert (await mine.get(f"/login/return?code=x&state={query['state']}")).status == 403
    world.clock.advance(seconds=LIFE.total_seconds() + 1)
    assert (await theirs.get(f"/login/return?code=x&state={query['state']}")).status == 403
    assert not wecom.called("auth/getuserinfo")


async def test_two_logins_of_one_browser_do_not_disturb_each_other(world: World, wecom: FakeWeCom) -> None:
    browser = Browser(world)
    _, first = await browser.begin("/sidebar/tasks")
    _, second = await browser.begin("/console/")
    for query, target in ((first, "/sidebar/tasks"), (second, "/console/")):
        says(wecom, userid="lina")
        response = await browser.get(f"/login/return?code=x&state={query['state']}")
        assert response.headers["Location"] == target


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/login/return", 403),
        ("/login/return?state=é&code=x", 403),
        ("/login/return?state=%00", 422),
        ("/login", 302),
    ],
)
async def test_nonsense_is_answered_calmly(world: World, path: str, status: int) -> None:
    assert (await Browser(world).get(path)).status == status


async def test_a_tampered_cookie_is_no_cookie(world: World) -> None:
    browser = Browser(world)
    _, query = await browser.begin()
    (name,) = browser.cookies
    for value in ("", "x.y.z", "9999999999.L3g.é", browser.cookies[name][:-1] + "0x"):
        browser.cookies[name] = value
        assert (await browser.get(f"/login/return?code=x&state={query['state']}")).status == 403


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/console/today?x=1", "/console/today?x=1"),
        ("//evil.example/", "/sidebar/"),
        ("/\\evil.example", "/sidebar/"),
        ("/a\\b", "/sidebar/"),
        ("https://evil.example/", "/sidebar/"),
        ("/\t/evil.example", "/sidebar/"),
        ("/login?next=/login", "/sidebar/"),
        ("", "/sidebar/"),
    ],
)
def test_a_login_never_leads_to_another_site(given: str, kept: str) -> None:
    assert local_path(given) == kept
