"""Playbooks as text: what is read, and what an author is told."""

from contextlib import suppress
from datetime import time, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scrm.sop import timing
from scrm.sop.schema import Channel, Content, CouponSpec, Goal, Guards, Late, Playbook, Trigger, Wait, When, Window
from scrm.sop.text.parse import PLAYBOOK_KEYS, parse_playbook
from scrm.sop.text.reading import Known, PlaybookErrors
from scrm.sop.text.steps import STEP_KEYS

GOOD = """\
playbook: new-customer
title: 新客首单
priority: P3
trigger: {event: contact.added, where: {channel.kind: [直播, 门店], state: live-1}}
run_key: person
reentry: {every: 120d}
enter_if: {field: person.paid_orders, op: eq, value: 0}
exit_if: {any: [{event: order.paid}, {flag: optout.promo}]}
goal: {event: order.paid, within: 7d}
guards: {quiet: inherit, cap: inherit, max_pushes: 3}
coupons:
  new5d: {title: 新人券, amount: 30, threshold: 199, valid: 5d}
steps:
  - id: welcome
    at: T0
    channel: W
    content:
      text: "{{ 客户昵称 }}，您好！{{ coupon.name }}"
      attachments: [{coupon: new5d}]
  - id: remind
    title: 提醒一声
    at: D+3 10:00-11:30
    channel: T
    late: defer
    ttl: 24h
    if: {coupon: {of: new5d, state: unused}}
    content: {text: "{{ salutation }}好，券快到期了"}
  - id: close
    at: D+8
    channel: X
    do: [{set: {stage: 潜客}}, {remove_tag: 新客}]
"""


def parse(text: str, known: Known | None = None) -> Playbook:
    return parse_playbook(text, file_name="a.yaml", known=known)


def problems(text: str, known: Known | None = None) -> list[str]:
    with pytest.raises(PlaybookErrors) as errors:
        parse(text, known)
    return [str(problem) for problem in errors.value.problems]


def test_a_good_playbook_is_read_as_written() -> None:
    playbook = parse(GOOD)
    assert (playbook.key, playbook.title, playbook.version, playbook.run_key) == (
        "new-customer",
        "新客首单",
        0,
        "person",
    )
    assert playbook.trigger == Trigger("contact.added", {"channel.kind": ("直播", "门店"), "state": ("live-1",)})
    assert (playbook.reentry, playbook.reentry_every) == ("every", timedelta(days=120))
    assert playbook.goal == Goal("order.paid", timedelta(days=7))
    assert playbook.guards == Guards(None, 3)
    assert playbook.coupons == (
        CouponSpec("new5d", "新人券", face_fen=3000, threshold_fen=19900, valid=timedelta(days=5)),
    )
    welcome, remind, close = playbook.steps
    assert welcome.content == Content("{{ 客户昵称 }}，您好！{{ coupon.name }}", ({"coupon": "new5d"},))
    assert remind.when == When(days=3, window=Window(time(10), time(11, 30)))
    assert (remind.channel, remind.late, remind.ttl, remind.title) == (
        Channel.TASK,
        Late.DEFER,
        timedelta(hours=24),
        "提醒一声",
    )
    assert close.act == ({"set": {"stage": "潜客"}}, {"remove_tag": "新客"})
    assert (welcome.line, remind.line) == (14, 20)
    assert len(playbook.digest) == 64
    assert playbook.source == GOOD


def test_a_window_may_stand_beside_the_day() -> None:
    text = GOOD.replace("at: D+3 10:00-11:30", 'at: D+3\n    window: "10:00-11:30"')
    assert parse(text).steps[1].when == parse(GOOD).steps[1].when


def test_the_day_itself_needs_no_number() -> None:
    assert timing.parse_when("D 20:00") == timing.parse_when("D+0 20:00")


def test_none_is_a_decision_too() -> None:
    text = GOOD.replace("exit_if: {any: [{event: order.paid}, {flag: optout.promo}]}", "exit_if: none")
    text = text.replace("goal: {event: order.paid, within: 7d}", "goal: none")
    playbook = parse(text)
    assert playbook.exit_if is None
    assert playbook.goal is None


@pytest.mark.parametrize(
    ("found", "instead", "says"),
    [
        ("run_key: person\n", "", "第 1 行：缺少 run_key"),
        ("reentry: {every: 120d}\n", "", "缺少 reentry"),
        ("goal: {event: order.paid, within: 7d}\n", "", "没有就写 none"),
        ("exit_if: {any: [{event: order.paid}, {flag: optout.promo}]}\n", "", "缺少 exit_if"),
        (
            " 10:00-11:30\n    channel: T\n    late: defer\n",
            "\n    channel: T\n",
            "第 20 行：步骤“remind”要员工来发，缺少 late",
        ),
        (" 10:00-11:30\n    channel: T\n    late: defer\n    ttl: 24h\n", "\n    channel: T\n", "缺少 ttl"),
        ("field: person.paid_orders", "field: trigger.score", "请写成 {trigger: score, op: eq, value: …}"),
        (
            "person.paid_orders",
            "person.paid_order",
            "第 7 行：不认识的字段 person.paid_order，是不是想写 person.paid_orders？",
        ),
        (
            "{event: order.paid}, {flag",
            "{event: order.payed}, {flag",
            "第 8 行：不认识的事件 order.payed，是不是想写 order.paid？",
        ),
        ("enter_if: {field: person.paid_orders, op: eq, value: 0}", "enter_if: {}", "第 7 行：条件是空的"),
        ("enter_if: {field: person.paid_orders, op: eq, value: 0}", "enter_if:", "条件是空的"),
        ("{field: person.paid_orders, op: eq, value: 0}", "{not: {segment: }}", "人群包的编号或名称"),
        ("{field: person.paid_orders, op: eq, value: 0}", "{all: []}", "all 里面是空的"),
        ("{field: person.paid_orders, op: eq, value: 0}", "{no_reply: false}", "no_reply 只能写 true"),
        ("{of: new5d, state: unused}", "{of: old, state: unused}", "条件里的券“old”不存在"),
        ("{of: new5d, state: unused}", "{of: new5d, state: fresh}", "state 只能是"),
        ("attachments: [{coupon: new5d}]", "attachments: [{coupon: other}]", "用到的券“other”不存在"),
        (
            "attachments: [{coupon: new5d}]",
            "attachments: [{miniprogram: {appid: 旅行装, page: pages/a, title: 旅行装}}]",
            "第 19 行：小程序（miniprogram）缺少 picture：封面，素材库里的图片名",
        ),
        (
            "attachments: [{coupon: new5d}]",
            "attachments: [{miniprogram: {appid: 旅行装, page: a.html, title: 旅行装, picture: a.png}}]",
            "第 19 行：appid 写的是“旅行装”，应以 wx 开头",
        ),
        (
            "attachments: [{coupon: new5d}]",
            "attachments: [{miniprogram: {appid: wx0123456789abcdef, page: pages/a, title: 旅行装, picture: a.png}}]",
            "第 19 行：page 写的是“pages/a”，要以 .html 结尾",
        ),
        ("{{ 客户昵称 }}", "{{ 客户名称 }}", "第 18 行：不认识的变量 {{ 客户名称 }}"),
        ("券快到期了", "五星好评返现 5 元", "以利益换取指定评价是违规的"),
        ("D+3 10:00-11:30", "D+3 22:00-23:00", "全在静默时段（21:30-09:00）里，永远不会发出"),
        ("D+3 10:00-11:30", "D+3 10点", "at：看不懂时间段“10点”"),
        ("D+3 10:00-11:30", "3 days", "看不懂时间“3 days”"),
        ("D+3 10:00-11:30", "D+5 10:00-11:30", None),
        ("D+3 10:00-11:30", "D+6 10:00-11:30", "步骤“remind”在券“新人券”过期之后才发（有效期 5 天）"),
        (
            "    if: {coupon: {of: new5d, state: unused}}\n    content: {text",
            "    coupon: new5d\n    content: {text",
            None,
        ),
        ("    at: D+8", "    at: D+1", "写在“remind”后面，时间却更早"),
        ("valid: 5d", "valid: five", "valid：看不懂时长“five”"),
        ("amount: 30", "amount: 30.005", "最多两位小数"),
        ("amount: 30", "amount: 0", "要大于 0"),
        ("amount: 30, threshold: 199", "amount: 300, threshold: 199", "门槛比面额还低"),
        ("amount: 30", "amount: 30, colour: red", "券“new5d”里不认识“colour”"),
        ("priority: P3", "holdout: 0.05", "holdout 要写成百分比，例如 50%"),
        ("channel: T", "channel: Z", "channel 只能是 W、T、M"),
        ("run_key: person", "run_key: sku_family", "没有 sku_family"),
        ("run_key: person", "run_key: order", "触发事件 contact.added 没有 order"),
        ("priority: P3", "priority: P9", "priority 只能是"),
        ("priority: P3", "priorty: P3", "不认识“priorty”，是不是想写 priority？"),
        ("priority: P3", "title: 又一个", "第 3 行：“title”写了两次（第一次在第 2 行）"),
        ("channel.kind: [直播, 门店]", "channel.knd: 直播", "是不是想写 channel.kind？"),
        ("channel.kind: [直播, 门店]", "channel.kind: []", "不能是空的"),
        ("reentry: {every: 120d}", "reentry: always", "reentry 只能是"),
        ("max_pushes: 3", "max_pushes: 0", "1 以上的整数"),
        ("cap: inherit", "cap: {per_day: 1}", "cap里不认识“per_day”"),
        ("cap: inherit", "cap: {per_week: 0}", "不限请写 cap: none"),
        ("cap: inherit", "cap: {gap: 0h}", "cap 的 gap：时长“0h”要大于 0"),
        ("cap: inherit", "cap: inherit, brake: off", "brake 只能写 inherit 或 none"),
        ("cap: inherit", "cap: inherit, optout: all", "optout 只能写 birthday、live、promo"),
        ("id: close", "id: remind", "步骤 id“remind”用了两次"),
        ("id: close", "id: 收尾", "只能用小写字母"),
        ("do: [{set: {stage: 潜客}}, {remove_tag: 新客}]", "do: [{fly: true}]", "do里不认识“fly”"),
        ("do: [{set: {stage: 潜客}}, {remove_tag: 新客}]", "do: []", "至少一项"),
        ("    do: [{set: {stage: 潜客}}, {remove_tag: 新客}]\n", "", "缺少 do"),
        ('    content: {text: "{{ salutation }}好，券快到期了"}\n', "", "缺少 content"),
        ('content: {text: "{{ salutation }}好，券快到期了"}', "content: tpl.remind", "话术库里没有启用的“tpl.remind”"),
        ('content: {text: "{{ salutation }}好，券快到期了"}', "content: {text: {{ salutation }}}", "要用引号括起来"),
        ("title: 新客首单", "title: 2026", "请加上引号"),
        ("title: 新客首单", "title: &a 新客首单", None),
        ("title: 新客首单", "title: *a", "不支持 YAML 的引用"),
        ("title: 新客首单", "title: !!python/object:os.system x", "不支持标记"),
        ("title: 新客首单", "title: [新客", "YAML 写法不对"),
        ("  - id: close", "\t- id: close", "不能用制表符"),
    ],
)
def test_authors_are_told_what_to_mend_and_where(found: str, instead: str, says: str | None) -> None:
    assert found in GOOD
    text = GOOD.replace(found, instead)
    if says is None:
        parse(text)
    else:
        told = problems(text)
        assert any(says in problem for problem in told), told
        assert all(problem.startswith("第 ") for problem in told)


def test_all_problems_are_told_at_once() -> None:
    text = GOOD.replace("person.paid_orders", "person.nothing").replace("ttl: 24h", "ttl: soon")
    assert [problem.partition("：")[0] for problem in problems(text)] == ["第 7 行", "第 25 行"]


def test_what_is_missing_hides_nothing_of_what_is_wrong() -> None:
    text = GOOD.replace("run_key: person\n", "").replace("goal: {event: order.paid, within: 7d}\n", "")
    text = text.replace("person.paid_orders", "person.nothing").replace("{coupon: new5d}", "{coupon: nowhere}")
    told = problems(text)
    assert len(told) == 4
    for words in ("缺少 run_key", "缺少 goal", "person.nothing", "券“nowhere”不存在"):
        assert any(words in each for each in told), words
    for key in ("trigger", "steps"):
        lines = GOOD[: GOOD.index(f"{key}:")] + (GOOD[GOOD.index("run_key:") :] if key == "trigger" else "")
        assert [each for each in problems(lines) if f"缺少 {key}" in each]


def test_a_step_that_may_come_after_its_coupon_is_over_says_how_to_mend_it() -> None:
    text = GOOD.replace("    if: {coupon: {of: new5d, state: unused}}\n", "").replace("valid: 5d", "valid: 72h")
    text = text.replace("券快到期了", "{{ 券名 }}快到期了")
    (told,) = problems(text)
    assert "最晚在领券 107 小时 30 分钟后才发出" in told
    assert "{coupon: {of: new5d, state: unused}}" in told


def test_a_playbook_may_choose_its_own_quiet_hours() -> None:
    night = GOOD.replace("D+3 10:00-11:30", "D+3 22:00-23:00")
    assert parse(night.replace("quiet: inherit", "quiet: none")).guards.quiet == "none"
    assert parse(night.replace("quiet: inherit", 'quiet: "23:30-07:00"')).guards.quiet == Window(time(23, 30), time(7))
    assert parse(night.replace("    late: defer", "    late: defer\n    quiet: none")).steps[1].ignores_quiet
    assert parse(night, Known(quiet=None)).guards.quiet is None


def test_batches_and_texts_that_exist_elsewhere_may_be_used() -> None:
    text = GOOD.replace("attachments: [{coupon: new5d}]", "attachments: [{coupon: summer}]")
    text = text.replace("if: {coupon: {of: new5d", "if: {coupon: {of: summer")
    known = Known(coupons={"summer"}, contents={"tpl.remind": Content("记得用券")})
    text = text.replace('content: {text: "{{ salutation }}好，券快到期了"}', "content: tpl.remind")
    assert parse(text, known).steps[1].content == Content("记得用券")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "第 1 行：文件是空的"),
        ("- a\n- b\n", "剧本要写成“键: 值”的形式"),
        ("just words", "剧本要写成"),
        ("a: 1\n---\nb: 2\n", "第 2 行：一个文件只能写一个剧本"),
        ("a: " + "[" * 60 + "]" * 60, "套得太深"),
        ("[" * 50_000, "套得太深"),
        ("x" * 200_001, "最多 200000 个"),
        ("a: \x00", "第 1 行"),
        ("? [a, b]\n: c\n", "引号"),
    ],
)
def test_what_is_no_playbook_at_all_is_refused_in_one_line(text: str, says: str) -> None:
    assert any(says in problem for problem in problems(text)), problems(text)


def test_the_welcome_stands_first_alone_and_at_once() -> None:
    moved = GOOD.replace("at: T0\n    channel: W", "at: T0+5m\n    channel: W")
    assert any("欢迎语“welcome”只能在 at: T0" in problem for problem in problems(moved))
    doubled = GOOD.replace("id: close\n    at: D+8\n    channel: X", "id: again\n    at: T0\n    channel: W")
    doubled = doubled.replace("do: [{set: {stage: 潜客}}, {remove_tag: 新客}]", "content: {text: 您好}")
    assert any("第二条欢迎语" in problem for problem in problems(doubled))
    elsewhere = GOOD.replace("contact.added, where: {channel.kind: [直播, 门店], state: live-1}", "order.paid")
    assert any("只能用在 contact.added" in problem for problem in problems(elsewhere))


def test_limits_of_wecom_are_told_before_publishing() -> None:
    long = GOOD.replace("{{ 客户昵称 }}，您好！", "好" * 1400)
    assert any("welcome" in problem and "4000 字节" in problem for problem in problems(long))
    many = GOOD.replace("[{coupon: new5d}]", "[" + "{coupon: new5d}, " * 10 + "]")
    assert any("最多 9 个" in problem for problem in problems(many))
    link = GOOD.replace("[{coupon: new5d}]", f"[{{link: {{title: {'长' * 50}, url: ftp://a}}}}]")
    told = "\n".join(problems(link))
    assert "link 的 title 超过 128 字节" in told
    assert "http:// 或 https://" in told


@given(st.text(max_size=200))
def test_no_text_whatever_breaks_the_reader(text: str) -> None:
    with pytest.raises(PlaybookErrors):
        parse(text)


# Arbitrary plain values in place of any part: always a playbook or a list of problems, never another error.
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from([*PLAYBOOK_KEYS, *STEP_KEYS]), inner, max_size=3)
    ),
    max_leaves=8,
)


def paths(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(found for key, part in parts for found in paths(part, (*path, key)))]


TREE = yaml.safe_load(GOOD)


@given(st.sampled_from(paths(TREE)[1:]), values)
def test_any_value_in_any_place_is_taken_or_refused_in_words(path: tuple[Any, ...], value: Any) -> None:
    tree = yaml.safe_load(GOOD)
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    text = yaml.safe_dump(tree, allow_unicode=True)
    with suppress(PlaybookErrors):
        parse(text)


def test_a_wait_without_a_name_keeps_its_own_when_the_text_above_it_grows() -> None:
    text = """\
playbook: some
title: 某个流程
trigger: {event: order.paid}
run_key: person
reentry: never
exit_if: none
goal: none
steps:
  - wait: {for: 2h}
  - {id: one, at: T0, channel: X, do: [{set: {stage: 老客}}]}
  - wait: {for: 1d}
"""
    grown = text.replace(
        "steps:\n", "steps:\n  # 先做一步\n  - {id: zero, at: T0, channel: X, do: [{add_tag: 新客}]}\n"
    )
    for written in (text, grown):
        playbook = parse_playbook(written, file_name="some.yaml")
        assert [part.id for part in playbook.parts if isinstance(part, Wait)] == ["wait-1", "wait-2"]
