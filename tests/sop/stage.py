"""The whole application in front of a whole WeCom: customers scan, members tap, managers type, programs post."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer, unused_port
from sqlalchemy import Connection, select

from scrm import sessions
from scrm.api.store import make_key
from scrm.app import build_app, open_services
from scrm.http import COOKIE
from scrm.mass_messages import results
from scrm.profiles import store as profiles
from scrm.profiles.models import external_contact
from scrm.sandbox import Sandbox, SandboxConfig, make_routes
from scrm.sandbox.confirming import confirm_mass_message
from scrm.sandbox.world import PairState
from scrm.sop.life import published as publishing
from scrm.sop.models import enrolment, step_run, task
from scrm.sop.reasons.explain import explain_person
from scrm.sop.shelf import house_of, playbooks_of
from scrm.sop.text.parse import parse_playbook
from tests.fakes import wecom as fake
from tests.fakes.clock import FakeClock
from tests.sop.shop import Customer, Shop
from tests.world import make_settings

_MOMENT_OF = {
    "pending_payment": "ordered_at",
    "paid": "paid_at",
    "shipped": "shipped_at",
    "completed": "completed_at",
}
MEMBERS = {"lina": "李娜", "WuHao": "吴昊", "chenlan": "陈岚"}


class Stage(Shop):
    """What people and programs do from outside, and what WeCom has seen of us."""

    sandbox: Sandbox
    http: aiohttp.ClientSession
    url: str
    key: str
    _signed_in: dict[str, dict[str, str]]

    # what managers do

    async def publish_texts(self, *texts: str) -> None:
        for text in texts:
            await self.services.db.write(
                publishing.publish, parse_playbook(text, file_name="x.yaml"), now=self.clock.now()
            )
        await self.services.db.read(playbooks_of(self.services).load)

    # what customers do

    async def scan(self, name: str, state: str = "code", userid: str = "lina", **more: Any) -> Customer:
        """Scans this member's code and is a friend; everything that follows at once is done."""
        if name not in self.sandbox.world.wechat_users:
            self.sandbox.add_wechat_user(name, name, unionid=f"oU{name}", **more)
        way = self.sandbox.add_contact_way_seed(f"{state}-{userid}", state, [userid])
        external_userid = await self.sandbox.scan(name, way)
        await self.settle()
        if self.sandbox.get_pair(userid, external_userid).state == PairState.HALF:
            await self.sandbox.confirm(userid, external_userid)
        await self.settle()
        query = select(external_contact.c.person_id).where(external_contact.c.external_userid == external_userid)
        person_id = await self.services.db.read(lambda conn: conn.execute(query).scalar_one())
        return Customer(int(person_id), external_userid, userid)

    async def delete(self, name: str, userid: str = "lina") -> None:
        await self.sandbox.delete_member(name, userid)
        await self.settle()

    # what programs do

    async def post(self, path: str, body: Any, method: str = "POST") -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        async with self.http.request(method, f"{self.url}/api/v1/{path}", json=body, headers=headers) as response:
            answer = await response.json()
            assert response.status < 400, answer
            return answer

    async def get(self, path: str) -> Any:
        async with self.http.get(
            f"{self.url}/api/v1/{path}", headers={"Authorization": f"Bearer {self.key}"}
        ) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def order(self, name: str, order_no: str, status: str, *, handled: bool = True, **more: Any) -> str:
        """A shop tells what an order has become, now; gives what became of that."""
        now = self.clock.now().isoformat()
        line = {"line_key": "1", "title": "桂花乌龙", "qty": 1, "unit_price_fen": 20000, "merchant_sku": "TEA"}
        body: dict[str, Any] = {
            "channel": "mall",
            "shop_key": "main",
            "order_no": order_no,
            "status": status,
            "platform_updated_at": now,
            "buyer_ref": {"wx_unionid": f"oU{name}"},
            "lines": [line | more.pop("line", {})],
            **({_MOMENT_OF[status]: now} if status in _MOMENT_OF else {}),
            **({} if status == "pending_payment" else {"paid_fen": 20000}),
        }
        (item,) = (await self.post("orders", [body | more]))["items"]
        assert item["result"] != "rejected", item
        if handled:
            await self.settle()
        return str(item["result"])

    async def parcel(self, order_no: str, state: str) -> None:
        of_order = {"channel": "mall", "shop_key": "main", "order_no": order_no, "carrier_name": "顺丰速运"}
        news = {"tracking_no": f"SF{order_no}", "state": state, "happened_at": self.clock.now().isoformat()}
        await self.post("shipments", [news | of_order])
        await self.settle()

    async def tell(self, name: str, who: Customer, **more: Any) -> None:
        body = {"name": name, "person": {"id": who.person_id}, **more}
        await self.post("events", [body])
        await self.settle()

    # what members do

    async def sign_in(self, userid: str) -> dict[str, str]:
        if userid not in self._signed_in:

            def enter(conn: Connection) -> tuple[str, str]:
                now = self.clock.now()
                profiles.save_member(conn, userid, name=MEMBERS[userid], now=now)
                token = sessions.open_session(conn, userid, now=now, lives=timedelta(days=90))
                found = sessions.find_session(conn, token, now=now)
                assert found is not None
                return token, found.csrf

            token, csrf = await self.services.db.write(enter)
            self._signed_in[userid] = {"Cookie": f"{COOKIE}={token}", "X-CSRF": csrf, "Accept": "application/json"}
        return self._signed_in[userid]

    async def press(self, userid: str, path: str, method: str = "POST", **fields: Any) -> tuple[int, Any]:
        """Status and answer of what a page of the sidebar posts."""
        headers = await self.sign_in(userid)
        async with self.http.request(method, f"{self.url}/sidebar/{path}", json=fields, headers=headers) as response:
            text = await response.text()
            return response.status, await response.json() if "json" in response.content_type else text

    async def tap(self, task_id: int, userid: str = "lina", *, sent: bool = True) -> str:
        """The green button; the chat then says that it went out. Gives why it was refused, or ''."""
        status, answer = await self.press(userid, f"tasks/{task_id}/release")
        if status >= 400:
            return str(answer["error"]["message"])
        if sent:
            status, answer = await self.press(userid, f"tasks/{task_id}/sending", ok=True)
            assert status == 200, answer
        return ""

    async def tap_all(self) -> list[str]:
        """Every member sends what waits; the steps that went out."""
        waiting = await self.tasks(task.c.state == "open")
        return [one.step_id for one in waiting if not await self.tap(one.id, one.userid)]

    def confirm(self, msgid: str, userid: str = "lina") -> None:
        confirm_mass_message(self.sandbox, userid, msgid)

    # what is there

    async def settle(self) -> None:
        await self.sandbox.settle()
        while await self.services.worker.drain() + await self.tick():
            await self.sandbox.settle()
        await results.poll(self.services)
        while await self.services.worker.drain() + await self.tick():
            pass

    async def states(self, of: Mapping[str, Any] | None = None) -> dict[str, str]:
        """What became of each step: {"ask": "waiting"}; several of one name stand sorted with commas."""
        found: dict[str, list[str]] = {}
        for row in await self.rows(step_run):
            found.setdefault(row.step_id, []).append(row.state)
        return {name: ",".join(sorted(states)) for name, states in found.items()}

    async def run_of(self, key: str, who: Customer | None = None) -> Any:
        wanted = [enrolment.c.playbook_key == key]
        if who is not None:
            wanted.append(enrolment.c.person_id == who.person_id)
        (row,) = await self.runs(*wanted)
        return row

    async def why(self, who: Customer) -> str:
        """All that a manager reads about this person's runs, as one text."""
        stories = await self.services.db.read(
            explain_person, who.person_id, playbooks_of(self.services), house_of(self.services)
        )
        return repr(stories)

    @property
    def made(self) -> list[Any]:
        return list(self.sandbox.world.sending.mass_messages.values())

    def called(self, path: str) -> list[Any]:
        """What WeCom was asked for under this path."""
        return [record for record in self.sandbox.call_log if record.endpoint.endswith(path)]


@asynccontextmanager
async def open_stage(database_url: str, clock: FakeClock, folder: Path, **more: Any) -> AsyncIterator[Stage]:
    port = unused_port()
    url = f"http://127.0.0.1:{port}"
    config = SandboxConfig(
        fake.CORP_ID, fake.AGENT_ID, fake.SECRET, fake.TOKEN, fake.AES_KEY,
        f"{url}/callbacks/wecom", f"{url}/sidebar/", public_url=url,
    )  # fmt: skip
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        sandbox = Sandbox(config, clock, http)
        sandbox.faults.member_confirms_after = None
        for userid, name in MEMBERS.items():
            sandbox.add_member(userid, name)
        settings = make_settings(
            database_url,
            config.base_url,
            server={"public_url": url},
            content={"media_dir": str(folder / "media")},
            **more,
        )
        async with open_services(settings, clock) as services:
            app = build_app(services, with_worker=False, more_routes=make_routes(sandbox))
            async with TestServer(app, port=port):
                stage = Stage(services, clock, fake.FakeWeCom())
                stage.sandbox, stage.http, stage.url, stage._signed_in = sandbox, http, url, {}
                stage.key = await services.db.write(make_key, "mall", "manager", now=clock.now())
                yield stage
                await sandbox.stop()
