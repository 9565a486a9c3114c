"""All SQL about enrolments and step runs."""

from collections import namedtuple
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Update,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    update,
)

from scrm.db import insert_for
from scrm.db.bulk import among_given, insert_new, listed, update_rows
from scrm.events import Event, event, event_of
from scrm.profiles.merge_tables import person_redirect
from scrm.profiles.models import follow_user, person
from scrm.sop.mass import batches
from scrm.sop.models import enrolment, step_run, task

# States are literals where a partial index must be found: with a bound parameter PostgreSQL cannot use it.
_ACTIVE: ColumnElement[bool] = literal_column("enrolment.state = 'active'")
_LIVING: ColumnElement[bool] = literal_column("enrolment.state IN ('active', 'paused', 'queued')")
_WAITING: ColumnElement[bool] = literal_column("enrolment.due_at IS NOT NULL")
_OPEN: ColumnElement[bool] = literal_column("task.state = 'open'")
# What went to the customer or is about to; a suggestion counts only once it was used.
_PUSHED: ColumnElement[bool] = or_(
    and_(task.c.state == "sent", task.c.kind != "promise"), and_(task.c.state == "open", task.c.kind == "send")
)

# Enrolments -----------------------------------------------------------------------------------------------------------


def has_due(conn: Connection, now: datetime) -> bool:
    return bool(list_due_ids(conn, now, 1))


def claim_due(conn: Connection, now: datetime, limit: int) -> Sequence[Row[Any]]:
    """Runs whose next step has come, the longest waiting first; they are ours until this transaction ends.

    What is done with them is committed with the claim: if the process dies in between, they are simply due again.
    """
    return _claimed(conn, _DUE, now, limit)


def claim_one(conn: Connection, enrolment_id: int, now: datetime) -> Sequence[Row[Any]]:
    """That one run if it is due and nobody else has it."""
    return _claimed(conn, _DUE.where(enrolment.c.id == enrolment_id), now, 1)


def _claimed(conn: Connection, query: Select[Any], now: datetime, limit: int) -> list[Any]:
    """As tuples with names: a batch reads thirty values of each row, and asks for them twenty times as fast as of a Row."""
    return [_Claimed._make(row) for row in conn.execute(locked(conn, query), {"now": now, "most": limit}).all()]


_Claimed = namedtuple("_Claimed", enrolment.columns.keys())  # type: ignore[misc]


def list_due_ids(conn: Connection, now: datetime, limit: int) -> Sequence[int]:
    return conn.scalars(_DUE_IDS, {"now": now, "most": limit}).all()


def find_standing(conn: Connection, ids: Collection[int]) -> dict[int, tuple[int, datetime | None]]:
    """Where the active ones of these runs stand now: (step, due_at)."""
    rows = conn.execute(_standing(conn.dialect.name), {"ids": listed(conn, ids)}).all()
    return {of_id: (step, due_at) for of_id, step, due_at in rows}


@cache
def _standing(dialect: str) -> Select[Any]:
    e = enrolment.c
    return select(e.id, e.step, e.due_at).where(among_given(dialect, e.id, "ids"), _ACTIVE)


def next_due_at(conn: Connection) -> datetime | None:
    """When the next step of anybody comes, or the next waiting task opens; for a clock that jumps."""
    step = conn.execute(select(func.min(enrolment.c.due_at)).where(_ACTIVE, _WAITING)).scalar_one_or_none()
    opening = conn.execute(
        select(func.min(task.c.open_at)).where(_OPEN, literal_column("task.reminder = 'waiting'"))
    ).scalar_one_or_none()
    moments = step, opening, batches.next_look_at(conn)
    return min((moment for moment in moments if moment is not None), default=None)


_DUE: Select[Any] = (
    select(enrolment)
    .where(_ACTIVE, _WAITING, enrolment.c.due_at <= bindparam("now"))
    .order_by(enrolment.c.due_at, enrolment.c.id)
    .limit(bindparam("most"))
)
_DUE_IDS: Select[Any] = _DUE.with_only_columns(enrolment.c.id)


def locked(conn: Connection, query: Select[Any]) -> Select[Any]:
    """SQLite has one writer at a time: there the transaction is the lock."""
    return query.with_for_update(skip_locked=True) if conn.dialect.name == "postgresql" else query


# What every event asks for is built once: making a statement costs more than SQLite takes to answer it.
_BY_ID = select(enrolment).where(enrolment.c.id == bindparam("of_id"))
_OF_PERSON = select(enrolment).where(_LIVING, enrolment.c.person_id == bindparam("of_person"))
_KEYS = select(enrolment.c.run_key).where(
    enrolment.c.playbook_key == bindparam("of_playbook"), enrolment.c.person_id == bindparam("of_person")
)


def lock_enrolment(conn: Connection, enrolment_id: int) -> Row[Any] | None:
    query = _BY_ID.with_for_update() if conn.dialect.name == "postgresql" else _BY_ID
    return conn.execute(query, {"of_id": enrolment_id}).one_or_none()


def add_enrolment(conn: Connection, values: Mapping[str, Any]) -> int | None:
    """The new run's id; None when there is one with this key already."""
    return conn.execute(_add_enrolment(conn.dialect.name), dict(values)).scalar_one_or_none()


@cache
def _add_enrolment(dialect: str) -> Any:
    insert = insert_for(dialect, enrolment).on_conflict_do_nothing(index_elements=["playbook_key", "run_key"])
    return insert.returning(enrolment.c.id)


# Behind the key of a run that was taken back: its key is free again.
TAKEN_BACK = "~back"


def find_last_run(conn: Connection, playbook_key: str, person_id: int, base: str = "") -> Row[Any] | None:
    """The newest run of this person in this playbook; with `base` the newest of that key, under whatever number."""
    query: Select[Any] = (
        select(enrolment.c.run_key, enrolment.c.enrolled_at, enrolment.c.state)
        .where(
            enrolment.c.playbook_key == playbook_key,
            enrolment.c.person_id == person_id,
            enrolment.c.run_key.not_like(f"%{TAKEN_BACK}%"),
        )
        .order_by(enrolment.c.id.desc())
    )
    if not base:
        return conn.execute(query.limit(1)).one_or_none()
    return next((row for row in conn.execute(query).all() if row.run_key.partition("#")[0] == base), None)


def has_run_of_key(conn: Connection, playbook_key: str, person_id: int, base: str) -> bool:
    """Whether the person has a run with this key in this playbook, under whatever number re-entry gave it."""
    keys = conn.scalars(_KEYS, {"of_playbook": playbook_key, "of_person": person_id})
    return any(key.partition("#")[0] == base for key in keys)


def find_run(conn: Connection, enrolment_id: int) -> Row[Any] | None:
    return conn.execute(select(enrolment).where(enrolment.c.id == enrolment_id)).one_or_none()


def was_begun_by(conn: Connection, event_id: int, userid: str) -> bool:
    """Whether the event that began a run is of this member's doing."""
    told = conn.scalar(select(event.c.userid).where(event.c.id == event_id))
    return told is not None and told.lower() == userid.lower()


def list_runs(conn: Connection, person_id: int, *, limit: int = 50) -> list[Row[Any]]:
    """All runs of a person, the newest first."""
    query = select(enrolment).where(enrolment.c.person_id == person_id).order_by(enrolment.c.id.desc()).limit(limit)
    return list(conn.execute(query))


def list_living_runs(conn: Connection, person_id: int) -> list[Row[Any]]:
    """A person's runs that are not over: those that are paused or wait for their turn too."""
    return list(conn.execute(_OF_PERSON, {"of_person": person_id}))


def list_waiting(conn: Connection, person_id: int, event_name: str) -> list[Row[Any]]:
    """The runs of a person that wait for an event of this name, also while paused; nobody else moves them meanwhile."""
    query = select(enrolment).where(_LIVING, enrolment.c.person_id == person_id, enrolment.c.awaits == event_name)
    return list(conn.execute(query.with_for_update() if conn.dialect.name == "postgresql" else query))


_PLACE = ("step", "due_at", "awaits", "held_reason", "counted_from", "arms")
_END = (
    update(enrolment)
    .where(_LIVING, enrolment.c.id == bindparam("of_id"))
    .values(
        state=bindparam("new_state"),
        ended_reason=bindparam("reason"),
        ended_at=bindparam("at"),
        due_at=None,
        look_at=None,
        paused_at=None,
        held_reason="",
    )
)


def save_progress(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """`id`, `step`, `due_at`, `awaits`, `held_reason`, `counted_from` and `arms` of each run that goes on."""
    update_rows(conn, enrolment, rows, _PLACE, only="state = 'active'")


def save_place_of_paused(conn: Connection, row: dict[str, Any]) -> None:
    """The same of one run that stands still, and goes on from there when its pause is over."""
    update_rows(conn, enrolment, [row], _PLACE, only="state = 'paused'")


def end_runs(conn: Connection, endings: Iterable[tuple[int, str, str]], *, now: datetime) -> None:
    """(id, state, reason) for each: goal, exited, done or failed."""
    rows = [{"of_id": of_id, "new_state": state, "reason": reason[:200], "at": now} for of_id, state, reason in endings]
    if rows:
        conn.execute(_END, rows)


def finish_idle(conn: Connection, enrolment_ids: Collection[int], *, now: datetime) -> None:
    """End runs that wait for nothing more: no step to come, and no task open."""
    if enrolment_ids:
        conn.execute(_finish(conn.dialect.name), {"ids": listed(conn, enrolment_ids), "at": now})


@cache
def _finish(dialect: str) -> Update:
    open_task = select(task.c.id).where(task.c.enrolment_id == enrolment.c.id, task.c.state == "open")
    return (
        update(enrolment)
        .where(
            among_given(dialect, enrolment.c.id, "ids"),
            enrolment.c.state == "active",
            enrolment.c.due_at.is_(None),
            ~open_task.exists(),
            ~batches.has_open(enrolment.c.id),
        )
        .values(state="done", ended_reason="流程已走完", ended_at=bindparam("at"))
    )


def reopen_run(conn: Connection, enrolment_id: int) -> None:
    """A run that only ended because its last task did waits for that task again."""
    conn.execute(
        update(enrolment)
        .where(enrolment.c.id == enrolment_id, enrolment.c.state == "done")
        .values(state="active", ended_reason="", ended_at=None)
    )


# Facts for decisions --------------------------------------------------------------------------------------------------


def list_living(conn: Connection, external_userids: Collection[str]) -> set[tuple[str, str]]:
    """(userid folded, external_userid) of the relations that neither side has ended."""
    rows = conn.execute(_living(conn.dialect.name), {"contacts": listed(conn, external_userids)}).all()
    return {(userid.casefold(), external_userid) for userid, external_userid in rows}


@cache
def _living(dialect: str) -> Select[Any]:
    f = follow_user.c
    return select(f.userid, f.external_userid).where(
        among_given(dialect, f.external_userid, "contacts"), f.ended_by == ""
    )


def find_owner(conn: Connection, person_id: int) -> Row[Any] | None:
    """The member who speaks with this person: the earliest relation that lives, confirmed ones first."""
    query: Select[Any] = (
        select(follow_user.c.userid, follow_user.c.external_userid)
        .where(follow_user.c.person_id == person_id, follow_user.c.ended_by == "")
        .order_by(follow_user.c.is_half, follow_user.c.followed_at, follow_user.c.userid)
        .limit(1)
    )
    return conn.execute(query).one_or_none()


def find_relation(conn: Connection, userid: str, external_userid: str) -> Row[Any] | None:
    """The relation of this pair while it lives, with the userid as WeCom spells it."""
    query: Select[Any] = select(follow_user.c.userid, follow_user.c.external_userid).where(
        follow_user.c.external_userid == external_userid,
        func.lower(follow_user.c.userid) == userid.lower(),
        follow_user.c.ended_by == "",
    )
    return conn.execute(query).one_or_none()


def find_optouts(conn: Connection, person_ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """What each refused."""
    return _read_optouts(conn, _optouts(conn.dialect.name), person_ids)


def lock_persons(conn: Connection, person_ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """What each refused; two workers do not decide about one person at the same moment."""
    return _read_optouts(conn, _lock_persons(conn.dialect.name), person_ids)


def _read_optouts(conn: Connection, query: Select[Any], person_ids: Collection[int]) -> dict[int, dict[str, Any]]:
    rows = conn.execute(query, {"persons": listed(conn, person_ids)}).all()
    return {person_id: optout or {} for person_id, optout in rows}


@cache
def _optouts(dialect: str) -> Select[Any]:
    return select(person.c.id, person.c.optout).where(among_given(dialect, person.c.id, "persons"))


@cache
def _lock_persons(dialect: str) -> Select[Any]:
    query = _optouts(dialect).order_by(person.c.id)
    return query.with_for_update(key_share=True) if dialect == "postgresql" else query


def last_pushes(conn: Connection, person_ids: Collection[int]) -> dict[int, datetime]:
    """When each person was last written to, or is about to be, by whichever member."""
    rows = conn.execute(_last_pushes(conn.dialect.name), {"persons": listed(conn, person_ids)}).all()
    return {row.person_id: row.at for row in rows if row.at is not None}


@cache
def _last_pushes(dialect: str) -> Select[Any]:
    t = task.c
    # Not in WHERE: of a table of tasks that has just grown PostgreSQL thinks that few are open, and reads those.
    at = func.max(case((_PUSHED, t.created_at))).label("at")
    return select(t.person_id, at).where(among_given(dialect, t.person_id, "persons")).group_by(t.person_id)


def count_pushes(conn: Connection, enrolment_ids: Collection[int]) -> dict[int, int]:
    """How many messages of each run went out or wait for their member, on whatever way."""
    if not enrolment_ids:
        return {}
    rows = conn.execute(_count_pushes(conn.dialect.name), {"ids": listed(conn, enrolment_ids)}).all()
    return {row.enrolment_id: row.pushes for row in rows}


@cache
def _count_pushes(dialect: str) -> Select[Any]:
    s = step_run.c
    return (
        select(s.enrolment_id, func.count().label("pushes"))
        .where(
            among_given(dialect, s.enrolment_id, "ids"),
            s.channel.in_(("T", "M", "K")),
            s.state.in_(("intent", "waiting", "done", "unknown")),
        )
        .group_by(s.enrolment_id)
    )


def find_told(conn: Connection, event_id: int) -> tuple[Event | None, int | None]:
    """An event, and the id that its person's led to when somebody joined him with another."""
    row = conn.execute(_TOLD, {"of_id": event_id}).one_or_none()
    if row is None:
        return None, None
    *values, became = row
    return Event(**dict(zip(_TOLD_COLUMNS, values, strict=True))), became


_TOLD_COLUMNS = ("name", "occurred_at", "person_id", "external_userid", "userid", "key", "facts", "once", "id")
_TOLD: Select[Any] = (
    select(*(event.c[name] for name in _TOLD_COLUMNS), person_redirect.c.new_id)
    .outerjoin(person_redirect, person_redirect.c.old_id == event.c.person_id)
    .where(event.c.id == bindparam("of_id"))
)


def list_events_of(
    conn: Connection, person_ids: Collection[int], names: Collection[str], after_id: int
) -> dict[int, list[Event]]:
    """By person, oldest first: events of these names with an id above `after_id`."""
    found: dict[int, list[Event]] = {}
    if not names:
        return found
    asked = {"persons": listed(conn, person_ids), "names": listed(conn, sorted(names)), "after": after_id}
    for row in conn.execute(_events_of(conn.dialect.name), asked).all():
        found.setdefault(row.person_id, []).append(event_of(row))
    return found


@cache
def _events_of(dialect: str) -> Select[Any]:
    e = event.c
    which = among_given(dialect, e.person_id, "persons"), among_given(dialect, e.name, "names")
    return select(event).where(*which, e.id > bindparam("after")).order_by(e.id)


# Step runs ------------------------------------------------------------------------------------------------------------


def add_step_runs(conn: Connection, rows: Sequence[dict[str, Any]]) -> dict[int, int]:
    """The new rows' ids by enrolment; a step that has its row already is left out, it was decided before.

    At most one row for each enrolment at a time, all with the same keys.
    """
    return dict(insert_new(conn, step_run, rows, ("enrolment_id", "step_id", "pass"), ("enrolment_id", "id")))


def end_step_runs(conn: Connection, ids: Collection[int], state: str, reason: str, *, now: datetime) -> None:
    if ids:
        conn.execute(
            update(step_run)
            .where(step_run.c.id.in_(list(ids)))
            .values(state=state, reason=reason[:300], outcome_at=now)
        )


def reopen_step_run(conn: Connection, step_run_id: int) -> None:
    """A task's step waits for its member again."""
    conn.execute(
        update(step_run).where(step_run.c.id == step_run_id).values(state="waiting", reason="", outcome_at=None)
    )


def list_step_runs(conn: Connection, enrolment_id: int) -> list[Row[Any]]:
    return list(conn.execute(select(step_run).where(step_run.c.enrolment_id == enrolment_id).order_by(step_run.c.id)))
