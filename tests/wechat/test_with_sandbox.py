"""The whole chain against the sandbox: customer service, the Official Account and a transfer, as people do them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer, unused_port

from scrm.app import build_app, open_services, publish_playbooks
from scrm.clock import SandboxClock
from scrm.profiles import store as profiles
from scrm.profiles.models import follow_user
from scrm.sandbox import Sandbox, SandboxConfig, make_routes
from scrm.sandbox.config import OfficialAccountConfig
from scrm.sandbox.talking import add_kf_account
from scrm.services import Services
from scrm.sop.models import enrolment, send
from scrm.sop.tick import tick
from scrm.transfers.begin import begin
from scrm.transfers.models import transfer_customer
from scrm.transfers.store import Plan
from scrm.wechat import store
from scrm.wechat.models import oa_follower
from tests.fakes import wecom as fake
from tests.world import make_settings

APP_ID, OA_TOKEN = "wx5823bf96d3bd56c7", "official-account-token"
OA_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


@dataclass
class Town:
    """The CRM and WeCom's side in one process, with people in it."""

    services: Services
    sandbox: Sandbox
    base: str
    http: aiohttp.ClientSession

    async def act(self, name: str, **body: Any) -> dict[str, Any]:
        async with self.http.post(f"{self.base}/api/{name}", json=body) as response:
            answer = await response.json()
            assert response.status == 200, answer
        await self.settle()
        return dict(answer)

    async def settle(self) -> None:
        while True:
            await self.sandbox.settle()
            if not await self.services.worker.drain() + await tick(self.services):
                return

    async def rows(self, table: Any) -> list[Any]:
        return await self.services.db.read(lambda conn: list(conn.execute(table.select())))

    async def page(self, path: str) -> str:
        async with self.http.get(self.base + path) as response:
            assert response.status == 200
            return await response.text()


@pytest.fixture
async def town(sqlite_url: str) -> AsyncIterator[Town]:
    clock, port = SandboxClock(), unused_port()
    url = f"http://127.0.0.1:{port}"
    account = {"app_id": APP_ID, "token": OA_TOKEN, "encoding_aes_key": OA_KEY, "secret": "oa-secret"}
    settings = make_settings(
        sqlite_url, f"{url}/sandbox", official_account={**account, "api_base": f"{url}/sandbox/oa"}
    )
    config = SandboxConfig(
        fake.CORP_ID,
        fake.AGENT_ID,
        fake.SECRET,
        fake.TOKEN,
        fake.AES_KEY,
        f"{url}/callbacks/wecom",
        f"{url}/sidebar/",
        public_url=url,
        official_account=OfficialAccountConfig(callback_url=f"{url}/callbacks/oa", **account),
    )
    async with open_services(settings, clock) as services, aiohttp.ClientSession() as http:
        await publish_playbooks(services)
        sandbox = Sandbox(config, clock, http)
        for userid, name in (("lina", "李娜"), ("wanghao", "王皓")):
            sandbox.add_member(userid, name)
            await services.db.write(profiles.save_member, userid, name=name, now=clock.now())
        sandbox.add_wechat_user("xiaoman", "陈小满", 2, unionid="oUnionXiaoman")
        kfid = add_kf_account(sandbox, "客服", ["lina"]).open_kfid

        def furnish(conn: Any) -> None:
            store.ensure_account(conn, kfid, now=clock.now())
            shop = {"kind": "miniprogram", "title": "去商城", "appid": "wx0123456789abcdef", "pagepath": "pages/a.html"}
            store.change_account(conn, kfid, welcome="您好，请问有什么可以帮您？", attachment=shop)
            link = {"kind": "link", "title": "退货流程", "url": "https://crm.example.test/return"}
            store.save_reply(conn, "退货", "contains", "7 天无理由。", "both", attachment=link, now=clock.now())

        await services.db.write(furnish)
        sandbox.faults.member_confirms_after = None
        async with TestServer(build_app(services, with_worker=False, more_routes=make_routes(sandbox)), port=port):
            yield Town(services, sandbox, f"{url}/sandbox", http)
            await sandbox.stop()


async def test_customer_service_and_the_official_account_answer_and_know_one_person(town: Town) -> None:
    await town.act("kf_enter", user="xiaoman", scene="poster")
    await town.act("kf_say", user="xiaoman", text="怎么退货")
    phone = await town.page("/phone/kf?user=xiaoman")
    assert "您好，请问有什么可以帮您？" in phone
    assert "7 天无理由。" in phone
    assert "▸ 退货流程 https://crm.example.test/return" in phone
    assert "▸ 去商城 pages/a.html" in phone
    await town.act("kf_say", user="xiaoman", text="谢谢你")
    assert "排队中" in await town.page("/phone/kf?user=xiaoman")
    await town.act("oa_follow", user="xiaoman", scene="poster_618")
    assert (await town.act("oa_say", user="xiaoman", text="退货"))["answer"] == (
        "7 天无理由。\n退货流程：https://crm.example.test/return"
    )
    assert (await town.act("oa_say", user="xiaoman", text="随便聊聊"))["answer"] == ""
    (follower,) = await town.rows(oa_follower)
    assert (follower.unionid, follower.scene) == ("oUnionXiaoman", "poster_618")
    assert {row.person_id for row in await town.rows(send)} == {follower.person_id}
    await town.act("oa_unfollow", user="xiaoman")
    assert not (await town.rows(oa_follower))[0].subscribed
    assert "还没有关注" not in await town.page("/phone/oa?user=xiaoman")


async def test_a_transfer_goes_its_way_and_the_run_goes_with_the_customer(town: Town) -> None:
    config_id = town.sandbox.add_contact_way_seed("live-1111", "直播间", ["lina"])
    external_userid = (await town.act("scan", user="xiaoman", config_id=config_id))["external_userid"]
    await town.act("confirm", userid="lina", external_userid=external_userid)
    now = town.services.clock.now()
    await town.services.db.write(begin, Plan("lina", "wanghao", resigned=False, message="之后由王皓为您服务"), now=now)
    await town.settle()
    assert [row.state for row in await town.rows(transfer_customer)] == ["waiting"]
    await town.act("finish_transfer", user="xiaoman")
    assert [row.state for row in await town.rows(transfer_customer)] == ["done"]
    assert {row.userid for row in await town.rows(enrolment) if row.state == "active"} == {"wanghao"}
    assert {row.userid: row.ended_by for row in await town.rows(follow_user)} == {"lina": "member", "wanghao": ""}
    assert len([row for row in await town.rows(send) if row.kind == "welcome" and row.outcome == "sent"]) == 1
