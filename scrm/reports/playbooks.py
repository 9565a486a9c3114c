"""How many runs each playbook has and what became of them, and who waits where."""

from collections import Counter, defaultdict
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, literal_column, or_, select

from scrm.sop import explain, tally
from scrm.sop.models import enrolment
from scrm.sop.models import playbook as playbook_table
from scrm.sop.result_tables import tally as tally_table
from scrm.sop.result_tables import tally_cursor
from scrm.sop.schema import Playbook

# Runs under way of one playbook that are looked at, the newest first.
MOST_RUNS = 20_000

# A literal, so that the partial index is found.
_LIVING: ColumnElement[bool] = literal_column("enrolment.state IN ('active', 'paused', 'queued')")


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many runs stand before this part of the playbook; `step_id` is empty when its parts are over."""

    step_id: str
    title: str
    count: int


@dataclass(frozen=True, slots=True)
class Living:
    """Runs under way: by state, and where those that are active wait."""

    states: Counter[str]
    places: list[Waiting]
    is_cut: bool


def count_runs(conn: Connection) -> dict[str, Counter[str]]:
    """By playbook: "entered", and how many ended in each state; those left alone are not among them."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    keys = list(conn.scalars(select(playbook_table.c.key)))
    totals = select(tally_table.c.playbook_key, tally_table.c.what, func.sum(tally_table.c.count))
    mine = tally_table.c.playbook_key.in_(keys), tally_table.c.day == tally.ALL_DAYS
    for key, what, count in conn.execute(totals.where(*mine).group_by(tally_table.c.playbook_key, tally_table.c.what)):
        counts[key][what] += int(count)
    cursors = {row.name: row for row in conn.execute(select(tally_cursor))}
    newest, ending = cursors.get("enrolment"), cursors.get("ending")
    is_new = enrolment.c.id > (newest.counted_id if newest else 0), ~tally.is_holdout()
    entered = select(enrolment.c.playbook_key, func.count()).where(*is_new).group_by(enrolment.c.playbook_key)
    for key, count in conn.execute(entered):
        counts[key]["entered"] += count
    is_over = [enrolment.c.ended_at.is_not(None), ~tally.is_holdout()]
    if ending is not None:
        at, of_id = enrolment.c.ended_at, enrolment.c.id
        later = or_(at > ending.counted_at, and_(at == ending.counted_at, of_id > ending.counted_id))
        is_over += [later, at >= ending.counted_at]
    states = select(enrolment.c.playbook_key, enrolment.c.state, func.count()).where(*is_over)
    for key, state, count in conn.execute(states.group_by(enrolment.c.playbook_key, enrolment.c.state)):
        counts[key][state] += count
    for of_playbook in counts.values():
        ended = sum(of_playbook[state] for state in ("goal", "exited", "done", "failed", "merged"))
        of_playbook["active"] = max(0, of_playbook["entered"] - ended)
    return counts


def find_living(conn: Connection, playbook: Playbook) -> Living:
    """Where the newest MOST_RUNS runs under way stand; of other versions by the place in the newest one."""
    newest = (
        select(enrolment.c.state, enrolment.c.step, tally.is_holdout().label("is_holdout"))
        .where(_LIVING, enrolment.c.playbook_key == playbook.key)
        .limit(MOST_RUNS)
        .subquery("newest")
    )
    states: Counter[str] = Counter()
    at: Counter[int] = Counter()
    columns = newest.c.state, newest.c.step, newest.c.is_holdout
    for state, step, is_holdout, count in conn.execute(select(*columns, func.count()).group_by(*columns)):
        if is_holdout:
            states["holdout"] += count
            continue
        states[state] += count
        if state == "active":
            at[step] += count
    return Living(states, _places(playbook, at), states.total() >= MOST_RUNS)


def _places(playbook: Playbook, at: Counter[int]) -> list[Waiting]:
    places: dict[str, Waiting] = {}
    for index in sorted(at):
        node = playbook.node(index)
        title = explain.title_of(node) if node is not None else "步骤已走完，等待目标"
        step_id = getattr(node, "id", "") if node is not None else ""
        before = places[title].count if title in places else 0
        places[title] = Waiting(step_id, title, before + at[index])
    return list(places.values())
