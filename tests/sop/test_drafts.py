"""Drafts beside versions, approval, rolling back, files against the console, and texts taken elsewhere."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Connection, insert

from scrm.db import Database
from scrm.errors import Conflict, Forbidden, Invalid
from scrm.events import Event, publish
from scrm.profiles.models import external_contact, follow_user, person
from scrm.segments.store import Draft as SegmentDraft
from scrm.segments.store import save_segment
from scrm.sop.life import drafts
from scrm.sop.life import store as lifecycle_store
from scrm.sop.life.drafts import Outcome, Terms
from scrm.sop.life.estimates import Estimate, Limits, estimate, warnings
from scrm.sop.life.published import By, Published
from scrm.sop.text import diff
from scrm.sop.text.parse import parse_playbook
from tests.sop.test_published import TEXT

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NEW = TEXT.replace("您好}", "您好呀}")
AUTHOR, OTHER = By("lina", "console", "换个说法"), By("wang", "console")


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


async def publish_text(db: Database, text: str, *, limits: Limits | None = None, by: By = AUTHOR) -> Outcome:
    terms = Terms(limits=limits or Limits())
    await db.write(drafts.save, "hello", text, by.userid, now=NOW)
    return await db.write(drafts.publish, "hello", by, terms, now=NOW)


def meet(conn: Connection, people: int) -> None:
    for number in range(people):
        who = conn.execute(insert(person).values(name="", created_at=NOW).returning(person.c.id)).scalar_one()
        contact = {"external_userid": f"wm{number}", "person_id": who}
        conn.execute(insert(external_contact).values(name="客户", type=1, created_at=NOW, **contact))
        conn.execute(insert(follow_user).values(userid=f"m{number % 2}", followed_at=NOW, remark="", **contact))
        publish(conn, [Event("contact.added", NOW - timedelta(days=1), who, f"wm{number}", "m0")], now=NOW)


async def test_a_draft_is_kept_published_and_gone(db: Database) -> None:
    assert await publish_text(db, TEXT) == Outcome("published", 1)
    kept = await db.write(drafts.save, "hello", NEW.replace("\n", "\r\n"), "lina", now=NOW)
    assert kept.source == NEW
    assert kept.based_on == 1
    published = Published()
    await db.read(published.load)
    assert published.current["hello"].version == 1
    assert await db.write(drafts.publish, "hello", AUTHOR, Terms(), now=NOW) == Outcome("published", 2)
    assert await db.read(lifecycle_store.find_draft, "hello") is None
    newest, first = await db.read(lifecycle_store.list_versions, "hello")
    assert (newest.version, newest.published_by, newest.origin, newest.why) == (2, "lina", "console", "换个说法")
    assert first.version == 1
    # What says the same as the current version is no draft.
    assert await db.write(drafts.save, "hello", NEW, "lina", now=NOW) is None


async def test_an_unsound_draft_is_kept_but_not_published(db: Database) -> None:
    await db.write(drafts.save, "hello", TEXT.replace("T0", "T9"), "lina", now=NOW)
    with pytest.raises(Invalid, match="第 10 行"):
        await db.write(drafts.publish, "hello", AUTHOR, Terms(), now=NOW)
    await db.write(drafts.save, "hello", TEXT.replace("hello", "other"), "lina", now=NOW)
    with pytest.raises(Invalid, match="编号不能改"):
        await db.write(drafts.publish, "hello", AUTHOR, Terms(), now=NOW)


async def test_two_who_write_at_once_learn_of_each_other(db: Database) -> None:
    first = await db.write(drafts.save, "hello", TEXT, "lina", now=NOW)
    later = NOW + timedelta(seconds=5)
    await db.write(drafts.save, "hello", NEW, "wang", now=later, seen_at=first.saved_at)
    with pytest.raises(Conflict, match="wang刚刚也保存了"):
        await db.write(drafts.save, "hello", TEXT, "lina", now=later, seen_at=first.saved_at)
    await db.write(drafts.publish, "hello", OTHER, Terms(), now=NOW)
    # A version came out while somebody worked on the one before.
    await db.write(drafts.save, "hello", TEXT, "lina", now=NOW)
    await db.write(drafts.roll_back, "hello", 1, OTHER, Terms(), now=NOW)
    await publish_text(db, NEW.replace("您好呀", "早"))
    await db.write(drafts.save, "hello", TEXT, "lina", now=NOW)
    await db.write(drafts.roll_back, "hello", 1, OTHER, Terms(), now=NOW)
    with pytest.raises(Conflict, match="你开始编辑的是第 2 版，现在已是第 3 版"):
        await db.write(drafts.publish, "hello", AUTHOR, Terms(), now=NOW)
    await db.write(drafts.rebase, "hello", now=NOW)
    await db.write(drafts.publish, "hello", AUTHOR, Terms(), now=NOW)


async def test_a_large_audience_or_dear_coupons_need_another_pair_of_eyes(db: Database) -> None:
    await db.write(meet, 12)
    limits = Limits(audience=10, budget_fen=5000)
    outcome = await publish_text(db, TEXT, limits=limits)
    assert outcome.state == "pending"
    assert list(outcome.reasons) == [
        "预计 30 天进入 12 人，超过 10 人",
        "券面额合计约 ¥60（每人 ¥5 × 12 人），超过 ¥50",
    ]
    assert await db.read(lifecycle_store.find_playbook, "hello") is None
    terms = Terms(limits=limits)

    async def approve(by: By, is_administrator: bool = False) -> Outcome:
        more: dict[str, Any] = {"is_administrator": is_administrator, "now": NOW}
        return await db.write(drafts.approve, "hello", by, terms, **more)

    with pytest.raises(Forbidden, match="另一位主管"):
        await approve(AUTHOR)
    await db.write(drafts.refuse, "hello", replace(OTHER, why="太多人"), now=NOW)
    with pytest.raises(Conflict, match="没有在等待批准"):
        await approve(OTHER)
    await db.write(drafts.publish, "hello", AUTHOR, terms, now=NOW)
    # What was changed after it was asked for was not asked for.
    await db.write(drafts.save, "hello", NEW, "lina", now=NOW)
    with pytest.raises(Conflict):
        await approve(OTHER)
    await db.write(drafts.publish, "hello", AUTHOR, terms, now=NOW)
    assert await approve(OTHER) == Outcome("published", 1)
    (version,) = await db.read(lifecycle_store.list_versions, "hello")
    assert version.why == "lina 提交：换个说法；wang 批准"
    acts = [row.act for row in await db.read(lifecycle_store.list_changes, "hello")]
    assert acts == ["published", "asked", "asked", "refused", "asked"]


async def test_the_estimate_counts_who_would_have_entered(db: Database) -> None:
    await db.write(meet, 6)
    some = TEXT.replace("exit_if: none", "exit_if: none\nenter_if: {field: person.paid_orders, op: gte, value: 1}")
    everybody = await db.read(estimate, parse_playbook(TEXT, file_name="hello"), NOW)
    assert (everybody.audience, everybody.members, everybody.is_counted) == (6, 2, False)
    buyers = await db.read(estimate, parse_playbook(some, file_name="hello"), NOW)
    assert buyers.audience == 0


async def test_who_entered_counts_only_while_the_same_people_enter(db: Database) -> None:
    narrow = TEXT.replace("exit_if: none", "exit_if: none\nenter_if: {field: person.paid_orders, op: gte, value: 1}")
    await publish_text(db, narrow)
    await db.write(meet, 6)
    later = NOW + timedelta(days=31)
    same = await db.read(estimate, parse_playbook(narrow.replace("您好}", "您好呀}"), file_name="hello"), later)
    assert (same.audience, same.is_counted) == (0, True)
    wider = await db.read(estimate, parse_playbook(TEXT, file_name="hello"), NOW)
    assert (wider.audience, wider.is_counted) == (6, False)
    wider = await db.read(estimate, parse_playbook(TEXT, file_name="hello"), later)
    assert not wider.is_counted


async def test_the_estimate_of_a_schedule_is_its_segment(db: Database) -> None:
    await db.write(meet, 6)
    orders = {"field": "person.paid_orders", "op": "eq", "value": 0}
    await db.write(save_segment, SegmentDraft("silent", "没下过单", orders), now=NOW)
    monday = "trigger: {event: schedule.due, cron: '0 10 * * 1', segment: silent}"
    asks = "- {id: ask, at: T0, channel: T, late: drop, ttl: 1d, content: {text: 您好}}"
    text = re.sub("- {id: welcome.*", asks, re.sub("trigger: .*", monday, TEXT))
    found = await db.read(estimate, parse_playbook(text, file_name="hello"), NOW)
    assert (found.audience, found.members) == (6, 2)


def test_too_many_tasks_a_day_are_said_in_words() -> None:
    (words,) = warnings(Estimate(34020, True, members=18, tasks_a_day=63, coupon_fen=0, face_fen=0))
    assert words.startswith("此人群预计每天给 18 名员工各 63 条待办，超过 40 条上限")


async def test_rolling_back_is_a_new_version_with_the_old_text(db: Database) -> None:
    await publish_text(db, TEXT)
    await publish_text(db, NEW)
    assert await db.write(drafts.roll_back, "hello", 1, OTHER, Terms(), now=NOW) == Outcome("published", 3)
    newest = (await db.read(lifecycle_store.list_versions, "hello"))[0]
    assert (newest.rolled_back_to, newest.published_by) == (1, "wang")
    published = Published()
    await db.read(published.load)
    assert published.current["hello"].source == TEXT


async def test_a_file_never_takes_back_what_the_console_changed(db: Database, tmp_path: Path) -> None:
    file = tmp_path / "hello.yaml"
    file.write_text(TEXT, "utf-8")
    published = Published()

    async def start() -> list[str]:
        lines: list[str] = await db.write(published.publish_dir, tmp_path, now=NOW)
        return lines

    assert await start() == []
    await publish_text(db, NEW)
    (line,) = await start()
    assert "后台已把“你好”改到第 2 版，文件没有变，所以没有用文件覆盖" in line
    file.write_text(TEXT.replace("您好}", "晚上好}"), "utf-8")
    (line,) = await start()
    assert "文件也改过" in line
    assert published.current["hello"].version == 2
    # The file now says what the console says: they are one again.
    file.write_text(NEW, "utf-8")
    assert await start() == []
    file.write_text(TEXT.replace("您好}", "晚上好}"), "utf-8")
    assert await start() == []
    assert published.current["hello"].version == 3


# Diff in words: pure --------------------------------------------------------------------------------------------------

STEPS = """\
  - {id: ask, at: T0+2h, channel: T, ttl: 4h, late: drop, title: 问一问, content: {text: 您好}}
  - {id: bye, at: D+3 10:00-11:30, channel: T, ttl: 1d, late: defer, title: 再见, content: {text: 再会}}
"""


def test_versions_differ_in_the_authors_words() -> None:
    old = parse_playbook(TEXT + STEPS, file_name="old")
    changed = (
        (TEXT + STEPS)
        .replace("amount: 5, valid: 3d", "amount: 8, valid: 9d")
        .replace("T0+2h", "T0+3h")
        .replace("late: drop", "late: defer")
        .replace("{id: bye,", "{id: hug,")
        .replace("goal: none", "goal: {event: order.paid, within: 7d}")
        .replace("title: 再见", "title: 拥抱")
    )
    new = parse_playbook(changed, file_name="new")
    assert [change.words for change in diff.list_changes(old, new)] == [
        "目标：无 → order.paid（7 天内）",
        "券“见面礼”的面额：¥5 → ¥8",
        "券“见面礼”的有效期：72 小时 → 9 天",
        "删除第 3 步“再见”",
        "第 2 步“问一问”的时间：T0+2小时 → T0+3小时",
        "第 2 步“问一问”的错过时：放弃 → 推迟",
        "新增第 3 步“拥抱”：D+3 10:00-11:30，员工待办",
    ]
    assert diff.list_changes(old, old) == []


def test_conditions_options_and_acts_differ_in_words_too() -> None:
    steps = """\
  - {id: ask, at: T0, channel: T, ttl: 4h, late: drop, escalate: 1h, if: {tag: 老客}, content: {text: 您好}}
  - {id: mark, at: D+3, channel: X, do: [{add_tag: 问过}]}
"""
    old = parse_playbook(TEXT + steps, file_name="old")
    changed = steps.replace("老客", "新客").replace("问过", "没回").replace("escalate: 1h", "escalate: none")
    new = parse_playbook(TEXT + changed, file_name="new")
    assert [change.words for change in diff.list_changes(old, new)] == [
        "第 2 步“ask”的条件：{tag: 老客} → {tag: 新客}",
        "第 2 步“ask”的选项：escalate 1h → escalate none",
        "第 3 步“mark”的动作：add_tag 问过 → add_tag 没回",
    ]


def test_the_text_shows_what_differs_with_its_line_numbers() -> None:
    lines = diff.text_lines("a\nb\nc\nd\ne\nf\ng\nh", "a\nB\nc\nd\ne\nf\ng\nh")
    assert [(line.mark, line.text, line.old, line.new) for line in lines][:4] == [
        (" ", "a", 1, 1),
        ("-", "b", 2, None),
        ("+", "B", None, 2),
        (" ", "c", 3, 3),
    ]
    assert len(lines) == 6
