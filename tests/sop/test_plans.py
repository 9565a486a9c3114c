"""Plans: what groups and moments get on which day, once, confirmed by their owners."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, update

from scrm.group_chats.models import group_chat, group_chat_member, group_chat_tag
from scrm.mass_messages import dispatch
from scrm.mass_messages import plan as mass_plan
from scrm.mass_messages.models import mass_message, mass_message_part, mass_message_target
from scrm.moments import publish as moments
from scrm.moments.models import moment
from scrm.profiles.models import corp_tag, member
from scrm.sop import group_ends
from scrm.sop.members.notice_tables import notice
from scrm.sop.models import step_run
from scrm.sop.plans import carry_out, store
from scrm.sop.plans.calendar import Target, fall_due, without_doubles
from scrm.sop.plans.models import plan_claim
from scrm.sop.plans.parse import parse_plan
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import PlaybookErrors
from tests.fakes.clock import FakeClock
from tests.fakes.deaths import killed_after, killed_before, revive
from tests.fakes.wecom import FakeWeCom
from tests.sop.shop import EXECUTORS, Content, Shop, Trigger, at, open_shop, playbook_of, step

# What only runs through statements that other tests run on both.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SHANGHAI = ZoneInfo("Asia/Shanghai")

SEVEN_DAYS = """
plan: group-7-days
title: 新人 7 日
kind: group
to: {tags: [福利群]}
start: created
skip: [2026-03-05]
items:
  - {id: guide, day: D+1, at: "10:00", ttl: 4h, content: {text: 新手指南}}
  - {id: vote, day: D+2, at: "12:30", ttl: 4h, content: {text: 投票：想要哪款}}
  - {id: gift, day: D+3, at: "20:00", ttl: 2h, dedupe: true, content: {text: 领券}}
  - {id: monday, on: [mon, 周四], at: "09:00", ttl: 3h, content: {text: 本周上新}}
"""
MOMENTS = """
plan: daily-moments
title: 每日朋友圈
kind: moment
to: {members: [lina], tags: [老客]}
items:
  - {id: tip, on: daily, at: "08:30", ttl: 4h, content: {text: 早安小贴士}}
"""


def local(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}:00+08:00").astimezone(UTC)


def falling(text: str, since: str, until: str, created: str = "03-02 15:00", **more: Any) -> list[str]:
    """What falls due, as "guide 03-03 10:00" or with why it is skipped."""
    group = Target("g1", "lina", "群一", local(created))
    found = fall_due(parse_plan(text), [group], local(since), local(until), SHANGHAI, **more)
    return [
        f"{one.item.id} {one.due_at.astimezone(SHANGHAI):%m-%d %H:%M}{f' {one.skipped}' if one.skipped else ''}"
        for one in found
    ]


# The calendar ---------------------------------------------------------------------------------------------------------


def test_days_are_counted_from_each_groups_own_first_day_and_the_rhythm_comes_after_them() -> None:
    assert falling(SEVEN_DAYS, "03-03 09:00", "03-03 10:00") == ["guide 03-03 10:00"]
    assert falling(SEVEN_DAYS, "03-03 10:00", "03-04 12:30") == ["vote 03-04 12:30"]
    # Monday the 9th is the first Monday after D+3.
    assert falling(SEVEN_DAYS, "03-05 21:00", "03-09 09:00") == ["monday 03-09 09:00"]


def test_an_end_belongs_to_one_look_only() -> None:
    assert falling(SEVEN_DAYS, "03-03 10:00", "03-03 10:01") == []


def test_what_is_late_beyond_its_ttl_is_skipped_and_so_are_days_off() -> None:
    late = falling(SEVEN_DAYS, "03-03 00:00", "03-04 13:00")
    assert late == ["guide 03-03 10:00 晚了 27 小时，超过有效期，不再发送", "vote 03-04 12:30"]
    assert falling(SEVEN_DAYS, "03-05 19:00", "03-05 20:00") == ["gift 03-05 20:00 计划里写明这天不发"]
    off = {date(2026, 3, 4): "哀悼日"}
    assert falling(SEVEN_DAYS, "03-04 12:00", "03-04 12:30", days_off=off) == ["vote 03-04 12:30 停发日：哀悼日"]


def test_holidays_are_days_of_rest() -> None:
    text = SEVEN_DAYS.replace("[2026-03-05]", "[restdays]").replace("start: created", "start: 2026-10-01")
    assert falling(text, "10-02 09:00", "10-02 10:00") == ["guide 10-02 10:00 休息日不发"]


def test_a_group_whose_customers_are_in_other_groups_is_left_out() -> None:
    people = {"big": set("abcdef"), "same": set("abcde"), "other": set("xyz"), "empty": set()}
    assert without_doubles(people) == {"same"}
    assert without_doubles({"late": set("ab"), "old": set("abc")}, ["old"]) == {"late"}


WRONG = [
    ("kind: group", "kind: radio", "kind 只能是"),
    ("start: created", "start: created\ndeputies: {lina: LINA}", "不能是自己的代理人"),
    ("start: created", "start: created\ndeputies: wuhao", "员工账号: 代理人账号"),
    ("to: {tags: [福利群]}", "to: {}", "all: true"),
    ("day: D+1", "day: 1", "D+0"),
    ("day: D+1", "date: 3月", "日期"),
    ("day: D+1, ", "", "三选一"),
    ('at: "10:00"', "at: 10", "几点几分"),
    ("ttl: 4h, content: {text: 新手指南}", "content: {text: 新手指南}", "ttl"),
    ("text: 新手指南", 'text: "{{ nickname }} 你好"', "不能用变量"),
    ("text: 新手指南", 'text: "{% if %} 你好"', "{{ }} 或 {% %} 写法不对"),
    (
        "text: 新手指南",
        'attachments: [{link: {title: "给{{ nickname }}", url: "https://example.com"}}]',
        "不能用变量 nickname",
    ),
    ("{text: 新手指南}", "{text: 看, attachments: [{coupon: a}]}", "每人一张的券"),
    ("id: vote", "id: guide", "用了两次"),
    ("on: [mon, 周四]", "on: [noday]", "on 要写"),
    ("kind: group\n", "kind: moment\n", "owners"),
]


@pytest.mark.parametrize(("old", "new", "words"), WRONG)
def test_an_author_reads_what_is_wrong(old: str, new: str, words: str) -> None:
    assert old in SEVEN_DAYS
    text = SEVEN_DAYS.replace(old, new, 1)
    if words == "owners":
        text = text.replace("tags: [福利群]", "owners: [lina]")
    with pytest.raises(PlaybookErrors) as refused:
        parse_plan(text)
    assert words in str(refused.value)


def test_four_items_on_one_day_are_too_many() -> None:
    item = '  - {id: ITEM, day: D+1, at: "15:00", ttl: 1h, content: {text: 又一条}}\n'
    with pytest.raises(PlaybookErrors, match="最多 3 条"):
        parse_plan(SEVEN_DAYS + "".join(item.replace("ITEM", name) for name in ("a", "b", "c")))


# Carried out ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def shop(database_url: str, clock: FakeClock, wecom: FakeWeCom) -> AsyncIterator[Shop]:
    async with open_shop(database_url, clock, wecom) as shop:
        executors = {
            **EXECUTORS,
            **group_ends.EXECUTORS,
            mass_plan.PREPARE: mass_plan.run_prepare,
            mass_plan.CREATE: dispatch.run_create,
            moments.KIND: moments.run_create,
        }
        shop.services.worker.prepare(shop.services, executors)
        yield shop


async def group(shop: Shop, chat_id: str, owner: str, *people: str, tag: str = "福利群") -> None:
    def save(conn: Any) -> None:
        now = shop.clock.now()
        conn.execute(insert(group_chat).values(chat_id=chat_id, name=f"群 {chat_id}", owner=owner, created_at=now))
        conn.execute(insert(group_chat_tag).values(chat_id=chat_id, name=tag))
        for each in people:
            conn.execute(insert(group_chat_member).values(chat_id=chat_id, userid=each, type=2, joined_at=now))

    await shop.services.db.write(save)


async def publish(shop: Shop, text: str) -> None:
    await shop.services.db.write(store.publish, parse_plan(text), by="boss", now=shop.clock.now())


async def look(shop: Shop, until: str = "") -> list[tuple[str, str, str]]:
    """The tick at that time; (item, group, state) of everything so far."""
    if until:
        shop.clock.advance(seconds=(at(until) - shop.clock.now()).total_seconds())
    while await carry_out.tick(shop.services) + await shop.services.worker.drain():
        pass
    return [(row.item_id, row.target, row.state) for row in await shop.rows(plan_claim)]


async def test_groups_get_an_item_once_as_one_message_with_a_part_for_each_owner(shop: Shop) -> None:
    for chat_id, owner in (("g1", "lina"), ("g2", "zoe"), ("g3", "lina")):
        await group(shop, chat_id, owner)
    await group(shop, "else", "lina", tag="别的")
    await publish(shop, SEVEN_DAYS)
    assert await look(shop, "03-03 09:59") == []
    shop.wecom.say("externalcontact/add_msg_template", {"msgid": "A"}, {"msgid": "B"})
    expected = [("guide", chat_id, "released") for chat_id in ("g1", "g2", "g3")]
    assert await look(shop, "03-03 10:00") == expected
    calls = shop.wecom.called("externalcontact/add_msg_template")
    assert {(call["sender"], tuple(call["chat_id_list"])) for call in calls} == {
        ("lina", ("g1", "g3")),
        ("zoe", ("g2",)),
    }
    assert [row.title for row in await shop.rows(mass_message)] == ["新人 7 日 · guide"]
    # A plan that is published anew, a second tick and a clock that jumps back change nothing.
    await publish(shop, SEVEN_DAYS.replace('"10:00"', '"10:30"'))
    assert await look(shop, "03-03 10:31") == expected
    assert len(shop.wecom.called("externalcontact/add_msg_template")) == 2


async def test_results_come_to_the_claims_and_what_nobody_confirms_is_stopped(shop: Shop) -> None:
    await group(shop, "g1", "lina")
    await group(shop, "g2", "zoe")
    await publish(shop, SEVEN_DAYS)
    shop.wecom.say("externalcontact/add_msg_template", {"msgid": "A"}, {"msgid": "B"})
    await look(shop, "03-03 10:00")
    await shop.services.db.write(
        lambda conn: (
            conn.execute(update(mass_message_target).where(mass_message_target.c.target == "g1").values(state="sent"))
            and None
        )
    )
    assert await look(shop, "03-03 10:05") == [("guide", "g1", "done"), ("guide", "g2", "released")]
    assert await look(shop, "03-03 14:01") == [("guide", "g1", "done"), ("guide", "g2", "expired")]
    assert len(shop.wecom.called("externalcontact/cancel_groupmsg_send")) >= 1
    assert {row.state for row in await shop.rows(mass_message_part)} == {"cancelled"}


async def test_a_group_without_its_owner_and_a_double_group_are_skipped_in_words(shop: Shop) -> None:
    await group(shop, "big", "lina", "a", "b", "c")
    await group(shop, "same", "lina", "a", "b")
    await group(shop, "left", "gone", "x")
    await shop.services.db.write(
        lambda conn: conn.execute(insert(member).values(userid="gone", folded="gone", is_active=False)) and None
    )
    await publish(shop, SEVEN_DAYS.replace("skip: [2026-03-05]\n", ""))
    await look(shop, "03-05 19:59")
    shop.wecom.say("externalcontact/add_msg_template", {"msgid": "A"})
    await look(shop, "03-05 20:00")
    gifts = {row.target: (row.state, row.reason[:4]) for row in await shop.rows(plan_claim) if row.item_id == "gift"}
    assert gifts == {"big": ("released", ""), "same": ("skipped", "群去重："), "left": ("skipped", "群主已离")}


@on_sqlite
async def test_nothing_is_made_up_for_after_a_pause(shop: Shop) -> None:
    await group(shop, "g1", "lina")
    await publish(shop, SEVEN_DAYS)
    for state, until in (("paused", "03-04 13:00"), ("published", "03-04 13:01")):
        await shop.services.db.write(store.set_state, "group-7-days", state, by="boss", now=shop.clock.now())
        shop.clock.advance(seconds=(at(until) - shop.clock.now()).total_seconds())
        if state == "paused":
            assert await look(shop) == []
    await shop.services.db.write(store.set_state, "group-7-days", "paused", by="boss", now=shop.clock.now())
    await shop.services.db.write(store.set_state, "group-7-days", "published", by="boss", now=shop.clock.now())
    assert await look(shop, "03-04 14:00") == []


@on_sqlite
async def test_a_moment_goes_out_every_day_and_never_to_everybody_by_mistake(shop: Shop) -> None:
    await publish(shop, MOMENTS)
    await look(shop, "03-03 08:30")
    (lost,) = await shop.rows(plan_claim)
    assert (lost.state, lost.reason) == ("failed", "企业微信里没有标签“老客”，没有发表")
    await shop.services.db.write(
        lambda conn: (
            conn.execute(insert(corp_tag).values(tag_id="et1", tag_name="老客", group_id="g", group_name="组")) and None
        )
    )
    shop.wecom.say("externalcontact/add_moment_task", {"jobid": "J1"})
    await look(shop, "03-04 08:30")
    (call,) = shop.wecom.called("externalcontact/add_moment_task")
    assert call["text"] == {"content": "早安小贴士"}
    assert [row.tag_ids for row in await shop.rows(moment)] == [["et1"]]
    assert [row.occurrence for row in await shop.rows(plan_claim)] == ["2026-03-03", "2026-03-04"]


async def test_a_deputy_is_asked_once_for_an_owner_who_has_left_or_does_not_confirm(shop: Shop) -> None:
    for chat_id, owner in (("g1", "lina"), ("g2", "Zoe"), ("g3", "tom")):
        await group(shop, chat_id, owner)
    gone = {"userid": "Zoe", "folded": "zoe", "name": "佐伊", "is_active": False}
    await shop.services.db.write(lambda conn: conn.execute(insert(member).values(**gone)) and None)
    await publish(shop, SEVEN_DAYS.replace("start: created", "start: created\ndeputies: {lina: wuhao, zoe: wuhao}"))
    shop.wecom.say("externalcontact/add_msg_template", {"msgid": "A"}, {"msgid": "B"})
    await look(shop, "03-03 10:00")
    asked = [(row.userid, row.title, row.text) for row in await shop.rows(notice)]
    assert asked == [("wuhao", "请代佐伊在群“群 g2”里发：guide", "新手指南")]
    await look(shop, "03-03 11:59")
    assert len(await shop.rows(notice)) == 1
    await look(shop, "03-03 12:00")
    await look(shop, "03-03 12:30")
    asked = [(row.userid, row.title) for row in await shop.rows(notice)]
    assert asked[1:] == [("wuhao", "请代lina在群“群 g1”里发：guide")]


@on_sqlite
async def test_a_deputy_publishes_the_moments_of_who_has_left(shop: Shop) -> None:
    gone = {"userid": "lina", "folded": "lina", "name": "李娜", "is_active": False}
    tag = {"tag_id": "et1", "tag_name": "老客", "group_id": "g", "group_name": "组"}
    await shop.services.db.write(lambda conn: conn.execute(insert(member).values(**gone)) and None)
    await shop.services.db.write(lambda conn: conn.execute(insert(corp_tag).values(**tag)) and None)
    await publish(shop, MOMENTS + "deputies: {lina: wuhao}\n")
    await look(shop, "03-03 08:30")
    assert [row.userids for row in await shop.rows(moment)] == [["wuhao"]]


async def test_two_processes_claim_an_item_once(shop: Shop) -> None:
    await group(shop, "g1", "lina")
    await publish(shop, SEVEN_DAYS)
    shop.clock.advance(seconds=(at("03-03 10:00") - shop.clock.now()).total_seconds())
    db, now = shop.services.db, shop.clock.now()
    await db.write(carry_out.release, "group-7-days", SHANGHAI, now)
    await db.write(store.note_looked, "group-7-days", now - timedelta(hours=1))  # as one who looked before saw it
    assert await db.write(carry_out.release, "group-7-days", SHANGHAI, now) == 0
    assert len(await shop.rows(mass_message)) == 1


# Steps of a playbook --------------------------------------------------------------------------------------------------


@on_sqlite
async def test_a_step_speaks_into_the_group_once_a_day_however_many_join(shop: Shop) -> None:
    await group(shop, "g1", "lina")
    hello = step("hello", "T0+1h", "G", content=Content(text="欢迎新朋友"), ttl=timedelta(hours=2))
    await shop.run(playbook_of(hello, key="joiners", trigger=Trigger("group.joined")))
    for name in ("甲", "乙"):
        await shop.publish("group.joined", await shop.meet(name), key="g1", facts={"chat_id": "g1"})
    await shop.publish("group.joined", await shop.meet("丙"), key="gone", facts={"chat_id": "gone"})
    await shop.settle()
    shop.wecom.say("externalcontact/add_msg_template", {"msgid": "A"})
    await shop.pass_time(hours=1)
    (call,) = shop.wecom.called("externalcontact/add_msg_template")
    assert (call["sender"], call["chat_id_list"]) == ("lina", ["g1"])
    assert {(row.state, row.reason) for row in await shop.rows(step_run)} == {
        ("intent", ""),
        ("skipped", "这个群今天已经安排过这一条"),
        ("skipped", "客户加入的群已经解散，或找不到了"),
    }
    await shop.pass_time(hours=2)
    assert len(shop.wecom.called("externalcontact/cancel_groupmsg_send")) == 1
    # Whoever of the two was taken up first has brought it.
    ended = [(row.state, row.reason) for row in await shop.rows(step_run) if row.state != "skipped"]
    assert ended == [("dropped", "群主没有在有效期内确认，已过期")]


@on_sqlite
@pytest.mark.parametrize("killed", [killed_before, killed_after])
async def test_killed_around_the_call_a_group_step_is_made_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, killed: Any
) -> None:
    made: list[dict[str, Any]] = []

    def make(body: dict[str, Any]) -> dict[str, Any]:
        made.append({"msgid": "A", "create_time": int(shop.clock.now().timestamp()), "text": body["text"]})
        return {"msgid": "A", "fail_list": []}

    shop.wecom.always("externalcontact/add_msg_template", make)
    shop.wecom.always("externalcontact/get_groupmsg_list_v2", lambda _: {"group_msg_list": made})
    task_of_lina = {"task_list": [{"userid": "lina", "status": 0}]}
    shop.wecom.always("externalcontact/get_groupmsg_task", lambda _: task_of_lina)
    await group(shop, "g1", "lina")
    hello = step("hello", "T0+1h", "G", content=Content(text="欢迎新朋友"), ttl=timedelta(hours=8))
    await shop.run(playbook_of(hello, key="joiners", trigger=Trigger("group.joined")))
    await shop.publish("group.joined", await shop.meet("甲"), key="g1", facts={"chat_id": "g1"})
    await shop.settle()
    with killed(monkeypatch, "externalcontact/add_msg_template"):
        await shop.pass_time(hours=1)
    assert len(made) == (killed is killed_after)
    await revive(shop.services)
    for _ in range(6):
        await shop.pass_time(minutes=1)
    assert len(made) == 1
    (part,) = await shop.rows(mass_message_part)
    assert (part.state, part.msgid) == ("created", "A")
    change = update(mass_message_target).values(state="sent")
    await shop.services.db.write(lambda conn: conn.execute(change) and None)
    await shop.pass_time(minutes=6)
    assert [row.state for row in await shop.rows(step_run)] == ["done"]


@on_sqlite
@pytest.mark.parametrize(("killed", "answer", "calls"), [(killed_before, 0, 1), (killed_after, 41093, 2)])
async def test_killed_around_the_call_a_group_step_whose_time_is_over_is_still_stopped(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, killed: Any, answer: int, calls: int
) -> None:
    cancel = "externalcontact/cancel_groupmsg_send"
    await group(shop, "g1", "lina")
    hello = step("hello", "T0+1h", "G", content=Content(text="欢迎新朋友"), ttl=timedelta(hours=2))
    await shop.run(playbook_of(hello, key="joiners", trigger=Trigger("group.joined")))
    await shop.publish("group.joined", await shop.meet("甲"), key="g1", facts={"chat_id": "g1"})
    await shop.settle()
    shop.wecom.say("externalcontact/add_msg_template", {"msgid": "A"})
    await shop.pass_time(hours=1)
    with killed(monkeypatch, cancel):
        await shop.pass_time(hours=2)
    await revive(shop.services)
    shop.wecom.say(cancel, answer)
    await shop.pass_time(minutes=6)
    assert len(shop.wecom.called(cancel)) == calls
    assert [(row.state, row.reason) for row in await shop.rows(step_run)] == [
        ("dropped", "群主没有在有效期内确认，已过期")
    ]


@on_sqlite
@pytest.mark.parametrize(
    ("became", "state", "reason"), [("sent", "done", ""), ("capped", "failed", "企业微信：本群已收满")]
)
async def test_what_became_of_a_group_step_is_known_before_its_time_is_over(
    shop: Shop, became: str, state: str, reason: str
) -> None:
    await group(shop, "g1", "lina")
    hello = step("hello", "T0+1h", "G", content=Content(text="欢迎新朋友"), ttl=timedelta(hours=8))
    await shop.run(playbook_of(hello, key="joiners", trigger=Trigger("group.joined")))
    await shop.publish("group.joined", await shop.meet("甲"), key="g1", facts={"chat_id": "g1"})
    await shop.settle()
    shop.wecom.say("externalcontact/add_msg_template", {"msgid": "A"})
    await shop.pass_time(hours=1)
    await shop.pass_time(minutes=6)
    assert (await shop.rows(step_run))[0].state == "intent"
    change = update(mass_message_target).values(state=became)
    await shop.services.db.write(lambda conn: conn.execute(change) and None)
    await shop.pass_time(minutes=6)
    (row,) = await shop.rows(step_run)
    assert (row.state, row.reason) == (state, reason)
    assert shop.wecom.called("externalcontact/cancel_groupmsg_send") == []


@pytest.mark.parametrize(
    ("letter", "event", "words"),
    [("G", "contact.added", "只能用在 group.joined"), ("G", "group.joined", ""), ("P", "group.joined", "kind: moment")],
)
def test_groups_and_moments_stand_in_playbooks_only_where_a_run_has_a_group(
    letter: str, event: str, words: str
) -> None:
    text = f"""
playbook: groups
title: 群
trigger: {{event: {event}}}
run_key: person
reentry: never
exit_if: none
goal: none
steps:
  - {{id: hello, at: T0+1h, channel: {letter}, late: drop, ttl: 2h, content: {{text: 欢迎}}}}
"""
    if not words:
        assert parse_playbook(text, file_name="groups.yaml").step("hello") is not None
        return
    with pytest.raises(PlaybookErrors, match=words):
        parse_playbook(text, file_name="groups.yaml")
