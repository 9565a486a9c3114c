"""What a text shows on the board: days from top to bottom, steps on them, arms side by side; also while it is not sound."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from scrm.sop import timing
from scrm.sop.board.spots import Path, Spot, find_spots
from scrm.sop.schema import When
from scrm.sop.text.reading import Problem
from scrm.sop.text.source import read_source

FORKS = ("branch", "split", "wait")
_PATH = re.compile(r"[a-z_]+(?:/[a-z0-9_-]{1,64}){0,40}")


class Noted(NamedTuple):
    """A problem at the place it is about; `field` is the key whose line it names, empty for the whole part."""

    field: str
    text: str


class Day(NamedTuple):
    """A calendar day of a series: `unit` is D or W (working days), empty when the time cannot be read."""

    unit: str = "D"
    number: int = 0

    @property
    def key(self) -> str:
        return f"{self.unit}{self.number}" if self.unit else ""

    @property
    def title(self) -> str:
        if not self.unit:
            return "时间待定"
        unit = "个工作日" if self.unit == "W" else "天"
        return f"第 {self.number} {unit}" if self.number >= 0 else f"提前 {-self.number} {unit}"


@dataclass(slots=True)
class Series:
    """Parts that come one after the other: the whole, or what is in one arm."""

    at: Path
    rows: list["Row"] = field(default_factory=list)
    count: int = 0

    @property
    def cards(self) -> list["Card"]:
        return [card for row in self.rows for card in row.cards]


@dataclass(slots=True)
class Row:
    """One day with what is done on it."""

    day: Day
    cards: list["Card"] = field(default_factory=list)
    is_after_wait: bool = False


@dataclass(slots=True)
class Arm:
    """One way on; `at` is where its name stands, `series.at` where its steps stand."""

    at: Path
    name: str
    series: Series
    condition: Any = None
    share: str = ""
    is_else: bool = False


@dataclass(slots=True)
class Card:
    """A step, branch, split or wait, with its plain data."""

    at: Path
    kind: str
    data: Mapping[str, Any]
    id: str
    day: Day
    when: When | None = None
    arms: list[Arm] = field(default_factory=list)
    problems: list[Noted] = field(default_factory=list)

    @property
    def channel(self) -> str:
        return str(self.data.get("channel", ""))


@dataclass(slots=True)
class Board:
    """The whole text; `problems` are those of its head, by key."""

    data: Mapping[str, Any]
    series: Series
    problems: dict[str, list[Noted]] = field(default_factory=dict)

    def cards(self) -> Iterator[Card]:
        """All of them, in the order of the text."""
        yield from _all_cards(self.series)

    def find(self, at: Path) -> Card | None:
        return next((card for card in self.cards() if card.at == at), None)

    def series_of(self, at: Path) -> Series | None:
        """The series with that path."""
        return next((series for series in self.all_series() if series.at == at), None)

    def all_series(self) -> Iterator[Series]:
        yield self.series
        for card in self.cards():
            yield from (arm.series for arm in card.arms)

    @property
    def ids(self) -> set[str]:
        return {card.id for card in self.cards()}


def _all_cards(series: Series) -> Iterator[Card]:
    for card in series.cards:
        yield card
        for arm in card.arms:
            yield from _all_cards(arm.series)


def read_board(text: str, problems: Sequence[Problem] = ()) -> Board:
    """The board of a text; raises SourceError when it is not YAML that we take."""
    plain = read_source(text).plain()
    data: Mapping[str, Any] = plain if isinstance(plain, dict) else {}
    board = Board(data, _series(data.get("steps"), ("steps",)))
    _lay_problems(board, find_spots(text), problems)
    return board


def _series(parts: Any, at: Path) -> Series:
    items = parts if isinstance(parts, list) else []
    series, waited = Series(at, count=len(items)), False
    for number, part in enumerate(items):
        before = series.rows[-1].day if series.rows and not waited else Day()
        card = _card(part if isinstance(part, dict) else {}, (*at, number), before)
        if not series.rows or waited or series.rows[-1].day != card.day:
            series.rows.append(Row(card.day, is_after_wait=waited))
        series.rows[-1].cards.append(card)
        waited = card.kind == "wait"
    return series


def _card(data: Mapping[str, Any], at: Path, before: Day) -> Card:
    kind = next((kind for kind in FORKS if kind in data), "step")
    inner = data["wait"] if kind == "wait" and isinstance(data["wait"], dict) else data
    when = read_when(data)
    day = day_of(when) if when is not None else Day("") if kind == "step" else before
    name = str(inner.get("id") or data.get("id") or "")
    return Card(at, kind, inner, name, day, when, list(_arms(kind, inner, at)))


def _arms(kind: str, data: Mapping[str, Any], at: Path) -> Iterator[Arm]:
    if kind == "wait":
        for key, name in (("then", "等到了"), ("on_timeout", "没等到")):
            if isinstance(data.get(key), list):
                yield Arm((*at, "wait"), name, _series(data[key], (*at, "wait", key)))
        return
    for number, arm in enumerate(data[kind] if kind in FORKS and isinstance(data[kind], list) else ()):
        place = (*at, kind, number)
        given = arm if isinstance(arm, dict) else {}
        is_else = "else" in given
        name = str(given.get("name") or ("其他" if is_else else f"第 {number + 1} 路"))
        steps = "else" if is_else else "steps"
        series = _series(given.get(steps), (*place, steps))
        yield Arm(place, name, series, given.get("if"), str(given.get("share", "")), is_else)


def read_when(data: Mapping[str, Any]) -> When | None:
    """The time of a part as it is written; None when there is none, or nobody can read it."""
    at, window = data.get("at"), data.get("window")
    if not isinstance(at, str):
        return None
    try:
        when = timing.parse_when(at.strip())
        own = timing.parse_window(window) if isinstance(window, str) else when.window
    except ValueError:
        return None
    return When(when.offset, when.days, own, when.counts_workdays, str(data.get("only") or ""))


def day_of(when: When) -> Day:
    if when.days is not None:
        return Day("W" if when.counts_workdays else "D", when.days)
    return Day("D", when.offset // timedelta(days=1))


# Problems at their places -----------------------------------------------------------------------------------------------


def _lay_problems(board: Board, root: Spot, problems: Sequence[Problem]) -> None:
    cards = [(root.at(card.at), card) for card in board.cards()]
    for problem in problems:
        line = problem.line - 1
        inside = [(spot, card) for spot, card in cards if spot is not None and spot.line <= line <= spot.last]
        if inside:
            # The innermost has the most on its path.
            spot, card = max(inside, key=lambda each: len(each[1].at))
            card.problems.append(Noted(_key_at(spot, line), problem.text))
        else:
            key = _key_at(root, line)
            board.problems.setdefault(key, []).append(Noted(key, problem.text))


def _key_at(spot: Spot, line: int) -> str:
    """The key that a line belongs to; empty for the first line of a part, which speaks of all of it."""
    if "wait" in spot.keys and spot.parts["wait"].kind == "map":
        spot = spot.parts["wait"]
    above = [(place[0], key) for key, place in spot.keys.items() if place[0] <= line]
    if not above or (spot.column and line == spot.line):
        return ""
    return max(above)[1]


# Paths as pages write them ----------------------------------------------------------------------------------------------


def write_path(path: Path) -> str:
    return "/".join(str(part) for part in path)


def read_path(text: str) -> Path:
    """`steps/1/branch/0/steps/2`; the empty path for anything else."""
    if not _PATH.fullmatch(text):
        return ()
    return tuple(int(part) if part.isdigit() and len(part) < 5 else part for part in text.split("/"))
