"""A shop's days with a WeCom that somebody else wrote: the real `scrm serve`, from the first sync to a finished transfer."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy import Connection

from scrm.app import open_services
from scrm.profiles import store as profiles
from scrm.wechat import store as wechat
from scrm.wechat.keywords import fold
from tests import server_process
from tests.fakes import wecom as envelope
from tests.fakes.foreign_corp import KF, Corp
from tests.server_process import ServerProcess, environment
from tests.waiting import eventually
from tests.world import make_settings

pytestmark = pytest.mark.chaos

LIN, HUA, MEI, YUN = (f"wmForeign{name:0>23}" for name in ("Lin", "Hua", "Mei", "Yun"))
VISITOR = "wmForeignVisitor000000000000001"
CHAT = "wrForeign1"
BEGAN = datetime(2026, 12, 1, 2, 0, tzinfo=UTC)  # ten in the morning in the shop
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
PATIENCE = 60.0  # seconds; a busy machine is no failure
IN_CLIENT = "Mozilla/5.0 Chrome/107.0.5304.110 wxwork/4.1.36 (MicroMessenger/6.2) WindowsWechat"


class Time:
    """How far the shop is ahead of this machine; the server reads it from a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ahead = (BEGAN - datetime.now(UTC)).total_seconds()
        self.passes(0)

    def now(self) -> datetime:
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() + self._ahead, UTC)

    def passes(self, seconds: float) -> None:
        self._ahead += seconds
        new = self._file.with_suffix(".new")
        new.write_text(str(self._ahead))
        new.replace(self._file)  # never half written


class Shop:
    """The server's database, its doors, and the corp beyond."""

    def __init__(self, url: str, database: Path, corp: Corp, time: Time, http: aiohttp.ClientSession) -> None:
        self.url, self._database, self.corp, self.time, self._http = url, database, corp, time, http
        self.csrf = ""

    def rows(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self._database)) as conn:
            return conn.execute(sql).fetchall()

    async def becomes(self, sql: str, rows: list[Any]) -> None:
        """What the database says in the end."""
        try:
            await eventually(lambda: self.rows(sql) == rows, PATIENCE)
        except TimeoutError:
            left = self.rows("SELECT lane, kind, state, attempts, last_error FROM work_item")
            assert self.rows(sql) == rows, (sql, left, self.rows(STORY))

    async def tell(self, event: str, change_type: str = "", inner: str = "", **fields: str) -> None:
        """A callback, twice at once."""
        xml = envelope.event_xml(change_type, event=event, created_at=self.corp.seconds(), **fields)
        if "FromUserName" in fields:
            xml = xml.replace("<FromUserName><![CDATA[sys]]></FromUserName>", "")
        xml = xml.replace("</xml>", f"{inner}</xml>")
        assert set(await asyncio.gather(self._post(xml), self._post(xml))) == {200}

    async def _post(self, xml: str) -> int:
        query, body = envelope.callback(xml)
        async with self._http.post(f"{self.url}/callbacks/wecom", params=query, data=body) as response:
            return response.status

    async def log_in(self, code: str) -> int:
        head = {"User-Agent": IN_CLIENT}
        async with self._http.get(f"{self.url}/login?next=/console/", headers=head, allow_redirects=False) as response:
            state = parse_qs(urlsplit(response.headers["Location"]).query)["state"][0]
        back = f"{self.url}/login/return?code={code}&state={state}"
        async with self._http.get(back, headers=head, allow_redirects=False) as response:
            if response.status == 302:
                self.csrf = self.rows("SELECT csrf FROM session")[-1][0]
            return response.status

    async def submit(self, path: str, **fields: str) -> None:
        form = {"csrf": self.csrf, **fields}
        async with self._http.post(f"{self.url}{path}", data=form, allow_redirects=False) as response:
            assert response.status in (200, 303), (path, response.status, (await response.text())[-1500:])


@pytest.fixture
async def shop(tmp_path: Path, sqlite_template: Path, aiohttp_server: Any) -> AsyncIterator[Shop]:
    database = tmp_path / "scrm.db"
    shutil.copy(sqlite_template, database)
    time = Time(tmp_path / "ahead")
    corp = Corp(time.now)
    app = web.Application()
    app.router.add_route("*", "/cgi-bin/{path:.+}", corp.answer)
    api = str((await aiohttp_server(app)).make_url("")).rstrip("/")
    await _prepare(f"sqlite:///{database}", api, time.now())
    environ = environment(
        f"sqlite:///{database}",
        api,
        SCRM_SERVER__PUBLIC_URL="http://127.0.0.1:1",
        SCRM_CONTENT__MEDIA_DIR=str(tmp_path / "media"),
        SCRM_BACKUP__AT="none",
    )
    log = tmp_path / "scrm.log"
    command = ["-m", "tests.fakes.serve_at", "serve", "--host", "127.0.0.1", "--port", "0"]
    server: ServerProcess = await asyncio.to_thread(
        server_process.start, command, {**environ, "SCRM_TEST_AHEAD": str(tmp_path / "ahead")}, log
    )
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        yield Shop(server.url, database, corp, time, http)
    assert await asyncio.to_thread(server.stop) == 0
    assert b"Traceback" not in log.read_bytes()


async def _prepare(database_url: str, api: str, now: datetime) -> None:
    """Who may sign in, and what customer service answers."""

    def prepare(conn: Connection) -> None:
        profiles.save_member(conn, "chenlan", name="陈岚", now=now)
        profiles.set_role(conn, "chenlan", "administrator")
        wechat.ensure_account(conn, KF, now=now)
        wechat.change_account(conn, KF, welcome="您好，这里是晴屿美妆。")
        wechat.save_reply(conn, fold("退货"), "contains", "7 天无理由，运费我们出。", "kf", now=now)

    async with open_services(make_settings(database_url, api)) as services:
        await services.db.write(prepare)


def people(corp: Corp) -> None:
    corp.members = {"chenlan": "陈岚", "wuhao": "吴昊", "zhaomin": "赵敏"}
    long_ago = corp.seconds() - 30 * int(DAY)
    corp.tags = {"etA": {"name": "展会"}, "etB": {"name": "老客"}}
    corp.befriend("chenlan", LIN, "小林", tags=[corp.tag_of("etA")], createtime=long_ago)
    corp.befriend("wuhao", LIN, "小林", remark=None, createtime=long_ago)
    corp.befriend("wuhao", HUA, "小华", createtime=long_ago)
    corp.befriend("chenlan", MEI, "小美", add_way="1", createtime=long_ago)
    corp.groups[CHAT] = {
        "chat_id": CHAT,
        "name": None,
        "owner": "chenlan",
        "create_time": str(corp.seconds()),
        "member_version": "v1".zfill(32),
        "member_list": [
            {"userid": "chenlan", "type": 1, "join_time": corp.seconds(), "join_scene": 1},
            {"userid": LIN, "type": "2", "join_time": str(corp.seconds()), "join_scene": 3, "name": "小林"},
        ],
    }


STORY = "SELECT playbook_key, step_id, channel, step_run.state, reason FROM step_run JOIN enrolment ON enrolment.id = enrolment_id"
ALIVE = "SELECT userid, external_userid FROM follow_user WHERE ended_by = '' ORDER BY 1, 2"
SEATS = "SELECT userid FROM group_chat_member ORDER BY 1"


async def first_sync(shop: Shop) -> None:
    corp = shop.corp
    corp.login_codes["once"] = "chenlan"
    assert await shop.log_in("once") == 302
    corp.expire_tokens()
    await shop.submit("/console/sync")
    await shop.becomes(ALIVE, [("chenlan", LIN), ("chenlan", MEI), ("wuhao", HUA), ("wuhao", LIN)])
    await shop.becomes(SEATS, [("chenlan",), (LIN,)])
    await shop.becomes("SELECT state FROM work_item WHERE kind = 'sync.run' AND state < 2", [])


async def a_busy_minute(shop: Shop) -> None:
    """Everything at once: an add, an edit, deletions of both sides, a group, a tag, somebody at the service desk."""
    corp = shop.corp
    corp.befriend("chenlan", YUN, "小云", state="live-1111")
    corp.welcome_codes["CODE"] = shop.time.now()
    corp.friends["chenlan", LIN]["remark"] = "小林（展会）"
    del corp.friends["chenlan", MEI]
    corp.tags["etA"]["name"] = "春季展会"
    group = corp.groups[CHAT]
    group["member_version"] = "v2".zfill(32)
    group["member_list"].append({"userid": YUN, "type": 2, "join_time": corp.seconds(), "join_scene": 3})
    corp.enter(VISITOR, "KFCODE")
    corp.say(VISITOR, "可以退货吗")
    corp.kf_tokens["KFTOKEN"] = shop.time.now()
    contact = "change_external_contact"
    seat = f"<MemChangeList><Item>{YUN}</Item></MemChangeList>"
    versions = {"LastMemVer": "v1".zfill(32), "CurMemVer": "v2".zfill(32), "MemChangeCnt": "1", "JoinScene": "3"}
    lin, mei = {"UserID": "chenlan", "ExternalUserID": LIN}, {"UserID": "chenlan", "ExternalUserID": MEI}
    yun = {"UserID": "chenlan", "ExternalUserID": YUN, "State": "live-1111", "WelcomeCode": "CODE"}
    await asyncio.gather(
        shop.tell(contact, "add_external_contact", **yun),
        shop.tell(contact, "edit_external_contact", **lin),
        shop.tell(contact, "del_follow_user", UserID="wuhao", ExternalUserID=HUA),
        shop.tell(contact, "del_external_contact", **mei),
        shop.tell("change_external_chat", "update", seat, ChatId=CHAT, UpdateDetail="add_member", **versions),
        shop.tell("change_external_tag", "update", Id="etA", TagType="tag"),
        shop.tell("kf_msg_or_event", Token="KFTOKEN", OpenKfId=KF),
    )
    await eventually(lambda: corp.welcomed and len(corp.kf_said) == 2, PATIENCE)
    shop.time.passes(MINUTE)
    await shop.becomes(ALIVE, [("chenlan", LIN), ("chenlan", YUN), ("wuhao", LIN)])
    await shop.becomes(
        f"SELECT remark FROM follow_user WHERE userid = 'chenlan' AND external_userid = '{LIN}'", [("小林（展会）",)]
    )
    await shop.becomes(SEATS, sorted([("chenlan",), (LIN,), (YUN,)]))
    await shop.becomes("SELECT tag_name FROM corp_tag WHERE tag_id = 'etA'", [("春季展会",)])


async def a_manager_acts(shop: Shop) -> None:
    """A tag beside the chat, a mass message that its member confirms, and a customer for a colleague."""
    corp = shop.corp
    await shop.submit(f"/sidebar/contacts/{LIN}/tags", tag="etB", on="1")
    await shop.submit("/console/mass-messages", kind="single", userid="chenlan", text="秋季上新")
    await shop.submit("/console/transfers", kind="onjob", **{"from": "wuhao"}, to="zhaomin", scope="all")
    shop.time.passes(MINUTE)
    await eventually(
        lambda: {tag["tag_id"] for tag in corp.friends["chenlan", LIN]["tags"]} == {"etA", "etB"}, PATIENCE
    )
    await eventually(lambda: corp.made and corp.handed, PATIENCE)
    await shop.becomes("SELECT state FROM mass_message_part", [("created",)])
    await shop.becomes("SELECT state FROM transfer_customer", [("waiting",)])
    for made in corp.made.values():
        corp.confirm(made)
    shop.time.passes(5 * MINUTE)
    results = "SELECT target, state FROM mass_message_target ORDER BY 1"
    await shop.becomes(results, sorted([(LIN, "sent"), (YUN, "sent")]))


async def a_transfer_is_done(shop: Shop) -> None:
    corp = shop.corp
    shop.time.passes(DAY + 10 * MINUTE)
    row = corp.handed["wuhao", "zhaomin", LIN]
    row |= {"status": "1", "takeover_time": str(corp.seconds())}
    corp.friends["zhaomin", LIN] = corp.friends.pop(("wuhao", LIN)) | {
        "userid": "zhaomin",
        "createtime": corp.seconds(),
    }
    contact, source = "change_external_contact", "DELETE_BY_TRANSFER"
    await shop.tell(contact, "del_external_contact", UserID="wuhao", ExternalUserID=LIN, Source=source)
    await shop.tell(contact, "add_external_contact", UserID="zhaomin", ExternalUserID=LIN)
    shop.time.passes(HOUR)
    await shop.becomes("SELECT state FROM transfer_customer", [("done",)])


async def a_card_is_pressed(shop: Shop) -> None:
    """The welcome's playbook has something to do on the third day; the member ends it on the card."""
    corp = shop.corp
    shop.time.passes(BEGAN.timestamp() + 3 * DAY + 89 * MINUTE - shop.time.now().timestamp())
    await shop.becomes("SELECT state FROM task", [("open",)])
    for _ in range(8):
        if corp.cards:
            break
        shop.time.passes(5 * MINUTE)
        await asyncio.sleep(1.2)
    card = corp.cards[-1]["template_card"]
    fields = {"FromUserName": "chenlan", "EventKey": "done", "TaskId": card["task_id"], "ResponseCode": corp.press()}
    await shop.tell("template_card_event", CardType="button_interaction", AgentID="1000021", **fields)
    await eventually(lambda: corp.greyed, PATIENCE)
    await shop.becomes("SELECT state FROM task", [("sent",)])


async def test_days_with_another_wecom_end_in_the_state_that_the_documents_promise(shop: Shop) -> None:
    people(shop.corp)
    await first_sync(shop)
    await a_busy_minute(shop)
    await a_manager_acts(shop)
    await a_transfer_is_done(shop)
    await a_card_is_pressed(shop)

    corp = shop.corp
    assert await shop.log_in("once") != 302, "a login code works once"
    assert corp.complaints == []
    assert max(corp.most_under_way.values()) <= 5
    assert [code for code, _ in corp.welcomed] == ["CODE"]
    assert corp.kf_said == [("KFCODE", "您好，这里是晴屿美妆。"), (VISITOR, "7 天无理由，运费我们出。")]
    assert corp.greyed == ["已完成"]
    # Hua deleted his member: WeCom goes on listing him (84061 is for those whom the member deleted).
    await shop.becomes(ALIVE, sorted(corp.friends.keys() - {("wuhao", HUA)}))
    assert shop.rows("SELECT DISTINCT state FROM inbox_event") == [("done",)]
    assert shop.rows("SELECT kind, last_error FROM work_item WHERE state = 2") == []
    told = dict(shop.rows("SELECT name, count(*) FROM event WHERE name LIKE 'contact.%' GROUP BY 1"))
    # Four of the adds were before our time: they are history, and set nothing off.
    assert told == {
        "contact.added": 1 + 4,
        "contact.lost_by_customer": 1,
        "contact.lost_by_member": 1,
        "contact.taken_over": 1,
    }
    runs = "SELECT external_userid, count(*) FROM enrolment WHERE playbook_key = 'new-customer' GROUP BY 1"
    assert shop.rows(runs) == [(YUN, 1)]
