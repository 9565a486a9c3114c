"""What the board offers covers what playbooks can say, and what its forms show comes back as it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scrm.console.conditions.forms import shown
from scrm.errors import Invalid
from scrm.sop.actions import ACTIONS
from scrm.sop.board import starting
from scrm.sop.board.acts import perform
from scrm.sop.board.conditions import read_tree
from scrm.sop.board.model import read_board, write_path
from scrm.sop.board.said import Said, split_duration
from scrm.sop.channels import CHANNELS
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.source import read_source
from scrm.sop.triggers import TRIGGERS

TEXT = starting.new_text("sop-1", "新客：三步")
PLAIN = {path.stem: read_source(path.read_text("utf-8")).plain() for path in Path("config/playbooks").rglob("*.yaml")}


def said(**values: str) -> Said:
    return Said({name.replace("__", "."): [value] for name, value in values.items()})


def conditions_in(data: Any) -> Iterator[Any]:
    """Every condition of a playbook's data."""
    if isinstance(data, dict):
        yield from (data[key] for key in ("if", "enter_if", "exit_if") if isinstance(data.get(key), dict))
        for value in data.values():
            yield from conditions_in(value)
    elif isinstance(data, list):
        for value in data:
            yield from conditions_in(value)


def test_every_channel_and_action_is_on_the_board() -> None:
    # A moment belongs to a plan: it never stands in a playbook.
    assert {channel.letter for channel in CHANNELS} - {"P"} == {kind for kind in starting.KINDS if len(kind) == 1}
    pages = Path("web/templates/console")
    shown = (pages / "playbook_board_step.html").read_text("utf-8") + (pages / "playbook_board.html").read_text("utf-8")
    assert [action.name for action in ACTIONS if action.name not in shown] == []
    assert [kind for kind in starting.KINDS if f'("{kind}", ' not in shown] == []


def test_a_new_text_is_sound_and_keeps_its_title() -> None:
    assert parse_playbook(TEXT, file_name="sop-1").title == "新客：三步"


@pytest.mark.parametrize("name", [trigger.name for trigger in TRIGGERS])
def test_every_trigger_can_be_chosen(name: str) -> None:
    text = perform(TEXT, "put", said(field="trigger", event=name)).text
    if name == "schedule.due":
        text = perform(text, "put", said(field="segment", segment="vip")).text
        text = perform(text, "put", said(field="schedule", schedule="month", schedule__day="15")).text
    playbook = parse_playbook(text, file_name="sop-1")
    assert playbook.trigger.event == name
    assert playbook.run_key == "person"


@pytest.mark.parametrize("name", PLAIN)
def test_conditions_come_back_from_the_builder_as_they_were(name: str) -> None:
    for tree in conditions_in({key: part for key, part in PLAIN[name].items() if key != "tests"}):
        assert read_tree(Said({"if.tree": [shown(tree)["tree"]]}), "if") == tree
    assert read_tree(Said({"if.tree": [shown(None)["tree"]]}), "if") is None


def test_what_no_builder_makes_is_refused() -> None:
    for text in ("[", "[1]", '"words"', "9" * 70_000):
        with pytest.raises(Invalid, match="条件没有完整地传过来"):
            read_tree(Said({"if.tree": [text]}), "if")


def test_a_new_part_of_each_kind_is_sound_wherever_it_is_put() -> None:
    for kind in starting.KINDS:
        text = perform(TEXT, "add", said(kind=kind, to="steps", index="1")).text
        if kind != "G":  # which only somebody who joins a group may begin
            parse_playbook(text, file_name="sop-1")
        assert len(list(read_board(text).cards())) == 2


def test_a_day_is_a_day_of_the_calendar_with_its_hours() -> None:
    text = perform(TEXT, "add", said(kind="T", to="steps", day="D2")).text
    at = write_path(read_board(text).series.cards[1].at)
    for day, written in (("D5", "D+5 10:00-20:00"), ("W3", "W+3 10:00-20:00"), ("D0", "T0")):
        data = read_board(perform(text, "move", said(at=at, to="steps", day=day)).text).series.cards[1].data
        assert data["at"] == written
        assert data.get("window", "10:00-20:00") == "10:00-20:00"


@pytest.mark.parametrize(
    ("written", "shown"),
    [("24h", ("24", "h")), ("1h30m", ("90", "m")), ("2d12h", ("60", "h")), ("90s", ("1", "m")), ("bald", ("", "h"))],
)
def test_durations_are_shown_as_a_number_and_a_unit(written: str, shown: tuple[str, str]) -> None:
    assert split_duration(written) == shown


def test_a_line_that_does_more_than_the_panel_shows_keeps_the_rest() -> None:
    start = TEXT.index("steps:")
    text = TEXT[:start] + "steps:\n  - {id: mark, at: T0, channel: X, do: [{set: {stage: 潜客, skin: 油皮}}]}\n"
    changed = perform(
        text, "put", said(at="steps/0", field="act", item="do/0", act="set", key="stage", value="首购")
    ).text
    assert read_source(changed).plain()["steps"][0]["do"] == [{"set": {"stage": "首购", "skin": "油皮"}}]
