"""What a benchmark says: one line of JSON per figure, for people and for programs."""

import json
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value; with a peer its ratio to the peer's, with a goal whether it is met.

    `goal` speaks of the ratio where there is a peer, else of the value; `at_most` says that less is better.
    """

    figure: str
    value: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    goal: float | None = None
    at_most: bool = False

    @property
    def ok(self) -> bool | None:
        """None where nothing was promised."""
        if self.goal is None:
            return None
        judged = self.value if self.ratio is None else self.ratio
        return judged <= self.goal if self.at_most else judged >= self.goal

    def line(self) -> str:
        goal = None if self.goal is None else f"{'<=' if self.at_most else '>='} {self.goal:g}"
        told = {
            "figure": self.figure,
            "value": _rounded(self.value),
            "unit": self.unit,
            "peer": self.peer,
            "peer_value": _rounded(self.peer_value),
            "ratio": _rounded(self.ratio),
            "goal": goal,
            "ok": self.ok,
        }
        return json.dumps(told, ensure_ascii=False)


def tell(figure: Figure) -> Figure:
    """Print it at once: a run that is stopped has said what it knew."""
    print(figure.line(), flush=True)
    return figure


def say(line: str) -> None:
    """Progress, apart from the figures."""
    print(line, file=sys.stderr, flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def machine() -> str:
    import os

    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def _rounded(value: float | None) -> float | None:
    if value is None:
        return None
    return round(value, 1) if abs(value) >= 100 else float(f"{value:.3g}")
