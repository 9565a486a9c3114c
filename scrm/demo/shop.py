"""Everything in one process: the CRM on SQLite, a WeCom sandbox beside it, and a small shop to play with."""

import secrets
import socket
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from sqlalchemy import Connection

from scrm.app import build_app, open_services, publish_playbooks
from scrm.clock import SandboxClock
from scrm.commerce.canonical import read_order
from scrm.commerce.store import save_orders
from scrm.contact_ways.store import save_contact_way
from scrm.db.migrate import migrate
from scrm.db.serving import is_served, serve_alone
from scrm.demo import regulars
from scrm.demo.orders import order
from scrm.demo.scripts import furnish_library
from scrm.errors import Conflict
from scrm.group_chats.refresh import want_refresh
from scrm.http import COOKIE
from scrm.listening import bound, listening, until_stopped
from scrm.profiles.own_fields import fields as custom_fields
from scrm.profiles.own_fields.fields import Definition
from scrm.profiles.own_fields.values import Entity, Type
from scrm.profiles.store import ensure_contact, save_member, set_role
from scrm.sandbox import Sandbox, SandboxConfig, gathering, make_routes
from scrm.sandbox.config import OfficialAccountConfig
from scrm.sandbox.seeding import Seed, seed
from scrm.sandbox.talking import add_kf_account
from scrm.services import Services
from scrm.settings import Settings, load_settings
from scrm.shipped import shipped
from scrm.sync import runs
from scrm.wechat import store as wechat
from scrm.wechat.keywords import fold

SHOP = "晴屿美妆"
# key: name, owner, and how many days ago each customer came
GROUPS = {
    "vip": (f"{SHOP}会员福利群", "lina", {"xuqing": 46, "laozhou": 12}),
    "trial": ("新品试用群", "wanghao", {"xuqing": 5}),
}

MEMBERS = {
    "lina": ("李娜", "导购", "member"),
    "wanghao": ("王皓", "导购", "member"),
    "chenlan": ("陈岚", "店长", "administrator"),
}
CHANNELS = {
    "live-1111": ("双11 直播间", "直播", ["lina"]),
    "parcel-a": ("包裹卡 A 批", "包裹卡", ["lina", "wanghao"]),
    "store-xuhui": ("徐汇店台卡", "门店", ["wanghao"]),
}
FIELDS = (
    Definition(
        "肤质", Type.SELECT, "skin", hint="问过再填，推荐和话术都看它", options=("干性", "油性", "混合", "敏感")
    ),
    Definition("常用色号", Type.TEXT, "shade"),
)
KF_WELCOME = f"您好，这里是{SHOP}，请问有什么可以帮您？"
# What customers ask most, in customer service and at the Official Account.
REPLIES = {
    "退货": ("contains", "签收 7 天内、包装完好都可以退，运费我们出。把订单号发来，马上为您办理。"),
    "发货": ("contains", "付款后 48 小时内发出，一般两三天到。"),
    "门店": ("contains", "徐汇店：每天 10:00-22:00，欢迎来试色。"),
}
# key: name, gender, unionid, phone
WECHAT_USERS = {
    "xiaoman": ("陈小满", 2, "oDemoUnionXiaoman0000000001", None),
    "aning": ("阿宁", 2, "oDemoUnionAning00000000000002", None),
    "laozhou": ("老周", 1, None, "13800136620"),
    "xuqing": ("徐晴", 2, "oDemoUnionXuqing0000000000003", None),
}


async def run_demo(host: str, port: int, directory: Path) -> int:
    """Until Ctrl-C; the demo's data is made anew at each start."""
    database_url = f"sqlite:///{directory / 'scrm.db'}"
    if is_served(database_url):
        raise Conflict(f"{directory} 里的演示还开着：请先停掉它，或用 --dir 换一个目录")
    with bound(host, port) as listener, serve_alone(database_url):
        url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{listener.getsockname()[1]}"  # noqa: S104
        settings = _settings(url, directory)
        _start_afresh(directory)
        migrate(database_url)
        clock = SandboxClock()
        clock.advance(_until_afternoon(clock.now(), settings))
        async with open_services(settings, clock) as services, aiohttp.ClientSession() as http:
            await publish_playbooks(services)
            sandbox = Sandbox(_sandbox_config(settings, url), clock, http)
            await services.db.write(_furnish, services, sandbox)
            await furnish_library(services)
            app = build_app(services, more_routes=make_routes(sandbox), bridge_script="/sandbox/bridge.js")
            await _run(app, sandbox, listener, services, url)
    return 0


async def _run(app: web.Application, sandbox: Sandbox, listener: socket.socket, services: Services, url: str) -> None:
    await sandbox.start()
    try:
        async with listening(app, listener):
            await services.db.write(_meet_old_friends, sandbox, services.clock.now())
            print(_welcome(url), flush=True)
            await until_stopped()
            print("\n正在退出……", flush=True)
    finally:
        await sandbox.stop()


async def run_sandbox(settings: Settings, host: str, port: int, customers: int = 0) -> int:
    """Only the sandbox, for an SCRM that runs elsewhere with wecom.api_base = http://host:port/sandbox.

    With `customers` it begins as a grown shop; raises Invalid when they are too many.
    """
    with bound(host, port) as listener:
        url = f"http://{host}:{listener.getsockname()[1]}"
        config = _sandbox_config(settings, url, scrm_url=settings.server.public_url)
        async with aiohttp.ClientSession() as http:
            sandbox = Sandbox(config, SandboxClock(), http)
            _cast(sandbox)
            if customers:
                await seed(sandbox, Seed(customers))
            app = web.Application()
            app.add_routes(make_routes(sandbox))
            await sandbox.start()
            async with listening(app, listener):
                print(
                    f"企业微信沙箱：{url}/sandbox/\n"
                    f"脚本接口：{url}/sandbox/api\n"
                    f"请设置 SCRM_WECOM__API_BASE={url}/sandbox（oauth_base、login_base 同）",
                    flush=True,
                )
                await until_stopped()
            await sandbox.stop()
    return 0


def _until_afternoon(now: datetime, settings: Settings) -> timedelta:
    """The demo begins at two in the afternoon of the shop: outside quiet hours, and so it does three days later."""
    local = now.astimezone(settings.shop.zone)
    start = local.replace(hour=14, minute=0, second=0, microsecond=0)
    return (start if start > local else start + timedelta(days=1)) - local


def _settings(url: str, directory: Path) -> Settings:
    sandbox = f"{url}/sandbox"
    return load_settings(
        environ={},
        server={"public_url": url},
        database={"url": f"sqlite:///{directory / 'scrm.db'}"},
        wecom={
            "corp_id": "wwdemo000000000001",
            "agent_id": 1000002,
            "secret": secrets.token_urlsafe(24),
            "token": secrets.token_hex(12),
            "encoding_aes_key": _aes_key(),
            "api_base": sandbox,
            "oauth_base": sandbox,
            "login_base": sandbox,
        },
        security={"secret_key": secrets.token_urlsafe(32)},
        playbooks={"dir": str(shipped("playbooks")), "managers": ["chenlan"]},
        shop={"name": SHOP},
        content={"media_dir": str(directory / "media")},
        backup={"dir": str(directory / "backups")},
        official_account={
            "app_id": "wx00000000000000d1",
            "token": secrets.token_hex(12),
            "encoding_aes_key": _aes_key(),
            "secret": secrets.token_hex(16),
            "api_base": f"{sandbox}/oa",
        },
    )


def _aes_key() -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return "".join(secrets.choice(letters) for _ in range(43))


def _start_afresh(directory: Path) -> None:
    """Only our own files go; whatever else lies in the folder stays."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("scrm.db", "scrm.db-wal", "scrm.db-shm"):
        (directory / name).unlink(missing_ok=True)


def _sandbox_config(settings: Settings, url: str, *, scrm_url: str | None = None) -> SandboxConfig:
    wecom, scrm_url = settings.wecom, scrm_url or url
    return SandboxConfig(
        corp_id=wecom.corp_id,
        agent_id=wecom.agent_id,
        secret=wecom.secret.get_secret_value(),
        token=wecom.token.get_secret_value(),
        encoding_aes_key=wecom.encoding_aes_key.get_secret_value(),
        callback_url=f"{scrm_url}/callbacks/wecom",
        sidebar_url=f"{scrm_url}/sidebar/",
        public_url=url,
        corp_name=settings.shop.name,
        official_account=_official_account(settings, scrm_url),
        session_cookies=(COOKIE,),
    )


def _official_account(settings: Settings, scrm_url: str) -> OfficialAccountConfig | None:
    account = settings.official_account
    if not account.app_id:
        return None
    return OfficialAccountConfig(
        app_id=account.app_id,
        token=account.token.get_secret_value(),
        encoding_aes_key=account.encoding_aes_key.get_secret_value(),
        secret=account.secret.get_secret_value(),
        callback_url=f"{scrm_url}/callbacks/oa",
        name=settings.shop.name,
    )


def _cast(sandbox: Sandbox) -> dict[str, str]:
    """The people and codes on WeCom's side; config_id by state."""
    for userid, (name, position, _) in MEMBERS.items():
        sandbox.add_member(userid, name, position=position)
    for key, (name, gender, unionid, phone) in WECHAT_USERS.items():
        sandbox.add_wechat_user(key, name, gender, unionid=unionid, phone=phone)
    add_kf_account(sandbox, f"{SHOP}客服", ["lina", "wanghao"])
    sandbox.add_tag_group("客户来源", ["直播间", "包裹卡", "门店"])
    return {
        state: sandbox.add_contact_way_seed(state, title, userids) for state, (title, _, userids) in CHANNELS.items()
    }


def _furnish(conn: Connection, services: Services, sandbox: Sandbox) -> None:
    now = services.clock.now()
    config_ids = _cast(sandbox)
    for userid, (name, _, role) in MEMBERS.items():
        save_member(conn, userid, name=name, now=now)
        set_role(conn, userid, role)
    for state, (title, kind, userids) in CHANNELS.items():
        config_id = config_ids[state]
        qr_code = f"{sandbox.config.base_url}/qr/{config_id}.png"
        save_contact_way(
            conn, state, title=title, kind=kind, userids=userids, config_id=config_id, qr_code=qr_code, now=now
        )
    sandbox.add_contact_seed(
        "xuqing", "lina", created_at=now - timedelta(days=46), state="parcel-a", remark="徐晴 干皮"
    )
    sandbox.add_contact_seed("laozhou", "lina", created_at=now - timedelta(days=12), mobiles=["13800136620"])
    regulars.befriend(sandbox, now)
    for open_kfid, account in sandbox.world.kf.accounts.items():
        wechat.ensure_account(conn, open_kfid, now=now)
        wechat.change_account(conn, open_kfid, name=account.name, welcome=KF_WELCOME)
    for keyword, (match, answer) in REPLIES.items():
        wechat.save_reply(conn, fold(keyword), match, answer, "both", now=now)
    pictures = f"{sandbox.config.base_url}/static/goods"
    bought = [*_orders(now, pictures), *regulars.orders(now, pictures)]
    save_orders(conn, [read_order(item) for item in bought], now=now, vault=services.vault, route="file")
    _define_fields(conn, sandbox, now)


def _define_fields(conn: Connection, sandbox: Sandbox, now: datetime) -> None:
    """What a beauty shop notes of a person, filled in for an old friend."""
    for field in FIELDS:
        custom_fields.define(conn, Entity.PERSON, field, now)
    xuqing = ensure_contact(conn, sandbox.get_wechat_user("xuqing").external_userid, now=now)
    by = custom_fields.Change("sidebar", "lina", now)
    noted = {"skin": "干性", "shade": "02 自然色"}
    custom_fields.set_values(conn, Entity.PERSON, (xuqing.person_id,), noted, by, person_id=xuqing.person_id)


def _meet_old_friends(conn: Connection, sandbox: Sandbox, now: datetime) -> None:
    """Customers and groups from before the CRM: learnt through WeCom's API, as by the first sync of any shop."""
    runs.ask(conn, ["contacts"], now=now)
    for key, (name, owner, people) in GROUPS.items():
        came = {one: now - timedelta(days=days) for one, days in people.items()}
        made = now - timedelta(days=60)
        group = gathering.seed_group(sandbox, key, owner, name, created_at=made, people=came)
        want_refresh(conn, group.chat_id, now=now)


def _orders(now: datetime, pictures: str) -> list[dict[str, Any]]:
    xiaoman, xuqing = WECHAT_USERS["xiaoman"][2], WECHAT_USERS["xuqing"][2]
    bought = partial(order, now, pictures=pictures)
    return [
        bought("tmall", "3981027745560011", xiaoman, 64, [("清透防晒乳 50ml", "自然色", 2, 12800)], "completed"),
        bought("tmall", "3981027745560158", xiaoman, 20, [("氨基酸洁面 120g", "", 1, 8900), ("洁面小样 15g", "赠品", 1, 0)], "completed"),
        bought("doudian", "6932210045781203311", xiaoman, 2, [("积雪草修护面膜 5 片", "", 3, 6900)], "shipped"),
        bought("tmall", "3981027745560763", xuqing, 40, [("玻尿酸保湿霜 50g", "滋润型", 1, 26800)], "completed"),
        bought("jd", "287120045331", None, 9, [("男士控油洁面 100g", "", 2, 7900)], "shipped", phone="13800136620"),
        # Nobody's yet: 徐晴 bought it with her mother's phone, and tells the number in the chat.
        bought("doudian", "6932210045781209986", None, 1, [("旅行装三件套", "滋润型", 1, 15900)], "shipped", phone="13917720098"),
    ]  # fmt: skip


def _welcome(url: str) -> str:
    return f"""
  {SHOP} · 演示环境已就绪（数据每次启动都会重置，企业微信由本机沙箱扮演）

    顾客的手机      {url}/sandbox/phone?user=xiaoman
    员工聊天+侧边栏  {url}/sandbox/desk?member=lina
    管理后台        {url}/console/

  试一试：在手机页点“扫一扫”→ 选“双11 直播间”，几秒内收到欢迎语和优惠券；
  在员工页打开这位客户的聊天，右侧就是画像、订单和待办；
  把时间拨快 3 天，待跟进提醒就会出现，一键发送；
  打开“会员福利群”，右侧是群成员和谁是谁的客户。

  时间与故障开关  {url}/sandbox/        按 Ctrl-C 退出
"""
