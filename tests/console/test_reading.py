"""A playbook in words: ways that part are shown where they part, and nothing of a step is left out."""

from scrm.console.playbooks import in_words as reading
from scrm.sop.text.parse import parse_playbook

TEXT = """
playbook: ways
title: 几条路
trigger: {event: order.created}
run_key: order
reentry: per_key
exit_if: none
goal: none
holdout: 5%
guards: {cap: {gap: 24h, per_week: 3}, brake: none}
steps:
  - id: half
    split:
      - name: A
        share: 30%
        steps:
          - id: size
            branch:
              - name: 大单
                if: {trigger: amount_fen, op: gte, value: 30000}
                steps:
                  - wait: {id: pay, event: order.paid, timeout: 2h, on_timeout: end}
                  - {id: thank, at: "W+2", channel: X, do: [{points: 100}, {stop_playbook: other}]}
              - else: []
      - {name: B, share: 70%, steps: []}
  - id: hello
    at: D+3
    only: workdays
    channel: T
    late: drop
    ttl: 4h
    content: {variants: [{name: 温和, share: 50%, text: 早}, {name: 直接, share: 50%, text: 好}]}
  - {id: boss, at: D+4, channel: I, notify: manager, content: {text: 看一下}}
"""


def test_branches_splits_waits_and_all_that_a_step_does_are_told() -> None:
    playbook = parse_playbook(TEXT, file_name="ways.yaml")
    cards = reading.list_steps(playbook, {})
    told = [
        (card.depth, card.kind, card.words)
        if isinstance(card, reading.ForkWords)
        else (card.depth, card.number, card.step.id, card.day, *card.acts)
        for card in cards
    ]
    assert told == [
        (0, "分流", "随机分成几路，同一位客户总走同一路"),
        (0, "A", "30%"),
        (1, "分支", "走到这里时，走第一路符合的；都不符合就往下走"),
        (1, "大单", "触发事件的金额（分） 不少于 30000"),
        (2, "等待", "等“付款”，最多 2 小时，等不到就结束；后面的时间从等完算起"),
        (2, 1, "thank", "第 2 个工作日", "加 100 积分", "结束剧本 other"),
        (1, "其他", "以上都不符合（什么也不做）"),
        (0, "B", "70%（什么也不做）"),
        (0, 2, "hello", "第 3 天，遇休息日顺延"),
        (0, 3, "boss", "第 4 天", "通知上级"),
    ]
    said = [(each.name, each.share) for card in cards if isinstance(card, reading.StepWords) for each in card.texts]
    assert said == [("温和", "50%"), ("直接", "50%"), ("", "")]
    assert reading.read_guards(playbook) == [
        "营销消息两次至少隔 24 小时，7 天最多 3 次",
        "售后、会话中也照发",
        "对照组 5%",
    ]


def test_a_variable_is_called_what_people_call_it() -> None:
    pieces = list(reading.split_text("{{ carrier | default('物流') }}已出发，{{ 员工 }}"))
    assert pieces == [("variable", "快递公司"), ("text", "已出发，"), ("variable", "员工")]
