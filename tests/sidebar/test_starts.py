"""A playbook is started by hand: beside the chat, and by another program; who may not enter is told why."""

from typing import Any

import pytest
from sqlalchemy import Connection, update

from scrm.profiles.models import person
from scrm.sop.models import enrolment
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
  - {id: ask, at: T0+1h, window: "09:00-21:00", channel: T, late: defer, ttl: 24h, content: {text: 哪天方便？}}
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
