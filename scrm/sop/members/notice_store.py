"""SQL of notices: who is told what, and who is whose manager."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, literal_column, select, update

from scrm.db import upsert
from scrm.profiles.models import external_contact, member, member_department
from scrm.sop.members.notice_tables import notice
from scrm.sop.models import step_run, task

_WAITING: ColumnElement[bool] = literal_column("notice.state = 'waiting' AND notice.bundle = ''")


def add_notices(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Those that are there already stay as they are."""
    if rows:
        conn.execute(upsert(notice, conn).on_conflict_do_nothing(index_elements=["once"]), list(rows))


def has_waiting(conn: Connection, now: datetime) -> bool:
    return conn.execute(select(notice.c.id).where(_WAITING, notice.c.look_at <= now).limit(1)).first() is not None


def claim_waiting(conn: Connection, now: datetime, limit: int = 1000) -> list[Row[Any]]:
    """Those whose time has come, the oldest first; ours until the transaction ends."""
    query = select(notice).where(_WAITING, notice.c.look_at <= now).order_by(notice.c.look_at, notice.c.id).limit(limit)
    return list(conn.execute(query.with_for_update(skip_locked=True) if conn.dialect.name == "postgresql" else query))


def change_notices(conn: Connection, ids: Collection[int], **values: Any) -> None:
    if ids:
        conn.execute(update(notice).where(notice.c.id.in_(list(ids))).values(**values))


def list_bundle(conn: Connection, bundle: str) -> list[Row[Any]]:
    """What one message says, with the customer's name; of a task whether it still waits."""
    query = (
        select(notice, external_contact.c.name.label("customer_name"), task.c.state.label("task_state"))
        .outerjoin(external_contact, external_contact.c.external_userid == notice.c.external_userid)
        .outerjoin(task, task.c.id == notice.c.task_id)
        .where(notice.c.bundle == bundle, notice.c.state == "waiting")
        .order_by(notice.c.id)
    )
    return list(conn.execute(query))


def end_bundle(conn: Connection, bundle: str, state: str, reason: str, now: datetime) -> None:
    """Also the steps that asked for it: done when somebody was told, failed when nobody could be."""
    ended = conn.execute(
        update(notice)
        .where(notice.c.bundle == bundle, notice.c.state.in_(("waiting", "failed")))
        .values(state=state, reason=reason[:200], ended_at=now)
        .returning(notice.c.step_run_id)
    )
    settle_steps(conn, {row.step_run_id for row in ended if row.step_run_id is not None}, now)


def settle_steps(conn: Connection, step_run_ids: Collection[int], now: datetime) -> None:
    """End the steps all of whose notices have ended.

    Of two messages of one step that end at the same moment the second one waits here and then sees the first.
    """
    if not step_run_ids:
        return
    if conn.dialect.name == "postgresql":
        held = select(step_run.c.id).where(step_run.c.id.in_(sorted(step_run_ids))).order_by(step_run.c.id)
        conn.execute(held.with_for_update())
    rows = conn.execute(
        select(notice.c.step_run_id, notice.c.state, func.max(notice.c.reason).label("reason"))
        .where(notice.c.step_run_id.in_(list(step_run_ids)))
        .group_by(notice.c.step_run_id, notice.c.state)
    )
    states: dict[int, dict[str, str]] = {}
    for row in rows:
        states.setdefault(row.step_run_id, {})[row.state] = row.reason
    for step_run_id, found in states.items():
        if "waiting" in found:
            continue
        state = "done" if "sent" in found else "failed"
        reason = "" if "sent" in found else found.get("failed") or found.get("none") or ""
        conn.execute(
            update(step_run)
            .where(step_run.c.id == step_run_id, step_run.c.state.in_(("intent", "failed")))
            .values(state=state, reason=reason[:300], outcome_at=now)
        )


# Whom to tell ---------------------------------------------------------------------------------------------------------


def list_leaders(conn: Connection, userids: Collection[str]) -> dict[str, list[str]]:
    """By folded userid: the direct leaders, else those who lead a department of his; never the member himself."""
    folded = {userid.casefold() for userid in userids}
    asked = select(member.c.folded, member.c.userid, member.c.leaders).where(member.c.folded.in_(folded))
    named = {row.folded: (row.userid, list(row.leaders or [])) for row in conn.execute(asked)}
    found = {who: [each for each in leaders if each.casefold() != who] for who, (_, leaders) in named.items()}
    rest = {userid: who for who, (userid, _) in named.items() if not found[who]}
    if rest:
        of_departments = _leaders_of_departments(conn, rest)
        found |= {rest[userid]: leaders for userid, leaders in of_departments.items()}
    return {who: leaders for who, leaders in found.items() if leaders}


def _leaders_of_departments(conn: Connection, userids: Collection[str]) -> dict[str, list[str]]:
    rows = conn.execute(
        select(member_department.c.userid, member_department.c.department_id).where(
            member_department.c.userid.in_(list(userids))
        )
    )
    departments: dict[str, set[int]] = {}
    for row in rows:
        departments.setdefault(row.userid, set()).add(row.department_id)
    leading = [
        (row.userid, {int(each) for each in row.leads or []})
        for row in conn.execute(select(member.c.userid, member.c.leads).where(member.c.is_active))
        if row.leads
    ]
    return {
        userid: [leader for leader, leads in leading if leads & mine and leader != userid]
        for userid, mine in departments.items()
    }


def list_with_role(conn: Connection, role: str) -> list[str]:
    query = select(member.c.userid).where(member.c.role == role, member.c.is_active).order_by(member.c.userid)
    return list(conn.scalars(query))


# Tasks that nobody does -----------------------------------------------------------------------------------------------

_OVERDUE: ColumnElement[bool] = literal_column("task.state = 'open' AND task.escalate_at IS NOT NULL")


def has_overdue(conn: Connection, now: datetime) -> bool:
    return conn.execute(select(task.c.id).where(_OVERDUE, task.c.escalate_at <= now).limit(1)).first() is not None


def take_overdue(conn: Connection, now: datetime, limit: int = 500) -> list[Row[Any]]:
    """Open tasks whose manager is to be told, each taken once; those that were put off are looked at when they open."""
    due = select(task.c.id).where(_OVERDUE, task.c.escalate_at <= now).order_by(task.c.escalate_at).limit(limit)
    ids = list(conn.scalars(due.with_for_update(skip_locked=True) if conn.dialect.name == "postgresql" else due))
    if not ids:
        return []
    conn.execute(update(task).where(task.c.id.in_(ids), task.c.open_at > now).values(escalate_at=task.c.open_at))
    taken = update(task).where(task.c.id.in_(ids), task.c.open_at <= now).values(escalate_at=None)
    return list(conn.execute(taken.returning(task)))
