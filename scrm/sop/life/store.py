"""All SQL about the life of a playbook: its row, its versions, its draft, who changed what, and runs in slices."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, delete, func, insert, literal_column, select
from sqlalchemy import update as update_

from scrm import audit
from scrm.db import upsert
from scrm.sop.models import enrolment, playbook, playbook_change, playbook_draft, playbook_version, step_run, task

# As the partial index has it, letter for letter: SQLite compares the terms.
_LIVING: ColumnElement[bool] = literal_column("enrolment.state IN ('active', 'paused', 'queued')")

# Playbooks, versions and changes --------------------------------------------------------------------------------------


def find_playbook(conn: Connection, key: str) -> Row[Any] | None:
    return conn.execute(select(playbook).where(playbook.c.key == key)).one_or_none()


def list_playbooks(conn: Connection) -> list[Row[Any]]:
    """Every playbook by key; archived ones at the end."""
    return list(conn.execute(select(playbook).order_by(playbook.c.state == "archived", playbook.c.key)))


def lock_playbook(conn: Connection, key: str) -> Row[Any] | None:
    """Nobody else publishes or pauses it until this transaction ends."""
    query = select(playbook).where(playbook.c.key == key)
    return conn.execute(query.with_for_update() if conn.dialect.name == "postgresql" else query).one_or_none()


@audit.keeps("playbook", playbook.c.key, of=("key",))
def change_playbook(conn: Connection, /, key: str, **values: Any) -> None:
    conn.execute(update_(playbook).where(playbook.c.key == key).values(**values))


def find_version(conn: Connection, key: str, version: int) -> Row[Any] | None:
    query = select(playbook_version).where(playbook_version.c.playbook_key == key)
    return conn.execute(query.where(playbook_version.c.version == version)).one_or_none()


def list_versions(conn: Connection, key: str, *, limit: int = 200) -> list[Row[Any]]:
    """The newest first, with how many characters each has instead of its text."""
    columns = [column for column in playbook_version.c if column.name != "source"]
    query = select(*columns, func.length(playbook_version.c.source).label("chars"))
    return list(
        conn.execute(
            query.where(playbook_version.c.playbook_key == key).order_by(playbook_version.c.version.desc()).limit(limit)
        )
    )


def add_change(conn: Connection, key: str, act: str, *, by: str, now: datetime, **more: Any) -> None:
    """`more`: version, why, facts."""
    conn.execute(insert(playbook_change).values(playbook_key=key, act=act, by=by, at=now, **more))


def list_changes(conn: Connection, key: str, *, limit: int = 100) -> list[Row[Any]]:
    """The newest first."""
    query = select(playbook_change).where(playbook_change.c.playbook_key == key)
    return list(conn.execute(query.order_by(playbook_change.c.id.desc()).limit(limit)))


# Drafts ---------------------------------------------------------------------------------------------------------------


def find_draft(conn: Connection, key: str) -> Row[Any] | None:
    return conn.execute(select(playbook_draft).where(playbook_draft.c.playbook_key == key)).one_or_none()


def lock_draft(conn: Connection, key: str) -> Row[Any] | None:
    """The draft, which nobody else changes until this transaction ends."""
    query = select(playbook_draft).where(playbook_draft.c.playbook_key == key)
    return conn.execute(query.with_for_update() if conn.dialect.name == "postgresql" else query).one_or_none()


def list_drafts(conn: Connection) -> list[Row[Any]]:
    """Every draft without its text, the newest first."""
    columns = [column for column in playbook_draft.c if column.name not in ("source", "estimate")]
    return list(conn.execute(select(*columns).order_by(playbook_draft.c.saved_at.desc())))


def save_draft(conn: Connection, key: str, values: Mapping[str, Any]) -> None:
    conn.execute(
        upsert(playbook_draft, conn)
        .values(playbook_key=key, **values)
        .on_conflict_do_update(index_elements=["playbook_key"], set_=dict(values))
    )


def drop_draft(conn: Connection, key: str) -> None:
    conn.execute(delete(playbook_draft).where(playbook_draft.c.playbook_key == key))


# Runs under way, in slices --------------------------------------------------------------------------------------------


def other_version(version: int) -> ColumnElement[bool]:
    return enrolment.c.version != version


def held_for(reason: str) -> ColumnElement[bool]:
    """Runs that stand still for this reason, and for no other."""
    return enrolment.c.ended_reason == reason


def _living(key: str, state: str) -> list[ColumnElement[bool]]:
    return [_LIVING, enrolment.c.playbook_key == key, enrolment.c.state == state]


def lock_runs(
    conn: Connection, key: str, state: str, limit: int, *, after: int = 0, only: Sequence[ColumnElement[bool]] = ()
) -> list[Row[Any]]:
    """The next runs of a playbook in this state by id; on PostgreSQL they are ours until the transaction ends."""
    query: Select[Any] = (
        select(enrolment)
        .where(*_living(key, state), enrolment.c.id > after, *only)
        .order_by(enrolment.c.id)
        .limit(limit)
    )
    return list(conn.execute(query.with_for_update() if conn.dialect.name == "postgresql" else query))


def count_living(conn: Connection, key: str) -> list[Row[Any]]:
    """(version, step, state, people): where those under way stand."""
    columns = (enrolment.c.version, enrolment.c.step, enrolment.c.state)
    query = select(*columns, func.count().label("people")).where(_LIVING, enrolment.c.playbook_key == key)
    return list(conn.execute(query.group_by(*columns).order_by(*columns)))


def has_active(conn: Connection, key: str) -> bool:
    return conn.execute(select(enrolment.c.id).where(*_living(key, "active")).limit(1)).first() is not None


def list_held_playbooks(conn: Connection) -> list[str]:
    """Paused ones whose runs are to stand still."""
    query = select(playbook.c.key).where(playbook.c.state == "paused", playbook.c.runs == "held")
    return list(conn.scalars(query))


def hold_runs(conn: Connection, ids: Collection[int], reason: str, now: datetime) -> None:
    conn.execute(
        update_(enrolment)
        .where(enrolment.c.id.in_(list(ids)), enrolment.c.state == "active")
        .values(state="paused", paused_at=now, ended_reason=reason)
    )


_CHANGE = update_(enrolment).where(enrolment.c.id == bindparam("of_id"))


def change_runs(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """`of_id` and the columns to set, the same in every row."""
    if rows:
        names = [name for name in rows[0] if name != "of_id"]
        values = {name: bindparam(f"new_{name}", type_=enrolment.c[name].type) for name in names}
        given = [{"of_id": row["of_id"], **{f"new_{name}": row[name] for name in names}} for row in rows]
        conn.execute(_CHANGE.values(values), given)


def list_steps_done(conn: Connection, enrolment_ids: Collection[int]) -> dict[tuple[int, int], set[str]]:
    """By run and pass: ids of the steps that were decided."""
    rows = conn.execute(
        select(step_run.c.enrolment_id, step_run.c["pass"].label("turn"), step_run.c.step_id).where(
            step_run.c.enrolment_id.in_(list(enrolment_ids))
        )
    )
    done: dict[tuple[int, int], set[str]] = {}
    for row in rows:
        done.setdefault((row.enrolment_id, row.turn), set()).add(row.step_id)
    return done


def list_waiting(conn: Connection, enrolment_ids: Collection[int], step_ids: Collection[str]) -> list[int]:
    """Those of the runs in which one of these steps is not over."""
    where = (step_run.c.enrolment_id.in_(list(enrolment_ids)), step_run.c.step_id.in_(list(step_ids)))
    open_ones = select(step_run.c.enrolment_id).where(*where, step_run.c.state.in_(("waiting", "intent")))
    return list(conn.scalars(open_ones.distinct()))


def count_open_tasks(conn: Connection, key: str, versions: Collection[int]) -> dict[str, int]:
    """By step: tasks that members have not sent, of runs under way in these versions."""
    rows = conn.execute(
        select(task.c.step_id, func.count().label("tasks"))
        .join(enrolment, enrolment.c.id == task.c.enrolment_id)
        .where(
            _LIVING,
            enrolment.c.playbook_key == key,
            enrolment.c.version.in_(list(versions)),
            task.c.state == "open",
        )
        .group_by(task.c.step_id)
    )
    return {row.step_id: row.tasks for row in rows}


def withdraw_steps(
    conn: Connection, enrolment_ids: Collection[int], step_ids: Collection[str] | None, reason: str, now: datetime
) -> int:
    """Take back the open tasks of these steps (None: of all); returns how many."""
    where = [task.c.enrolment_id.in_(list(enrolment_ids)), task.c.state == "open"]
    if step_ids is not None:
        where.append(task.c.step_id.in_(list(step_ids)))
    gone = conn.execute(
        update_(task).where(*where).values(state="withdrawn", reason=reason, ended_at=now).returning(task.c.step_run_id)
    ).all()
    ended = [row.step_run_id for row in gone if row.step_run_id]
    if ended:
        values = {"state": "skipped", "reason": reason, "outcome_at": now}
        conn.execute(update_(step_run).where(step_run.c.id.in_(ended)).values(**values))
    return len(gone)


def list_withdrawn(conn: Connection, enrolment_ids: Collection[int], reason: str) -> list[Row[Any]]:
    """Tasks that were taken back for this reason."""
    query = select(task.c.id, task.c.enrolment_id, task.c.step_run_id, task.c.expires_at, task.c.ended_at)
    where = (task.c.enrolment_id.in_(list(enrolment_ids)), task.c.state == "withdrawn", task.c.reason == reason)
    return list(conn.execute(query.where(*where)))


_REOPEN = (
    update_(task)
    .where(task.c.id == bindparam("of_id"), task.c.state == "withdrawn")
    .values(
        state="open", reason="", ended_at=None, reminder="waiting", open_at=bindparam("at"), expires_at=bindparam("end")
    )
)


def reopen_tasks(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """`of_id`, `at` (shown from), `end` (expires) and `step_run_id` of each."""
    if not rows:
        return
    conn.execute(_REOPEN, [{name: row[name] for name in ("of_id", "at", "end")} for row in rows])
    ids = [row["step_run_id"] for row in rows if row["step_run_id"]]
    conn.execute(update_(step_run).where(step_run.c.id.in_(ids)).values(state="waiting", reason="", outcome_at=None))
