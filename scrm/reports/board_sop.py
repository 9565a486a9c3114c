"""SOP 执行: what playbooks asked for and what was done of it, and a heat map of members by steps for one of them."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection, select

from scrm.reports import tasks
from scrm.reports.grids import Board, Grid, Line, Look, Pick, compare, line
from scrm.reports.measures.kinds import Measure, Unit
from scrm.reports.tasks import Work
from scrm.sop.models import playbook as playbook_table
from scrm.sop.results import figures as results
from scrm.sop.results.tally import BY_HAND

COLUMNS = (
    tasks.ENTERED,
    tasks.RELEASED,
    tasks.REACH_RATE,
    tasks.CONFIRM_RATE,
    tasks.IN_TIME_RATE,
    tasks.MINUTES,
    tasks.GOAL_RATE,
)
_NONE = ("这段时间没有剧本在执行", "启用一个剧本并有客户进入后，这里比较每个剧本的触达、执行和目标。")


def load(conn: Connection, look: Look) -> Board:
    found = _by_playbook(tasks.count(conn, look, look.asked.period))
    before = _by_playbook(tasks.count(conn, look, look.asked.before)) if look.asked.before else None
    titles = {row.key: row.title for row in conn.execute(select(playbook_table.c.key, playbook_table.c.title))}
    busy = {key: work for key, work in found.items() if work["released"] or work["all:targeted"] or work["run:entered"]}
    lines = [
        line(key, titles.get(key, key), COLUMNS, work, url=f"/console/playbooks/{key}") for key, work in busy.items()
    ]
    grids = [Grid("playbooks", "每个剧本", "剧本", COLUMNS, lines, _NONE, has_bars=True)]
    chosen = look.chosen.get("playbook", "")
    if chosen not in busy:
        chosen = max(busy, key=lambda key: (busy[key]["released"], key), default="")
    picks = []
    if chosen:
        options = [(key, titles.get(key, key)) for key in sorted(busy, key=lambda key: titles.get(key, key))]
        picks.append(Pick("playbook", "热力图的剧本", options, chosen))
        grids += _heat(conn, look, chosen, titles.get(chosen, chosen))
    before_all = tasks.add_up(list(before.values())) if before is not None else None
    return Board(compare(COLUMNS, tasks.add_up(list(busy.values())), before_all), grids, picks)


def _by_playbook(found: dict[tuple[str, str], Work]) -> dict[str, Work]:
    works: dict[str, list[Work]] = defaultdict(list)
    for (key, _), work in found.items():
        works[key].append(work)
    return {key: tasks.add_up(each) for key, each in works.items()}


def _heat(conn: Connection, look: Look, key: str, title: str) -> list[Grid]:
    """Two maps of the same members and steps: how much they confirmed, and how fast."""
    playbook = look.published.version(key, _version(conn, key))
    if playbook is None:
        return []
    period = look.asked.period
    found = results.load(conn, playbook, since=period.first, until=period.last, zone=look.zone, now=look.now)
    steps = [step for step in found.steps if step.channel in BY_HAND]
    reached = None if look.whose.is_whole else tasks.reached(conn, look.whose)
    members = [each for each in found.members if reached is None or each.userid.lower() in reached]
    if not steps or not members:
        return []
    maps = (
        ("rate", "执行率", "员工已确认 ÷ 已到期的待办", Unit.SHARE, "confirm_rate"),
        ("delay", "确认用时", "一半的确认不超过这个时间", Unit.MINUTES, "median_minutes"),
    )
    grids = []
    for name, word, formula, unit, attribute in maps:
        columns = [
            Measure(
                f"{name}-{number}",
                step.title,
                formula,
                unit,
                _of_step(step.step_id, attribute),
                is_good_up=name == "rate",
            )
            for number, step in enumerate(steps)
        ]
        whole = Measure(f"{name}-all", "全部步骤", formula, unit, _of_all(attribute), is_good_up=name == "rate")
        places = {measure.key: step.step_id for measure, step in zip(columns, steps, strict=True)}
        lines = [_member(each, key, [whole, *columns], places) for each in members]
        grids.append(
            Grid(f"heat-{name}", f"{title}：员工 × 步骤的{word}", "员工", [whole, *columns], lines, _NONE, is_heat=True)
        )
    return grids


def _member(each: Any, key: str, columns: list[Measure], places: Mapping[str, str]) -> Line:
    """Each number leads to the tasks it counts."""
    links = {
        name: f"/console/playbooks/{key}/people?{urlencode({'step': step_id, 'what': 'released', 'userid': each.userid})}"
        for name, step_id in places.items()
    }
    return line(each.userid, each.name, columns, each, links=links)


def _of_step(step_id: str, attribute: str) -> Any:
    return lambda each: getattr(each.steps[step_id], attribute) if step_id in each.steps else None


def _of_all(attribute: str) -> Any:
    return lambda each: getattr(each.figures, attribute)


def _version(conn: Connection, key: str) -> int:
    return conn.scalar(select(playbook_table.c.version).where(playbook_table.c.key == key)) or 0
