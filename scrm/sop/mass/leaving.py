"""People who are taken out of what their members have not confirmed."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, exists, func, select, update

from scrm.db.bulk import among
from scrm.sop.mass.batches import batch, locked, part, step, target
from scrm.sop.mass.ending import OPEN, finish, of_steps, once_of
from scrm.sop.models import send, step_run
from scrm.work import queue

RECALL = "sop.mass_recall"


def withdraw(conn: Connection, enrolment_ids: Collection[int], reason: str, now: datetime) -> int:
    """Take these runs' people out of what is not confirmed yet; returns how many."""
    if not enrolment_ids:
        return 0
    return _withdraw(conn, among(conn, step.c.enrolment_id, enrolment_ids), reason, now)


def withdraw_steps(conn: Connection, step_run_ids: Collection[int], reason: str, now: datetime) -> int:
    """The same for single steps."""
    return _withdraw(conn, among(conn, step.c.step_run_id, step_run_ids), reason, now)


def withdraw_pair(conn: Connection, userid: str, external_userid: str, reason: str, now: datetime) -> int:
    """The same for one relation."""
    return _withdraw(conn, _is_of_pair(userid, external_userid), reason, now)


def _is_of_pair(userid: str, external_userid: str) -> ColumnElement[bool]:
    by = exists().where(batch.c.id == step.c.batch_id, func.lower(batch.c.userid) == userid.lower())
    return and_(step.c.external_userid == external_userid, by)


def free_pair(conn: Connection, userid: str, external_userid: str, now: datetime) -> list[Row[Any]]:
    """Take a relation's steps out of what is not confirmed, to be said by another member: rows (step_run_id, step_id,
    enrolment_id), which are in no batch any more."""
    query = (
        select(step.c.step_run_id, step.c.enrolment_id, step.c.state, step_run.c.step_id)
        .join(step_run, step_run.c.id == step.c.step_run_id)
        .where(_is_of_pair(userid, external_userid), step.c.state != "over")
    )
    rows = conn.execute(locked(conn, query, of=step)).all()
    sending = take_out(conn, [row.step_run_id for row in rows if row.state == "sending"], now)
    free = [row for row in rows if row.state == "gathering" or row.step_run_id in sending]
    ids = [row.step_run_id for row in free]
    if ids:
        conn.execute(update(target).where(of_steps(conn, ids)).values(step_run_id=None))
        conn.execute(delete(step).where(among(conn, step.c.step_run_id, ids)))
        mine = among(conn, step_run.c.id, ids)
        conn.execute(update(step_run).where(mine, step_run.c.state == "waiting").values(state="intent"))
    return free


def change_sender(conn: Connection, step_run_ids: Collection[int], userid: str) -> None:
    """The ledger's lines name the member who will send it."""
    mine = among(conn, send.c.once, [once_of(of) for of in step_run_ids])
    conn.execute(update(send).where(mine, send.c.outcome.in_(OPEN)).values(userid=userid, outcome="intent"))


def _withdraw(conn: Connection, which: ColumnElement[bool], reason: str, now: datetime) -> int:
    words = reason if "撤回" in reason else f"{reason}，群发已撤回"
    gone = list(
        conn.execute(
            update(step).where(which, step.c.state == "gathering").values(state="over").returning(step.c.step_run_id)
        ).scalars()
    )
    sending = list(conn.execute(select(step.c.step_run_id).where(which, step.c.state == "sending")).scalars())
    gone += take_out(conn, sending, now)
    finish(conn, {("skipped", words): gone}, now)
    return len(gone)


def take_out(conn: Connection, step_run_ids: Collection[int], now: datetime) -> list[int]:
    """Those of the steps that WeCom will not send: left out before the call, or their message is recalled at once.

    What the member has confirmed already is left alone: its result comes.
    """
    wanted, out = set(step_run_ids), []
    while wanted:
        places = _places(conn, wanted)
        parts = lock_parts(conn, {row.part_id for row in places if row.part_id is not None})
        # A part may have been made anew while we waited for its lock.
        settled = [row for row in _places(conn, wanted) if row.part_id is None or row.part_id in parts]
        moves: dict[tuple[str, bool], list[int]] = {}
        for row in settled:
            of = parts.get(row.part_id)
            is_open = row.state in ("planned", "waiting")
            if is_open and (of is None or of.state != "created" or of.confirmed_at is None):
                moves.setdefault(("cancelled", of is None or of.state == "planned"), []).append(row.step_run_id)
                if of is not None and of.state != "planned":
                    queue_recall(conn, of.id, now)
        for (state, leaves), ids in moves.items():
            values = {"state": state, "told": state} | ({"part_id": None} if leaves else {})
            conn.execute(update(target).where(of_steps(conn, ids)).values(**values))
            out += ids
        wanted = wanted & {row.step_run_id for row in places} - {row.step_run_id for row in settled}
    return out


def _places(conn: Connection, ids: Collection[int]) -> list[Row[Any]]:
    query = select(target.c.step_run_id, target.c.part_id, target.c.state).where(of_steps(conn, ids))
    return list(conn.execute(query.order_by(target.c.step_run_id)))


def lock_parts(conn: Connection, ids: Collection[int]) -> dict[int, Row[Any]]:
    if not ids:
        return {}
    query = select(part).where(part.c.id.in_(sorted(ids))).order_by(part.c.id)
    return {row.id: row for row in conn.execute(locked(conn, query))}


def queue_recall(
    conn: Connection, part_id: int, now: datetime, *, after: timedelta | None = None, is_second: bool = False
) -> None:
    """Have a part stopped at WeCom and, after a second look, made again for those who stay.

    `after` puts it off, for work of this kind that goes on later.
    """
    once = f"{RECALL}:{part_id}"
    queue.add(
        conn,
        queue.Item(
            lane="send",
            kind=RECALL,
            payload={"part_id": part_id, "is_second": is_second},
            order_key=once,
            due_at=now + after if after is not None else None,
            dedupe_key=once if after is None else None,
        ),
        now=now,
    )
