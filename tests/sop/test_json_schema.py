"""The published JSON Schema: it takes every playbook that parse takes, and refuses each shape that parse refuses."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from scrm.sop.channels import CHANNELS
from scrm.sop.text.json_schema import json_schema
from scrm.sop.text.parse import PLAYBOOK_KEYS, parse_playbook
from scrm.sop.text.reading import PlaybookErrors
from scrm.sop.text.source import read_source
from scrm.sop.text.steps import STEP_KEYS
from tests.json_schemas import broken

SCHEMA = json_schema()
FILES = sorted(Path("config/playbooks").glob("*.yaml"))
WHOLE = """\
playbook: whole
title: 什么都有
trigger: {event: contact.added, where: {channel.kind: [直播]}}
run_key: person
reentry: {every: 90d}
enter_if: {all: [{field: person.paid_orders, op: eq, value: 0}, {not: {tag: 黑名单}}]}
exit_if: {event: order.paid}
goal: {event: order.paid, within: 7d}
guards: {quiet: "21:30-09:00", cap: {gap: 24h, per_week: 3}, max_pushes: 4}
holdout: 5%
approval: {audience: 300}
coupons: {hi: {title: 见面礼, amount: 5, valid: 30d}}
steps:
  - {id: ask, at: T0+2h, channel: T, ttl: 4h, late: drop, content: {text: 您好}}
  - wait: {id: paid, event: order.paid, timeout: 3d, on_timeout: next}
  - branch:
      - {name: VIP, if: {tag: VIP}, steps: [{id: vip, at: D+1, channel: X, do: [{add_tag: 老客}]}]}
      - {else: [{id: rest, at: D+1 10:00-11:30, channel: T, ttl: 1d, late: defer, content: {text: 您好}}]}
    id: fork
  - split:
      - {share: 50%, name: A, steps: [{id: a, at: D+2, channel: T, ttl: 1d, late: defer, content: {text: 您好}}]}
      - {share: 50%, name: B, steps: []}
    id: half
  - id: try
    at: W+3
    only: workdays
    window: "09:00-21:00"
    channel: T
    ttl: 1d
    late: defer
    content: {variants: [{share: 50%, text: 早}, {share: 50%, text: 您好, attachments: [{coupon: hi}]}]}
"""


def errors(text: str) -> list[str]:
    return list(broken(SCHEMA, read_source(text).plain()))


def is_refused(text: str) -> bool:
    try:
        parse_playbook(text, file_name="x.yaml")
    except PlaybookErrors:
        return True
    return False


def test_it_knows_every_key() -> None:
    assert set(json_schema()["properties"]) == set(PLAYBOOK_KEYS)
    keys = {*STEP_KEYS, *(key for channel in CHANNELS for key in channel.keys)}
    assert set(json_schema()["$defs"]["step"]["properties"]) == keys


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_playbook_of_ours_fits(path: Path) -> None:
    assert errors(path.read_text("utf-8")) == []


def test_a_playbook_with_everything_fits() -> None:
    parse_playbook(WHOLE, file_name="whole.yaml")
    assert errors(WHOLE) == []


def put(path: tuple[Any, ...], value: Any) -> str:
    """The whole playbook with one place changed; `...` takes it out."""
    tree = read_source(WHOLE).plain()
    place = tree
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    elif isinstance(place, list) and path[-1] == len(place):
        place.append(value)
    else:
        place[path[-1]] = value
    return str(yaml.safe_dump(tree, allow_unicode=True))


FORK, HALF, TRY = ("steps", 2), ("steps", 3), ("steps", 4)
MUTATIONS: list[tuple[tuple[Any, ...], Any]] = [
    *(((key,), ...) for key in ("playbook", "title", "trigger", "run_key", "reentry", "exit_if", "goal", "steps")),
    (("unknown",), 1),
    (("playbook",), "Not A Key"),
    (("title",), ""),
    (("priority",), "P9"),
    (("trigger",), "contact.added"),
    (("trigger", "event"), "nothing.happened"),
    (("trigger", "where"), {}),
    (("trigger", "date"), "birthday"),
    (("trigger", "cron"), "0 10 * * 1"),
    (("trigger",), {"event": "date.reached"}),
    (("trigger",), {"event": "schedule.due", "cron": "0 10 * * 1"}),
    (("run_key",), "nobody"),
    (("reentry",), "sometimes"),
    (("reentry",), {"every": "often"}),
    (("enter_if",), {}),
    (("enter_if",), {"all": []}),
    (("enter_if",), {"feld": "x"}),
    (("enter_if",), {"event": "nothing.happened"}),
    (("exit_if",), {"flag": "unknown"}),
    (("goal",), {"within": "7d"}),
    (("goal", "within"), "soon"),
    (("guards", "quiet"), "night"),
    (("guards", "cap"), 3),
    (("guards", "cap", "per_week"), 0),
    (("guards", "max_pushes"), 0),
    (("guards", "brake"), "off"),
    (("guards", "optout"), "spam"),
    (("guards", "unknown"), 1),
    (("holdout",), 0.05),
    (("approval",), {}),
    (("approval", "audience"), 0),
    (("coupons",), {}),
    (("coupons", "hi", "title"), ...),
    (("coupons", "hi", "amount"), "five"),
    (("coupons", "hi", "valid"), "long"),
    (("coupons", "hi", "kind"), "paper"),
    (("coupons", "hi", "budget"), 0),
    (("steps",), []),
    (("steps", 0, "id"), ...),
    (("steps", 0, "at"), ...),
    (("steps", 0, "channel"), ...),
    (("steps", 0, "id"), "Ask Him"),
    (("steps", 0, "at"), "soon"),
    (("steps", 0, "at"), "T9"),
    (("steps", 0, "channel"), "Z"),
    (("steps", 0, "window"), "all day"),
    (("steps", 0, "only"), "sundays"),
    (("steps", 0, "late"), "never"),
    (("steps", 0, "ttl"), "4 hours"),
    (("steps", 0, "quiet"), "22:00-08:00"),
    (("steps", 0, "if"), {}),
    (("steps", 0, "content", "text"), ""),
    (("steps", 0, "content", "attachments"), []),
    (("steps", 0, "content", "attachments"), [{"coupon": "hi"} for _ in range(10)]),
    (("steps", 0, "content", "attachments"), [{"link": {"title": "x"}}]),
    (("steps", 0, "content", "words"), "x"),
    (("steps", 0, "gather"), "1h"),
    (("steps", 0, "wait"), {"for": "2h"}),
    (("steps", 1, "wait", "timeout"), ...),
    (("steps", 1, "wait", "on_timeout"), ...),
    (("steps", 1, "wait", "on_timeout"), "stop"),
    (("steps", 1, "wait", "event"), "nothing.happened"),
    (("steps", 1, "wait", "unknown"), 1),
    ((*FORK, "branch"), []),
    ((*FORK, "branch", 0, "if"), ...),
    ((*FORK, "branch", 0, "steps"), ...),
    ((*FORK, "branch", 0, "share"), "50%"),
    ((*FORK, "branch", 1, "if"), {"tag": "VIP"}),
    ((*FORK, "channel"), "T"),
    ((*HALF, "split"), []),
    ((*HALF, "split", 0, "share"), "half"),
    ((*HALF, "split", 0, "share"), ...),
    ((*HALF, "split", 0, "steps", 0, "do"), []),
    ((*TRY, "content", "text"), "两样都写"),
    ((*TRY, "content", "variants"), []),
    ((*TRY, "content", "variants", 0, "share"), ...),
    ((*TRY, "unknown"), 1),
    (("tests",), [{"name": "x"}]),
]


@pytest.mark.parametrize(("path", "value"), MUTATIONS, ids=lambda each: str(each)[:60])
def test_what_parse_refuses_for_its_shape_the_schema_refuses(path: tuple[Any, ...], value: Any) -> None:
    text = put(path, value)
    assert is_refused(text), "parse takes it"
    assert errors(text), "the schema takes it"
