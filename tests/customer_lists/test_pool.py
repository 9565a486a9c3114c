"""公海: who comes in by the rules and the clock, who picks how many, and who goes back."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, update

from scrm import joining
from scrm.audit import audit_entry
from scrm.customer_lists import pool, pool_store
from scrm.customer_lists.models import pool_entry, pool_pick
from scrm.customer_lists.pool_store import Facts, Rule
from scrm.errors import Invalid
from scrm.events import Event, event, publish
from scrm.profiles.merge import Act
from scrm.profiles.models import member, person
from scrm.transfers.models import transfer, transfer_customer, unassigned_contact
from tests.console.conftest import Page, SignIn, Visitor
from tests.customer_lists.shop import open_shop, wm
from tests.customer_lists.test_bulk import begin, outcomes, run_bulk, send
from tests.world import World

POOL = "/console/pool"
ON = {"is_on": "1", "takes_ownerless": "1", "picks_per_day": "3", "has_recycle": "1", "recycle_days": "7"}


async def inside(world: World) -> dict[int, str]:
    return {row.person_id: row.reason for row in await world.rows(pool_entry)}


async def took(visitor: Visitor, act: str, **fields: Any) -> Page:
    """The page after customers were picked or assigned."""
    answer = await send(visitor, f"{POOL}/{act}", fields)
    assert answer.status == 303, await answer.text()
    return await visitor.get(answer.headers["Location"])


async def stop_member(world: World, userid: str) -> None:
    stopped = update(member).where(member.c.userid == userid).values(is_active=False)
    await world.services.db.write(lambda conn: conn.execute(stopped))


async def follow_up(world: World, person_id: int, userid: str) -> None:
    now = world.clock.now()

    def write(conn: Connection) -> None:
        told = Event("stage.changed", now, person_id, userid=userid, facts={"from": "", "to": "意向"})
        publish(conn, [told], now=now)

    await world.services.db.write(write)


async def test_customers_of_members_who_left_come_in_and_are_picked_within_the_limit(
    manager: Visitor, world: World, sign_in: SignIn
) -> None:
    await open_shop(world)
    await stop_member(world, "wangwei")
    await pool.tick(world.services)
    assert await inside(world) == {}  # nobody has switched it on
    assert (await send(manager, f"{POOL}/rules", ON)).headers["Location"] == POOL
    await pool.tick(world.services)
    # 12 has deleted the member: there is nobody to be talked to.
    assert await inside(world) == dict.fromkeys((2, 4, 6, 8, 10), "ownerless")
    page = await manager.get(POOL)
    assert "员工已离开 5" in page
    assert "顾客 10" in page
    assert "今天还能领 3 位" in page

    def left(conn: Connection) -> None:
        conn.execute(
            unassigned_contact.insert().values(
                handover_userid="wangwei", external_userid=wm(2), seen_at=world.clock.now()
            )
        )

    await world.services.db.write(left)
    assert "已领取 2 位客户" in await took(manager, "pick", person=[2, 4])
    assert await inside(world) == dict.fromkeys((6, 8, 10), "ownerless")
    owners = {row.id: row.owner_userid for row in await world.rows(person, person.c.owner_userid != "")}
    assert owners == {2: "chenlan", 4: "chenlan"}
    # WeCom is asked to hand the friends over: of one it knows that the member has left.
    rows = await world.rows(transfer_customer)
    kinds = {row.id: row.resigned for row in await world.rows(transfer)}
    assert {row.external_userid: kinds[row.transfer_id] for row in rows} == {wm(2): True, wm(4): False}
    too_many = await send(manager, f"{POOL}/pick", {"person": [6, 8]})
    assert too_many.status == 409
    assert "今天还能领 1 位" in await too_many.text()
    gone = await send(manager, f"{POOL}/pick", {"person": [2]})
    assert (gone.status, "刚被同事领走" in await gone.text()) == (404, True)
    # A manager's assignment is not counted, and the limit is anew tomorrow.
    await sign_in("zhaomin", "赵敏", "member")
    assert "已分配 2 位客户" in await took(manager, "assign", person=[6, 8], to="zhaomin")
    world.clock.advance(days=1)
    assert "已领取 1 位客户" in await took(manager, "pick", person=[10])
    told = await world.rows(event, event.c.name.like("pool.%"))
    assert [each.name for each in told].count("pool.entered") == 5
    assert [each.name for each in told].count("pool.picked") == 5
    changed = await world.rows(audit_entry, audit_entry.c.entity == "pool_rule")
    assert changed[0].after["picks_per_day"] == 3
    assert "从公海领取了客户" in await manager.get("/console/customers/10")


async def test_who_is_not_followed_up_comes_in_and_goes_out_when_somebody_cares(manager: Visitor, world: World) -> None:
    """Person n was added n days ago; a follow-up counts from then on."""
    await open_shop(world)
    await follow_up(world, 11, "lina")
    await send(manager, f"{POOL}/rules", {**ON, "takes_ownerless": "", "has_idle": "1", "idle_days": "8"})
    await pool.tick(world.services)
    assert await inside(world) == {9: "idle", 10: "idle"}
    world.clock.advance(days=1)
    await pool.tick(world.services)
    assert await inside(world) == {8: "idle", 9: "idle", 10: "idle"}
    await follow_up(world, 9, "lina")
    await pool.tick(world.services)
    assert await inside(world) == {8: "idle", 10: "idle"}


async def test_who_was_picked_and_neglected_goes_back(manager: Visitor, world: World) -> None:
    await open_shop(world)
    await stop_member(world, "wangwei")
    await send(manager, f"{POOL}/rules", ON)
    await pool.tick(world.services)
    await send(manager, f"{POOL}/pick", {"person": [2, 4, 6]})
    world.clock.advance(days=5)
    await follow_up(world, 4, "chenlan")

    def changed(conn: Connection) -> None:
        conn.execute(update(person).where(person.c.id == 6).values(owner_userid="lina"))

    await world.services.db.write(changed)
    world.clock.advance(days=2)
    await pool.tick(world.services)
    found = await inside(world)
    assert found[2] == "recycled"
    assert {4, 6}.isdisjoint(found)
    ends = {row.person_id: row.ended_by for row in await world.rows(pool_pick)}
    assert ends == {2: "recycled", 4: "", 6: "owner_changed"}
    world.clock.advance(days=5)
    await pool.tick(world.services)
    assert (await inside(world))[4] == "recycled"


async def test_many_are_put_in_by_hand_and_a_merge_keeps_one(manager: Visitor, world: World) -> None:
    await open_shop(world)
    await begin(manager, "pool", person=[1, 2])
    await begin(manager, "pool", person=[2, 3])
    await run_bulk(world)
    await run_bulk(world)
    assert await outcomes(world, 2) == {2: "done 本来就在公海里", 3: "done"}
    assert await inside(world) == dict.fromkeys((1, 2, 3), "by_hand")
    now = world.clock.now()
    merge_id = await world.services.db.write(joining.join, 1, 2, Act("chenlan", "manual"), now=now)
    assert set(await inside(world)) == {1, 3}
    await world.services.db.write(joining.part, merge_id, by="chenlan", now=now)
    assert set(await inside(world)) == {1, 2, 3}
    # Nobody picks while the pool is off.
    refused = await send(manager, f"{POOL}/pick", {"person": [1]})
    assert (refused.status, "公海没有启用" in await refused.text()) == (409, True)


async def test_rules_are_read_or_refused_in_words(manager: Visitor, world: World, sign_in: SignIn) -> None:
    for said, words in (
        ({**ON, "picks_per_day": "很多"}, "每人每天领取数要写 1 到 1000 的整数，写的是“很多”"),
        ({**ON, "has_idle": "1", "idle_days": "0"}, "多少天没有跟进要写 1 到 3650 的整数"),
        ({**ON, "takes_ownerless": ""}, "启用公海要至少选一种进入公海的情况"),
    ):
        answer = await send(manager, f"{POOL}/rules", said)
        assert (answer.status, words in await answer.text()) == (422, True), words
    operator = await sign_in("yunying", "运营", "operator")
    assert (await operator.get(POOL)).status == 200
    assert (await send(operator, f"{POOL}/rules", ON)).status == 403
    assert (await send(operator, f"{POOL}/pick", {"person": [1]})).status == 403


def test_the_rule_decides_over_plain_facts() -> None:
    now = pool_store.from_millis(10**12)
    rule = Rule(True, True, 30, 20, 7)

    def facts(**more: Any) -> Facts:
        known = {"is_friend": True, "has_member": True, "followed_up_at": now - timedelta(days=31)}
        return Facts(person_id=1, owner="lina", **{**known, **more})

    assert pool.reason_for(facts(), rule, now) == "idle"
    assert pool.reason_for(facts(followed_up_at=now - timedelta(days=30)), rule, now) == ""
    assert pool.reason_for(facts(has_member=False), rule, now) == "ownerless"
    assert pool.reason_for(facts(is_friend=False, has_member=False), rule, now) == ""
    assert pool.reason_for(facts(is_picked=True), rule, now) == ""
    assert pool.reason_for(facts(), Rule(False, True, 30), now) == ""
    with pytest.raises(Invalid):
        pool.read_rule({"picks_per_day": "0"})
