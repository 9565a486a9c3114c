"""Publishing: versions, refusals, and several processes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import Connection, insert, select, update

from scrm.commerce.models import coupon_batch
from scrm.db import Database
from scrm.profiles.models import corp_tag
from scrm.sop.life.published import Published
from scrm.sop.models import playbook as playbook_table

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TEXT = """\
playbook: hello
title: 你好
trigger: {event: contact.added}
run_key: person
reentry: never
exit_if: none
goal: none
coupons: {hi: {title: 见面礼, amount: 5, valid: 3d}}
steps:
  - {id: welcome, at: T0, channel: W, coupon: hi, content: {text: 您好}}
"""


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "playbooks"
    folder.mkdir()
    (folder / "hello.yaml").write_text(TEXT, "utf-8")
    return folder


async def test_a_file_is_published_once_and_again_only_when_it_changes(db: Database, folder: Path) -> None:
    published = Published()
    assert await db.write(published.publish_dir, folder, now=NOW) == []
    first = published.current["hello"]
    assert first.version == 1
    await db.write(published.publish_dir, folder, now=NOW + timedelta(hours=1))
    assert published.current["hello"].version == 1
    (folder / "hello.yaml").write_text(TEXT.replace("您好}", "您好呀}"), "utf-8")
    await db.write(published.publish_dir, folder, now=NOW + timedelta(hours=2))
    assert published.current["hello"].version == 2
    assert published.version("hello", 1) == first


async def test_its_coupons_exist_from_then_on(db: Database, folder: Path) -> None:
    await db.write(Published().publish_dir, folder, now=NOW)
    batch = await db.read(lambda conn: conn.execute(select(coupon_batch)).one())
    assert (batch.key, batch.title, batch.face_fen, batch.valid_seconds) == ("hi", "见面礼", 500, 3 * 86400)


async def test_a_bad_file_is_refused_and_the_others_are_published(db: Database, folder: Path) -> None:
    (folder / "bad.yaml").write_text(TEXT.replace("hello", "bad").replace("T0", "T9"), "utf-8")
    (folder / "same.yaml").write_text(TEXT, "utf-8")
    (folder / "broken.yaml").write_bytes(b"\xff\xfe\x00")
    (folder / "notes.txt").write_text("not a playbook", "utf-8")
    published = Published()
    lines = await db.write(published.publish_dir, folder, now=NOW)
    assert list(published.current) == ["hello"]
    assert [line for line in lines if line.startswith("bad.yaml 第 10 行：at：看不懂时间“T9”")]
    assert "same.yaml 第 1 行：编号 hello 已被 hello.yaml 使用，请换一个" in lines
    assert "broken.yaml 第 1 行：文件不是 UTF-8 编码，请另存为 UTF-8" in lines
    assert len(lines) == 3


async def test_a_file_that_became_bad_leaves_its_last_version_in_force(db: Database, folder: Path) -> None:
    published = Published()
    await db.write(published.publish_dir, folder, now=NOW)
    (folder / "hello.yaml").write_text(TEXT.replace("run_key: person", "run_key: nobody"), "utf-8")
    lines = await db.write(published.publish_dir, folder, now=NOW)
    assert len(lines) == 1
    assert published.current["hello"].version == 1


async def test_a_condition_about_a_tag_that_nobody_has_is_refused(db: Database, folder: Path) -> None:
    tagged = TEXT.replace("exit_if: none", "exit_if: none\nenter_if: {not: {tag: 黑名单}}")
    (folder / "hello.yaml").write_text(tagged, "utf-8")

    def add_tag(conn: Connection, name: str) -> None:
        conn.execute(insert(corp_tag).values(tag_id=f"id-{name}", tag_name=name, is_deleted=False))

    await db.write(add_tag, "老客")
    published = Published()
    (line,) = await db.write(published.publish_dir, folder, now=NOW)
    assert "没有标签“黑名单”" in line
    assert published.current == {}
    await db.write(add_tag, "黑名单")
    assert await db.write(published.publish_dir, folder, now=NOW) == []
    assert list(published.current) == ["hello"]


@pytest.mark.parametrize(
    "trigger",
    [
        "{event: segment.entered, where: {segment: nosuch}}",
        '{event: schedule.due, cron: "0 10 * * 1", segment: nosuch}',
    ],
)
async def test_a_trigger_about_a_segment_that_does_not_exist_is_refused(
    db: Database, folder: Path, trigger: str
) -> None:
    text = TEXT.replace("{event: contact.added}", trigger).replace("channel: W", "channel: T, late: drop, ttl: 4h")
    (folder / "hello.yaml").write_text(text, "utf-8")
    published = Published()
    (line,) = await db.write(published.publish_dir, folder, now=NOW)
    assert line == "hello.yaml 第 3 行：trigger：人群包“nosuch”不存在"
    assert published.current == {}


async def test_another_process_sees_what_was_published_paused_and_resumed(db: Database, folder: Path) -> None:
    here, there = Published(), Published()
    await db.read(there.load)
    assert there.current == {}
    await db.write(here.publish_dir, folder, now=NOW)
    assert await db.read(there.refresh)
    assert list(there.current) == ["hello"]
    assert not await db.read(there.refresh)

    def set_state(conn: Connection, state: str) -> None:
        conn.execute(update(playbook_table).values(state=state))

    await db.write(set_state, "paused")
    assert await db.read(there.refresh)
    assert there.current == {}
    assert there.version("hello", 1) is not None


async def test_a_missing_directory_is_one_clear_line(db: Database, tmp_path: Path) -> None:
    (line,) = await db.write(Published().publish_dir, tmp_path / "none", now=NOW)
    assert "找不到目录" in line
