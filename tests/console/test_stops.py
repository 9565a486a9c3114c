"""What an administrator must mend first: everything stops by itself, says why, and goes on when somebody has acted."""

from typing import Any

import pytest

from scrm import stops
from scrm.doctor.command import run_doctor
from scrm.given_up import DISCARDED
from scrm.profiles import remarks, tags
from scrm.profiles.models import external_contact, follow_user_tag, tag_wish
from scrm.stops import wecom_stop
from scrm.wecom.errors import WeComError
from scrm.wecom.pacing import in_background
from scrm.work.models import work_item
from tests.console.conftest import Visitor
from tests.world import ANING, XIAOMAN, World

GET, WELCOME, MARK = "externalcontact/get", "externalcontact/send_welcome_msg", "externalcontact/mark_tag"
REFUSED = {"errcode": 60020, "errmsg": "not allow to access from your ip, from ip: 203.0.113.9, more info at x"}


async def edit(world: World, external_userid: str) -> None:
    await world.add(external_userid, change_type="edit_external_contact", WelcomeCode="", State="")


async def test_an_address_that_is_not_trusted_stops_every_call_until_somebody_says_that_it_is_mended(
    world: World, manager: Visitor, wecom: Any
) -> None:
    await world.add(XIAOMAN)
    wecom.always(GET, lambda body: REFUSED)
    await edit(world, XIAOMAN)
    await world.pass_time(seconds=30)
    asked = len(world.wecom.calls)
    await edit(world, ANING)
    await world.add("wmSomebodyElse")
    for _ in range(5):
        await world.pass_time(hours=6)
    assert len(world.wecom.calls) == asked, "nothing may be asked while the address is refused"
    items = await world.rows(work_item)
    # Three contacts, and the reminder of the task that stands in for the lost welcome.
    assert sorted(item.kind for item in items) == ["contact.refresh"] * 3 + ["sop.remind"]
    assert {(item.state, item.held, item.attempts) for item in items} == {(2, True, 1)}

    page = await manager.get("/console/work")
    assert "已停止自动调用企业微信" in page
    assert "全部接口" in page
    assert "本机出口 IP：203.0.113.9" in page
    assert "企业可信IP" in page
    assert "4 个任务停在下面" in page
    assert (await manager.send("/console/work/resume", csrf="wrong")).status == 403

    # Said too early: what begins together asks, a token before it, and all is as before. The reminder got through.
    await manager.send("/console/work/resume")
    await world.settle()
    assert len(world.wecom.calls) - asked <= 5
    assert len(await world.rows(wecom_stop)) == 1

    del wecom._always[GET]
    wecom.add_contact("wmSomebodyElse", "小周", "lina")
    answer = await manager.send("/console/work/resume")
    assert answer.headers["Location"] == "/console/work?resumed=3"
    await world.settle()
    assert not await world.rows(work_item)
    assert not await world.rows(wecom_stop)
    assert {row.name for row in await world.rows(external_contact)} == {"小满", "阿宁", "小周"}
    assert "已继续调用企业微信，4 个任务重新开始。" in await manager.get("/console/work?resumed=4")


async def test_a_missing_permission_stops_its_endpoint_only_and_a_green_doctor_lets_it_go_on(
    world: World, manager: Visitor, wecom: Any, capsys: Any
) -> None:
    wecom.say(GET, 48002)
    await world.add(XIAOMAN)
    assert len(world.wecom.called(WELCOME)) == 1, "welcomes go on"
    await world.add(ANING)
    assert (len(world.wecom.called(WELCOME)), len(world.wecom.called(GET))) == (2, 1)

    wecom.say("externalcontact/get_follow_user_list", 48002)
    assert await run_doctor(world.services) == 1
    told = capsys.readouterr().out
    assert "✗ 停下的调用：已停止自动调用get" in told.replace(" get", "get")
    assert "可调用接口的应用" in told
    await world.settle()
    assert len(world.wecom.called(GET)) == 1

    wecom.always("agent/get", lambda body: {"allow_userinfos": {"user": [{"userid": "lina"}]}})
    wecom.always("externalcontact/get_follow_user_list", lambda body: {"follow_user": ["lina"]})
    page = await manager.get("/console/doctor")
    assert "已恢复，2 个任务继续执行" in page
    await world.settle()
    assert not await world.rows(work_item)
    assert {row.name for row in await world.rows(external_contact)} == {"小满", "阿宁"}


async def test_a_busy_wecom_is_asked_three_times_and_the_work_goes_on_when_it_is_well_again(
    world: World, manager: Visitor, wecom: Any
) -> None:
    wecom.always(GET, lambda body: {"errcode": -1, "errmsg": "system busy"})
    await world.add(XIAOMAN, WelcomeCode="")
    before = len(world.wecom.called(GET))
    await edit(world, ANING)
    for _ in range(8):
        await world.pass_time(seconds=1)
    await world.pass_time(days=2)
    of_aning = [body for body in world.wecom.called(GET)[before:] if body["external_userid"] == ANING]
    assert len(of_aning) == 3
    assert "企业微信没有接受，有任务在等" in await manager.get("/console/work")

    del wecom._always[GET]
    wecom.always("agent/get", lambda body: {"allow_userinfos": {"user": [{"userid": "lina"}]}})
    await manager.get("/console/doctor")
    await world.settle()
    assert not await world.rows(work_item)
    assert {row.name for row in await world.rows(external_contact)} == {"小满", "阿宁"}


async def test_one_member_out_of_range_stops_nobody_else(world: World, manager: Visitor, wecom: Any) -> None:
    wecom.say(MARK, 60011)
    with in_background():
        with pytest.raises(WeComError, match="60011"):
            await world.services.wecom.corp_tags.mark_tag("lina", XIAOMAN, add_tag=["et1"])
        await world.services.wecom.corp_tags.mark_tag("lina", ANING, add_tag=["et1"])
    assert not await world.rows(wecom_stop)
    assert len(world.wecom.called(MARK)) == 2


async def test_what_does_not_pass_in_time_is_tried_again_each_hour_and_waits_for_nobody(
    world: World, manager: Visitor, wecom: Any
) -> None:
    await world.add(XIAOMAN)
    wecom.always(MARK, lambda body: {"errcode": 45035, "errmsg": "concurrent write"})

    async def want(name: str) -> None:
        await world.services.db.write(
            tags.want, "lina", XIAOMAN, add=[name], source="staff", reason="自己选的", now=world.clock.now()
        )
        for _ in range(6):
            await world.pass_time(seconds=10)

    before = len(wecom.called(MARK))
    await want("油皮")
    assert len(wecom.called(MARK)) - before == 6
    page = await manager.get("/console/work")
    assert "企业微信没有接受，有任务在等 1 个任务停在下面，每小时自动再试一次" in page
    assert "着急就现在点“重试”" in page
    assert await stops.tick(world.services) == 0, "not so soon"
    await world.pass_time(minutes=61)
    del wecom._always[MARK]
    assert await stops.tick(world.services) == 1
    await world.settle()
    assert "油皮" in {row.tag_name for row in await world.rows(follow_user_tag)}
    assert (await world.rows(work_item), await world.rows(tag_wish)) == ([], [])

    # Let go by somebody: the member sees why, and may want it again.
    wecom.always(MARK, lambda body: {"errcode": 45035, "errmsg": "concurrent write"})
    await want("干皮")
    (dead,) = await world.rows(work_item)
    assert (await manager.send(f"/console/work/{dead.id}/discard")).status == 303
    assert [row.problem for row in await world.rows(tag_wish)] == [DISCARDED]
    del wecom._always[MARK]
    await want("干皮")
    assert await world.rows(tag_wish) == []
    for error in (48002, 40001):
        wecom.say(MARK, error)
    await want("混合皮")
    await world.pass_time(hours=2)
    asked = len(wecom.called(MARK))
    assert await stops.tick(world.services) == 1  # an endpoint that is stopped refuses it without a call
    await world.settle()
    assert len(wecom.called(MARK)) == asked
    await world.services.wecom.stops.note(WeComError(60020, "", path="gettoken"))
    await world.pass_time(hours=2)
    assert await stops.tick(world.services) == 0


async def test_words_that_will_not_be_written_are_told_as_refused(world: World, manager: Visitor, wecom: Any) -> None:
    await world.add(XIAOMAN)
    wecom.say("externalcontact/remark", *[45035] * 6)
    pair = "lina", XIAOMAN
    await world.services.db.write(remarks.want, pair, {"remark": "满姐"}, now=world.clock.now())
    for _ in range(6):
        await world.pass_time(seconds=10)
    (dead,) = await world.rows(work_item)
    assert (dead.kind, dead.held) == (remarks.WRITE, True)
    await manager.send(f"/console/work/{dead.id}/discard")
    wish = await world.services.db.read(remarks.find_wish, pair)
    assert wish is not None
    assert wish.problem == DISCARDED
