"""Clear values only for a key that was made for it, for a reason, and with a note; opting out holds wherever we send."""

from datetime import timedelta

import pytest

from scrm.api.store import make_key
from scrm.errors import Conflict
from scrm.events import event
from scrm.mass_messages.audience import Audience, Quota, forecast
from scrm.privacy.models import privacy_act
from scrm.privacy.optout import set_optout
from scrm.profiles.models import external_contact, person
from scrm.sop.guards import answers as guards
from scrm.sop.members import tasks
from scrm.sop.models import task
from tests.privacy.test_erase import ADDRESS, PHONE, RECEIVER, SQLITE_ONLY, live_the_story
from tests.sop.shop import playbook_of, step
from tests.world import World


async def headers(world: World, role: str, *, sees_private: bool) -> dict[str, str]:
    key = await world.services.db.write(make_key, "erp", role, now=world.clock.now(), sees_private=sees_private)
    return {"Authorization": f"Bearer {key}"}


@SQLITE_ONLY
async def test_private_values_need_a_scope_a_reason_and_leave_a_note(world: World) -> None:
    person_id = await live_the_story(world)
    path = f"/api/v1/customers/{person_id}"
    plain, trusted = (
        await headers(world, "administrator", sees_private=False),
        await headers(world, "manager", sees_private=True),
    )
    refused = await world.client.get(f"{path}/private?reason=核对", headers=plain)
    assert (refused.status, "--sees-private" in await refused.text()) == (403, True)
    assert (await world.client.get(f"{path}/private", headers=trusted)).status == 422
    shown = await (await world.client.get(f"{path}/private?reason=核对地址", headers=trusted)).json()
    assert shown["phones"] == [f"+86{PHONE}"]
    assert {(one["name"], one["phone"]) for one in shown["receivers"]} == {(RECEIVER, PHONE)}
    assert shown["receivers"][0]["address"].endswith(ADDRESS)
    (act,) = await world.rows(privacy_act)
    assert (act.act, act.actor, act.reason) == ("revealed", "api:erp", "核对地址")
    assert (await world.client.get(f"{path}/export", headers=trusted)).status == 403
    owner = await headers(world, "administrator", sees_private=True)
    assert "identity" in (await (await world.client.get(f"{path}/export", headers=owner)).json())["tables"]
    assert (await world.client.post(f"{path}/erase", json={"confirm": 0}, headers=owner)).status == 422
    done = await (await world.client.post(f"{path}/erase", json={"confirm": person_id}, headers=owner)).json()
    assert done["rows"] > 10
    assert (await (await world.client.post(f"{path}/erase", json={"confirm": person_id}, headers=owner)).json())[
        "again"
    ]


@SQLITE_ONLY
async def test_who_opts_out_is_left_alone_by_every_way_of_sending(world: World) -> None:
    person_id = await live_the_story(world)
    trusted = await headers(world, "manager", sees_private=False)
    path = f"/api/v1/customers/{person_id}/optout"
    quota = Quota(((world.clock.now() - timedelta(days=1), 1000),))
    before = await world.services.db.read(forecast, Audience(userids=["lina"]), quota, world.clock.now())
    assert (before.refused, before.reachable) == (0, 1)

    for body in ({}, {"promo": "yes"}, {"nothing": True}, []):
        assert (await world.client.put(path, json=body, headers=trusted)).status == 422
    answer = await world.client.put(path, json={"mass": True, "promo": False}, headers=trusted)
    assert await answer.json() == {"optout": {"mass": True}}
    after = await world.services.db.read(forecast, Audience(userids=["lina"]), quota, world.clock.now())
    assert (after.refused, after.reachable) == (1, 0)

    await world.client.put(path, json={"mass": False, "all": True}, headers=trusted)
    await world.client.put(path, json={"all": True}, headers=trusted)
    acts = [row.act for row in await world.rows(privacy_act)]
    assert acts == ["opted_out", "opted_out"], "the same again is no act"
    assert len(await world.rows(event, event.c.name == "optout.changed")) == 2
    assert (await world.rows(person, person.c.id == person_id))[0].optout == {"all": True}


@SQLITE_ONLY
async def test_a_refusal_withdraws_what_lies_ready_and_keeps_later_steps_away(world: World) -> None:
    await world.add()
    for _ in range(40):
        await world.pass_time(hours=4)
        open_tasks = await world.rows(task, task.c.state == "open")
        if open_tasks:
            break
    (contact,) = await world.rows(external_contact)
    changes = {"chat": True}
    await world.services.db.write(set_optout, contact.person_id, changes, actor="lina", now=world.clock.now())
    with pytest.raises(Conflict, match="拒绝"):
        await tasks.release(world.services, "lina", open_tasks[0].id, None)
    count = len(await world.rows(task))
    for _ in range(30):
        await world.pass_time(hours=8)
    assert len(await world.rows(task)) == count
    assert not await world.rows(task, task.c.state == "open")


@pytest.mark.parametrize(
    ("optout", "priority", "says"),
    [
        ({"all": True}, "P0", ""),
        ({"all": True}, "P1", ""),
        ({"all": True}, "P2", "客户已拒绝接收消息"),
        ({"chat": True}, "P1", ""),
        ({"chat": True}, "P2", "客户已拒绝员工的剧本消息"),
        ({"promo": True}, "P2", ""),
        ({"promo": True}, "P3", "客户已拒绝接收营销消息"),
        ({"mass": True, "promo": False}, "P4", ""),
    ],
)
def test_what_a_refusal_stops_is_decided_by_the_playbook_s_priority(
    optout: dict[str, bool], priority: str, says: str
) -> None:
    assert guards.refused(playbook_of(step("ask", "T0"), priority=priority), optout) == says
