"""Branches, splits and waits: which way a run goes, and what its times are counted from afterwards."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from scrm.sop.models import step_run
from scrm.sop.schema import Fork, Jump, Playbook
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import PlaybookErrors
from tests.sop.shop import Shop, at

HEAD = """
playbook: ways
title: 分岔
trigger: {event: contact.added}
run_key: person
reentry: never
exit_if: none
goal: none
holdout: 0%
guards: {cap: none}
steps:
"""


def book(steps: str) -> Playbook:
    return replace(parse_playbook(HEAD + steps, file_name="ways.yaml"), version=1)


def task(step_id: str, when: str) -> str:
    return f"{{id: {step_id}, at: {when}, channel: T, late: defer, ttl: 24h, content: {{text: {step_id}}}}}"


BRANCH = f"""
  - {task("first", "T0+1h")}
  - id: value
    branch:
      - name: 老客
        if: {{field: person.paid_orders, op: gte, value: 3}}
        steps:
          - {task("vip", "T0+2h")}
      - name: 买过
        if: {{field: person.paid_orders, op: gte, value: 1}}
        steps: []
      - else:
          - {task("lead", "T0+3h")}
          - {task("lead2", "T0+4h")}
  - {task("last", "T0+30h")}
"""


@pytest.mark.parametrize(
    ("orders", "way", "steps"),
    [
        (3, "老客", ["first", "vip", "last"]),
        (1, "买过", ["first", "last"]),
        (0, "其他", ["first", "lead", "lead2", "last"]),
    ],
)
async def test_a_run_goes_down_the_first_arm_that_holds_and_all_arms_meet_again(
    shop: Shop, orders: int, way: str, steps: list[str]
) -> None:
    await shop.run(book(BRANCH))
    who = await shop.add()
    await shop.set_stat(who, paid_orders=orders)
    await shop.pass_until("03-04 12:00")
    (run,) = await shop.runs()
    assert run.arms == {"value": way}
    assert [row.step_id for row in await shop.rows(step_run)] == steps


async def test_a_split_sends_each_share_its_way_and_the_same_person_always_the_same(shop: Shop) -> None:
    split = f"""
  - id: half
    split:
      - {{name: A, share: 70%, steps: [{task("a", "T0+1h")}]}}
      - {{name: B, share: 30%, steps: []}}
"""
    await shop.run(book(split))
    for _ in range(60):
        await shop.add()
    await shop.pass_time(hours=1)
    await shop.settle()
    went = Counter(run.arms["half"] for run in await shop.runs())
    assert went["A"] + went["B"] == 60
    assert 30 < went["A"] < 55
    assert len(await shop.tasks()) == went["A"]


async def test_who_comes_again_goes_the_same_way_and_is_told_the_same_words(shop: Shop) -> None:
    """With another order, and after a join under another number: the way is the person's, not the run's."""
    ways = """
  - id: half
    split: [{name: A, share: 50%, steps: []}, {name: B, share: 50%, steps: []}]
  - id: ask
    at: T0
    channel: T
    late: defer
    ttl: 24h
    content: {variants: [{name: A, share: 50%, text: 甲}, {name: B, share: 50%, text: 乙}]}
"""
    text = HEAD.replace("contact.added", "order.paid").replace("run_key: person", "run_key: order")
    await shop.run(replace(parse_playbook(text + ways, file_name="ways.yaml"), version=1))
    people = [await shop.meet() for _ in range(10)]
    for number in range(3):
        for who in people:
            await shop.happens("order.paid", who, key=f"{who.person_id}-{number}")
        await shop.pass_time(days=1)
    taken = {(run.person_id, run.arms["half"]) for run in await shop.runs()}
    told = {(row.person_id, row.text) for row in await shop.tasks()}
    assert len(taken) == len(told) == 10
    assert len(await shop.tasks()) == 30
    assert len({way for _, way in taken}) == len({words for _, words in told}) == 2


WAIT = f"""
  - wait: {{id: paid, event: order.paid, timeout: 3d, on_timeout: next}}
  - {task("after", "T0+2h")}
"""


async def test_a_wait_goes_on_with_its_event_and_counts_anew_from_there(shop: Shop) -> None:
    await shop.run(book(WAIT))
    who = await shop.add()
    await shop.pass_time(hours=1)
    await shop.happens("order.paid", who, key="taobao/shop/1")
    (run,) = await shop.runs()
    assert (run.arms, run.due_at) == ({"paid": "等到了"}, at("03-02 13:00"))
    await shop.pass_until("03-02 13:00")
    assert [row.step_id for row in await shop.tasks()] == ["after"]


async def test_a_wait_is_over_when_its_time_is_and_counts_anew_from_there(shop: Shop) -> None:
    await shop.run(book(WAIT))
    await shop.add()
    await shop.pass_until("03-05 10:00")
    (run,) = await shop.runs()
    assert (run.arms, run.due_at) == ({"paid": "没等到"}, at("03-05 12:00"))


async def test_an_event_that_came_before_the_wait_does_not_end_it(shop: Shop) -> None:
    await shop.run(book(f"\n  - {task('first', 'T0+2h')}{WAIT}"))
    who = await shop.add()
    await shop.pass_time(hours=1)
    await shop.happens("order.paid", who, key="taobao/shop/1")
    await shop.pass_until("03-02 12:00")
    (run,) = await shop.runs()
    assert (run.awaits, run.arms) == ("order.paid", {})
    await shop.pass_until("03-05 12:00")
    (run,) = await shop.runs()
    assert run.arms == {"paid": "没等到"}


async def test_a_run_of_one_order_looks_back_for_what_has_come_to_it_already(shop: Shop) -> None:
    text = HEAD.replace("contact.added", "order.shipped").replace("run_key: person", "run_key: order")
    wait = f"""
  - {task("first", "T0+2h")}
  - wait: {{id: there, event: order.delivered, timeout: 10d, on_timeout: next}}
  - {task("after", "T0+1h")}
"""
    playbook = replace(parse_playbook(text.replace("never", "per_key") + wait, file_name="x"), version=1)
    await shop.run(replace(playbook, priority="P1"))
    who = await shop.meet()
    for number in (1, 2):
        await shop.happens("order.shipped", who, key=f"taobao/shop/{number}")
    await shop.pass_time(hours=1)
    await shop.happens("order.delivered", who, key="taobao/shop/1")  # before its run comes to the wait
    await shop.pass_until("03-02 15:00")
    first, second = await shop.runs()
    assert (first.arms, first.awaits) == ({"there": "等到了"}, "")
    assert (second.arms, second.awaits) == ({}, "order.delivered")
    assert second.due_at - second.enrolled_at > timedelta(days=10)
    await shop.happens("order.delivered", who, key="taobao/shop/2")
    assert [run.arms for run in await shop.runs()] == [{"there": "等到了"}] * 2


async def test_an_event_told_late_still_counts_when_the_time_is_over(shop: Shop) -> None:
    """Its callback came after the tick had closed the wait's time, but it happened within it."""
    await shop.run(book(WAIT))
    who = await shop.add()
    await shop.publish("order.paid", who, key="taobao/shop/1", occurred_at=at("03-03 10:00"))
    shop.clock.advance(days=3)
    await shop.tick()
    (run,) = await shop.runs()
    assert run.arms == {"paid": "等到了"}


async def test_a_wait_may_end_the_run_or_do_something_else_instead(shop: Shop) -> None:
    ends = "\n  - wait: {id: paid, event: order.paid, timeout: 1d, on_timeout: end}\n  - " + task("after", "T0")
    await shop.run(book(ends))
    await shop.add()
    await shop.pass_until("03-03 10:00")
    (run,) = await shop.runs()
    assert (run.state, run.ended_reason) == ("exited", "等待超时，流程结束")
    assert await shop.tasks() == []


async def test_a_wait_has_steps_for_who_came_and_for_who_did_not(shop: Shop) -> None:
    both = f"""
  - wait:
      id: paid
      event: order.paid
      timeout: 1d
      then: [{task("thanks", "T0")}]
      on_timeout: [{task("ask", "T0")}]
  - {task("last", "T0+3h")}
"""
    await shop.run(book(both))
    came, stayed = await shop.add(), await shop.add()
    await shop.happens("order.paid", came, key="taobao/shop/1")
    await shop.pass_until("03-03 14:00")
    told = {(row.person_id, row.step_id) for row in await shop.tasks()}
    assert told == {
        (came.person_id, "thanks"),
        (came.person_id, "last"),
        (stayed.person_id, "ask"),
        (stayed.person_id, "last"),
    }


async def test_a_pause_without_an_event_only_takes_time(shop: Shop) -> None:
    await shop.run(book(f"\n  - wait: {{for: 5h}}\n  - {task('after', 'T0')}"))
    await shop.add()
    await shop.pass_until("03-02 14:59")
    assert await shop.tasks() == []
    await shop.pass_until("03-02 15:00")
    assert [row.step_id for row in await shop.tasks()] == ["after"]
    assert [run.arms for run in await shop.runs()] == [{}]


async def test_one_of_two_contents_is_said_and_the_step_remembers_which(shop: Shop) -> None:
    variants = """
  - id: ask
    at: T0
    channel: T
    late: defer
    ttl: 24h
    content: {variants: [{name: A, share: 50%, text: 甲}, {name: B, share: 50%, text: 乙}]}
"""
    await shop.run(book(variants))
    for _ in range(20):
        await shop.add()
    await shop.settle()
    said = {row.id: row.text for row in await shop.tasks()}
    variant = {"甲": "A", "乙": "B"}
    steps = {row.id: row.facts["variant"] for row in await shop.rows(step_run)}
    assert {variant[row.text] == steps[row.step_run_id] for row in await shop.tasks()} == {True}
    assert set(said.values()) == {"甲", "乙"}


def test_nested_arms_are_laid_flat_and_every_way_leads_to_the_end() -> None:
    nested = f"""
  - split:
      - name: A
        share: 50%
        steps:
          - branch:
              - {{name: 买过, if: {{field: person.paid_orders, op: gte, value: 1}}, steps: [{task("a", "T0")}]}}
              - else: []
      - {{name: B, share: 50%, steps: [{task("b", "T0")}, {task("c", "T0+1h")}]}}
  - {task("z", "T0+2h")}
"""
    playbook = book(nested)
    assert [step.id for step in playbook.steps] == ["a", "b", "c", "z"]

    def ways(index: int) -> list[list[str]]:
        node = playbook.node(index)
        if node is None:
            return [[]]
        if isinstance(node, Jump):
            return ways(node.target)
        if isinstance(node, Fork):
            return [way for target in node.targets for way in ways(target)]
        return [[node.id, *way] for way in ways(index + 1)]

    assert ways(0) == [["a", "z"], ["z"], ["b", "c", "z"]]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ("\n  - split: [{share: 50%, steps: []}, {share: 40%, steps: []}]", "加起来要等于 100%，现在是 90%"),
        ("\n  - split: [{share: 0.5, steps: []}]", "share 要写成百分比，例如 50%，写的是“0.5”"),
        ("\n  - branch: [{steps: []}]", "每个分支要写 if 和 steps"),
        ("\n  - branch: [{else: []}, {if: {flag: optout.all}, steps: []}]", "else 要写在最后"),
        ("\n  - wait: {event: order.paid, on_timeout: next}", "wait 要写 {event: order.paid, timeout: 3d"),
        ("\n  - wait: {event: order.paid, timeout: 3d}", "wait 缺少 on_timeout"),
        ("\n  - wait: {event: order.payed, timeout: 3d, on_timeout: next}", "order.payed"),
        (f"\n  - split: [{{share: 100%, steps: [{task('a', 'T0')}]}}]\n  - {task('a', 'T0')}", "“a”用了两次"),
        (f"\n  - {task('a', 'D+5')}\n  - branch: [{{else: [{task('b', 'D+1')}]}}]", "时间却更早"),
        ("\n  - {id: a, at: T0, channel: T, late: defer, ttl: 1h, content: {variants: []}}", "至少一项"),
    ],
)
def test_what_cannot_be_is_told_in_the_authors_words(steps: str, words: str) -> None:
    with pytest.raises(PlaybookErrors) as refused:
        book(steps)
    assert any(words in line for line in refused.value.lines), refused.value.lines
