"""What became of each customer in a message, brought to his step."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select, update

from scrm.db.bulk import among, update_rows
from scrm.sop.mass.batches import EXPIRED, UNTOLD, batch, locked, part, step, target
from scrm.sop.mass.ending import finish, once_of
from scrm.sop.models import send, step_run

CHUNK = 500

EXPIRED_SENT = "已过期：员工在有效期后才确认，客户已收到"
STOPPED_BY_HAND = "这条群发已被停止，群发已撤回"
NO_QUOTA = "被频控放弃：这位客户本周期的群发次数已用完"

# What became of a customer in a message: the state of his step, and why in words; "sent" is judged by its time.
_ENDS = {
    "not_friend": ("failed", "发送失败：非好友"),
    "capped": ("failed", "发送失败：本周期已收满"),
    "unreachable": ("failed", "发送失败：企业微信无法送达这位客户"),
    "over_quota": ("dropped", NO_QUOTA),
    "refused": ("skipped", "客户拒收营销消息，没有发送"),
    "lost": ("skipped", "客户已不是这位员工的好友，没有发送"),
    "failed": ("failed", "企业微信拒绝了这条群发"),
    "unsent": ("dropped", EXPIRED),
    "cancelled": ("skipped", STOPPED_BY_HAND),
}
_REFUSED = frozenset({"not_friend", "capped"})


def sync_results(conn: Connection, now: datetime) -> tuple[int, set[int]]:
    """Bring what became of the next five hundred customers to their steps; (how many, runs with an ended step)."""
    query: Select[Any] = (
        select(
            target.c.mass_message_id,
            target.c.target,
            target.c.state,
            target.c.step_run_id,
            target.c.counted_at,
            step.c.enrolment_id,
            step.c.state.label("step_state"),
            batch.c.expires_at,
            part.c.reason,
            part.c.confirmed_at,
        )
        .join(step, step.c.step_run_id == target.c.step_run_id)
        .join(batch, batch.c.id == step.c.batch_id)
        .outerjoin(part, part.c.id == target.c.part_id)
        .where(UNTOLD)
        .order_by(target.c.step_run_id)
        .limit(CHUNK)
    )
    rows = conn.execute(locked(conn, query, of=target, skip_locked=True)).all()
    ends: dict[tuple[str, str], list[int]] = {}
    sent: list[Row[Any]] = []
    late_sent: list[Row[Any]] = []
    waiting: list[int] = []
    ended: set[int] = set()
    for row in rows:
        if row.state == "sent":
            (sent if row.step_state != "over" else late_sent).append(row)
            ended.add(row.enrolment_id)
        elif row.state == "waiting":
            waiting.append(row.step_run_id)
        elif row.state != "planned" and row.step_state != "over":
            ends.setdefault(_end_of(row), []).append(row.step_run_id)
            ended.add(row.enrolment_id)
    _note_waiting(conn, waiting)
    finish(conn, ends, now)
    _note_confirmed(conn, [row for row in rows if row.state in _REFUSED and row.confirmed_at is not None])
    _note_sent(conn, sent, late_sent, now)
    for state in {row.state for row in rows}:
        ids = [row.step_run_id for row in rows if row.state == state]
        conn.execute(update(target).where(UNTOLD, among(conn, target.c.step_run_id, ids)).values(told=state))
    return len(rows), ended


def _end_of(row: Row[Any]) -> tuple[str, str]:
    state, words = _ENDS.get(str(row.state), ("failed", "发送失败"))
    if row.state == "failed" and row.reason:
        words = f"{words}：{row.reason}"
    return state, words[:300]


def _note_waiting(conn: Connection, ids: Sequence[int]) -> None:
    """WeCom has the message: from here on the member decides."""
    if ids:
        mine = among(conn, step_run.c.id, ids)
        conn.execute(update(step_run).where(mine, step_run.c.state == "intent").values(state="waiting"))
        lines = among(conn, send.c.once, [once_of(of) for of in ids])
        conn.execute(update(send).where(lines, send.c.outcome == "intent").values(outcome="waiting"))


def _note_confirmed(conn: Connection, rows: Sequence[Row[Any]]) -> None:
    """The member did his part, though the customer did not get it: figures of members count that."""
    moments = {row.step_run_id: row.confirmed_at for row in rows}
    known = conn.execute(select(step_run.c.id, step_run.c.facts).where(among(conn, step_run.c.id, list(moments)))).all()
    values = [{"id": row.id, "facts": {**row.facts, "confirmed_at": moments[row.id].isoformat()}} for row in known]
    update_rows(conn, step_run, values, ["facts"])


def _note_sent(conn: Connection, sent: Sequence[Row[Any]], late: Sequence[Row[Any]], now: datetime) -> None:
    """The customer has it. What the member confirmed too late counts as expired; the ledger says that it went out."""
    in_time = [row for row in sent if row.counted_at <= row.expires_at]
    overdue = [row for row in sent if row.counted_at > row.expires_at]
    # Taken out a moment too late: it did go out.
    withdrawn = [row for row in late if row.counted_at <= row.expires_at]
    expired = [row for row in late if row.counted_at > row.expires_at]
    for rows, state, words in (
        (in_time, "done", ""),
        (overdue, "dropped", EXPIRED_SENT),
        (withdrawn, "done", "撤回之前员工已确认，客户已收到"),
        (expired, "dropped", EXPIRED_SENT),
    ):
        ids = [row.step_run_id for row in rows]
        if ids:
            conn.execute(
                update(step_run)
                .where(among(conn, step_run.c.id, ids))
                .values(state=state, reason=words, outcome_at=max(row.counted_at for row in rows))
            )
    by_moment: dict[datetime, list[int]] = {}
    for row in (*sent, *late):
        by_moment.setdefault(row.counted_at, []).append(row.step_run_id)
    for moment, ids in by_moment.items():
        conn.execute(update(step).where(among(conn, step.c.step_run_id, ids)).values(state="over", sent_at=moment))
        conn.execute(
            update(send)
            .where(among(conn, send.c.once, [once_of(of) for of in ids]))
            .values(outcome="sent", sent_at=moment)
        )
