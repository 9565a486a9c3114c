"""Why a person is in a playbook or is not, what comes next, and what holds it up: kept as data, told in words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, select, tuple_

from scrm.db import upsert
from scrm.profiles import conditions
from scrm.sop.result_tables import entry_note, refusal
from scrm.sop.schema import Condition

# Reasons as people read them; whoever refuses for another reason gives his own words.
NO_MEMBER = "客户没有在联系的员工"
NOT_ADMITTED = "不符合进入条件"
ENTERED_BEFORE = "已经进入过，按规则不再进入"

# A refusal that is older explains nothing any more.
KEPT = timedelta(days=180)


@dataclass(frozen=True, slots=True)
class Refused:
    """One person whom one event would have brought into one playbook."""

    playbook_key: str
    person_id: int
    event_id: int | None
    reason: str


def note_refusal(
    conn: Connection, playbook_key: str, person_id: int, event_id: int | None, reason: str, now: datetime
) -> None:
    """Keep why this person was not let in; the last refusal of a playbook and person stays."""
    note_refusals(conn, [Refused(playbook_key, person_id, event_id, reason)], now)


def note_refusals(conn: Connection, refused: Iterable[Refused], now: datetime) -> None:
    """`note_refusal` for many, with one statement; of one playbook and person the last one counts."""
    rows = {
        (one.playbook_key, one.person_id): {
            "playbook_key": one.playbook_key,
            "person_id": one.person_id,
            "event_id": one.event_id,
            "reason": one.reason[:300],
            "at": now,
        }
        for one in refused
    }
    if not rows:
        return
    insert = upsert(refusal, conn)
    news = {name: insert.excluded[name] for name in ("event_id", "reason", "at")}
    # In one order everywhere: two events of two persons do not wait for each other crosswise.
    conn.execute(
        insert.on_conflict_do_update(index_elements=["playbook_key", "person_id"], set_=news),
        [rows[key] for key in sorted(rows)],
    )


def note_entries(conn: Connection, entered: Mapping[int, tuple[Condition | None, int]], now: datetime) -> None:
    """Keep what the entry condition compared: {enrolment id: (condition, person id)}. Without a condition nothing is."""
    rows = [
        {
            "enrolment_id": enrolment_id,
            "leaves": [list(leaf) for leaf in conditions.explain(conn, tree, person_id, now)],
        }
        for enrolment_id, (tree, person_id) in sorted(entered.items())
        if tree is not None
    ]
    if rows:
        conn.execute(upsert(entry_note, conn).on_conflict_do_nothing(), rows)


def forget_refusals(conn: Connection, now: datetime, *, limit: int = 2000) -> int:
    """Clear what is too old to explain anything; returns how many."""
    keys = refusal.c.playbook_key, refusal.c.person_id
    old: Sequence[Any] = conn.execute(
        select(*keys).where(refusal.c.at < now - KEPT).order_by(refusal.c.at).limit(limit)
    ).all()
    if old:
        conn.execute(delete(refusal).where(tuple_(*keys).in_([tuple(row) for row in old])))
    return len(old)
