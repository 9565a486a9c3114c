"""All SQL about steps that are mass messages: gathering, making, withdrawing, stopping, and what became of them.

A step's row goes gathering → sending → over. While it gathers it is simply taken out. Once it stands in a message, the
part of that message is locked before anything of it changes, so the call to WeCom, a withdrawal and a result never
decide about one customer at the same moment.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    exists,
    func,
    literal_column,
    select,
    tuple_,
    update,
)

from scrm.db import upsert
from scrm.db.bulk import among, insert_rows, update_rows
from scrm.mass_messages import plan
from scrm.mass_messages import store as messages
from scrm.mass_messages.models import mass_message_part, mass_message_target
from scrm.profiles.models import follow_user, member
from scrm.sop.mass_step_models import mass_step, mass_step_batch, mass_wave_stop
from scrm.sop.models import enrolment, send, step_run
from scrm.wecom.customer_messages import MOST_CUSTOMERS
from scrm.work import queue

batch, step, stop = mass_step_batch, mass_step, mass_wave_stop
part, target = mass_message_part, mass_message_target

RECALL = "sop.mass_recall"
# While a call's outcome is not known nothing can be recalled.
LOOK_AGAIN = timedelta(seconds=60)
# Somebody left: the others' message is made again after that, the second time after twice that, and so on.
REMAKE_AFTER, REMAKE_AT_MOST = timedelta(minutes=2), timedelta(minutes=30)
CHUNK = 500
MOST_IN_SLICE = MOST_CUSTOMERS
# On SQLite nobody else writes meanwhile.
ADDRESSED_AT_ONCE = 1000

EXPIRED = "已过期：员工没有在有效期内确认"
EXPIRED_SENT = "已过期：员工在有效期后才确认，客户已收到"
STOPPED_BY_HAND = "这条群发已被停止"
DOUBLE = "同一条群发里已有这位客户，不重复发送"
NO_QUOTA = "被频控放弃：这位客户本周期的群发次数已用完"

# States of a step, and of its line in the ledger, while nothing is certain.
_OPEN = ("intent", "waiting")
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
    "cancelled": ("skipped", f"{STOPPED_BY_HAND}，群发已撤回"),
}
_REFUSED = frozenset({"not_friend", "capped"})
_SENDS = {"done": "sent", "failed": "failed"}
_UNTOLD: ColumnElement[bool] = literal_column(
    "mass_message_target.step_run_id IS NOT NULL AND mass_message_target.told <> mass_message_target.state"
)


@dataclass(frozen=True, slots=True)
class Member:
    """One person's step, as it joins a batch."""

    step_run_id: int
    enrolment_id: int
    external_userid: str


def _locked(conn: Connection, query: Select[Any], **how: Any) -> Select[Any]:
    return query.with_for_update(**how) if conn.dialect.name == "postgresql" else query


# Gathering ------------------------------------------------------------------------------------------------------------


def gather(conn: Connection, groups: Sequence[tuple[Mapping[str, Any], Sequence[Member]]]) -> None:
    """Put each group into the batch of its key that gathers now, or begin one; the batch cannot close meanwhile."""
    rows: list[dict[str, Any]] = []
    for values, members in sorted(groups, key=lambda group: str(group[0]["key"])):
        batch_id = _open_batch(conn, values)
        rows += [
            {
                "step_run_id": one.step_run_id,
                "enrolment_id": one.enrolment_id,
                "batch_id": batch_id,
                "external_userid": one.external_userid,
            }
            for one in members
        ]
    insert_rows(conn, step, rows, skip_known=True)


def _open_batch(conn: Connection, values: Mapping[str, Any]) -> int:
    gathering = and_(batch.c.key == values["key"], literal_column("mass_step_batch.state = 'gathering'"))
    # Those who join share the lock; who closes the batch waits for them, and they for him.
    query = _locked(conn, select(batch.c.id).where(gathering), read=True)
    for _ in range(10):
        found = conn.execute(query).scalar_one_or_none()
        if found is not None:
            return int(found)
        insert = upsert(batch, conn).values(**values)
        conn.execute(
            insert.on_conflict_do_nothing(index_elements=["key"], index_where=literal_column("state = 'gathering'"))
        )
    raise RuntimeError("a batch closes faster than it can be joined")


def stopped_waves(conn: Connection, waves: Collection[tuple[str, int, str]]) -> dict[tuple[str, int, str], str]:
    """By (playbook, version, step): why it is sent no more, for those that were stopped."""
    rows = conn.execute(
        select(stop).where(tuple_(stop.c.playbook_key, stop.c.version, stop.c.step_id).in_(list(waves)))
    )
    return {(row.playbook_key, row.version, row.step_id): row.reason for row in rows}


# Making ---------------------------------------------------------------------------------------------------------------


def has_work(conn: Connection, now: datetime) -> bool:
    """Whether a batch is due, or something became of a customer that his step does not know yet."""
    due = select(batch.c.id).where(literal_column("mass_step_batch.look_at IS NOT NULL"), batch.c.look_at <= now)
    if conn.execute(due.limit(1)).first() is not None:
        return True
    return conn.execute(select(target.c.step_run_id).where(_UNTOLD).limit(1)).first() is not None


def next_look_at(conn: Connection) -> datetime | None:
    """When the next batch closes, reminds or expires."""
    query = select(func.min(batch.c.look_at)).where(literal_column("mass_step_batch.look_at IS NOT NULL"))
    return conn.execute(query).scalar_one_or_none()


def claim_batch(conn: Connection, now: datetime) -> Row[Any] | None:
    """A batch that has something to be done; ours until the transaction ends."""
    query: Select[Any] = (
        select(batch)
        .where(literal_column("mass_step_batch.look_at IS NOT NULL"), batch.c.look_at <= now)
        .order_by(batch.c.look_at, batch.c.id)
        .limit(1)
    )
    return conn.execute(_locked(conn, query, skip_locked=True)).one_or_none()


def change_batch(conn: Connection, batch_id: int, **values: Any) -> None:
    conn.execute(update(batch).where(batch.c.id == batch_id).values(**values))


def close_batch(conn: Connection, row: Row[Any], now: datetime) -> None:
    """Nobody joins any more; those beyond one call's ten thousand are a batch of their own, which is due as well.

    By customer, so that two steps of one customer stay together.
    """
    mine = and_(step.c.batch_id == row.id, step.c.state == "gathering")
    names = select(step.c.external_userid).where(mine).order_by(step.c.external_userid)
    if conn.execute(names.limit(1)).first() is None:
        change_batch(conn, row.id, state="over", look_at=None)
        return
    last = conn.execute(names.offset(MOST_IN_SLICE - 1).limit(1)).scalar_one_or_none()
    if last is not None:
        _split_off(conn, row, and_(mine, step.c.external_userid > last))
    message_id, part_id = plan.create_for_steps(
        conn, userid=row.userid, title=row.title, text=row.text, attachments=row.attachments, now=now
    )
    change_batch(conn, row.id, state="closing", mass_message_id=message_id, part_id=part_id)


def _split_off(conn: Connection, row: Row[Any], rest: ColumnElement[bool]) -> None:
    if conn.execute(select(step.c.step_run_id).where(rest).limit(1)).first() is None:
        return
    change_batch(conn, row.id, state="closing")
    values = {name: value for name, value in row._mapping.items() if name != "id"}
    other = conn.execute(batch.insert().values(**values).returning(batch.c.id)).scalar_one()
    conn.execute(update(step).where(rest).values(batch_id=other))


def address_some(conn: Connection, row: Row[Any], now: datetime) -> None:
    """The next thousand of a closing batch become recipients; after the last ones the making is queued."""
    mine = and_(step.c.batch_id == row.id, step.c.state == "gathering")
    names = select(step.c.external_userid).where(mine).order_by(step.c.external_userid)
    last = conn.execute(names.offset(ADDRESSED_AT_ONCE - 1).limit(1)).scalar_one_or_none()
    some = mine if last is None else and_(mine, step.c.external_userid <= last)
    taken = conn.execute(update(step).where(some).values(state="sending").returning(step)).all()
    if taken:
        _address(conn, row, taken, now)
    if last is None:
        plan.queue_create(conn, row.mass_message_id, row.part_id, row.userid, now)
        change_batch(conn, row.id, state="open", look_at=row.remind_at)


def _address(conn: Connection, row: Row[Any], taken: Sequence[Row[Any]], now: datetime) -> None:
    """With each one's line in the ledger; who stands there already has his other step skipped."""
    first: dict[str, Row[Any]] = {}
    doubles = []
    for one in sorted(taken, key=lambda one: int(one.step_run_id)):
        if first.setdefault(one.external_userid, one) is not one:
            doubles.append(one.step_run_id)
    finish(conn, {("skipped", DOUBLE): doubles}, now)
    persons = _persons_of(conn, [one.enrolment_id for one in first.values()])
    recipients = [
        plan.Recipient(name, persons[one.enrolment_id].person_id, one.step_run_id) for name, one in first.items()
    ]
    plan.add_recipients(conn, row.mass_message_id, row.part_id, row.userid, recipients, now)
    ledger = [_intent(row, one, persons[one.enrolment_id], now) for one in first.values()]
    insert_rows(conn, send, ledger, skip_known=True)


def _persons_of(conn: Connection, enrolment_ids: Collection[int]) -> dict[int, Row[Any]]:
    query = select(enrolment.c.id, enrolment.c.person_id, enrolment.c.correlation)
    rows: list[Row[Any]] = list(conn.execute(query.where(among(conn, enrolment.c.id, enrolment_ids))))
    return {row.id: row for row in rows}


def _intent(row: Row[Any], one: Row[Any], person: Row[Any], now: datetime) -> dict[str, Any]:
    """The ledger's line before the call."""
    return {
        "kind": "mass",
        "userid": row.userid,
        "external_userid": one.external_userid,
        "person_id": person.person_id,
        "playbook_key": row.playbook_key,
        "step_id": row.step_id,
        "once": _once(one.step_run_id),
        "content": {"text": row.text[:200], "mass_message_id": row.mass_message_id},
        "decided_at": now,
        "outcome": "intent",
        "correlation": person.correlation,
    }


def _once(step_run_id: int) -> str:
    return f"mass:{step_run_id}"


# Results --------------------------------------------------------------------------------------------------------------


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
        .where(_UNTOLD)
        .order_by(target.c.step_run_id)
        .limit(CHUNK)
    )
    rows = conn.execute(_locked(conn, query, of=target, skip_locked=True)).all()
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
        conn.execute(update(target).where(_UNTOLD, among(conn, target.c.step_run_id, ids)).values(told=state))
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
        lines = among(conn, send.c.once, [_once(of) for of in ids])
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
            .where(among(conn, send.c.once, [_once(of) for of in ids]))
            .values(outcome="sent", sent_at=moment)
        )


def finish(conn: Connection, ends: Mapping[tuple[str, str], Sequence[int]], now: datetime) -> None:
    """End steps, by (state, reason): their own rows, the playbook's and the ledger's."""
    for (state, reason), ids in ends.items():
        if not ids:
            continue
        conn.execute(
            update(step_run)
            .where(among(conn, step_run.c.id, ids), step_run.c.state.in_(_OPEN))
            .values(state=state, reason=reason[:300], outcome_at=now)
        )
        conn.execute(update(step).where(among(conn, step.c.step_run_id, ids)).values(state="over"))
        conn.execute(
            update(send)
            .where(among(conn, send.c.once, [_once(of) for of in ids]), send.c.outcome.in_(_OPEN))
            .values(outcome=_SENDS.get(state, "none"), reason=reason[:300])
        )


# Taking people out ----------------------------------------------------------------------------------------------------


def has_open(enrolment_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a run waits for a mass message."""
    return exists().where(step.c.enrolment_id == enrolment_id, step.c.state != "over")


def withdraw(conn: Connection, enrolment_ids: Collection[int], reason: str, now: datetime) -> int:
    """Take these runs' people out of what is not confirmed yet; returns how many."""
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
    rows = conn.execute(_locked(conn, query, of=step)).all()
    sending = take_out(conn, [row.step_run_id for row in rows if row.state == "sending"], now)
    free = [row for row in rows if row.state == "gathering" or row.step_run_id in sending]
    ids = [row.step_run_id for row in free]
    if ids:
        conn.execute(update(target).where(_is_of_steps(conn, ids)).values(step_run_id=None))
        conn.execute(delete(step).where(among(conn, step.c.step_run_id, ids)))
        mine = among(conn, step_run.c.id, ids)
        conn.execute(update(step_run).where(mine, step_run.c.state == "waiting").values(state="intent"))
    return free


def change_sender(conn: Connection, step_run_ids: Collection[int], userid: str) -> None:
    """The ledger's lines name the member who will send it."""
    mine = among(conn, send.c.once, [_once(of) for of in step_run_ids])
    conn.execute(update(send).where(mine, send.c.outcome.in_(_OPEN)).values(userid=userid, outcome="intent"))


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
        parts = _lock_parts(conn, {row.part_id for row in places if row.part_id is not None})
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
            conn.execute(update(target).where(_is_of_steps(conn, ids)).values(**values))
            out += ids
        wanted = wanted & {row.step_run_id for row in places} - {row.step_run_id for row in settled}
    return out


def _is_of_steps(conn: Connection, ids: Collection[int]) -> ColumnElement[bool]:
    # The first half finds the partial index.
    return and_(target.c.step_run_id.is_not(None), among(conn, target.c.step_run_id, list(ids)))


def _places(conn: Connection, ids: Collection[int]) -> list[Row[Any]]:
    query = select(target.c.step_run_id, target.c.part_id, target.c.state).where(_is_of_steps(conn, ids))
    return list(conn.execute(query.order_by(target.c.step_run_id)))


def _lock_parts(conn: Connection, ids: Collection[int]) -> dict[int, Row[Any]]:
    if not ids:
        return {}
    query = select(part).where(part.c.id.in_(sorted(ids))).order_by(part.c.id)
    return {row.id: row for row in conn.execute(_locked(conn, query))}


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


# Recalling ------------------------------------------------------------------------------------------------------------


def find_batch_of(conn: Connection, message_id: int) -> Row[Any] | None:
    return conn.execute(select(batch).where(batch.c.mass_message_id == message_id)).one_or_none()


def begin_recall(conn: Connection, part_id: int, now: datetime) -> Row[Any] | None:
    """The part, to be stopped at WeCom now; None when nothing is to be recalled (any more)."""
    row = messages.lock_part(conn, part_id)
    if row.state == "intent":
        queue_recall(conn, part_id, now, after=LOOK_AGAIN)
        return None
    if row.state == "recalling":
        return row
    if row.state != "created" or row.confirmed_at is not None or not _must_go(conn, row, now):
        return None
    messages.change_part(conn, part_id, state="recalling", poll_at=None)
    return row


def _must_go(conn: Connection, row: Row[Any], now: datetime) -> bool:
    """Whether somebody of the part was taken out, or all of it."""
    of = find_batch_of(conn, row.mass_message_id)
    if of is None or why_over(conn, of, now) is not None:
        return of is not None
    query = select(target.c.target).where(target.c.part_id == row.id, target.c.state == "cancelled").limit(1)
    return conn.execute(query).first() is not None


def why_over(conn: Connection, of: Row[Any], now: datetime) -> tuple[str, str] | None:
    """Why nobody of a batch is to be sent anything any more: the state and the words for the steps."""
    wave = (of.playbook_key, of.version, of.step_id)
    stopped = stopped_waves(conn, [wave]).get(wave)
    if stopped is not None:
        return "dropped", stopped
    if of.expires_at <= now:
        return "dropped", EXPIRED
    return None


def give_up_recall(conn: Connection, part_id: int, confirmed_at: datetime | None, now: datetime) -> None:
    """The member was faster, or WeCom would not: it goes on as it is, and its results are asked for."""
    row = messages.lock_part(conn, part_id)
    if row.state == "recalling":
        messages.change_part(conn, part_id, state="created", confirmed_at=confirmed_at, poll_at=now)


def finish_recall(conn: Connection, part_id: int, is_second: bool, now: datetime) -> set[int]:
    """WeCom sends nothing of it any more: those who stay get a new part, unless it is over; returns ended runs.

    Only after a second look some minutes later: what the member did in the last moment may show late.
    """
    row = messages.lock_part(conn, part_id)
    message = messages.lock_message(conn, row.mass_message_id)
    of = find_batch_of(conn, row.mass_message_id)
    if row.state != "recalling" or of is None:
        return set()
    stay = conn.execute(
        select(target.c.target, target.c.step_run_id).where(target.c.part_id == part_id, target.c.state == "waiting")
    ).all()
    delay = timedelta() if is_second else min(REMAKE_AFTER * (2 ** min(of.recalls, 10)), REMAKE_AT_MOST)
    over = why_over(conn, of, now) or (("dropped", EXPIRED) if of.expires_at <= now + delay else None)
    if message.state == "cancelled":
        over = "skipped", f"{STOPPED_BY_HAND}，群发已撤回"
    ended: set[int] = set()
    if over is not None:
        ended = _end_all(conn, [each.step_run_id for each in stay], over, now)
    elif stay and not is_second:
        queue_recall(conn, part_id, now, after=delay, is_second=True)
        return ended
    elif stay:
        new = messages.add_part_for(conn, row.mass_message_id, row.userid, [each.target for each in stay])
        plan.queue_create(conn, row.mass_message_id, new, row.userid, now)
        change_batch(conn, of.id, recalls=of.recalls + 1)
    messages.change_part(
        conn, part_id, state="cancelled", reason="有客户退出，已撤回重发" if stay else "已撤回", poll_at=None
    )
    messages.end_if_over(conn, row.mass_message_id, now)
    return ended


def _end_all(conn: Connection, step_run_ids: Sequence[int], over: tuple[str, str], now: datetime) -> set[int]:
    conn.execute(update(target).where(_is_of_steps(conn, step_run_ids)).values(state="cancelled", told="cancelled"))
    finish(conn, {over: step_run_ids}, now)
    query = select(step.c.enrolment_id).where(among(conn, step.c.step_run_id, step_run_ids))
    return set(conn.execute(query).scalars())


# Expiry, and waves that are stopped --------------------------------------------------------------------------------------


def end_batch(conn: Connection, of: Row[Any], over: tuple[str, str], now: datetime) -> set[int]:
    """Nothing more of a batch goes out: what is with WeCom is recalled, the rest ends here; returns ended runs."""
    change_batch(conn, of.id, state="over", look_at=None)
    gathering = list(
        conn.execute(
            update(step)
            .where(step.c.batch_id == of.id, step.c.state == "gathering")
            .values(state="over")
            .returning(step.c.step_run_id)
        ).scalars()
    )
    ended = _end_all(conn, gathering, over, now)
    if of.mass_message_id is None:
        return ended
    ids = conn.execute(select(part.c.id).where(part.c.mass_message_id == of.mass_message_id)).scalars()
    for row in _lock_parts(conn, set(ids)).values():
        if row.state == "planned":
            mine = select(target.c.step_run_id).where(target.c.part_id == row.id, target.c.state == "planned")
            ended |= _end_all(conn, list(conn.execute(mine).scalars()), over, now)
            # Finds nobody, and is over with it.
            plan.queue_create(conn, row.mass_message_id, row.id, row.userid, now)
        elif row.state in ("intent", "recalling") or (row.state == "created" and row.confirmed_at is None):
            queue_recall(conn, row.id, now)
    return ended


def list_unconfirmed(conn: Connection, message_id: int) -> list[int]:
    """The parts of a message that wait for their member."""
    query = select(part.c.id).where(
        part.c.mass_message_id == message_id, part.c.state == "created", part.c.confirmed_at.is_(None)
    )
    return list(conn.execute(query).scalars())


def find_losses(conn: Connection, now: datetime) -> list[Row[Any]]:
    """Waves that are watched and sent within a day: how many got it, and how many deleted the member since."""
    left = exists().where(
        follow_user.c.external_userid == step.c.external_userid,
        follow_user.c.userid == batch.c.userid,
        follow_user.c.ended_by == "customer",
        follow_user.c.ended_at >= step.c.sent_at,
    )
    wave = batch.c.playbook_key, batch.c.version, batch.c.step_id
    query: Select[Any] = (
        select(
            *wave,
            func.max(batch.c.title).label("title"),
            func.max(batch.c.stop_at).label("stop_at"),
            func.count().label("recipients"),
            func.count().filter(left).label("losses"),
        )
        .select_from(step)
        .join(batch, batch.c.id == step.c.batch_id)
        .where(
            literal_column("mass_step.sent_at IS NOT NULL"),
            step.c.sent_at > now - timedelta(hours=24),
            batch.c.stop_at > 0,
        )
        .group_by(*wave)
    )
    return [row for row in conn.execute(query) if row.losses > row.recipients * row.stop_at]


def stop_wave(conn: Connection, found: Row[Any], reason: str, now: datetime) -> bool:
    """Remember that this step of this version is sent no more; False when that is known."""
    statement = upsert(stop, conn).values(
        playbook_key=found.playbook_key,
        version=found.version,
        step_id=found.step_id,
        recipients=found.recipients,
        losses=found.losses,
        reason=reason[:300],
        stopped_at=now,
    )
    added = conn.execute(statement.on_conflict_do_nothing().returning(stop.c.step_id))
    return added.one_or_none() is not None


def list_living_batches(conn: Connection, playbook_key: str, version: int, step_id: str) -> list[Row[Any]]:
    query = select(batch).where(
        batch.c.playbook_key == playbook_key,
        batch.c.version == version,
        batch.c.step_id == step_id,
        batch.c.state != "over",
    )
    return list(conn.execute(_locked(conn, query.order_by(batch.c.id))))


def list_managers(conn: Connection) -> list[str]:
    """Managers, and administrators where there are none; at most a hundred."""
    for role in ("manager", "administrator"):
        query = select(member.c.userid).where(member.c.role == role, member.c.is_active.is_(True))
        if found := list(conn.execute(query.order_by(member.c.userid).limit(100)).scalars()):
            return found
    return []
