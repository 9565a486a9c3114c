"""Where each value of a text stands, so that an edit can replace it and leave every other character alone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml import CSafeLoader

Path = tuple[str | int, ...]

_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")


@dataclass(slots=True)
class Spot:
    """One value: lines and columns count from 0, `last` is the last line that is its own; `end` the column after it.

    A mapping has `parts` by key and `keys` with (line, column) of each, a sequence has `parts` by number.
    """

    kind: str  # "map", "seq" or "scalar"
    line: int
    column: int
    last: int
    end: int
    is_flow: bool
    is_block_text: bool = False
    parts: dict[str | int, "Spot"] = field(default_factory=dict)
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)

    def at(self, path: Path) -> "Spot | None":
        """What stands at that path."""
        spot: Spot | None = self
        for part in path:
            spot = spot.parts.get(part) if spot is not None else None
        return spot

    def walk(self) -> Iterator["Spot"]:
        yield self
        for part in self.parts.values():
            yield from part.walk()


def find_spots(text: str) -> Spot:
    """The places of a text that `read_source` takes."""
    node = yaml.compose(text, Loader=CSafeLoader)
    if node is None:
        return Spot("scalar", 0, 0, 0, 0, is_flow=True)
    return _spot(node, text.split("\n"))


def _spot(node: Any, lines: list[str]) -> Spot:
    line, column = node.start_mark.line, node.start_mark.column
    if isinstance(node, yaml.ScalarNode):
        is_block = node.style in ("|", ">")
        last, end = _end_of_block(node, lines) if is_block else (node.end_mark.line, node.end_mark.column)
        return Spot("scalar", line, column, last, end, not is_block, is_block)
    spot = Spot("seq", line, column, node.end_mark.line, node.end_mark.column, bool(node.flow_style))
    if isinstance(node, yaml.MappingNode):
        spot.kind = "map"
        for key, value in node.value:
            spot.keys[key.value] = (key.start_mark.line, key.start_mark.column)
            spot.parts[key.value] = _spot(value, lines)
    else:
        spot.parts = {number: _spot(each, lines) for number, each in enumerate(node.value)}
    if not spot.is_flow and spot.parts:
        inner = list(spot.parts.values())[-1]
        spot.last, spot.end = inner.last, inner.end
    return spot


def _end_of_block(node: yaml.Node, lines: list[str]) -> tuple[int, int]:
    """The end of a text in many lines; blank lines and comments after it are not its own."""
    last = node.end_mark.line if node.end_mark.column else node.end_mark.line - 1
    while last > node.start_mark.line and not lines[last].strip():
        last -= 1
    return last, len(lines[last])


def list_comments(text: str) -> list[tuple[int, str]]:
    """(line, comment) of all comments; what looks like one inside a value is none."""
    lines = text.split("\n")
    for spot in find_spots(text).walk():
        if spot.kind == "scalar":
            _blank(lines, spot)
    return [(number, found[0]) for number, line in enumerate(lines) if (found := _COMMENT.search(line))]


def _blank(lines: list[str], spot: Spot) -> None:
    for number in range(spot.line, spot.last + 1):
        if number >= len(lines):
            break
        start = spot.column if number == spot.line else 0
        if spot.is_block_text and number == spot.line:
            continue  # the line of | or > may end in a comment
        end = spot.end if number == spot.last else len(lines[number])
        lines[number] = lines[number][:start] + "x" * max(0, end - start) + lines[number][end:]


def value_at(data: Any, path: Path) -> Any:
    """What plain data holds at a path; raises LookupError."""
    for part in path:
        data = data[part]
    return data
