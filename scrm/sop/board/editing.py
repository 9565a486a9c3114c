"""Edits of a text that change one value and keep the rest to the letter: comments, order, blank lines. Pure.

Each edit knows what the text must say afterwards, and reads its own result by the house's reader before it gives it
away: what cannot be written so is refused, never written wrongly.
"""

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from scrm.sop.board.spots import Path, Spot, find_spots, list_comments, value_at
from scrm.sop.board.writing import write_item, write_scalar, write_value
from scrm.sop.text.source import SourceError, read_source

_BLOCK_TEXT = re.compile(r"[|>][-+\d]*")
# The order in which an author is used to find keys; others come last.
_ORDER = (
    "playbook", "title", "description", "version", "priority", "owner_role", "trigger", "run_key", "reentry", "enter_if",
    "exit_if", "goal", "holdout", "approval", "guards", "coupons", "steps", "tests",
)  # fmt: skip
_ORDER_INSIDE = (
    "branch", "split", "wait", "id", "name", "title", "event", "where", "at", "window", "only", "channel", "late", "ttl",
    "timeout", "for", "on_timeout", "then", "quiet", "if", "share", "notify", "to", "url", "data", "gather", "escalate",
    "stop_at_losses", "hint", "form", "text", "content", "coupon", "attachments", "variants", "do", "steps",
)  # fmt: skip


class Unwritable(ValueError):
    """An edit that this text is written too unusually for."""


def put(text: str, path: Path, value: Any) -> str:
    """The text with that value at that path; keys that are not there yet are added where authors look for them."""
    data = read_source(text).plain()
    return _checked(_put(text, path, value), _with(data, path, value))


def drop(text: str, path: Path) -> str:
    """The text without what stands there; a list that loses its last item stays as `[]`. Nothing there: no change."""
    data = read_source(text).plain()
    try:
        value_at(data, path)
    except (LookupError, TypeError):
        return text
    return _checked(_drop(text, path), _without(data, path))


def insert(text: str, to: Path, index: int, value: Any) -> str:
    """The text with a new item at that place of a list."""
    data = read_source(text).plain()
    wanted = copy.deepcopy(data)
    value_at(wanted, to).insert(index, copy.deepcopy(value))
    return _checked(_insert(text, to, index, lambda column: write_item(value, column)), wanted)


def move(text: str, item: Path, to: Path, index: int) -> tuple[str, Path]:
    """The text with an item elsewhere, as it was written, and its new path; `to` and `index` count before the move."""
    if to[: len(item)] == item:
        raise Unwritable("不能放进它自己里面")
    data = read_source(text).plain()
    value, written = value_at(data, item), _cut_out(text, item)
    to, index = _after_drop(item, to, index)
    wanted = _without(data, item)
    value_at(wanted, to).insert(index, value)
    rest = _drop(text, item)
    try:
        return _checked(_insert(rest, to, index, written), wanted), (*to, index)
    except Unwritable:
        return _checked(_insert(rest, to, index, lambda column: write_item(value, column)), wanted), (*to, index)


def _after_drop(item: Path, to: Path, index: int) -> tuple[Path, int]:
    """Where a place is after an earlier item of some list on the way to it has gone."""
    home, number = item[:-1], item[-1]
    if to == home:
        return to, index - 1 if index > int(number) else index
    if to[: len(home)] == home and len(to) > len(home) and int(to[len(home)]) > int(number):
        return (*home, int(to[len(home)]) - 1, *to[len(home) + 1 :]), index
    return to, index


# What must come out ---------------------------------------------------------------------------------------------------


def _checked(text: str, wanted: Any) -> str:
    try:
        found = read_source(text).plain()
    except SourceError as error:
        raise Unwritable(str(error)) from None
    if found != wanted:
        raise Unwritable("这一处的写法比较特别")
    return text


def _with(data: Any, path: Path, value: Any) -> Any:
    made = copy.deepcopy(data)
    if not path:
        return copy.deepcopy(value)
    home = made
    for part, after in pairwise(path):
        inner = home.get(part) if isinstance(home, dict) else home[int(part)]
        if not isinstance(inner, dict | list) or (isinstance(after, str) and isinstance(inner, list)):
            inner = {}
            home[part] = inner
        home = inner
    home[path[-1]] = copy.deepcopy(value)
    return made


def _without(data: Any, path: Path) -> Any:
    made = copy.deepcopy(data)
    del value_at(made, path[:-1])[path[-1]]
    return made


# Replacing ------------------------------------------------------------------------------------------------------------


def _put(text: str, path: Path, value: Any) -> str:
    root = find_spots(text)
    if flow := _flow_above(root, path):
        return _put(text, flow, _with(value_at(read_source(text).plain(), flow), path[len(flow) :], value))
    home, spot = root.at(path[:-1]), root.at(path)
    lines = text.split("\n")
    if home is None or (spot is None and home.kind != "map") or (home.kind == "map" and home.is_flow):
        before = value_at(read_source(text).plain(), path[:-1]) if home is not None else None
        kept = before if isinstance(before, Mapping) else {}
        return _put(text, path[:-1], {**kept, path[-1]: value})
    if spot is None:
        _add_key(lines, home, str(path[-1]), value, is_root=len(path) == 1)
    elif home.kind == "seq":
        _put_item(lines, home, spot, value)
    else:
        _put_key(lines, home, spot, str(path[-1]), value)
    return "\n".join(lines)


def _flow_above(root: Spot, path: Path) -> Path | None:
    """The outermost thing in braces that the path goes through: it is written anew as a whole."""
    for depth in range(1, len(path)):
        spot = root.at(path[:depth])
        if spot is not None and spot.kind != "scalar" and spot.is_flow:
            return path[:depth]
    return None


def _put_key(lines: list[str], home: Spot, spot: Spot, key: str, value: Any) -> None:
    line, column = home.keys[key]
    first, *rest = write_value(key, value, column)
    head = f"{lines[line][:column]}{write_scalar(key)}:{first}"
    lines[line : spot.last + 1] = [*_inner_comments(lines, spot, column), head + _comment_of(lines, line, spot), *rest]


def _put_item(lines: list[str], home: Spot, spot: Spot, value: Any) -> None:
    line = _dash_line(lines, home, spot)
    first, *rest = write_item(value, home.column)
    comment = _comment_of(lines, line, spot) if spot.kind == "scalar" or spot.is_flow else ""
    lines[line : spot.last + 1] = [*_inner_comments(lines, spot, home.column), first + comment, *rest]


def _comment_of(lines: list[str], line: int, spot: Spot) -> str:
    """The comment at the end of the line, with the spaces before it."""
    if spot.is_block_text:
        rest = _BLOCK_TEXT.sub("", lines[spot.line][spot.column :], count=1)
    elif spot.kind != "scalar" and not spot.is_flow:
        found = re.search(r":(\s+#.*)$", lines[line]) if line != spot.line else None
        rest = found[1] if found else ""
    else:
        rest = lines[spot.last][spot.end :]
    return rest.rstrip() if rest.strip().startswith("#") else ""


def _inner_comments(lines: list[str], spot: Spot, column: int) -> list[str]:
    """Comments between the braces of something that is written anew: they go above it."""
    if not spot.is_flow or spot.kind == "scalar" or spot.line == spot.last:
        return []
    inside = "\n".join([" " * spot.column + lines[spot.line][spot.column :], *lines[spot.line + 1 : spot.last]])
    closed = inside + "\n" + lines[spot.last][: spot.end]
    return [f"{' ' * column}{comment}" for _, comment in list_comments(closed)]


def _add_key(lines: list[str], home: Spot, key: str, value: Any, *, is_root: bool) -> None:
    order = _ORDER if is_root else _ORDER_INSIDE
    before = [each for each in home.keys if _rank(each, order) <= _rank(key, order)]
    first, *rest = write_value(key, value, home.column)
    written = [f"{' ' * home.column}{write_scalar(key)}:{first}", *rest]
    names = list(home.keys)
    if not before and lines[home.line][: home.column].strip():
        before = names[:1]  # the line of a dash keeps its key
    if before:
        after = max(before, key=lambda each: (_rank(each, order), names.index(each)))
        at = home.parts[after].last + 1
    else:
        at = home.keys[names[0]][0]
    if is_root and rest and key in ("coupons", "steps", "tests"):
        written = ["", *written]
    lines[at:at] = written


def _rank(key: str, order: Sequence[str]) -> int:
    return order.index(key) if key in order else len(order)


# Taking out -----------------------------------------------------------------------------------------------------------


def _drop(text: str, path: Path) -> str:
    root = find_spots(text)
    home, spot = root.at(path[:-1]), root.at(path)
    if home is None or spot is None:
        return text
    if len(home.parts) == 1 or home.is_flow or _flow_above(root, path):
        left = _without(value_at(read_source(text).plain(), path[:-1]), path[-1:])
        return _put(text, path[:-1], left)
    lines = text.split("\n")
    if home.kind == "seq":
        first, last = _block(lines, home, int(path[-1]))
        del lines[first : last + 1]
        _close_gap(lines, first, is_first=path[-1] == 0)
    else:
        _drop_key(lines, home, str(path[-1]))
    return "\n".join(lines)


def _drop_key(lines: list[str], home: Spot, key: str) -> None:
    line, column = home.keys[key]
    names = list(home.keys)
    if lines[line][:column].strip():
        # The dash goes on to the next key.
        following = home.keys[names[names.index(key) + 1]][0]
        lines[following] = lines[line][:column] + lines[following][column:]
        del lines[line:following]
        return
    del lines[line : home.parts[key].last + 1]
    _close_gap(lines, line, is_first=False)


def _close_gap(lines: list[str], at: int, *, is_first: bool) -> None:
    """One blank line where two have met, none at the beginning of a list."""
    if at < len(lines) - 1 and not lines[at].strip() and (is_first or not lines[at - 1].strip()):
        del lines[at]
    elif at >= len(lines) - 1 and at > 0 and not lines[at - 1].strip():
        del lines[at - 1]


def _dash_line(lines: list[str], home: Spot, spot: Spot) -> int:
    line = spot.line
    while line > 0 and not lines[line][home.column :].startswith("-"):
        line -= 1
    return line


def _block(lines: list[str], home: Spot, index: int) -> tuple[int, int]:
    """First and last line of an item with the comments that are its own: right above it, or indented below it."""
    spot = home.parts[index]
    first, last = _dash_line(lines, home, spot), spot.last
    floor = home.parts[index - 1].last if index else -1
    while first - 1 > floor and _is_comment(lines[first - 1]) and _indent(lines[first - 1]) <= home.column:
        if index == 0 and _indent(lines[first - 1]) < home.column:
            break
        first -= 1
    while last + 1 < len(lines) and _is_comment(lines[last + 1]) and _indent(lines[last + 1]) > home.column:
        last += 1
    return first, last


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


# Putting in -----------------------------------------------------------------------------------------------------------

Written = Callable[[int], list[str]]


def _cut_out(text: str, item: Path) -> Written:
    """An item as it is written, to be put where dashes stand at another column."""
    root, lines = find_spots(text), text.split("\n")
    home = root.at(item[:-1])
    if home is None or home.is_flow or _flow_above(root, item):
        value = value_at(read_source(text).plain(), item)
        return lambda column: write_item(value, column)
    first, last = _block(lines, home, int(item[-1]))
    block, by = lines[first : last + 1], home.column
    return lambda column: [_shifted(line, column - by) for line in block]


def _shifted(line: str, by: int) -> str:
    if not line.strip():
        return line
    return " " * by + line if by > 0 else line[min(-by, _indent(line)) :]


def _insert(text: str, to: Path, index: int, written: Written) -> str:
    root = find_spots(text)
    home = root.at(to)
    if home is None or home.kind != "seq":
        raise Unwritable("这里不是一个列表")
    if (flow := _flow_above(root, (*to, 0))) not in (None, to):
        item = read_source("\n".join(written(0))).plain()[0]
        plain = read_source(text).plain()
        items = [*value_at(plain, to)[:index], item, *value_at(plain, to)[index:]]
        return _put(text, flow, _with(value_at(plain, flow), to[len(flow) :], items))
    if home.is_flow:
        return _insert_into_flow(text, to, index, written, home)
    lines = text.split("\n")
    block, is_apart = written(home.column), _are_apart(lines, root, home)
    if index < len(home.parts):
        at = _block(lines, home, index)[0]
        lines[at:at] = [*block, *([""] if is_apart else [])]
    else:
        at = _block(lines, home, len(home.parts) - 1)[1] + 1
        lines[at:at] = [*([""] if is_apart else []), *block]
    return "\n".join(lines)


def _insert_into_flow(text: str, to: Path, index: int, written: Written, home: Spot) -> str:
    """`steps: []`, or a list in brackets, becomes one in lines."""
    items = value_at(read_source(text).plain(), to)
    lines, parent = text.split("\n"), find_spots(text).at(to[:-1])
    if parent is None or parent.kind != "map":
        raise Unwritable("列表里的列表")
    line, column = parent.keys[str(to[-1])]
    blocks = [write_item(each, column + 2) for each in items]
    blocks.insert(index, written(column + 2))
    comments = _inner_comments(lines, home, column)
    head = f"{lines[line][:column]}{write_scalar(to[-1])}:" + _comment_of(lines, line, home)
    is_apart = any(len(block) > 2 for block in blocks)
    body: list[str] = []
    for block in blocks:
        body += [*([""] if body and is_apart else []), *block]
    lines[line : home.last + 1] = [*comments, head, *body]
    return "\n".join(lines)


def _are_apart(lines: list[str], root: Spot, home: Spot) -> bool:
    """Whether items stand apart by a blank line; of a single item, as the steps of the text do."""
    steps = root.at(("steps",))
    like = home if len(home.parts) > 1 or steps is None or steps.is_flow or len(steps.parts) < 2 else steps
    if len(like.parts) < 2:
        return like.last - like.line > 2
    return any(not lines[_block(lines, like, number)[0] - 1].strip() for number in range(1, len(like.parts)))
