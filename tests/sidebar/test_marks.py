"""A member notes how the talk stands, and nobody is pushed anything meanwhile."""

from typing import Any

import pytest

from scrm.events import event
from scrm.sop.life.published import publish
from scrm.sop.models import enrolment
from scrm.sop.shelf import playbooks_of
from scrm.sop.text.parse import parse_playbook
from tests.sidebar.conftest import Member, words
from tests.world import XIAOMAN, World

PUSH = """
playbook: push
title: 上新
priority: P4
trigger: {event: contact.added}
run_key: person
reentry: never
exit_if: none
goal: none
holdout: 0%
guards: {queue: none}
steps:
  - {id: new, at: T0+1h, channel: T, late: defer, ttl: 24h, content: {text: 上新啦}}
"""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def push_run(world: World) -> Any:
    (run,) = await world.rows(enrolment, enrolment.c.playbook_key == "push")
    return run


async def test_a_customer_who_waits_for_an_answer_is_pushed_nothing(
    world: World, lina: Member, wanghao: Member
) -> None:
    playbook = parse_playbook(PUSH, file_name="push.yaml")
    await world.services.db.write(publish, playbook, now=world.clock.now())
    await world.services.db.read(playbooks_of(world.services).load)
    await world.add()
    path = f"/sidebar/contacts/{XIAOMAN}/marks"
    assert path in await lina.page(f"/sidebar/contacts/{XIAOMAN}")
    assert "客户在等" in words(await lina.page(path, htmx=True))
    for _ in range(2):  # a second tap notes nothing more
        assert "客户在等回复，暂不推营销" in words(await lina.press(path, mark="talk.noted"))
    assert len(await world.rows(event, event.c.name == "talk.noted")) == 1
    await world.pass_time(hours=1)
    held = await push_run(world)
    assert "回复" in held.held_reason, held.held_reason
    assert "已回复" not in words(await lina.press(path, mark="talk.answered"))
    assert (await lina.tap(path, mark="talk.sung")).status == 422
    assert (await wanghao.get(path, htmx=True)).status == 403


async def test_a_complaint_pauses_what_is_marketing_until_it_is_settled(world: World, lina: Member) -> None:
    playbook = parse_playbook(PUSH, file_name="push.yaml")
    await world.services.db.write(publish, playbook, now=world.clock.now())
    await world.services.db.read(playbooks_of(world.services).load)
    await world.add()
    path = f"/sidebar/contacts/{XIAOMAN}/marks"
    assert "处理中，只发售后和交易通知" in words(await lina.press(path, mark="case.opened"))
    await world.settle()
    paused = await push_run(world)
    assert (paused.state, "投诉" in paused.held_reason or "售后" in paused.held_reason) == ("paused", True)
    await lina.press(path, mark="case.closed")
    await world.pass_time(days=8)
    await world.settle()
    assert (await push_run(world)).state in ("active", "done")
