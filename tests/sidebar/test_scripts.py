"""Scripts beside a chat: found, filled for this customer, sent once, counted; members' own are theirs alone."""

import re
import struct
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from scrm.app import open_services, publish_playbooks
from scrm.content.library import keep, store
from scrm.content.library.keep import Placed
from scrm.content.library.models import script, script_habit, script_use
from scrm.content.library.said import Said
from scrm.content.media import links
from scrm.content.media import store as media
from scrm.content.media.library import add_original
from scrm.errors import Invalid
from scrm.events import event
from scrm.services import Services
from scrm.sop.models import send
from scrm.tracking import radar
from scrm.tracking.models import radar_link
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.sidebar.conftest import Member, words
from tests.world import ANING, XIAOMAN, World, make_settings

OF = f"/sidebar/contacts/{ANING}/scripts"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", 520, 416) + b"\x08\x06\0\0\0"


@pytest.fixture
async def services(database_url: str, clock: FakeClock, wecom: FakeWeCom, tmp_path: Path) -> AsyncIterator[Services]:
    settings = make_settings(database_url, wecom.url, content={"media_dir": str(tmp_path / "media")})  # type: ignore[attr-defined]
    async with open_services(settings, clock) as services:
        assert await publish_playbooks(services) == []
        yield services


async def write(world: World, title: str, text: str, *attachments: dict[str, Any], **placed: Any) -> int:
    one = Said(title, text, attachments)

    def save(conn: Connection) -> int:
        return keep.save(conn, None, one, Placed(**placed), "chenlan", publish=True, now=world.clock.now()).script_id

    return await world.services.db.write(save)


def onces(html: str) -> dict[int, str]:
    return {int(once.split(":")[1]): once for once in re.findall(r'once="([^"]+)"', html)}


async def test_a_script_is_found_filled_sent_once_and_counted(world: World, lina: Member) -> None:
    await world.add(ANING)
    hello = await write(world, "会员日", "{{ 客户昵称 }}，28 号会员日，我是{{ 员工姓名 }}")
    await write(world, "退货", "七天内都能退")
    assert "会员日" in await lina.page(OF, htmx=True)
    for typed in ("hyr", "huiyuan", "员日", "28"):
        found = words(await lina.page(f"{OF}/list?q={typed}", htmx=True))
        assert "阿宁，28 号会员日，我是李娜" in found
        assert "七天内" not in found
    assert "没有找到“zzz”" in words(await lina.page(f"{OF}/list?q=zzz", htmx=True))
    once = onces(await lina.page(f"{OF}/{hello}", htmx=True))[hello]
    released = await (await lina.tap(f"{OF}/{hello}/release", once=once)).json()
    assert released["messages"] == [{"msgtype": "text", "text": {"content": "阿宁，28 号会员日，我是李娜"}}]
    # A process that is killed here leaves the intent.
    (row,) = await world.rows(send, send.c.once == once)
    assert (row.kind, row.outcome, row.userid) == ("chat", "intent", "lina")
    again = await lina.tap(f"{OF}/{hello}/release", once=once)
    assert again.status == 409
    # Only the page knows that the answer never came; then it is the same sending, until it has gone out.
    assert await (await lina.tap(f"{OF}/{hello}/release", once=once, again=True)).json() == released
    for _ in range(2):
        assert (await lina.tap(f"{OF}/{hello}/sending", once=once, ok=True)).status == 200
    (row,) = await world.rows(send, send.c.once == once)
    assert row.outcome == "sent"
    (use,) = await world.rows(script_use)
    assert (use.script_id, use.version, use.userid, use.is_edited) == (hello, 1, "lina", False)
    assert (await lina.tap(f"{OF}/{hello}/release", once=once, again=True)).status == 409
    (habit,) = await world.rows(script_habit)
    assert habit.uses == 1
    (told,) = await world.rows(event, event.c.name == "script.sent")
    assert told.facts == {"title": "会员日", "text": "阿宁，28 号会员日，我是李娜"}
    assert "会员日" in words(await lina.page(f"{OF}/list?view=recent", htmx=True))


async def test_a_refusal_may_be_tried_again_and_a_changed_text_is_what_goes_out(world: World, lina: Member) -> None:
    await world.add(ANING)
    hello = await write(world, "问候", "你好")
    once = onces(await lina.page(f"{OF}/list?q=wh", htmx=True))[hello]
    assert (await lina.tap(f"{OF}/{hello}/release", once=once)).status == 200
    assert (await lina.tap(f"{OF}/{hello}/sending", once=once, ok=False, error="no permission")).status == 200
    again = await (await lina.tap(f"{OF}/{hello}/release", once=once, text="你好呀")).json()
    assert again["messages"][0]["text"]["content"] == "你好呀"
    told = await (await lina.tap(f"{OF}/{hello}/sending", once=once, ok=True)).json()
    assert told["once"] != once
    (use,) = await world.rows(script_use)
    assert use.is_edited is True
    for text, why in (("好评返现 5 元", "以利益换取指定评价"), ("", "没有内容可发"), ("长" * 2001, "最多 2000 个")):
        refused = await lina.tap(f"{OF}/{hello}/release", once=told["once"], text=text)
        assert why in (await refused.json())["error"]["message"]


async def test_what_is_not_known_of_a_customer_is_named_and_never_a_hole(world: World, lina: Member) -> None:
    await world.add(ANING)
    shipped = await write(world, "已发货", "{{ 客户昵称 }}，{{ 快递公司 }}已发出")
    page = words(await lina.page(f"{OF}/{shipped}", htmx=True))
    assert "缺少变量：快递公司" in page
    assert "阿宁，【快递公司】已发出" in page
    once = f"script:{shipped}:00"
    for more in ({}, {"text": "阿宁，【快递公司】已发出"}):
        refused = await lina.tap(f"{OF}/{shipped}/release", once=once, **more)
        assert "快递公司" in (await refused.json())["error"]["message"]
    assert (await lina.tap(f"{OF}/{shipped}/release", once=once, text="阿宁，顺丰已发出")).status == 200


async def test_pictures_go_by_wecoms_id_and_covers_by_a_signed_address(world: World, lina: Member) -> None:
    await world.add(ANING)
    services, now = world.services, world.clock.now()
    sha256 = await add_original(services, "封面.png", PNG)
    life = {"made_at": now, "renew_at": now + timedelta(days=2), "expires_at": now + timedelta(days=3)}
    await services.db.write(media.save_copy, sha256, "message", media_id="MEDIA1", **life)
    link = {"title": "会员日", "url": "https://shop.example.com/a", "picture": "封面.png"}
    both = await write(world, "图文", "", {"image": "封面.png"}, {"link": link})
    assert f"/media/{sha256}/" in await lina.page(f"{OF}/{both}", htmx=True)
    answer = await lina.tap(f"{OF}/{both}/release", once=f"script:{both}:1")
    picture, news = (await answer.json())["messages"]
    assert picture == {"msgtype": "image", "image": {"mediaid": "MEDIA1"}}
    address = news["news"]["imgUrl"]
    assert address.startswith("https://crm.example.test/media/")
    path = address.removeprefix("https://crm.example.test")
    shown = await world.client.get(path)
    assert (shown.status, await shown.read()) == (200, PNG)
    assert shown.headers["Content-Security-Policy"].endswith("sandbox")
    for bent in (path[:-1] + ("0" if path[-1] != "0" else "1"), path.replace(sha256, "0" * 64), "/media/../scrm.toml"):
        assert (await world.client.get(bent)).status == 404
    world.clock.advance(hours=26)
    assert (await world.client.get(path)).status == 404
    assert (await world.client.get(links.media_path(services.vault, sha256, world.clock.now()))).status == 200
    assert await services.db.write(media.hide_original, sha256) is False


async def test_own_scripts_are_their_members_alone_and_carry_nobodys_name(
    world: World, lina: Member, wanghao: Member
) -> None:
    await world.add(ANING)
    await world.add(ANING, "wanghao")
    hello = await write(world, "问候", "{{ 客户昵称 }}你好")
    saved = await lina.tap(OF, title="我的问候", text="阿宁你好呀～", of=str(hello))
    mine = (await saved.json())["id"]
    (row,) = await world.rows(script, script.c.id == mine)
    assert (row.owner, row.text) == ("lina", "{{ nickname }}你好呀～")
    assert "我的问候" in words(await lina.page(f"{OF}/list?view=mine", htmx=True))
    assert "阿宁你好呀～" in words(await lina.page(f"{OF}/list?q=wdwh", htmx=True))
    assert "我的问候" not in words(await wanghao.page(f"{OF}/list?q=wdwh", htmx=True))
    for path in ("", "/edit"):
        assert (await wanghao.get(f"{OF}/{mine}{path}", htmx=True)).status == 404
    for act in ("/release", "/like", "/away", ""):
        assert (await wanghao.tap(f"{OF}/{mine}{act}", once=f"script:{mine}:1", title="x", text="y")).status == 404
    assert (await lina.tap(f"{OF}/{hello}", title="改企业的", text="不行")).status == 404
    assert (await lina.tap(f"{OF}/{mine}", title="我的问候", text="早")).status == 200
    assert (await lina.tap(f"{OF}/{mine}/like", on=True)).status == 200
    assert "早" in words(await lina.page(f"{OF}/list?view=liked", htmx=True))
    assert (await lina.tap(f"{OF}/{mine}/away", on=True)).status == 200
    assert "我的问候" not in words(await lina.page(f"{OF}/list?view=mine", htmx=True))
    assert (await lina.tap(f"{OF}/{mine}/away", on=False)).status == 200
    assert "我的问候" in words(await lina.page(f"{OF}/list?view=mine", htmx=True))


async def test_only_what_is_in_use_is_there_and_only_beside_ones_own_customer(
    world: World, lina: Member, wanghao: Member
) -> None:
    await world.add(ANING)
    soon = await write(world, "快到期", "今天有效", expires_at=world.clock.now() + timedelta(hours=1))
    for path in ("", "/list", "/new", f"/{soon}"):
        assert (await wanghao.get(OF + path, htmx=True)).status == 403
    for path in (f"/{soon}/release", f"/{soon}/sending", f"/{soon}/like", ""):
        assert (await wanghao.tap(OF + path, once=f"script:{soon}:1", title="a", text="b")).status == 403
    other = await lina.tap(f"/sidebar/contacts/{XIAOMAN}/scripts/{soon}/release", once=f"script:{soon}:1")
    assert other.status == 403
    world.clock.advance(hours=2)
    assert "快到期" not in await lina.page(f"{OF}/list", htmx=True)
    assert (await lina.tap(f"{OF}/{soon}/release", once=f"script:{soon}:2")).status == 404


async def test_ten_thousand_scripts_are_searched_through_an_index(world: World, lina: Member) -> None:
    await world.add(ANING)
    now = world.clock.now()

    def fill(conn: Connection) -> Any:
        for number in range(300):
            who = {"owner": "", "created_by": "", "created_at": now, "changed_at": now}
            store.add_script(conn, title=f"常见问题{number}", folder_id=None, **who)
        conn.execute(update(script).values(version=1, text="答复"))
        sqlite = conn.dialect.name == "sqlite"
        plan = conn.exec_driver_sql(
            ("EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN ")
            + "SELECT term, script_id FROM script_term WHERE owner = '' AND term >= 'cjwt29' AND term < 'cjwt29~' LIMIT 9"
        )
        return " ".join(str(row) for row in plan)

    assert "owner=? AND term>?" in (plan := await world.services.db.write(fill)) or "Index" in plan
    found = words(await lina.page(f"{OF}/list?q=cjwt299", htmx=True))
    assert "常见问题299" in found
    assert "常见问题298" not in found
    first = await lina.page(f"{OF}/list", htmx=True)
    assert first.count('class="script"') == 30
    assert "from=30" in first


async def test_a_script_carries_this_customers_own_link_to_radar_content(world: World, lina: Member) -> None:
    await world.add(ANING)
    now = world.clock.now()
    content = {"domains": ("mall.example.com",), "by": "chenlan", "now": now}
    for key in ("spring", "9-a"):
        url = f"https://mall.example.com/{key}"
        await world.services.db.write(radar.save_content, title=key, url=url, key=key, **content)
    sale = await write(world, "春茶", "{{ 客户昵称 }}看看 {{ radar.spring }} 和 {{ 雷达.r_9_a }}")
    seen = words(await lina.page(f"{OF}/{sale}", htmx=True))
    shown = re.findall(r"https://\S+?/r/[\w-]+", seen)
    links = {row.content_id: row for row in await world.rows(radar_link)}
    assert [link.rpartition("/")[2] for link in shown[:2]] == [links[1].token, links[2].token]
    assert {(row.userid, row.external_userid, row.person_id > 0) for row in links.values()} == {("lina", ANING, True)}
    once = onces(await lina.page(f"{OF}/{sale}", htmx=True))[sale]
    released = await (await lina.tap(f"{OF}/{sale}/release", once=once)).json()
    assert released["messages"][0]["text"]["content"] == f"阿宁看看 {shown[0]} 和 {shown[1]}"
    assert len(await world.rows(radar_link)) == 2, "looking and sending make one link"
    with pytest.raises(Invalid, match="没有雷达内容“autumn”"):
        await write(world, "秋茶", "{{ radar.autumn }}")
