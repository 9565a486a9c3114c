"""Edits of a playbook's text: what they are about changes, and no other letter; whatever is done in whatever order."""

import re
from collections.abc import Iterator
from pathlib import Path as File
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scrm.sop.board.editing import Unwritable, drop, insert, move, put
from scrm.sop.board.spots import Path, find_spots, list_comments, value_at
from scrm.sop.board.writing import write_flow
from scrm.sop.text.source import read_source

FILES = sorted(File("config/playbooks").rglob("*.yaml"))
TEXTS = {path.stem: path.read_text("utf-8") for path in FILES}
# Branches, splits, waits, lists in brackets, comments everywhere; chance takes from all of them.
SOME = [name for name in TEXTS if re.match("new-customer|pb-(02|03-|06|07-|14|16|17|19|20-friend|b-new)", name)]


def paths_of(data: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    parts: Any = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, part in parts:
        yield from paths_of(part, (*path, key))


def lists_of(data: Any) -> list[Path]:
    """The lists that hold steps: of the whole, and of arms."""
    return [
        path
        for path in paths_of(data)
        if path and path[0] == "steps" and path[-1] in ("steps", "else") and isinstance(value_at(data, path), list)
    ]


@pytest.mark.parametrize("name", SOME)
def test_putting_what_stands_there_says_the_same_and_keeps_every_comment(name: str) -> None:
    """One value of each kind of place, written once more, one after the other."""
    text = TEXTS[name]
    data, comments = read_source(text).plain(), [comment for _, comment in list_comments(text)]
    places = {tuple("" if isinstance(part, int) else part for part in path): path for path in paths_of(data)}
    for path in list(places.values())[::3]:
        value = value_at(data, path)
        if path and path[0] != "tests" and not isinstance(value, dict | list):
            text = put(text, path, value)
    assert read_source(text).plain() == data
    assert [comment for _, comment in list_comments(text)] == comments


@pytest.mark.parametrize("name", SOME)
def test_a_change_touches_the_lines_of_its_step_alone(name: str) -> None:
    text = TEXTS[name]
    lines, spots = text.split("\n"), find_spots(text)
    for number, step in enumerate(read_source(text).plain()["steps"][:3]):
        spot = spots.at(("steps", number))
        assert spot is not None
        if "channel" not in step:
            continue
        for key, value in (("title", "换个名字"), ("if", {"no_reply": True})):
            changed = put(text, ("steps", number, key), value).split("\n")
            assert changed[: spot.line] == lines[: spot.line]
            assert changed[len(changed) - (len(lines) - spot.last - 1) :] == lines[spot.last + 1 :]


@pytest.mark.parametrize("name", SOME)
def test_a_step_that_goes_and_comes_back_leaves_no_trace(name: str) -> None:
    text = TEXTS[name]
    count = len(read_source(text).plain()["steps"])
    if count < 2:
        return
    there, path = move(text, ("steps", 0), ("steps",), count)
    assert path == ("steps", count - 1)
    back, path = move(there, path, ("steps",), 0)
    assert path == ("steps", 0)
    assert back == text


WORDS = st.text(alphabet=st.sampled_from("ab好：:#-'\"{}[]|>*&!%@`,? \n～1.0:30~yesnull😊"), max_size=24)
VALUES = st.one_of(
    WORDS.map(lambda text: "\n".join(line.strip() for line in text.split("\n")).strip()),
    st.integers(-(10**6), 10**6),
    st.booleans(),
    st.none(),
    st.fixed_dictionaries({"field": WORDS, "op": st.just("eq"), "value": st.lists(WORDS, max_size=3)}),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_any_row_of_edits_says_what_was_asked_and_keeps_the_comments(data: st.DataObject) -> None:
    text = TEXTS[data.draw(st.sampled_from([*TEXTS]), label="playbook")]
    for _ in range(data.draw(st.integers(1, 6))):
        plain = read_source(text).plain()
        comments = sorted(comment for _, comment in list_comments(text))
        lists = lists_of(plain)
        items = [(*path, number) for path in lists for number in range(len(value_at(plain, path)))]
        match data.draw(st.sampled_from(["put", "add key", "drop", "insert", "move"])):
            case "put":
                path = data.draw(st.sampled_from([path for path in paths_of(plain) if len(path) > 1]))
                text = put(text, path, value := data.draw(VALUES))
                assert value_at(read_source(text).plain(), path) == value
                if isinstance(value_at(plain, path), dict | list):
                    continue  # what it held is gone, its comments too
            case "add key" if items:
                text = put(text, (*data.draw(st.sampled_from(items)), "note"), data.draw(VALUES))
            case "drop" if items:
                text = drop(text, data.draw(st.sampled_from(items)))
                continue
            case "insert":
                to = data.draw(st.sampled_from(lists))
                step = {"id": "new", "at": "D+1 10:00-11:00", "channel": "T", "content": {"text": data.draw(WORDS)}}
                text = insert(text, to, data.draw(st.integers(0, len(value_at(plain, to)))), step)
            case "move" if items:
                item, to = data.draw(st.sampled_from(items)), data.draw(st.sampled_from(lists))
                index = data.draw(st.integers(0, len(value_at(plain, to))))
                value = value_at(plain, item)
                if to[: len(item)] == item:
                    with pytest.raises(Unwritable, match="它自己"):
                        move(text, item, to, index)
                    continue
                text, path = move(text, item, to, index)
                assert value_at(read_source(text).plain(), path) == value
        assert sorted(comment for _, comment in list_comments(text)) == comments


def test_a_text_in_braces_and_brackets_can_be_edited_too() -> None:
    text = (
        "playbook: small   # a key\n"
        "steps: [{id: a, at: T0, channel: X, do: [{add_tag: 新}]},  # first\n"
        "  {id: b, at: D+1, channel: X}]\n"
        "goal: none\n"
    )
    changed = put(text, ("steps", 1, "title"), "第二步：问候")
    assert read_source(changed).plain()["steps"][1]["title"] == "第二步：问候"
    assert "# first" in changed
    assert "# a key" in changed
    longer = insert(text, ("steps",), 1, {"id": "c", "at": "T0", "channel": "T", "content": {"text": "您好\n在吗"}})
    assert [step["id"] for step in read_source(longer).plain()["steps"]] == ["a", "c", "b"]
    assert "# first" in longer
    assert read_source(drop(text, ("steps", 0, "do"))).plain()["steps"][0] == {"id": "a", "at": "T0", "channel": "X"}


@given(VALUES)
def test_what_is_written_on_one_line_reads_as_it_was(value: Any) -> None:
    assert read_source(f"a: {write_flow(value)}").plain() == {"a": value}


ONE_LINE = """\
steps:
  - {id: hello, at: T0, channel: W, content: {text: 您好}}
  - split:
      - {name: A, share: 50%, steps: [{id: a, at: D+1, channel: S, hint: 问问}]}  # half of them
      - {name: B, share: 50%, steps: []}
"""


def test_a_part_goes_into_an_arm_that_is_written_in_one_line() -> None:
    new = {"id": "b", "at": "D+2", "channel": "S", "hint": "再问"}
    text = insert(ONE_LINE, ("steps", 1, "split", 0, "steps"), 1, new)
    text = insert(text, ("steps", 1, "split", 1, "steps"), 0, new)
    data = read_source(text).plain()
    arms = data["steps"][1]["split"]
    assert [[step["id"] for step in arm["steps"]] for arm in arms] == [["a", "b"], ["b"]]
    assert [arm["share"] for arm in arms] == ["50%", "50%"]
    assert "# half of them" in text
    moved, at = move(text, ("steps", 0), ("steps", 1, "split", 1, "steps"), 1)
    assert read_source(moved).plain()["steps"][0]["split"][1]["steps"][1]["id"] == "hello"
    assert at == ("steps", 0, "split", 1, "steps", 1)
