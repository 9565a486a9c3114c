"""Mass messages: each customer once, within the quota, confirmed by members, and found again after a crash."""

from typing import Any

import pytest

from scrm.errors import Invalid
from scrm.mass_messages import audience, plan
from scrm.mass_messages.audience import Audience, quota_at
from scrm.profiles.models import follow_user, person
from scrm.sandbox.confirming import confirm_mass_message
from scrm.settings import MassMessages
from tests.mass_messages.conftest import LINA, House, send


async def test_a_message_goes_from_the_form_to_the_customer(house: House) -> None:
    xiaoman, aning = await house.meet("xiaoman"), await house.meet("aning")
    both, gone = await house.meet("both", "lina", "WuHao"), await house.meet("gone")
    await house.lose(gone)
    audience = Audience(userids=("LINA", "WuHao"))
    forecast = await plan.foresee(house.services, audience)
    assert (forecast.customers, forecast.reachable, forecast.by_member) == (3, 3, {"lina": 3})
    message_id = await send(house, audience)
    (made,) = house.made
    assert {each.target for each in made.deliveries} == {xiaoman, aning, both}
    assert set((await house.states(message_id)).values()) == {"waiting"}
    await house.sandbox.delete_member("aning", "lina")
    await house.pass_time(minutes=2)
    assert (await house.parts(message_id))[0].confirmed_at is None
    confirm_mass_message(house.sandbox, "lina", made.msgid)
    await house.pass_time(minutes=2)
    assert await house.states(message_id) == {xiaoman: "sent", aning: "not_friend", both: "sent"}
    assert (await house.message(message_id)).state == "done"
    assert [row.name for row in await house.rows(events_table(), events_table().c.name == "mass_message.sent")] == [
        "mass_message.sent"
    ] * 2
    await house.pass_time(hours=1)
    assert len(house.made) == 1


def events_table() -> Any:
    from scrm.events import event

    return event


async def test_whoever_had_enough_is_known_before_and_left_out(house: House) -> None:
    xiaoman, aning = await house.meet("xiaoman"), await house.meet("aning")
    await send(house, Audience(userids=("lina",), tag_ids=()), text="第一条")
    other = await house.meet("other")
    forecast = await plan.foresee(house.services, LINA)
    assert (forecast.customers, forecast.over_quota, forecast.reachable) == (3, 2, 1)
    assert [row.target for row in forecast.over] == sorted([xiaoman, aning])
    second = await send(house, text="第二条")
    assert await house.states(second) == {xiaoman: "over_quota", aning: "over_quota", other: "waiting"}
    house.clock.advance(days=1, minutes=1)
    assert (await plan.foresee(house.services, LINA)).over_quota == 0


async def test_the_forecast_says_how_many_have_how_much_left(house: House) -> None:
    """House: one a day, three in a week; WeCom's own number for the month is never the smallest here."""
    for key in ("xiaoman", "aning"):
        await house.meet(key)
    for words in ("第一条", "第二条"):
        await send(house, text=words)
        house.clock.advance(days=1, minutes=1)
    await house.meet("newcomer", "WuHao")
    loose = quota_at(house.clock.now(), MassMessages(per_day=0), house.services.settings.shop.zone)
    both, now = Audience(userids=("lina", "WuHao")), house.clock.now()
    found = await house.services.db.read(audience.forecast, both, loose, now)
    assert (found.quota_left, found.by_member, found.over_quota) == ({3: 1, 1: 2}, {"lina": 2, "WuHao": 1}, 0)
    await send(house, text="第三条")
    found = await house.services.db.read(audience.forecast, both, loose, now)
    assert (found.quota_left, found.over_by_member, found.by_member) == ({3: 1, 0: 2}, {"lina": 2}, {"WuHao": 1})
    groups = await house.services.db.read(audience.forecast, Audience(chats=(("wr1", "lina"),)), loose, now)
    assert (groups.quota_left, groups.by_member) == ({3: 1}, {"lina": 1})


async def test_who_refused_or_left_before_the_call_gets_nothing(house: House) -> None:
    xiaoman, aning, dada = await house.meet("xiaoman"), await house.meet("aning"), await house.meet("dada")
    message_id = await plan.create(house.services, LINA, text="嗨")
    (item,) = await house.services.db.write(_claim, "bulk", house.clock.now())
    await plan.run_prepare(house.services, item)

    def change(conn: Any) -> None:
        who = conn.execute(follow_user.select().where(follow_user.c.external_userid == aning)).one().person_id
        conn.execute(person.update().where(person.c.id == who).values(optout={"promo": True}))

    await house.lose(xiaoman)
    await house.services.db.write(change)
    await house.settle()
    assert await house.states(message_id) == {xiaoman: "lost", aning: "refused", dada: "waiting"}
    assert [each.target for each in house.made[0].deliveries] == [dada]


def _claim(conn: Any, lane: str, now: Any) -> Any:
    from scrm.work import queue

    return queue.claim(conn, lane, now=now)


async def test_an_audience_is_narrowed_by_tag_and_channel_and_an_empty_one_is_refused(house: House) -> None:
    vip = await house.meet("vip", tags=("etVip",), state="live-1111")
    await house.meet("tagged", tags=("etVip",))
    await house.meet("plain", state="live-1111")
    message_id = await send(house, Audience(tag_ids=("etVip",), states=("live-1111",)))
    assert await house.states(message_id) == {vip: "waiting"}
    with pytest.raises(Invalid, match="还没有选择发给谁"):
        await plan.create(house.services, Audience(), text="嗨")
    nobody = await send(house, Audience(tag_ids=("etUnknown",)))
    assert (await house.message(nobody)).state == "done"
    assert len(house.made) == 1


async def test_a_big_share_is_split_and_a_form_sent_twice_is_one_message(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scrm.mass_messages import store

    monkeypatch.setitem(store.MOST_IN_PART, "single", 2)
    monkeypatch.setattr(plan, "CHUNK", 2)
    for number in range(5):
        await house.meet(f"c{number}")
    message_id = await plan.create(house.services, LINA, text="嗨", once="form-1")
    assert await plan.create(house.services, LINA, text="嗨", once="form-1") == message_id
    await house.settle()
    assert sorted(len(made.deliveries) for made in house.made) == [1, 2, 2]
    targets = [each.target for made in house.made for each in made.deliveries]
    assert len(targets) == len(set(targets)) == 5
