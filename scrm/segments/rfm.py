"""RFM by the shop's rules: from what everybody has bought to scores of 1 to 5 and one of eight classes. Pure."""

from bisect import bisect_left as bisect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from scrm.errors import Invalid
from scrm.profiles.rfm import CLASSES
from scrm.settings import Rfm as Steps

PERIODS = (90, 180, 365, 730)
SCORINGS = {"fixed": "固定分档", "quantile": "五等分"}
SPLITS = {"score": "得分不低于", "mean": "好于全部买家的平均数", "median": "好于全部买家的中位数"}
# Who has bought nothing within the period.
UNCLASSED = "未分类"
# By R, F, M, each high (1) or not (0), the best first.
TITLES: dict[str, str] = {"".join("01"[high] for high in letters): title for letters, title in CLASSES.items()}
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Rules:
    """How a shop scores; `names` are its own words for the classes."""

    period_days: int = 365
    scoring: str = "fixed"
    recency_days: Sequence[int] = (30, 90, 180, 365)
    orders: Sequence[int] = (2, 3, 5, 10)
    yuan: Sequence[int] = (100, 300, 800, 2000)
    split: str = "score"
    high: int = 3
    names: Mapping[str, str] = field(default_factory=dict)

    def title(self, code: str) -> str:
        return self.names.get(code) or TITLES.get(code, "")

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "recency_days": [*self.recency_days], "orders": [*self.orders], "yuan": [*self.yuan]}


def rules_of(kept: Mapping[str, Any] | None, steps: Steps) -> Rules:
    """Those that the page has kept, else those of the settings file."""
    if kept is None:
        return Rules(recency_days=steps.recency_days, orders=steps.orders, yuan=steps.yuan, high=steps.high)
    return Rules(**kept)


@dataclass(frozen=True, slots=True)
class Spread:
    """What lies at the fifths of all buyers (the last of the first to the fourth), their mean and their middle.

    Each of when they bought last (milliseconds), how many orders, how much money (fen).
    """

    fifths: Mapping[str, Sequence[int]]
    mean: Mapping[str, float]
    median: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Cuts:
    """A value scores one more for each cut that it is above; it is high above the fence, or from the score `high` on."""

    last_at: Sequence[int]
    orders: Sequence[int]
    fen: Sequence[int]
    high: int
    fences: Mapping[str, float] | None = None


def cuts_of(rules: Rules, spread: Spread, now: datetime) -> Cuts:
    """The cuts of one computation: equal values score equally, whoever they belong to."""
    fences = {"mean": spread.mean, "median": spread.median}.get(rules.split)
    if rules.scoring == "quantile":
        fifths = spread.fifths
        return Cuts(fifths["last_at"], fifths["orders"], fifths["fen"], rules.high, fences)
    lately = [int((now - days * _DAY).timestamp() * 1000) - 1 for days in reversed(rules.recency_days)]
    return Cuts(
        lately, [step - 1 for step in rules.orders], [yuan * 100 - 1 for yuan in rules.yuan], rules.high, fences
    )


def score(cuts: Cuts, last_at: int, orders: int, fen: int) -> tuple[int, int, int, str]:
    """R, F and M, and the class as three letters of 0 and 1."""
    r, f, m = 1 + bisect(cuts.last_at, last_at), 1 + bisect(cuts.orders, orders), 1 + bisect(cuts.fen, fen)
    if cuts.fences is None:
        highs = r >= cuts.high, f >= cuts.high, m >= cuts.high
    else:
        of = cuts.fences
        highs = last_at > of["last_at"], orders > of["orders"], fen > of["fen"]
    return r, f, m, "".join("01"[high] for high in highs)


# The form -------------------------------------------------------------------------------------------------------------


def read_rules(form: Mapping[str, Any]) -> Rules:
    """What the form says; raises Invalid in words."""
    names = {code: str(form.get(f"name_{code}", "")).strip() for code in TITLES}
    if long := next((name for name in names.values() if len(name) > 20), ""):
        raise Invalid(f"客户群的名称最多 20 个字：“{long[:24]}”")
    return Rules(
        period_days=_number(form, "period_days", "统计周期", 30, 1095),
        scoring=_one_of(form, "scoring", SCORINGS),
        recency_days=_steps(form, "recency_days", "最近下单（天）"),
        orders=_steps(form, "orders", "订单数"),
        yuan=_steps(form, "yuan", "金额（元）"),
        split=_one_of(form, "split", SPLITS),
        high=_number(form, "high", "得分", 2, 5),
        names={code: name for code, name in names.items() if name and name != TITLES[code]},
    )


def _one_of(form: Mapping[str, Any], name: str, known: Mapping[str, str]) -> str:
    chosen = str(form.get(name, ""))
    if chosen not in known:
        raise Invalid(f"请在 {'、'.join(known.values())} 里选一个")
    return chosen


def _number(form: Mapping[str, Any], name: str, title: str, least: int, most: int) -> int:
    text = str(form.get(name, "")).strip()
    if not (text.isascii() and text.isdigit()) or not least <= int(text[:9]) <= most:
        raise Invalid(f"{title}要写 {least} 到 {most} 的整数，写的是“{text[:20]}”")
    return int(text)


def _steps(form: Mapping[str, Any], name: str, title: str) -> list[int]:
    steps = [_number({name: form.get(f"{name}_{place}", "")}, name, title, 1, 10**8) for place in range(4)]
    if any(low >= high for low, high in pairwise(steps)):
        raise Invalid(f"{title}的四档要一档比一档大，写的是 {'、'.join(map(str, steps))}")
    return steps
