"""The welcome: within seconds, once, with its coupon, whatever WeCom answers."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, update

from scrm.commerce.models import coupon_issue
from scrm.contact_ways.models import contact_way
from scrm.contact_ways.store import save_contact_way
from scrm.doctor.store import count_adds
from scrm.events import event
from scrm.profiles.models import external_contact, follow_user, identity
from scrm.sop.models import send, task
from scrm.sop.schema import Content
from scrm.sop.welcome.choosing import say_as_channel
from scrm.work import queue
from scrm.work.models import work_item
from tests.fakes import wecom as fake
from tests.fakes.deaths import killed_before, revive
from tests.world import ANING, XIAOMAN, World

SEND = "externalcontact/send_welcome_msg"


async def the_send(world: World) -> Any:
    (row,) = await world.rows(send, send.c.kind == "welcome")
    return row


async def test_a_new_customer_is_welcomed_by_name_with_a_coupon_of_their_own(world: World) -> None:
    await world.add()
    (call,) = world.wecom.called(SEND)
    (issue,) = await world.rows(coupon_issue)
    assert "小满" in call["text"]["content"]
    (card,) = call["attachments"]
    assert card["msgtype"] == "link"
    assert card["link"]["url"] == f"https://crm.example.test/c/{issue.token}"
    row = await the_send(world)
    assert (row.outcome, row.errcode, row.playbook_key) == ("sent", 0, "new-customer")
    assert row.received_at <= row.decided_at <= row.sent_at
    assert row.content["text"] == call["text"]["content"]


async def test_the_second_customer_gets_another_code(world: World) -> None:
    await world.add()
    await world.add(ANING)
    issues = await world.rows(coupon_issue)
    assert len({issue.code for issue in issues}) == len({issue.person_id for issue in issues}) == 2


async def test_the_profile_is_learnt_after_the_welcome(world: World) -> None:
    await world.add()
    (contact,) = await world.rows(external_contact)
    (follow,) = await world.rows(follow_user)
    kinds = {row.kind: row.value for row in await world.rows(identity)}
    assert (contact.name, contact.unionid, contact.type) == ("小满", "oUnionXiaoman", 1)
    assert (follow.userid, follow.state, follow.add_way, follow.ended_by) == ("lina", "live-1111", 1, "")
    assert kinds == {"wecom_external_userid": XIAOMAN, "wx_unionid": "oUnionXiaoman"}
    names = [call for call, _ in world.wecom.calls]
    assert names.count("externalcontact/get") == 1


async def test_a_name_that_comes_late_does_not_hold_the_welcome_up(world: World, wecom: Any) -> None:
    wecom.say("externalcontact/get", -1)
    await world.add()
    (call,) = world.wecom.called(SEND)
    assert "小满" not in call["text"]["content"]
    assert "，，" not in call["text"]["content"]
    assert (await the_send(world)).outcome == "sent"
    assert (await world.rows(external_contact))[0].name == "小满"  # asked again, by the sync lane


OUTCOMES = {
    41051: ("done_by_other", 1, False),
    41050: ("too_late", 1, True),
    41053: ("failed", 1, False),  # consent brings a new code
    48002: ("failed", 1, True),
    60020: ("failed", 1, True),
}


@pytest.mark.parametrize(("errcode", "expected"), OUTCOMES.items())
async def test_each_refusal_has_its_outcome_its_words_and_perhaps_a_task(
    world: World, wecom: Any, errcode: int, expected: tuple[str, int, bool]
) -> None:
    outcome, tries, asks_member = expected
    wecom.say(SEND, errcode)
    await world.add()
    row = await the_send(world)
    assert (row.outcome, row.errcode) == (outcome, errcode)
    assert row.reason
    assert str(errcode) not in row.reason
    assert len(world.wecom.called(SEND)) == tries
    tasks = [row for row in await world.rows(task) if "欢迎语" in row.title]
    assert bool(tasks) is asks_member
    if tasks:
        assert tasks[0].text
        assert tasks[0].attachments[0]["news"]["link"].startswith("https://crm.example.test/c/")


async def test_a_refused_attachment_is_not_worth_a_lost_welcome(world: World, wecom: Any) -> None:
    wecom.say(SEND, 41065)
    await world.add()
    first, second = world.wecom.called(SEND)
    assert "attachments" in first
    assert "attachments" not in second
    assert first["attachments"][0]["link"]["url"] in second["text"]["content"]
    assert (await the_send(world)).outcome == "sent"


async def test_an_add_without_state_without_code_or_from_another_corp_is_stored_without_error(world: World) -> None:
    other = "woPartner00000000000000000000001"
    world.wecom.add_contact(other, "合作方", "lina", type=2, corp_name="某公司")
    created_at = int(world.clock.now().timestamp())
    await world.tell(fake.event_xml("add_external_contact", created_at=created_at, UserID="lina", ExternalUserID=other))
    await world.settle()
    assert not world.wecom.called(SEND)
    row = await the_send(world)
    assert row.outcome == "none"
    assert "其他企业" in row.reason
    (contact,) = await world.rows(external_contact)
    assert (contact.type, contact.corp_name) == (2, "某公司")
    assert not await world.rows(work_item)


async def test_the_half_adds_code_serves_the_whole_add(world: World) -> None:
    await world.add(change_type="add_half_external_contact")
    world.clock.advance(minutes=5)
    await world.add(WelcomeCode="")
    assert len(world.wecom.called(SEND)) == 1
    names = [row.name for row in await world.rows(event)]
    assert (names.count("contact.added"), names.count("contact.confirmed")) == (1, 1)
    # Nor does the doctor miss a code that was never to come.
    adds = await world.services.db.read(count_adds, world.clock.now() - timedelta(days=1))
    assert (adds.all, adds.without_code) == (1, 0)
    await world.add("wmOther", WelcomeCode="")
    adds = await world.services.db.read(count_adds, world.clock.now() - timedelta(days=1))
    assert (adds.all, adds.without_code) == (2, 1)


async def test_consent_brings_a_new_code_and_the_welcome_goes_out_after_all(world: World, wecom: Any) -> None:
    wecom.say(SEND, 41053)
    await world.add()
    world.clock.advance(minutes=1)
    await world.add(change_type="msg_audit_approved", WelcomeCode="after-consent")
    outcomes = [row.outcome for row in await world.rows(send, send.c.kind == "welcome")]
    assert sorted(outcomes) == ["failed", "sent"]
    assert len(await world.rows(coupon_issue)) == 1


async def test_a_killed_process_goes_on_with_the_welcome_and_learns_that_it_was_sent(world: World) -> None:
    """Between intent and outcome: the row says intent, WeCom says 41051."""
    await world.add()
    row = await the_send(world)
    await world.services.db.write(lambda conn: conn.execute(send.update().values(outcome="intent", sent_at=None)))
    from scrm.callbacks import replay
    from scrm.callbacks.models import inbox_event

    (kept,) = await world.rows(inbox_event)
    await world.services.db.write(replay.run_again, kept.id, now=world.clock.now())
    await world.settle()
    assert world.wecom.used_codes == {f"code-{XIAOMAN}-lina": 2}
    after = await the_send(world)
    assert (after.id, after.outcome, after.errcode) == (row.id, "sent", 41051)
    assert len(await world.rows(coupon_issue)) == 1
    assert len(await world.rows(event, event.c.name == "contact.added")) == 1


async def test_a_phone_in_the_remark_becomes_an_identity_that_nobody_can_read_in_the_table(world: World) -> None:
    world.wecom.add_contact(XIAOMAN, "小满", "lina", follow={"remark_mobiles": ["138 0013 6620"]})
    await world.add()
    (phone,) = await world.rows(identity, identity.c.kind == "mobile_e164")
    assert phone.mask == "138****6620"
    assert "13800136620" not in str(dict(phone._mapping))
    assert world.services.vault.open(phone.sealed) == "+8613800136620"


async def test_an_old_event_is_tried_once_because_clocks_differ(world: World, wecom: Any) -> None:
    wecom.say(SEND, 41050)
    xml = fake.event_xml(
        "add_external_contact",
        created_at=int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()),
        UserID="lina",
        ExternalUserID=XIAOMAN,
        WelcomeCode="old",
    )
    await world.tell(xml)
    await world.settle()
    assert len(world.wecom.called(SEND)) == 1
    assert (await the_send(world)).outcome == "too_late"


class Answers:
    """Welcome answers for a WeCom whose clock goes on while it keeps us waiting."""

    def __init__(self, world: World, *codes: int) -> None:
        self.world, self.codes = world, list(codes)

    def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        self.world.clock.advance(seconds=6)
        return {"errcode": self.codes.pop(0), "errmsg": ""}


async def test_a_busy_wecom_is_asked_again_while_the_code_lives_and_not_after(world: World, wecom: Any) -> None:
    answers = Answers(world, -1, 45009, 45033, -1, -1)
    wecom.say(SEND, *[answers] * 5)
    sending = asyncio.create_task(world.add())
    while not sending.done():
        world.clock.advance(seconds=0.2)
        await asyncio.sleep(0.01)
    await sending
    row = await the_send(world)
    assert 2 <= len(world.wecom.called(SEND)) <= 4
    assert row.outcome == "failed"
    assert "自动重试" not in row.reason


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_clock_two_hours_off_costs_no_welcome_and_keeps_nobody_trying(
    world: World, wecom: Any, hours: int
) -> None:
    """The life of a code is counted from its arrival when the clocks disagree."""

    async def add(code: str, *codes: int) -> int:
        answers = Answers(world, *codes)
        wecom.say(SEND, *[answers] * len(codes))
        before = len(world.wecom.called(SEND))
        made = int((world.clock.now() + timedelta(hours=hours)).timestamp())
        whom = XIAOMAN if code == "first" else ANING
        fields = {"UserID": "lina", "ExternalUserID": whom, "WelcomeCode": code}
        await world.tell(fake.event_xml("add_external_contact", created_at=made, **fields))
        sending = asyncio.create_task(world.settle())
        while not sending.done():
            world.clock.advance(seconds=0.2)
            await asyncio.sleep(0.01)
        await sending
        return len(world.wecom.called(SEND)) - before

    assert await add("first", -1, 0) == 2
    assert (await the_send(world)).outcome == "sent"
    assert 2 <= await add("second", *[-1] * 5) <= 4


async def test_a_token_that_another_process_replaced_does_not_cost_the_welcome(world: World, wecom: Any) -> None:
    wecom.say(SEND, 40014, 40014)
    sending = asyncio.create_task(world.add())
    while not sending.done():
        world.clock.advance(seconds=0.2)
        await asyncio.sleep(0.01)
    await sending
    assert (await the_send(world)).outcome == "sent"


async def test_one_members_slow_welcome_does_not_hold_up_another_members(world: World) -> None:
    """Two adds of one customer, two members, two codes: both are claimed at once."""
    created_at = int(world.clock.now().timestamp())
    for userid, code in (("lina", "A"), ("wanghao", "B")):
        fields = {"UserID": userid, "ExternalUserID": XIAOMAN, "WelcomeCode": code}
        await world.tell(fake.event_xml("add_external_contact", created_at=created_at, **fields))
    claimed = await world.services.db.write(queue.claim, "welcome", now=world.clock.now())
    assert len(claimed) == 2


async def test_a_member_whose_name_is_unknown_yet_introduces_themselves_decently(world: World) -> None:
    await world.add()
    (call,) = world.wecom.called(SEND)
    assert "我是晴屿美妆的顾问" in call["text"]["content"]
    await world.add(ANING)
    assert "我是晴屿美妆的Lina" in world.wecom.called(SEND)[1]["text"]["content"]


async def test_a_channels_own_words_go_before_the_playbooks_and_the_coupon_still_comes(world: World) -> None:
    def plan(conn: Connection) -> None:
        save_contact_way(conn, "live-1111", title="直播间", kind="直播", userids=["lina"], now=world.clock.now())
        night = {"start": "22:00", "end": "09:00", "text": "我们明早 9 点回复您"}
        words = {"welcome": "{{ nickname }}，直播间的朋友您好", "welcomes": [night]}
        conn.execute(update(contact_way).where(contact_way.c.state == "live-1111").values(plan=words))

    await world.services.db.write(plan)
    await world.add(State="live-1111")
    world.clock.advance(hours=14)
    await world.add(ANING, State="live-1111")
    by_day, by_night = world.wecom.called(SEND)
    assert by_day["text"]["content"] == "小满，直播间的朋友您好"
    assert by_night["text"]["content"] == "我们明早 9 点回复您"
    assert [part["msgtype"] for part in by_day["attachments"]] == ["link"]


async def test_a_channels_own_words_need_no_playbook() -> None:
    assert say_as_channel(None, "") is None
    chosen = say_as_channel(None, "您好")
    assert chosen is not None
    assert (chosen.playbook_key, chosen.step.content) == ("", Content("您好"))


async def test_a_process_killed_before_the_welcome_leaves_it_to_the_next_which_says_it_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed_before(monkeypatch, SEND):
        await world.add()
    assert world.wecom.used_codes == {}
    await revive(world.services)
    await world.pass_time(seconds=5)
    assert world.wecom.used_codes == {f"code-{XIAOMAN}-lina": 1}
    assert (await the_send(world)).outcome == "sent"
    assert len(await world.rows(coupon_issue)) == 1
