"""All SQL about tasks: what a member is asked to do, until it is done, withdrawn or too late."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    false,
    func,
    literal_column,
    or_,
    select,
    update,
)

from scrm.access.scope import EVERYONE, Scope, reaches_member
from scrm.db import UtcDateTime
from scrm.db.bulk import among_given, insert_rows, listed
from scrm.db.ready import Ready
from scrm.profiles.models import external_contact, follow_user, member
from scrm.sop.mass import leaving
from scrm.sop.models import enrolment, step_run, task
from scrm.sop.store import end_step_runs, finish_idle, locked

# A literal, as a partial index must be found: with a bound parameter PostgreSQL cannot use it.
_OPEN: ColumnElement[bool] = literal_column("task.state = 'open'")


def add_tasks(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """All with the same keys."""
    insert_rows(conn, task, rows)


def add_task(conn: Connection, values: dict[str, Any]) -> int:
    """One, that no step asked for; its id."""
    return int(conn.execute(task.insert().values(**values).returning(task.c.id)).scalar_one())


def find_task(conn: Connection, task_id: int) -> Row[Any] | None:
    return conn.execute(select(task).where(task.c.id == task_id)).one_or_none()


def lock_task(conn: Connection, task_id: int) -> Row[Any] | None:
    query = select(task).where(task.c.id == task_id)
    return conn.execute(query.with_for_update() if conn.dialect.name == "postgresql" else query).one_or_none()


def change_task(conn: Connection, task_id: int, **values: Any) -> None:
    conn.execute(update(task).where(task.c.id == task_id).values(**values))


def end_task(conn: Connection, task: Row[Any], state: str, reason: str, *, now: datetime) -> None:
    """A task's end, its step run's, and its run's when nothing more is to come."""
    change_task(conn, task.id, state=state, reason=reason[:300], ended_at=now)
    if task.step_run_id is not None:
        outcome = {"sent": "done", "expired": "dropped"}.get(state, "skipped")
        end_step_runs(conn, [task.step_run_id], outcome, reason, now=now)
    if task.enrolment_id is not None:
        finish_idle(conn, [task.enrolment_id], now=now)


def withdraw_tasks(conn: Connection, enrolment_ids: Collection[int], reason: str, *, now: datetime) -> int:
    """Take back what the members have not sent yet; returns how many."""
    if not enrolment_ids:
        return 0
    waiting = leaving.withdraw(conn, enrolment_ids, reason, now)
    return waiting + _withdraw(conn, task.c.enrolment_id.in_(list(enrolment_ids)), reason, now)


def withdraw_steps(conn: Connection, step_run_ids: Collection[int], reason: str, *, now: datetime) -> int:
    """The same for single steps."""
    if not step_run_ids:
        return 0
    waiting = leaving.withdraw_steps(conn, step_run_ids, reason, now)
    return waiting + _withdraw(conn, task.c.step_run_id.in_(list(step_run_ids)), reason, now)


def withdraw_relation_tasks(conn: Connection, userid: str, external_userid: str, reason: str, *, now: datetime) -> int:
    """All open tasks of one pair, also those without a playbook."""
    pair = and_(task.c.external_userid == external_userid, func.lower(task.c.userid) == userid.lower())
    waiting = leaving.withdraw_pair(conn, userid, external_userid, reason, now)
    return waiting + _withdraw(conn, pair, reason, now)


def _withdraw(conn: Connection, which: Any, reason: str, now: datetime) -> int:
    gone = conn.execute(
        update(task)
        .where(_OPEN, which)
        .values(state="withdrawn", reason=reason[:300], ended_at=now)
        .returning(task.c.step_run_id)
    ).all()
    end_step_runs(conn, [row.step_run_id for row in gone if row.step_run_id], "skipped", reason, now=now)
    return len(gone)


# What nobody is asked to send: it may be used when they talk anyway.
SUGGESTED = ("suggestion", "hint")
_UNSENT = "已超过有效期，员工未发送"
_UNUSED = "有效期内没有聊到，建议未用"


def expire_tasks(conn: Connection, now: datetime, *, limit: int = 500) -> int:
    """End tasks that nobody sent in their time; returns how many."""
    query: Select[Any] = (
        select(task.c.id, task.c.enrolment_id)
        .where(_OPEN, task.c.expires_at <= now)
        .order_by(task.c.expires_at)
        .limit(limit)
    )
    late = list(conn.execute(query))
    # The run before its task, as everywhere: who holds the run is about to end the task himself.
    runs = select(enrolment.c.id).where(enrolment.c.id.in_({row.enrolment_id for row in late if row.enrolment_id}))
    held = set(conn.scalars(locked(conn, runs)))
    ids = [row.id for row in late if row.enrolment_id is None or row.enrolment_id in held]
    if not ids:
        return 0
    rows: list[Row[Any]] = []
    for which, reason in ((task.c.kind.notin_(SUGGESTED), _UNSENT), (task.c.kind.in_(SUGGESTED), _UNUSED)):
        ended = conn.execute(
            update(task)
            .where(task.c.id.in_(ids), task.c.state == "open", which)
            .values(state="expired", reason=reason, ended_at=now)
            .returning(task.c.step_run_id, task.c.enrolment_id)
        ).all()
        end_step_runs(conn, [row.step_run_id for row in ended if row.step_run_id], "dropped", reason, now=now)
        rows += ended
    finish_idle(conn, {row.enrolment_id for row in rows if row.enrolment_id}, now=now)
    return len(rows)


def has_expired_tasks(conn: Connection, now: datetime) -> bool:
    return conn.execute(select(task.c.id).where(_OPEN, task.c.expires_at <= now).limit(1)).first() is not None


_UNTOLD: ColumnElement[bool] = literal_column("task.reminder = 'waiting'")


def list_untold(conn: Connection, before: datetime, *, limit: int = 2000) -> list[Row[Any]]:
    """Open tasks that their members have not been told of, opening before `before`; the first to open first."""
    query: Select[Any] = (
        select(task.c.id, task.c.userid, task.c.open_at)
        .where(_OPEN, _UNTOLD, task.c.open_at < before)
        .order_by(task.c.open_at, task.c.id)
        .limit(limit)
    )
    return list(conn.execute(query.with_for_update(skip_locked=True) if conn.dialect.name == "postgresql" else query))


def has_untold(conn: Connection, now: datetime) -> bool:
    query = select(task.c.id).where(_OPEN, _UNTOLD, task.c.open_at <= now).limit(1)
    return conn.execute(query).first() is not None


def set_reminder(conn: Connection, task_ids: Collection[int], state: str) -> None:
    """waiting, sent or unsent."""
    conn.execute(update(task).where(task.c.id.in_(list(task_ids))).values(reminder=state))


def count_told(conn: Connection, userids: Collection[str], since: datetime) -> dict[str, int]:
    """By member: the tasks opened since then that he was told of."""
    rows = conn.execute(
        select(task.c.userid, func.count().label("tasks"))
        .where(task.c.userid.in_(sorted(userids)), task.c.open_at >= since, task.c.reminder == "sent")
        .group_by(task.c.userid)
    )
    return {row.userid: row.tasks for row in rows}


def find_priorities(conn: Connection, task_ids: Collection[int]) -> dict[int, str]:
    """By task: its playbook's priority; a task without a run has none."""
    rows = conn.execute(
        select(task.c.id, enrolment.c.priority)
        .join(enrolment, enrolment.c.id == task.c.enrolment_id)
        .where(task.c.id.in_(list(task_ids)))
    )
    return {row.id: row.priority for row in rows}


def list_tasks_to_tell(conn: Connection, task_ids: Collection[int]) -> list[Row[Any]]:
    """Those of a bundle that still wait for their member, with the customer's name."""
    return list(
        conn.execute(
            _with_names(select(task))
            .where(task.c.id.in_(list(task_ids)), task.c.state == "open")
            .order_by(task.c.expires_at, task.c.id)
        )
    )


def _with_names(query: Select[Any]) -> Select[Any]:
    """Adds the customer's name and the number of the step among those decided so far."""
    earlier = step_run.alias("earlier")
    number = (
        select(func.count())
        .where(earlier.c.enrolment_id == task.c.enrolment_id, earlier.c.id <= task.c.step_run_id)
        .scalar_subquery()
    )
    return (
        query.add_columns(
            external_contact.c.name.label("customer_name"),
            external_contact.c.avatar.label("customer_avatar"),
            follow_user.c.remark.label("customer_remark"),
            number.label("step_number"),
        )
        .outerjoin(external_contact, external_contact.c.external_userid == task.c.external_userid)
        .outerjoin(
            follow_user,
            and_(
                follow_user.c.external_userid == task.c.external_userid,
                follow_user.c.userid == task.c.userid,
            ),
        )
    )


def get_task_with_names(conn: Connection, task_id: int) -> Row[Any]:
    return conn.execute(_with_names(select(task)).where(task.c.id == task_id)).one()


def list_tasks_with_names(conn: Connection, task_ids: Collection[int]) -> list[Row[Any]]:
    return list(conn.execute(_tasks_with_names(conn.dialect.name), {"ids": listed(conn, task_ids)}))


@cache
def _tasks_with_names(dialect: str) -> Select[Any]:
    """Built once: to build it costs several times as much as to run it."""
    return _with_names(select(task)).where(among_given(dialect, task.c.id, "ids"))


def list_contact_tasks(conn: Connection, userid: str, external_userid: str, since: datetime) -> list[Any]:
    """A member's tasks for one contact: the open ones, and those that ended since then."""
    return _CONTACT_TASKS.rows(conn, contact_tasks_of(userid, external_userid, since))


def contact_tasks_of(userid: str, external_userid: str, since: datetime) -> dict[str, Any]:
    """What `contact_tasks` asks for."""
    return {"tasks_of": userid.lower(), "tasks_for": external_userid, "tasks_since": since}


def contact_tasks() -> Select[Any]:
    """The query of `list_contact_tasks`, for who asks for more in the same statement."""
    return (
        _with_names(select(task))
        .where(
            task.c.external_userid == bindparam("tasks_for", type_=Text),
            func.lower(task.c.userid) == bindparam("tasks_of", type_=Text),
            # In words: SQLite prepares a statement anew whose parameter may decide about a partial index.
            or_(_OPEN, task.c.ended_at >= bindparam("tasks_since", type_=UtcDateTime)),
        )
        .order_by(task.c.open_at, task.c.id)
    )


_CONTACT_TASKS = Ready(lambda _dialect: contact_tasks())


def list_member_tasks(
    conn: Connection, userid: str, since: datetime, before: datetime, *, limit: int = 200
) -> list[Row[Any]]:
    """A member's open tasks that open before then, and those that ended since."""
    spelled = conn.scalar(select(member.c.userid).where(member.c.folded == userid.lower())) or userid
    return list(
        conn.execute(
            _with_names(select(task))
            .where(
                task.c.userid == spelled,
                task.c.kind.in_(("send", "promise")),
                or_(and_(task.c.state == "open", task.c.open_at < before), task.c.ended_at >= since),
            )
            .order_by(task.c.open_at, task.c.id)
            .limit(limit)
        )
    )


def list_tasks(
    conn: Connection,
    *,
    now: datetime,
    userid: str | None = None,
    state: str | None = None,
    external_userid: str | None = None,
    before: int | None = None,
    limit: int = 100,
    scope: Scope = EVERYONE,
) -> list[Row[Any]]:
    """Tasks, the newest first, narrowed by what is given; `before` is the id of the last one already seen.

    The states are those people see: "postponed" opens later, and what ran out is "expired" before a tick says so.
    """
    query = select(task).where(reaches_member(scope, task.c.userid)).order_by(task.c.id.desc()).limit(limit)
    if userid is not None:
        query = query.where(func.lower(task.c.userid) == userid.lower())
    if external_userid is not None:
        query = query.where(task.c.external_userid == external_userid)
    if state is not None:
        query = query.where(_as_seen(state, now))
    if before is not None:
        query = query.where(task.c.id < before)
    return list(conn.execute(query))


def _as_seen(state: str, now: datetime) -> ColumnElement[bool]:
    is_open, ran_out = task.c.state == "open", func.coalesce(task.c.expires_at <= now, false())
    if state == "open":
        return and_(is_open, task.c.open_at <= now, ~ran_out)
    if state == "postponed":
        return and_(is_open, task.c.open_at > now, ~ran_out)
    if state == "expired":
        return or_(task.c.state == "expired", and_(is_open, ran_out))
    return task.c.state == state
