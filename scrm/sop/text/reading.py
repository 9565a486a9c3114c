"""What every part of a playbook's text is read with: nodes become plain data, and problems are noted, not raised."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple, TypeVar

from scrm.segments.conditions import check_condition
from scrm.sop import timing
from scrm.sop.schema import Condition, Content, Window
from scrm.sop.text.source import Node

T = TypeVar("T")

KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
KEY_RULE = "小写字母、数字、- 和 _，不超过 64 个"


class Problem(NamedTuple):
    """One thing an author has to mend."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"第 {self.line} 行：{self.text}"


class PlaybookErrors(ValueError):
    """A playbook that cannot be published, with everything that is wrong with it."""

    def __init__(self, file_name: str, problems: Iterable[Problem]) -> None:
        self.file_name = file_name
        self.problems = sorted(set(problems))
        super().__init__("\n".join(self.lines))

    @property
    def lines(self) -> list[str]:
        return [f"{self.file_name} {problem}" for problem in self.problems]


@dataclass(frozen=True, slots=True)
class Known:
    """What exists beside the file: coupon batches, texts of the library, the house's quiet hours."""

    # None where there is no shop to ask.
    coupons: Collection[str] | None = ()
    contents: Mapping[str, Content] = field(default_factory=dict)
    quiet: Window | None = field(default_factory=lambda: timing.parse_window("21:30-09:00"))


class Reader:
    """Reads nodes to plain data and notes what is wrong, instead of stopping at the first problem."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.problems: list[Problem] = []
        self.named: dict[str, Content] = {}

    def note(self, line: int, text: str) -> None:
        self.problems.append(Problem(line, text))

    def mapping(
        self, node: Node, what: str, allowed: Collection[str], later: Mapping[str, str] | None = None
    ) -> dict[str, Node]:
        if not isinstance(node.value, dict):
            self.note(node.line, f"{what}要写成“键: 值”的形式，可用的键有 {'、'.join(allowed)}")
            return {}
        for key in node.value:
            if key in allowed:
                continue
            if later and key in later:
                self.note(node.lines[key], f"{key}（{later[key]}）还不支持，请先删掉")
            else:
                close = get_close_matches(key, allowed, n=1, cutoff=0.5)
                hint = f"是不是想写 {close[0]}？" if close else f"可用的有 {'、'.join(allowed)}"
                self.note(node.lines[key], f"{what}里不认识“{key}”，{hint}")
        return {key: part for key, part in node.value.items() if key in allowed}

    def sequence(self, node: Node, what: str) -> list[Node]:
        if not isinstance(node.value, list) or not node.value:
            self.note(node.line, f"{what}要写成列表（每项以 - 开头），至少一项")
            return []
        return node.value

    def text(
        self, node: Node, what: str, pattern: re.Pattern[str] | None = None, rule: str = "", most: int = 120
    ) -> str:
        text = node.value.strip() if isinstance(node.value, str) else ""
        if not text:
            self.note(node.line, f"{what} 要写文字，写的是“{shown(node)}”" + quote_hint(node))
        elif pattern and not pattern.fullmatch(text):
            self.note(node.line, f"{what} 只能用{rule}，写的是“{text}”")
        elif what != "description" and len(text) > most:
            self.note(node.line, f"{what} 有 {len(text)} 个字，最多 {most} 个")
        return text

    def choice(self, node: Node, what: str, choices: Collection[str], later: Collection[str] = ()) -> str:
        if node.value in tuple(choices):
            return str(node.value)
        if node.value in tuple(later):
            self.note(node.line, f"{what}: {node.value} 还不支持，可用的有 {'、'.join(choices)}")
        else:
            self.note(node.line, f"{what} 只能是 {'、'.join(choices)}，写的是“{shown(node)}”")
        return next(iter(choices))

    def read(self, node: Node, what: str, read: Callable[[str], T]) -> T | None:
        """A value that a function of `timing` reads."""
        if not isinstance(node.value, str):
            self.note(node.line, f"{what} 写的是“{shown(node)}”，请写成文字" + quote_hint(node))
            return None
        try:
            return read(node.value.strip())
        except ValueError as error:
            self.note(node.line, f"{what}：{error}")
            return None

    def condition(self, node: Node | None) -> Condition | None:
        if node is None:
            return None
        tree = node.plain()
        problems = check_condition({} if tree is None else tree)
        for problem in problems:
            self.note(node.line_of(problem.path), problem.text)
        if problems:
            return {}
        return dict(tree)


def is_none(node: Node) -> bool:
    return node.value is None or node.value == "none"


def shown(node: Node) -> str:
    value = node.plain()
    return "空的" if value is None else str(value)[:40]


def quote_hint(node: Node) -> str:
    return "，请加上引号" if isinstance(node.value, int | float) else ""
