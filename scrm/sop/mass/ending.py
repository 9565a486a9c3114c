"""The end of a step: its own row, the playbook's and the ledger's."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, select, update

from scrm.db.bulk import among
from scrm.sop.mass.batches import step, target
from scrm.sop.models import send, step_run

# States of a step, and of its line in the ledger, while nothing is certain.
OPEN = ("intent", "waiting")
_SENDS = {"done": "sent", "failed": "failed"}


def finish(conn: Connection, ends: Mapping[tuple[str, str], Sequence[int]], now: datetime) -> None:
    """End steps, by (state, reason): their own rows, the playbook's and the ledger's."""
    for (state, reason), ids in ends.items():
        if not ids:
            continue
        conn.execute(
            update(step_run)
            .where(among(conn, step_run.c.id, ids), step_run.c.state.in_(OPEN))
            .values(state=state, reason=reason[:300], outcome_at=now)
        )
        conn.execute(update(step).where(among(conn, step.c.step_run_id, ids)).values(state="over"))
        conn.execute(
            update(send)
            .where(among(conn, send.c.once, [once_of(of) for of in ids]), send.c.outcome.in_(OPEN))
            .values(outcome=_SENDS.get(state, "none"), reason=reason[:300])
        )


def end_all(conn: Connection, step_run_ids: Sequence[int], over: tuple[str, str], now: datetime) -> set[int]:
    conn.execute(update(target).where(of_steps(conn, step_run_ids)).values(state="cancelled", told="cancelled"))
    finish(conn, {over: step_run_ids}, now)
    query = select(step.c.enrolment_id).where(among(conn, step.c.step_run_id, step_run_ids))
    return set(conn.execute(query).scalars())


def of_steps(conn: Connection, ids: Collection[int]) -> ColumnElement[bool]:
    # The first half finds the partial index.
    return and_(target.c.step_run_id.is_not(None), among(conn, target.c.step_run_id, list(ids)))


def once_of(step_run_id: int) -> str:
    return f"mass:{step_run_id}"
