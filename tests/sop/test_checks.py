"""What only shows in the whole: coupons that are over, windows that never open, also behind waits and in arms."""

import pytest

from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import PlaybookErrors

HEAD = """\
playbook: x
title: x
trigger: {event: contact.added}
run_key: person
reentry: never
exit_if: none
goal: none
coupons: {hi: {title: 见面礼, amount: 5, valid: 3d}}
steps:
  - {id: gift, at: T0, channel: W, coupon: hi, content: {text: 您好}}
"""
SAY = "channel: T, ttl: 4h, late: defer, content: {text: 您好, attachments: [{coupon: hi}]}}"
MINDS = f"{{id: late, at: D+1 10:00-11:00, if: {{coupon: {{of: hi, state: unused}}}}, {SAY}"


def problems(steps: str, head: str = HEAD) -> str:
    try:
        parse_playbook(head + steps, file_name="x")
    except PlaybookErrors as error:
        return "\n".join(error.lines)
    return ""


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (f"  - {{id: late, at: D+5 10:00-11:00, {SAY}", "步骤“late”在券“见面礼”过期之后才发（有效期 72 小时）"),
        (f"  - {{id: soon, at: D+1 10:00-11:00, {SAY}", ""),
        (
            f"  - {{id: night, at: D+1 22:00-23:00, {SAY}",
            "步骤“night”的时间段全在静默时段（21:30-09:00）里，永远不会发出",
        ),
        # Times after a wait are counted from its end: at least four days later, or perhaps at once.
        (f"  - wait: {{for: 4d}}\n  - {{id: late, at: D+1 10:00-11:00, {SAY}", "在券“见面礼”过期之后才发"),
        (f"  - wait: {{event: order.paid, timeout: 4d, on_timeout: next}}\n  - {MINDS}", ""),
        (
            f"  - wait: {{event: order.paid, timeout: 4d, on_timeout: next}}\n  - {{id: late, at: T0+1h, {SAY}",
            "那时券“见面礼”可能已过期",
        ),
        # What an arm asks for, and what one of several variants says.
        ("  - branch: [{if: {coupon: {of: nix, state: unused}}, steps: []}, {else: []}]", "条件里的券“nix”不存在"),
        (
            "  - {id: a, at: D+1, channel: T, ttl: 4h, late: defer,"
            " content: {variants: [{share: 50%, text: 早}, {share: 50%, attachments: [{coupon: nix}]}]}}",
            "步骤“a”用到的券“nix”不存在",
        ),
        # Before the trigger there is nothing, and a playbook that begins itself never ends.
        (f"  - {{id: early, at: D-3, {SAY}", "步骤“early”要在触发之前发"),
        (f"  - {{id: early, at: T0-2h, {SAY}", "步骤“early”要在触发之前发"),
        ("  - {id: again, at: D+1, channel: X, do: [{start_playbook: x}]}", "开始的是这个剧本自己"),
    ],
)
def test_authors_are_told_what_would_never_work(steps: str, says: str) -> None:
    told = problems(steps)
    assert says in told if says else not told, told


@pytest.mark.parametrize(("at", "says"), [("T0+1h", ""), ("D+5 10:00-11:00", "在券“见面礼”过期之后才发")])
def test_a_coupon_that_is_given_behind_a_wait_lives_from_its_end_however_long_it_was(at: str, says: str) -> None:
    head = HEAD.replace("channel: W, coupon: hi, content", "channel: W, content")
    told = problems(
        "  - wait: {event: order.paid, timeout: 40d, on_timeout: end}\n"
        "  - {id: give, at: T0, channel: X, do: [{issue_coupon: hi}]}\n"
        f"  - {{id: tell, at: {at}, {SAY}\n",
        head,
    )
    assert says in told if says else not told, told
