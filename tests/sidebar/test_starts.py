"""A playbook is started by hand: beside the chat, and by another program; who may not enter is told why."""

import re
from typing import Any

import pytest
from sqlalchemy import Connection, update

from scrm.events import event
from scrm.profiles.models import person
from scrm.sop.models import enrolment, task
from scrm.sop.parse import parse_playbook
from scrm.sop.published import publish
from scrm.sop.shelf import playbooks_of
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
