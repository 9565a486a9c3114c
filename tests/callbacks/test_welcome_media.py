"""A picture or a mini-program in a welcome and in a task: sent when WeCom has it, said to be missing when not, never uploaded on the way."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, update

from scrm.content.media.models import media_copy, media_original, media_wish
from scrm.sop.members.tasks import release
from scrm.sop.models import send, task
from scrm.sop.shelf import playbooks_of
from tests.world import ANING, XIAOMAN, World

SHA = "ab" * 32
TEXT = """\
playbook: hello
title: 你好
priority: P1
trigger: {event: contact.added, where: {state: [shelf-1]}}
run_key: person
reentry: never
exit_if: none
goal: none
steps:
  - {id: welcome, at: T0, channel: W, content: {text: 您好, attachments: [{image: 封面.png}]}}
  - {id: show, at: T0+1h, channel: T, title: 发图, ttl: 24h, late: defer, content: {text: 看看, attachments: [{image: 封面.png}]}}
"""


PROGRAM = (
    "{miniprogram: {appid: wx0123456789abcdef, title: 会员中心, page: 'pages/me.html?from=wecom', picture: 封面.png}}"
)


async def publish(world: World, folder: Path, text: str = TEXT) -> list[str]:
    (folder / "hello.yaml").write_text(text)
    published, now = playbooks_of(world.services), world.clock.now()
    return list(await world.services.db.write(published.publish_dir, folder, now=now))


def add_original(conn: Connection, at: Any) -> None:
    row = {"sha256": SHA, "kind": "image", "filename": "封面.png", "content_type": "image/png", "size": 9}
    conn.execute(insert(media_original).values(**row, created_at=at))


def add_copy(conn: Connection, at: Any) -> None:
    life = {"made_at": at, "expires_at": at + timedelta(days=3)}
    conn.execute(insert(media_copy).values(sha256=SHA, use="message", media_id="MEDIA-1", **life))


async def test_a_playbook_needs_its_picture_in_the_library(world: World, tmp_path: Path) -> None:
    (line,) = await publish(world, tmp_path)
    assert line == "hello.yaml：素材库里没有“封面.png”，请先在后台「素材库」上传，文件名要一样"
    await world.services.db.write(add_original, world.clock.now())
    assert await publish(world, tmp_path) == []
    assert [row.owner for row in await world.rows(media_wish)] == ["playbook:hello"]


async def test_a_picture_is_sent_once_wecom_has_it_and_missed_in_the_ledger_until_then(
    world: World, tmp_path: Path
) -> None:
    now = world.clock.now()
    await world.services.db.write(add_original, now)
    assert await publish(world, tmp_path) == []
    await world.add(State="shelf-1")
    await world.services.db.write(add_copy, now)
    await world.add(ANING, State="shelf-1")
    without, with_it = world.wecom.called("externalcontact/send_welcome_msg")
    assert "attachments" not in without
    assert with_it["attachments"] == [{"msgtype": "image", "image": {"media_id": "MEDIA-1"}}]
    rows = {row.external_userid: row for row in await world.rows(send, send.c.kind == "welcome")}
    assert rows[XIAOMAN].reason == "素材“封面.png”还没有上传到企业微信，没有附上"
    assert (rows[XIAOMAN].outcome, rows[ANING].outcome, rows[ANING].reason) == ("sent", "sent", "")


async def test_a_task_sends_the_picture_that_lives_at_the_tap(world: World, tmp_path: Path) -> None:
    now = world.clock.now()
    await world.services.db.write(add_original, now)
    assert await publish(world, tmp_path) == []
    await world.add(State="shelf-1")
    await world.pass_time(hours=1)
    (todo,) = await world.rows(task)
    refused = None
    try:
        await release(world.services, "lina", todo.id)
    except Exception as error:
        refused = str(error)
    assert refused is not None
    assert "封面.png" in refused
    await world.services.db.write(add_copy, now)
    await world.services.db.write(lambda conn: conn.execute(update(media_copy).values(media_id="MEDIA-2")))
    released = await release(world.services, "lina", todo.id)
    assert released.messages == [
        {"msgtype": "text", "text": {"content": "看看"}},
        {"msgtype": "image", "image": {"mediaid": "MEDIA-2"}},
    ]


async def test_a_mini_program_goes_with_the_welcome_and_with_the_task(world: World, tmp_path: Path) -> None:
    now, text = world.clock.now(), TEXT.replace("{image: 封面.png}", PROGRAM)
    (line,) = await publish(world, tmp_path, text)
    assert "素材库里没有“封面.png”" in line
    await world.services.db.write(add_original, now)
    await world.services.db.write(add_copy, now)
    assert await publish(world, tmp_path, text) == []
    await world.add(State="shelf-1")
    (welcomed,) = world.wecom.called("externalcontact/send_welcome_msg")
    about = {"appid": "wx0123456789abcdef", "title": "会员中心"}
    card = {**about, "pic_media_id": "MEDIA-1", "page": "pages/me?from=wecom"}
    assert welcomed["attachments"] == [{"msgtype": "miniprogram", "miniprogram": card}]
    await world.pass_time(hours=1)
    (todo,) = await world.rows(task)
    told, shown = (await release(world.services, "lina", todo.id)).messages
    address = shown["miniprogram"].pop("imgUrl")
    assert told == {"msgtype": "text", "text": {"content": "看看"}}
    assert shown == {"msgtype": "miniprogram", "miniprogram": {**about, "page": "pages/me.html?from=wecom"}}
    assert f"/media/{SHA}/" in address
    assert address.startswith("http")
