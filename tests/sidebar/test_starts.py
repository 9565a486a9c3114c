"""A playbook is started by hand: beside the chat, and by another program; who may not enter is told why."""

import re
from typing import Any

import pytest
from sqlalchemy import Connection, update

from scrm.events import event
from scrm.profiles.models import person
from scrm.sop.life.published import publish
from scrm.sop.models import enrolment, task
from scrm.sop.shelf import playbooks_of
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import PlaybookErrors
from tests.sidebar.conftest import Member, words
from tests.world import XIAOMAN, World

HAND = """
playbook: measure
title: 上门量尺
priority: P2
trigger: {event: manual.started}
run_key: person
reentry: never
enter_if: {field: person.stage, op: eq, value: 意向}
exit_if: none
goal: none
holdout: 0%
steps:
  - {id: ask, at: T0+1h, window: "09:00-21:00", channel: T, late: defer, ttl: 24h, content: {text: "{{ 客户昵称 }}，哪天方便？"}}
"""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def bring(world: World) -> None:
    """The playbook, beside whatever else runs in the world of tests."""
    playbook = parse_playbook(HAND, file_name="hand.yaml")
    await world.services.db.write(publish, playbook, now=world.clock.now())
    await world.services.db.read(playbooks_of(world.services).load)


def set_stage(world: World, stage: str) -> Any:
    def write(conn: Connection) -> None:
        conn.execute(update(person).values(stage=stage))

    return world.services.db.write(write)


async def test_a_member_starts_a_playbook_beside_the_chat(world: World, lina: Member, wanghao: Member) -> None:
    await world.add()
    await bring(world)
    path = f"/sidebar/contacts/{XIAOMAN}/starts"
    assert path in await lina.page(f"/sidebar/contacts/{XIAOMAN}")
    assert "上门量尺" in await lina.page(path, htmx=True)
    refused = words(await lina.press(path, playbook="measure"))
    assert "没有开始：不符合进入条件：" in refused
    assert "意向" in refused
    await set_stage(world, "意向")
    assert "“上门量尺”已开始，下一步" in words(await lina.press(path, playbook="measure"))
    (run,) = await world.rows(enrolment, enrolment.c.playbook_key == "measure")
    assert (run.userid, run.external_userid, run.state) == ("lina", XIAOMAN, "active")
    assert "没有开始：" in words(await lina.press(path, playbook="measure"))
    assert "没有正在运行的 SOP“nothing”" in words(await lina.press(path, playbook="nothing"))
    assert len(await world.rows(enrolment, enrolment.c.playbook_key == "measure")) == 1
    # Only beside a chat of one's own.
    assert (await wanghao.get(path, htmx=True)).status == 403
    for act in ("preview", f"{run.id}/undo"):
        assert (await wanghao.tap(f"{path}/{act}")).status == 403


async def test_what_comes_is_shown_before_and_nothing_of_the_look_stays(world: World, lina: Member) -> None:
    await world.add()
    await bring(world)
    path = f"/sidebar/contacts/{XIAOMAN}/starts"
    assert "不能开始：不符合进入条件：" in words(await lina.press(f"{path}/preview", playbook="measure"))
    await set_stage(world, "意向")
    before = len(await world.rows(event))
    for _ in range(2):
        said = words(await lina.press(f"{path}/preview", playbook="measure"))
        assert "今天 11:00 员工待办 小满，哪天方便？" in said, "as it would be said to her"
    assert await world.rows(enrolment, enrolment.c.playbook_key == "measure") == []
    assert len(await world.rows(event)) == before


async def test_a_start_is_taken_back_within_a_minute_and_can_be_made_again(world: World, lina: Member) -> None:
    await world.add()
    await bring(world)
    await set_stage(world, "意向")
    path = f"/sidebar/contacts/{XIAOMAN}/starts"

    async def begin() -> str:
        html = await lina.press(path, playbook="measure")
        assert "已开始" in html
        return str(re.findall(r'hx-post="([^"]+/undo)"', html)[0])

    undo = await begin()
    assert "已撤销" in await lina.press(undo)
    (run,) = await world.rows(enrolment, enrolment.c.playbook_key == "measure")
    assert (run.state, run.ended_reason) == ("exited", "员工撤销了开始")
    await world.pass_time(hours=2)
    assert await world.rows(task, task.c.playbook_key == "measure") == []
    # Its key is free again, though it may be entered only once.
    undo = await begin()
    world.clock.advance(minutes=2)
    assert "1 分钟内" in await lina.press(undo)
    (run,) = await world.rows(enrolment, enrolment.c.playbook_key == "measure", enrolment.c.state == "active")
    assert run.run_key.startswith("person:")


ASKING = (
    HAND.replace("enter_if: {field: person.stage, op: eq, value: 意向}\n", "")
    .replace(
        "trigger: {event: manual.started}",
        """trigger:
  event: manual.started
  ask:
    - {key: budget, title: 预算, type: number, required: true}
    - {key: room, title: 房间, type: choice, options: [客厅, 卧室]}
    - {key: visit, title: 上门日期, type: date}
    - {key: wish, title: 心愿}""",
    )
    .replace(
        '"{{ 客户昵称 }}，哪天方便？"}}',
        "\"{{ 事件.room }}按 {{ 事件.budget }} 元做，{{ 事件.wish | 默认('风格随您') }}\"}, if: {trigger: budget, op: gte, value: 5000}}",
    )
)


async def test_what_a_playbook_asks_for_is_filled_in_before_it_starts(world: World, lina: Member) -> None:
    await world.add()
    playbook = parse_playbook(ASKING, file_name="asking.yaml")
    await world.services.db.write(publish, playbook, now=world.clock.now())
    await world.services.db.read(playbooks_of(world.services).load)
    path = f"/sidebar/contacts/{XIAOMAN}/starts"
    form = await lina.press(f"{path}/preview", playbook="measure")
    assert 'name="ask.budget"' in form
    assert "预算 房间 可不填 请选择 客厅 卧室" in words(form)
    wrong = {"ask.budget": "很多", "ask.room": "厨房", "ask.visit": "明天", "ask.wish": "木" * 201}
    said = words(await lina.press(f"{path}/preview", playbook="measure", **wrong))
    for line in ("“预算”要填数字", "“房间”要从 客厅、卧室 里选", "“上门日期”要填日期", "“心愿”最多 200 个字"):
        assert line in said
    given = {"ask.budget": "8000", "ask.room": "客厅", "ask.visit": "2026-03-09", "ask.wish": ""}
    shown = await lina.press(f"{path}/preview", playbook="measure", **given)
    assert "预算 8000 · 房间 客厅 · 上门日期 2026-03-09" in words(shown)
    assert "客厅按 8000 元做，风格随您" in words(shown), "as it would be said"
    assert 'name="ask.budget" value="8000"' in shown, "said again when it is started"
    assert "开始时要填写：还没有填“预算”" in words(await lina.press(path, playbook="measure"))
    assert "已开始" in await lina.press(path, playbook="measure", **given)
    await world.pass_time(hours=2)
    (asked,) = await world.rows(task, task.c.playbook_key == "measure")
    assert asked.text == "客厅按 8000 元做，风格随您"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("[{title: 预算}]", "ask 的一项缺少 key"),
        ("[{key: Budget, title: 预算}]", "小写字母开头"),
        ("[{key: by, title: 谁}]", "key 不能用“by”"),
        ("[{key: room, title: 房间, type: choice}]", "options 要写 1 到 20 个不同的选项"),
        ("[{key: room, title: 房间, options: [a]}]", "不写 options"),
        ("[{key: room, title: 房间, type: colour}]", "type"),
        ("[{key: room, title: 房间}, {key: room, title: 屋子}]", "有两项的 key 都是“room”"),
    ],
)
def test_what_is_asked_is_written_soundly(written: str, says: str) -> None:
    with pytest.raises(PlaybookErrors, match=says):
        parse_playbook(HAND.replace("manual.started}", f"manual.started, ask: {written}}}"), file_name="x.yaml")
    elsewhere = HAND.replace("manual.started}", "contact.added, ask: [{key: room, title: 房间}]}")
    with pytest.raises(PlaybookErrors, match=r"trigger 的 ask 不能和 contact\.added 一起用"):
        parse_playbook(elsewhere, file_name="x.yaml")
