"""What a playbook asked, in English: the words are ours, and only what an author wrote stays Chinese."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scrm.profiles.conditions.fields import FIELDS
from scrm.profiles.conditions.leaves_trigger import FACTS
from scrm.profiles.conditions.tree import words_of
from scrm.segments.conditions import check_condition, list_leaves
from web.texts import speaking
from web.texts.asked import asked

PLAYBOOKS = sorted(Path("config/playbooks").rglob("*.yaml"))
_CHINESE = re.compile(r"[\u3400-\u9fff（），：]+")
_CONDITIONS = ("enter_if", "exit", "exit_if", "if", "goal", "until")


def conditions(part: Any) -> Iterator[Any]:
    """Every tree of a playbook, wherever it stands."""
    if isinstance(part, list):
        for each in part:
            yield from conditions(each)
    if isinstance(part, dict):
        for key, value in part.items():
            if key in _CONDITIONS and isinstance(value, dict) and not check_condition(value):
                yield value
            elif key != "tests":
                yield from conditions(value)


def own_words(part: Any) -> list[str]:
    """The texts in a leaf, the longest first."""
    if isinstance(part, dict):
        found = [word for each in part.items() for word in own_words(list(each))]
    elif isinstance(part, list):
        found = [word for each in part for word in own_words(each)]
    else:
        found = [str(part)]
    return sorted(found, key=len, reverse=True)


def test_every_leaf_of_the_shipped_playbooks_is_said_in_english() -> None:
    seen = set()
    for path in PLAYBOOKS:
        for tree in conditions(yaml.safe_load(path.read_text(encoding="utf-8"))):
            for _, leaf in list_leaves(tree):
                with speaking("en"):
                    said = asked(words_of(leaf))
                    denied = asked(f"并非：{words_of(leaf)}")
                assert denied == f"not: {said}"
                left = said
                for word in own_words(leaf):
                    left = left.replace(word, "").replace("、", "")
                assert not _CHINESE.search(left), (path.name, said)
                seen.add(said)
    assert len(seen) > 30


@pytest.mark.parametrize("title", [known.title for known in FIELDS] + list(FACTS.values()))
def test_each_field_is_named_in_english(title: str) -> None:
    with speaking("en"):
        assert not _CHINESE.search(asked(f"{title} 不少于 3"))
    assert asked(f"{title} 不少于 3") == f"{title} 不少于 3"


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("已付款订单数 等于 0", "paid orders is 0"),
        ("24 小时内“付款”次数 不少于 1", "“Paid” within 24 h, times: at least 1"),
        ("“付款”次数 不少于 1，sku 是 R-1，shop 是 一店", "“Paid”, times: at least 1; sku is R-1, shop is 一店"),
        ("自定义字段“肤质” 等于 干性", "field “肤质” is 干性"),
        ("触发事件的实付金额（元） 不少于 200", "the event’s amount paid (yuan) at least 200"),
        ("券“new72h”未用，24 小时内到期", "coupon “new72h” unused, expires within 24 h"),
        ("符合 订单数 不少于 1（现为 2）", "fits orders at least 1 (now 2)"),
        (
            "30 天内买过（名称含 防晒，渠道 天猫）的订单数 不少于 1",
            "orders within 30 d with (name with 防晒, channel 天猫): at least 1",
        ),
        ("买过（任何商品）的订单数 等于 0", "orders with (any goods): is 0"),
        # A tag may be called like a word of ours.
        ("有标签“原因”", "has tag “原因”"),
        ("3", "3"),
    ],
)
def test_leaves_and_findings_in_english(kept: str, said: str) -> None:
    with speaking("en"):
        assert asked(kept) == said
