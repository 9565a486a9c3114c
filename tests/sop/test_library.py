"""`content: tpl.<key>`: the words of the library, kept with the version that was published with them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Connection

from scrm.content.library import keep, store
from scrm.content.library.keep import Placed
from scrm.content.library.said import Said
from scrm.db import Database
from scrm.errors import Invalid
from scrm.sop.life import drafts, library, published
from scrm.sop.life import store as lifecycle_store
from scrm.sop.life.drafts import Terms
from scrm.sop.life.published import By, Published

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TEXT = """\
playbook: hello
title: 你好
trigger: {event: contact.added}
run_key: person
reentry: never
exit_if: none
goal: none
steps:
  - {id: hi, at: T0+30m, channel: T, ttl: 6h, late: drop, content: tpl.hi}
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


def save(text: str, script_id: int | None = None, *attachments: dict[str, Any], **placed: Any) -> Any:
    def write(conn: Connection) -> int:
        one = Said("打招呼", text, attachments)
        return keep.save(conn, script_id, one, Placed(None, "hi", **placed), "chenlan", publish=True, now=NOW).script_id

    return write


def said(shelf: Published, version: int) -> str:
    playbook = shelf.version("hello", version)
    assert playbook is not None
    assert playbook.steps[0].content is not None
    return playbook.steps[0].content.text


async def test_an_unknown_key_is_one_clear_line(db: Database, folder: Path) -> None:
    shelf = Published()
    (line,) = await db.write(shelf.publish_dir, folder, now=NOW)
    assert line.startswith("hello.yaml 第 9 行：话术库里没有启用的“tpl.hi”")
    assert "素材与话术" in line
    await db.write(save("小程序", None, PROGRAM))
    (line,) = await db.write(shelf.publish_dir, folder, now=NOW)
    assert "话术“tpl.hi”小程序封面用的是网址" in line


PROGRAM = {
    "miniprogram": {"appid": "wx0123456789abcdef", "page": "a.html", "title": "旅行装", "picurl": "https://x.cn/a.png"}
}


async def test_a_version_keeps_its_words_and_a_new_one_takes_the_new_ones(db: Database, folder: Path) -> None:
    shelf = Published()
    script_id = await db.write(save("你好"))
    assert await db.write(shelf.publish_dir, folder, now=NOW) == []
    await db.write(save("您好呀", script_id))
    # A start, and another process, change nothing for anybody.
    other = Published()
    assert await db.write(other.publish_dir, folder, now=NOW + timedelta(hours=1)) == []
    assert (other.current["hello"].version, said(other, 1)) == (1, "你好")
    assert await db.read(lambda conn: library.find_newer(conn, published.find_current(conn, "hello").contents)) == [
        "tpl.hi"
    ]
    # Somebody publishes the same text again.
    by, terms = By("chenlan", "console"), Terms()
    assert await db.write(drafts.save, "hello", TEXT, "chenlan", now=NOW) is not None
    outcome = await db.write(drafts.publish, "hello", by, terms, now=NOW)
    assert (outcome.state, outcome.version) == ("published", 2)
    await db.read(other.load)
    assert (said(other, 1), said(other, 2)) == ("你好", "您好呀")
    assert await db.write(drafts.save, "hello", TEXT, "chenlan", now=NOW) is None
    # What was rolled back to says what it said then, though the script is gone.
    await db.write(keep.stop, script_id, True, now=NOW)
    outcome = await db.write(drafts.roll_back, "hello", 1, by, terms, now=NOW)
    assert outcome.version == 3
    await db.read(other.load)
    assert [said(other, version) for version in (1, 2, 3)] == ["你好", "您好呀", "你好"]
    kept = await db.read(lifecycle_store.find_version, "hello", 3)
    assert kept is not None
    assert kept.contents == {"tpl.hi": {"text": "你好", "attachments": []}}


async def test_what_is_past_its_day_is_not_published_anew(db: Database, folder: Path) -> None:
    shelf = Published()
    await db.write(save("你好", None, expires_at=NOW + timedelta(days=1)))
    later = NOW + timedelta(days=2)
    (line,) = await db.write(shelf.publish_dir, folder, now=later)
    assert "话术“tpl.hi”已过期" in line
    await db.write(drafts.save, "hello", TEXT, "chenlan", now=later)
    with pytest.raises(Invalid, match="已过期"):
        await db.write(drafts.publish, "hello", By("chenlan", "console"), Terms(), now=later)
    assert await db.read(store.list_keyed, later) == []
