"""The playbooks that come with the product: sound, and doing what their own tests say."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from scrm.cli import run
from scrm.content.variables import VARIABLES
from scrm.profiles.conditions.fields import FIELDS
from scrm.profiles.conditions.tree import FLAGS
from scrm.sop.life.published import TEMPLATES, list_beside, list_files, read_file
from scrm.sop.rehearsal.rehearse import EXPECTED, compare, rehearse, run_test
from scrm.sop.schema import Playbook
from scrm.sop.text.parse import parse_playbook

DIRECTORY = Path(__file__).parents[2] / "config" / "playbooks"
FILES = [*list_files(DIRECTORY), *list_files(DIRECTORY / TEMPLATES)]
TESTS = [(path, number) for path in FILES for number in range(len(read_file(path).tests))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_playbook_is_sound_and_brings_tests(path: Path) -> None:
    playbook = read_file(path)
    assert playbook.key == path.stem
    assert playbook.description
    assert len(playbook.tests) >= (3 if path.parent.name == TEMPLATES else 2)


@pytest.mark.parametrize(("path", "number"), TESTS, ids=[f"{path.stem}-{number}" for path, number in TESTS])
async def test_every_playbook_does_what_its_tests_say(path: Path, number: int, sqlite_file: Path) -> None:
    playbook = read_file(path)
    test = playbook.tests[number]
    result = await run_test(playbook, test, sqlite_file, [read_file(other) for other in list_beside(path)])
    assert result.problems == [], "\n".join([str(test["name"]), *result.problems, *result.story])


NUDGE = """\
playbook: nudge
title: 试一试
trigger: {event: contact.added, where: {channel.kind: 直播}}
run_key: person
reentry: never
exit_if: {any: [{event: order.paid}, {flag: optout.promo}]}
goal: none
steps:
  - {id: welcome, at: T0, channel: W, content: {text: 您好}}
  - {id: nudge, at: T0+30m, window: "09:00-21:00", late: drop, ttl: 6h, channel: T, content: {text: 在吗}}
  - {id: usage, at: D+2 10:00-12:00, late: defer, ttl: 24h, channel: T, content: {text: 用法}}
"""
LIVE = {"event": "contact.added", "at": "2026-03-01T23:10", "channel.kind": "直播"}


@pytest.fixture
def nudge() -> Playbook:
    return parse_playbook(NUDGE, file_name="nudge.yaml")


async def rehearsed(playbook: Playbook, test: dict[str, Any], empty: Path) -> list[str]:
    path = Path(shutil.copy(empty, empty.with_name("rehearsal.db")))
    result = await run_test(playbook, {"name": "t", "line": 1, **test}, path)
    return result.problems


async def test_a_rehearsal_tells_what_was_dropped_and_what_comes_next(nudge: Playbook, sqlite_file: Path) -> None:
    test = {
        "given": [LIVE],
        "until": "2026-03-02T09:59",
        "expect": {
            "sent": ["welcome"],
            "dropped": [{"nudge": "勿扰"}],
            "run": "active",
            "next": {"step": "usage", "at": "2026-03-03T1"},
        },
    }
    assert await rehearsed(nudge, test, sqlite_file) == []


async def test_a_rehearsal_says_what_came_otherwise(nudge: Playbook, sqlite_file: Path) -> None:
    test = {
        "given": [LIVE],
        "until": "2026-03-03T13:00",
        "expect": {
            "sent": ["welcome", "usage"],
            "tasks": [],
            "run": "done",
            "colour": 1,
            "dropped": [{"nudge": "下雨"}],
        },
    }
    told = "\n".join(await rehearsed(nudge, test, sqlite_file))
    assert "sent 期望 welcome、usage，实际 welcome" in told
    assert "tasks 期望 无，实际 usage" in told
    assert "不认识“colour”" in told
    assert "dropped 的 nudge 期望原因含“下雨”" in told


async def test_another_channel_and_a_refusal_are_rehearsed_too(nudge: Playbook, sqlite_file: Path) -> None:
    other = {"given": [{**LIVE, "channel.kind": "门店"}], "expect": {"sent": [], "run": "none"}}
    assert await rehearsed(nudge, other, sqlite_file) == []
    refused = {
        "given": [{**LIVE, "at": "2026-03-01T10:00"}, "optout.promo @2026-03-01T10:10"],
        "staff": {"confirms_after": "5m"},
        "expect": {"sent": ["welcome"]},
    }
    assert await rehearsed(nudge, refused, sqlite_file) == []


@pytest.mark.parametrize(
    ("test", "says"),
    [
        ({"given": [], "expect": {"run": "none"}}, "given 要写成列表"),
        ({"given": ["order.paid yesterday"], "expect": {"run": "none"}}, "看不懂 given 里的"),
        ({"given": ["order.paid @yesterday"], "expect": {"run": "none"}}, "看不懂时间“yesterday”"),
        (
            {"given": [LIVE], "staff": {"confirms_after": "soon"}, "expect": {"run": "none"}},
            "confirms_after：看不懂时长“soon”",
        ),
        ({"given": [LIVE], "staff": "never", "expect": {"run": "none"}}, "看不懂 staff“never”，请写成"),
        (
            {"given": [{"event": "order.paid", "at": "2026-03-02T09:00", "lines": 5}], "expect": {"run": "none"}},
            "lines 要写成列表",
        ),
        ({"given": [LIVE], "expect": {"coupons": [{}, "x"]}}, "coupons 期望 x"),
        ({"given": [LIVE], "expect": {}}, "expect 是空的"),
    ],
)
async def test_a_test_that_cannot_be_played_says_why(
    test: dict[str, Any], says: str, nudge: Playbook, sqlite_file: Path
) -> None:
    (problem,) = await rehearsed(nudge, test, sqlite_file)
    assert says in problem


async def test_a_shipped_playbook_fails_a_wrong_expectation(sqlite_file: Path) -> None:
    playbook = read_file(DIRECTORY / "new-customer.yaml")
    found = await rehearse(playbook, playbook.tests[0], sqlite_file)
    assert found.outcomes["sent"] == ["welcome", "remind"]
    assert compare({"sent": ["welcome"]}, found) != []
    assert any("新人券" in line for line in found.story)


async def test_a_text_says_what_the_event_said_as_people_write_it(sqlite_file: Path) -> None:
    playbook = read_file(DIRECTORY / TEMPLATES / "pb-11-coupon-expiring.yaml")
    found = await rehearse(playbook, playbook.tests[0], sqlite_file)
    assert any("春日券（30 元）3月5日 14:00到期" in line for line in found.story)


# The commands.


class Said(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def scrm(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """`scrm playbook`, without the seconds that a process takes to start."""
    return lambda *arguments: Said(run(["playbook", *arguments]), *capsys.readouterr())


def test_lint_names_file_line_and_mend(tmp_path: Path, scrm: Callable[..., Said]) -> None:
    (tmp_path / "good.yaml").write_text(NUDGE, "utf-8")
    (tmp_path / "bad.yaml").write_text(NUDGE.replace("ttl: 6h", "ttl: 6x"), "utf-8")
    result = scrm("lint", str(tmp_path))
    assert result.code == 1
    assert f"{tmp_path}/bad.yaml 第 10 行：ttl：看不懂时长“6x”" in result.err
    assert f"{tmp_path}/good.yaml：没有问题" in result.out
    assert scrm("lint", str(tmp_path / "good.yaml")).code == 0
    missing = scrm("lint", str(tmp_path / "none.yaml"))
    assert missing.code == 2
    assert "none.yaml" in missing.err


def test_test_and_rehearse_play_the_tests_of_a_file(tmp_path: Path, scrm: Callable[..., Said]) -> None:
    tests = """\
tests:
  - name: 直播间来的新客
    given: [{event: contact.added, at: "2026-03-01T10:00", channel.kind: 直播}]
    until: 2026-03-01T12:00
    expect: {sent: [welcome], tasks: [nudge]}
"""
    (tmp_path / "nudge.yaml").write_text(NUDGE + tests, "utf-8")
    told = scrm("rehearse", str(tmp_path))
    assert told.code == 0, told.err
    assert "✓ nudge.yaml 直播间来的新客" in told.out
    assert "欢迎语 sent：您好" in told.out
    assert "1 个通过，0 个不符" in told.out
    (tmp_path / "nudge.yaml").write_text(NUDGE + tests.replace("[nudge]", "[usage]"), "utf-8")
    failed = scrm("test", str(tmp_path))
    assert failed.code == 1
    assert "tasks 期望 usage，实际 nudge" in failed.out


def test_apply_publishes_diff_shows_and_export_gives_back(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scrm: Callable[..., Said]
) -> None:
    path = tmp_path / "nudge.yaml"
    path.write_text(NUDGE, "utf-8")
    settings = {
        "SCRM_DATABASE__URL": sqlite_url,
        "SCRM_WECOM__CORP_ID": "ww0123456789abcdef",
        "SCRM_WECOM__AGENT_ID": "1000002",
        "SCRM_WECOM__SECRET": "secret",
        "SCRM_WECOM__TOKEN": "token",
        "SCRM_WECOM__ENCODING_AES_KEY": "a" * 43,
        "SCRM_SECURITY__SECRET_KEY": "k" * 32,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    first = scrm("apply", str(path))
    assert (first.code, first.out) == (0, f"{path}：已发布（试一试）\n"), first.err
    assert "没有变化" in scrm("apply", str(path)).out
    path.write_text(NUDGE.replace("在吗", "您好呀"), "utf-8")
    changed = scrm("diff", str(path)).out
    assert [line for line in changed.splitlines() if line.startswith("-  ") and "在吗" in line]
    assert [line for line in changed.splitlines() if line.startswith("+  ") and "您好呀" in line]
    assert scrm("export", "nudge").out == NUDGE
    unknown = scrm("export", "nothing")
    assert (unknown.code, "没有已发布的剧本“nothing”" in unknown.err) == (1, True)


# The document authors read.

DOCUMENT = Path(__file__).parents[2] / "docs" / "playbooks.md"


async def test_the_documented_example_is_sound_and_does_what_it_says(sqlite_file: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    playbook = parse_playbook(example, file_name="docs/playbooks.md")
    (test,) = playbook.tests
    result = await run_test(playbook, test, sqlite_file)
    assert result.problems == []


def test_the_document_names_every_field_variable_and_expectation() -> None:
    text = DOCUMENT.read_text("utf-8")
    variables = [key.replace("coupon.", ".") for key in VARIABLES]
    names = [*(known.key for known in FIELDS), *variables, *EXPECTED, *FLAGS]
    assert [name for name in names if name not in text] == []
