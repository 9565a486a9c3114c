"""The shop's own fields beside a chat, changed where they stand."""

from typing import Any

import pytest
from sqlalchemy import Connection

from scrm.profiles import store as profiles
from scrm.profiles.own_fields import fields as custom_fields
from scrm.profiles.own_fields.fields import Definition
from scrm.sop.life.published import publish
from scrm.sop.models import task
from scrm.sop.shelf import playbooks_of
from scrm.sop.text.parse import parse_playbook
from tests.sidebar.conftest import Member, words
from tests.world import XIAOMAN, World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


ASKING = """\
playbook: asking
title: 一对一问需求
trigger: {event: contact.added}
run_key: person
reentry: never
exit_if: none
goal: none
holdout: 0%
guards: {quiet: none, cap: none, queue: none}
steps:
  - {id: need, at: T0+10m, channel: T, late: defer, ttl: 24h, content: {text: 平时最在意什么？}, form: [budget, field.skin]}
"""


async def test_what_a_task_asks_for_is_filled_in_beside_it_before_and_after_it_is_sent(
    world: World, lina: Member, wanghao: Member
) -> None:
    def bring(conn: Connection) -> None:
        now = world.clock.now()
        for said in (Definition("肤质", "text", key="skin"), Definition("预算", "money", key="budget")):
            custom_fields.define(conn, "person", said, now)
        custom_fields.define(conn, "person", Definition("色号", "text", key="shade"), now)
        publish(conn, parse_playbook(ASKING, file_name="asking.yaml"), now=now)

    await world.services.db.write(bring)
    await world.services.db.read(playbooks_of(world.services).load)
    await world.add()
    await world.pass_time(minutes=11)
    (asked,) = await world.rows(task, task.c.playbook_key == "asking")
    own = f"/sidebar/contacts/{XIAOMAN}/fields"
    assert f'hx-get="{own}?task={asked.id}"' in await lina.page(f"/sidebar/contacts/{XIAOMAN}?task={asked.id}")
    shown = words(await lina.page(f"{own}?task={asked.id}", htmx=True))
    assert "顺便问" in shown
    assert shown.index("预算 未填写") < shown.index("肤质 未填写")
    assert "色号" not in shown
    filled = words(await lina.press(f"{own}/person/budget?task={asked.id}", **{"own.budget": "300"}))
    assert "预算 ¥300" in filled
    assert "色号" not in filled
    assert (await lina.tap(f"/sidebar/tasks/{asked.id}/release")).status == 200
    sent = await lina.press(f"/sidebar/tasks/{asked.id}/sending", ok="true")
    assert sent.count(f'hx-get="{own}?task={asked.id}"') == 1
    assert f"{own}?task={asked.id}" in await lina.page(f"/sidebar/contacts/{XIAOMAN}")
    assert "预算" not in words(await lina.page(f"{own}?task={asked.id + 1}", htmx=True))
    assert (await wanghao.get(f"{own}?task={asked.id}", htmx=True)).status == 403


async def test_a_field_is_changed_where_it_stands(world: World, lina: Member, wanghao: Member) -> None:
    await world.add()
    now = world.clock.now()

    def define(conn: Connection) -> int:
        for said in (
            Definition("肤质", "select", key="skin", options=("油皮", "干皮")),
            Definition("功效", "multi_select", key="wants", options=("美白", "保湿")),
            Definition("预算", "money", key="budget", most="1000"),
        ):
            custom_fields.define(conn, "person", said, now)
        custom_fields.define(conn, "relation", Definition("亲密度", "number", key="close"), now)
        contact = profiles.find_contact(conn, XIAOMAN)
        assert contact is not None
        return int(contact.person_id)

    person_id = await world.services.db.write(define)
    own = f"/sidebar/contacts/{XIAOMAN}/fields"
    assert f'hx-get="{own}"' in await lina.page(f"/sidebar/contacts/{XIAOMAN}")
    assert "肤质 未填写" in words(await lina.page(own, htmx=True))
    filled: dict[str, Any] = {"own.skin": "油皮"}
    assert "肤质 油皮" in words(await lina.press(f"{own}/person/skin", **filled))
    assert "功效 美白" in words(await lina.press(f"{own}/person/wants", **{"own.wants": "美白"}))
    assert "亲密度 5" in words(await lina.press(f"{own}/relation/close", **{"own.close": "5"}))
    refused = await lina.press(f"{own}/person/budget", **{"own.budget": "9999"})
    assert "“预算”不能大于 1000" in refused
    assert 'value="9999"' in refused
    told = await world.services.db.read(custom_fields.list_changes, "person", (person_id,))
    assert {(row.key, row.source, row.actor) for row in told if row.entity == "person"} == {
        ("skin", "sidebar", "lina"),
        ("wants", "sidebar", "lina"),
    }
    assert (await wanghao.get(own, htmx=True)).status == 403
