"""员工: what each member brought, and how they did what playbooks asked of them."""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select

from scrm.profiles.models import member
from scrm.reports import adds, tasks
from scrm.reports.cohort import Counts, counts_of
from scrm.reports.grids import Board, Grid, Line, Look, compare, line
from scrm.reports.measures import coming
from scrm.reports.measures.kinds import Measure
from scrm.reports.period import Period
from scrm.reports.tasks import Work


@dataclass(frozen=True, slots=True)
class Staff:
    """One member, or all of them together; as `Counted` it has what those who came did."""

    came: Counts
    work: Work


def _of_work(measure: Measure) -> Measure:
    return replace(measure, reckon=lambda each: measure.reckon(each.work), people="")


# What they brought is reckoned as for everybody (scrm.reports.measures.coming), and told as of one member.
COLUMNS = (
    replace(coming.ADDED, formula="这段时间添加这位员工的次数"),
    coming.ENDED_RATE,
    replace(
        coming.TALK_RATE,
        formula="开口人数 ÷ 新增人数。没有会话存档，只认有记录的发言：获客链接首次发言、客服或公众号来信、员工的标记",
    ),
    replace(coming.FIRST_RATE, formula="添加之后、期末之前第一次付款的人数 ÷ 新增人数"),
    replace(
        coming.BROUGHT,
        title="新客成交",
        formula="新增客户从添加到期末的实付 − 退款；客户同时添加两位员工，两位都算",
    ),
    _of_work(tasks.RELEASED),
    _of_work(tasks.CONFIRM_RATE),
    _of_work(tasks.IN_TIME_RATE),
    _of_work(tasks.MINUTES),
)
# What those of the columns that are about customers are reckoned from.
_COUNTED = ("adds", "ended", "people", "talked", "bought", "net_fen")


def load(conn: Connection, look: Look) -> Board:
    found = _count(conn, look, look.asked.period)
    before = _count(conn, look, look.asked.before) if look.asked.before else None
    names = {row.folded: row for row in conn.execute(select(member.c.folded, member.c.userid, member.c.name))}
    lines = [_line(folded, each, names) for folded, each in found.items()]
    grid = Grid(
        "staff",
        "每位员工",
        "员工",
        COLUMNS,
        lines,
        ("这段时间没有员工数据", "员工有了新客户，或者剧本给员工派了待办，就会出现在这里。"),
        has_bars=True,
    )
    return Board(compare(COLUMNS, _whole(found), _whole(before) if before is not None else None), [grid])


def _line(folded: str, each: Staff, names: dict[str, Any]) -> Line:
    row = names.get(folded)
    userid, name = getattr(row, "userid", folded), getattr(row, "name", "")
    return line(folded, name or userid, COLUMNS, each, narrow={"who": f"m:{userid}"})


def _count(conn: Connection, look: Look, period: Period) -> dict[str, Staff]:
    came = {
        userid.lower(): counts_of(numbers)
        for userid, numbers in adds.count_by_member(conn, period, look.whose, look.now, _COUNTED).items()
    }
    works: dict[str, list[Work]] = defaultdict(list)
    for (_, userid), work in tasks.count(conn, look, period).items():
        if userid:
            works[userid.lower()].append(work)
    return {
        folded: Staff(came.get(folded, Counts()), tasks.add_up(works.get(folded, []))) for folded in {*came, *works}
    }


def _whole(found: dict[str, Staff]) -> Staff:
    return Staff(
        sum((each.came for each in found.values()), Counts()), tasks.add_up([each.work for each in found.values()])
    )
