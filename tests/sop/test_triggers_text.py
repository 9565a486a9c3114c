"""Triggers as authors write them: what is read, and what is said about what cannot be."""

from datetime import UTC, datetime, timedelta

import pytest

from scrm.events import Event
from scrm.sop.schema import Goal, Playbook, Trigger
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import PlaybookErrors
from scrm.sop.triggers import index, started_by

TEXT = """
playbook: some
title: 某个流程
trigger: {trigger}
run_key: {run_key}
reentry: never
exit_if: none
goal: none
steps:
  - {{id: soon, at: "{at}", channel: X, do: [{{set: {{stage: 老客}}}}]}}
  - {{id: later, at: D+5, channel: X, do: [{{set: {{stage: 老客}}}}]}}
"""


def read(trigger: str, run_key: str = "person", at: str = "T0") -> Playbook:
    return parse_playbook(TEXT.format(trigger=trigger, run_key=run_key, at=at), file_name="some.yaml")


@pytest.mark.parametrize(
    ("text", "at", "trigger"),
    [
        ("{event: refund.opened}", "T0", Trigger("refund.opened")),
        ("{event: custom.trial, where: {shop: [静安]}}", "T0", Trigger("custom.trial", {"shop": ("静安",)})),
        ("{event: review.received, where: {rating: [1, 2]}}", "T0", Trigger("product.reviewed", {"rating": (1, 2)})),
        ("{event: identity.merged}", "T0", Trigger("person.merged")),
        (
            "{event: date.reached, date: birthday}",
            "D-7",
            Trigger("date.reached", date="birthday", yearly=True, lead=7),
        ),
        (
            "{event: date.reached, date: field.宝宝生日, lunar: true, yearly: true}",
            "D+0",
            Trigger("date.reached", date="field.宝宝生日", lunar=True, yearly=True),
        ),
        (
            "{event: date.reached, date: field.宝宝生日, lunar: true}",
            "D+0",
            Trigger("date.reached", date="field.宝宝生日", lunar=True, yearly=True),
        ),
        ("{event: date.reached, date: level.ends}", "D-30", Trigger("date.reached", date="level.ends", lead=30)),
        (
            '{event: schedule.due, cron: "0  10 * * MON", segment: vip}',
            "T0",
            Trigger("schedule.due", cron="0 10 * * mon", segment="vip"),
        ),
    ],
)
def test_a_trigger_is_read(text: str, at: str, trigger: Trigger) -> None:
    assert read(text, at=at).trigger == trigger


@pytest.mark.parametrize(
    ("text", "run_key", "words"),
    [
        ("{event: order.payed}", "person", "是不是想写 order.paid"),
        ("{event: task.sent}", "person", "不能开始剧本，只能用在条件里"),
        ("{where: {channel: [jd]}}", "person", "trigger 缺少 event"),
        ("{event: order.paid, date: birthday}", "person", "trigger 的 date 不能和 order.paid 一起用"),
        ("{event: points.expiring, where: {reason: [x]}}", "person", "没有可以筛选的内容"),
        ("{event: date.reached}", "person", "date.reached 缺少 date：birthday（生日）"),
        ("{event: date.reached, date: wedding}", "person", "date 写的是“wedding”，应为 birthday（生日）"),
        ("{event: date.reached, date: contact.added, lunar: true}", "person", "contact.added 没有农历"),
        ("{event: date.reached, date: birthday, lunar: 是}", "person", "lunar 只能是 true 或 false"),
        ("{event: date.reached, date: birthday, lunar: true, yearly: false}", "person", "农历日期每年才有意义"),
        ("{event: schedule.due, segment: vip}", "person", "schedule.due 缺少 cron"),
        ('{event: schedule.due, cron: "0 10 * * 1"}', "person", "schedule.due 缺少 segment"),
        ('{event: schedule.due, cron: "* * * * *", segment: vip}', "person", "最多每小时一次"),
        (
            "{event: contact.added}",
            "order",
            "没有 order（同一笔订单），run_key 可以写 person（同一位客户）、person+year",
        ),
        ("{event: order.paid}", "live", "触发事件 order.paid 没有 live"),
    ],
)
def test_authors_are_told_what_to_mend(text: str, run_key: str, words: str) -> None:
    with pytest.raises(PlaybookErrors) as errors:
        read(text, run_key)
    assert words in str(errors.value)


def with_goal(goal: str) -> Playbook:
    text = TEXT.format(trigger="{event: order.paid}", run_key="person", at="T0").replace("goal: none", f"goal: {goal}")
    return parse_playbook(text + "owner_role: 运营\n", file_name="some.yaml")


def test_a_goal_may_be_an_event_of_the_shops_own_with_its_own_time_for_credit() -> None:
    playbook = with_goal("{event: custom.bought, within: 7d, credit: last_touch_5d}")
    assert playbook.goal == Goal("custom.bought", timedelta(days=7), timedelta(days=5))
    assert playbook.owner_role == "运营"


def test_a_goal_may_be_narrowed_as_triggers_are() -> None:
    assert with_goal("{event: order.paid, where: {sku: [A1, A2]}}").goal == Goal(
        "order.paid", where={"sku": ("A1", "A2")}
    )


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ("{event: order.paid, where: {colour: red}}", "colour"),
        ("{event: order.payed}", "goal 的 event 不认识“order.payed”，是不是想写 order.paid"),
        ("{event: custom.Bought}", "自有事件写成 custom. 加小写字母开头的名称"),
    ],
)
def test_a_goal_that_is_no_event_is_told_with_what_is_like_it(goal: str, said: str) -> None:
    with pytest.raises(PlaybookErrors) as refused:
        with_goal(goal)
    assert said in str(refused.value)


def test_of_several_that_may_greet_the_one_that_does_enters_first() -> None:
    greeting = TEXT.replace(
        'at: "{at}", channel: X, do: [{{set: {{stage: 老客}}}}]', "at: T0, channel: W, content: {{text: 您好}}"
    )
    plain, narrow = (
        parse_playbook(
            greeting.replace("playbook: some", f"playbook: {key}").format(trigger=trigger, run_key="person"),
            file_name=f"{key}.yaml",
        )
        for key, trigger in (
            ("a-plain", "{event: contact.added}"),
            ("z-narrow", "{event: contact.added, where: {channel.kind: 直播}}"),
        )
    )
    quiet = read("{event: contact.added}")
    event = Event("contact.added", datetime(2026, 3, 1, tzinfo=UTC), 1, facts={"channel.kind": "直播"})
    found = started_by(index([quiet, plain, narrow]), event)
    assert [each.key for each in found] == ["z-narrow", "a-plain", "some"]
