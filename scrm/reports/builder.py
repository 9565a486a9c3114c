"""Reports that people make themselves: measures of one kind of thing, by one dimension, of everybody or of a segment.

A `Question` is plain data, kept as JSON; it is asked anew by whoever opens it, with that reader's reach.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Select

from scrm.access.scope import EVERYONE
from scrm.errors import Invalid, NotFound
from scrm.reports import facts
from scrm.reports.facts import TIMES, Fact, Tree
from scrm.reports.grids import Grid, Line, Look, line
from scrm.reports.measures.kinds import Measure, Unit
from scrm.reports.period import Period, start_of
from scrm.reports.whose import read_whose

CHARTS: Mapping[str, str] = {"line": "折线", "bar": "条形", "table": "只有表格"}
MOST_MEASURES = 6
MOST_LINES = 500
# As part of an address, which is 8,190 characters at most; a longer one is kept as a segment.
MOST_CONDITION = 5_000


@dataclass(frozen=True, slots=True)
class Dimension:
    """By what lines are made; `facts` can be cut that way."""

    key: str
    title: str
    facts: tuple[str, ...]


ADDS, ORDERS, TASKS = "adds", "orders", "tasks"
DIMENSIONS: tuple[Dimension, ...] = (
    Dimension("day", "天", (ADDS, ORDERS)),
    Dimension("week", "周", (ADDS, ORDERS)),
    Dimension("month", "月", (ADDS, ORDERS)),
    Dimension("channel", "渠道", (ADDS,)),
    Dimension("kind", "渠道类型", (ADDS,)),
    Dimension("member", "员工", (ADDS, TASKS)),
    Dimension("department", "部门", (ADDS, TASKS)),
    Dimension("playbook", "剧本", (TASKS,)),
    Dimension("shop", "平台", (ORDERS,)),
    Dimension("province", "省份", (ORDERS,)),
    Dimension("product", "商品", (ORDERS,)),
)
BY_DIMENSION: Mapping[str, Dimension] = {each.key: each for each in DIMENSIONS}
FACTS: Mapping[str, Fact] = {ADDS: facts.ADDS, ORDERS: facts.ORDERS, TASKS: facts.TASKS}
MEASURES: Mapping[str, tuple[str, Measure]] = {
    f"{name}.{measure.key}": (name, measure) for name, fact in FACTS.items() for measure in fact.measures
}


@dataclass(frozen=True, slots=True)
class Question:
    """`measures` are keys of MEASURES; `who` is a member or a department (scrm.reports.whose).

    Only customers of the segment of this key whom the condition admits are counted; '' and None are everybody.
    """

    measures: tuple[str, ...] = ("adds.added",)
    by: str = "day"
    segment: str = ""
    chart: str = "line"
    days: int = 30
    who: str = ""
    condition: Any = None

    @property
    def tree(self) -> Tree:
        """Segment and condition together; None is everybody."""
        parts = [{"segment": self.segment}] if self.segment else []
        parts += [self.condition] if self.condition is not None else []
        return {"all": parts} if len(parts) > 1 else parts[0] if parts else None

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "measures": list(self.measures)}

    @property
    def fact(self) -> str:
        return MEASURES[self.measures[0]][0]

    @property
    def columns(self) -> list[Measure]:
        return [MEASURES[key][1] for key in self.measures]


def question_of(told: Mapping[str, Any]) -> Question:
    """What was kept; a measure that is gone is left out. Raises Invalid when nothing is left."""
    measures = [str(key) for key in told.get("measures") or ()]
    return _checked(
        Question(
            tuple(key for key in measures if key in MEASURES),
            str(told.get("by") or ""),
            str(told.get("segment") or "")[:64],
            str(told.get("chart") or ""),
            int(told.get("days") or 0),
            str(told.get("who") or "")[:80],
            told.get("condition"),
        )
    )


def read_question(form: Any, condition: Any = None) -> Question:
    """From a form or an address, and the condition that was read from it. Raises Invalid with what is expected."""
    days = str(form.get("days", "30"))
    return _checked(
        Question(
            tuple(dict.fromkeys(form.getall("measure", []))),
            str(form.get("by", "day")),
            str(form.get("segment", ""))[:64],
            str(form.get("chart", "line")),
            int(days) if days.isascii() and days.isdigit() and len(days) < 4 else 0,
            str(form.get("who", ""))[:80],
            condition,
        )
    )


def _checked(asked: Question) -> Question:
    if not asked.measures:
        raise Invalid("还没有选指标，请至少选一个")
    if unknown := [key for key in asked.measures if key not in MEASURES]:
        raise Invalid(f"没有“{unknown[0][:30]}”这个指标，请重新选择")
    if len(asked.measures) > MOST_MEASURES:
        raise Invalid(f"一张报表最多放 {MOST_MEASURES} 个指标，选了 {len(asked.measures)} 个")
    kinds = list(dict.fromkeys(MEASURES[key][0] for key in asked.measures))
    if len(kinds) > 1:
        first, second = (
            next(MEASURES[key][1] for key in asked.measures if MEASURES[key][0] == kind) for kind in kinds[:2]
        )
        names = FACTS[kinds[0]].title, FACTS[kinds[1]].title
        raise Invalid(
            f"“{first.title}”按{names[0]}统计，“{second.title}”按{names[1]}统计，不能放在一张表里，请分成两张"
        )
    by = BY_DIMENSION.get(asked.by)
    if by is None:
        raise Invalid("没有看懂按什么拆分，请重新选择")
    if kinds[0] not in by.facts:
        fitting = "、".join(each.title for each in DIMENSIONS if kinds[0] in each.facts)
        raise Invalid(f"“{MEASURES[asked.measures[0]][1].title}”不能按{by.title}拆分，可以按：{fitting}")
    if asked.tree is not None and kinds[0] == TASKS:
        raise Invalid("员工待办不能按人群包或条件筛选，请去掉它们，或换成客户、订单的指标")
    if asked.condition is not None and len(quote(json.dumps(asked.condition, ensure_ascii=False))) > MOST_CONDITION:
        raise Invalid("条件太长了，请先保存成人群包，再在这里选它")
    read_whose(asked.who, EVERYONE)
    chart = asked.chart if asked.chart in CHARTS else "line"
    if chart == "line" and asked.by not in TIMES:
        chart = "bar"
    return replace(asked, chart=chart, days=asked.days if 1 <= asked.days <= 366 else 30)


@dataclass(frozen=True, slots=True)
class Answer:
    """`grid` has a line for each value of the dimension; `days` are the beginnings of the lines of a time."""

    question: Question
    grid: Grid
    days: Sequence[date] = ()
    is_cut: bool = False


def ask(conn: Connection, asked: Question, look: Look, title: str = "", key: str = "built") -> Answer:
    """Count it now, for this reader."""
    fact, by = FACTS[asked.fact], BY_DIMENSION[asked.by]
    columns = asked.columns
    counted = fact.count(conn, look, asked.by, asked.tree, {each.key for each in columns})
    empty = ("这段时间没有数据", "换一段时间、换一个人群包，或者看看选的是不是自己数据范围里的员工。")
    if asked.by in TIMES:
        days = starts(look.asked.period, asked.by)
        by_start = _by_start(counted, asked.by, fact.nothing)
        lines = [line(str(day), _when(day, asked.by), columns, by_start.get(day, fact.nothing())) for day in days]
        has_any = bool(counted)
        grid = Grid(
            key,
            title,
            by.title,
            columns,
            lines if has_any else [],
            empty,
            is_sortable=False,
            has_bars=asked.chart == "bar",
        )
        return Answer(asked, grid, days if has_any else ())
    names = facts.names_of(conn, asked.by, [str(each) for each in counted])
    lines = [line(str(each), names.get(str(each), str(each)), columns, one) for each, one in counted.items()]
    ordered = sorted(lines, key=lambda each: (-(each.values[0] or 0), each.title))
    grid = Grid(key, title, by.title, columns, ordered[:MOST_LINES], empty, has_bars=asked.chart == "bar")
    return Answer(asked, grid, is_cut=len(ordered) > MOST_LINES)


def name_of(conn: Connection, by: str, key: str) -> str:
    """What the line of this key is called."""
    if by in TIMES:
        try:
            return _when(date.fromisoformat(key), by)
        except ValueError:
            return key
    return facts.names_of(conn, by, [key]).get(key, key)


def people_behind(asked: Question, key: str, measure: str, conn: Connection, look: Look) -> Select[Any]:
    """Numbers of the customers behind one cell: of this line, of this measure. Raises NotFound."""
    people = FACTS[asked.fact].people
    if people is None or measure not in asked.measures:
        raise NotFound("没有这个数字的名单，请从报表页面重新点进来")
    return people(conn, look, asked.by, key, MEASURES[measure][1].key, asked.tree)


def starts(period: Period, by: str) -> list[date]:
    """Pure: the days, the Mondays or the firsts of months that the period has part in."""
    days = [period.first + timedelta(days=number) for number in range(period.days)]
    return list(dict.fromkeys(start_of(day, by) for day in days))


def _by_start(counted: Mapping[Any, Any], by: str, nothing: Callable[[], Any]) -> dict[date, Any]:
    found: dict[date, Any] = defaultdict(nothing)
    for day, one in counted.items():
        found[start_of(day, by)] = one
    return found


def _when(day: date, by: str) -> str:
    if by == "month":
        return f"{day:%Y-%m}"
    return f"{day} 起一周" if by == "week" else str(day)


def plotted(answer: Answer) -> list[tuple[str, str, list[int]]]:
    """Pure: whole numbers for a line chart; money in yuan, shares in percent. Only measures of the first one's unit."""
    unit = answer.grid.columns[0].unit
    tones = ("info", "bad", "good", "warn")
    series: list[tuple[str, str, list[int]]] = []
    for place, measure in enumerate(answer.grid.columns):
        if measure.unit == unit and len(series) < len(tones):
            numbers = [_whole(each.values[place], unit) for each in answer.grid.lines]
            series.append(
                (measure.title + {Unit.MONEY: "（元）", Unit.SHARE: "（%）"}.get(unit, ""), tones[len(series)], numbers)
            )
    return series


def _whole(value: float | None, unit: Unit) -> int:
    scale = {Unit.MONEY: 0.01, Unit.SHARE: 100.0}.get(unit, 1.0)
    return max(0, round((value or 0) * scale))


__all__ = ["Answer", "Line", "Question", "ask", "plotted", "question_of", "read_question"]
