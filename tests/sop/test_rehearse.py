"""What authors may write in the tests of a playbook, and that each of it is played as the engine would."""

from pathlib import Path
from typing import Any

import pytest

from scrm.sop.rehearsal.rehearse import run_test
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import Known

HEAD = """\
playbook: tried
title: 试一试
priority: {priority}
trigger: {trigger}
run_key: person
reentry: never
exit_if: none
goal: none
guards: {{quiet: none, cap: inherit}}
steps:
"""
TASK = "late: defer, ttl: 24h, channel: T, content: {text: 您好}"


def playbook_text(*steps: str, trigger: str = "{event: contact.added}", priority: str = "P3") -> str:
    return HEAD.format(trigger=trigger, priority=priority) + "".join(f"  - {step}\n" for step in steps)


CASES = {
    "the group is there, and its owner confirms or lets the time pass": (
        playbook_text(
            "{id: list, at: D+1, window: '10:00-11:00', late: drop, ttl: 8h, channel: G, content: {text: 清单}}",
            "{id: late, at: D+2, window: '10:00-11:00', late: drop, ttl: 8h, channel: G, content: {text: 再来}}",
            trigger="{event: group.joined}",
        ),
        {
            "given": ["contact.added @2026-03-01T10:00", "group.joined @2026-03-02T10:00"],
            "staff": {"confirms_after": {"list": "10m", "else": "never"}},
            "until": "2026-03-08T00:00",
            "expect": {"sent": ["list"], "expired": [{"late": "群主"}]},
        },
    ),
    "a coupon that is used is used, and the carrier is the one that was named": (
        playbook_text(
            "{id: gift, at: T0, channel: X, do: [{issue_coupon: shop10}]}",
            f"{{id: used, at: D+3, if: {{coupon: {{of: shop10, state: redeemed}}}}, {TASK}}}",
            f"{{id: unused, at: D+3, if: {{coupon: {{of: shop10, state: unused}}}}, {TASK}}}",
            trigger="{event: order.shipped, where: {carrier: 中通}}",
        ),
        {
            "given": [
                "contact.added @2026-03-01T10:00",
                "order.paid @2026-03-02T10:00",
                {"event": "order.shipped", "at": "2026-03-02T12:00", "carrier": "中通"},
                "coupon.redeemed @2026-03-03T10:00 shop10",
            ],
            "staff": {"confirms_after": "10m"},
            "until": "2026-03-08T00:00",
            "expect": {"done": ["gift"], "sent": ["used"], "skipped": ["unused"], "coupons": ["shop10"]},
        },
    ),
    "a suggestion that nobody used need not be named among the expired": (
        playbook_text(
            "{id: chat, at: D+1 10:00-11:00, channel: S, ttl: 1d, hint: 聊到时问问}",
            f"{{id: late, at: D+1 10:00-11:00, {TASK}}}",
        ),
        {
            "given": ["contact.added @2026-03-01T10:00"],
            "until": "2026-03-05T10:00",
            "expect": {"expired": [{"late": "员工未发送"}], "suggested": ["chat"]},
        },
    ),
    "a suggestion that nobody used may be named among the expired": (
        playbook_text("{id: chat, at: D+1 10:00-11:00, channel: S, ttl: 1d, hint: 聊到时问问}"),
        {
            "given": ["contact.added @2026-03-01T10:00"],
            "until": "2026-03-05T10:00",
            "expect": {"expired": [{"chat": "没有聊到"}]},
        },
    ),
    "an event that is only named is one that the trigger wants, and chance is decided": (
        playbook_text(
            "id: half",
            "  split:",
            "    - {name: A, share: 1%, steps: []}",
            f"    - {{name: B, share: 99%, steps: [{{id: b, at: T0+1h, {TASK}}}]}}",
            trigger="{event: contact.added, where: {channel.kind: [投放, 直播]}}",
        ).replace("  -   ", "    "),
        {
            "given": ["contact.added @2026-03-01T10:00"],
            "arms": {"half": "A"},
            "expect": {"sent": [], "arms": {"half": "A"}, "run": "done"},
        },
    ),
    "an after-sale has its reason and amount, and the manager hears of it": (
        playbook_text(
            "{id: boss, at: T0, channel: I, notify: manager, content: {text: 大额售后},"
            " if: {trigger: amount_fen, op: gte, value: 100000}}",
            trigger="{event: refund.opened, where: {reason: [破损]}}",
            priority="P0",
        ).replace("run_key: person", "run_key: case"),
        {
            "given": [
                "contact.added @2026-03-01T09:00",
                {"event": "order.paid", "at": "2026-03-01T10:00", "key": "A", "amount": 1200},
                {"event": "refund.opened", "at": "2026-03-01T12:00", "key": "A", "reason": "破损"},
            ],
            "until": "2026-03-01T13:00",
            "expect": {"notices": ["boss"]},
        },
    ),
    "goods that nobody named are some goods, by the name that authors know": (
        playbook_text(
            f"{{id: thanks, at: T0+10m, {TASK}}}",
            trigger="{event: review.received, where: {rating: [4, 5]}}",
        ).replace("run_key: person", "run_key: product"),
        {
            "given": ["contact.added @2026-03-01T09:00", "review.received @2026-03-01T10:00"],
            "staff": {"confirms_after": "1m"},
            "expect": {"sent": ["thanks"]},
        },
    ),
    "a branch on a custom field and the amount of an order": (
        playbook_text(
            "id: kind",
            "  branch:",
            f"    - {{name: 大单, if: {{field: person.paid, op: gte, value: 300}}, steps: [{{id: vip, at: T0+1h, {TASK}}}]}}",
            f"    - {{name: 干皮, if: {{field: field.skin, op: eq, value: 干性}}, steps: [{{id: dry, at: T0+1h, {TASK}}}]}}",
            f"    - {{else: [{{id: plain, at: T0+1h, {TASK}}}]}}",
        ).replace("  -   ", "    "),
        {
            "given": [
                {"set": {"field.skin": "干性", "stage": "潜客"}, "at": "2026-03-01T09:00"},
                {
                    "event": "order.paid",
                    "at": "2026-03-01T09:30",
                    "amount": 299,
                    "lines": [{"title": "面霜", "amount": 299}],
                },
                "contact.added @2026-03-01T10:00",
            ],
            "staff": {"confirms_after": "10m"},
            "until": "2026-03-02T10:00",
            "expect": {"sent": ["dry"], "arms": {"kind": "干皮"}, "run": "done", "checks": {"dry": {"频控": True}}},
        },
    ),
    "an order above the line takes the other arm": (
        playbook_text(
            "id: kind",
            "  branch:",
            f"    - {{name: 大单, if: {{field: person.paid, op: gte, value: 300}}, steps: [{{id: vip, at: T0+1h, {TASK}}}]}}",
            f"    - {{else: [{{id: plain, at: T0+1h, {TASK}}}]}}",
        ).replace("  -   ", "    "),
        {
            "given": [
                {
                    "event": "order.paid",
                    "at": "2026-03-01T09:30",
                    "lines": [{"title": "面霜", "amount": 200}, {"title": "精华", "amount": 150}],
                },
                "contact.added @2026-03-01T10:00",
            ],
            "until": "2026-03-01T12:00",
            "expect": {"tasks": ["vip"], "arms": {"kind": "大单"}},
        },
    ),
    "a segment begins it, a tag skips a step": (
        playbook_text(
            f"{{id: first, at: T0+1h, if: {{not: {{tag: 员工亲友}}}}, {TASK}}}",
            trigger="{event: segment.entered, where: {segment: vip}}",
        ),
        {
            "given": [
                "contact.added @2026-03-01T09:00",
                {"tag": "员工亲友", "at": "2026-03-01T09:10"},
                {"segment": "vip", "at": "2026-03-01T10:00"},
            ],
            "until": "2026-03-02T10:00",
            "expect": {"skipped": ["first"], "blocked": {"first": "条件不满足"}, "run": "done"},
        },
    ),
    "a birthday is reached, and the steps stand before it": (
        playbook_text(
            f"{{id: before, at: D-3 10:00-11:00, {TASK}}}",
            f"{{id: day, at: D+0 10:00-11:00, {TASK}}}",
            trigger="{event: date.reached, date: birthday}",
        ),
        {
            "given": ["contact.added @2026-02-01T09:00", "date.reached @2026-03-05T00:05"],
            "staff": {"confirms_after": {"before": "10m", "else": "never"}},
            "until": "2026-03-08T20:00",
            "expect": {"sent": ["before"], "tasks": ["day"], "run": "active"},
        },
    ),
    "a notice, a suggestion, a call outside and a mass message": (
        playbook_text(
            "{id: tell, at: T0, channel: I, notify: owner, content: {text: 新客}}",
            "{id: hint, at: T0+1m, channel: S, hint: 聊聊肤质}",
            "{id: sms, at: T0+2m, channel: K, to: sms, late: defer, content: {text: 您好}}",
            "{id: all, at: T0+3h, channel: M, late: defer, ttl: 24h, content: {text: 大家好}}",
            priority="P2",
        ),
        {
            "given": ["contact.added @2026-03-02T10:00"],
            "staff": {"confirms_after": {"all": "30m", "else": "never"}},
            "until": "2026-03-04T10:00",
            "expect": {"notices": ["tell"], "suggested": ["hint"], "outward": ["sms"], "sent": ["sms", "all"]},
        },
    ),
    "who is left alone hears nothing": (
        playbook_text(f"{{id: hello, at: T0+1h, {TASK}}}").replace("goal: none", "goal: none\nholdout: 5%"),
        {
            "given": ["contact.added @2026-03-02T10:00"],
            "holdout": True,
            "until": "2026-03-02T20:00",
            "expect": {"sent": [], "tasks": []},
        },
    ),
    "a share of five in a hundred never decides a test": (
        playbook_text(f"{{id: hello, at: T0+1h, {TASK}}}").replace("goal: none", "goal: none\nholdout: 20%"),
        {
            "given": ["contact.added @2026-03-02T10:00"],
            "until": "2026-03-02T20:00",
            "expect": {"tasks": ["hello"]},
        },
    ),
    "a case pauses it": (
        playbook_text(f"{{id: hello, at: D+2 10:00-11:00, {TASK}}}"),
        {
            "given": [
                "contact.added @2026-03-02T10:00",
                "order.paid @2026-03-02T11:00",
                "refund.opened @2026-03-03T09:00",
            ],
            "until": "2026-03-04T12:00",
            "expect": {"tasks": [], "run": "paused"},
        },
    ),
    "a talk brakes, and the step says so": (
        playbook_text(f"{{id: hello, at: T0+1h, {TASK}}}"),
        {
            "given": [
                "contact.added @2026-03-02T10:00",
                {"event": "kf.message", "at": "2026-03-02T10:30", "answered": True},
            ],
            "until": "2026-03-02T11:05",
            "expect": {
                "tasks": [],
                "blocked": {"hello": "刚说过话"},
                "next": {"step": "hello", "at": "2026-03-02T12:30"},
            },
        },
    ),
    "tags and segments that the text names are there, and who entered a segment is in it": (
        playbook_text(
            f"{{id: ask, at: T0+1h, {TASK}}}",
            f"{{id: more, at: T0+2h, if: {{any: [{{tag: 停药}}, {{segment: chronic}}]}}, {TASK}}}",
            trigger="{event: order.paid}",
        ).replace(
            "exit_if: none",
            "enter_if: {all: [{segment: chronic}, {not: {segment: staff}}, {not: {tag: 停药}}]}\nexit_if: none",
        ),
        {
            "given": [
                "contact.added @2026-03-01T09:00",
                "segment.entered @2026-03-01T10:00 chronic",
                "order.paid @2026-03-02T10:00",
            ],
            "staff": {"confirms_after": "1m"},
            "expect": {"sent": ["ask", "more"], "run": "ended/done"},
        },
    ),
    "whose day has come has that date, and an end is told as authors write it": (
        playbook_text(
            f"{{id: ask, at: D 20:00, {TASK}}}",
            trigger="{event: date.reached, date: field.学费到期日}",
        ).replace("exit_if: none", "exit_if: {any: [{field: field.学费到期日, op: missing}, {event: order.paid}]}"),
        {
            "given": [
                "contact.added @2026-03-01T09:00",
                "date.reached @2026-03-05T00:10",
                "order.paid @2026-03-05T21:00",
            ],
            "staff": {"confirms_after": "1m"},
            "expect": {"sent": ["ask"], "run": "ended/done"},
        },
    ),
    "the last arm of a branch may be called else, a wait may have its name beside it": (
        playbook_text(
            "{id: size, branch: [{name: 大, if: {field: person.paid, op: gte, value: 100}, steps: []},"
            " {else: [{id: hint, at: T0, channel: S, ttl: 1h, hint: 聊到时问一句}]}]}",
            "{id: calm, wait: {event: order.paid, timeout: 1d, on_timeout: end}}",
        ),
        {
            "given": ["contact.added @2026-03-01T09:00"],
            "until": "2026-03-03T09:00",
            "expect": {"arms": {"size": "else"}, "suggested": ["hint"], "run": "ended/exit"},
        },
    ),
    "who is administrator in the shop is told": (
        playbook_text("{id: boss, at: T0, channel: I, notify: {role: administrator}, content: {text: 看一下}}"),
        {
            "given": ["contact.added @2026-03-01T10:00"],
            "until": "2026-03-01T13:00",
            "expect": {"notices": ["boss"]},
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_what_authors_write_is_played(name: str, sqlite_file: Path) -> None:
    text, test = CASES[name]
    playbook = parse_playbook(text, file_name="tried.yaml", known=Known(coupons=None))
    result = await run_test(playbook, {"name": name, "line": 1, **test}, sqlite_file)
    assert result.problems == [], "\n".join([*result.problems, *result.story])


async def test_the_story_says_which_condition_kept_a_customer_out(sqlite_file: Path) -> None:
    text = playbook_text(f"{{id: hello, at: T0+1h, {TASK}}}")
    text = text.replace("exit_if: none", "enter_if: {field: person.paid, op: gte, value: 500}\nexit_if: none")
    test = {"name": "t", "given": ["contact.added @2026-03-02T10:00"], "expect": {"run": "none"}}
    result = await run_test(parse_playbook(text, file_name="tried.yaml"), test, sqlite_file)
    assert result.problems == []
    assert "没有进入：不符合进入条件：累计实付（元） 不少于 500（现在：0）" in "\n".join(result.story)


async def test_a_test_says_what_is_wrong_with_itself(sqlite_file: Path) -> None:
    playbook = parse_playbook(playbook_text(f"{{id: hello, at: T0+1h, {TASK}}}"), file_name="tried.yaml")
    test: dict[str, Any] = {"name": "t", "given": [{"event": "order.paid", "at": "2026-03-02T10:00", "amount": "贵"}]}
    result = await run_test(playbook, {**test, "expect": {"run": "none"}}, sqlite_file)
    assert result.problems == ["amount 要写成元，例如 299，写的是“贵”"]
    test["given"] = ["contact.added @2026-03-02T10:00"]
    expect = {"blocked": {"hello": "频控"}, "arms": {"x": "A"}, "checks": {"hello": {"频控": False}}, "colour": 1}
    told = "\n".join(
        (await run_test(playbook, {**test, "until": "2026-03-02T12:00", "expect": expect}, sqlite_file)).problems
    )
    for words in ("blocked 的 hello", "没有被拦下", "arms 的 x 期望 A，实际 没有走到", "实际放行", "不认识“colour”"):
        assert words in told, told
