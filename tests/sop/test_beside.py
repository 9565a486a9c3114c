"""What keeps a sound text from being published: members, playbooks and endpoints that are not there."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from sqlalchemy import Connection

from scrm.db import Database
from scrm.profiles.own_fields import fields as custom_fields
from scrm.profiles.own_fields.fields import Definition
from scrm.profiles.store import save_member
from scrm.sop.life.published import publish
from scrm.sop.schema import Playbook
from scrm.sop.text import beside
from scrm.sop.text.beside import Needs
from scrm.sop.text.parse import parse_playbook

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


def _playbook(steps: str, key: str = "care") -> Playbook:
    text = f"""\
playbook: {key}
title: 关怀
trigger: {{event: contact.added}}
run_key: person
reentry: never
goal: {{event: order.paid, within: 30d}}
exit_if: none
steps:
{steps}
"""
    return parse_playbook(text, file_name=f"{key}.yaml")


_START = "  - {id: a, at: T0, channel: X, do: [{start_playbook: recovery}]}"
_ASSIGN = "  - {id: a, at: T0, channel: X, do: [{assign: [lina, nobody]}]}"
_NOTIFY = (
    "  - {id: a, at: T0, channel: I, notify: [owner, manager, 'role:administrator', gone], content: {text: 看一下}}"
)
_ASK = "  - {id: a, at: T0, channel: S, hint: 聊到时问问, form: [field.budget, skin, age]}"
_PUSH = "  - {id: a, at: T0, channel: K, to: sms, late: drop, data: {template: SMS_1}}"


async def test_what_a_step_asks_for_has_a_field_to_go_to(db: Database) -> None:
    def define(conn: Connection) -> None:
        custom_fields.define(conn, "person", Definition("预算", "money", key="budget"), NOW)
        custom_fields.define(conn, "person", Definition("年龄段", "formula", key="age", formula="1 + 1"), NOW)

    await db.write(define)
    missing, reckoned = await db.read(beside.problems, _playbook(_ASK))
    assert "要填的字段“skin”没有建" in missing
    assert "budget（预算）" in missing
    assert "“年龄段”是公式" in reckoned


def _know(conn: Connection) -> None:
    save_member(conn, "LiNa", name="李娜", now=NOW)


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        (_START, "care 第 9 行：步骤“a”要开始的剧本 recovery 还没有发布，请先发布它，或去掉这个动作"),
        (_ASSIGN, "care 第 9 行：步骤“a”写的员工 nobody 不在职或不在应用可见范围，请换成在职员工的账号"),
        (_NOTIFY, "care 第 9 行：步骤“a”写的员工 gone 不在职或不在应用可见范围，请换成在职员工的账号"),
    ],
)
async def test_what_a_step_names_and_is_not_there_is_said_with_its_line(db: Database, steps: str, line: str) -> None:
    await db.write(_know)
    assert await db.read(beside.problems, _playbook(steps)) == [line]


async def test_before_the_members_were_fetched_nobody_is_said_to_be_gone(db: Database) -> None:
    assert await db.read(beside.problems, _playbook(_ASSIGN)) == []


async def test_a_playbook_may_start_what_is_published_or_comes_with_it(db: Database) -> None:
    other = _playbook("  - {id: a, at: T0, channel: X, do: [{set: {stage: 售后}}]}", key="recovery")
    assert await db.read(beside.problems, _playbook(_START), Needs(others=[other])) == []
    await db.write(publish, other, now=NOW)
    assert await db.read(beside.problems, _playbook(_START)) == []


async def test_a_push_goes_to_an_endpoint_of_the_settings(db: Database) -> None:
    playbook = _playbook(_PUSH)
    assert await db.read(beside.problems, playbook, Needs(endpoints={"sms"})) == []
    (line,) = await db.read(beside.problems, playbook, Needs(endpoints={"erp"}))
    assert line == "care 第 9 行：步骤“a”推送到 sms，设置里没有 [outward.sms]（现有：erp），请先在配置文件里加上"
    assert await db.read(beside.problems, playbook) == []


def _dated(date: str) -> Playbook:
    text = _playbook("  - {id: a, at: T0, channel: X, do: [{add_tag: 生日}]}").source
    return parse_playbook(
        text.replace("{event: contact.added}", f"{{event: date.reached, date: {date}}}"), file_name="x"
    )


async def test_a_date_that_no_customer_can_have_and_a_value_that_a_field_does_not_take(db: Database) -> None:
    def make(conn: Connection, key: str, type_: str, *options: str) -> None:
        custom_fields.define(conn, "person", Definition(key=key, title=key, type=type_, options=options), NOW)

    (line,) = await db.read(beside.problems, _dated("field.baby"))
    assert line.startswith("care 第 3 行：trigger：没有字段“baby”")
    assert await db.read(beside.problems, _dated("birthday")) == []
    await db.write(make, "baby", "date")
    await db.write(make, "size", "select", "S", "M")
    assert await db.read(beside.problems, _dated("field.baby")) == []
    (line,) = await db.read(beside.problems, _dated("field.size"))
    assert line.startswith("care 第 3 行：trigger：字段“size”不是日期")
    sets = "  - {id: a, at: T0, channel: X, do: [{set: {field.size: XL, field.free: 随便}}]}"
    (line,) = await db.read(beside.problems, _playbook(sets))
    assert line.startswith("care 第 9 行：步骤“a”要写的字段“size”：")
    assert await db.read(beside.problems, _playbook(sets.replace("XL", "M"))) == []
