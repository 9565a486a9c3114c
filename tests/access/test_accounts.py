"""Local accounts: the first start, the login with a password, what stops guessing, and one's own logins."""

import re
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest

from scrm.access import account_store, commands, passwords
from scrm.access.models import local_account, login_attempt
from scrm.audit import audit_entry
from scrm.http import COOKIE
from scrm.profiles import store as profiles
from scrm.sessions import session
from tests.console.conftest import Page, SignIn
from tests.world import World

GOOD = "correct horse battery"


class Browser:
    """Keeps its cookies, follows nothing."""

    def __init__(self, world: World, address: str = "203.0.113.8") -> None:
        self.world, self.address, self.cookies = world, address, dict[str, str]()
        self.location = ""

    async def ask(self, method: str, path: str, **form: str) -> Page:
        headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "X-Forwarded-For": f"10.0.0.1, {self.address}",
            "User-Agent": "Mozilla/5.0 (Windows NT 10.0) Chrome/130.0",
        }
        data = form or None
        response = await self.world.client.request(method, path, data=data, headers=headers, allow_redirects=False)
        for line in response.headers.getall("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        self.location = response.headers.get("Location", "")
        return Page(response.status, await response.text())

    async def log_in(self, name: str, password: str, target: str = "/console/customers") -> Page:
        page = await self.ask("GET", f"/login?next={target}")
        return await self.ask(
            "POST", "/login/local", name=name, password=password, next=target, proof=field(page, "proof")
        )

    async def act(self, path: str, **form: str) -> Page:
        page = await self.ask("GET", "/console/account")
        return await self.ask("POST", path, csrf=field(page, "csrf"), **form)


def field(page: Page, name: str) -> str:
    return next(str(found["value"]) for tag, found in page.tags if tag == "input" and found.get("name") == name)


@pytest.fixture
async def once(world: World) -> str:
    """The password of the first administrator."""
    password = await commands.make_first_administrator(world.services)
    assert password is not None
    return password


async def test_the_first_start_makes_one_administrator_whose_password_works_once(world: World, once: str) -> None:
    assert await commands.make_first_administrator(world.services) is None
    browser = Browser(world)
    assert "用企业微信登录" in await browser.ask("GET", "/login?next=/console/customers")
    assert (await browser.log_in("admin", once)).status == 303
    assert browser.location == "/console/customers"
    cookie = browser.cookies[COOKIE]
    for path in ("/console/customers", "/console/", "/console/access"):
        assert (await browser.ask("GET", path)).status == 303
        assert browser.location == "/console/account"
    assert "请先换成你自己的密码" in await browser.ask("GET", "/console/account")
    refused = await browser.act("/console/account/password", old=once, new="short", again="short")
    assert (refused.status, "密码太短：现在 5 个字符，至少 10 个" in refused) == (422, True)
    refused = await browser.act("/console/account/password", old="wrong", new=GOOD, again=GOOD)
    assert "现在的密码不对" in refused
    assert (await browser.act("/console/account/password", old=once, new=GOOD, again=GOOD)).status == 303
    assert (await browser.ask("GET", "/console/access")).status == 200
    assert browser.cookies[COOKIE] == cookie
    assert (await Browser(world).log_in("admin", once)).status == 401
    assert (await Browser(world).log_in("ADMIN ", GOOD)).status == 303
    (row,) = await world.rows(local_account)
    assert row.password_hash.startswith("$argon2id$")
    assert once not in str(await world.rows(audit_entry))


async def test_with_an_administrator_from_wecom_the_first_start_makes_nobody(world: World, sign_in: SignIn) -> None:
    await sign_in("boss", "周总", "administrator")
    assert await commands.make_first_administrator(world.services) is None
    page = await world.client.get("/login?next=/console/", allow_redirects=False)
    assert page.status == 302
    assert "/wwlogin/sso/login" in page.headers["Location"]


async def test_guessing_is_slowed_down_more_and_more_by_account_and_by_address(world: World, once: str) -> None:
    for number in range(passwords.FREE_BY_ACCOUNT):
        page = await Browser(world, f"203.0.113.{number}").log_in("admin", "guess")
        assert page.status == 401
    waits = await Browser(world, "198.51.100.1").log_in("admin", once)
    assert (waits.status, "请 1 分钟后再试" in waits) == (429, True)
    world.clock.advance(seconds=61)
    assert (await Browser(world).log_in("admin", "guess")).status == 401
    assert "请 2 分钟后再试" in await Browser(world).log_in("admin", once)
    world.clock.advance(minutes=2, seconds=1)
    assert (await Browser(world).log_in("admin", once)).status == 303
    for _ in range(passwords.FREE_BY_ACCOUNT - 1):
        assert (await Browser(world).log_in("admin", "guess")).status == 401


async def test_one_address_that_tries_many_names_is_stopped(world: World, once: str) -> None:
    for number in range(passwords.FREE_BY_ADDRESS):
        assert (await Browser(world).log_in(f"name{number}", "guess")).status == 401
    assert (await Browser(world).log_in("admin", once)).status == 429
    assert (await Browser(world, "198.51.100.1").log_in("admin", once)).status == 303
    world.clock.advance(hours=25)
    await Browser(world).log_in("admin", "guess")
    assert len(await world.rows(login_attempt)) == 2


def test_the_wait_doubles_up_to_an_hour() -> None:
    waits = [passwords.wait_after(failures, 5) for failures in range(4, 14)]
    assert [wait // timedelta(minutes=1) for wait in waits] == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_a_name_that_nobody_has_is_answered_like_a_wrong_password(
    world: World, once: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[bool] = []
    right = passwords._is_right

    def count(kept: str | None, password: str) -> bool:
        worked.append(True)
        return right(kept, password)

    monkeypatch.setattr(passwords, "_is_right", count)
    pages = [await Browser(world).log_in(name, "guess") for name in ("admin", "nobody", "甲 乙", "x" * 300)]
    assert len(worked) == len(pages)
    texts = {re.sub(r'value="[^"]*"', "", page.html) for page in pages}
    assert len(texts) == 1
    assert {page.status for page in pages} == {401}


async def test_another_site_cannot_send_the_form(world: World, once: str) -> None:
    browser = Browser(world)
    await browser.ask("GET", "/login?next=/console/")
    for proof in ("", "made-up"):
        page = await browser.ask("POST", "/login/local", name="admin", password=once, next="/", proof=proof)
        assert (page.status, "页面已过期" in page) == (403, True)
    page = await browser.ask("GET", "/login?next=/console/")
    await browser.ask(
        "POST", "/login/local", name="admin", password=once, next="//evil.example", proof=field(page, "proof")
    )
    assert browser.location == "/sidebar/"


async def test_a_login_ends_the_session_that_the_browser_had(world: World, once: str) -> None:
    browser = Browser(world)
    await browser.log_in("admin", once)
    first = browser.cookies[COOKIE]
    await browser.log_in("admin", once)
    assert browser.cookies[COOKIE] != first
    assert len(await world.rows(session)) == 1


async def test_somebody_sees_and_ends_their_own_logins(world: World, once: str) -> None:
    mine, other, lost = Browser(world), Browser(world, "198.51.100.1"), Browser(world, "198.51.100.2")
    for browser in (mine, other, lost):
        await browser.log_in("admin", once)
    await mine.act("/console/account/password", old=once, new=GOOD, again=GOOD)
    for browser in (other, lost):
        assert (await browser.ask("GET", "/console/")).status == 302
        await browser.log_in("admin", GOOD)
    page = await mine.ask("GET", "/console/account")
    assert "Windows Chrome" in page
    assert "198.51.100.2" in page
    row = next(row for row in await world.rows(session) if row.address == "198.51.100.2")
    assert (await mine.act(f"/console/account/sessions/{row.token_hash[:16]}/end")).status == 303
    assert (await lost.ask("GET", "/console/")).status == 302
    assert (await other.ask("GET", "/console/access")).status == 200
    await mine.act("/console/account/sessions/end-others")
    assert (await other.ask("GET", "/console/access")).status == 302
    assert (await mine.ask("GET", "/console/access")).status == 200


async def test_the_last_administrator_stays(world: World, once: str, sign_in: SignIn) -> None:
    admin = Browser(world)
    await admin.log_in("admin", once)
    await admin.act("/console/account/password", old=once, new=GOOD, again=GOOD)
    for path, form in (
        ("/console/access/accounts/admin/off", {}),
        ("/console/access/accounts/admin/role", {"role": "manager"}),
    ):
        page = await admin.act(path, **form)
        assert (page.status, "不能去掉最后一位管理员" in page) == (409, True)
    boss = await sign_in("boss", "周总", "administrator")
    assert (await admin.act("/console/access/accounts/admin/off")).status == 303
    assert (await admin.ask("GET", "/console/")).status == 302
    assert (await Browser(world).ask("GET", "/login?next=/console/")).status == 302
    page = Page(*await _post(boss, "/console/access/members/boss/role", role="manager"))
    assert (page.status, "不能去掉最后一位管理员" in page) == (409, True)
    assert (await world.services.db.read(profiles.find_member, "boss")).role == "administrator"  # type: ignore[union-attr]


async def _post(visitor: Any, path: str, **form: str) -> tuple[int, str]:
    data = {"csrf": visitor.csrf, **form}
    response = await visitor.world.client.post(path, data=data, headers=visitor.cookie, allow_redirects=False)
    return response.status, await response.text()


async def test_an_administrator_gives_roles_and_nobody_else_makes_administrators(
    world: World, once: str, sign_in: SignIn
) -> None:
    boss, lina = await sign_in("boss", "周总", "administrator"), await sign_in("lina", "李娜", "member")
    assert (await lina.get("/console/customers")).status == 403
    assert (await _post(boss, "/console/access/members/lina/role", role="manager"))[0] == 303
    assert (await lina.get("/console/customers")).status == 200
    assert (await _post(boss, "/console/access/members/lina/role", role="nonsense"))[0] == 422
    status, _ = await _post(
        boss, "/console/access/roles/new", title="人事", reach="all", rights="access:edit", note="管员工的权限"
    )
    assert status == 303
    role = next(link for link in (await boss.get("/console/access/roles")).links if "/roles/role-" in link)
    key = role.rpartition("/")[2]
    assert (await _post(boss, "/console/access/members/lina/role", role=key))[0] == 303
    assert (await lina.get("/console/access")).status == 200
    assert (await lina.get("/console/customers")).status == 403
    for path, form in (
        ("/console/access/members/lina/role", {"role": "administrator"}),
        ("/console/access/members/boss/role", {"role": "member"}),
        ("/console/access/accounts/new", {"name": "me", "role": "administrator"}),
        ("/console/access/accounts/admin/password", {}),
        ("/console/access/accounts/admin/off", {}),
        ("/console/access/roles/new", {"title": "更大", "reach": "all", "rights": "customers:edit"}),
    ):
        assert (await _post(lina, path, **form))[0] == 403, path
    page = Page(*await _post(boss, f"/console/access/roles/{key}/delete"))
    assert (page.status, "还有 1 人是“人事”" in page) == (409, True)
    assert (await _post(boss, "/console/access/members/lina/end-sessions"))[0] == 303
    assert (await lina.get("/console/access")).status == 302
    entries = [row for row in await world.rows(audit_entry) if row.entity == "member"]
    assert [(row.before, row.after) for row in entries] == [
        ({"role": "member"}, {"role": "manager"}),
        ({"role": "manager"}, {"role": key}),
    ]


async def test_an_account_made_on_the_page_is_shown_its_password_once(world: World, sign_in: SignIn) -> None:
    boss = await sign_in("boss", "周总", "administrator")
    status, html = await _post(boss, "/console/access/accounts/new", name="consultant", role="operator")
    password = re.search(r"<code[^>]*>([^<]+)</code>", html)
    assert status == 200
    assert password is not None
    assert password[1] not in (await boss.get("/console/access/accounts")).html
    browser = Browser(world)
    assert (await browser.log_in("consultant", password[1])).status == 303
    assert (await browser.act("/console/account/password", old=password[1], new=GOOD, again=GOOD)).status == 303
    assert (await browser.ask("GET", "/console/playbooks")).status == 200
    assert (await browser.ask("GET", "/console/access")).status == 403
    for name, text in (("consultant", "已经有叫"), ("大王", "不能用")):
        _, html = await _post(boss, "/console/access/accounts/new", name=name, role="operator")
        assert text in html
    _, html = await _post(boss, "/console/access/accounts/consultant/password")
    assert "consultant" in html
    assert (await browser.ask("GET", "/console/playbooks")).status == 302
    assert (await Browser(world).log_in("consultant", GOOD)).status == 401


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "太短"),
        ("x" * 129, "太长"),
        ("aaaaaaaaaaaa", "容易猜到"),
        ("1234567890", "容易猜到"),
        ("my-zhouli-pass", "用户名"),
        ("the same as now", "一样"),
    ],
)
def test_what_a_password_may_not_be(password: str, why: str) -> None:
    with pytest.raises(Exception, match=why):
        passwords.require_good(password, name="zhouli", old="the same as now")


async def test_nobody_passes_by_trying_at_once(world: World) -> None:
    """Attempts are counted before they are judged."""
    now = world.clock.now()
    waits = [
        await world.services.db.write(account_store.begin_attempt, "admin", f"203.0.113.{n}", now=now) for n in range(8)
    ]
    assert [bool(wait) for wait in waits] == [False] * 5 + [True] * 3
