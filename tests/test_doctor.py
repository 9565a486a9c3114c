"""The doctor: all is well in a shop that is set up right, and each trouble has its cause and its place to mend it."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from sqlalchemy import update

from scrm import cli
from scrm.app import build_app, open_services
from scrm.callbacks import inbox
from scrm.callbacks.models import inbox_event
from scrm.doctor.checks import CHECKS
from scrm.doctor.command import run_doctor
from scrm.doctor.examine import examine, is_well
from scrm.doctor.findings import State
from scrm.services import Services
from tests.fakes import wecom as fake
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.world import make_settings

Break = Callable[[FakeWeCom], None]


def agent_of(host: str, **more: Any) -> dict[str, Any]:
    users = {"user": [{"userid": "lina"}]}
    return {"errcode": 0, "name": "晴屿 SCRM", "close": 0, "redirect_domain": host, "allow_userinfos": users, **more}


@pytest.fixture
async def services(
    sqlite_url: str, clock: FakeClock, wecom: FakeWeCom, unused_tcp_port: int, tmp_path: Path
) -> AsyncIterator[Services]:
    """A shop that listens where its public address says."""
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "WW_verify_0123456789abcdef.txt").write_text("0123456789abcdef")
    url = f"http://127.0.0.1:{unused_tcp_port}"
    (tmp_path / f"scrm-{clock.now():%Y%m%d-%H%M%S}.tar.gz").touch()
    settings = make_settings(
        sqlite_url,
        wecom.url,  # type: ignore[attr-defined]
        server={"public_url": url},
        backup={"dir": str(tmp_path)},
    )
    playbooks = settings.playbooks.model_copy(update={"dir": tmp_path / "playbooks"})
    settings = settings.model_copy(update={"playbooks": playbooks})
    async with (
        open_services(settings, clock) as services,
        TestServer(build_app(services, with_worker=False), port=unused_tcp_port),
    ):
        yield services


@pytest.fixture
def well(wecom: FakeWeCom, services: Services) -> FakeWeCom:
    """WeCom as it answers, once, when all is set up."""
    set_up(wecom, services)
    return wecom


def set_up(wecom: FakeWeCom, services: Services) -> None:
    host = services.settings.server.public_url.removeprefix("http://")
    wecom.forget()
    wecom.say("agent/get", agent_of(host))
    wecom.say("externalcontact/get_follow_user_list", {"errcode": 0, "follow_user": ["lina"]})


async def add_friends(services: Services, count: int, *, with_code: int) -> None:
    for n in range(count):
        code = {"WelcomeCode": f"code-{n}"} if n < with_code else {}
        xml = fake.event_xml("add_external_contact", created_at=1, UserID="lina", ExternalUserID=f"wm{n}", **code)
        await inbox.accept(services.db, xml.encode(), services.clock.now())
    await services.db.write(lambda conn: conn.execute(update(inbox_event).values(change_type="add_external_contact")))


async def test_all_is_well_in_a_shop_that_is_set_up_right(
    services: Services, well: FakeWeCom, capsys: pytest.CaptureFixture[str]
) -> None:
    await add_friends(services, 10, with_code=10)
    results = await examine(services)
    states = {result.check.key: (str(result.finding.state), result.finding.found) for result in results}
    assert states.pop("public_url")[0] == "warn"  # only this machine can open it
    assert {key: state for key, (state, _) in states.items() if state != "good"} == {}
    assert is_well(results)
    assert await run_doctor(services, as_json=True) == 1  # asked again, the fake knows no app and no members
    told = json.loads(capsys.readouterr().out)
    assert [check["key"] for check in told["checks"]] == [check.key for check in CHECKS]
    assert told["ok"] is False
    set_up(well, services)
    assert await run_doctor(services) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "没有故障，1 项提醒（!）。"
    async with services.http.get(f"{services.settings.server.public_url}/metrics") as response:
        assert 'scrm_wecom_calls_total{errcode="0",path="agent/get"}' in await response.text()


def refused(path: str, errcode: int, ip: str = "") -> Break:
    errmsg = f"no, hint: [1_2_3], from ip: {ip}, more info" if ip else "no"
    return told(path, errcode=errcode, errmsg=errmsg, follow_user=[])


def told(path: str, **answer: Any) -> Break:
    def break_it(wecom: FakeWeCom) -> None:
        wecom.forget(path)
        wecom.say(path, {"errcode": 0, **answer})

    return break_it


BAD, WARN, UNUSED = State.BAD, State.WARN, State.UNUSED


TROUBLES: tuple[tuple[Break, str, State, str], ...] = (
    (refused("gettoken", 40001), "token", BAD, "Secret"),
    (refused("gettoken", 40013), "token", BAD, "企业信息"),
    (refused("agent/get", 60020, "203.0.113.9"), "trusted_ip", BAD, "203.0.113.9"),
    (refused("agent/get", 301002), "app", BAD, "AgentId"),
    (told("agent/get", close=1), "app", BAD, "启用"),
    (told("agent/get", name="x"), "visible_range", BAD, "可见范围"),
    (told("agent/get", redirect_domain="other.example.com"), "trusted_domain", BAD, "other.example.com"),
    (told("agent/get"), "trusted_domain", WARN, "设置可信域名"),
    (refused("externalcontact/get_corp_tag_list", 48002), "corp_tags", BAD, "可调用接口的应用"),
    (refused("externalcontact/list_contact_way", 48002), "contact_ways", BAD, "可调用接口的应用"),
    (refused("externalcontact/groupchat/list", 81017), "group_chats", State.GOOD, ""),
    (told("externalcontact/get_follow_user_list", follow_user=[]), "customer_contact", BAD, "使用范围"),
    (refused("kf/account/list", 48002), "kf", UNUSED, "微信客服"),
    (refused("externalcontact/customer_acquisition/list_link", 48002), "acquisition", UNUSED, "获客助手"),
    (refused("ticket/get", 48002), "agent_ticket", BAD, "权限"),
)


async def test_each_trouble_with_wecom_says_where_to_mend_it(
    services: Services, wecom: FakeWeCom, clock: FakeClock
) -> None:
    for break_it, key, state, words in TROUBLES:
        clock.advance(hours=3)  # tokens, tickets and pauses of the case before are over
        set_up(wecom, services)
        break_it(wecom)
        checks = [check for check in CHECKS if check.key in ("database", key)]
        finding = (await examine(services, checks))[-1].finding
        assert finding.state is state, (key, finding)
        assert words in finding.found + finding.mend, (key, finding)
        assert finding.mend or state is State.GOOD, (key, finding)


async def test_an_address_that_is_not_trusted_is_told_as_such_and_the_secret_is_not_blamed(
    services: Services, well: FakeWeCom
) -> None:
    for path in ("getcallbackip", "agent/get"):
        refused(path, 60020, "203.0.113.9")(well)
    checks = [check for check in CHECKS if check.key in ("database", "token", "trusted_ip", "app")]
    states = {result.check.key: result.finding.state for result in await examine(services, checks)}
    assert states == {"database": State.GOOD, "token": State.GOOD, "trusted_ip": BAD, "app": State.LATER}


async def test_silence_conflicts_and_closed_doors_are_found(
    services: Services, well: FakeWeCom, clock: FakeClock
) -> None:
    results = {result.check.key: result.finding for result in await examine(services)}
    assert results["callback_fresh"].state is WARN
    assert "设置API接收" in results["callback_fresh"].mend

    await add_friends(services, 10, with_code=7)
    results = {result.check.key: result.finding for result in await examine(services)}
    assert results["welcome_conflicts"].state is BAD
    assert "3 次没有欢迎语 code" in results["welcome_conflicts"].found

    clock.advance(days=5)
    results = {result.check.key: result.finding for result in await examine(services)}
    assert "5 天前" in results["callback_fresh"].found

    nowhere = make_settings("sqlite://", "http://127.0.0.1:9", server={"public_url": "http://127.0.0.1:9"})
    results = {result.check.key: result.finding for result in await examine(replace(services, settings=nowhere))}
    assert "打不开自己的外网地址 http://127.0.0.1:9/callbacks/wecom（连接被拒绝" in results["callback_reachable"].found
    assert results["clock"].state is BAD


async def test_an_address_that_another_app_answers_is_found(services: Services, well: FakeWeCom) -> None:
    url = services.settings.server.public_url
    settings = make_settings("sqlite://", well.url, server={"public_url": url}, wecom={"token": "another"})  # type: ignore[attr-defined]
    results = {result.check.key: result.finding for result in await examine(replace(services, settings=settings))}
    assert results["callback_reachable"].state is BAD
    assert "HTTP 4" in results["callback_reachable"].found


async def test_only_domain_files_beside_the_settings_are_served(services: Services) -> None:
    base = services.settings.server.public_url
    async with services.http.get(f"{base}/WW_verify_0123456789abcdef.txt") as response:
        assert (response.status, await response.text()) == (200, "0123456789abcdef")
    for name in ("WW_verify_ffffffffffffffff.txt", "WW_verify_..%2Fplaybooks.txt"):
        async with services.http.get(f"{base}/{name}") as response:
            assert response.status == 404


def test_the_command_says_what_to_mend_first_and_fails(
    sqlite_url: str, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = make_settings(sqlite_url, f"http://127.0.0.1:{unused_tcp_port}", server={"public_url": "https://x.test"})
    monkeypatch.setattr("scrm.cli.load_settings", lambda: given)
    assert cli.run(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "✗ 企业 ID 与 Secret：连不上企业微信" in printed
    assert "处理：检查服务器能否访问外网" in printed
    assert "… 企业标签：先修好“企业 ID 与 Secret”" in printed

    monkeypatch.setattr("scrm.cli.load_settings", lambda: make_settings("sqlite://", "http://127.0.0.1:1"))
    assert cli.run(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    first, *others = told["checks"]
    assert (first["key"], first["state"], first["mend"]) == ("database", "bad", "请先运行 scrm migrate。")
    assert {check["state"] for check in others} == {"later"}


def lose_backups(folder: Path) -> None:
    for path in folder.glob("scrm-*"):
        path.unlink()


async def test_a_backup_that_is_old_or_missing_is_told(services: Services, clock: FakeClock, tmp_path: Path) -> None:
    async def state() -> tuple[str, str]:
        (found,) = [one for one in await examine(services) if one.check.key == "backup"]
        return found.finding.state.value, found.finding.found

    assert (await state())[0] == "good"
    clock.advance(hours=37)
    assert (await state())[0] == "bad"
    lose_backups(tmp_path)
    assert "还没有备份" in (await state())[1]
