"""At WeCom's edge: crashes, refusals, reminders, and what others send."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from scrm.errors import Conflict
from scrm.mass_messages import acts, dispatch, plan, results
from scrm.mass_messages.audience import Audience
from scrm.profiles.models import member
from scrm.sandbox.confirming import confirm_mass_message, send_personal_mass_message
from scrm.wecom.customer_messages import Created, GroupMsg
from scrm.wecom.errors import WeComError, WeComUnreachable
from scrm.work import queue
from tests.fakes.deaths import killed_after, killed_before
from tests.mass_messages.conftest import LINA, House, send


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The SQL is tested on both databases elsewhere: one is enough."""
    return sqlite_url


class Killed(BaseException):
    """The process ends here: nobody catches it."""


Break = Callable[[House, pytest.MonkeyPatch], Awaitable[None]]


async def _die_after_the_call(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed when WeCom has answered and nothing is written yet."""

    async def die(services: Any, part_id: int, created: Created) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "_note_created", die)
        with pytest.raises(Killed):
            await house.settle()


async def _die_before_the_call(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def die(*args: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "_call", die)
        with pytest.raises(Killed):
            await house.settle()


async def _lose_the_answer(house: House, monkeypatch: pytest.MonkeyPatch, error: WeComError | None = None) -> None:
    """WeCom made it, and its answer never came."""
    messages = house.services.wecom.customer_messages
    make = messages.add_msg_template

    async def make_and_fail(**body: Any) -> Created:
        await make(**body)
        raise error or WeComUnreachable("TimeoutError")

    with monkeypatch.context() as patch:
        patch.setattr(messages, "add_msg_template", make_and_fail)
        await house.settle()


async def _be_told_it_is_busy(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """-1 says nothing about whether it was made (doc 90313)."""
    await _lose_the_answer(house, monkeypatch, WeComError(-1, "system busy"))


async def _be_listed_late(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """WeCom makes messages in its own time: for two minutes its list knows nothing of it."""
    await _lose_the_answer(house, monkeypatch)
    messages, since = house.services.wecom.customer_messages, house.clock.now()
    listed = messages.get_groupmsg_list_v2

    async def list_late(*args: Any, **more: Any) -> AsyncIterator[GroupMsg]:
        async for each in listed(*args, **more):
            if house.clock.now() - since > timedelta(minutes=2):
                yield each

    monkeypatch.setattr(messages, "get_groupmsg_list_v2", list_late)


@pytest.mark.parametrize(
    "break_off", [_die_after_the_call, _die_before_the_call, _lose_the_answer, _be_told_it_is_busy, _be_listed_late]
)
async def test_after_a_crash_nothing_is_made_twice_and_nothing_is_forgotten(
    house: House, monkeypatch: pytest.MonkeyPatch, break_off: Break
) -> None:
    xiaoman = await house.meet("xiaoman")
    # The same words to others by another system, of another member and of her own: neither is ours.
    other = await house.meet("other", "WuHao")
    stranger = house.sandbox.add_wechat_user("stranger", "stranger").external_userid
    house.sandbox.add_contact_seed("stranger", "lina")
    for sender, customer in (("WuHao", other), ("lina", stranger)):
        await house.services.wecom.customer_messages.add_msg_template(
            sender=sender, external_userids=[customer], text="我是顾问"
        )
    message_id = await plan.create(house.services, LINA, text="我是{{ 员工姓名 }}")
    await break_off(house, monkeypatch)
    # Called otherwise meanwhile: what was said then is still known as ours.
    renamed = member.insert().values(userid="lina", folded="lina", name="李娜")
    await house.services.db.write(lambda conn: conn.execute(renamed))
    (part,) = await house.parts(message_id)
    assert (part.state, part.msgid) == ("intent", None)
    await results.notice_others(house.services)
    await house.services.db.write(queue.release_all)
    for _ in range(6):
        await house.pass_time(minutes=1)
    (part,) = await house.parts(message_id)
    assert part.state == "created"
    to_xiaoman = [made for made in house.made if [each.target for each in made.deliveries] == [xiaoman]]
    assert [made.msgid for made in to_xiaoman] == [part.msgid]
    assert await house.states(message_id) == {xiaoman: "waiting"}


@pytest.mark.parametrize(
    ("errcode", "part_state", "target_state", "reason"),
    [
        (41048, "done", "unreachable", "无法送达"),
        (40058, "failed", "failed", ""),
        (45033, "created", "waiting", ""),
        (48002, "planned", "planned", "可调用接口的应用"),
    ],
)
async def test_each_refusal_has_its_own_end(
    house: House, errcode: int, part_state: str, target_state: str, reason: str
) -> None:
    xiaoman = await house.meet("xiaoman")
    house.sandbox.faults.fail_next("externalcontact/add_msg_template", errcode)
    message_id = await send(house)
    await house.pass_time(seconds=5)
    (part,) = await house.parts(message_id)
    assert part.state == part_state
    assert reason in part.reason
    assert await house.states(message_id) == {xiaoman: target_state}
    assert len(house.made) == (part_state == "created")


async def test_members_are_reminded_three_times_a_day_and_a_stopped_message_stays_stopped(house: House) -> None:
    xiaoman = await house.meet("xiaoman")
    message_id = await send(house)
    for _ in range(3):
        assert (await acts.remind(house.services, message_id)).members == 1
    with pytest.raises(Conflict, match="24 小时内已提醒 3 次"):
        await acts.remind(house.services, message_id)
    house.clock.advance(days=1, minutes=1)
    assert (await acts.remind(house.services, message_id)).members == 1
    assert await acts.cancel(house.services, message_id) == 1
    assert house.made[0].is_cancelled
    assert await house.states(message_id) == {xiaoman: "cancelled"}
    with pytest.raises(Conflict):
        await acts.remind(house.services, message_id)
    assert (await plan.foresee(house.services, LINA)).over_quota == 0
    early = await plan.create(house.services, LINA, text="还没开始就停")
    await acts.cancel(house.services, early)
    await house.settle()
    assert len(house.made) == 1


CANCEL = "externalcontact/cancel_groupmsg_send"


@pytest.mark.parametrize("break_off", [killed_before, killed_after])
async def test_a_stop_that_was_cut_off_is_carried_out_by_the_tick(
    house: House, monkeypatch: pytest.MonkeyPatch, break_off: Any
) -> None:
    xiaoman = await house.meet("xiaoman")
    message_id = await send(house)
    with break_off(monkeypatch, CANCEL):
        await acts.cancel(house.services, message_id)
    await house.pass_time(minutes=1)
    assert house.made[0].is_cancelled
    assert await house.states(message_id) == {xiaoman: "cancelled"}
    asked = house.sandbox.gateway.usage[CANCEL].calls
    await house.pass_time(hours=2)
    assert house.sandbox.gateway.usage[CANCEL].calls == asked


async def test_a_stop_that_wecom_refuses_for_now_is_told_and_carried_out_later(house: House) -> None:
    xiaoman = await house.meet("xiaoman")
    message_id = await send(house)
    house.sandbox.faults.fail_next(CANCEL, 41063)
    with pytest.raises(Conflict, match="系统会接着试"):
        await acts.cancel(house.services, message_id)
    assert await house.states(message_id) == {xiaoman: "waiting"}
    with pytest.raises(Conflict, match="不用提醒"):
        await acts.remind(house.services, message_id)
    await house.pass_time(minutes=1)
    assert (house.made[0].is_cancelled, await house.states(message_id)) == (True, {xiaoman: "cancelled"})


async def test_what_wecom_will_not_stop_is_told_as_it_goes_on(house: House) -> None:
    xiaoman = await house.meet("xiaoman")
    message_id = await send(house)
    house.sandbox.faults.fail_next(CANCEL, 41047, times=20)
    with pytest.raises(Conflict):
        await acts.cancel(house.services, message_id)
    confirm_mass_message(house.sandbox, "lina", house.made[0].msgid)
    await house.pass_time(minutes=1)
    assert await house.states(message_id) == {xiaoman: "sent"}
    assert [part.state for part in await house.parts(message_id)] == ["done"]


async def test_who_got_it_before_the_stop_is_known_to_have_it(house: House) -> None:
    xiaoman, other = await house.meet("xiaoman"), await house.meet("other", "WuHao")
    message_id = await send(house, Audience(userids=("lina", "WuHao")))
    (made,) = (made for made in house.made if made.userids == ["lina"])
    confirm_mass_message(house.sandbox, "lina", made.msgid)
    await acts.cancel(house.services, message_id)
    assert await house.states(message_id) == {xiaoman: "sent", other: "cancelled"}
    assert {part.userid: part.state for part in await house.parts(message_id)} == {"lina": "done", "WuHao": "cancelled"}
    assert (await house.message(message_id)).state == "cancelled"
    assert (await plan.foresee(house.services, LINA)).over_quota == 1


async def test_what_members_send_by_themselves_counts_too(house: House) -> None:
    xiaoman = await house.meet("xiaoman")
    send_personal_mass_message(house.sandbox, "lina", "我自己发的", [xiaoman])
    assert await results.notice_others(house.services) == 1
    assert await results.notice_others(house.services) == 0
    await results.poll(house.services)
    forecast = await plan.foresee(house.services, LINA)
    assert (forecast.customers, forecast.over_quota) == (1, 1)


async def test_groups_are_written_to_by_their_owner(house: House) -> None:
    message_id = await send(house, Audience(chats=(("wr1", "lina"), ("wr2", "lina"), ("wr3", "WuHao"))))
    assert sorted(len(made.deliveries) for made in house.made) == [1, 2]
    lina = next(made for made in house.made if made.userids == ["lina"])
    confirm_mass_message(house.sandbox, "lina", lina.msgid, ["wr1", "wr2"])
    await house.pass_time(minutes=2)
    assert await house.states(message_id) == {"wr1": "sent", "wr2": "sent", "wr3": "waiting"}
