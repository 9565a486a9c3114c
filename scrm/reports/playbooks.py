"""How many runs each playbook has and what became of them."""

from collections import Counter, defaultdict

from sqlalchemy import Connection, and_, func, or_, select

from scrm.sop.models import enrolment
from scrm.sop.models import playbook as playbook_table
from scrm.sop.results import tally
from scrm.sop.results.tables import tally as tally_table
from scrm.sop.results.tables import tally_cursor


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
